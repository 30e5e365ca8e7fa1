// What the view of goals shows, and which of it is out of date.
//
// The editor forgets the entries below whatever it draws anew until it has asked for them again. A button
// that is pressed in between does nothing: not even the name of its row reaches the extension. So what has
// not changed is not drawn again.

import { childrenOf, lookOf, type Look, type Node, type Sources } from './nodes';

/** The entries as the editor was given them last. */
export class Drawn {
  readonly #sources: Sources;
  readonly #looks = new Map<string, string>();
  readonly #children = new Map<string, string>();

  constructor(sources: Sources) {
    this.#sources = sources;
  }

  /** The entries below one, or those at the top. */
  async children(node?: Node): Promise<Node[]> {
    const nodes = await childrenOf(node, this.#sources);
    this.#children.set(keyOf(node), this.#names(nodes));
    return nodes;
  }

  /** How an entry looks. */
  look(node: Node): Look | undefined {
    const look = lookOf(node, this.#sources);
    this.#looks.set(keyOf(node), asText(look));
    return look;
  }

  /** What has to be drawn again with all below it, as little as can be; `undefined` is the whole view. */
  async stale(node?: Node): Promise<(Node | undefined)[]> {
    const given = this.#children.get(keyOf(node));
    if (given === undefined) {
      // It was never opened.
      return [];
    }
    const nodes = await childrenOf(node, this.#sources);
    if (this.#names(nodes) !== given) {
      return [node];
    }
    const found = nodes.map((child) => {
      const same = asText(lookOf(child, this.#sources)) === this.#looks.get(keyOf(child));
      return same ? this.stale(child) : Promise.resolve([child]);
    });
    return (await Promise.all(found)).flat();
  }

  /** The editor knows entries by the names of their looks: one that gets another is another entry. */
  #names(nodes: readonly Node[]): string {
    return asText(nodes.map((node) => [keyOf(node), lookOf(node, this.#sources)?.id]));
  }
}

/** What an entry stands for, as a text. */
export function keyOf(node: Node | undefined): string {
  return asText(node);
}

function asText(value: unknown): string {
  return JSON.stringify(value ?? null);
}
