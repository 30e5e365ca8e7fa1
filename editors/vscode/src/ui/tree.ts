// The view of goals.

import * as vscode from 'vscode';

import { client, GOALS_VIEW } from '../ids';
import { Drawn, keyOf } from '../model/drawn';
import { parentOf, type Node, type Sources } from '../model/nodes';
import { isUndecided } from '../model/store';

/** Running tasks show how long they have been running. */
const TICK = 1000;
/** Events come in bursts; the view is drawn again at most so often, in milliseconds. */
const PAUSE = 100;

/** The tree, its badge, and the clock of running tasks. */
export class GoalsView implements vscode.TreeDataProvider<Node>, vscode.Disposable {
  readonly #changed = new vscode.EventEmitter<Node[] | undefined>();
  readonly #view: vscode.TreeView<Node>;
  readonly #sources: Sources;
  readonly #drawn: Drawn;
  readonly #nodes = new Map<string, Node>();
  #drawing: NodeJS.Timeout | undefined;
  #clock: NodeJS.Timeout | undefined;

  readonly onDidChangeTreeData = this.#changed.event;

  constructor(sources: Sources) {
    this.#sources = sources;
    this.#drawn = new Drawn(sources);
    this.#view = vscode.window.createTreeView(GOALS_VIEW, {
      treeDataProvider: this,
      showCollapseAll: true,
    });
    this.#view.onDidChangeVisibility(() => this.changed());
  }

  dispose(): void {
    clearTimeout(this.#drawing);
    clearInterval(this.#clock);
    this.#view.dispose();
    this.#changed.dispose();
  }

  /** Draws what has changed again soon. */
  changed(): void {
    this.#drawing ??= setTimeout(() => {
      this.#drawing = undefined;
      void this.#draw();
      this.#setBadge();
      this.#setClock();
    }, PAUSE);
  }

  async #draw(): Promise<void> {
    const stale = await this.#drawn.stale();
    const nodes = stale.filter((node) => node !== undefined);
    if (nodes.length < stale.length) {
      this.#changed.fire(undefined);
    } else if (nodes.length > 0) {
      this.#changed.fire(nodes.map((node) => this.#same(node)));
    }
  }

  /** What is chosen in the view. */
  get selection(): Node | undefined {
    return this.#view.selection[0];
  }

  /** Shows a goal in the view. */
  async reveal(goal: string): Promise<void> {
    const options = { select: true, focus: true, expand: true };
    await this.#view.reveal(this.#same({ kind: 'goal', goal }), options);
  }

  getChildren(node?: Node): Promise<Node[]> {
    return this.#drawn.children(node).then((nodes) => nodes.map((it) => this.#same(it)));
  }

  getParent(node: Node): Node | undefined {
    const parent = parentOf(node, this.#sources);
    return parent && this.#same(parent);
  }

  getTreeItem(node: Node): vscode.TreeItem {
    const look = this.#drawn.look(node);
    if (!look) {
      // Gone since the view asked for its parent's children; the next drawing leaves it out.
      return new vscode.TreeItem('');
    }
    const states = vscode.TreeItemCollapsibleState;
    const open = { leaf: states.None, closed: states.Collapsed, expanded: states.Expanded };
    const item = new vscode.TreeItem(look.label, open[look.open]);
    item.id = look.id;
    item.description = look.description;
    item.contextValue = look.context;
    item.accessibilityInformation = { label: `${look.label} ${look.description}` };
    if (look.tooltip !== undefined) {
      item.tooltip = look.tooltip;
    }
    if (look.uri === undefined) {
      const color = look.color === undefined ? undefined : new vscode.ThemeColor(look.color);
      item.iconPath = new vscode.ThemeIcon(look.icon, color);
    } else {
      item.resourceUri = vscode.Uri.parse(look.uri, true);
      item.iconPath = vscode.ThemeIcon.File;
    }
    const command = commandOf(node);
    if (command !== undefined) {
      item.command = { command, title: look.label, arguments: [node] };
    }
    return item;
  }

  /** The view knows entries by identity. */
  #same(node: Node): Node {
    const key = keyOf(node);
    const known = this.#nodes.get(key);
    if (known) {
      return known;
    }
    this.#nodes.set(key, node);
    return node;
  }

  #setBadge(): void {
    const goals = this.#sources.store.goals.map(({ summary }) => summary);
    const questions = this.#sources.permissions().length;
    const plans = goals.filter(({ state }) => state === 'awaitingApproval').length;
    const undecided = goals.filter(isUndecided).length;
    const value = questions + plans + undecided;
    const tooltip = vscode.l10n.t('{0} need review', value);
    this.#view.badge = value > 0 ? { value, tooltip } : undefined;
  }

  #setClock(): void {
    const running = this.#sources.store.goals.some(({ summary }) => summary.running > 0);
    if (!running || !this.#view.visible) {
      clearInterval(this.#clock);
      this.#clock = undefined;
    } else {
      this.#clock ??= setInterval(() => void this.#draw(), TICK);
    }
  }
}

function commandOf(node: Node): string | undefined {
  switch (node.kind) {
    case 'permission':
      return client.answer;
    case 'file':
      return client.diffFile;
    case 'hunk':
    case 'landing':
      return client.open;
    default:
      return undefined;
  }
}
