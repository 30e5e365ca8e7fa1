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
        'The ClaudeCluster server is not installed: there is no “claudecluster” on the search path, and neither the setting claudecluster.server.path nor {0} names one.',
        VARIABLE,
      );
    case 'notThere':
      return t(
        '{0} names {1}, which is not there or cannot be executed.',
        named(trouble.source),
        trouble.path,
      );
    case 'relative':
      return t('{0} is {1}; it has to be an absolute path.', named(trouble.source), trouble.path);
    case 'broken':
      return t('{0} is no ClaudeCluster server: {1}', trouble.path, trouble.why);
    case 'version':
      return t(
        '{0} is version {1}, and this extension needs {2}. Update the older of the two.',
        trouble.path,
        trouble.found,
        trouble.wanted,
      );
    case 'failed':
      return t('The ClaudeCluster server could not be started: {0}', trouble.why);
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
