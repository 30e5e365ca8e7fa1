// Why there is no server, and what to do about it.

import * as vscode from 'vscode';

import type { Status } from '../client';
import { client } from '../ids';
import { VARIABLE, type Source } from '../lookup';

const { t } = vscode.l10n;

type Trouble = (Status & { kind: 'trouble' })['trouble'];

function named(source: Source): string {
  return source === 'setting' ? 'claudecluster.server.path' : VARIABLE;
}

/** What is wrong, as a sentence or two. */
export function troubleWords(trouble: Trouble): string {
  switch (trouble.kind) {
    case 'missing':
      return t(
        'The ClaudeCluster server is not installed: “claudecluster” is not on the search path, and neither the setting claudecluster.server.path nor {0} is set.',
        VARIABLE,
      );
    case 'notThere':
      return t(
        '{0} names {1}, which does not exist or is not executable.',
        named(trouble.source),
        trouble.path,
      );
    case 'relative':
      return t('{0} is {1}, but it must be an absolute path.', named(trouble.source), trouble.path);
    case 'broken':
      return t('{0} is not a ClaudeCluster server: {1}', trouble.path, trouble.why);
    case 'version':
      return t(
        '{0} is version {1}, but this extension needs version {2}. Update the older one.',
        trouble.path,
        trouble.found,
        trouble.wanted,
      );
    case 'failed':
      return t('Cannot start the ClaudeCluster server: {0}', trouble.why);
  }
}

/** Tells the user, with buttons for what helps. */
export async function tellTrouble(trouble: Trouble): Promise<void> {
  const install = t('How to Install');
  const settings = t('Open Settings');
  const logs = t('Show Logs');
  const offered = trouble.kind === 'failed' ? [logs, install] : [install, settings, logs];
  const chosen = await vscode.window.showErrorMessage(troubleWords(trouble), ...offered);
  if (chosen === install) {
    await vscode.commands.executeCommand(client.readme);
  } else if (chosen === settings) {
    const query = 'claudecluster.server.path';
    await vscode.commands.executeCommand('workbench.action.openSettings', query);
  } else if (chosen === logs) {
    await vscode.commands.executeCommand(client.logs);
  }
}
