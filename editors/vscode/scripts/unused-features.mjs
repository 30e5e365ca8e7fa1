// Leaves out of the bundle what the language client can do and this server does not offer.
//
// The client's library registers every feature of the protocol at once, so a bundler finds all of them in
// use. Each module below is replaced by features that do nothing and announce nothing. When the server
// comes to offer one of them, its line goes: a test compares the list with the server's capabilities.

import { glob, readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';

import { transform } from 'esbuild';

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

/** The folders of the client's library and of the protocol's. */
const [CLIENT, PROTOCOL] = (() => {
  const require = createRequire(import.meta.url);
  const client = require.resolve('vscode-languageclient/package.json');
  const main = createRequire(client).resolve('vscode-languageserver-protocol');
  return [path.join(path.dirname(client), 'lib'), path.join(path.dirname(main), '..')];
})();

/** Finds the name of a message that is left out. */
async function namesOfMessages() {
  const folder = path.join(PROTOCOL, 'common');
  const texts = UNUSED_MESSAGES.map((name) =>
    readFile(path.join(folder, `protocol.${name}.js`), 'utf8'),
  );
  const names = (await Promise.all(texts)).flatMap((text) =>
    [...text.matchAll(/\(exports\.(\w+) = /g)].map(([, name]) => name),
  );
  return new RegExp(`\\b(${names.join('|')})\\b`);
}

/** What the compiler makes of a namespace or an enumeration. */
const NAMESPACE =
  /^( *)var (\w+);\n\1\(function \(\2\) \{\n[^]*?^\1\}\)\(\2 \|\| \(exports\.\2 = .*$/gm;

/** What names a namespace without needing it: what there is to be exported, and what is passed on. */
const EXPORTS = /^ *(?:exports\.\w+ = )+void 0;$/gm;
const EXPORT = /exports\.(\w+) = /g;
const PASSED_ON = /^Object\.defineProperty\(exports, "(\w+)".*$/gm;

/** What the compiler makes of the import of another module of these libraries. */
const LIBRARY = /^(?:const|var) (\w+) = require\("(?:vscode-|\.)[^"]*"\);$/gm;

/** All names in a text, without those in its comments. */
async function namesIn(text) {
  const { code } = await transform(text, { legalComments: 'none' });
  return new Set(code.match(/[A-Za-z_]\w*/g));
}

/** The names that the extension, and what is bundled of the library's modules, take from other modules. */
async function neededNames() {
  const left = [...UNUSED, ...UNUSED_MESSAGES.map((name) => `protocol.${name}`), 'protocol'];
  const needed = new Set();
  for (const folder of [CLIENT, PROTOCOL]) {
    for await (const file of glob('{common,node}/**/*.js', { cwd: folder })) {
      const text = await readFile(path.join(folder, file), 'utf8');
      const modules = [...text.matchAll(LIBRARY)].map(([, name]) => name);
      if (!left.includes(path.basename(file, '.js')) && modules.length > 0) {
        const taken = text.matchAll(new RegExp(`\\b(?:${modules.join('|')})\\.(\\w+)`, 'g'));
        taken.forEach(([, name]) => needed.add(name));
      }
    }
  }
  const sources = path.join(path.dirname(import.meta.dirname), 'src');
  for await (const file of glob('**/*.ts', { cwd: sources })) {
    const text = await readFile(path.join(sources, file), 'utf8');
    for (const [, names] of text.matchAll(/\{([^}]*)\} from 'vscode-languageclient/g)) {
      names.match(/\w+/g).forEach((name) => needed.add(name));
    }
  }
  return needed;
}

/** A module without the namespaces that nobody names. No bundler can tell: each is made by a call. */
async function withoutUnusedNamespaces(text, needed) {
  const parts = new Map([...text.matchAll(NAMESPACE)].map(([part, , name]) => [name, part]));
  if (parts.size === 0) {
    throw new Error('a module of the protocol has no namespaces; the library has changed');
  }
  const rest = text.replace(NAMESPACE, '').replace(EXPORTS, '').replace(PASSED_ON, '');
  const wanted = [...needed, ...(await namesIn(rest))];
  const kept = new Set();
  for (let name = wanted.pop(); name !== undefined; name = wanted.pop()) {
    if (parts.has(name) && !kept.has(name)) {
      kept.add(name);
      wanted.push(...(await namesIn(parts.get(name))));
    }
  }
  const goes = (name) => parts.has(name) && !kept.has(name);
  return text
    .replace(NAMESPACE, (part, _, name) => (goes(name) ? '' : part))
    .replace(EXPORTS, (all) => all.replace(EXPORT, (one, name) => (goes(name) ? '' : one)))
    .replace(/^ *void 0;$/gm, '')
    .replace(PASSED_ON, (all, name) => (needed.has(name) ? all : ''));
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
    const needed = neededNames();
    const protocol = needed.then(async (names) =>
      withoutUnusedNamespaces(
        await readFile(path.join(PROTOCOL, 'common', 'protocol.js'), 'utf8'),
        names,
      ),
    );
    const types = /[\\/]vscode-languageserver-types[\\/]lib[\\/]umd[\\/]main\.js$/;
    build.onLoad({ filter: types }, async ({ path: file }) => {
      const names = new Set([...(await needed), ...(await namesIn(await protocol))]);
      return { contents: await withoutUnusedNamespaces(await readFile(file, 'utf8'), names) };
    });
    // Every module of these libraries carries its own copy of the compiler's helpers.
    const libraries =
      /[\\/]vscode-(languageclient|languageserver-protocol|jsonrpc)[\\/]lib[\\/].*\.js$/;
    build.onLoad({ filter: libraries }, async ({ path: file }) => {
      const names = new Set();
      const passesOn = PASSES_ON.test(file);
      const text = passesOn ? await protocol : await readFile(file, 'utf8');
      if (!passesOn) {
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
