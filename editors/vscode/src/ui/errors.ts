// Telling what went wrong, with what helps.

import * as vscode from 'vscode';

import { asServerError } from '../client';
import { client } from '../ids';
import { plain } from '../model/words';

/** Shows an error, and offers the log. */
export function tell(error: unknown): void {
  const logs = vscode.l10n.t('Show Logs');
  const { sentence } = asServerError(error);
  void vscode.window.showErrorMessage(plain(`ClaudeCluster: ${sentence}`), logs).then((chosen) => {
    if (chosen === logs) {
      void vscode.commands.executeCommand(client.logs);
    }
  });
}

/** Runs work and tells what went wrong. */
export async function telling<T>(work: () => Promise<T> | T): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    tell(error);
    return undefined;
  }
}
