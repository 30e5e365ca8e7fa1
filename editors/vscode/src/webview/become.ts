// Changes in place what is on the page.

/** What tells apart nodes that stand beside each other: a task's node must not become another task's. */
function key(node: Node): string {
  const { task, action, of } = node instanceof HTMLElement ? node.dataset : {};
  return JSON.stringify([node.nodeName, task, action, of]);
}

/**
 * Makes an element what another one is. Nodes that are in both stay the same: a press of the mouse that began
 * on one ends on it, and the keys stay where they are, however often the page is told something new.
 */
export function become(there: Element, wanted: Element): void {
  for (const name of there.getAttributeNames()) {
    if (!wanted.hasAttribute(name)) {
      there.removeAttribute(name);
    }
  }
  for (const name of wanted.getAttributeNames()) {
    const value = wanted.getAttribute(name) ?? '';
    if (there.getAttribute(name) !== value) {
      there.setAttribute(name, value);
    }
  }
  let at = there.firstChild;
  for (const child of [...wanted.childNodes]) {
    const same = from(at, key(child));
    if (!same) {
      there.insertBefore(child, at);
      continue;
    }
    while (at && at !== same) {
      at = without(at);
    }
    if (same instanceof Element && child instanceof Element) {
      become(same, child);
    } else if (same.nodeValue !== child.nodeValue) {
      same.nodeValue = child.nodeValue;
    }
    at = same.nextSibling;
  }
  while (at) {
    at = without(at);
  }
}

/** The first node from here on that has this key. */
function from(node: ChildNode | null, wanted: string): ChildNode | null {
  let at = node;
  while (at && key(at) !== wanted) {
    at = at.nextSibling;
  }
  return at;
}

/** Takes a node out; what stands behind it. */
function without(node: ChildNode): ChildNode | null {
  const next = node.nextSibling;
  node.remove();
  return next;
}
