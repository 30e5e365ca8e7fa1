// Makes the packages people install: `npm run package` a universal one, which finds its server on the
// machine, and with `-- --server PROGRAM` one for this platform with that program inside.

import { execFileSync } from 'node:child_process';
import { copyFile, cp, mkdir, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { createVSIX } from '@vscode/vsce';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const repository = path.dirname(path.dirname(root));
const { values } = parseArgs({ options: { server: { type: 'string' }, out: { type: 'string' } } });
const out = path.resolve(values.out ?? path.join(root, 'dist'));
const { version } = createRequire(import.meta.url)('../package.json');

// Its licence and its history are the project's.
const copies = { 'LICENSE-MIT': 'LICENSE.txt', 'CHANGELOG.md': 'CHANGELOG.md' };

async function make(target, name) {
  const packagePath = path.join(out, name);
  await createVSIX({
    cwd: root,
    dependencies: false,
    packagePath,
    ...(target ? { target } : {}),
  });
  console.log(packagePath);
}

await rm(path.join(root, 'dist'), { recursive: true, force: true });
execFileSync(process.execPath, [path.join(root, 'scripts/build.mjs')], { stdio: 'inherit' });
await mkdir(out, { recursive: true });
try {
  for (const [from, to] of Object.entries(copies)) {
    await copyFile(path.join(repository, from), path.join(root, to));
  }
  await make(undefined, `claudecluster-${version}.vsix`);
  if (values.server) {
    const target = `${process.platform}-${process.arch}`;
    const name = process.platform === 'win32' ? 'claudecluster.exe' : 'claudecluster';
    await cp(path.resolve(values.server), path.join(root, 'server', name));
    await make(target, `claudecluster-${target}-${version}.vsix`);
  }
} finally {
  await rm(path.join(root, 'server'), { recursive: true, force: true });
  for (const to of Object.values(copies)) {
    await rm(path.join(root, to), { force: true });
  }
}
