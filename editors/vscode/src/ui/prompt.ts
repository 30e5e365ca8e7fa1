// Asking for a goal's words: on one line with what was asked before, or in an editor for several.

import * as vscode from 'vscode';

import type { ScopeArgs } from '../../../../protocol/generated/protocol';
import { client } from '../ids';

const { t } = vscode.l10n;

/** Where a goal is from; it is stated together with its words. */
export interface Place {
  readonly uri?: string;
  /** Whole lines; the end is exclusive. */
  readonly range?: { readonly startLine: number; readonly endLine: number };
}

/** So many goals are offered again. */
const REMEMBERED = 50;
const KEY = 'claudecluster.prompts';
const DRAFTS = 'claudecluster-draft';

type Item = vscode.QuickPickItem & { readonly prompt?: string };

/** What was asked in this workspace, newest first. */
export class History {
  constructor(readonly memory: vscode.Memento) {}

  get all(): string[] {
    return this.memory.get<string[]>(KEY, []);
  }

  async add(prompt: string): Promise<void> {
    const others = this.all.filter((other) => other !== prompt);
    await this.memory.update(KEY, [prompt, ...others].slice(0, REMEMBERED));
  }
}

/** Asks for words. What is typed comes first; below it is what was asked before. */
export function askForGoal(
  history: History,
  where: string,
): Promise<{ prompt: string } | { draft: string } | undefined> {
  const editor: vscode.QuickInputButton = {
    iconPath: new vscode.ThemeIcon('edit'),
    tooltip: t('Write several lines in an editor'),
  };
  const input = vscode.window.createQuickPick<Item>();
  input.title = where;
  input.placeholder = t('Describe the change you want');
  input.buttons = [editor];
  input.matchOnDetail = true;
  const offer = () => {
    const typed = input.value.trim();
    const one = (prompt: string): Item => {
      const [first = '', ...rest] = prompt.split('\n');
      const lines = rest.length > 0 ? t('{0} lines', rest.length + 1) : '';
      return { label: `$(history) ${first}`, description: lines, prompt };
    };
    const old = history.all.filter((prompt) => prompt !== typed).map(one);
    const label = `$(rocket) ${typed}`;
    const now: Item = { label, prompt: typed, alwaysShow: true, description: t('start this goal') };
    input.items = typed === '' ? old : [now, ...old];
  };
  offer();
  return new Promise((answer) => {
    input.onDidChangeValue(offer);
    input.onDidTriggerButton(() => {
      answer({ draft: input.value });
      input.hide();
    });
    input.onDidAccept(() => {
      const prompt = input.activeItems[0]?.prompt ?? input.value.trim();
      if (prompt !== '') {
        answer({ prompt });
        input.hide();
      }
    });
    input.onDidHide(() => {
      answer(undefined);
      input.dispose();
    });
    input.show();
  });
}

/** Goals that are being written in an editor. Saving one states it, unless the editor does so by itself. */
export class Drafts implements vscode.FileSystemProvider, vscode.Disposable {
  readonly #changed = new vscode.EventEmitter<vscode.FileChangeEvent[]>();
  readonly #texts = new Map<string, { text: Uint8Array; scope: ScopeArgs; at: number }>();
  /** Being saved by their user. */
  readonly #meant = new Set<string>();
  /** Stated, and closed as soon as the editor knows that they are saved. It looks at them once more before. */
  readonly #stated = new Set<string>();
  readonly #registration: vscode.Disposable;
  #count = 0;

  readonly onDidChangeFile = this.#changed.event;

  /** `state` is told the words, and what they are about. */
  constructor(readonly state: (prompt: string, scope: ScopeArgs) => Promise<boolean>) {
    this.#registration = vscode.Disposable.from(
      vscode.workspace.registerFileSystemProvider(DRAFTS, this),
      vscode.workspace.onWillSaveTextDocument(({ document: { uri }, reason }) => {
        if (uri.scheme === DRAFTS && reason === vscode.TextDocumentSaveReason.Manual) {
          this.#meant.add(uri.path);
        }
      }),
      vscode.workspace.onDidSaveTextDocument(({ uri }) => {
        if (uri.scheme === DRAFTS && this.#stated.has(uri.path)) {
          void this.#close(uri);
        }
      }),
    );
  }

  dispose(): void {
    this.#registration.dispose();
    this.#changed.dispose();
  }

  /** Opens an editor for a goal. */
  async open(text: string, scope: ScopeArgs): Promise<void> {
    this.#count += 1;
    const uri = vscode.Uri.from({ scheme: DRAFTS, path: `/${t('Goal')} ${this.#count}.md` });
    const bytes = new TextEncoder().encode(text);
    this.#texts.set(uri.path, { text: bytes, scope, at: Date.now() });
    const document = await vscode.workspace.openTextDocument(uri);
    await vscode.window.showTextDocument(document, { preview: false });
    const hint = t('Save to start the goal.');
    void vscode.window.setStatusBarMessage(`$(rocket) ${hint}`, 10_000);
  }

  async writeFile(uri: vscode.Uri, content: Uint8Array): Promise<void> {
    const draft = this.#draft(uri);
    draft.text = content;
    draft.at += 1;
    if (this.#meant.delete(uri.path)) {
      await this.#state(uri);
    }
  }

  /** States the draft in the editor in front. */
  async stateFront(): Promise<void> {
    const document = vscode.window.activeTextEditor?.document;
    if (document?.uri.scheme !== DRAFTS) {
      await vscode.commands.executeCommand(client.newGoal);
    } else if (document.isDirty) {
      await document.save();
    } else if (await this.#state(document.uri)) {
      await this.#close(document.uri);
    }
  }

  async #state(uri: vscode.Uri): Promise<boolean> {
    const { text, scope } = this.#draft(uri);
    const prompt = new TextDecoder().decode(text).trim();
    if (prompt === '' || this.#stated.has(uri.path)) {
      return false;
    }
    // Before it is: saved twice, it is one goal.
    this.#stated.add(uri.path);
    const stated = await this.state(prompt, scope);
    if (!stated) {
      this.#stated.delete(uri.path);
    }
    return stated;
  }

  stat(uri: vscode.Uri): vscode.FileStat {
    const { text, at } = this.#draft(uri);
    return { type: vscode.FileType.File, ctime: at, mtime: at, size: text.length };
  }

  readFile(uri: vscode.Uri): Uint8Array {
    return this.#draft(uri).text;
  }

  watch(): vscode.Disposable {
    return new vscode.Disposable(() => {});
  }

  readDirectory(): [string, vscode.FileType][] {
    return [];
  }

  createDirectory(uri: vscode.Uri): never {
    throw vscode.FileSystemError.NoPermissions(uri);
  }

  delete(uri: vscode.Uri): void {
    this.#texts.delete(uri.path);
  }

  rename(uri: vscode.Uri): never {
    throw vscode.FileSystemError.NoPermissions(uri);
  }

  #draft(uri: vscode.Uri) {
    const draft = this.#texts.get(uri.path);
    if (!draft) {
      throw vscode.FileSystemError.FileNotFound(uri);
    }
    return draft;
  }

  async #close(uri: vscode.Uri): Promise<void> {
    const tabs = vscode.window.tabGroups.all.flatMap((group) => group.tabs);
    const same = ({ input }: vscode.Tab) =>
      input instanceof vscode.TabInputText && input.uri.toString() === uri.toString();
    await vscode.window.tabGroups.close(tabs.filter(same));
    this.#texts.delete(uri.path);
    this.#stated.delete(uri.path);
  }
}
