// Texts of the sources that can be translated. Run as a program it writes them to `l10n/`.

import { readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const BUNDLE = path.join(root, 'l10n', 'bundle.l10n.json');
const TEXT = /\bt\(\s*(?:'((?:[^'\\]|\\.)*)'|"([^"]*)")/g;

/** What `l10n/` should hold: each text by itself, for translators to start from. */
export async function bundle(sources = path.join(root, 'src')) {
  const files = await readdir(sources, { recursive: true });
  const texts = new Set();
  for (const file of files.filter((name) => name.endsWith('.ts'))) {
    const source = await readFile(path.join(sources, file), 'utf8');
    for (const [, single, double] of source.matchAll(TEXT)) {
      texts.add((single ?? double).replaceAll("\\'", "'"));
    }
  }
  const entries = [...texts].sort().map((text) => [text, text]);
  return `${JSON.stringify(Object.fromEntries(entries), null, 2)}\n`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await writeFile(BUNDLE, await bundle());
}
