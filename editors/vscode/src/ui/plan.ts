// The plan of a goal as a picture, in a web view of its own.

import * as vscode from 'vscode';

import type { GoalId, GoalView, TaskView } from '../../../../protocol/generated/protocol';
import { client } from '../ids';
import { layOut } from '../model/layout';
import { isActive, isUndecided, type Store } from '../model/store';
import {
  doingNow,
  goalState,
  goalTitle,
  joined,
  money,
  span,
  taskCost,
  taskState,
  taskTime,
} from '../model/words';
import type { Action, ActionName, Picture, PictureTask, Said } from '../webview/picture';

const { t } = vscode.l10n;

/** The picture of a goal as far as it has come. */
export function pictureOf(goal: GoalView, store: Store, now: number): Picture {
  const cells = layOut(goal.tasksDetail);
  const tasks = goal.tasksDetail.map((task): PictureTask => {
    const spec = goal.plan?.tasks.find(({ id }) => id === task.id);
    const doing = store.doing(goal.id, task.id);
    const time = taskTime(task, now);
    const run = Array.isArray(spec?.run) ? spec.run.join(' ') : (spec?.run ?? '');
    return {
      id: task.id,
      title: task.title,
      state: task.state,
      stateWords: taskState(task.state),
      detail: joined([
        time > 0 ? span(time) : '',
        money(taskCost(task, doing)),
        task.state === 'running' ? doingNow(doing) : '',
      ]),
      instructions: spec?.instructions || run,
      ...(cells.get(task.id) ?? { column: 0, row: 0 }),
      dependsOn: task.dependsOn,
      actions: taskActions(goal, task),
    };
  });
  return {
    goal: goal.id,
    title: `${goal.id}: ${goalTitle(goal)}`,
    state: joined([goalState(goal.state), money(goal.costUsd), goal.error?.message]),
    empty: t('This goal has no plan yet.'),
    tasks,
    actions: goalActions(goal),
  };
}

function goalActions(goal: GoalView): Action[] {
  const actions: Action[] = [];
  if (goal.state === 'awaitingApproval') {
    actions.push({ name: 'approve', title: t('Approve Plan') });
  }
  if (isUndecided(goal)) {
    actions.push({ name: 'changes', title: t('Show Changes') });
    actions.push({ name: 'accept', title: t('Accept All') });
  }
  if (goal.plan && goal.state === 'awaitingApproval') {
    actions.push({ name: 'edit', title: t('Edit Plan') });
  }
  if (isActive(goal)) {
    actions.push({ name: 'cancel', title: t('Cancel') });
  }
  return actions;
}

function taskActions(goal: GoalView, { state, changed, attempts }: TaskView): Action[] {
  const actions: Action[] = [];
  if (state === 'paused') {
    actions.push({ name: 'approve', title: t('Start Task') });
  }
  if (state === 'failed' || state === 'cancelled') {
    actions.push({ name: 'retry', title: t('Retry') });
  }
  if (state === 'succeeded' && changed.length > 0 && isUndecided(goal)) {
    actions.push({ name: 'accept', title: t('Accept Its Changes') });
  }
  if (attempts.length > 0) {
    actions.push({ name: 'log', title: t('Show Log') });
  }
  return actions;
}

/** The web views that are open, at most one a goal. */
export class Plans implements vscode.Disposable {
  readonly #panels = new Map<GoalId, vscode.WebviewPanel>();

  constructor(
    readonly store: Store,
    readonly extension: vscode.Uri,
  ) {}

  dispose(): void {
    for (const panel of this.#panels.values()) {
      panel.dispose();
    }
  }

  /** Shows a goal's plan. */
  async show(goal: GoalId): Promise<void> {
    const open = this.#panels.get(goal);
    if (open) {
      open.reveal();
      return;
    }
    await this.store.view(goal);
    const media = vscode.Uri.joinPath(this.extension, 'media');
    const dist = vscode.Uri.joinPath(this.extension, 'dist');
    const title = t('Plan of {0}', goal);
    const panel = vscode.window.createWebviewPanel(
      'claudecluster.plan',
      title,
      vscode.ViewColumn.Beside,
      { enableScripts: true, localResourceRoots: [media, dist] },
    );
    panel.iconPath = vscode.Uri.joinPath(media, 'cluster.svg');
    this.#panels.set(goal, panel);
    panel.onDidDispose(() => this.#panels.delete(goal));
    panel.onDidChangeViewState(() => this.#send(goal));
    panel.webview.onDidReceiveMessage((said: Said) => this.#heard(goal, said));
    panel.webview.html = html(panel.webview, media, dist);
  }

  /** Draws again what is in sight. */
  refresh(): void {
    for (const goal of this.#panels.keys()) {
      this.#send(goal);
    }
  }

  #send(goal: GoalId): void {
    const panel = this.#panels.get(goal);
    const view = this.store.goal(goal)?.view;
    if (panel?.visible && view) {
      void panel.webview.postMessage(pictureOf(view, this.store, Date.now()));
    }
  }

  #heard(goal: GoalId, said: Said): void {
    if (said.said === 'ready') {
      this.#send(goal);
      return;
    }
    const { action, task } = said;
    const node = task === undefined ? { kind: 'goal', goal } : { kind: 'task', goal, task };
    const commands: Record<ActionName, string> = {
      approve: client.approvePlan,
      edit: client.editPlan,
      cancel: client.cancel,
      retry: client.retry,
      changes: client.showChanges,
      accept: task === undefined ? client.acceptGoal : client.acceptTask,
      log: client.taskLog,
    };
    void vscode.commands.executeCommand(commands[action], node);
  }
}

function html(webview: vscode.Webview, media: vscode.Uri, dist: vscode.Uri): string {
  const script = webview.asWebviewUri(vscode.Uri.joinPath(dist, 'plan.js'));
  const style = webview.asWebviewUri(vscode.Uri.joinPath(media, 'plan.css'));
  const source = webview.cspSource;
  const policy = `default-src 'none'; script-src ${source}; style-src ${source};`;
  return `<!DOCTYPE html>
<html lang="${vscode.env.language}">
  <head>
    <meta charset="utf-8">
    <meta http-equiv="Content-Security-Policy" content="${policy}">
    <link rel="stylesheet" href="${style.toString()}">
    <title>ClaudeCluster</title>
  </head>
  <body><script src="${script.toString()}"></script></body>
</html>`;
}
