// The few things of the editor that words and addresses need, for tests that run without one.

import { URI, Utils } from 'vscode-uri';

export const l10n = {
  t: (text: string, ...values: (string | number)[]) =>
    text.replace(/\{(\d+)\}/g, (_, n: string) => String(values[Number(n)])),
};

export const Uri = {
  file: (path: string) => URI.file(path),
  parse: (text: string, strict?: boolean) => URI.parse(text, strict),
  joinPath: (uri: URI, ...parts: string[]) => Utils.joinPath(uri, ...parts),
};

export const workspace = {
  asRelativePath: (uri: URI) => uri.path.replace(/^\/project\//, ''),
};
