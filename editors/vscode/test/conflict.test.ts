import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { AgentName, GoalView, HunkView } from '../../../protocol/generated/protocol';
import { between, ways } from '../src/model/conflict';
import { plain } from '../src/model/words';
import { hunk } from './fixtures';

function conflict(more: Partial<HunkView>): HunkView {
  const conflict = { base: 'old\n', mine: '  mine\n', theirs: 'new\nand more\n' };
  return hunk({ status: 'conflict', conflict, ...more });
}

/** A goal with one task. */
function goal(agent: AgentName): GoalView {
  return { tasksDetail: [{ id: 'a', agent }] } as unknown as GoalView;
}

test('the ways to resolve a conflict', () => {
  const check = (more: Partial<HunkView>, of: GoalView | undefined, expected: string[]) => {
    const found = ways(conflict(more), of).map(
      ({ resolution, detail }) => `${resolution.kind}: ${detail}`,
    );
    assert.deepEqual(found, expected, JSON.stringify(more));
  };
  const always = [
    'mine: mine',
    'theirs: new … +1',
    'both: mine, then theirs',
    'markers: write both sides into the file, between markers',
  ];
  check({}, goal('native'), [...always, 'repair: start a repair task that combines both sides']);
  // What a program made is not made anew, nor what nobody knows who made.
  check({}, goal('command'), always);
  check({}, undefined, always);
  check({ merged: 'both words\n' }, goal('command'), ['merged: both words', ...always]);
  const gone = { base: 'old\n', mine: '', theirs: 'new\n' };
  check({ conflict: gone }, goal('command'), [
    'mine: remove these lines',
    'theirs: new',
    ...always.slice(2),
  ]);
  check({ whole: true, kind: 'delete', conflict: null }, goal('native'), [
    'mine: keep the file as it is',
    'theirs: delete the file',
  ]);
});

test('whose texts a conflict is between', () => {
  const check = (mineBy: HunkView['provenance'], expected: string) => {
    assert.equal(between(conflict({ mineBy })), expected);
  };
  check([], 'Conflict between you and Task a');
  check([{ task: 'b', title: 'Task b', attempt: 1 }], 'Conflict between Task b and Task a');
});

test('a message has no links', () => {
  const check = (text: string, expected: string) => assert.equal(plain(text), expected);
  check('[more](command:x?y) and [z](http://a)', '[more] (command:x?y) and [z] (http://a)');
  check('a[0] (b)', 'a[0] (b)');
});
