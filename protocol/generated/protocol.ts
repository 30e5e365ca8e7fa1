// Written by `cargo xtask codegen` from the Rust types.

/**
 * Reports the current activity of a worker or the planner.
 */
export type AgentActivity = {
/**
 * The goal.
 */
goalId: GoalId,
/**
 * The task; `None` for the planner and the goal's gates.
 */
taskId?: TaskId | null, } & ({ "kind": "started",
/**
 * Its session.
 */
session: string | null,
/**
 * The model it says it uses.
 */
model: string | null, } | { "kind": "text",
/**
 * The words, or a part of them.
 */
text: string, } | { "kind": "tool",
/**
 * The tool's name.
 */
name: string,
/**
 * The one argument people want to see: a path, a command.
 */
detail: string, } | { "kind": "output",
/**
 * The text of the agent.
 */
text: string, } | { "kind": "denied",
/**
 * The denied use.
 */
what: string, } | { "kind": "connection",
/**
 * The host: a name in lower case, or an address.
 */
host: string,
/**
 * The port.
 */
port: number,
/**
 * Whether the last connection was allowed.
 */
allowed: boolean,
/**
 * The connections of this attempt to this port of the host so far.
 */
connections: number,
/**
 * Bytes sent to it so far.
 */
sent: number,
/**
 * Bytes received from it so far.
 */
received: number, } | { "kind": "rateLimited",
/**
 * The wait before the agent's next try.
 */
wait: Span | null, } | { "kind": "spent",
/**
 * Running total of this attempt.
 */
usage: AgentUsage, });

/**
 * Lists the reports of an agent at work. Every agent's own format is converted to this at its
 * edge.
 */
export type AgentEvent = { "kind": "started",
/**
 * Its session.
 */
session: string | null,
/**
 * The model it says it uses.
 */
model: string | null, } | { "kind": "text",
/**
 * The words, or a part of them.
 */
text: string, } | { "kind": "tool",
/**
 * The tool's name.
 */
name: string,
/**
 * The one argument people want to see: a path, a command.
 */
detail: string, } | { "kind": "output",
/**
 * The text of the agent.
 */
text: string, } | { "kind": "denied",
/**
 * The denied use.
 */
what: string, } | { "kind": "connection",
/**
 * The host: a name in lower case, or an address.
 */
host: string,
/**
 * The port.
 */
port: number,
/**
 * Whether the last connection was allowed.
 */
allowed: boolean,
/**
 * The connections of this attempt to this port of the host so far.
 */
connections: number,
/**
 * Bytes sent to it so far.
 */
sent: number,
/**
 * Bytes received from it so far.
 */
received: number, } | { "kind": "rateLimited",
/**
 * The wait before the agent's next try.
 */
wait: Span | null, } | { "kind": "spent",
/**
 * Running total of this attempt.
 */
usage: AgentUsage, };

/**
 * Deadlines and limits of one session.
 */
export type AgentLimits = {
/**
 * From spawn to the first sign of life.
 */
start: Span,
/**
 * The longest silence while the agent works.
 */
silence: Span,
/**
 * From the agent's result to the end of its process, and from SIGTERM to SIGKILL.
 */
exit: Span,
/**
 * For the whole session.
 */
timeout: Span,
/**
 * Model turns.
 */
maxTurns: number,
/**
 * Cost; `None` for no limit.
 */
budget: Usd | null, };

/**
 * The agents a task can be run by.
 */
export type AgentName = "claude-code" | "native" | "command";

/**
 * The task of one agent session, as data without paths or handles.
 */
export type AgentTask = {
/**
 * The agent that runs the session.
 */
agent: AgentName,
/**
 * The first user turn.
 */
prompt: string,
/**
 * Text added to the agent's system prompt. Identical for a planner and its forks.
 */
system: string | null,
/**
 * The JSON Schema the closing answer must satisfy. Identical for a planner and its forks.
 */
schema: unknown,
/**
 * The model. Default: the agent's own.
 */
model: string | null,
/**
 * The id of the session to make, a UUID.
 */
session: string,
/**
 * The session to start from: a planner's, or that of an interrupted attempt. A worker that has no
 * session of the goal starts a new one.
 */
forkOf: string | null,
/**
 * The first user turn where there is no session to start from; the same as with one if it is not set.
 */
unforkedPrompt?: string | null,
/**
 * The command to run, for agents that run a command instead of following a prompt.
 */
run: Command | null,
/**
 * Deadlines and limits.
 */
limits: AgentLimits,
/**
 * The tools the agent may use. Identical for a planner and its forks.
 */
permissions: ToolPermissions, };

/**
 * Counts the tokens and the cost of an attempt.
 */
export type AgentUsage = {
/**
 * Tokens sent that no cache held.
 */
inputTokens: number,
/**
 * Tokens received.
 */
outputTokens: number,
/**
 * Tokens sent that the provider's prompt cache held.
 */
cacheReadTokens: number,
/**
 * Tokens written to the provider's prompt cache.
 */
cacheWriteTokens: number,
/**
 * The cost as the agent reports it.
 */
costUsd: Usd,
/**
 * Model turns.
 */
turns: number, };

/**
 * Lists the answers to calls.
 */
export type Answer = { "answer": "done" } | { "answer": "submitted",
/**
 * Its identifier, or that of the goal that does the same already.
 */
goalId: GoalId,
/**
 * There where nothing was started: the goal that does the same already.
 */
duplicateOf?: GoalId | null, } | { "answer": "goals",
/**
 * One line each.
 */
goals: Array<GoalSummary>,
/**
 * The last event they show: a watch after it misses nothing and repeats nothing.
 */
asOf: EventSeq, } | { "answer": "goal",
/**
 * All that is known.
 */
goal: GoalView,
/**
 * The last event it shows: a watch after it misses nothing and repeats nothing.
 */
asOf: EventSeq, } | { "answer": "item",
/**
 * The item.
 */
item: StreamItem, } | { "answer": "hunks",
/**
 * In the order of goals, files, lines.
 */
hunks: Array<HunkView>, } | { "answer": "diff",
/**
 * A patch for `git apply`. Encoded as [`RelPath`] encodes bytes where it is not UTF-8.
 */
diff: string,
/**
 * Binary and symlink changes it cannot express, one line each.
 */
omitted: Array<string>, } | { "answer": "content",
/**
 * `None` where the file does not exist on that side or is not text.
 */
text: string | null, } | { "answer": "decided",
/**
 * The result of the decision.
 */
report: DecisionReport, } | { "answer": "permissions",
/**
 * Oldest first.
 */
requests: Array<PermissionRequest>, } | { "answer": "artifacts",
/**
 * The artifacts of the goal.
 */
artifacts: Array<GoalArtifact>, } | { "answer": "blob",
/**
 * Base64, standard alphabet with padding.
 */
base64: string, } | { "answer": "status",
/**
 * The daemon's report about itself.
 */
status: DaemonStatus, };

/**
 * Argument of `claudecluster.plan.approve`. Of `plan`, `uri` and `taskId` at most one is given; without
 * any of them the goal's plan runs as it is.
 */
export type ApproveArgs = {
/**
 * The goal.
 */
goalId: GoalId,
/**
 * The plan as edited.
 */
plan?: Plan | null,
/**
 * The document with the plan as edited: its text as it is open, saved or not.
 */
uri?: string | null,
/**
 * Only this task, which is paused.
 */
taskId?: TaskId | null,
/**
 * The goal's plan as it was shown: refused as stale where the goal has another one by now. A
 * document that the server wrote knows it by itself.
 */
shown?: Plan | null, };

/**
 * Identifies the attempt of a job, and the try at running it.
 */
export type AttemptEpoch = {
/**
 * The goal.
 */
goal: GoalId,
/**
 * The part of the goal to run.
 */
work: JobWork,
/**
 * The attempt at it, counting from 1.
 */
attempt: AttemptId,
/**
 * Tells this try from every other one, of this daemon and of those before it.
 */
number: EpochNumber, };

/**
 * One try at one task: numbered from 1 within the task.
 */
export type AttemptId = number;

/**
 * Records the end of an attempt.
 */
export type AttemptOutcome = {
/**
 * `None` for success.
 */
stop: StopReason | null,
/**
 * The agent's closing words, or the reason in words.
 */
summary: string,
/**
 * The wait until the provider answers again, where the provider named one.
 */
retryAfter?: Span | null,
/**
 * The changes of the attempt. Kept for failed attempts too.
 */
changes: Array<FileChange>,
/**
 * The tokens and the cost of the attempt.
 */
usage: AgentUsage,
/**
 * Results of the task's own gates.
 */
gates: Array<GateResult>,
/**
 * The agent's session, for resuming.
 */
session?: string | null,
/**
 * The isolation used; `None` where the attempt ended before a sandbox was set up.
 */
sandbox?: SandboxKind | null,
/**
 * What that isolation is, and what it leaves open, as text for the user.
 */
isolation?: string,
/**
 * The transcript in the artifact store.
 */
transcript?: BlobId | null, };

/**
 * One try at a task.
 */
export type AttemptView = {
/**
 * Number within the task.
 */
id: AttemptId,
/**
 * The moment of the start.
 */
startedAt: Timestamp,
/**
 * The moment of the end.
 */
endedAt?: Timestamp | null,
/**
 * Why it stopped short, if it did.
 */
stop?: StopReason | null,
/**
 * The agent's closing words, or the reason in words.
 */
summary?: string,
/**
 * The tokens and the cost of the attempt.
 */
usage: AgentUsage,
/**
 * The isolation used; unknown until the attempt has ended.
 */
sandbox?: SandboxKind | null,
/**
 * What that isolation is, and what it leaves open, as text for the user.
 */
isolation?: string, };

/**
 * A blob in the artifact store: the lower-case hexadecimal BLAKE3 hash of its bytes.
 */
export type BlobId = string;

/**
 * Lists the calls a client can make.
 */
export type Call = { "method": "submit",
/**
 * The goal.
 */
spec: GoalSpec,
/**
 * Start it even where a goal that is not settled does the same.
 */
again: boolean, } | { "method": "goals" } | { "method": "goal",
/**
 * The goal.
 */
goalId: GoalId, } | { "method": "watch",
/**
 * Only this goal.
 */
goalId: GoalId | null,
/**
 * Start after this event; `None` for live only.
 */
after: EventSeq | null,
/**
 * Whether somebody looks at the stream who can answer questions. Questions about hosts of the network
 * wait for an answer only while there is such a person, or an editor.
 */
attended?: boolean, } | { "method": "hunks",
/**
 * Only this goal.
 */
goalId: GoalId | null,
/**
 * Only this file.
 */
path: RelPath | null, } | { "method": "diff",
/**
 * The goal.
 */
goalId: GoalId,
/**
 * Only hunks of this task.
 */
taskId: TaskId | null,
/**
 * Only hunks in this file.
 */
path: RelPath | null,
/**
 * Only this hunk.
 */
hunkId: HunkId | null, } | { "method": "content",
/**
 * The goal.
 */
goalId: GoalId,
/**
 * The file.
 */
path: RelPath,
/**
 * The text to return.
 */
side: PendingSide, } | { "method": "decide",
/**
 * The decision to carry out.
 */
decision: Decision, } | { "method": "cancel",
/**
 * The goal.
 */
goalId: GoalId, } | { "method": "retry",
/**
 * The goal.
 */
goalId: GoalId,
/**
 * Only this task.
 */
taskId: TaskId | null, } | { "method": "approve",
/**
 * The goal.
 */
goalId: GoalId,
/**
 * The plan as edited.
 */
plan: Plan | null,
/**
 * The goal's plan as it was shown: refused where the goal has another one by now.
 */
shown?: Plan | null,
/**
 * Only this task, which is paused.
 */
taskId?: TaskId | null, } | { "method": "permissions" } | { "method": "permit",
/**
 * The answer and the request it belongs to.
 */
answer: PermissionAnswer, } | { "method": "artifacts",
/**
 * The goal.
 */
goalId: GoalId, } | { "method": "blob",
/**
 * The identifier of the blob.
 */
id: BlobId, } | { "method": "status" } | { "method": "stop",
/**
 * End it even while goals run; they are resumed by the next daemon.
 */
force: boolean, };

/**
 * Names the change to one file.
 */
export type ChangeKind = "create" | "modify" | "delete" | "rename" | "mode";

/**
 * Limits of a change set.
 */
export type ChangeLimits = {
/**
 * Bytes of one file, before or after.
 */
fileBytes: number,
/**
 * Bytes of all changed files together; of each, the larger of before and after counts.
 */
totalBytes: number,
/**
 * Changed files.
 */
files: number,
/**
 * Files that are named as left out.
 */
refusals: number, };

/**
 * Answer of `claudecluster/changes`.
 */
export type Changes = {
/**
 * The documents with pending hunks.
 */
documents: Array<DocumentChanges>, };

/**
 * Parameters of `claudecluster/changes`.
 */
export type ChangesParams = {
/**
 * Only this document; all documents where there is none.
 */
uri: string | null, };

/**
 * A program with its arguments, or one string for the sandbox's shell.
 */
export type Command = string | Array<string>;

/**
 * Both sides of a conflict.
 */
export type ConflictView = {
/**
 * The text both sides started from.
 */
base: string,
/**
 * The current text; where the hunk's `minePending` says so, what another task proposes for the
 * same lines.
 */
mine: string,
/**
 * The proposed version.
 */
theirs: string, };

/**
 * Names the purpose of a connection.
 */
export type ConnectionPurpose = { "lsp": {
/**
 * The editor's environment, reduced to what workers may see. The daemon may have been started
 * from somewhere else, without the editor's keys and search path.
 */
env: Array<EnvVar>, } } | "requests";

/**
 * Bytes that are base64 in JSON.
 */
export type ContentBytes = string;

/**
 * A content, or a part of it. Parts of one content come in order, without another part of it between.
 */
export type ContentPart = {
/**
 * The hash of the whole content.
 */
id: BlobId,
/**
 * The bytes; `None` if the sender has no such content.
 */
data: ContentBytes | null,
/**
 * Says whether more parts follow.
 */
more?: boolean, };

/**
 * `$CLAUDECLUSTER_HOME/daemon.json`: how to find the daemon. Mode 0600.
 */
export type DaemonFile = {
/**
 * Its process id.
 */
pid: number,
/**
 * Its [`VERSION`].
 */
version: string,
/**
 * The local socket, absolute.
 */
socket: string,
/**
 * What a client shows in its [`Hello`]. Each daemon makes its own.
 */
secret?: SocketSecret | null,
/**
 * The HTTP address, once it serves one.
 */
http?: string | null,
/**
 * The token HTTP requests carry.
 */
token?: string | null, };

/**
 * Reports the state of the daemon.
 */
export type DaemonStatus = {
/**
 * Its [`VERSION`].
 */
version: string,
/**
 * Its process id.
 */
pid: number,
/**
 * Seconds since it started.
 */
uptimeSecs: number,
/**
 * Goals in which work goes on.
 */
activeGoals: number,
/**
 * Attempts that run now.
 */
runningAttempts: number,
/**
 * Editors attached.
 */
editors: number,
/**
 * The last event in the journal.
 */
lastSeq: EventSeq,
/**
 * Its state folder.
 */
home: string, };

/**
 * A hunk that was decided, with the last decision about it.
 */
export type DecidedHunk = {
/**
 * The hunk.
 */
id: HunkId,
/**
 * The file.
 */
path: RelPath,
/**
 * The fate of the hunk.
 */
fate: HunkFate,
/**
 * The tasks that made it.
 */
tasks: Array<TaskId>,
/**
 * The moment of the decision.
 */
at: Timestamp, };

/**
 * Hunks to decide, and how.
 */
export type Decision = {
/**
 * The goal.
 */
goalId: GoalId,
/**
 * Accept, reject or undo.
 */
verdict: Verdict,
/**
 * Only hunks of this task.
 */
taskId: TaskId | null,
/**
 * Only hunks in this file. Naming a file or a hunk is the explicit look that held changes need.
 */
path: RelPath | null,
/**
 * Only this hunk.
 */
hunkId: HunkId | null,
/**
 * The client has put the edit into the text itself: only look whether it is there.
 */
applied: boolean,
/**
 * Why, for a rejection.
 */
reason: string | null,
/**
 * The text chosen for a conflict, for [`Verdict::Resolve`](crate::event::Verdict::Resolve).
 */
resolution: Resolution | null,
/**
 * Sends a rejection back to the worker as a repair turn. Default: as configured, where there
 * is a reason.
 */
repair: boolean | null, };

/**
 * Reports the result of a decision.
 */
export type DecisionReport = {
/**
 * Hunks decided as asked.
 */
decided: number,
/**
 * Hunks left because they conflict.
 */
conflicts: number,
/**
 * Hunks left because they need an explicit look.
 */
held: number,
/**
 * Files written or edited.
 */
files: Array<RelPath>,
/**
 * Files that could not be landed, and why.
 */
failed: Array<FileFailure>,
/**
 * Hunks left because the lines they touch are being edited right now.
 */
waiting: number,
/**
 * The task that was added to repair what was rejected or conflicts.
 */
repair?: TaskId | null,
/**
 * Why none was added, where the reason given would have called for one.
 */
unrepaired?: ErrorBody | null,
/**
 * The goal's state after it.
 */
state: GoalState | null,
/**
 * The goal's hunks after it.
 */
hunks: HunkCounts, };

/**
 * Names the scope of a goal that gives none.
 */
export type DefaultScope = "open" | "workspace";

/**
 * Pending hunks of one document.
 */
export type DocumentChanges = {
/**
 * The document.
 */
uri: string,
/**
 * The version the positions are for; `None` where no editor has it open.
 */
version: number | null,
/**
 * The hunks in the order of their lines.
 */
hunks: Array<HunkView>, };

/**
 * Identifies the text an edit applies to, beside the version: a client that counts anew when it
 * opens a document again does not tell two texts apart by that.
 */
export type EditChecksum = {
/**
 * Of the text in UTF-8, without carriage returns and without the line feed at its end: from 0, for each
 * byte, `sum = (sum * 65599 + byte + 1) % 4294967291`.
 */
checksum: number, };

/**
 * Holds the settings of an editor. They are read under `claudecluster` in `initializationOptions`
 * (or at their top), in `workspace/configuration` and in `workspace/didChangeConfiguration`.
 *
 * The first six keys are defaults for goals started from this editor. Values of a goal override them,
 * and the daemon's limits apply to both.
 */
export type EditorSettings = {
/**
 * The agent for planning and for tasks that do not name one.
 */
agent: AgentName | null,
/**
 * The model for planning and for tasks that do not name one.
 */
model: string | null,
/**
 * The maximum number of tasks of one goal that run at once.
 */
jobs: number | null,
/**
 * The maximum cost of one goal, in US dollars.
 */
budgetUsd: Usd | null,
/**
 * Commands that must succeed on the merged result, for goals that do not name any.
 */
gates: Array<Command> | null,
/**
 * The default scope of a goal. Default: the open documents.
 */
scope: DefaultScope | null,
/**
 * Send `claudecluster/event` notifications: the client tells its user about proposals, failures
 * and plans itself. Default: `false`.
 */
events: boolean | null,
/**
 * Send `claudecluster/pending` notifications: the client shows pending hunks in its documents.
 * Default: `false`.
 */
pending: boolean | null,
/**
 * The client has two commands of its own: `claudecluster.client.prompt`, which takes `{uri, range}`
 * and asks for the text of a goal, and `claudecluster.client.reason`, which takes `{prompt, command,
 * argument}`, asks for a reason, and runs the command with the answer as the argument's `reason`.
 * Default: `false`.
 */
prompts: boolean | null,
/**
 * The contexts of the client's `textDocument/codeAction` requests hold all diagnostics of the document,
 * those of other servers and on other lines too. Default: `false`.
 */
diagnostics: boolean | null,
/**
 * The parameters of `workspace/applyEdit` have a key `claudecluster`, an [`EditChecksum`]: the client makes
 * the edit in no other text. Default: `false`.
 */
edits: boolean | null, };

/**
 * One environment variable.
 */
export type EnvVar = {
/**
 * Its name.
 */
name: string,
/**
 * Its value.
 */
value: string, };

/**
 * A number that no other job of any daemon on the same state folder has. Later jobs have higher ones.
 *
 * It is the fence against late results: what a worker says of any other job than the one that its
 * connection runs now is dropped.
 */
export type EpochNumber = number;

/**
 * An error as it crosses a wire: what is wrong, and what to do next.
 */
export type ErrorBody = {
/**
 * Whose move it is.
 */
kind: ErrorKind,
/**
 * A one-line description of the problem.
 */
message: string,
/**
 * The next step for the user, as one line.
 */
hint?: string | null, };

/**
 * Whose move it is when something failed.
 */
export type ErrorKind = "user" | "config" | "environment" | "stale" | "internal";

/**
 * One journaled fact.
 */
export type Event = {
/**
 * Position in the journal.
 */
seq: EventSeq,
/**
 * The moment of the event.
 */
at: Timestamp,
/**
 * The goal it happened to.
 */
goalId: GoalId, } & ({ "type": "goalSubmitted",
/**
 * The goal as the developer stated it.
 */
spec: GoalSpec, } | { "type": "snapshotTaken",
/**
 * The snapshot's manifest in the artifact store.
 */
manifest: BlobId,
/**
 * The number of files stored with their content: open, changed, and small untracked ones.
 * What every other file was is known without its content.
 */
files: number,
/**
 * Open buffers whose unsaved text it holds.
 */
unsaved: Array<RelPath>, } | { "type": "planRefused",
/**
 * The problems, one line each.
 */
errors: Array<string>,
/**
 * The session that gave it, which the repair goes on from.
 */
session?: string | null,
/**
 * The tokens and the cost of the session.
 */
usage: AgentUsage, } | { "type": "plannerTranscript",
/**
 * The transcript in the artifact store.
 */
transcript: BlobId, } | { "type": "planningStopped",
/**
 * Why.
 */
stop: StopReason,
/**
 * The reason in words.
 */
summary: string,
/**
 * The tokens and the cost of the session.
 */
usage: AgentUsage, } | { "type": "planned",
/**
 * The plan.
 */
plan: Plan,
/**
 * The session that made it, which workers may fork.
 */
session: string | null,
/**
 * The tokens and the cost of the session.
 */
usage: AgentUsage, } | { "type": "approvalRequested" } | { "type": "planApproved",
/**
 * The plan as approved, where it was edited.
 */
plan: Plan | null, } | { "type": "taskChanged",
/**
 * The task.
 */
taskId: TaskId,
/**
 * Its state now.
 */
state: TaskState, } | { "type": "attemptStarted",
/**
 * The task.
 */
taskId: TaskId,
/**
 * The attempt.
 */
attempt: AttemptId,
/**
 * The finished tasks whose results it builds on, in the order they finished: everything it
 * depends on, and whatever else wrote where it is expected to write.
 */
upstream?: Array<TaskId>, } | { "type": "attemptEnded",
/**
 * The task.
 */
taskId: TaskId,
/**
 * The attempt.
 */
attempt: AttemptId,
/**
 * The outcome of the attempt.
 */
outcome: AttemptOutcome, } | { "type": "retryScheduled",
/**
 * The task.
 */
taskId: TaskId,
/**
 * The earliest moment of the next start.
 */
notBefore: Timestamp,
/**
 * The note to the next attempt about the last one.
 */
lesson: string, } | { "type": "interrupted",
/**
 * Whether the daemon was stopped or ended unexpectedly.
 */
stop: StopReason, } | { "type": "proposed",
/**
 * The files of the proposal.
 */
files: Array<ProposedFile>, } | { "type": "gated",
/**
 * The result of each gate.
 */
results: Array<GateResult>, } | { "type": "reviewed",
/**
 * The file.
 */
path: RelPath,
/**
 * The index of the entry among those of the file.
 */
entry: number,
/**
 * The verdict.
 */
verdict: Verdict,
/**
 * The hunks it was about.
 */
hunks: Array<HunkId>,
/**
 * The pair of texts after it.
 */
base: FileVersion | null,
/**
 * The pair of texts after it.
 */
proposed: FileVersion | null,
/**
 * For a landing: the text that was expected and the text that was observed.
 */
landed: LandedContent | null,
/**
 * Why, in the developer's words.
 */
reason: string | null,
/**
 * For an undo or a redo: which of the entry's moves it takes back, counting from 0.
 */
of?: number | null,
/**
 * The decision it is a part of: the same number for all facts of one decision, another one for
 * those of any other. Journals of older versions lack it.
 */
decision?: number | null, } | { "type": "landingBegun",
/**
 * The file.
 */
path: RelPath,
/**
 * The index of the entry among those of the file.
 */
entry: number,
/**
 * The verdict.
 */
verdict: Verdict,
/**
 * The hunks it is about.
 */
hunks: Array<HunkId>,
/**
 * The pair of texts after it.
 */
base: FileVersion | null,
/**
 * The pair of texts after it.
 */
proposed: FileVersion | null,
/**
 * The text that is expected and the text that is to be.
 */
landed: LandedContent,
/**
 * For an undo or a redo: which of the entry's moves it takes back.
 */
of?: number | null,
/**
 * Why, in the developer's words.
 */
reason?: string | null,
/**
 * The text is an editor's: what the disk holds says nothing about it until it is saved.
 */
open?: boolean, } | { "type": "landingDropped",
/**
 * The file.
 */
path: RelPath,
/**
 * The index of the entry among those of the file.
 */
entry: number, } | { "type": "taskAdded",
/**
 * The task.
 */
task: TaskSpec,
/**
 * The conflict or refusal to repair.
 */
repair: RepairSpec, } | { "type": "amended",
/**
 * The task that made it.
 */
taskId: TaskId,
/**
 * The entries as they are now, new ones included.
 */
files: Array<ProposedFile>, } | { "type": "applied",
/**
 * Hunks that landed.
 */
landed: number,
/**
 * Hunks left because they conflict.
 */
conflicts: number,
/**
 * Hunks left because they need an explicit look.
 */
held: number,
/**
 * Files that could not be landed, and why; or why nothing could.
 */
failed: Array<ErrorBody>, } | { "type": "permissionAsked",
/**
 * The request as it is now.
 */
request: PermissionRequest, } | { "type": "permissionAnswered",
/**
 * The request.
 */
requestId: PermissionId,
/**
 * The answer.
 */
decision: PermissionDecision,
/**
 * The tasks the answer covers.
 */
scope: PermissionScope,
/**
 * Why.
 */
reason?: string | null,
/**
 * The client that answered: an editor or the command line.
 */
by?: string | null, } | { "type": "permissionWithdrawn",
/**
 * The request.
 */
requestId: PermissionId, } | { "type": "networkUsed",
/**
 * The task; `None` for the planner and the goal's gates.
 */
taskId?: TaskId | null,
/**
 * The hosts, at most [`NAMED_HOSTS`](crate::network::NAMED_HOSTS).
 */
hosts: Array<HostTraffic>,
/**
 * The number of connections to hosts beyond those listed.
 */
more: number, } | { "type": "goalChanged",
/**
 * Its state now.
 */
state: GoalState,
/**
 * Why it failed, if it did.
 */
error: ErrorBody | null, });

/**
 * Position of an event in the journal. Starts at 1, has no gaps.
 */
export type EventSeq = number;

/**
 * One file's change, as one attempt left it.
 */
export type FileChange = {
/**
 * The file.
 */
path: RelPath,
/**
 * For a rename: where it was.
 */
from?: RelPath | null,
/**
 * The version the attempt started from; `None` where the file did not exist.
 */
base?: FileVersion | null,
/**
 * The version the attempt left; `None` where the attempt deleted the file.
 */
proposed?: FileVersion | null, };

/**
 * A file that could not be landed.
 */
export type FileFailure = {
/**
 * The file.
 */
path: RelPath,
/**
 * Why, and what to do.
 */
error: ErrorBody, };

/**
 * Unix permission bits that survive landing: executable or not.
 */
export type FileMode = "regular" | "executable" | "symlink";

/**
 * Describes a file at one moment: its bytes and its mode.
 */
export type FileVersion = {
/**
 * The content; for a symbolic link its target.
 */
blob: BlobId,
/**
 * Kind and permission.
 */
mode: FileMode, };

/**
 * Records the result of a gate.
 */
export type GateResult = {
/**
 * The command.
 */
command: Command,
/**
 * Says whether the gate exited with status 0 within its time.
 */
passed: boolean,
/**
 * Its exit status; `None` where a signal or a timeout ended it.
 */
status: number | null,
/**
 * The end of its output.
 */
output: string,
/**
 * The duration in milliseconds.
 */
durationMs: number, };

/**
 * Argument of the commands that name a goal.
 */
export type GoalArgs = {
/**
 * The goal.
 */
goalId: GoalId,
/**
 * Only this task's work.
 */
taskId?: TaskId | null,
/**
 * Only this document.
 */
uri?: string | null,
/**
 * Why, for a rejection.
 */
reason?: string | null, };

/**
 * Something a goal left behind.
 */
export type GoalArtifact = {
/**
 * The blob with the bytes.
 */
id: BlobId,
/**
 * A file name for it.
 */
name: string,
/**
 * The kind of artifact: `transcript`, `file`, `snapshot`.
 */
kind: string,
/**
 * The task that made it.
 */
taskId?: TaskId | null,
/**
 * Its size in bytes; `None` where the store no longer has it.
 */
bytes: number | null, };

/**
 * A goal: what a developer asked for. Made by the daemon, short enough to type: `g` and a
 * number that counts up within one state folder (`g1`, `g2`, …).
 */
export type GoalId = string;

/**
 * Selects the files a goal may change. Changes elsewhere are kept apart and never land by an
 * accept of everything.
 */
export type GoalScope = {
/**
 * The way the files are chosen.
 */
kind: GoalScopeKind,
/**
 * For `open` (filled in by the daemon) and `files`: paths relative to the workspace.
 */
files?: Array<RelPath>,
/**
 * For `files`: globs relative to the workspace.
 */
globs?: Array<string>,
/**
 * The part of one file the developer pointed at.
 */
selection?: GoalSelection | null, };

/**
 * Names the way the files of a goal are chosen.
 */
export type GoalScopeKind = "open" | "workspace" | "files";

/**
 * A range of lines in one file. Lines count from 0; the end is exclusive.
 */
export type GoalSelection = {
/**
 * The file.
 */
path: RelPath,
/**
 * First line.
 */
startLine: number,
/**
 * One past the last line.
 */
endLine: number,
/**
 * The selected text, which finds the place again once lines have moved. The daemon fills the
 * field in.
 */
text?: SelectedText | null, };

/**
 * Describes a goal as the developer stated it.
 */
export type GoalSpec = {
/**
 * The workspace root, absolute, as the client names it.
 */
workspace: string,
/**
 * The goal in the developer's words. May be empty where a plan is given.
 */
prompt?: string,
/**
 * The files the goal may change.
 */
scope: GoalScope,
/**
 * A ready plan: no planner runs.
 */
plan?: Plan | null,
/**
 * The agent for planning and for tasks that name none. Default: configuration.
 */
agent?: AgentName | null,
/**
 * The model for planning and for tasks that name none. Default: configuration.
 */
model?: string | null,
/**
 * The number of tasks that may run at once. Default: the plan's, then configuration.
 */
jobs?: number | null,
/**
 * The most the goal may cost. Default: the plan's, then configuration.
 */
budgetUsd?: Usd | null,
/**
 * The longest time from submission to proposal. While all that could go on waits for
 * somebody, an approval of its plan or of a task or an answer to a worker, none of it passes; whoever
 * tries a goal again gives it all of it anew.
 */
timeout?: Span | null,
/**
 * Commands that must succeed on the merged result, beside the plan's own.
 */
gates?: Array<Command>,
/**
 * Stop once there is a valid plan and wait for approval.
 */
planOnly?: boolean,
/**
 * Land everything clean without asking.
 */
apply?: boolean,
/**
 * Nobody is to be asked: what would wait for an answer about a host of the network is denied at once.
 */
unattended?: boolean,
/**
 * Environment of the client that submitted the goal, reduced to what workers may see.
 */
env?: Array<EnvVar>, };

/**
 * Names the state of a goal.
 */
export type GoalState = "submitted" | "planning" | "awaitingApproval" | "running" | "merging" | "gating" | "proposed" | "landed" | "rejected" | "failed" | "cancelled";

/**
 * A goal in one line, for lists.
 */
export type GoalSummary = {
/**
 * Identifier.
 */
id: GoalId,
/**
 * The workspace root.
 */
workspace: string,
/**
 * The goal in the developer's words, or the plan's.
 */
prompt: string,
/**
 * The current state.
 */
state: GoalState,
/**
 * Tasks in all.
 */
tasks: number,
/**
 * Tasks that succeeded.
 */
succeeded: number,
/**
 * Tasks that run now.
 */
running: number,
/**
 * Permission requests that wait for an answer.
 */
permissionsWaiting: number,
/**
 * Tasks that wait for somebody's approval.
 */
paused: number,
/**
 * Hunks by fate.
 */
hunks: HunkCounts,
/**
 * The cost of the goal so far.
 */
costUsd: Usd,
/**
 * The moment the goal was submitted.
 */
submittedAt: Timestamp,
/**
 * The moment of the last change of state.
 */
updatedAt: Timestamp,
/**
 * Why it failed, if it did.
 */
error?: ErrorBody | null, };

/**
 * A goal with everything known about it.
 */
export type GoalView = {
/**
 * The goal as the developer stated it.
 */
spec: GoalSpec,
/**
 * The plan, once there is one.
 */
plan?: Plan | null,
/**
 * The tasks in the plan's order.
 */
tasksDetail: Array<TaskView>,
/**
 * The goal's gates and their results.
 */
gates: Array<GateResult>,
/**
 * The permission requests that wait for an answer, oldest first.
 */
permissions?: Array<PermissionRequest>,
/**
 * The hunks that were decided, in the order of files, oldest first.
 */
decided?: Array<DecidedHunk>,
/**
 * The rest of the goal's time, where the goal has a limit.
 */
timeLeft?: Span | null,
/**
 * The hosts of the network that the goal's programs asked for, in the order of names.
 */
network?: Array<HostTraffic>,
/**
 * Identifier.
 */
id: GoalId,
/**
 * The workspace root.
 */
workspace: string,
/**
 * The goal in the developer's words, or the plan's.
 */
prompt: string,
/**
 * The current state.
 */
state: GoalState,
/**
 * Tasks in all.
 */
tasks: number,
/**
 * Tasks that succeeded.
 */
succeeded: number,
/**
 * Tasks that run now.
 */
running: number,
/**
 * Permission requests that wait for an answer.
 */
permissionsWaiting: number,
/**
 * Tasks that wait for somebody's approval.
 */
paused: number,
/**
 * Hunks by fate.
 */
hunks: HunkCounts,
/**
 * The cost of the goal so far.
 */
costUsd: Usd,
/**
 * The moment the goal was submitted.
 */
submittedAt: Timestamp,
/**
 * The moment of the last change of state.
 */
updatedAt: Timestamp,
/**
 * Why it failed, if it did.
 */
error?: ErrorBody | null, };

/**
 * Why a change is kept apart and never lands without being named.
 */
export type HeldReason = "outOfScope" | "selfArming" | "partial" | "gateFailed" | "listed" | "secret";

/**
 * First line of a connection.
 */
export type Hello = {
/**
 * The client's [`VERSION`].
 */
version: string,
/**
 * The purpose of the connection.
 */
purpose: ConnectionPurpose,
/**
 * The daemon's secret, as its [`DaemonFile`] has it.
 */
secret?: SocketSecret | null, };

/**
 * Counts the connections of a job, or of a goal, to one port of one host.
 */
export type HostTraffic = {
/**
 * The host: a name in lower case, or an address.
 */
host: string,
/**
 * The port.
 */
port: number,
/**
 * Connections that were allowed.
 */
allowed: number,
/**
 * Connections that were denied.
 */
denied: number,
/**
 * Bytes sent to the host.
 */
sent: number,
/**
 * Bytes received from the host.
 */
received: number, };

/**
 * Argument of the commands that name a hunk.
 */
export type HunkArgs = {
/**
 * The hunk.
 */
hunkId: HunkId,
/**
 * Why, for a rejection.
 */
reason?: string | null,
/**
 * The client has applied the edit itself (code action): only look whether it is there.
 */
applied: boolean, };

/**
 * A hunk count by fate.
 */
export type HunkCounts = {
/**
 * Clean and waiting for a decision.
 */
pending: number,
/**
 * In the user's text.
 */
landed: number,
/**
 * Taken back.
 */
rejected: number,
/**
 * Waiting, and in the way of something else.
 */
conflicts: number,
/**
 * Landed once and taken back since. They wait again, so `pending` or `conflicts` has them too.
 */
undone: number, };

/**
 * Names the fate of a hunk.
 */
export type HunkFate = "landed" | "resolved" | "rejected" | "undone";

/**
 * A reviewable change. Stable while text above, below and beside it changes. It names its goal
 * (`g1.4f2a90c1`), so that a hunk command needs no second argument.
 */
export type HunkId = string;

/**
 * Records the origin of lines of a text, or the change proposed to them. Lines count from 0;
 * ranges are half-open.
 */
export type HunkOrigin = {
/**
 * The goal.
 */
goalId: GoalId,
/**
 * The goal in the developer's words.
 */
prompt: string,
/**
 * The hunk.
 */
hunkId: HunkId,
/**
 * Says whether the hunk is in the text.
 */
state: HunkOriginState,
/**
 * First line in the current text.
 */
startLine: number,
/**
 * One past the last line in the current text.
 */
endLine: number,
/**
 * The tasks that made it, first the one that decided its final text.
 */
provenance: Array<Provenance>,
/**
 * The moment the hunk landed.
 */
landedAt?: Timestamp | null, };

/**
 * Says whether a hunk is in the text.
 */
export type HunkOriginState = "pending" | "conflict" | "landed";

/**
 * Compares a pending hunk with the current text.
 */
export type HunkStatus = "clean" | "conflict";

/**
 * A reviewable change with its place in the current text. Lines count from 0; ranges are
 * half-open.
 */
export type HunkView = {
/**
 * Stable identifier.
 */
id: HunkId,
/**
 * The file.
 */
path: RelPath,
/**
 * The change to the file; `modify` for a hunk of text.
 */
kind: ChangeKind,
/**
 * For a rename: where the file was.
 */
from?: RelPath | null,
/**
 * Says that the hunk is decided together with its file and has no lines of its own: a file
 * that is created, deleted, renamed, no text, or gets another mode.
 */
whole?: boolean,
/**
 * Says whether the hunk can land as it is.
 */
status: HunkStatus,
/**
 * Why it is kept apart, if it is.
 */
held?: Array<HeldReason>,
/**
 * Which program runs the file and when, if one does so of its own accord. Clients show it as a mark.
 */
runs?: string | null,
/**
 * First line it replaces in the current text.
 */
startLine: number,
/**
 * One past the last line it replaces in the current text.
 */
endLine: number,
/**
 * The lines it removes, as they stand in the current text.
 */
oldText: string,
/**
 * The lines it puts there.
 */
newText: string,
/**
 * The change refined to words, where that says more than the lines; empty otherwise.
 */
words?: Array<HunkWord>,
/**
 * Both sides, where it conflicts and is text.
 */
conflict?: ConflictView | null,
/**
 * For a conflict: who made the other side, as far as tasks did; empty where the developer did.
 */
mineBy?: Array<Provenance>,
/**
 * The other side is not there: it is what another task of the goal proposes, and no more decided than
 * this one. What is there nobody has changed since.
 */
minePending?: boolean,
/**
 * The current text with the proposed words merged into it, where both changed different words
 * of the same lines. A conflict can be resolved with this text. A clean hunk with this field
 * lands as this text, and only the daemon can land it.
 */
merged?: string | null,
/**
 * The tasks that made it, first the one that decided its final text.
 */
provenance: Array<Provenance>, };

/**
 * Part of a hunk refined to words. The parts that are not added make up the old text, those that
 * are not removed the new one.
 */
export type HunkWord = {
/**
 * The change to this part.
 */
kind: HunkWordKind,
/**
 * The text.
 */
text: string, };

/**
 * Names the change to a part of a hunk.
 */
export type HunkWordKind = "same" | "removed" | "added";

/**
 * Deadlines of a job beside those of its session.
 */
export type JobDeadlines = {
/**
 * For making the view of the workspace, and again for reading what changed in it.
 */
view: Span,
/**
 * For each gate.
 */
gate: Span, };

/**
 * Variables of a job. Written to logs without their values.
 */
export type JobEnv = Array<EnvVar>;

/**
 * Reports the end of a job.
 */
export type JobReport = {
/**
 * Why it failed; `None` for success.
 */
stop?: StopReason | null,
/**
 * The agent's closing words, or what went wrong.
 */
summary: string,
/**
 * The agent's structured answer, where the session has a schema.
 */
answer?: unknown,
/**
 * The tokens and the cost of the session.
 */
usage: AgentUsage,
/**
 * The agent's session, for resuming and forking it.
 */
session?: string | null,
/**
 * The wait until the provider answers again, where the provider named one.
 */
retryAfter?: Span | null,
/**
 * The changes of the attempt, in the order of paths; collected for failed attempts too.
 */
changes: Array<ReportedChange>,
/**
 * Changed files that are not among the changes, the first of them by name.
 */
leftOut: Array<LeftOutFile>,
/**
 * The number of files left out beyond those listed.
 */
leftOutMore: number,
/**
 * The layer that the attempt left: the identifier of [`Self::layer_manifest`].
 */
layer?: BlobId | null,
/**
 * The results of its gates, in their order. Fewer than gates if it was cancelled.
 */
gates: Array<GateResult>,
/**
 * The isolation used; `None` where the attempt ended before a sandbox was set up.
 */
sandbox?: SandboxKind | null,
/**
 * Why in that way, and what was different in it; empty where it never came to that.
 */
isolation: string,
/**
 * The hosts its programs asked for, at most [`NAMED_HOSTS`](crate::network::NAMED_HOSTS).
 */
hosts: Array<HostTraffic>,
/**
 * The number of connections to hosts beyond those listed.
 */
hostsMore: number,
/**
 * Everything the agent wrote, line by line; `None` if it wrote nothing.
 */
transcript?: BlobId | null, };

/**
 * Names the part of a goal that a job runs.
 */
export type JobWork = { "type": "planner" } | { "type": "task",
/**
 * The task.
 */
task: TaskId, } | { "type": "gates" };

/**
 * The content of a file before and after a landing: what makes it happen at most once.
 */
export type LandedContent = {
/**
 * The file before; `None` where it did not exist.
 */
before: BlobId | null,
/**
 * The file after; `None` where it was deleted.
 */
after: BlobId | null,
/**
 * Kind and permission before.
 */
modeBefore?: FileMode,
/**
 * Kind and permission after.
 */
modeAfter?: FileMode, };

/**
 * An attempt of the same goal that left a layer.
 */
export type LayerMaker = {
/**
 * The task.
 */
task: TaskId,
/**
 * The attempt at it.
 */
attempt: AttemptId, };

/**
 * Lists the files of a layer, each with its version or as deleted.
 *
 * Its bytes are canonical, so that equal layers have equal identifiers: JSON without space, paths in the
 * order of their bytes.
 */
export type LayerManifest = { [key in RelPath]: FileVersion | null };

/**
 * A layer of a job.
 */
export type LayerRef = {
/**
 * The layer's manifest: the hash of [`LayerManifest::to_bytes`].
 */
manifest: BlobId,
/**
 * The attempt that left the layer, if one did. A worker that still has that attempt's own folder uses
 * it: it holds what version control ignores as well.
 */
madeBy?: LayerMaker | null, };

/**
 * A file that a job changed and that is not among its changes.
 */
export type LeftOutFile = {
/**
 * The file.
 */
path: RelPath,
/**
 * Why, in words.
 */
reason: string, };

/**
 * Whole lines. They count from 0; the end is exclusive.
 */
export type LineRange = {
/**
 * First line.
 */
startLine: number,
/**
 * One past the last line.
 */
endLine: number, };

/**
 * A message from a worker to the daemon.
 */
export type MessageFromWorker = { "type": "hello",
/**
 * The version of the protocol that the worker speaks.
 */
version: number,
/**
 * The version of the worker's program, for people.
 */
program: string,
/**
 * The agents it can run.
 */
agents: Array<AgentName>, } | { "type": "accepted",
/**
 * The job.
 */
epoch: EpochNumber, } | { "type": "alive" } | { "type": "event",
/**
 * The job.
 */
epoch: EpochNumber,
/**
 * The activity.
 */
event: AgentEvent, } | { "type": "question",
/**
 * The job.
 */
epoch: EpochNumber,
/**
 * A number that no other question of the job has.
 */
question: number,
/**
 * The use.
 */
request: ToolRequest, } | { "type": "withdrawn",
/**
 * The job.
 */
epoch: EpochNumber,
/**
 * The question.
 */
question: number, } | { "type": "fetch",
/**
 * The content.
 */
id: BlobId, } | { "type": "content" } & ContentPart | { "type": "report",
/**
 * The job.
 */
epoch: EpochNumber,
/**
 * The report of the job.
 */
report: JobReport, } | { "type": "released",
/**
 * The job.
 */
epoch: EpochNumber, } | { "type": "refused",
/**
 * The job it refuses; `None` if it refuses the connection.
 */
epoch?: EpochNumber | null,
/**
 * Why, and what to do.
 */
error: ErrorBody, };

/**
 * A message from the daemon to a worker.
 */
export type MessageToWorker = { "type": "hello",
/**
 * The version of the protocol that the daemon speaks.
 */
version: number,
/**
 * The longest time between two messages of the worker, at least
 * [`MessageFromWorker::Alive`].
 */
heartbeat: Span, } | { "type": "start",
/**
 * The job.
 */
job: WorkerJob,
/**
 * The number of events the worker may send.
 */
credit: number, } | { "type": "credit",
/**
 * The job.
 */
epoch: EpochNumber,
/**
 * The number of further events allowed.
 */
events: number, } | { "type": "answer",
/**
 * The job.
 */
epoch: EpochNumber,
/**
 * The number the worker gave the question.
 */
question: number,
/**
 * The answer; `None` if there is nobody to ask, which counts as a denial.
 */
reply: QuestionReply | null, } | { "type": "cancel",
/**
 * The job.
 */
epoch: EpochNumber, } | { "type": "fetch",
/**
 * The content.
 */
id: BlobId, } | { "type": "content" } & ContentPart | { "type": "release",
/**
 * The job.
 */
epoch: EpochNumber,
/**
 * Says whether later jobs may build on the job's layer. If not, the worker may delete the
 * files of the job.
 */
keepLayer: boolean, };

/**
 * Decides about hosts that no list names.
 */
export type NetworkMode = "closed" | "ask" | "open";

/**
 * The network of a job.
 */
export type NetworkPolicy = {
/**
 * What happens to hosts that no list names.
 */
mode: NetworkMode,
/**
 * Hosts that are allowed: `example.org`, `*.example.org`, `example.org:8443`, `10.0.0.5:5432`.
 */
allow: Array<string>,
/**
 * Package registries, in the same form.
 */
registries: Array<string>,
/**
 * Ports of the machine's own loopback address that are handed in.
 */
loopback: Array<number>,
/**
 * The longest wait for an answer. Then the host is denied.
 */
answerTimeout: Span, };

/**
 * Answer of `claudecluster/content`.
 */
export type PendingContent = {
/**
 * The text; `None` where the file does not exist on that side.
 */
text: string | null, };

/**
 * Parameters of `claudecluster/content`.
 */
export type PendingContentParams = {
/**
 * The goal.
 */
goalId: GoalId,
/**
 * The document.
 */
uri: string,
/**
 * The text to read.
 */
side: PendingSide, };

/**
 * Selects a text of a pending file.
 */
export type PendingSide = "base" | "proposed" | "merged";

/**
 * An answer to a permission request.
 */
export type PermissionAnswer = {
/**
 * The request.
 */
requestId: PermissionId,
/**
 * The answer.
 */
decision: PermissionDecision,
/**
 * The tasks the answer covers.
 */
scope: PermissionScope,
/**
 * Why, for a denial: the worker is told.
 */
reason?: string | null, };

/**
 * Answers a permission request.
 */
export type PermissionDecision = "allow" | "deny";

/**
 * A permission request. Made by the daemon, short enough to type: `p` and a number that counts up
 * within one state folder (`p1`, `p2`, …).
 */
export type PermissionId = string;

/**
 * Names the kind of access a tool wants.
 */
export type PermissionKind = "network" | "command" | "file";

/**
 * A worker waits until somebody allows or denies what it wants to do.
 *
 * Workers of one goal that want exactly the same share one request. Its identifier stands for this tool
 * with this input and is never used for anything else, so an answer cannot come to mean something that
 * nobody has looked at.
 */
export type PermissionRequest = {
/**
 * Identifier.
 */
id: PermissionId,
/**
 * The goal.
 */
goalId: GoalId,
/**
 * The tasks that wait for the answer, in the order they asked. None: the planner waits.
 */
taskIds: Array<TaskId>,
/**
 * The tool, as its agent names it.
 */
tool: string,
/**
 * A description of the use, for people: an address, a command, or all of its input as JSON.
 */
detail: string,
/**
 * The kind of access the tool wants; `None` where it is of no known kind.
 */
kind?: PermissionKind | null,
/**
 * The whole input, as canonical JSON in the artifact store. Being the hash of its bytes, it is what
 * an answer is bound to.
 */
input: BlobId,
/**
 * The moment the first of the tasks asked.
 */
askedAt: Timestamp, };

/**
 * Says which tasks an answer covers. It always concerns this tool with exactly this input.
 */
export type PermissionScope = "once" | "task" | "goal" | "always";

/**
 * A task graph with its gates and limits.
 */
export type Plan = {
/**
 * The purpose of the plan, as plain text.
 */
goal: string,
/**
 * Commands that must succeed on the merged result of all tasks.
 */
gates: Array<Command>,
/**
 * The maximum number of tasks that run at once. Default: the daemon's limit.
 */
maxParallel: number | null,
/**
 * The maximum cost of the whole goal, in US dollars.
 */
budgetUsd: Usd | null,
/**
 * The tasks, in the order they were written.
 */
tasks: Array<TaskSpec>, };

/**
 * Argument of `claudecluster.plan.open`.
 */
export type PlanArgs = {
/**
 * The goal.
 */
goalId: GoalId, };

/**
 * Answer of `claudecluster.plan.open`. The client is also asked to show the document, if it can.
 */
export type PlanDocument = {
/**
 * The document: a JSON file below the state folder.
 */
uri: string, };

/**
 * One file of a proposal: a pair of versions, with who made it.
 *
 * A file on which tasks disagree has several entries. The first holds everything that merged; each
 * further one is an alternative that conflicts with it.
 */
export type ProposedFile = {
/**
 * The file.
 */
path: RelPath,
/**
 * For a rename: where it was.
 */
from?: RelPath | null,
/**
 * 0 for the merged entry, then counting up.
 */
entry: number,
/**
 * The version with everything already decided, or the original one.
 */
base: FileVersion | null,
/**
 * The proposed version.
 */
proposed: FileVersion | null,
/**
 * Why the file needs an explicit look.
 */
held?: Array<HeldReason>,
/**
 * Each contributing task's own version, for provenance per hunk.
 */
versions: Array<TaskVersion>, };

/**
 * Names the task and agent that made a hunk.
 */
export type Provenance = {
/**
 * The task.
 */
task: TaskId,
/**
 * The task's title.
 */
title: string,
/**
 * The attempt of that task.
 */
attempt: AttemptId,
/**
 * Why, in the task's own closing words; filled in for views, not journaled.
 */
why?: string | null, };

/**
 * The answer to a [`ToolRequest`].
 */
export type QuestionReply = {
/**
 * Allows or denies the tool.
 */
decision: PermissionDecision,
/**
 * Why, for a denial.
 */
reason?: string | null, };

/**
 * The text that a range was made for. Only the server makes it, and only the server reads it.
 */
export type RangeAnchor = {
/**
 * The document's version, as its client counts.
 */
version: number,
/**
 * Tells the lines of the range apart from others.
 */
hash: string, };

/**
 * A path relative to the workspace root: `/`-separated, no empty, `.` or `..` part, no NUL, never
 * absolute.
 *
 * File names are bytes on Unix and text on every wire. A byte that does not belong to valid UTF-8
 * is written as the private-use character `U+10FF80 + (byte - 0x80)`, and so are the bytes of
 * those characters themselves, so that every file name has exactly one form here and back.
 */
export type RelPath = string;

/**
 * Why a repair task was added.
 */
export type RepairCause = "taskConflict" | "rejected" | "conflict";

/**
 * Names the cause of a task that was added to a plan as a repair.
 */
export type RepairSpec = {
/**
 * Why it is there.
 */
cause: RepairCause,
/**
 * The hunks it is about: rejected ones, or the conflict it resolves.
 */
hunks?: Array<HunkId>,
/**
 * The files it is about.
 */
files: Array<RelPath>,
/**
 * The tasks whose work it repairs, first the one whose session it goes on from.
 */
of: Array<TaskId>,
/**
 * Why, in the developer's words.
 */
reason?: string | null, };

/**
 * A reply to the request with the same number. `Watch` gets many.
 */
export type Reply = {
/**
 * The request's number.
 */
id: number,
/**
 * The answer, or why there is none.
 */
result: { Ok : Answer } | { Err : ErrorBody }, };

/**
 * Reports the change a job made to one file.
 */
export type ReportedChange = {
/**
 * The file.
 */
path: RelPath,
/**
 * For a rename: where it was.
 */
from?: RelPath | null,
/**
 * The version the job left; `None` where the job deleted the file.
 */
version?: FileVersion | null, };

/**
 * A request, with a number that its replies repeat.
 */
export type Request = {
/**
 * Chosen by the client.
 */
id: number,
/**
 * The call to answer.
 */
call: Call, };

/**
 * Chooses the text of a conflict.
 */
export type Resolution = { "kind": "mine" } | { "kind": "theirs" } | { "kind": "both" } | { "kind": "merged" } | { "kind": "markers" } | { "kind": "text",
/**
 * The lines that take the conflict's place.
 */
text: string, } | { "kind": "repair" };

/**
 * Argument of `claudecluster.hunk.resolve`.
 */
export type ResolveArgs = {
/**
 * The hunk.
 */
hunkId: HunkId,
/**
 * The text chosen for the conflict.
 */
resolution: Resolution,
/**
 * The developer's instructions to the repair task.
 */
reason?: string | null, };

/**
 * What the programs of an attempt may take of the machine, all together.
 */
export type ResourceLimits = {
/**
 * Processes and threads at once.
 */
processes: number,
/**
 * Bytes of memory; `None` stands for three quarters of the machine's.
 */
memoryBytes?: number | null,
/**
 * Open files, those of each process counted.
 */
openFiles: number,
/**
 * Bytes of disk space for what the programs write; `None` sets no limit.
 */
diskBytes?: number | null, };

/**
 * Chooses the isolation of workers from the workspace.
 */
export type SandboxChoice = "auto" | "overlay" | "copy";

/**
 * Fences around the programs of an attempt.
 */
export type SandboxFences = {
/**
 * Files that programs cannot read.
 */
secrets: SecretRules,
/**
 * What programs may take of the machine.
 */
limits: ResourceLimits, };

/**
 * Names the isolation of an attempt from the workspace.
 */
export type SandboxKind = "overlay" | "copy";

/**
 * The scope as editors give it.
 */
export type ScopeArgs = {
/**
 * The way the files are chosen. Default: as the editor's settings say.
 */
kind?: GoalScopeKind | null,
/**
 * Documents, for `files`; the document the range is in, for a selection.
 */
uris?: Array<string>,
/**
 * Globs relative to the workspace, for `files`.
 */
globs?: Array<string>,
/**
 * The selected range in the first of `uris`.
 */
range?: LineRange | null,
/**
 * The text the range was made for, as the server put it into a code action. The range follows
 * its lines; a goal whose lines have changed meanwhile is refused as stale. Without it the
 * range is of the text as it is when the command arrives.
 */
anchor?: RangeAnchor | null, };

/**
 * Changes to the built-in list of files that programs cannot read. A path may start with `~/`.
 */
export type SecretRules = {
/**
 * Further files and folders that workers cannot read.
 */
hide: Array<string>,
/**
 * Files and folders of the list that workers can read.
 */
show: Array<string>, };

/**
 * The text of a selection, as it was when the goal was submitted.
 */
export type SelectedText = {
/**
 * The hash of its lines, as artifacts are named.
 */
hash: BlobId,
/**
 * The number of equal stretches above this one in the file.
 */
above: number, };

/**
 * Holds the secret that a client shows to the daemon: 64 hexadecimal digits. The debug form of this
 * type does not contain it.
 */
export type SocketSecret = string;

/**
 * A length of time in milliseconds; written `"90s"`, `"10m"`, `"1h 30m"` in files and options.
 */
export type Span = string;

/**
 * Why an attempt, or a planning session, ended without success. Each has its own retry policy.
 */
export type StopReason = "spawnFailed" | "crashed" | "startTimeout" | "silent" | "timeout" | "brokenStream" | "overloaded" | "auth" | "budget" | "turnLimit" | "refused" | "exitStatus" | "permissionDenied" | "gateFailed" | "invalidAnswer" | "changesRefused" | "daemonRestart" | "daemonCrash" | "cancelled" | "resources" | "resourceLimit";

/**
 * One item of the stream that watchers get.
 */
export type StreamItem = Event | AgentActivity;

/**
 * Argument of `claudecluster.goal.submit`. What is left out is as [`EditorSettings`] say.
 */
export type SubmitArgs = {
/**
 * The goal in the developer's words.
 */
prompt: string,
/**
 * The files the goal may change.
 */
scope: ScopeArgs | null,
/**
 * A ready plan.
 */
plan: Plan | null,
/**
 * The agent for planning and for tasks that name none.
 */
agent: AgentName | null,
/**
 * The model for planning and for tasks that name none.
 */
model: string | null,
/**
 * The number of tasks that may run at once.
 */
jobs: number | null,
/**
 * Commands that must succeed on the merged result.
 */
gates: Array<Command>,
/**
 * The most it may cost.
 */
budgetUsd: Usd | null,
/**
 * Start it even where a goal that is not settled does the same.
 */
again: boolean,
/**
 * Where a goal does the same, ask the user whether to start another: for those who do not look at the
 * answer. Default: as long as the client does not tell of events itself ([`EditorSettings::events`]).
 */
ask: boolean | null, };

/**
 * Answer of `claudecluster.goal.submit`.
 */
export type SubmittedGoal = {
/**
 * The goal: the new one, or the one that does the same already.
 */
goalId: GoalId,
/**
 * There where nothing was started, because this goal has the same words and place and is not settled.
 * It is `goal_id`.
 */
duplicateOf?: GoalId | null, };

/**
 * A task inside one goal's plan. Chosen by the plan; `[A-Za-z0-9][A-Za-z0-9._-]{0,63}`.
 */
export type TaskId = string;

/**
 * One unit of work for one worker session.
 */
export type TaskSpec = {
/**
 * The id, unique in the plan: at most 64 letters, digits, `.`, `_` and `-`, starting with a letter or
 * digit.
 */
id: TaskId,
/**
 * A short title for lists and trees. Default: the id.
 */
title?: string,
/**
 * The instructions for the agent. Required unless `run` is set.
 */
instructions?: string,
/**
 * Tasks on which this task depends. It starts after *all* of them have succeeded.
 */
dependsOn?: Array<TaskId>,
/**
 * Paths or globs, relative to the workspace, that the task is expected to write.
 */
writes?: Array<string>,
/**
 * The agent: `claude-code`, `native` or `command`. Default: `command` if `run` is set, otherwise the
 * goal's agent.
 */
agent?: AgentName | null,
/**
 * The model of the agent. Default: the goal's model.
 */
model?: string | null,
/**
 * The command that the agent `command` runs inside the sandbox.
 */
run?: Command | null,
/**
 * Commands that must succeed in the task's own sandbox before it counts as done.
 */
gates?: Array<Command>,
/**
 * The time limit for one attempt.
 */
timeout?: Span | null,
/**
 * The number of retries of a failed attempt. Default: the setting `retries`; a command that
 * exits with an error is not retried by default.
 */
retries?: number | null,
/**
 * The number of parallel attempts of which the best is kept. Only `1` is supported.
 */
candidates?: number | null,
/**
 * Whether the task needs an approval before it starts, after all its dependencies have succeeded.
 * Default: `false`.
 */
pause?: boolean,
/**
 * Environment variables for the `command` agent and the task's gates.
 */
env?: Record<string, string>, };

/**
 * Names the state of a task.
 */
export type TaskState = "waiting" | "ready" | "paused" | "running" | "succeeded" | "failed" | "skipped" | "cancelled";

/**
 * A file as one task left it.
 */
export type TaskVersion = {
/**
 * The version the task started from.
 */
base: FileVersion | null,
/**
 * The version the task left.
 */
proposed: FileVersion | null,
/**
 * The task.
 */
task: TaskId,
/**
 * The task's title.
 */
title: string,
/**
 * The attempt of that task.
 */
attempt: AttemptId,
/**
 * Why, in the task's own closing words; filled in for views, not journaled.
 */
why?: string | null, };

/**
 * A task with its attempts.
 */
export type TaskView = {
/**
 * Identifier within the plan.
 */
id: TaskId,
/**
 * Title for people.
 */
title: string,
/**
 * The current state.
 */
state: TaskState,
/**
 * The tasks this one depends on.
 */
dependsOn: Array<TaskId>,
/**
 * The agent that runs the task.
 */
agent: AgentName,
/**
 * The attempts, oldest first.
 */
attempts: Array<AttemptView>,
/**
 * Files the last attempt changed.
 */
changed: Array<RelPath>,
/**
 * The conflict or refusal to repair, for a task added as a repair.
 */
repair?: RepairSpec | null,
/**
 * The hosts of the network that its programs asked for, in the order of names.
 */
network?: Array<HostTraffic>, };

/**
 * Milliseconds since the Unix epoch, UTC.
 */
export type Timestamp = number;

/**
 * Lists the tools a session may use, as configured.
 */
export type ToolPermissions = {
/**
 * Tools that may be used though they are denied by default.
 */
allow: Array<string>,
/**
 * Tools that are asked about each time.
 */
ask: Array<string>,
/**
 * Tools that may not be used.
 */
deny: Array<string>,
/**
 * The longest wait for an answer. Then the tool is denied, and the session goes on.
 */
timeout: Span, };

/**
 * A use of a tool that somebody has to allow.
 */
export type ToolRequest = {
/**
 * The tool, as its agent names it.
 */
tool: string,
/**
 * A description of the use, for people.
 */
detail: string,
/**
 * The kind of access the tool wants.
 */
kind?: PermissionKind | null,
/**
 * Its whole input as canonical JSON: the same for the same input, whoever asks.
 */
input: string, };

/**
 * US dollars, kept as millionths; a plain number such as `2.5` on the wire.
 */
export type Usd = number;

/**
 * Names a decision about hunks, by a developer or by `--apply`.
 */
export type Verdict = "accept" | "reject" | "undo" | "redo" | "resolve";

/**
 * The daemon's answer to [`Hello`].
 */
export type Welcome = {
/**
 * The daemon's [`VERSION`].
 */
version: string,
/**
 * Its process id.
 */
pid: number,
/**
 * Why the connection is refused, if it is.
 */
error?: ErrorBody | null, };

/**
 * Everything a worker has to know to run one attempt.
 */
export type WorkerJob = {
/**
 * The attempt and its epoch.
 */
epoch: AttemptEpoch,
/**
 * The root of the workspace, absolute, as the agent sees it.
 */
workspace: string,
/**
 * The snapshot that the attempt's changes are compared with, where there is one.
 */
base?: BlobId | null,
/**
 * The layers over the workspace, the one that wins first.
 */
layers: Array<LayerRef>,
/**
 * The isolation to use for the attempt.
 */
sandbox: SandboxChoice,
/**
 * What its programs may reach of the network.
 */
network: NetworkPolicy,
/**
 * The agent's session; `None` for a job that only runs gates.
 */
session?: AgentTask | null,
/**
 * Variables added to the environment of the session. They hold keys.
 */
sessionEnv: JobEnv,
/**
 * Commands that must succeed afterwards.
 */
gates: Array<Command>,
/**
 * Variables added to the environment of the gates.
 */
gateEnv: JobEnv,
/**
 * Deadlines beside those of the session.
 */
deadlines: JobDeadlines,
/**
 * Limits of what the attempt may change.
 */
changeLimits: ChangeLimits,
/**
 * The fences around the attempt's programs.
 */
fences: SandboxFences,
/**
 * Paths that version control knows although an ignore rule names them.
 */
tracked: Array<RelPath>, };

/**
 * The last line of `run --json`.
 */
export type outcome = { "type": "outcome",
/**
 * The goal.
 */
goalId: GoalId,
/**
 * The final state of the goal.
 */
state: GoalState,
/**
 * Its hunks by fate.
 */
hunks: HunkCounts,
/**
 * The cost of the goal.
 */
costUsd: Usd,
/**
 * From submission to now.
 */
durationMs: number, };
