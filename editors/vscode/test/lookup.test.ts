import assert from 'node:assert/strict';
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';

import { findServer, fits, VARIABLE } from '../src/lookup';

/** A program that says something, and where it was started. */
async function program(file: string, says: string, status = 0): Promise<string> {
  await mkdir(path.dirname(file), { recursive: true });
  await writeFile(file, `#!/bin/sh\npwd >> "${file}.started"\necho "${says}"\nexit ${status}\n`);
  await chmod(file, 0o755);
  return file;
}

test('where the server is looked for', async (t) => {
  const dir = await mkdtemp(path.join(tmpdir(), 'cc-lookup-'));
  t.after(() => rm(dir, { recursive: true }));
  const good = 'claudecluster 0.1.7';
  const set = await program(path.join(dir, 'set/cc'), good);
  const named = await program(path.join(dir, 'named/cc'), good);
  const found = await program(path.join(dir, 'bin/claudecluster'), good);
  const old = await program(path.join(dir, 'old/claudecluster'), 'claudecluster 0.0.9');
  const other = await program(path.join(dir, 'other/claudecluster'), 'something else');
  const broken = await program(path.join(dir, 'broken/claudecluster'), '', 3);
  const came = path.join(dir, 'with');
  await program(path.join(came, 'server/claudecluster'), good);
  const without = path.join(dir, 'without');

  const check = async (
    places: { setting?: string; env?: Record<string, string>; extension?: string },
    expected: object,
  ) => {
    const { setting = '', env = {}, extension = without } = places;
    const answer = await findServer({
      setting,
      env,
      extension,
      version: '0.1.0',
      platform: 'linux',
    });
    const { why, ...rest } = answer as { why?: string };
    assert.equal(typeof why, 'kind' in answer && answer.kind === 'broken' ? 'string' : 'undefined');
    assert.deepEqual(rest, expected, JSON.stringify(places));
  };
  const PATH = path.join(dir, 'bin');
  const all = { setting: set, env: { [VARIABLE]: named, PATH }, extension: came };
  const version = '0.1.7';
  await check(all, { path: set, source: 'setting', version });
  await check({ ...all, setting: ' ' }, { path: named, source: 'environment', version });
  const bundled = path.join(came, 'server/claudecluster');
  await check({ env: { PATH }, extension: came }, { path: bundled, source: 'bundled', version });
  await check({ env: { PATH } }, { path: found, source: 'path', version });
  await check({ env: { PATH: `nowhere:${PATH}` } }, { path: found, source: 'path', version });
  // A folder of the search path that depends on where one is, is none.
  const relative = path.relative(process.cwd(), path.join(dir, 'bin'));
  await check({ env: { PATH: relative } }, { kind: 'missing' });
  await check({}, { kind: 'missing' });
  await check({ setting: 'bin/cc' }, { kind: 'relative', path: 'bin/cc', source: 'setting' });
  const gone = path.join(dir, 'gone');
  await check({ ...all, setting: gone }, { kind: 'notThere', path: gone, source: 'setting' });
  const env = { [VARIABLE]: gone };
  await check({ env }, { kind: 'notThere', path: gone, source: 'environment' });
  const wanted = '0.1.0';
  await check({ setting: old }, { kind: 'version', path: old, found: '0.0.9', wanted });
  await check({ setting: other }, { kind: 'broken', path: other });
  await check({ setting: broken }, { kind: 'broken', path: broken });
});

test('which versions go together', () => {
  const check = (server: string, client: string, expected: boolean) =>
    assert.equal(fits(server, client), expected, `${server} with ${client}`);
  check('0.1.0', '0.1.9', true);
  check('0.1.0-dev+abc', '0.1.0', true);
  check('0.2.0', '0.1.0', false);
  check('1.4.0', '1.2.0', true);
  check('1.0.0', '2.0.0', false);
  check('1.1.0', '0.1.0', false);
});
