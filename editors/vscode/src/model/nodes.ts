// The tree of goals as data: goal → tasks → changed files → hunks, and what waits for an answer.

import * as vscode from 'vscode';

import type {
  DecidedHunk,
  GoalId,
  HunkView,
  PermissionRequest,
  TaskId,
  TaskView,
} from '../../../../protocol/generated/protocol';
import { asOpened } from '../folders';
import { isConflict } from './hunks';
import { goalOf, isActive, isUndecided, type Known, type Store } from './store';
import {
  doingNow,
  goalState,
  goalTitle,
  hunkTitle,
  joined,
  maker,
  money,
  notes,
  span,
  taskCost,
  taskState,
  taskTime,
} from './words';

const { t } = vscode.l10n;

/** What an entry stands for: the argument of the commands in its menu. */
export type Node =
  | { readonly kind: 'permission'; readonly request: PermissionRequest }
  | { readonly kind: 'goal'; readonly goal: GoalId }
  | { readonly kind: 'task'; readonly goal: GoalId; readonly task: TaskId }
  | { readonly kind: 'file'; readonly goal: GoalId; readonly task?: TaskId; readonly uri: string }
  | { readonly kind: 'hunk'; readonly goal: GoalId; readonly hunk: string; readonly uri: string }
  | { readonly kind: 'landings'; readonly goal: GoalId }
  | { readonly kind: 'landing'; readonly goal: GoalId; readonly hunk: string; readonly n: number }
  | { readonly kind: 'earlier' };

/** How an entry looks. */
export interface Look {
  readonly id: string;
  readonly label: string;
  readonly description: string;
  readonly tooltip?: string;
  readonly icon: string;
  readonly color?: string;
  /** Words that `when` clauses look for. */
  readonly context: string;
  readonly open: 'leaf' | 'closed' | 'expanded';
  /** The file it is about, for its name and its marks. */
  readonly uri?: string;
}

/** Where entries come from. */
export interface Sources {
  readonly store: Store;
  readonly permissions: () => readonly PermissionRequest[];
  readonly now: () => number;
  /** What tells the folder of a goal from others; nothing where there are none. */
  readonly folder: (workspace: string) => string;
}

/** So many goals with nothing left to do are shown among the others. */
const RECENT = 5;
/** A file with more changes is opened by its user. */
const FEW = 10;

const GOAL_ICONS: Record<string, [string, string?]> = {
  submitted: ['circle-outline'],
  planning: ['loading~spin'],
  awaitingApproval: ['question', 'charts.yellow'],
  running: ['loading~spin'],
  merging: ['git-merge'],
  gating: ['beaker'],
  proposed: ['git-pull-request', 'charts.blue'],
  landed: ['check-all', 'charts.green'],
  rejected: ['discard'],
  failed: ['error', 'charts.red'],
  cancelled: ['circle-slash'],
};

const TASK_ICONS: Record<string, [string, string?]> = {
  waiting: ['circle-outline'],
  ready: ['circle-large-outline'],
  running: ['loading~spin', 'charts.blue'],
  succeeded: ['check', 'charts.green'],
  failed: ['error', 'charts.red'],
  skipped: ['debug-step-over'],
  cancelled: ['circle-slash'],
  paused: ['debug-pause', 'charts.yellow'],
};

/** The entries below one, or those at the top. */
export async function childrenOf(node: Node | undefined, sources: Sources): Promise<Node[]> {
  const { store } = sources;
  switch (node?.kind) {
    case undefined:
      return top(sources);
    case 'earlier':
      return split(store.goals).earlier.map(asNode);
    case 'goal':
      return belowGoal(node.goal, sources);
    case 'task':
      return filesOf(store, node.goal, node.task);
    case 'file':
      return hunksOf(store, node.goal, node.task, node.uri).map((hunk) => ({
        kind: 'hunk',
        goal: node.goal,
        hunk: hunk.id,
        uri: node.uri,
      }));
    case 'landings': {
      const view = await store.view(node.goal);
      const decided = view?.decided ?? [];
      const order = decided.map((_, n) => n).sort((a, b) => at(decided, b).at - at(decided, a).at);
      return order.map((n) => ({
        kind: 'landing',
        goal: node.goal,
        hunk: at(decided, n).id,
        n,
      }));
    }
    default:
      return [];
  }
}

function at<T>(list: readonly T[], n: number): T {
  const found = list[n];
  if (found === undefined) {
    throw new RangeError(`there is no entry ${n}`);
  }
  return found;
}

/** The entry that has this one below it. Goals are always found from the top. */
export function parentOf(node: Node, sources: Sources): Node | undefined {
  switch (node.kind) {
    case 'goal': {
      const { earlier } = split(sources.store.goals);
      return earlier.some((goal) => goal.summary.id === node.goal)
        ? { kind: 'earlier' }
        : undefined;
    }
    case 'task':
    case 'landings':
      return { kind: 'goal', goal: node.goal };
    case 'file':
      return node.task === undefined
        ? { kind: 'goal', goal: node.goal }
        : { kind: 'task', goal: node.goal, task: node.task };
    case 'hunk': {
      const task = sources.store.hunk(node.hunk)?.hunk.provenance[0]?.task;
      const file = { kind: 'file', goal: node.goal, uri: node.uri } as const;
      return task === undefined ? file : { ...file, task };
    }
    case 'landing':
      return { kind: 'landings', goal: node.goal };
    default:
      return undefined;
  }
}

function asNode(goal: Known): Node {
  return { kind: 'goal', goal: goal.summary.id };
}

/** Goals in sight, and those that are over. */
function split(goals: readonly Known[]): { shown: Known[]; earlier: Known[] } {
  const wants = (goal: Known) => isActive(goal.summary) || isUndecided(goal.summary);
  let left = RECENT;
  const shown = goals.filter((goal) => wants(goal) || left-- > 0);
  return { shown, earlier: goals.filter((goal) => !shown.includes(goal)) };
}

function top({ store, permissions }: Sources): Node[] {
  const { shown, earlier } = split(store.goals);
  return [
    ...permissions().map((request): Node => ({ kind: 'permission', request })),
    ...shown.map(asNode),
    ...(earlier.length > 0 ? [{ kind: 'earlier' } as const] : []),
  ];
}

async function belowGoal(goal: GoalId, { store }: Sources): Promise<Node[]> {
  const view = await store.view(goal);
  const tasks = view?.tasksDetail ?? [];
  const known = new Set(tasks.map((task) => task.id));
  // Of a task that is not in the plan any more, say of an older server.
  const orphans = store.documents.filter(({ hunks }) =>
    hunks.some((hunk) => goalOf(hunk) === goal && !known.has(hunk.provenance[0]?.task ?? '')),
  );
  return [
    ...tasks.map((task): Node => ({ kind: 'task', goal, task: task.id })),
    ...orphans.map(({ uri }): Node => ({ kind: 'file', goal, uri })),
    ...((view?.decided?.length ?? 0) > 0 ? [{ kind: 'landings', goal } as const] : []),
  ];
}

/** The pending hunks of a goal in a file, of one task where one is named. */
function hunksOf(store: Store, goal: GoalId, task: TaskId | undefined, uri: string): HunkView[] {
  const hunks = store.document(uri)?.hunks ?? [];
  return hunks.filter(
    (hunk) => goalOf(hunk) === goal && (task === undefined || hunk.provenance[0]?.task === task),
  );
}

function filesOf(store: Store, goal: GoalId, task: TaskId): Node[] {
  const pending = store.documents
    .filter(({ uri }) => hunksOf(store, goal, task, uri).length > 0)
    .map(({ uri }) => uri);
  const { workspace, tasksDetail } = store.goal(goal)?.view ?? {};
  const changed = tasksDetail?.find(({ id }) => id === task)?.changed ?? [];
  const others = changed
    .map((path) =>
      asOpened(vscode.Uri.joinPath(vscode.Uri.file(workspace ?? '/'), path).toString()),
    )
    .filter((uri) => !pending.includes(uri));
  return [...pending, ...others].sort().map((uri) => ({ kind: 'file', goal, task, uri }));
}

/** How an entry looks; `undefined` where what it stands for is gone. */
export function lookOf(node: Node, sources: Sources): Look | undefined {
  const { store } = sources;
  switch (node.kind) {
    case 'permission':
      return permissionLook(node.request);
    case 'earlier':
      return {
        id: 'earlier',
        label: t('Earlier'),
        description: String(split(store.goals).earlier.length),
        icon: 'history',
        context: 'earlier',
        open: 'closed',
      };
    case 'goal': {
      const known = store.goal(node.goal);
      return known && goalLook(known, sources);
    }
    case 'task': {
      const known = store.goal(node.goal);
      const task = known?.view?.tasksDetail.find(({ id }) => id === node.task);
      return task && taskLook(node.goal, task, sources);
    }
    case 'file':
      return fileLook(store, node);
    case 'hunk': {
      const found = store.hunk(node.hunk);
      return found && hunkLook(found.hunk);
    }
    case 'landings':
      return {
        id: `${node.goal}/landings`,
        label: t('History'),
        description: String(store.goal(node.goal)?.view?.decided?.length ?? 0),
        icon: 'history',
        context: 'landings',
        open: 'closed',
      };
    case 'landing': {
      const decided = store.goal(node.goal)?.view?.decided?.[node.n];
      return decided && landingLook(node.goal, node.n, decided);
    }
  }
}

function permissionLook(request: PermissionRequest): Look {
  return {
    id: `permission/${request.id}`,
    label: t('Allow {0}?', request.tool),
    description: joined([request.detail, request.taskIds.join(', ')]),
    tooltip: `${request.tool} ${request.detail}\n${request.goalId}: ${request.taskIds.join(', ')}`,
    icon: 'shield',
    color: 'charts.yellow',
    context: 'permission',
    open: 'leaf',
  };
}

function goalLook({ summary, view }: Known, { folder }: Sources): Look {
  const { state, hunks } = summary;
  const [icon, color] = GOAL_ICONS[state] ?? ['circle-outline'];
  const active = isActive(summary);
  const words = ['goal', `state:${state}`];
  if (active) {
    words.push('active');
  }
  if (isUndecided(summary)) {
    words.push('pending');
  }
  if (hunks.landed > 0) {
    words.push('landed');
  }
  if (hunks.undone > 0) {
    words.push('undone');
  }
  if (view?.tasksDetail.some((task) => task.state === 'failed' || task.state === 'cancelled')) {
    words.push('retriable');
  }
  const changes = [
    hunks.pending > 0 ? t('{0} pending', hunks.pending) : '',
    hunks.conflicts > 0 ? t('{0} in conflict', hunks.conflicts) : '',
  ];
  const tasks = summary.tasks > 0 ? `${summary.succeeded}/${summary.tasks}` : '';
  const error = summary.error;
  return {
    id: summary.id,
    label: goalTitle(summary),
    description: joined([
      folder(summary.workspace),
      goalState(state),
      tasks,
      ...changes,
      money(summary.costUsd),
    ]),
    tooltip: [
      `${summary.id}: ${summary.prompt}`,
      ...(error ? [error.message, ...(error.hint ? [error.hint] : [])] : []),
    ].join('\n\n'),
    icon,
    ...(color ? { color } : {}),
    context: words.join(' '),
    open: active || isUndecided(summary) ? 'expanded' : 'closed',
  };
}

function taskLook(goal: GoalId, task: TaskView, { store, now }: Sources): Look {
  const [icon, color] = TASK_ICONS[task.state] ?? ['circle-outline'];
  const doing = store.doing(goal, task.id);
  const files = filesOf(store, goal, task.id);
  const last = task.attempts.at(-1);
  const time = taskTime(task, now());
  const words = ['task', `state:${task.state}`];
  if (
    files.some((node) => node.kind === 'file' && hunksOf(store, goal, task.id, node.uri).length)
  ) {
    words.push('pending');
  }
  const pending = words.includes('pending');
  return {
    // The view remembers what is open by these names: a task that comes to have changes shows them.
    id: `${goal}/task/${task.id}${pending ? '/pending' : ''}`,
    label: task.title,
    description: joined([
      taskState(task.state),
      time > 0 ? span(time) : '',
      money(taskCost(task, doing)),
      task.state === 'running' ? doingNow(doing) : '',
    ]),
    tooltip: joined([task.id, task.agent, last?.stop ?? '']) + `\n\n${last?.summary ?? ''}`,
    icon,
    ...(color ? { color } : {}),
    context: words.join(' '),
    open: files.length === 0 ? 'leaf' : pending ? 'expanded' : 'closed',
  };
}

function fileLook(store: Store, node: Node & { kind: 'file' }): Look {
  const hunks = hunksOf(store, node.goal, node.task, node.uri);
  const conflicts = hunks.filter(isConflict).length;
  const uri = vscode.Uri.parse(node.uri, true);
  const name = uri.path.slice(uri.path.lastIndexOf('/') + 1);
  const relative = vscode.workspace.asRelativePath(uri);
  return {
    id: `${node.goal}/file/${node.task ?? ''}/${node.uri}`,
    label: name,
    description: joined([
      relative.slice(0, -name.length - 1),
      hunks.length > 0 ? String(hunks.length) : '',
      conflicts > 0 ? t('{0} in conflict', conflicts) : '',
    ]),
    icon: '',
    context: hunks.length > 0 ? 'file pending' : 'file',
    open: hunks.length === 0 ? 'leaf' : hunks.length > FEW ? 'closed' : 'expanded',
    uri: node.uri,
  };
}

function hunkLook(hunk: HunkView): Look {
  const conflict = isConflict(hunk);
  const apart = notes(hunk);
  return {
    id: `hunk/${hunk.id}`,
    label: hunkTitle(hunk),
    description: joined([
      hunk.whole ? '' : t('line {0}', hunk.startLine + 1),
      conflict ? t('conflict') : '',
      apart,
    ]),
    tooltip: joined([hunk.id, maker(hunk), hunk.provenance[0]?.why ?? '']),
    icon: conflict ? 'warning' : apart ? 'eye' : 'diff',
    ...(conflict ? { color: 'charts.yellow' } : {}),
    context: conflict ? 'hunk conflict' : 'hunk clean',
    open: 'leaf',
  };
}

function landingLook(goal: GoalId, n: number, decided: DecidedHunk): Look {
  const icons: Record<string, string> = {
    landed: 'check',
    resolved: 'git-merge',
    rejected: 'discard',
    undone: 'history',
  };
  const fates: Record<string, string> = {
    landed: t('applied'),
    resolved: t('resolved'),
    rejected: t('rejected'),
    undone: t('undone'),
  };
  return {
    id: `${goal}/landing/${n}`,
    label: decided.path,
    description: joined([
      fates[decided.fate] ?? decided.fate,
      new Date(decided.at).toLocaleTimeString(),
      decided.tasks.join(', '),
    ]),
    icon: icons[decided.fate] ?? 'circle-outline',
    // What was undone is pending again.
    context: decided.fate === 'undone' ? 'landing' : 'landing decided',
    open: 'leaf',
  };
}
