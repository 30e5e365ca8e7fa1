// What is known of the goals of this window's folders. It asks the server and works nothing out itself.

import type {
  AgentActivity,
  DocumentChanges,
  GoalId,
  GoalSummary,
  GoalView,
  HunkView,
  StreamItem,
  TaskId,
} from '../../../../protocol/generated/protocol';
import { Coalesced } from './coalesced';

/** What the store asks for. */
export interface Backend {
  goals(): Promise<GoalSummary[]>;
  goal(id: GoalId): Promise<GoalView>;
  changes(uri: string | null): Promise<DocumentChanges[]>;
}

/** A goal, with all its details once they were wanted. */
export interface Known {
  readonly summary: GoalSummary;
  readonly view: GoalView | undefined;
}

const ACTIVE = new Set([
  'submitted',
  'planning',
  'awaitingApproval',
  'running',
  'merging',
  'gating',
]);

/** Whether work goes on, or waits for an approval. */
export function isActive(goal: GoalSummary): boolean {
  return ACTIVE.has(goal.state) || goal.running > 0;
}

/** Whether something is left to decide. */
export function isUndecided(goal: GoalSummary): boolean {
  return goal.hunks.pending + goal.hunks.conflicts > 0;
}

/** The goal a hunk belongs to. */
export function goalOf(hunk: Pick<HunkView, 'id'>): GoalId {
  return hunk.id.slice(0, hunk.id.indexOf('.'));
}

/** Events after which what is pending is something else. */
const MOVES_HUNKS = new Set(['proposed', 'reviewed', 'amended', 'landingDropped', 'goalChanged']);

/** Goals, pending hunks, and what workers are doing. */
export class Store {
  readonly #backend: Backend;
  readonly #goals = new Map<GoalId, Known>();
  readonly #documents = new Map<string, DocumentChanges>();
  readonly #doing = new Map<string, AgentActivity>();
  readonly #listeners = new Set<() => void>();
  readonly #isOurs: (workspace: string) => boolean;
  readonly #views: Coalesced<GoalId>;
  readonly #changes: Coalesced<'all'>;

  constructor(
    backend: Backend,
    isOurs: (workspace: string) => boolean,
    failed: (error: unknown) => void,
  ) {
    this.#backend = backend;
    this.#isOurs = isOurs;
    this.#views = new Coalesced((id) => this.#fetch(id), failed);
    this.#changes = new Coalesced(() => this.#fetchChanges(), failed);
  }

  /** Calls `listener` after every change; the function returned ends that. */
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Goals, newest first. */
  get goals(): Known[] {
    return [...this.#goals.values()].sort((a, b) => b.summary.submittedAt - a.summary.submittedAt);
  }

  goal(id: GoalId): Known | undefined {
    return this.#goals.get(id);
  }

  /** Documents with pending hunks. */
  get documents(): DocumentChanges[] {
    return [...this.#documents.values()];
  }

  document(uri: string): DocumentChanges | undefined {
    return this.#documents.get(uri);
  }

  /** A pending hunk and the document it is in. */
  hunk(id: string): { hunk: HunkView; uri: string } | undefined {
    for (const { uri, hunks } of this.#documents.values()) {
      const hunk = hunks.find((hunk) => hunk.id === id);
      if (hunk) {
        return { hunk, uri };
      }
    }
    return undefined;
  }

  /** What a task's worker was last seen doing. */
  doing(goal: GoalId, task: TaskId): AgentActivity | undefined {
    return this.#doing.get(`${goal}/${task}`);
  }

  /** Looks at everything anew: after a start of the server, and when folders come or go. */
  async load(): Promise<void> {
    const goals = await this.#backend.goals();
    const ours = goals.filter((goal) => this.#isOurs(goal.workspace));
    const stale = new Set(this.#goals.keys());
    for (const summary of ours) {
      stale.delete(summary.id);
      this.#goals.set(summary.id, { summary, view: this.#goals.get(summary.id)?.view });
    }
    for (const id of stale) {
      this.#goals.delete(id);
    }
    this.#tell();
    const wanted = ours.filter((goal) => isActive(goal) || isUndecided(goal));
    const views = wanted.map((goal) => this.#views.run(goal.id));
    await Promise.all([...views, this.#changes.run('all')]);
  }

  /** Forgets everything: there is no server to ask. */
  clear(): void {
    this.#goals.clear();
    this.#documents.clear();
    this.#doing.clear();
    this.#tell();
  }

  /** The details of a goal, asked for where they are not known yet. */
  async view(id: GoalId): Promise<GoalView | undefined> {
    if (!this.#goals.get(id)?.view) {
      return this.fresh(id);
    }
    return this.#goals.get(id)?.view;
  }

  /** The details of a goal as they are now. */
  async fresh(id: GoalId): Promise<GoalView | undefined> {
    await this.#views.run(id);
    return this.#goals.get(id)?.view;
  }

  /** Takes what the server tells of a goal. */
  onEvent(item: StreamItem): void {
    if ('kind' in item) {
      if (item.taskId) {
        this.#doing.set(`${item.goalId}/${item.taskId}`, item);
        this.#tell();
      }
      return;
    }
    if (item.type === 'attemptEnded') {
      this.#doing.delete(`${item.goalId}/${item.taskId}`);
    }
    void this.#views.run(item.goalId);
    if (MOVES_HUNKS.has(item.type)) {
      void this.#changes.run('all');
    }
  }

  /** Takes what the server tells of one document. */
  onPending(told: DocumentChanges): void {
    if (told.hunks.length > 0) {
      this.#documents.set(told.uri, told);
    } else {
      this.#documents.delete(told.uri);
    }
    this.#tell();
  }

  async #fetch(id: GoalId): Promise<void> {
    const view = await this.#backend.goal(id);
    if (this.#isOurs(view.workspace)) {
      this.#goals.set(id, { summary: view, view });
      this.#tell();
    }
  }

  async #fetchChanges(): Promise<void> {
    const documents = await this.#backend.changes(null);
    const before = new Map(this.#documents);
    this.#documents.clear();
    for (const document of documents) {
      const told = before.get(document.uri);
      // What was told meanwhile may be of a newer text than this answer.
      const newer = (told?.version ?? -1) > (document.version ?? -1);
      this.#documents.set(document.uri, told && newer ? told : document);
    }
    this.#tell();
  }

  #tell(): void {
    for (const listener of this.#listeners) {
      listener();
    }
  }
}
