//! `textDocument/codeAction`: deciding the pending hunks in a range, and stating goals from it.

mod comments;
mod from_here;
mod problems;
mod test_functions;

use std::{borrow::Cow, collections::BTreeSet, path::Path};

use claudecluster_protocol::{
    GoalId, HunkId,
    api::Resolution,
    change::{HeldReason, HunkView, Origin, OriginState},
    editor::{SECTION, command},
    goal::GoalSummary,
};
use lsp_types::{
    Code, CodeAction, CodeActionDisabled, CodeActionKind, CodeActionParams, CodeActionResponse,
    CodeActionTriggerKind, Command, Diagnostic, Range, Uri,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tower_lsp::jsonrpc::Result;

use super::code_lens::{self, accept, between, command, diff, reject, resolve};
use crate::{
    client,
    documents::Snapshot,
    failure, hunks, plan,
    progress::{count, title},
    session::Session,
};

/// So many files that are not open are offered one by one; a menu with more is no help.
const ELSEWHERE: usize = 10;

/// What an accept needs when it is chosen: which hunk, and the text it was offered for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct ActionData {
    pub(crate) goal: GoalId,
    pub(crate) hunk: HunkId,
    pub(crate) file: Uri,
    pub(crate) version: i32,
    pub(crate) hash: String,
}

/// The kind of the action that states a goal.
pub(crate) fn goal_kind() -> CodeActionKind {
    CodeActionKind::Custom(Cow::Borrowed("refactor.rewrite.claudecluster"))
}

/// The parameters without diagnostics that are not what the protocol says. They are other servers', and one
/// that is wrong would cost everything else that can be done.
pub(crate) fn read(mut params: Value) -> Result<CodeActionParams> {
    let told = params.pointer_mut("/context/diagnostics");
    if let Some(Value::Array(diagnostics)) = told {
        diagnostics.retain(|one| Diagnostic::deserialize(one).is_ok());
    }
    serde_json::from_value(params).map_err(|error| failure::bad_params(error.to_string()))
}

pub(crate) async fn handle(
    session: &Session,
    params: &CodeActionParams,
) -> Vec<CodeActionResponse> {
    let mut actions = Vec::new();
    // Before the first wait: the text as the client has it at this point of the wire.
    if let Some(document) = session.documents.get(&params.text_document.uri) {
        actions.extend(plan::offered(session, &document, params).await);
        let file = hunks::of(session, &document).await;
        let here = |hunk: &&HunkView| hunks::touches(&document, hunk, params.range);
        let hunks: Vec<_> = file.iter().filter(here).cloned().collect();
        let told = &params.context.diagnostics;
        actions.extend(decide_all(session, &hunks, Some(&document), told).await);
        let mut goals: BTreeSet<GoalId> = hunks.iter().map(hunks::goal).collect();
        for goal in &goals {
            actions.extend(accept_file(&document, goal, &file));
        }
        // The menu the user asked for offers what the light bulb should not light up for.
        if params.context.trigger_kind != Some(CodeActionTriggerKind::Automatic) {
            let known = goals_at(session, &document).await;
            actions.extend(accept_tasks(&hunks, &known));
            for goal in known.iter().filter(|goal| is_undecided(goal)) {
                actions.extend(elsewhere(session, goal).await);
                if goal.hunks.pending > 0 {
                    goals.insert(goal.id.clone());
                }
            }
            actions.extend(goals.iter().map(accept_all));
            actions.extend(undo(session, &document, params.range, &known).await);
        } else {
            actions.extend(goals.iter().map(accept_all));
        }
        actions.extend(from_here::actions(session, &document, params));
    }
    if session.settings.now().prompts == Some(true) {
        actions.push(state_goal(params));
    }
    actions
        .into_iter()
        .filter(|action| wanted(action, params.context.only.as_deref()))
        .filter_map(|action| for_client(session, action))
        .collect()
}

/// Goals of the document's workspace, oldest first.
async fn goals_at(session: &Session, document: &Snapshot) -> Vec<GoalSummary> {
    let goals = session.ask(|backend| Ok(backend.goals())).await;
    let holds = |workspace: &str| {
        let path = document.path.as_ref();
        path.is_some_and(|path| path.starts_with(workspace)) && session.has_workspace(workspace)
    };
    let mut goals = goals.unwrap_or_default();
    goals.retain(|goal| holds(&goal.workspace));
    goals
}

/// Whether something is left to decide.
fn is_undecided(goal: &GoalSummary) -> bool {
    goal.hunks.pending + goal.hunks.conflicts > 0
}

/// Deciding the files of a goal that are no text to open: made, deleted, moved, binary, or given
/// another mode. Their hunks are on no line of any document.
async fn elsewhere(session: &Session, goal: &GoalSummary) -> Vec<CodeAction> {
    let hunks = session.backend.hunks(Some(goal.id.clone()), None).await;
    let root = Path::new(&goal.workspace);
    let is_open = |hunk: &HunkView| {
        let path = root.join(hunk.path.to_path_buf());
        session.documents.at(&path).is_some()
    };
    let mut hunks = hunks.unwrap_or_default();
    hunks.retain(|hunk| hunk.whole && !is_open(hunk));
    let shown = &hunks[..hunks.len().min(ELSEWHERE)];
    let mut actions = decide_all(session, shown, None, &[]).await;
    if let Some(more) = hunks.len().checked_sub(ELSEWHERE).filter(|&more| more > 0) {
        let blocked = session.capabilities().disabled_actions;
        actions.push(CodeAction {
            title: format!("… and {} of goal {}", count(more, "more file"), goal.id),
            kind: Some(CodeActionKind::QuickFix),
            disabled: blocked.then(|| CodeActionDisabled {
                reason: "Accept or reject some of the other changes first".into(),
            }),
            ..CodeAction::default()
        });
    }
    actions
}

/// Accepts a hunk of an open document: the edit is made when it is chosen, by clients that ask for it
/// then. What is not a change of lines is no edit of a document, and the server's to make; so is what is
/// merged with the words that are there, for nothing in the text shows afterwards that it has landed.
fn accept_here(session: &Session, document: &Snapshot, hunk: &HunkView) -> CodeAction {
    let title = accept_title(hunk);
    if hunk.whole || hunk.merged.is_some() || !session.capabilities().resolves_edits {
        return quick_fix(accept(hunk, title));
    }
    CodeAction {
        title,
        kind: Some(CodeActionKind::QuickFix),
        data: serde_json::to_value(ActionData {
            goal: hunks::goal(hunk),
            hunk: hunk.id.clone(),
            file: document.uri.clone(),
            version: document.version,
            hash: document.hash(),
        })
        .ok(),
        ..CodeAction::default()
    }
}

fn accept_title(hunk: &HunkView) -> String {
    format!("{}{}", code_lens::accept_title(hunk), held(&hunk.held))
}

/// What can be done with each hunk. Those of an open document are accepted by an edit. Conflicts go with
/// what the client has been `told` of them: menus put what settles a problem first.
async fn decide_all(
    session: &Session,
    hunks: &[HunkView],
    document: Option<&Snapshot>,
    told: &[Diagnostic],
) -> Vec<CodeAction> {
    let prompts = session.settings.now().prompts == Some(true);
    let repairable = hunks::repairable(session, hunks).await;
    let mut actions = Vec::new();
    for hunk in hunks {
        if hunks::is_conflict(hunk) {
            let code = Some(Code::String(hunk.id.to_string()));
            let about =
                |told: &&Diagnostic| told.source.as_deref() == Some(SECTION) && told.code == code;
            let problem: Vec<_> = told.iter().filter(about).cloned().collect();
            let can_repair = repairable.contains(&hunk.id);
            actions.extend(settle(hunk, prompts, can_repair).into_iter().map(|action| {
                CodeAction {
                    diagnostics: (!problem.is_empty()).then(|| problem.clone()),
                    ..action
                }
            }));
        } else {
            actions.push(match document {
                Some(document) => accept_here(session, document, hunk),
                None => quick_fix(accept(hunk, accept_title(hunk))),
            });
            actions.extend(reject_or_look(hunk, prompts));
        }
    }
    actions
}

/// The other things that can be done with a clean hunk.
fn reject_or_look(hunk: &HunkView, prompts: bool) -> Vec<CodeAction> {
    let change = format!("{} from {}", hunks::what(hunk), hunks::maker(hunk));
    let mut actions = vec![quick_fix(reject(hunk, format!("Reject {change}")))];
    if prompts {
        let why = with_reason(
            reject(hunk, format!("Reject {change} with a reason…")),
            "Reason for rejecting:",
        );
        actions.push(quick_fix(why));
    }
    actions.push(quick_fix(diff(hunk, format!("Show {change} as a diff"))));
    actions
}

/// What a conflict can become. Files that are decided as a whole have two sides and nothing between.
fn settle(hunk: &HunkView, prompts: bool, can_repair: bool) -> Vec<CodeAction> {
    let conflict = between(hunk);
    let one = |resolution, words: &str| resolve(hunk, &resolution, format!("{conflict}: {words}"));
    let mut commands = Vec::new();
    if hunk.merged.is_some() {
        commands.push(one(Resolution::Merged, "merge word by word"));
    }
    commands.push(one(Resolution::Mine, "keep mine"));
    commands.push(one(Resolution::Theirs, "use theirs"));
    if !hunk.whole {
        commands.push(one(Resolution::Both, "keep both"));
        commands.push(one(Resolution::Markers, "insert conflict markers"));
    }
    if can_repair && prompts {
        let repair = one(Resolution::Repair, "request a repair…");
        commands.push(with_reason(repair, "Describe how to combine both sides:"));
    } else if can_repair {
        commands.push(one(Resolution::Repair, "request a repair"));
    }
    commands.push(diff(hunk, format!("{conflict}: show both sides")));
    commands.into_iter().map(quick_fix).collect()
}

/// The same command after the client has asked its user why, in its own way.
fn with_reason(command: Command, prompt: &str) -> Command {
    let argument = json!({
        "prompt": prompt,
        "command": command.command,
        "argument": command.arguments.unwrap_or_default().into_iter().next(),
    });
    self::command(client::REASON_COMMAND, command.title, argument)
}

/// Accepts what is clean of a goal in one file, where that is more than one hunk.
fn accept_file(document: &Snapshot, goal: &GoalId, file: &[HunkView]) -> Option<CodeAction> {
    let mine = |hunk: &&HunkView| hunks::goal(hunk) == *goal && !hunks::is_conflict(hunk);
    let clean: Vec<_> = file.iter().filter(mine).collect();
    let path = &clean.get(1)?.path;
    let argument = json!({"goalId": goal, "uri": document.uri});
    let title = format!("Accept all changes of goal {goal} in {}", path.file_name());
    Some(quick_fix(command(command::GOAL_ACCEPT, title, argument)))
}

/// Accepts what is clean of the tasks that made these hunks, where their goals have others.
fn accept_tasks(hunks: &[HunkView], goals: &[GoalSummary]) -> Vec<CodeAction> {
    let several = |id: &GoalId| goals.iter().any(|goal| goal.id == *id && goal.tasks > 1);
    let mut done = BTreeSet::new();
    let mut actions = Vec::new();
    for hunk in hunks.iter().filter(|hunk| !hunks::is_conflict(hunk)) {
        let (goal, by) = (hunks::goal(hunk), hunk.provenance.first());
        if let Some(by) = by.filter(|_| several(&goal))
            && done.insert((goal.clone(), by.task.clone()))
        {
            let argument = json!({"goalId": goal, "taskId": by.task});
            let title = format!("Accept all changes from {} ({goal})", hunks::maker(hunk));
            actions.push(quick_fix(command(command::GOAL_ACCEPT, title, argument)));
        }
    }
    actions
}

/// Takes back what has landed on these lines, or what the last goal landed; and does again what was
/// taken back last.
async fn undo(
    session: &Session,
    document: &Snapshot,
    range: Range,
    goals: &[GoalSummary],
) -> Vec<CodeAction> {
    let mut origins = hunks::origins(session, document).await;
    origins.retain(|origin| {
        origin.state == OriginState::Landed && hunks::is_origin_of(document, origin, range)
    });
    let one = |origin: &Origin| {
        let by = hunks::makers(&origin.provenance).unwrap_or_else(|| origin.goal_id.to_string());
        let argument = json!({"hunkId": origin.hunk_id});
        command(
            command::HUNK_UNDO,
            format!("Undo change from {by}"),
            argument,
        )
    };
    let mut commands: Vec<_> = origins.iter().map(one).collect();
    let of_goal = |goal: &GoalSummary, name, verb: &str| {
        let title = format!("{verb} goal {}: {}", goal.id, title(&goal.prompt));
        command(name, title, json!({"goalId": goal.id}))
    };
    let landed = goals.iter().rfind(|goal| goal.hunks.landed > 0);
    commands.extend(landed.map(|goal| of_goal(goal, command::GOAL_UNDO, "Undo")));
    let undone = goals.iter().rfind(|goal| goal.hunks.undone > 0);
    commands.extend(undone.map(|goal| of_goal(goal, command::GOAL_REDO, "Redo")));
    commands.into_iter().map(quick_fix).collect()
}

/// What to know before accepting.
fn held(reasons: &[HeldReason]) -> String {
    let words: Vec<_> = reasons
        .iter()
        .map(|reason| match reason {
            HeldReason::OutOfScope => "outside the goal's scope",
            HeldReason::SelfArming => "can make tools run code",
            HeldReason::Partial => "its task did not succeed",
            HeldReason::GateFailed => "a gate failed",
        })
        .collect();
    if words.is_empty() {
        String::new()
    } else {
        format!(" ({})", words.join(", "))
    }
}

fn accept_all(goal: &GoalId) -> CodeAction {
    let title = format!("Accept all changes of goal {goal}");
    quick_fix(command(
        command::GOAL_ACCEPT,
        title,
        json!({ "goalId": goal }),
    ))
}

/// Offered where the client has a command of its own that asks for the goal's words.
fn state_goal(params: &CodeActionParams) -> CodeAction {
    let range = params.range;
    let argument = json!({
        "uri": params.text_document.uri,
        "range": from_here::whole_lines(range),
    });
    let title = if range.end == range.start {
        "Start a goal for this line…"
    } else {
        "Start a goal for this selection…"
    };
    CodeAction {
        kind: Some(goal_kind()),
        ..quick_fix(command(client::PROMPT_COMMAND, title.to_owned(), argument))
    }
}

fn quick_fix(command: Command) -> CodeAction {
    CodeAction {
        title: command.title.clone(),
        kind: Some(CodeActionKind::QuickFix),
        command: Some(command),
        ..CodeAction::default()
    }
}

/// Whether the client asked for this kind, or for one above it.
fn wanted(action: &CodeAction, only: Option<&[CodeActionKind]>) -> bool {
    let Some(only) = only else {
        return true;
    };
    let kind = action.kind.clone().map(String::from).unwrap_or_default();
    only.iter().any(|only| {
        let only = String::from(only.clone());
        only.is_empty()
            || kind
                .strip_prefix(&only)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    })
}

/// Clients from before code actions take commands only.
fn for_client(session: &Session, action: CodeAction) -> Option<CodeActionResponse> {
    if session.capabilities().code_actions {
        Some(action.into())
    } else {
        action.command.map(Into::into)
    }
}
