// Questions of workers: a notification each, and an entry in the view until they are answered.

import * as vscode from 'vscode';

import type {
  PermissionAnswer,
  PermissionRequest,
  StreamItem,
} from '../../../../protocol/generated/protocol';
import type { Server } from '../client';
import { Inbox, isAboutHost } from '../permission';
import type { Store } from '../model/store';
import { plain, shorten } from '../model/words';
import { command } from '../wire';
import { telling } from './errors';

const { t } = vscode.l10n;

/** What the user says. */
type Said = Omit<PermissionAnswer, 'requestId'>;

type Choice = vscode.QuickPickItem & {
  readonly short?: string;
  readonly answer?: Said;
  readonly why?: true;
};

/** What can be answered; those with a short form are buttons of the notification. */
function choices(request: PermissionRequest): Choice[] {
  const isHost = isAboutHost(request);
  return [
    { label: t('Allow Once'), short: t('Once'), answer: { decision: 'allow', scope: 'once' } },
    {
      label: t('Allow for This Task'),
      ...(isHost ? {} : { short: t('For Task') }),
      answer: { decision: 'allow', scope: 'task' },
    },
    {
      label: t('Allow for This Goal'),
      short: t('For Goal'),
      answer: { decision: 'allow', scope: 'goal' },
    },
    ...(isHost ? [always()] : []),
    { label: t('Deny'), short: t('Deny'), answer: { decision: 'deny', scope: 'once' } },
    { label: t('Deny with a Reason…'), why: true },
  ];
}

/** The answer that the user's configuration keeps. */
function always(): Choice {
  return {
    label: t('Always Allow This Host'),
    short: t('Always'),
    answer: { decision: 'allow', scope: 'always' },
  };
}

/** Asks the user, and tells the server what they say. */
export class Permissions {
  readonly inbox = new Inbox();

  constructor(
    readonly server: Server,
    readonly store: Store,
    readonly changed: () => void,
  ) {}

  /** Looks what is open: after a start of the server. */
  async load(): Promise<void> {
    const open = await this.server.command<PermissionRequest[]>(command.permissions, {});
    // Others are of folders that are open in other windows.
    this.inbox.replace(open.filter(({ goalId }) => this.store.goal(goalId)));
    this.changed();
  }

  /** Takes what the server tells; what is not about permissions is left alone. */
  onEvent(event: StreamItem): void {
    if ('kind' in event) {
      return;
    }
    if (event.type === 'permissionAsked') {
      const { request } = event;
      if (this.inbox.add(request)) {
        void telling(() => this.#notify(request));
      }
      this.changed();
    } else if (event.type === 'permissionAnswered' || event.type === 'permissionWithdrawn') {
      this.inbox.remove(event.requestId);
      this.changed();
    }
  }

  /** Asks about one question, or lets the user choose which where several are open. */
  async ask(request?: PermissionRequest): Promise<void> {
    const chosen = request ?? (await this.#choose());
    if (!chosen) {
      return;
    }
    const choice = await vscode.window.showQuickPick(choices(chosen), {
      title: question(chosen),
      placeHolder: chosen.detail,
    });
    await this.#answer(chosen, choice);
  }

  async #choose(): Promise<PermissionRequest | undefined> {
    const open = this.inbox.all;
    if (open.length === 0) {
      void vscode.window.showInformationMessage(t('No open permission requests.'));
      return undefined;
    }
    if (open.length === 1) {
      return open[0];
    }
    const items = open.map((request) => ({
      label: `$(shield) ${request.tool}`,
      description: request.taskIds.join(', '),
      detail: request.detail,
      request,
    }));
    return (await vscode.window.showQuickPick(items))?.request;
  }

  async #notify(request: PermissionRequest): Promise<void> {
    const offered = choices(request).filter(({ short }) => short !== undefined);
    const later = t('Later');
    const titles = [...offered.flatMap(({ short }) => short ?? []), later];
    const message = `${question(request)}  ${shorten(request.detail, 200)}`;
    const title = await vscode.window.showWarningMessage(plain(message), ...titles);
    await this.#answer(
      request,
      offered.find(({ short }) => short === title && title !== undefined),
    );
  }

  async #answer(request: PermissionRequest, choice: Choice | undefined): Promise<void> {
    if (!choice) {
      return;
    }
    let answer = choice.answer;
    if (choice.why) {
      const reason = await vscode.window.showInputBox({ prompt: t('Reason for denying') });
      if (reason === undefined) {
        return;
      }
      answer = { decision: 'deny', scope: 'once', ...(reason.trim() === '' ? {} : { reason }) };
    }
    if (!this.inbox.has(request.id)) {
      void vscode.window.showInformationMessage(t('This request was already answered.'));
      return;
    }
    await telling(() =>
      this.server.command<null>(command.answer, { requestId: request.id, ...answer }),
    );
  }
}

function question(request: PermissionRequest): string {
  const { goalId, taskIds, tool } = request;
  if (isAboutHost(request)) {
    return hostQuestion(goalId, taskIds);
  }
  if (taskIds.length === 0) {
    return t('{0}: the planner requests to use {1}.', goalId, tool);
  }
  return taskIds.length === 1
    ? t('{0}: task {1} requests to use {2}.', goalId, taskIds[0] ?? '', tool)
    : t('{0}: {1} tasks request to use {2}.', goalId, taskIds.length, tool);
}

function hostQuestion(goalId: string, taskIds: readonly string[]): string {
  if (taskIds.length === 0) {
    return t('{0}: the planner requests to reach this host.', goalId);
  }
  return taskIds.length === 1
    ? t('{0}: task {1} requests to reach this host.', goalId, taskIds[0] ?? '')
    : t('{0}: {1} tasks request to reach this host.', goalId, taskIds.length);
}
