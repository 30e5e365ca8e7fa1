import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { HunkView } from '../../../protocol/generated/protocol';
import { asMarkdownDiff, draw, hunksOn, linesOf, nextLine, withHunk } from '../src/model/hunks';
import { hunk } from './fixtures';

test('how hunks are drawn', () => {
  const check = (more: Partial<HunkView>, lineCount: number, expected: unknown) => {
    const { kind, startLine, endLine, mark, ghosts } = draw(hunk(more), lineCount);
    const texts = ghosts.map(({ line, text }) => `${line} ${text}`);
    assert.deepEqual([kind, startLine, endLine, mark, texts], expected, JSON.stringify(more));
  };
  check({}, 9, ['change', 1, 2, 1, ['1 → new']]);
  check({ newText: '' }, 9, ['delete', 1, 2, 1, []]);
  check({ newText: 'a\nb\nc\n' }, 9, ['change', 1, 2, 1, ['1 → a … +2']]);
  check({ endLine: 4, newText: 'a\nb\n' }, 9, ['change', 1, 4, 1, ['1 → a', '2 → b']]);
  // What is put between lines stands behind the one above, at the top behind the first.
  check({ endLine: 1, oldText: '' }, 9, ['add', 1, 1, 0, ['0 + new']]);
  check({ startLine: 0, endLine: 0, oldText: '' }, 9, ['add', 0, 0, 0, ['0 + new']]);
  check({ startLine: 9, endLine: 9, oldText: '' }, 9, ['add', 9, 9, 8, ['8 + new']]);
  // A text that is shorter than it was told: the marks stay inside.
  check({ startLine: 7, endLine: 8 }, 3, ['add', 3, 3, 2, ['2 + new']]);
  check({ whole: true, kind: 'create' }, 1, ['whole', 0, 0, 0, []]);
  check({ whole: true, kind: 'delete', status: 'conflict' }, 1, ['conflict', 0, 0, 0, []]);
  const conflict = { base: '', mine: 'mine\n', theirs: 'theirs\n' };
  check({ status: 'conflict', conflict }, 9, ['conflict', 1, 2, 1, ['1 → theirs']]);
});

test('words that go', () => {
  const check = (words: [string, string][], expected: [number, number, number, number][]) => {
    const given = words.map(([kind, text]) => ({ kind, text })) as HunkView['words'];
    const { removed } = draw(hunk({ words: given ?? [], endLine: 3 }), 9);
    const found = removed.map((p) => [p.startLine, p.startColumn, p.endLine, p.endColumn]);
    assert.deepEqual(found, expected);
  };
  check(
    [
      ['same', 'a '],
      ['removed', 'b'],
      ['added', 'ccc'],
      ['same', ' d\n'],
    ],
    [[1, 2, 1, 3]],
  );
  check(
    [
      ['removed', 'a\nbc'],
      ['same', ' '],
      ['removed', 'd'],
    ],
    [
      [1, 0, 2, 2],
      [2, 3, 2, 4],
    ],
  );
  check(
    [
      ['added', 'x\n'],
      ['same', 'é'],
      ['removed', '😀'],
    ],
    [[1, 1, 1, 3]],
  );
});

test('a text with one hunk in it', () => {
  const check = (text: string, more: Partial<HunkView>, expected: string) =>
    assert.equal(withHunk(text, hunk(more)), expected);
  check('a\nb\nc\n', {}, 'a\nnew\nc\n');
  check('a\nb\nc\n', { newText: '' }, 'a\nc\n');
  check('a\nb', { startLine: 2, endLine: 2, newText: 'c\n' }, 'a\nb\nc\n');
  check('', { startLine: 0, endLine: 0 }, 'new\n');
  check('a\r\nb\r\n', { newText: 'c\r\n' }, 'a\r\nc\r\n');
  check('a\nb\n', { startLine: 7, endLine: 9 }, 'a\nb\nnew\n');
});

test('hunks on lines, and the way to the next', () => {
  const hunks = [hunk({}), hunk({ startLine: 4, endLine: 4 }), hunk({ startLine: 9, endLine: 9 })];
  const on = (first: number, last: number) =>
    hunksOn(hunks, first, last, 9).map((found) => found.startLine);
  assert.deepEqual(
    [on(0, 0), on(1, 1), on(2, 3), on(4, 4), on(0, 4), on(8, 8)],
    [[], [1], [], [4], [1, 4], [9]],
  );
  const go = (line: number, direction: 1 | -1) => nextLine(hunks, line, direction, 9);
  assert.deepEqual([go(0, 1), go(1, 1), go(8, 1), go(4, -1), go(1, -1)], [1, 4, 1, 1, 8]);
  assert.equal(nextLine([], 0, 1, 9), undefined);
});

test('a diff cannot end its own fence', () => {
  const text = asMarkdownDiff(hunk({ oldText: '```\n', newText: '````\n' }));
  assert.equal(text, '`````diff\n- ```\n+ ````\n`````');
  // The longest of several runs counts, and no character of a line ends it.
  const hostile = asMarkdownDiff(
    hunk({ oldText: '', newText: '` ```` `\r![](https://a/b.png)\u202e\n' }),
  );
  assert.equal(hostile, '`````diff\n+ ` ```` `\\u{d}![](https://a/b.png)\\u{202e}\n`````');
  assert.deepEqual(linesOf('a\r\nb'), ['a', 'b']);
  assert.deepEqual(linesOf(''), []);
  assert.deepEqual(linesOf('\n'), ['']);
});
