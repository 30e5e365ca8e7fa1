// What a conflict can become, as it is offered.

import * as vscode from 'vscode';

import type { GoalView, HunkView, Resolution } from '../../../../protocol/generated/protocol';
import { linesOf } from './hunks';
import { hunkTitle, maker } from './words';

const { t } = vscode.l10n;

/** One way to resolve a conflict. */
export interface Way {
  readonly label: string;
  /** What is there afterwards. */
  readonly detail: string;
  readonly resolution: Resolution;
}

/** Whose texts a conflict is between. */
export function between(hunk: HunkView): string {
  const other = hunk.mineBy?.[0]?.title;
  return other === undefined
    ? t('Conflict between you and {0}', maker(hunk))
    : t('Conflict between {0} and {1}', other, maker(hunk));
}

/** A text in one line. */
function shown(text: string): string {
  const [first, ...more] = linesOf(text);
  if (first === undefined) {
    return t('remove these lines');
  }
  return first.trim() + (more.length > 0 ? ` … +${more.length}` : '');
}

/** The ways there are: `goal` is the hunk's, as far as it is known. */
export function ways(hunk: HunkView, goal: GoalView | undefined): Way[] {
  const { conflict, merged, whole } = hunk;
  const found: Way[] = [];
  const way = (label: string, detail: string, kind: Exclude<Resolution['kind'], 'text'>) =>
    found.push({ label, detail, resolution: { kind } });
  if (merged != null) {
    way(t('Merged'), shown(merged), 'merged');
  }
  if (whole) {
    way(t('Mine'), t('keep the file as it is'), 'mine');
    way(t('Theirs'), hunkTitle(hunk), 'theirs');
    return found;
  }
  way(t('Mine'), shown(conflict?.mine ?? ''), 'mine');
  way(t('Theirs'), shown(conflict?.theirs ?? ''), 'theirs');
  way(t('Both'), t('mine, then theirs'), 'both');
  way(t('Conflict Markers'), t('write both sides into the file, between markers'), 'markers');
  // What a program has made no agent can make anew.
  const by = hunk.provenance[0]?.task;
  const task = goal?.tasksDetail.find(({ id }) => id === by);
  if (task && task.agent !== 'command') {
    way(t('Request a Repair…'), t('start a repair task that combines both sides'), 'repair');
  }
  return found;
}
