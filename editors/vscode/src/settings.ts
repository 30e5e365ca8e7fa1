// What the server gets of the settings, and what this client reads of them itself.

import * as vscode from 'vscode';

import { SECTION, SERVER_SETTINGS } from './wire';

/** The part of the section that is the server's. It refuses keys it does not know. */
export function forServer(section: unknown): Record<string, unknown> {
  const given = (section ?? {}) as Record<string, unknown>;
  const wanted = SERVER_SETTINGS.filter((key) => given[key] !== undefined && given[key] !== null);
  return Object.fromEntries(wanted.map((key) => [key, given[key]]));
}

/** Settings of this client. */
export interface ClientSettings {
  'server.path': string;
  'review.inline': boolean;
  'review.marks': boolean;
  progress: 'statusBar' | 'notification';
}

/** A setting of this client, as it is now. */
export function setting<K extends keyof ClientSettings>(key: K): ClientSettings[K] {
  const value = vscode.workspace.getConfiguration(SECTION).get<ClientSettings[K]>(key);
  if (value === undefined) {
    throw new Error(`the manifest gives ${SECTION}.${key} no default`);
  }
  return value;
}
