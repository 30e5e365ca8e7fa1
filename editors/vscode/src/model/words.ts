// Words for people.

import * as vscode from 'vscode';

import type {
  AgentActivity,
  GoalState,
  GoalSummary,
  HeldReason,
  HunkView,
  TaskState,
  TaskView,
} from '../../../../protocol/generated/protocol';
import { visible } from './visible';

const { t } = vscode.l10n;

/** How far a goal has come. */
export function goalState(state: GoalState): string {
  // A newer server may have states this client has no word for.
  const words: Record<string, string> = {
    submitted: t('submitted'),
    planning: t('planning'),
    awaitingApproval: t('plan waiting for approval'),
    running: t('running'),
    merging: t('merging'),
    gating: t('running gates'),
    proposed: t('proposed'),
    landed: t('applied'),
    rejected: t('rejected'),
    failed: t('failed'),
    cancelled: t('cancelled'),
  };
  return words[state] ?? state;
}

/** How far a task has come. */
export function taskState(state: TaskState): string {
  const words: Record<string, string> = {
    waiting: t('waiting'),
    ready: t('ready'),
    running: t('running'),
    succeeded: t('done'),
    failed: t('failed'),
    skipped: t('skipped'),
    cancelled: t('cancelled'),
    paused: t('waiting for you'),
  };
  return words[state] ?? state;
}

/** Why a change is kept apart, and which program runs its file. */
export function notes(hunk: HunkView): string {
  return joined([held(hunk.held), hunk.runs ?? '']);
}

/** Why a change is kept apart. */
export function held(reasons: readonly HeldReason[] | undefined): string {
  const words: Record<string, string> = {
    outOfScope: t("outside the goal's scope"),
    selfArming: t('can make tools run code'),
    partial: t('its task did not succeed'),
    gateFailed: t('a gate failed'),
    listed: t('listed in review.hold'),
    secret: t('adds what looks like a secret'),
  };
  return (reasons ?? []).map((reason) => words[reason] ?? reason).join(', ');
}

/** What a hunk does, in a few words. */
export function hunkTitle(hunk: HunkView): string {
  if (hunk.whole) {
    const words: Record<string, string> = {
      create: t('create the file'),
      delete: t('delete the file'),
      rename: t('rename from {0}', hunk.from ?? '?'),
      mode: t('change the mode'),
      modify: t('replace the file'),
    };
    return words[hunk.kind] ?? hunk.kind;
  }
  const first = (hunk.newText.trim() || hunk.oldText.trim()).split('\n', 1)[0] ?? '';
  const sign = hunk.newText === '' ? '−' : hunk.oldText === '' ? '+' : '~';
  return `${sign} ${shorten(first.trim(), 60)}`;
}

/** Who made a hunk. */
export function maker(hunk: HunkView): string {
  return visible(hunk.provenance[0]?.title ?? t('a task'));
}

/** The first line of a goal's words. */
export function goalTitle(goal: Pick<GoalSummary, 'id' | 'prompt'>): string {
  const first = goal.prompt.trim().split('\n', 1)[0] ?? '';
  return first === '' ? goal.id : shorten(first, 80);
}

/** A text that fits; what is cut is hinted at. */
export function shorten(text: string, most: number): string {
  const shown = visible(text);
  const letters = [...shown];
  return letters.length <= most ? shown : `${letters.slice(0, most - 1).join('')}…`;
}

/** Words as a message shows them, which makes links of some. What a worker says must not become a command. */
export function plain(text: string): string {
  return text.split('\n').map(visible).join('\n').replaceAll('](', '] (');
}

/** `$0.12`; nothing where nothing was spent. */
export function money(usd: number): string {
  return usd === 0 ? '' : `$${usd.toFixed(2)}`;
}

/** `45s`, `3m 20s`, `1h 05m`. */
export function span(milliseconds: number): string {
  const seconds = Math.max(0, Math.round(milliseconds / 1000));
  const two = (n: number) => String(n).padStart(2, '0');
  if (seconds < 60) {
    return `${seconds}s`;
  }
  if (seconds < 3600) {
    return `${Math.floor(seconds / 60)}m ${two(seconds % 60)}s`;
  }
  return `${Math.floor(seconds / 3600)}h ${two(Math.floor((seconds % 3600) / 60))}m`;
}

/** What a task has cost in all its attempts, and the running one as far as it was told. */
export function taskCost(task: TaskView, doing: AgentActivity | undefined): number {
  const ended = task.attempts.reduce((sum, attempt) => sum + attempt.usage.costUsd, 0);
  const running = doing?.kind === 'spent' && task.state === 'running' ? doing.usage.costUsd : 0;
  return ended + running;
}

/** How long a task's attempts took, in milliseconds. */
export function taskTime(task: TaskView, now: number): number {
  return task.attempts.reduce((sum, { startedAt, endedAt }) => {
    const end = endedAt ?? (task.state === 'running' ? now : startedAt);
    return sum + (end - startedAt);
  }, 0);
}

/** What a worker is doing, in a line. */
export function doingNow(doing: AgentActivity | undefined): string {
  switch (doing?.kind) {
    case 'tool':
      return shorten(`${doing.name} ${doing.detail}`.trim(), 60);
    case 'text':
      return shorten(doing.text.trim().split('\n', 1)[0] ?? '', 60);
    case 'rateLimited':
      return t('waiting for the provider');
    case 'denied':
      return t('denied: {0}', shorten(doing.what, 50));
    default:
      return '';
  }
}

/** Parts with a separator; empty ones are left out. */
export function joined(parts: readonly (string | undefined)[]): string {
  return parts.filter((part) => part).join(' · ');
}
