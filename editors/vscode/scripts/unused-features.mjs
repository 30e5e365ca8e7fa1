// Leaves out of the bundle what the language client can do and this server does not offer.
//
// The client's library registers every feature of the protocol at once, so a bundler finds all of them in
// use. Each module below is replaced by features that do nothing and announce nothing. When the server
// comes to offer one of them, its line goes: a test compares the list with the server's capabilities.

import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';

/** Modules of the client's library whose features the server does not offer. */
export const UNUSED = [
  'callHierarchy',
  'colorProvider',
  'declaration',
  'definition',
  'diagnostic',
  'documentHighlight',
  'documentLink',
  'documentSymbol',
  'fileOperations',
  'foldingRange',
  'formatting',
  'implementation',
  'inlayHint',
  'inlineCompletion',
  'inlineValue',
  'linkedEditingRange',
  'notebook',
  // `src/ui/progress.ts` is in its place: it can be cancelled.
  'progress',
  'reference',
  'rename',
  'selectionRange',
  'semanticTokens',
  'signatureHelp',
  'typeDefinition',
  'typeHierarchy',
  'workspaceSymbol',
];

/** Modules with messages that nothing but these features needs. */
const UNUSED_MESSAGES = [
  'callHierarchy',
  'colorProvider',
  'declaration',
  'fileOperations',
  'foldingRange',
  'implementation',
  'inlineCompletion',
  'inlineValue',
  'linkedEditingRange',
  'moniker',
  'selectionRange',
  'typeDefinition',
  'typeHierarchy',
];

/** The module that passes all messages on. */
const PASSES_ON = /[\\/]protocol\.js$/;

/** Finds the name of a message that is left out. */
async function namesOfMessages() {
  const require = createRequire(import.meta.url);
  const client = createRequire(require.resolve('vscode-languageclient/package.json'));
  const main = client.resolve('vscode-languageserver-protocol');
  const folder = path.join(path.dirname(main), '..', 'common');
  const texts = UNUSED_MESSAGES.map((name) =>
    readFile(path.join(folder, `protocol.${name}.js`), 'utf8'),
  );
  const names = (await Promise.all(texts)).flatMap((text) =>
    [...text.matchAll(/\(exports\.(\w+) = /g)].map(([, name]) => name),
  );
  return new RegExp(`\\b(${names.join('|')})\\b`);
}

const FEATURE = `class Unused {
  getState() { return { kind: 'static' }; }
  fillClientCapabilities() {}
  initialize() {}
  clear() {}
}`;

/** A helper that the compiler has put into a module. */
const HELPER = /^var (__\w+) = [\s\S]*?^\}[()]*;$/gm;

/** The same helpers, once. */
const HELPERS = {
  __exportStar: `(from, to) => {
    for (const name of Object.keys(from)) {
      if (name !== 'default' && !Object.hasOwn(to, name)) {
        Object.defineProperty(to, name, { enumerable: true, get: () => from[name] });
      }
    }
  }`,
  __importStar: `(module) => module`,
};

/** The plugin for esbuild. */
export const withoutUnusedFeatures = {
  name: 'without-unused-features',
  setup(build) {
    const modules = new RegExp(
      `[\\\\/]vscode-languageclient[\\\\/]lib[\\\\/]common[\\\\/](${UNUSED.join('|')})\\.js$`,
    );
    build.onLoad({ filter: modules }, async ({ path: file }) => {
      const source = await readFile(file, 'utf8');
      const names = [...source.matchAll(/^exports\.(\w+) = \w+;$/gm)].map(([, name]) => name);
      if (names.length === 0) {
        throw new Error(`${path.basename(file)} exports no class; the library has changed`);
      }
      return { contents: `${FEATURE}\n${names.map((n) => `exports.${n} = Unused;`).join('\n')}` };
    });
    // Their messages: the library only passes them on. Where it names one itself, the build fails below.
    const messages = new RegExp(`[\\\\/]protocol\\.(${UNUSED_MESSAGES.join('|')})\\.js$`);
    build.onLoad({ filter: messages }, () => ({ contents: '' }));
    const left = namesOfMessages();
    // Every module of these libraries carries its own copy of the compiler's helpers.
    const libraries =
      /[\\/]vscode-(languageclient|languageserver-protocol|jsonrpc)[\\/]lib[\\/].*\.js$/;
    build.onLoad({ filter: libraries }, async ({ path: file }) => {
      const names = new Set();
      const text = await readFile(file, 'utf8');
      if (!PASSES_ON.test(file)) {
        const [named] = text.match(await left) ?? [];
        if (named) {
          throw new Error(`${path.basename(file)} needs ${named}: its messages cannot be left out`);
        }
      }
      const source = text.replace(HELPER, (_, name) => {
        names.add(name);
        return '';
      });
      const shared = [...names].filter((name) => name in HELPERS).join(', ');
      return { contents: `const { ${shared} } = require('claudecluster:helpers');\n${source}` };
    });
    build.onResolve({ filter: /^claudecluster:helpers$/ }, ({ path: name }) => ({
      path: name,
      namespace: 'helpers',
    }));
    build.onLoad({ filter: /.*/, namespace: 'helpers' }, () => ({
      contents: Object.entries(HELPERS)
        .map(([name, body]) => `exports.${name} = ${body};`)
        .join('\n'),
    }));
    // The manifest's `engines` says which editors the extension is installed in.
    build.onLoad({ filter: /[\\/]semver[\\/]functions[\\/](parse|satisfies)\.js$/ }, () => ({
      contents: 'module.exports = (given) => given;',
    }));
  },
};
