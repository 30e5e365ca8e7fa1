// Tells the user what wants a decision. The server leaves it to clients that follow events.

import * as vscode from 'vscode';

import type { GoalId, StreamItem } from '../../../../protocol/generated/protocol';
import { client } from '../ids';
import type { Store } from '../model/store';
import { goalTitle } from '../model/words';

const { t } = vscode.l10n;

interface Offer {
  readonly title: string;
  readonly command: string;
}

/** Shows a message with what can be done, and does what is chosen. */
async function offer(
  show: (message: string, ...titles: string[]) => Thenable<string | undefined>,
  message: string,
  goal: GoalId,
  offers: readonly Offer[],
): Promise<void> {
  const chosen = await show(message, ...offers.map(({ title }) => title));
  const found = offers.find(({ title }) => title === chosen);
  if (found) {
    await vscode.commands.executeCommand(found.command, { kind: 'goal', goal });
  }
}

/** Tells what an event means for the user. */
export async function announce(item: StreamItem, store: Store): Promise<void> {
  if ('kind' in item) {
    return;
  }
  const goal = item.goalId;
  if (item.type === 'amended') {
    const view = await store.view(goal);
    const task = view?.tasksDetail.find(({ id }) => id === item.taskId);
    const summary = task?.attempts.at(-1)?.summary ?? '';
    const message = t('{0}: {1} is done. {2}', goal, task?.title ?? item.taskId, summary);
    return offer(vscode.window.showInformationMessage, message, goal, [
      { title: t('Show Changes'), command: client.showChanges },
    ]);
  }
  if (item.type !== 'goalChanged') {
    return;
  }
  const known = store.goal(goal)?.summary;
  const name = known ? `${goal} (${goalTitle(known)})` : goal;
  switch (item.state) {
    case 'awaitingApproval':
      return offer(
        vscode.window.showInformationMessage,
        t('{0}: the plan waits for your approval.', name),
        goal,
        [
          { title: t('Approve Plan'), command: client.approvePlan },
          { title: t('Show Plan'), command: client.showPlan },
          { title: t('Cancel'), command: client.cancel },
        ],
      );
    case 'proposed':
      return offer(vscode.window.showInformationMessage, t('{0} proposes changes.', name), goal, [
        { title: t('Show Changes'), command: client.showChanges },
        { title: t('Accept All'), command: client.acceptGoal },
      ]);
    case 'failed': {
      const error = item.error;
      const why = error ? [error.message, error.hint].filter(Boolean).join('. ') : '';
      return offer(vscode.window.showErrorMessage, t('{0} failed: {1}', name, why), goal, [
        { title: t('Retry'), command: client.retry },
        { title: t('Show Logs'), command: client.logs },
      ]);
    }
    default:
      return undefined;
  }
}
