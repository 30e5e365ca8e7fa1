// Bundles the extension and the script of its web view. `--tests` bundles the unit tests instead.

import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { build } from 'esbuild';

import { withoutUnusedFeatures } from './unused-features.mjs';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const common = { absWorkingDir: root, bundle: true, logLevel: 'warning' };

const node = { ...common, platform: 'node', format: 'cjs', target: 'node20' };

async function extension() {
  await build({
    ...node,
    entryPoints: ['src/extension.ts'],
    outfile: 'dist/extension.js',
    external: ['vscode'],
    mainFields: ['module', 'main'],
    minify: true,
    // What failed at a user's is to be found again.
    sourcemap: process.argv.includes('--sourcemap'),
    plugins: [withoutUnusedFeatures],
  });
  await build({
    ...common,
    entryPoints: ['src/webview/plan.ts'],
    outfile: 'dist/plan.js',
    format: 'iife',
    target: 'es2022',
    minify: true,
  });
}

async function tests() {
  const files = await readdir(path.join(root, 'test'));
  await build({
    ...node,
    entryPoints: files.filter((name) => name.endsWith('.test.ts')).map((name) => `test/${name}`),
    outdir: 'dist/test',
    // There is no editor around unit tests: the few things of it that words need are beside them.
    alias: { vscode: './test/vscode.ts' },
    mainFields: ['module', 'main'],
    sourcemap: 'inline',
    // The tests look into the sources' folder.
    define: { ROOT: JSON.stringify(root) },
  });
}

await (process.argv.includes('--tests') ? tests() : extension());
