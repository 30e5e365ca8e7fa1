// The folders of this window. The server resolves links in the way to what it names, and editors do not.

import { realpathSync } from 'node:fs';
import path from 'node:path';

import * as vscode from 'vscode';

const known = new Map<string, string>();

function real(folder: string): string {
  let found = known.get(folder);
  if (found === undefined) {
    try {
      found = realpathSync.native(folder);
      known.set(folder, found);
    } catch {
      // It is not there, or not yet.
      found = folder;
    }
  }
  return found;
}

function folders(): readonly vscode.WorkspaceFolder[] {
  const all = vscode.workspace.workspaceFolders ?? [];
  return all.filter(({ uri }) => uri.scheme === 'file');
}

/** The folder that a goal's workspace is; none where it is open in another window only. */
export function folderOf(workspace: string): vscode.WorkspaceFolder | undefined {
  return folders().find(({ uri }) => real(uri.fsPath) === workspace);
}

/** What tells the folder of a goal from the others of this window; nothing where there is but one. */
export function folderName(workspace: string): string {
  return folders().length > 1 ? (folderOf(workspace)?.name ?? '') : '';
}

/** An address of the server's, as this window has it. */
export function asOpened(address: string): string {
  const uri = vscode.Uri.parse(address, true);
  for (const folder of folders()) {
    const at = real(folder.uri.fsPath);
    const inside = path.relative(at, uri.fsPath);
    if (at !== folder.uri.fsPath && inside !== '' && !inside.startsWith('..')) {
      return vscode.Uri.joinPath(folder.uri, inside).toString();
    }
  }
  return address;
}
