// Where the server's program is: setting → environment → the one that came along → search path.

import { execFile } from 'node:child_process';
import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { homedir } from 'node:os';
import path from 'node:path';

/** How the program was found. */
export type Source = 'setting' | 'environment' | 'bundled' | 'path';

/** A program that answers and fits. */
export interface Found {
  readonly path: string;
  readonly source: Source;
  readonly version: string;
}

/** Why there is none. */
export type Trouble =
  | { readonly kind: 'missing' }
  | { readonly kind: 'notThere'; readonly path: string; readonly source: Source }
  | { readonly kind: 'relative'; readonly path: string; readonly source: Source }
  | { readonly kind: 'broken'; readonly path: string; readonly why: string }
  | {
      readonly kind: 'version';
      readonly path: string;
      readonly found: string;
      readonly wanted: string;
    };

/** Where to look. */
export interface Places {
  /** The setting `claudecluster.server.path`. */
  readonly setting: string;
  /** The environment of the extension host. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The folder of the extension. */
  readonly extension: string;
  /** The extension's version, which the server's has to fit. */
  readonly version: string;
  readonly platform: NodeJS.Platform;
}

/** The variable that names the program. */
export const VARIABLE = 'CLAUDECLUSTER_SERVER';

/** How long a program may take to say its version, in milliseconds. */
const PATIENCE = 10_000;

/** The program to run, or why there is none. */
export async function findServer(places: Places): Promise<Found | Trouble> {
  const named = nameOf(places);
  if (named) {
    const file = named.path.replace(/^~(?=[\\/]|$)/, homedir());
    // Relative to what? A folder somebody else wrote must not choose the program.
    if (!path.isAbsolute(file)) {
      return { kind: 'relative', ...named };
    }
    if (!(await isProgram(file))) {
      return { kind: 'notThere', path: file, source: named.source };
    }
    return tryOut(file, named.source, places.version);
  }
  const name = places.platform === 'win32' ? 'claudecluster.exe' : 'claudecluster';
  const bundled = path.join(places.extension, 'server', name);
  if (await isProgram(bundled)) {
    return tryOut(bundled, 'bundled', places.version);
  }
  const folders = (places.env['PATH'] ?? '').split(path.delimiter);
  for (const folder of folders.filter((folder) => path.isAbsolute(folder))) {
    const file = path.join(folder, name);
    if (await isProgram(file)) {
      return tryOut(file, 'path', places.version);
    }
  }
  return { kind: 'missing' };
}

function nameOf({ setting, env }: Places): { path: string; source: Source } | undefined {
  if (setting.trim() !== '') {
    return { path: setting.trim(), source: 'setting' };
  }
  const variable = env[VARIABLE] ?? '';
  return variable.trim() === '' ? undefined : { path: variable.trim(), source: 'environment' };
}

async function isProgram(file: string): Promise<boolean> {
  return access(file, constants.X_OK).then(
    () => true,
    () => false,
  );
}

async function tryOut(file: string, source: Source, wanted: string): Promise<Found | Trouble> {
  const said = await version(file);
  if ('why' in said) {
    return { kind: 'broken', path: file, why: said.why };
  }
  return fits(said.version, wanted)
    ? { path: file, source, version: said.version }
    : { kind: 'version', path: file, found: said.version, wanted };
}

/** What the program says its version is. It runs outside the workspace, whose files it shall not see. */
async function version(file: string): Promise<{ version: string } | { why: string }> {
  return new Promise((done) => {
    const options = { cwd: path.dirname(file), timeout: PATIENCE };
    execFile(file, ['--version'], options, (error, stdout) => {
      const found = /^claudecluster (\d+\.\d+\.\d+\S*)/m.exec(stdout)?.[1];
      if (error) {
        done({ why: error.killed ? 'it did not answer within 10 s' : error.message.trim() });
      } else if (found === undefined) {
        done({ why: `it answers ${JSON.stringify(stdout.slice(0, 80))} to --version` });
      } else {
        done({ version: found });
      }
    });
  });
}

/** Whether a server speaks what this client does: the same major version, before 1.0 the same minor one. */
export function fits(server: string, client: string): boolean {
  const parts = (text: string) => text.split(/[.+-]/, 3);
  const [major, minor] = parts(server);
  const [ours, oursMinor] = parts(client);
  return major === ours && (major !== '0' || minor === oursMinor);
}
