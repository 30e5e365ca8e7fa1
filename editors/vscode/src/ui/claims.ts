// Files that running workers are writing: marked in the explorer and beside the text.

import * as vscode from 'vscode';

import { claimsOf, type Claim } from '../model/claims';
import type { Store } from '../model/store';
import { setting } from '../settings';

/** Marks what running tasks are expected to write. */
export class Claims implements vscode.FileDecorationProvider, vscode.Disposable {
  readonly #changed = new vscode.EventEmitter<undefined>();
  readonly #style: vscode.TextEditorDecorationType;
  readonly #store: Store;
  readonly #disposables: vscode.Disposable[];
  #claims: readonly Claim[] = [];

  readonly onDidChangeFileDecorations = this.#changed.event;

  constructor(store: Store, extension: vscode.Uri) {
    this.#store = store;
    this.#style = vscode.window.createTextEditorDecorationType({
      gutterIconPath: vscode.Uri.joinPath(extension, 'media', 'marks', 'claim.svg'),
      gutterIconSize: 'contain',
      after: { margin: '0 0 0 2em', color: new vscode.ThemeColor('editorCodeLens.foreground') },
    });
    this.#disposables = [
      this.#changed,
      this.#style,
      vscode.window.registerFileDecorationProvider(this),
      vscode.window.onDidChangeVisibleTextEditors(() => this.#drawAll()),
    ];
  }

  dispose(): void {
    for (const disposable of this.#disposables) {
      disposable.dispose();
    }
  }

  /** Looks what is claimed now. */
  refresh(): void {
    const claims = claimsOf(this.#store.goals);
    if (JSON.stringify(claims) === JSON.stringify(this.#claims)) {
      return;
    }
    this.#claims = claims;
    this.#changed.fire(undefined);
    this.#drawAll();
  }

  provideFileDecoration(uri: vscode.Uri): vscode.FileDecoration | undefined {
    const claim = this.#claimOf(uri);
    if (!claim) {
      return undefined;
    }
    const color = new vscode.ThemeColor('charts.blue');
    return new vscode.FileDecoration('✎', this.#words(claim), color);
  }

  #claimOf(uri: vscode.Uri): Claim | undefined {
    return uri.scheme === 'file'
      ? this.#claims.find((claim) => claim.matches(uri.fsPath))
      : undefined;
  }

  #words(claim: Claim): string {
    return vscode.l10n.t('{0} is writing here ({1})', claim.title, claim.goal);
  }

  #drawAll(): void {
    for (const editor of vscode.window.visibleTextEditors) {
      const claim = this.#claimOf(editor.document.uri);
      const marks = claim && setting('review.marks');
      const line = editor.document.lineAt(0).range;
      const contentText = claim && this.#words(claim);
      const mark = { range: line, renderOptions: { after: { contentText } } };
      editor.setDecorations(this.#style, marks ? [mark as vscode.DecorationOptions] : []);
    }
  }
}
