import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';

import { client } from '../src/ids';
import { command, method, OURS, SECTION, SERVER_SETTINGS } from '../src/wire';

declare const ROOT: string;

const repository = path.join(ROOT, '../..');
const read = (file: string) => readFileSync(path.join(ROOT, file), 'utf8');

interface Setting {
  type: string | string[];
  default: unknown;
  enum?: unknown[];
  minimum?: number;
  scope?: string;
}

const manifest = JSON.parse(read('package.json')) as {
  version: string;
  capabilities: { untrustedWorkspaces: { restrictedConfigurations: string[] } };
  contributes: {
    commands: { command: string }[];
    menus: Record<string, { command: string; when?: string }[]>;
    keybindings: { command: string }[];
    configuration: { properties: Record<string, Setting> };
  };
};
const { contributes } = manifest;

/** Kilobytes of 1024 bytes. */
const BUDGET = 285;

test('the bundle stays small', () => {
  const files = readdirSync(path.join(ROOT, 'dist')).filter((name) => name.endsWith('.js'));
  const bytes = files.map((name) => statSync(path.join(ROOT, 'dist', name)).size);
  const sum = bytes.reduce((a, b) => a + b, 0) / 1024;
  assert.ok(sum <= BUDGET, `${files.join(', ')}: ${sum.toFixed(1)} KB`);
  console.log(`bundle: ${sum.toFixed(1)} KB of ${BUDGET}`);
});

test('the package holds what it needs and nothing else', () => {
  const vsce = path.join(ROOT, 'node_modules/@vscode/vsce/vsce');
  const said = execFileSync(process.execPath, [vsce, 'ls', '--no-dependencies'], {
    cwd: ROOT,
    encoding: 'utf8',
  });
  const found = said.split('\n').filter((line) => line !== '' && !line.startsWith('media/'));
  assert.deepEqual(found.toSorted(), [
    'README.md',
    'dist/extension.js',
    'dist/plan.js',
    'l10n/bundle.l10n.json',
    'package.json',
    'package.nls.json',
  ]);
  const media = said.split('\n').filter((line) => line.startsWith('media/'));
  const kinds = new Set(media.map((file) => path.extname(file)));
  assert.deepEqual([...kinds].toSorted(), ['.css', '.md', '.png', '.svg']);
});

test('types are the generated ones', () => {
  const sources = readdirSync(path.join(ROOT, 'src'), { recursive: true, encoding: 'utf8' });
  const generated = readFileSync(
    path.join(repository, 'protocol/generated/protocol.ts'),
    'utf8',
  ).matchAll(/^export type (\w+)/gm);
  const names = new Set([...generated].map(([, name = '']) => name));
  const again = sources
    .filter((file) => file.endsWith('.ts'))
    .flatMap((file) =>
      [...read(`src/${file}`).matchAll(/^(?:export )?(?:type|interface) (\w+)/gm)]
        .map(([, name = '']) => name)
        // Not of the protocol: what a user of a list chooses is called the same.
        .filter((name) => names.has(name))
        .map((name) => `${file}: ${name}`),
    );
  assert.deepEqual(again, []);
});

test('names of commands and methods are the server’s', () => {
  const source = readFileSync(path.join(repository, 'protocol/src/editor.rs'), 'utf8');
  const known = new Set(
    [...source.matchAll(/= "(claudecluster[./][^"]*)"/g)].map(([, name]) => name),
  );
  const used = [...Object.values(command), ...Object.values(method)];
  const unknown = used.filter((name) => !known.has(name));
  assert.deepEqual(unknown, []);
});

test('settings are in step with what the server reads', () => {
  const schema = JSON.parse(
    readFileSync(path.join(repository, 'protocol/generated/editor-settings.schema.json'), 'utf8'),
  ) as {
    properties: Record<string, { type?: string[]; anyOf?: { $ref?: string }[]; minimum?: number }>;
    $defs: Record<string, { type?: string; oneOf?: { const: string }[] }>;
  };
  const servers = Object.keys(schema.properties).filter((key) => !(key in OURS));
  assert.deepEqual(servers, [...SERVER_SETTINGS]);
  const expected = servers.map((key) => {
    const { type, anyOf, minimum } = schema.properties[key] ?? {};
    const name = anyOf?.[0]?.$ref?.split('/').at(-1) ?? '';
    const definition = schema.$defs[name];
    const choices = definition?.oneOf?.map((choice) => choice.const);
    return {
      key: `${SECTION}.${key}`,
      type: type ?? [choices ? 'string' : definition?.type, 'null'],
      choices: choices ? [null, ...choices] : undefined,
      minimum,
    };
  });
  const found = servers.map((key) => {
    const name = `${SECTION}.${key}`;
    const property = contributes.configuration.properties[name];
    assert.ok(property, name);
    assert.equal(property.default, null, name);
    // A sum of money has no least value in the schema, and none below zero makes sense.
    const minimum = key === 'budgetUsd' ? undefined : property.minimum;
    return { key: name, type: property.type, choices: property.enum, minimum };
  });
  assert.deepEqual(found, expected);
  for (const setting of manifest.capabilities.untrustedWorkspaces.restrictedConfigurations) {
    assert.ok(setting in contributes.configuration.properties, setting);
  }
});

test('commands of the manifest are those of the code', () => {
  const inManifest = contributes.commands.map(({ command }) => command);
  const ofServer = [client.prompt, client.reason] as string[];
  const inCode = Object.values(client).filter((name) => !ofServer.includes(name));
  assert.deepEqual(inManifest.toSorted(), inCode.toSorted());
  const used = [...Object.values(contributes.menus).flat(), ...contributes.keybindings];
  for (const { command } of used) {
    assert.ok(inManifest.includes(command), command);
  }
});

test('everything a user reads can be translated', () => {
  const nls = JSON.parse(read('package.nls.json')) as Record<string, string>;
  const used = [...read('package.json').matchAll(/"%([^%"]+)%"/g)].map(([, key = '']) => key);
  assert.deepEqual(Object.keys(nls).toSorted(), [...new Set(used)].toSorted());
  const script = "import('./scripts/l10n.mjs').then(async (it) => console.log(await it.bundle()))";
  const wanted = execFileSync(process.execPath, ['-e', script], { cwd: ROOT, encoding: 'utf8' });
  assert.equal(read('l10n/bundle.l10n.json').trim(), wanted.trim(), 'run `npm run l10n`');
});

test('the version is the project’s', () => {
  const cargo = readFileSync(path.join(repository, 'Cargo.toml'), 'utf8');
  const [, version] = /^version = "([^"]+)"/m.exec(cargo) ?? [];
  assert.equal(manifest.version, version);
});

test('a workspace cannot say which program runs', () => {
  const settings = Object.entries(contributes.configuration.properties);
  // What names a program or a place of this machine, by the words such settings have.
  const ofTheMachine = settings.filter(([name]) => /path|program|command|home|env|dir/i.test(name));
  assert.deepEqual(
    ofTheMachine.map(([name, { scope }]) => [name, scope]),
    [['claudecluster.server.path', 'machine']],
  );
  // Every setting has a known scope: the default one is taken from a workspace as well.
  for (const [name, { scope }] of settings) {
    assert.ok(scope === 'machine' || scope === 'window', name);
  }
  // Nor can a workspace that is not trusted choose what a goal runs.
  const { restrictedConfigurations } = manifest.capabilities.untrustedWorkspaces;
  for (const name of ['server.path', 'agent', 'model', 'gates']) {
    assert.ok(restrictedConfigurations.includes(`${SECTION}.${name}`), name);
  }
});
