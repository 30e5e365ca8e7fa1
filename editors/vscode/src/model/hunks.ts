// Pending hunks as text: what is drawn where, and what a text is once one has landed.

import type { HunkView, HunkWord } from '../../../../protocol/generated/protocol';
import { visible } from './visible';

/** A place in a text. Lines and columns count from 0. */
export interface Place {
  readonly startLine: number;
  readonly startColumn: number;
  readonly endLine: number;
  readonly endColumn: number;
}

/** What stands behind a line of the text: one line of what is proposed. */
export interface Ghost {
  readonly line: number;
  readonly text: string;
}

/** How one hunk is drawn. */
export interface Drawing {
  readonly kind: 'add' | 'change' | 'delete' | 'conflict' | 'whole';
  /** Its lines; the end is exclusive. Empty where it only adds. */
  readonly startLine: number;
  readonly endLine: number;
  /** The line its mark is on. */
  readonly mark: number;
  /** Words that go. */
  readonly removed: Place[];
  readonly ghosts: Ghost[];
}

/** Whether it is to be resolved before it can land. */
export function isConflict({ status }: Pick<HunkView, 'status'>): boolean {
  return status === 'conflict';
}

/** Lines without their ends. A text that ends a line has none after it. */
export function linesOf(text: string): string[] {
  return text === '' ? [] : text.replace(/\r?\n$/, '').split(/\r?\n/);
}

/** How a hunk is drawn in a text of so many lines. Editors show at most a line behind each line. */
export function draw(hunk: HunkView, lineCount: number): Drawing {
  const last = Math.max(0, lineCount - 1);
  const startLine = Math.min(hunk.startLine, lineCount);
  const endLine = Math.min(Math.max(hunk.endLine, startLine), lineCount);
  if (hunk.whole) {
    const kind = isConflict(hunk) ? 'conflict' : 'whole';
    return { kind, startLine: 0, endLine: 0, mark: 0, removed: [], ghosts: [] };
  }
  const proposed = linesOf(hunk.conflict ? hunk.conflict.theirs : hunk.newText);
  const size = endLine - startLine;
  const kind = isConflict(hunk)
    ? 'conflict'
    : size === 0
      ? 'add'
      : proposed.length === 0
        ? 'delete'
        : 'change';
  // What is put between two lines is shown behind the one above it, which it does not change.
  const anchor = size === 0 ? Math.max(0, startLine - 1) : startLine;
  return {
    kind,
    startLine,
    endLine,
    mark: Math.min(anchor, last),
    removed: kind === 'change' ? removedWords(hunk.words ?? [], startLine) : [],
    ghosts: ghosts(proposed, Math.min(anchor, last), Math.max(1, size), size === 0),
  };
}

/** The proposed lines behind `count` lines from `first` on; what is left over is counted. */
function ghosts(proposed: string[], first: number, count: number, adds: boolean): Ghost[] {
  const shown = proposed.slice(0, count);
  const more = proposed.length - shown.length;
  return shown.map((text, n) => ({
    line: first + n,
    text:
      (adds ? '+ ' : '→ ') +
      text.trim() +
      (n === shown.length - 1 && more > 0 ? ` … +${more}` : ''),
  }));
}

/** Where the words that go are, in the lines that the hunk replaces. */
export function removedWords(words: readonly HunkWord[], startLine: number): Place[] {
  const places: Place[] = [];
  let [line, column] = [startLine, 0];
  for (const word of words) {
    if (word.kind === 'added') {
      continue;
    }
    const parts = word.text.split('\n');
    const tail = parts.at(-1)?.length ?? 0;
    const endLine = line + parts.length - 1;
    const endColumn = parts.length > 1 ? tail : column + tail;
    if (word.kind === 'removed') {
      places.push({ startLine: line, startColumn: column, endLine, endColumn });
    }
    [line, column] = [endLine, endColumn];
  }
  return places;
}

/** The text with one hunk landed, for a diff of it alone. */
export function withHunk(text: string, hunk: HunkView): string {
  const lines = text.match(/[^\n]*\n|[^\n]+$/g) ?? [];
  const start = Math.min(hunk.startLine, lines.length);
  const end = Math.min(Math.max(hunk.endLine, start), lines.length);
  const proposed = hunk.conflict ? hunk.conflict.theirs : hunk.newText;
  const head = lines.slice(0, start).join('');
  // What comes behind a last line without an end begins a line of its own.
  const gap = start > 0 && !head.endsWith('\n') && proposed !== '' ? '\n' : '';
  return head + gap + proposed + lines.slice(end).join('');
}

/** The hunks on the lines `first` to `last`, both inclusive. */
export function hunksOn(
  hunks: readonly HunkView[],
  first: number,
  last: number,
  lineCount: number,
): HunkView[] {
  return hunks.filter((hunk) => {
    // What comes behind the last line is on it.
    const start = Math.min(hunk.startLine, Math.max(0, lineCount - 1));
    const end = Math.max(hunk.endLine, start + 1);
    return start <= last && first < end;
  });
}

/** The line of the next hunk, or the one before, around the end of the text. */
export function nextLine(
  hunks: readonly HunkView[],
  line: number,
  direction: 1 | -1,
  lineCount: number,
): number | undefined {
  const last = Math.max(0, lineCount - 1);
  const lines = hunks.map((hunk) => Math.min(hunk.startLine, last));
  lines.sort((a, b) => (a - b) * direction);
  return lines.find((found) => (found - line) * direction > 0) ?? lines[0];
}

/** The hunk as a diff in Markdown, to be read where the mouse rests. */
export function asMarkdownDiff(hunk: HunkView): string {
  const rows = hunk.conflict
    ? [
        ...linesOf(hunk.conflict.mine).map((line) => `- ${line}`),
        ...linesOf(hunk.conflict.theirs).map((line) => `+ ${line}`),
      ]
    : [
        ...linesOf(hunk.oldText).map((line) => `- ${line}`),
        ...linesOf(hunk.newText).map((line) => `+ ${line}`),
      ];
  // A fence that nothing inside can close.
  const shown = rows.map(visible);
  const runs = shown.flatMap((row) => row.match(/`+/g) ?? []);
  const longest = runs.reduce((most, run) => Math.max(most, run.length), 2);
  const fence = '`'.repeat(longest + 1);
  return `${fence}diff\n${shown.join('\n')}\n${fence}`;
}
