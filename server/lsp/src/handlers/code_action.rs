//! `textDocument/codeAction`: decisions about the pending hunks in a range, and goals about it.

mod comments;
mod goal_actions;
mod goal_offer;
mod problems;
mod test_functions;

use std::{collections::BTreeSet, path::Path};

use claudecluster_core::display_text::line as plain_text;
use claudecluster_protocol::{
    GoalId, HunkId,
    change::{HeldReason, HunkOrigin, HunkOriginState, HunkView},
    editor::{SECTION, command},
    goal::GoalSummary,
    resolution::Resolution,
};
use claudecluster_service::TypedCalls;
use lsp_types::{
    Code, CodeAction, CodeActionDisabled, CodeActionKind, CodeActionParams, CodeActionResponse,
    CodeActionTriggerKind, Command, Diagnostic, Range, Uri,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tower_lsp::jsonrpc::Result;

use crate::{
    commands::{
        LONGEST_TITLE, accept_hunk, accept_title, goal_action_kind, new_command, reject_hunk,
        resolve_conflict, show_diff, to_quick_fix,
    },
    documents::{DocumentSnapshot, lines::covered_lines},
    failure, hunks,
    phrases::{count_noun, short_title},
    plan,
    session::{
        EditorSession,
        capabilities::{PROMPT_COMMAND, REASON_COMMAND},
    },
};

/// The most files without a document that a menu lists one by one.
const UNOPENED_FILES: usize = 10;

/// The data of an accept for `codeAction/resolve`: the hunk, and the text it was offered for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct AcceptActionData {
    pub(crate) goal: GoalId,
    pub(crate) hunk: HunkId,
    pub(crate) file: Uri,
    pub(crate) version: i32,
    pub(crate) hash: String,
}

/// Parses the parameters, without diagnostics that violate the protocol.
///
/// The diagnostics are those of other servers. Refusing the request for one of them would hide all
/// actions.
pub(crate) fn parse_params(mut params: Value) -> Result<CodeActionParams> {
    let diagnostics = params.pointer_mut("/context/diagnostics");
    if let Some(Value::Array(diagnostics)) = diagnostics {
        diagnostics.retain(|one| Diagnostic::deserialize(one).is_ok());
    }
    serde_json::from_value(params).map_err(|error| failure::invalid_params(error.to_string()))
}

/// Lists the code actions for a range of a document.
pub(crate) async fn list_actions(
    session: &EditorSession,
    params: &CodeActionParams,
) -> Vec<CodeActionResponse> {
    let mut actions = Vec::new();
    // Before the first await: the text as the client has it at this point of the wire.
    if let Some(document) = session.documents.get(&params.text_document.uri) {
        actions.extend(plan::plan_actions(session, &document, params).await);
        let file = hunks::pending_hunks(session, &document).await;
        let in_range = |hunk: &&HunkView| hunks::hunk_touches(&document, hunk, params.range);
        let hunks: Vec<_> = file.iter().filter(in_range).cloned().collect();
        let diagnostics = &params.context.diagnostics;
        actions.extend(hunk_actions(session, &hunks, Some(&document), diagnostics).await);
        let mut goals: BTreeSet<GoalId> = hunks.iter().map(hunks::goal_of).collect();
        for goal in &goals {
            actions.extend(accept_file_action(&document, goal, &file));
        }
        // A menu that the user opens lists more: the light bulb should not show for these.
        if params.context.trigger_kind != Some(CodeActionTriggerKind::Automatic) {
            let known = workspace_goals(session, &document).await;
            actions.extend(accept_task_actions(&hunks, &known));
            for goal in known.iter().filter(|goal| is_undecided(goal)) {
                actions.extend(unopened_file_actions(session, goal).await);
                if goal.hunks.pending > 0 {
                    goals.insert(goal.id.clone());
                }
            }
            actions.extend(goals.iter().map(accept_goal_action));
            actions.extend(undo_actions(session, &document, params.range, &known).await);
        } else {
            actions.extend(goals.iter().map(accept_goal_action));
        }
        actions.extend(goal_actions::list_offers(session, &document, params));
    }
    if session.client_prompts() {
        actions.push(prompt_action(params));
    }
    actions
        .into_iter()
        .filter(|action| matches_kind(action, params.context.only.as_deref()))
        .map(|mut action| {
            action.title = plain_text::to_line(&action.title, LONGEST_TITLE);
            action
        })
        .filter_map(|action| to_response(session, action))
        .collect()
}

/// Returns the goals of a document's workspace, oldest first.
async fn workspace_goals(session: &EditorSession, document: &DocumentSnapshot) -> Vec<GoalSummary> {
    let goals = session.service().goals().await.map(|goals| goals.value);
    let holds = |workspace: &str| {
        let path = document.path.as_ref();
        path.is_some_and(|path| path.starts_with(workspace)) && session.has_workspace(workspace)
    };
    let mut goals = goals.unwrap_or_default();
    goals.retain(|goal| holds(&goal.workspace));
    goals
}

/// Whether a goal has changes that are not decided yet.
fn is_undecided(goal: &GoalSummary) -> bool {
    goal.hunks.pending + goal.hunks.conflicts > 0
}

/// Returns the actions for files of a goal that are decided as a whole and have no document.
///
/// These are created, deleted, renamed and binary files, and files with another mode. Their hunks are
/// on no line of a document.
async fn unopened_file_actions(session: &EditorSession, goal: &GoalSummary) -> Vec<CodeAction> {
    let hunks = session.service().hunks(Some(goal.id.clone()), None).await;
    let root = Path::new(&goal.workspace);
    let is_open = |hunk: &HunkView| {
        let path = root.join(hunk.path.to_path_buf());
        session.documents.get_by_path(&path).is_some()
    };
    let mut hunks = hunks.unwrap_or_default();
    hunks.retain(|hunk| hunk.whole && !is_open(hunk));
    let shown = &hunks[..hunks.len().min(UNOPENED_FILES)];
    let mut actions = hunk_actions(session, shown, None, &[]).await;
    let more = hunks.len().saturating_sub(UNOPENED_FILES);
    if more > 0 {
        let blocked = session.capabilities().disabled_actions;
        actions.push(CodeAction {
            title: format!(
                "… and {} of goal {}",
                count_noun(more, "more file"),
                goal.id
            ),
            kind: Some(CodeActionKind::QuickFix),
            disabled: blocked.then(|| CodeActionDisabled {
                reason: "Accept or reject some of the other changes first".into(),
            }),
            ..CodeAction::default()
        });
    }
    actions
}

/// Returns the action that accepts a hunk of an open document.
///
/// Clients that resolve actions make the edit themselves. The server makes it if
/// - the client does not resolve actions;
/// - the hunk is not a change of lines, so it is not an edit of a document;
/// - words are merged, because the text does not show afterwards that the hunk has landed.
fn accept_action(
    session: &EditorSession,
    document: &DocumentSnapshot,
    hunk: &HunkView,
) -> CodeAction {
    let title = accept_action_title(hunk);
    if hunk.whole || hunk.merged.is_some() || !session.capabilities().resolves_edits {
        return to_quick_fix(accept_hunk(hunk, title));
    }
    CodeAction {
        title,
        kind: Some(CodeActionKind::QuickFix),
        data: serde_json::to_value(AcceptActionData {
            goal: hunks::goal_of(hunk),
            hunk: hunk.id.clone(),
            file: document.uri.clone(),
            version: document.version,
            hash: document.text_hash(),
        })
        .ok(),
        ..CodeAction::default()
    }
}

fn accept_action_title(hunk: &HunkView) -> String {
    format!("{}{}", accept_title(hunk), describe_held(hunk))
}

/// Returns the actions for each hunk.
///
/// The actions of a conflict carry its diagnostic: menus list actions that fix a diagnostic first.
async fn hunk_actions(
    session: &EditorSession,
    hunks: &[HunkView],
    document: Option<&DocumentSnapshot>,
    diagnostics: &[Diagnostic],
) -> Vec<CodeAction> {
    let prompts = session.client_prompts();
    let repairable = hunks::repairable_conflicts(session, hunks).await;
    let mut actions = Vec::new();
    for hunk in hunks {
        if hunks::is_conflict(hunk) {
            let code = Some(Code::String(hunk.id.to_string()));
            let about =
                |one: &&Diagnostic| one.source.as_deref() == Some(SECTION) && one.code == code;
            let problem: Vec<_> = diagnostics.iter().filter(about).cloned().collect();
            let can_repair = repairable.contains(&hunk.id);
            let resolving = conflict_actions(hunk, prompts, can_repair).into_iter();
            actions.extend(resolving.map(|action| CodeAction {
                diagnostics: (!problem.is_empty()).then(|| problem.clone()),
                ..action
            }));
        } else {
            actions.push(match document {
                Some(document) => accept_action(session, document, hunk),
                None => to_quick_fix(accept_hunk(hunk, accept_action_title(hunk))),
            });
            actions.extend(clean_hunk_actions(hunk, prompts));
        }
    }
    actions
}

/// Returns the actions for a clean hunk other than accepting it.
fn clean_hunk_actions(hunk: &HunkView, prompts: bool) -> Vec<CodeAction> {
    let (what, maker) = (hunks::describe_change(hunk), hunks::maker_title(hunk));
    let change = format!("{what} from {maker}");
    let mut actions = vec![to_quick_fix(reject_hunk(hunk, format!("Reject {change}")))];
    if prompts {
        let why = ask_reason(
            reject_hunk(hunk, format!("Reject {change} with a reason…")),
            "Reason for rejecting:",
        );
        actions.push(to_quick_fix(why));
    }
    let diff = show_diff(hunk, format!("Show {change} as a diff"));
    actions.push(to_quick_fix(diff));
    actions
}

/// Returns the actions that resolve a conflict.
///
/// A file that is decided as a whole takes one side or the other.
fn conflict_actions(hunk: &HunkView, prompts: bool, can_repair: bool) -> Vec<CodeAction> {
    let conflict = hunks::conflict_title(hunk);
    let one = |resolution, words: &str| {
        resolve_conflict(hunk, &resolution, format!("{conflict}: {words}"))
    };
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
        commands.push(ask_reason(repair, "Describe how to combine both sides:"));
    } else if can_repair {
        commands.push(one(Resolution::Repair, "request a repair"));
    }
    commands.push(show_diff(hunk, format!("{conflict}: show both sides")));
    commands.into_iter().map(to_quick_fix).collect()
}

/// Wraps a command so that the client first asks its user for a reason.
fn ask_reason(command: Command, prompt: &str) -> Command {
    let argument = json!({
        "prompt": prompt,
        "command": command.command,
        "argument": command.arguments.unwrap_or_default().into_iter().next(),
    });
    new_command(REASON_COMMAND, command.title, argument)
}

/// Returns the action that accepts all clean hunks of a goal in one file, if there are several.
fn accept_file_action(
    document: &DocumentSnapshot,
    goal: &GoalId,
    file: &[HunkView],
) -> Option<CodeAction> {
    let mine = |hunk: &&HunkView| hunks::goal_of(hunk) == *goal && !hunks::is_conflict(hunk);
    let clean: Vec<_> = file.iter().filter(mine).collect();
    let path = &clean.get(1)?.path;
    let argument = json!({"goalId": goal, "uri": document.uri});
    let title = format!("Accept all changes of goal {goal} in {}", path.file_name());
    let accept = new_command(command::GOAL_ACCEPT, title, argument);
    Some(to_quick_fix(accept))
}

/// Returns the actions that accept the clean hunks of each task, for goals with several tasks.
fn accept_task_actions(hunks: &[HunkView], goals: &[GoalSummary]) -> Vec<CodeAction> {
    let several = |id: &GoalId| goals.iter().any(|goal| goal.id == *id && goal.tasks > 1);
    let mut done = BTreeSet::new();
    let mut actions = Vec::new();
    for hunk in hunks.iter().filter(|hunk| !hunks::is_conflict(hunk)) {
        let (goal, by) = (hunks::goal_of(hunk), hunk.provenance.first());
        if let Some(by) = by.filter(|_| several(&goal))
            && done.insert((goal.clone(), by.task.clone()))
        {
            let argument = json!({"goalId": goal, "taskId": by.task});
            let title = format!(
                "Accept all changes from {} ({goal})",
                hunks::maker_title(hunk)
            );
            let accept = new_command(command::GOAL_ACCEPT, title, argument);
            actions.push(to_quick_fix(accept));
        }
    }
    actions
}

/// Returns the actions that undo and redo.
///
/// - Undo of each change that has landed on the lines of the range.
/// - Undo of the latest goal with landed changes.
/// - Redo of the latest goal with undone changes.
async fn undo_actions(
    session: &EditorSession,
    document: &DocumentSnapshot,
    range: Range,
    goals: &[GoalSummary],
) -> Vec<CodeAction> {
    let mut origins = hunks::line_origins(session, document).await;
    origins.retain(|origin| {
        origin.state == HunkOriginState::Landed && hunks::origin_touches(document, origin, range)
    });
    let one = |origin: &HunkOrigin| {
        let by =
            hunks::task_title(&origin.provenance).unwrap_or_else(|| origin.goal_id.to_string());
        let argument = json!({"hunkId": origin.hunk_id});
        new_command(
            command::HUNK_UNDO,
            format!("Undo change from {by}"),
            argument,
        )
    };
    let mut commands: Vec<_> = origins.iter().map(one).collect();
    let of_goal = |goal: &GoalSummary, name, verb: &str| {
        let title = format!("{verb} goal {}: {}", goal.id, short_title(&goal.prompt));
        new_command(name, title, json!({"goalId": goal.id}))
    };
    let landed = goals.iter().rfind(|goal| goal.hunks.landed > 0);
    commands.extend(landed.map(|goal| of_goal(goal, command::GOAL_UNDO, "Undo")));
    let undone = goals.iter().rfind(|goal| goal.hunks.undone > 0);
    commands.extend(undone.map(|goal| of_goal(goal, command::GOAL_REDO, "Redo")));
    commands.into_iter().map(to_quick_fix).collect()
}

/// Returns the reasons why a hunk is held for review and what runs its file, to follow a title.
fn describe_held(hunk: &HunkView) -> String {
    let words: Vec<_> = hunk
        .held
        .iter()
        .map(|reason| match reason {
            HeldReason::OutOfScope => "outside the goal's scope",
            HeldReason::SelfArming => "can make tools run code",
            HeldReason::Partial => "its task did not succeed",
            HeldReason::GateFailed => "a gate failed",
            HeldReason::Listed => "listed in review.hold",
            HeldReason::Secret => "adds what looks like a secret",
        })
        .chain(hunk.runs.as_deref())
        .collect();
    if words.is_empty() {
        String::new()
    } else {
        format!(" ({})", words.join(", "))
    }
}

fn accept_goal_action(goal: &GoalId) -> CodeAction {
    let title = format!("Accept all changes of goal {goal}");
    to_quick_fix(new_command(
        command::GOAL_ACCEPT,
        title,
        json!({ "goalId": goal }),
    ))
}

/// Returns the action by which the client asks its user for a goal about the range.
fn prompt_action(params: &CodeActionParams) -> CodeAction {
    let range = params.range;
    let argument = json!({
        "uri": params.text_document.uri,
        "range": covered_lines(range),
    });
    let title = if range.end == range.start {
        "Start a goal for this line…"
    } else {
        "Start a goal for this selection…"
    };
    CodeAction {
        kind: Some(goal_action_kind()),
        ..to_quick_fix(new_command(PROMPT_COMMAND, title.to_owned(), argument))
    }
}

/// Whether the client asked for the kind of an action, or for a kind above it.
fn matches_kind(action: &CodeAction, only: Option<&[CodeActionKind]>) -> bool {
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

/// Converts an action for the client. Clients without code actions get the command only.
fn to_response(session: &EditorSession, action: CodeAction) -> Option<CodeActionResponse> {
    if session.capabilities().code_actions {
        Some(action.into())
    } else {
        action.command.map(Into::into)
    }
}
