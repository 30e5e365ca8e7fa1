// Native diff editors on documents of the scheme `claudecluster`: the texts of a pending file.

import path from 'node:path';

import * as vscode from 'vscode';

import type { GoalId, HunkView, PendingSide } from '../../../../protocol/generated/protocol';
import type { Server } from '../client';
import { withHunk } from '../model/hunks';
import { goalOf, type Store } from '../model/store';
import { goalTitle, hunkTitle } from '../model/words';

/** The scheme of documents that show a text of a pending file. */
export const SCHEME = 'claudecluster';

/** What such a document shows. */
type Wanted =
  | { readonly side: PendingSide; readonly goal: GoalId; readonly uri: string }
  | { readonly side: 'hunk'; readonly hunk: string; readonly uri: string }
  | { readonly side: 'empty' };

/** The address of such a document. Its path is the file's, so that it is shown in the same language. */
function addressOf(wanted: Wanted, file: string): vscode.Uri {
  return vscode.Uri.from({ scheme: SCHEME, path: file, query: JSON.stringify(wanted) });
}

/** Gives the texts, and opens editors on them. */
export class Diffs implements vscode.TextDocumentContentProvider, vscode.Disposable {
  readonly #changed = new vscode.EventEmitter<vscode.Uri>();
  readonly #registration: vscode.Disposable;

  readonly onDidChange = this.#changed.event;

  constructor(
    readonly server: Server,
    readonly store: Store,
  ) {
    this.#registration = vscode.workspace.registerTextDocumentContentProvider(SCHEME, this);
  }

  dispose(): void {
    this.#registration.dispose();
    this.#changed.dispose();
  }

  /** What is proposed for a file has changed, or for any: diffs that are open show it. */
  refresh(file?: string): void {
    const only = file === undefined ? undefined : vscode.Uri.parse(file, true).path;
    for (const { uri } of vscode.workspace.textDocuments) {
      if (uri.scheme === SCHEME && (only === undefined || uri.path === only)) {
        this.#changed.fire(uri);
      }
    }
  }

  async provideTextDocumentContent(address: vscode.Uri): Promise<string> {
    const wanted = JSON.parse(address.query) as Wanted;
    switch (wanted.side) {
      case 'empty':
        return '';
      case 'hunk': {
        const { text } = await this.#document(wanted.uri);
        const hunk = this.store.hunk(wanted.hunk)?.hunk;
        // Decided meanwhile: nothing is left to show.
        return hunk ? withHunk(text, hunk) : text;
      }
      default: {
        const { goal: goalId, uri, side } = wanted;
        return (await this.server.content({ goalId, uri, side })) ?? '';
      }
    }
  }

  /** One hunk: the text as it is now beside the text with the hunk in it. */
  async hunk(id: string): Promise<void> {
    const found = this.store.hunk(id);
    if (!found) {
      throw new Error(vscode.l10n.t('{0} is no longer pending', id));
    }
    const { hunk, uri } = found;
    if (hunk.whole) {
      return this.file(goalOf(hunk), uri, hunk);
    }
    const file = vscode.Uri.parse(uri, true);
    const proposed = addressOf({ side: 'hunk', hunk: id, uri }, file.path);
    const title = vscode.l10n.t('{0}: {1}', path.basename(file.path), hunkTitle(hunk));
    const line = new vscode.Range(hunk.startLine, 0, hunk.startLine, 0);
    const options = { preview: true, selection: line };
    await vscode.commands.executeCommand('vscode.diff', file, proposed, title, options);
  }

  /** One file: as it is now beside what an accept of everything clean would give. */
  async file(goal: GoalId, uri: string, whole?: HunkView): Promise<void> {
    const [left, right] = await this.#pair(goal, uri, whole);
    const title = vscode.l10n.t('{0} (goal {1})', path.basename(right.path), goal);
    await vscode.commands.executeCommand('vscode.diff', left, right, title, { preview: true });
  }

  /** All files of a goal in one editor. */
  async goal(goal: GoalId): Promise<void> {
    const mine = ({ hunks }: { hunks: HunkView[] }) => hunks.filter((it) => goalOf(it) === goal);
    const documents = this.store.documents.filter((document) => mine(document).length > 0);
    if (documents.length === 0) {
      const nothing = vscode.l10n.t('No pending changes in {0}.', goal);
      void vscode.window.showInformationMessage(nothing);
      return;
    }
    const rows = await Promise.all(
      documents.map(async (document) => {
        const whole = mine(document).find((hunk) => hunk.whole);
        const [left, right] = await this.#pair(goal, document.uri, whole);
        return [vscode.Uri.parse(document.uri, true), left, right];
      }),
    );
    const summary = this.store.goal(goal)?.summary;
    const title = summary ? `${goal}: ${goalTitle(summary)}` : goal;
    await vscode.commands.executeCommand('vscode.changes', title, rows);
  }

  /** What a file is compared with what. */
  async #pair(
    goal: GoalId,
    uri: string,
    whole: HunkView | undefined,
  ): Promise<[vscode.Uri, vscode.Uri]> {
    const file = vscode.Uri.parse(uri, true);
    const side = (side: PendingSide) => addressOf({ side, goal, uri }, file.path);
    if (!whole) {
      return [file, side('merged')];
    }
    // No lines of a document: what it was beside what it is to be.
    const empty = addressOf({ side: 'empty' }, file.path);
    const base = whole.kind === 'create' ? empty : side('base');
    const proposed = whole.kind === 'delete' ? empty : side('proposed');
    return Promise.resolve([base, proposed]);
  }

  #document(uri: string): Thenable<{ text: string }> {
    const document = vscode.workspace.openTextDocument(vscode.Uri.parse(uri, true));
    return document.then((document) => ({ text: document.getText() }));
  }
}
