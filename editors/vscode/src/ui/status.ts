// The entry in the status bar, and the one beside the language: whether the server runs, what goes on.

import * as vscode from 'vscode';

import type { Status } from '../client';
import { client } from '../ids';
import { isActive, isUndecided, type Store } from '../model/store';
import { joined, money } from '../model/words';

const { t } = vscode.l10n;

/** Both entries. */
export class StatusItems implements vscode.Disposable {
  readonly #item = vscode.window.createStatusBarItem(
    'claudecluster.status',
    vscode.StatusBarAlignment.Left,
    10,
  );
  readonly #language = vscode.languages.createLanguageStatusItem('claudecluster.server', [
    { scheme: 'file' },
    { scheme: 'untitled' },
  ]);
  readonly #store: Store;
  readonly #questions: () => number;
  #status: Status = { kind: 'stopped' };

  constructor(store: Store, questions: () => number) {
    this.#store = store;
    this.#questions = questions;
    this.#item.name = 'ClaudeCluster';
    this.#language.name = 'ClaudeCluster';
    this.#language.command = { command: client.restart, title: t('Restart') };
    this.draw();
    this.#item.show();
  }

  dispose(): void {
    this.#item.dispose();
    this.#language.dispose();
  }

  set(status: Status): void {
    this.#status = status;
    this.draw();
  }

  draw(): void {
    const goals = this.#store.goals.map(({ summary }) => summary);
    const active = goals.filter(isActive);
    const undecided = goals.filter(isUndecided).length;
    const questions = this.#questions();
    const cost = active.reduce((sum, goal) => sum + goal.costUsd, 0);
    const trouble = this.#status.kind === 'trouble';
    const icon = trouble
      ? '$(warning)'
      : this.#status.kind === 'starting'
        ? '$(loading~spin)'
        : active.length > 0
          ? '$(sync~spin)'
          : '$(type-hierarchy)';
    const count = active.length > 0 ? String(active.length) : '';
    const waiting = questions > 0 ? `$(shield) ${questions}` : '';
    const changes = undecided > 0 ? `$(git-pull-request) ${undecided}` : '';
    this.#item.text = `${icon} ${joined(['ClaudeCluster', count, money(cost), waiting, changes])}`;
    this.#item.command = trouble ? client.doctor : client.goals;
    this.#item.tooltip = joined([
      statusWords(this.#status),
      t('{0} running', active.length),
      undecided > 0 ? t('{0} with changes to review', undecided) : '',
      questions > 0 ? t('{0} permission requests', questions) : '',
    ]);
    this.#item.backgroundColor = trouble
      ? new vscode.ThemeColor('statusBarItem.errorBackground')
      : questions > 0
        ? new vscode.ThemeColor('statusBarItem.warningBackground')
        : undefined;
    this.#language.text = statusWords(this.#status);
    this.#language.detail = active.length > 0 ? t('{0} running', active.length) : '';
    this.#language.busy = active.length > 0 || this.#status.kind === 'starting';
    this.#language.severity = trouble
      ? vscode.LanguageStatusSeverity.Error
      : vscode.LanguageStatusSeverity.Information;
  }
}

function statusWords(status: Status): string {
  switch (status.kind) {
    case 'running':
      return t('ClaudeCluster {0}', status.found.version);
    case 'starting':
      return t('ClaudeCluster is starting');
    case 'stopped':
      return t('ClaudeCluster is stopped');
    case 'trouble':
      return t('ClaudeCluster cannot run');
  }
}
