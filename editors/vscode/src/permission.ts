// What workers ask to be allowed, and what is answered.

import type { GoalId, TaskId } from '../../../protocol/generated/protocol';

/** A question of one or several workers of a goal. */
export interface Question {
  readonly id: string;
  readonly goalId: GoalId;
  readonly taskIds: readonly TaskId[];
  readonly tool: string;
  readonly detail: string;
  readonly kind?: string | null;
  readonly askedAt: number;
}

/** For how long an answer holds. */
export type Reach = 'once' | 'task' | 'goal';

/** What the user says. */
export interface Said {
  readonly decision: 'allow' | 'deny';
  readonly scope?: Reach;
  readonly reason?: string;
}

/** The questions that are open, in the order they came. */
export class Inbox {
  readonly #open = new Map<string, Question>();

  get all(): readonly Question[] {
    return [...this.#open.values()];
  }

  has(id: string): boolean {
    return this.#open.has(id);
  }

  /** Takes a question; whether it is a new one. */
  add(request: Question): boolean {
    const isNew = !this.#open.has(request.id);
    // Asked again by another worker: the same question with more tasks.
    this.#open.set(request.id, request);
    return isNew;
  }

  /** It was answered or is not asked any more. */
  remove(id: string): void {
    this.#open.delete(id);
  }

  /** Everything that is open, as the server lists it. */
  replace(requests: readonly Question[]): void {
    this.#open.clear();
    for (const request of requests) {
      this.#open.set(request.id, request);
    }
  }
}
