// Commands of this client. Their names differ from the server's, which the language client registers.

/** The client's commands; those of the manifest, and two that the server sends. */
export const client = {
  newGoal: 'claudecluster.client.newGoal',
  newGoalFromSelection: 'claudecluster.client.newGoalFromSelection',
  stateDraft: 'claudecluster.client.stateDraft',
  fix: 'claudecluster.client.fix',
  goals: 'claudecluster.client.goals',
  refresh: 'claudecluster.client.refresh',
  showPlan: 'claudecluster.client.showPlan',
  editPlan: 'claudecluster.client.editPlan',
  approvePlan: 'claudecluster.client.approvePlan',
  showChanges: 'claudecluster.client.showChanges',
  diffFile: 'claudecluster.client.diffFile',
  diff: 'claudecluster.client.diff',
  open: 'claudecluster.client.open',
  accept: 'claudecluster.client.accept',
  reject: 'claudecluster.client.reject',
  rejectWithReason: 'claudecluster.client.rejectWithReason',
  acceptFile: 'claudecluster.client.acceptFile',
  rejectFile: 'claudecluster.client.rejectFile',
  acceptTask: 'claudecluster.client.acceptTask',
  rejectTask: 'claudecluster.client.rejectTask',
  acceptGoal: 'claudecluster.client.acceptGoal',
  rejectGoal: 'claudecluster.client.rejectGoal',
  next: 'claudecluster.client.next',
  previous: 'claudecluster.client.previous',
  undo: 'claudecluster.client.undo',
  undoLanding: 'claudecluster.client.undoLanding',
  redo: 'claudecluster.client.redo',
  resolve: 'claudecluster.client.resolve',
  cancel: 'claudecluster.client.cancel',
  retry: 'claudecluster.client.retry',
  answer: 'claudecluster.client.answerPermission',
  toggle: 'claudecluster.client.toggleReview',
  taskLog: 'claudecluster.client.taskLog',
  logs: 'claudecluster.client.logs',
  restart: 'claudecluster.client.restart',
  doctor: 'claudecluster.client.doctor',
  readme: 'claudecluster.client.readme',
  // The server names these where the setting `prompts` is on.
  prompt: 'claudecluster.client.prompt',
  reason: 'claudecluster.client.reason',
} as const;

/** The view of goals. */
export const GOALS_VIEW = 'claudecluster.goals';
