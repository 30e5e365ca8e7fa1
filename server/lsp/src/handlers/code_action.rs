//! `textDocument/codeAction`: deciding the pending hunks in a range, and stating a goal for it.

use std::{borrow::Cow, collections::BTreeSet, path::Path};

use claudecluster_protocol::{
    GoalId, HunkId,
    change::{HeldReason, HunkView},
    editor::command,
    goal::GoalSummary,
};
use lsp_types::{
    CodeAction, CodeActionDisabled, CodeActionKind, CodeActionParams, CodeActionResponse,
    CodeActionTriggerKind, Command, Uri,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::code_lens::{accept, command, reject};
use crate::{client, documents::Snapshot, hunks, progress::count, session::Session};

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

pub(crate) async fn handle(
    session: &Session,
    params: &CodeActionParams,
) -> Vec<CodeActionResponse> {
    let mut actions = Vec::new();
    // Before the first wait: the text as the client has it at this point of the wire.
    if let Some(document) = session.documents.get(&params.text_document.uri) {
        let mut hunks = hunks::of(session, &document).await;
        hunks.retain(|hunk| hunks::touches(&document, hunk, params.range));
        actions.extend(hunks.iter().flat_map(|hunk| {
            let accept = accept_here(session, &document, hunk);
            decide(session, hunk, accept)
        }));
        let mut goals: BTreeSet<GoalId> = hunks.iter().map(hunks::goal).collect();
        // The menu the user asked for offers what the light bulb should not light up for.
        if params.context.trigger_kind != Some(CodeActionTriggerKind::Automatic) {
            for goal in undecided(session, &document).await {
                actions.extend(elsewhere(session, &goal).await);
                if goal.hunks.pending > 0 {
                    goals.insert(goal.id);
                }
            }
        }
        actions.extend(goals.iter().map(accept_all));
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

/// Goals of the document's workspace with something left to decide.
async fn undecided(session: &Session, document: &Snapshot) -> Vec<GoalSummary> {
    let goals = session.ask(|backend| Ok(backend.goals())).await;
    let holds = |workspace: &str| {
        let path = document.path.as_ref();
        path.is_some_and(|path| path.starts_with(workspace)) && session.has_workspace(workspace)
    };
    goals
        .unwrap_or_default()
        .into_iter()
        .filter(|goal| goal.hunks.pending + goal.hunks.conflicts > 0 && holds(&goal.workspace))
        .collect()
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
    let mut actions: Vec<_> = hunks
        .iter()
        .take(ELSEWHERE)
        .flat_map(|hunk| decide(session, hunk, quick_fix(accept(hunk, accept_title(hunk)))))
        .collect();
    if let Some(more) = hunks.len().checked_sub(ELSEWHERE).filter(|&more| more > 0) {
        let blocked = session.capabilities().disabled_actions;
        actions.push(CodeAction {
            title: format!("… and {} of goal {}", count(more, "more file"), goal.id),
            kind: Some(CodeActionKind::QuickFix),
            disabled: blocked.then(|| CodeActionDisabled {
                reason: "Decide some of the others first, or all at once".into(),
            }),
            ..CodeAction::default()
        });
    }
    actions
}

/// Accepts a hunk of an open document: the edit is made when it is chosen, by clients that ask for it
/// then. What is not a change of lines is no edit of a document, and the server's to make.
fn accept_here(session: &Session, document: &Snapshot, hunk: &HunkView) -> CodeAction {
    let title = accept_title(hunk);
    if hunk.whole || !session.capabilities().resolves_edits {
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
    let (what, maker) = (hunks::what(hunk), hunks::maker(hunk));
    format!("Accept {what} from {maker}{}", held(&hunk.held))
}

/// `accept`, where the hunk can land, and the reject.
fn decide(session: &Session, hunk: &HunkView, accept: CodeAction) -> Vec<CodeAction> {
    let (what, maker) = (hunks::what(hunk), hunks::maker(hunk));
    if hunks::is_conflict(hunk) {
        let blocked = CodeAction {
            title: accept_title(hunk),
            kind: Some(CodeActionKind::QuickFix),
            disabled: Some(CodeActionDisabled {
                reason: "It conflicts with the text that is there now".into(),
            }),
            ..CodeAction::default()
        };
        let kept = if hunk.whole {
            "what is there"
        } else {
            "this text"
        };
        let title = format!("Reject conflicting {what} from {maker} (keep {kept})");
        let keep = quick_fix(reject(hunk, title));
        let shown = session.capabilities().disabled_actions.then_some(blocked);
        return shown.into_iter().chain([keep]).collect();
    }
    let reject = quick_fix(reject(hunk, format!("Reject {what} from {maker}")));
    vec![accept, reject]
}

/// What to know before accepting.
fn held(reasons: &[HeldReason]) -> String {
    let words: Vec<_> = reasons
        .iter()
        .map(|reason| match reason {
            HeldReason::OutOfScope => "outside the goal's scope",
            HeldReason::SelfArming => "can make tools run code",
            HeldReason::Partial => "its task did not finish",
            HeldReason::GateFailed => "a check failed",
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
    // A selection that ends before the first character of a line does not take that line in.
    let past = range.end.line + u32::from(range.end.character > 0 || range.end == range.start);
    let argument = json!({
        "uri": params.text_document.uri,
        "range": {"startLine": range.start.line, "endLine": past},
    });
    let title = if range.end == range.start {
        "State a goal for this line…"
    } else {
        "State a goal for this selection…"
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
