// The parts of the extension that commands work with.

import * as vscode from 'vscode';

import type { GoalId } from '../../../protocol/generated/protocol';
import type { Server } from './client';
import { folderName } from './folders';
import { isActive, isUndecided, type Known, type Store } from './model/store';
import type { Node } from './model/nodes';
import { goalState, goalTitle, joined } from './model/words';
import type { Diffs } from './ui/diff';
import type { Permissions } from './ui/permissions';
import type { Plans } from './ui/plan';
import type { History } from './ui/prompt';
import type { Review } from './ui/review';
import type { GoalsView } from './ui/tree';

const { t } = vscode.l10n;

/** Commands by their names. Each takes what the entry of a menu stands for, or nothing. */
export type Commands = Record<string, (arg: never) => unknown>;

/** The parts. */
export interface App {
  readonly server: Server;
  readonly store: Store;
  readonly view: GoalsView;
  readonly review: Review;
  readonly diffs: Diffs;
  readonly plans: Plans;
  readonly permissions: Permissions;
  readonly history: History;
  readonly log: vscode.LogOutputChannel;
}

/** Which goals a command is for. */
export const wants = {
  active: ({ summary }: Known) => isActive(summary),
  undecided: ({ summary }: Known) => isUndecided(summary),
  awaiting: ({ summary }: Known) => summary.state === 'awaitingApproval',
  landed: ({ summary }: Known) => summary.hunks.landed > 0,
  undone: ({ summary }: Known) => summary.hunks.undone > 0,
  any: () => true,
} as const;

/** The goal a command was called for, else the one that fits, else the one the user chooses. */
export async function goalFor(
  app: App,
  node: Node | undefined,
  fits: (goal: Known) => boolean,
): Promise<GoalId | undefined> {
  if (node && 'goal' in node) {
    return node.goal;
  }
  const found = app.store.goals.filter(fits);
  if (found.length === 0) {
    void vscode.window.showInformationMessage(t('No goal supports this command right now.'));
    return undefined;
  }
  if (found.length === 1) {
    return found[0]?.summary.id;
  }
  const items = found.map(({ summary }) => ({
    label: `${summary.id}: ${goalTitle(summary)}`,
    description: joined([folderName(summary.workspace), goalState(summary.state)]),
    goal: summary.id,
  }));
  return (await vscode.window.showQuickPick(items, { matchOnDescription: true }))?.goal;
}

/** Whether agents may work here. They run programs of the workspace. */
export async function isTrusted(): Promise<boolean> {
  if (vscode.workspace.isTrusted) {
    return true;
  }
  const manage = t('Manage Workspace Trust');
  const chosen = await vscode.window.showWarningMessage(
    t('Agents run code from the workspace. Trust this workspace to start goals.'),
    manage,
  );
  if (chosen === manage) {
    await vscode.commands.executeCommand('workbench.trust.manage');
  }
  return false;
}
