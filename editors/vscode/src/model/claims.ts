// Which files running tasks are expected to write.

import path from 'node:path';

import type { GoalId } from '../../../../protocol/generated/protocol';
import type { Known } from './store';

/** What one running task is expected to write. */
export interface Claim {
  readonly goal: GoalId;
  readonly task: string;
  readonly title: string;
  readonly writes: readonly string[];
  /** Whether a file, by its absolute path, is among them. */
  matches(file: string): boolean;
}

/** The claims of all running tasks. */
export function claimsOf(goals: readonly Known[]): Claim[] {
  return goals.flatMap(({ view }) => {
    const running = view?.tasksDetail.filter(({ state }) => state === 'running') ?? [];
    return running.flatMap((task): Claim[] => {
      const writes = view?.plan?.tasks.find(({ id }) => id === task.id)?.writes ?? [];
      if (!view || writes.length === 0) {
        return [];
      }
      const patterns = writes.map(asExpression);
      const matches = (file: string) => {
        const relative = path.relative(view.workspace, file).split(path.sep).join('/');
        return !relative.startsWith('../') && patterns.some((pattern) => pattern.test(relative));
      };
      return [{ goal: view.id, task: task.id, title: task.title, writes, matches }];
    });
  });
}

/** A path or glob of a plan. `**` goes through folders, `*` and `?` do not. */
export function asExpression(glob: string): RegExp {
  const parts =
    glob.replace(/\/$/, '/**').match(/\*\*\/|\*\*|\*|\?|\[[^\]]*\]|\{[^}]*\}|./gu) ?? [];
  const source = parts.map((part) => {
    if (part === '**/') {
      return '(?:.*/)?';
    }
    if (part === '**') {
      return '.*';
    }
    if (part === '*') {
      return '[^/]*';
    }
    if (part === '?') {
      return '[^/]';
    }
    if (part.length > 1 && part.startsWith('[')) {
      return part.replace(/^\[!/, '[^');
    }
    if (part.length > 1 && part.startsWith('{')) {
      const choices = part.slice(1, -1).split(',');
      return `(?:${choices.map((choice) => asExpression(choice).source.slice(1, -1)).join('|')})`;
    }
    return part.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&');
  });
  return new RegExp(`^${source.join('')}$`, 'u');
}
