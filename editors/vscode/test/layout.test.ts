import assert from 'node:assert/strict';
import { test } from 'node:test';

import { asExpression } from '../src/model/claims';
import { layOut } from '../src/model/layout';

test('where the tasks of a plan stand', () => {
  const check = (plan: Record<string, string[]>, expected: Record<string, [number, number]>) => {
    const vertices = Object.entries(plan).map(([id, dependsOn]) => ({ id, dependsOn }));
    const cells = [...layOut(vertices)].map(([id, { column, row }]) => [id, [column, row]]);
    assert.deepEqual(Object.fromEntries(cells), expected);
  };
  check({}, {});
  check({ a: [], b: ['a'], c: ['a', 'b'] }, { a: [0, 0], b: [1, 0], c: [2, 0] });
  check({ a: [], b: [], c: ['b'], d: ['a'] }, { a: [0, 0], b: [0, 1], d: [1, 0], c: [1, 1] });
  // What is written before what it waits for.
  check({ b: ['a'], a: [] }, { a: [0, 0], b: [1, 0] });
  // Plans that are being edited.
  check({ a: ['gone'], b: ['a'] }, { a: [0, 0], b: [1, 0] });
  check({ a: ['a'] }, { a: [0, 0] });
  check({ a: ['b'], b: ['a'] }, { b: [0, 0], a: [1, 0] });
});

test('files that a plan says a task writes', () => {
  const check = (glob: string, yes: string[], no: string[]) => {
    const pattern = asExpression(glob);
    const found = [...yes, ...no].filter((file) => pattern.test(file));
    assert.deepEqual(found, yes, `${glob} is ${pattern.source}`);
  };
  check('src/a.rs', ['src/a.rs'], ['src/axrs', 'x/src/a.rs', 'src/a.rs.bak']);
  check('src/*.rs', ['src/a.rs'], ['src/b/a.rs']);
  check('src/**', ['src/a.rs', 'src/b/a.rs'], ['srcs/a.rs']);
  check('src/', ['src/a.rs', 'src/b/a.rs'], ['src']);
  check('**/*.rs', ['a.rs', 'b/c/a.rs'], ['a.rsx']);
  check('a?.{ts,js}', ['ab.ts', 'ab.js'], ['a/.ts', 'a.ts', 'ab.tsx']);
  check('[ab].c', ['a.c', 'b.c'], ['c.c']);
  check('[!ab].c', ['c.c'], ['a.c']);
  check('a+(b).c', ['a+(b).c'], ['aab.c']);
});
