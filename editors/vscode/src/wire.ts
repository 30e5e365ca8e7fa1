// Names that cross the wire. The types are the generated ones; a test holds the names to the server's list.

/** Commands of the server, as `workspace/executeCommand` takes them. */
export const command = {
  submit: 'claudecluster.goal.submit',
  goals: 'claudecluster.goal.list',
  goal: 'claudecluster.goal.show',
  cancel: 'claudecluster.goal.cancel',
  retry: 'claudecluster.goal.retry',
  undo: 'claudecluster.goal.undo',
  redo: 'claudecluster.goal.redo',
  accept: 'claudecluster.goal.accept',
  reject: 'claudecluster.goal.reject',
  approve: 'claudecluster.plan.approve',
  acceptHunk: 'claudecluster.hunk.accept',
  rejectHunk: 'claudecluster.hunk.reject',
  undoHunk: 'claudecluster.hunk.undo',
  resolveHunk: 'claudecluster.hunk.resolve',
  diffHunk: 'claudecluster.hunk.diff',
  answer: 'claudecluster.permission.answer',
  permissions: 'claudecluster.permission.list',
  openPlan: 'claudecluster.plan.open',
} as const;

/** Custom methods. */
export const method = {
  event: 'claudecluster/event',
  changes: 'claudecluster/changes',
  content: 'claudecluster/content',
  pending: 'claudecluster/pending',
} as const;

/** The section of the settings that is ours. */
export const SECTION = 'claudecluster';

/** What this client does itself: it is told to the server, and no setting of the user. */
export const OURS = {
  events: true,
  pending: true,
  prompts: true,
  diagnostics: true,
  // The version of an edit is what the client's library compares.
  edits: false,
} as const;

/** Settings that the server reads. The others under the section are this client's own. */
export const SERVER_SETTINGS = ['agent', 'model', 'jobs', 'budgetUsd', 'gates', 'scope'] as const;
