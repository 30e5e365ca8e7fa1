import assert from 'node:assert/strict';
import { test } from 'node:test';

import type {
  DocumentChanges,
  GoalSummary,
  GoalView,
  HunkView,
  PermissionRequest,
  StreamItem,
  TaskView,
} from '../../../protocol/generated/protocol';
import { claimsOf } from '../src/model/claims';
import { Coalesced } from '../src/model/coalesced';
import { Drawn } from '../src/model/drawn';
import { childrenOf, lookOf, parentOf, type Node } from '../src/model/nodes';
import { Store, type Backend } from '../src/model/store';
import { Inbox } from '../src/permission';
import { hunk } from './fixtures';

const usage = (costUsd: number) => ({
  inputTokens: 0,
  outputTokens: 0,
  cacheReadTokens: 0,
  cacheWriteTokens: 0,
  costUsd,
  turns: 1,
});

function task(id: string, more: Partial<TaskView> = {}): TaskView {
  return {
    id,
    title: `Task ${id}`,
    state: 'waiting',
    dependsOn: [],
    agent: 'claude-code',
    attempts: [],
    changed: [],
    ...more,
  };
}

function goal(id: string, more: Partial<GoalView> = {}): GoalView {
  return {
    id,
    workspace: '/project',
    prompt: `words of ${id}`,
    state: 'running',
    tasks: 2,
    succeeded: 1,
    running: 1,
    hunks: { pending: 0, landed: 0, rejected: 0, conflicts: 0, undone: 0 },
    costUsd: 0.125,
    submittedAt: Number(id.slice(1)),
    permissionsWaiting: 0,
    paused: 0,
    updatedAt: 0,
    spec: { workspace: '/project', scope: { kind: 'open' } },
    tasksDetail: [],
    gates: [],
    ...more,
  };
}

/** A hunk of `a.py` by a task. */
function hunkBy(task: string, id: string, more: Partial<HunkView> = {}): HunkView {
  const provenance = [{ task, title: `Task ${task}`, attempt: 1 }];
  return hunk({ id, path: 'a.py', oldText: 'x\n', newText: 'y\n', provenance, ...more });
}

/** A server whose answers are what is put here. */
class Fake implements Backend {
  all: GoalView[] = [];
  documents: DocumentChanges[] = [];
  readonly asked: string[] = [];

  goals(): Promise<GoalSummary[]> {
    this.asked.push('goals');
    return Promise.resolve(this.all);
  }

  goal(id: string): Promise<GoalView> {
    this.asked.push(id);
    const found = this.all.find((goal) => goal.id === id);
    return found ? Promise.resolve(found) : Promise.reject(new Error(`no ${id}`));
  }

  changes(): Promise<DocumentChanges[]> {
    this.asked.push('changes');
    return Promise.resolve(this.documents);
  }
}

function world(folder = '') {
  const fake = new Fake();
  const failed: unknown[] = [];
  const store = new Store(
    fake,
    (workspace) => workspace === '/project',
    (error) => failed.push(error),
  );
  const inbox = new Inbox();
  const sources = {
    store,
    permissions: () => inbox.all,
    now: () => 65_000,
    folder: () => folder,
  };
  /** The view, an entry a line. */
  const draw = async (node?: Node, depth = 0): Promise<string[]> => {
    const lines: string[] = [];
    for (const child of await childrenOf(node, sources)) {
      const look = lookOf(child, sources);
      assert.ok(look, JSON.stringify(child));
      const parent = parentOf(child, sources);
      assert.deepEqual(parent, node, `the parent of ${look.id}`);
      lines.push(`${'  '.repeat(depth)}${look.label} | ${look.description} | ${look.context}`);
      lines.push(...(await draw(child, depth + 1)));
    }
    return lines;
  };
  return { fake, store, inbox, sources, draw, failed };
}

const settle = () => new Promise((done) => setImmediate(done));

test('the view, from goals to hunks', async () => {
  const { fake, store, inbox, draw } = world();
  const started = { id: 1, startedAt: 5_000, usage: usage(0.5) };
  fake.all = [
    goal('g1', {
      state: 'landed',
      running: 0,
      hunks: { pending: 0, landed: 1, rejected: 0, conflicts: 0, undone: 0 },
      tasksDetail: [task('a', { state: 'succeeded', changed: ['a.py'] })],
      decided: [{ id: 'g1.1', path: 'a.py', fate: 'rejected', tasks: ['a'], at: 0 }],
    }),
    goal('g2', {
      hunks: { pending: 1, landed: 0, rejected: 0, conflicts: 1, undone: 0 },
      tasksDetail: [
        task('a', { state: 'succeeded', changed: ['a.py', 'b.py'] }),
        task('b', { state: 'running', attempts: [started] }),
        task('c', { state: 'failed' }),
      ],
    }),
    goal('g3', { workspace: '/elsewhere' }),
  ];
  const conflict = hunkBy('a', 'g2.2', { status: 'conflict', held: ['outOfScope'] });
  const hunks = [hunkBy('a', 'g2.1'), conflict];
  fake.documents = [{ uri: 'file:///project/a.py', version: 3, hunks }];
  await store.load();
  inbox.add(question('q1', ['a', 'b']));
  store.onEvent({ kind: 'tool', goalId: 'g2', taskId: 'b', name: 'Bash', detail: 'make' });
  const time = new Date(0).toLocaleTimeString();
  assert.deepEqual(await draw(), [
    'Allow Bash? | rm x · a, b | permission',
    'words of g2 | running · 1/2 · 1 pending · 1 in conflict · $0.13 | goal state:running active pending retriable',
    '  Task a | done | task state:succeeded pending',
    '    a.py | 2 · 1 in conflict | file pending',
    '      ~ y | line 2 | hunk clean',
    "      ~ y | line 2 · conflict · outside the goal's scope | hunk conflict",
    '    b.py |  | file',
    '  Task b | running · 1m 00s · $0.50 · Bash make | task state:running',
    '  Task c | failed | task state:failed',
    'words of g1 | applied · 1/2 · $0.13 | goal state:landed landed',
    '  Task a | done | task state:succeeded',
    '    a.py |  | file',
    '  History | 1 | landings',
    `    a.py | rejected · ${time} · a | landing decided`,
  ]);
});

// What is drawn anew takes the buttons in all rows below it away for a moment.
test('only what has changed is drawn again', async () => {
  const { fake, store, inbox, sources } = world();
  const uri = 'file:///project/a.py';
  const started = { id: 1, startedAt: 5_000, usage: usage(0.5) };
  const running = task('b', { state: 'running', attempts: [started] });
  const view = goal('g1', {
    tasksDetail: [task('a', { state: 'succeeded', changed: ['a.py'] }), running],
    decided: [{ id: 'g1.9', path: 'a.py', fate: 'rejected', tasks: ['a'], at: 0 }],
  });
  fake.all = [view];
  const hunks = [hunkBy('a', 'g1.1'), hunkBy('a', 'g1.2')];
  fake.documents = [{ uri, version: 1, hunks }];
  const drawn = new Drawn(sources);
  /** As the editor does: an entry with all that is open below it. */
  const give = async (node?: Node): Promise<void> => {
    for (const child of await drawn.children(node)) {
      drawn.look(child);
      await give(child);
    }
  };
  const check = async (what: string, expected: string[]) => {
    await settle();
    const stale = await drawn.stale();
    const names = stale.map((node) => (node ? lookOf(node, sources)?.id : 'all of it'));
    assert.deepEqual(names, expected, what);
    for (const node of stale) {
      if (node) {
        drawn.look(node);
      }
      await give(node);
    }
    assert.deepEqual(await drawn.stale(), [], `${what}, drawn`);
  };
  assert.deepEqual(await drawn.stale(), [], 'the view was never in sight');
  await give();
  await store.load();
  await check('goals come', ['all of it']);

  store.onEvent({ kind: 'tool', goalId: 'g1', taskId: 'b', name: 'Bash', detail: 'make' });
  await check('a worker does something', ['g1/task/b']);
  sources.now = () => 66_000;
  await check('time passes', ['g1/task/b']);
  store.onPending({
    uri,
    version: 2,
    hunks: [hunkBy('a', 'g1.1', { startLine: 4 }), ...hunks.slice(1)],
  });
  await check('a hunk moves', ['hunk/g1.1']);
  store.onPending({ uri, version: 3, hunks: hunks.slice(1) });
  await check('one is gone', [`g1/file/a/${uri}`]);
  const { decided } = view;
  view.decided = [
    ...(decided ?? []),
    { id: 'g1.1', path: 'a.py', fate: 'landed', tasks: ['a'], at: 1 },
  ];
  await store.fresh('g1');
  await check('it has landed', ['g1/landings']);
  store.onPending({ uri, version: 4, hunks: [] });
  await check('a task that has no more to decide is another entry', ['g1']);
  inbox.add(question('q1', ['b']));
  await check('a question comes', ['all of it']);
});

test('goals of several folders say which', async () => {
  const { fake, store, draw } = world('web');
  fake.all = [goal('g1', { state: 'proposed', running: 0 })];
  await store.load();
  assert.deepEqual(await draw(), [
    'words of g1 | web · proposed · 1/2 · $0.13 | goal state:proposed',
  ]);
});

test('goals that are over make room for others', async () => {
  const { fake, store, draw } = world();
  fake.all = Array.from({ length: 8 }, (_, n) =>
    goal(`g${n + 1}`, { state: 'landed', running: 0 }),
  );
  fake.all.push(goal('g9'));
  await store.load();
  const labels = (await draw()).map((line) => line.split(' | ', 1)[0]);
  const shown = [9, 8, 7, 6, 5, 4].map((n) => `words of g${n}`);
  const earlier = [3, 2, 1].map((n) => `  words of g${n}`);
  assert.deepEqual(labels, [...shown, 'Earlier', ...earlier]);
});

test('events lead to questions, and to few of them', async () => {
  const { fake, store } = world();
  fake.all = [goal('g1')];
  await store.load();
  const check = async (types: string[], expected: string[]) => {
    fake.asked.length = 0;
    for (const [n, type] of types.entries()) {
      store.onEvent({ seq: n, at: 0, goalId: 'g1', type } as unknown as StreamItem);
    }
    await settle();
    assert.deepEqual(fake.asked.toSorted(), expected, types.join());
  };
  await check(['taskChanged'], ['g1']);
  await check(['attemptStarted', 'taskChanged', 'taskChanged', 'taskChanged'], ['g1', 'g1']);
  await check(['proposed'], ['changes', 'g1']);
  await check(['proposed', 'reviewed', 'goalChanged'], ['changes', 'changes', 'g1', 'g1']);
});

test('what is told of a newer text wins', async () => {
  const { fake, store, failed } = world();
  const uri = 'file:///project/a.py';
  const at = (version: number, startLine: number) => ({
    uri,
    version,
    hunks: [hunkBy('a', 'g1.1', { startLine })],
  });
  fake.all = [goal('g1')];
  fake.documents = [at(4, 7)];
  store.onPending(at(5, 8));
  await store.load();
  assert.equal(store.hunk('g1.1')?.hunk.startLine, 8);
  fake.documents = [at(6, 9)];
  await store.load();
  assert.equal(store.hunk('g1.1')?.hunk.startLine, 9);
  store.onPending({ uri, version: 7, hunks: [] });
  assert.equal(store.hunk('g1.1'), undefined);
  assert.equal(await store.view('g7'), undefined);
  assert.deepEqual(failed.map(String), ['Error: no g7']);
});

test('claims are those of running tasks', () => {
  const tasks = [
    { id: 'a', writes: ['src/**'] },
    { id: 'b', writes: ['b.py'] },
  ];
  const plan = { goal: '', gates: [], maxParallel: null, budgetUsd: null, tasks };
  const view = goal('g1', {
    plan,
    tasksDetail: [task('a', { state: 'running' }), task('b', { state: 'succeeded' })],
  });
  const claims = claimsOf([{ summary: view, view }]);
  const claimed = ['/project/src/x/y.py', '/project/b.py', '/elsewhere/src/x.py'].map((file) =>
    claims.filter((claim) => claim.matches(file)).map((claim) => claim.task),
  );
  assert.deepEqual(claimed, [['a'], [], []]);
});

test('however many ask, the last of them is answered', async () => {
  let release: () => void = () => {};
  const began: string[] = [];
  const work = new Coalesced<string>(
    async (key) => {
      began.push(key);
      await new Promise<void>((done) => (release = done));
    },
    () => assert.fail(),
  );
  const first = work.run('a');
  const second = work.run('a');
  const third = work.run('a');
  assert.deepEqual(began, ['a']);
  release();
  await settle();
  assert.deepEqual(began, ['a', 'a']);
  release();
  await Promise.all([first, second, third]);
  void work.run('a');
  assert.deepEqual(began, ['a', 'a', 'a']);
  release();
});

function question(id: string, taskIds: string[]): PermissionRequest {
  return { id, goalId: 'g2', taskIds, tool: 'Bash', detail: 'rm x', input: '', askedAt: 0 };
}

test('questions are open until they are answered', () => {
  const inbox = new Inbox();
  const open = () => inbox.all.map(({ id, taskIds }) => `${id}: ${taskIds.join()}`);
  assert.equal(inbox.add(question('q1', ['a'])), true);
  assert.equal(inbox.add(question('q2', ['a'])), true);
  assert.equal(inbox.add(question('q1', ['a', 'b'])), false);
  assert.deepEqual(open(), ['q1: a,b', 'q2: a']);
  inbox.remove('q1');
  assert.deepEqual([inbox.has('q1'), open()], [false, ['q2: a']]);
  inbox.replace([question('q3', ['c'])]);
  assert.deepEqual(open(), ['q3: c']);
});
