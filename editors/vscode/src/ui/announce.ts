// Tells the user what wants a decision. The server leaves it to clients that follow events.

import * as vscode from 'vscode';

import type { GoalId, StreamItem } from '../../../../protocol/generated/protocol';
import { ServerError } from '../client';
import { client } from '../ids';
import type { Store } from '../model/store';
import { goalState, goalTitle, plain } from '../model/words';

const { t } = vscode.l10n;

interface Offer {
  readonly title: string;
  readonly command: string;
  /** The event it answers, where it decides something: it does nothing once another one has come. */
  readonly seq?: number;
}

/** Tells the user what events mean for them. */
export class Announcer {
  /** The event that each goal's state is from. */
  readonly #latest = new Map<GoalId, number>();

  constructor(readonly store: Store) {}

  async onEvent(item: StreamItem): Promise<void> {
    if ('kind' in item) {
      return;
    }
    const goal = item.goalId;
    if (item.type === 'amended') {
      const view = await this.store.fresh(goal);
      const task = view?.tasksDetail.find(({ id }) => id === item.taskId);
      const summary = task?.attempts.at(-1)?.summary ?? '';
      const message = t('{0}: {1} finished. {2}', goal, task?.title ?? item.taskId, summary);
      return this.#offer(vscode.window.showInformationMessage, message, goal, [
        { title: t('Show Changes'), command: client.showChanges },
      ]);
    }
    if (item.type !== 'goalChanged') {
      return;
    }
    this.#latest.set(goal, item.seq);
    const known = this.store.goal(goal)?.summary;
    const name = known ? `${goal} (${goalTitle(known)})` : goal;
    const deciding = { seq: item.seq };
    switch (item.state) {
      case 'awaitingApproval':
        return this.#offer(
          vscode.window.showInformationMessage,
          t('{0}: the plan is waiting for your approval.', name),
          goal,
          [
            { title: t('Approve Plan'), command: client.approvePlan, ...deciding },
            { title: t('Show Plan'), command: client.showPlan },
            { title: t('Cancel'), command: client.cancel, ...deciding },
          ],
        );
      case 'proposed':
        return this.#offer(
          vscode.window.showInformationMessage,
          t('{0} proposes changes.', name),
          goal,
          [
            { title: t('Show Changes'), command: client.showChanges },
            { title: t('Accept All'), command: client.acceptGoal, ...deciding },
          ],
        );
      case 'failed': {
        const why = item.error ? new ServerError(item.error).sentence : '';
        return this.#offer(vscode.window.showErrorMessage, t('{0} failed: {1}', name, why), goal, [
          { title: t('Retry'), command: client.retry, ...deciding },
          { title: t('Show Logs'), command: client.logs },
        ]);
      }
      default:
        return undefined;
    }
  }

  /** Shows a message with what can be done, and does what is chosen. */
  async #offer(
    show: (message: string, ...titles: string[]) => Thenable<string | undefined>,
    message: string,
    goal: GoalId,
    offers: readonly Offer[],
  ): Promise<void> {
    const chosen = await show(plain(message), ...offers.map(({ title }) => title));
    const found = offers.find(({ title }) => title === chosen);
    if (!found) {
      return;
    }
    // Editors take no message back. What it asked may have been answered elsewhere by the time it is.
    if (found.seq !== undefined && found.seq !== this.#latest.get(goal)) {
      const state = this.store.goal(goal)?.summary.state;
      const now = state === undefined ? '' : goalState(state);
      void vscode.window.showInformationMessage(
        t('This was already decided; nothing was changed. {0}: {1}.', goal, now),
      );
      return;
    }
    await vscode.commands.executeCommand(found.command, { kind: 'goal', goal });
  }
}
