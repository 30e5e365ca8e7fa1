// Pending hunks in the text: what goes is marked, what comes stands behind it. The editor moves marks with
// the text by itself; after every change the server tells where the hunks are now.

import * as vscode from 'vscode';

import type { DocumentChanges, HunkView } from '../../../../protocol/generated/protocol';
import { asMarkdownDiff, draw, isConflict, type Drawing } from '../model/hunks';
import { goalOf, type Store } from '../model/store';
import { hunkTitle, joined, maker, notes } from '../model/words';
import { setting } from '../settings';
import { SCHEME } from './diff';

type Kind = Drawing['kind'];

const KINDS: readonly Kind[] = ['add', 'change', 'delete', 'conflict', 'whole'];

const COLORS: Record<Kind, string> = {
  add: 'editorGutter.addedBackground',
  change: 'editorGutter.modifiedBackground',
  delete: 'editorGutter.deletedBackground',
  conflict: 'editorWarning.foreground',
  whole: 'editorGutter.modifiedBackground',
};

/** The styles of decorations. */
class Styles implements vscode.Disposable {
  /** Lines that go, or are in conflict. */
  readonly lines: Record<Kind, vscode.TextEditorDecorationType>;
  /** The mark beside the first line. */
  readonly marks: Record<Kind, vscode.TextEditorDecorationType>;
  readonly words: vscode.TextEditorDecorationType;
  readonly ghosts: vscode.TextEditorDecorationType;

  constructor(media: vscode.Uri) {
    const removed = new vscode.ThemeColor('diffEditor.removedLineBackground');
    const conflict = new vscode.ThemeColor('merge.currentContentBackground');
    const each = (make: (kind: Kind) => vscode.DecorationRenderOptions) =>
      Object.fromEntries(
        KINDS.map((kind) => [kind, vscode.window.createTextEditorDecorationType(make(kind))]),
      ) as Record<Kind, vscode.TextEditorDecorationType>;
    this.lines = each((kind) => ({
      isWholeLine: true,
      backgroundColor: kind === 'conflict' ? conflict : removed,
      overviewRulerColor: new vscode.ThemeColor(COLORS[kind]),
      overviewRulerLane: vscode.OverviewRulerLane.Left,
    }));
    this.marks = each((kind) => ({
      gutterIconPath: vscode.Uri.joinPath(media, `${kind}.svg`),
      gutterIconSize: 'contain',
      overviewRulerColor: new vscode.ThemeColor(COLORS[kind]),
      overviewRulerLane: vscode.OverviewRulerLane.Left,
    }));
    this.words = vscode.window.createTextEditorDecorationType({
      backgroundColor: new vscode.ThemeColor('diffEditor.removedTextBackground'),
      textDecoration: 'line-through',
    });
    this.ghosts = vscode.window.createTextEditorDecorationType({
      after: { margin: '0 0 0 2em' },
      rangeBehavior: vscode.DecorationRangeBehavior.ClosedClosed,
    });
  }

  get all(): vscode.TextEditorDecorationType[] {
    return [...Object.values(this.lines), ...Object.values(this.marks), this.words, this.ghosts];
  }

  dispose(): void {
    for (const style of this.all) {
      style.dispose();
    }
  }
}

/** What one editor shows. */
type Shown = Map<vscode.TextEditorDecorationType, vscode.DecorationOptions[]>;

/** Draws pending hunks in all editors in sight. */
export class Review implements vscode.Disposable {
  readonly #styles: Styles;
  readonly #store: Store;
  readonly #log: vscode.LogOutputChannel;
  readonly #disposables: vscode.Disposable[] = [];
  /** When a document last changed, for the log: how long until its marks were right again. */
  readonly #changedAt = new Map<string, number>();
  #visible = true;

  constructor(store: Store, extension: vscode.Uri, log: vscode.LogOutputChannel) {
    this.#store = store;
    this.#log = log;
    this.#styles = new Styles(vscode.Uri.joinPath(extension, 'media', 'marks'));
    this.#disposables.push(
      this.#styles,
      vscode.window.onDidChangeVisibleTextEditors(() => this.all()),
      vscode.window.onDidChangeActiveTextEditor(() => this.#context()),
      vscode.workspace.onDidChangeTextDocument(({ document, contentChanges }) => {
        if (contentChanges.length > 0 && this.#store.document(document.uri.toString())) {
          this.#changedAt.set(document.uri.toString(), performance.now());
        }
      }),
      vscode.workspace.onDidChangeConfiguration((event) => {
        if (event.affectsConfiguration('claudecluster.review')) {
          this.all();
        }
      }),
    );
  }

  dispose(): void {
    for (const disposable of this.#disposables) {
      disposable.dispose();
    }
  }

  /** Shows what is pending, or hides it. */
  toggle(): void {
    this.#visible = !this.#visible;
    this.all();
  }

  /** Draws all editors in sight. */
  all(): void {
    for (const editor of vscode.window.visibleTextEditors) {
      this.#draw(editor, this.#store.document(editor.document.uri.toString()));
    }
    this.#context();
  }

  /** Draws the editors of one document. */
  onPending(told: DocumentChanges): void {
    for (const editor of vscode.window.visibleTextEditors) {
      if (editor.document.uri.toString() === told.uri) {
        this.#draw(editor, told);
      }
    }
    this.#context();
  }

  #draw(editor: vscode.TextEditor, changes: DocumentChanges | undefined): void {
    const { document } = editor;
    const uri = document.uri.toString();
    // The marks have moved with the change; word of the newer text follows.
    if (changes && changes.version !== null && changes.version < document.version) {
      return;
    }
    const drawn = this.#visible && !isInDiff(uri);
    const shown: Shown = new Map(this.#styles.all.map((style) => [style, []]));
    if (drawn && changes) {
      for (const hunk of changes.hunks) {
        this.#add(shown, document, hunk);
      }
    }
    for (const [style, options] of shown) {
      editor.setDecorations(style, options);
    }
    const changedAt = this.#changedAt.get(uri);
    if (changedAt !== undefined) {
      this.#changedAt.delete(uri);
      const took = (performance.now() - changedAt).toFixed(1);
      this.#log.debug(`marks of ${uri} are right ${took} ms after its change`);
    }
  }

  #add(shown: Shown, document: vscode.TextDocument, hunk: HunkView): void {
    const drawing = draw(hunk, document.lineCount);
    const { kind, startLine, endLine, mark } = drawing;
    const hoverMessage = hover(hunk);
    const at = (line: number) => document.lineAt(Math.min(line, document.lineCount - 1)).range;
    const push = (style: vscode.TextEditorDecorationType, options: vscode.DecorationOptions) =>
      shown.get(style)?.push(options);
    if (setting('review.marks')) {
      push(this.#styles.marks[kind], { range: at(mark), hoverMessage });
    }
    if (endLine > startLine) {
      const range = at(startLine).union(at(endLine - 1));
      push(this.#styles.lines[kind], { range, hoverMessage });
    }
    if (!setting('review.inline')) {
      return;
    }
    for (const word of drawing.removed) {
      const range = new vscode.Range(
        word.startLine,
        word.startColumn,
        word.endLine,
        word.endColumn,
      );
      push(this.#styles.words, { range: document.validateRange(range) });
    }
    const color = new vscode.ThemeColor(
      kind === 'conflict' ? 'editorWarning.foreground' : 'editorGutter.addedBackground',
    );
    const texts = hunk.whole ? [{ line: 0, text: hunkTitle(hunk) }] : drawing.ghosts;
    for (const { line, text } of texts) {
      const { end } = at(line);
      push(this.#styles.ghosts, {
        range: new vscode.Range(end, end),
        renderOptions: { after: { contentText: text, color } },
      });
    }
  }

  /** Keys and menus are for editors in which something is pending. */
  #context(): void {
    const uri = vscode.window.activeTextEditor?.document.uri.toString() ?? '';
    const hunks = this.#store.document(uri)?.hunks ?? [];
    const is = (name: string, value: boolean) =>
      void vscode.commands.executeCommand('setContext', `claudecluster.${name}`, value);
    is('pendingHere', hunks.length > 0);
    is('conflictHere', hunks.some(isConflict));
  }
}

/** Whether a diff of ours is in front that shows the document, and what is proposed beside it. */
function isInDiff(uri: string): boolean {
  return vscode.window.tabGroups.all.some(({ activeTab }) => {
    const input = activeTab?.input;
    return (
      input instanceof vscode.TabInputTextDiff &&
      input.modified.scheme === SCHEME &&
      input.original.toString() === uri
    );
  });
}

function hover(hunk: HunkView): vscode.MarkdownString {
  const text = new vscode.MarkdownString();
  text.appendMarkdown('**');
  text.appendText(joined([maker(hunk), goalOf(hunk), notes(hunk)]));
  text.appendMarkdown('**\n\n');
  text.appendMarkdown(asMarkdownDiff(hunk));
  return text;
}
