//! Code actions on a plan: approving it, correcting it, and giving it another shape.

use claudecluster_core::plan::Place;
use claudecluster_protocol::{GoalState, editor::command};
use lsp_types::{
    CodeAction, CodeActionDisabled, CodeActionKind, CodeActionParams, CodeActionTriggerKind,
    Position,
};
use serde_json::json;

use super::{
    Of, Opened,
    diagnostics::{diagnostic, offset},
    edits::{Splice, apply},
    fixes, look,
    problems::Problem,
    reshape,
};
use crate::{
    documents::Snapshot,
    edit,
    handlers::{code_action::goal_kind, code_lens},
    session::Session,
};

/// What is offered for a range of a document; nothing where it is no plan.
pub(crate) async fn offered(
    session: &Session,
    document: &Snapshot,
    params: &CodeActionParams,
) -> Vec<CodeAction> {
    let Some(opened) = look(session, document).await else {
        return Vec::new();
    };
    let encoding = session.encoding();
    let start = offset(document, params.range.start, encoding);
    // Whoever asks for a correction has seen the mark on the line, and need not be right on it.
    let line = |line, character| offset(document, Position { line, character }, encoding);
    let first = line(params.range.start.line, 0);
    let last = line(params.range.end.line, u32::MAX).max(first);
    let menu = Menu { session, document };
    let mut actions = Vec::new();
    for problem in &opened.checked.problems {
        if problem.range.start <= last && first <= problem.range.end {
            actions.extend(menu.fixes(&opened, problem));
        }
    }
    // What can always be done is for the menu that is asked for.
    if params.context.trigger_kind != Some(CodeActionTriggerKind::Automatic) {
        actions.extend(menu.run(&opened));
        if let Some(index) = task_at(&opened, start) {
            actions.extend(menu.reshape(&opened, index));
        }
    }
    actions
}

/// The task an offset is in.
fn task_at(opened: &Opened, offset: usize) -> Option<usize> {
    let tasks = opened.checked.text.at(&Place::key("tasks"))?;
    let holds = |task: &super::text::Node| task.range.start <= offset && offset <= task.range.end;
    tasks.elements().iter().position(holds)
}

struct Menu<'a> {
    session: &'a Session,
    document: &'a Snapshot,
}

impl Menu<'_> {
    fn fixes(&self, opened: &Opened, problem: &Problem) -> Vec<CodeAction> {
        let told = diagnostic(self.document, problem, self.session.encoding());
        let fixes = fixes::of(&opened.checked, problem).into_iter().enumerate();
        fixes
            .filter_map(|(n, fix)| {
                let mut action = self.edit(fix.title, fix.splices)?;
                action.kind = Some(CodeActionKind::QuickFix);
                action.diagnostics = Some(vec![told.clone()]);
                action.is_preferred = (n == 0).then_some(true);
                Some(action)
            })
            .collect()
    }

    /// Lets the plan run as it is written.
    fn run(&self, opened: &Opened) -> Option<CodeAction> {
        let uri = &self.document.uri;
        let (title, command) = match (&opened.of, &opened.checked.plan) {
            (Of::Goal(goal), _) => {
                let argument = json!({"goalId": goal, "uri": uri});
                ("Approve this plan", (command::PLAN_APPROVE, argument))
            }
            (Of::Workspace, plan) => {
                let argument = json!({"plan": plan, "scope": {"kind": "workspace", "uris": [uri]}});
                ("Run this plan", (command::GOAL_SUBMIT, argument))
            }
        };
        let waits = |goal: &claudecluster_protocol::goal::GoalView| {
            goal.summary.state == GoalState::AwaitingApproval
        };
        let reason = match (&opened.of, &opened.goal) {
            _ if !opened.checked.is_valid() => Some("The plan has errors".to_owned()),
            (Of::Goal(id), None) => Some(format!("Goal {id} no longer exists")),
            (Of::Goal(id), Some(goal)) if !waits(goal) => {
                let state = goal.summary.state.phrase();
                Some(format!(
                    "Goal {id} {state} and is not waiting for plan approval"
                ))
            }
            _ => None,
        };
        let action = CodeAction {
            title: title.to_owned(),
            kind: Some(CodeActionKind::QuickFix),
            ..CodeAction::default()
        };
        match reason {
            Some(reason) => self.disabled(action, reason),
            None => Some(CodeAction {
                command: Some(code_lens::command(command.0, title.to_owned(), command.1)),
                ..action
            }),
        }
    }

    fn reshape(&self, opened: &Opened, index: usize) -> Vec<CodeAction> {
        let offers = reshape::offers(&opened.checked, index).into_iter();
        offers
            .filter_map(|offer| match offer.edit {
                Ok(splices) => {
                    let mut action = self.edit(offer.title, splices)?;
                    action.kind = Some(goal_kind());
                    Some(action)
                }
                Err(reason) => {
                    let action = CodeAction {
                        title: offer.title,
                        kind: Some(goal_kind()),
                        ..CodeAction::default()
                    };
                    self.disabled(action, reason.to_owned())
                }
            })
            .collect()
    }

    /// An action that says why it cannot be taken, for clients that show such.
    fn disabled(&self, action: CodeAction, reason: String) -> Option<CodeAction> {
        let shown = self.session.capabilities().disabled_actions;
        shown.then(|| CodeAction {
            disabled: Some(CodeActionDisabled { reason }),
            ..action
        })
    }

    fn edit(&self, title: String, splices: Vec<Splice>) -> Option<CodeAction> {
        let capabilities = self.session.capabilities();
        let before = String::from(&self.document.text);
        let after = apply(&before, splices);
        if edit::misplaced(self.document, &after, capabilities).is_some() {
            return None;
        }
        Some(CodeAction {
            title,
            edit: Some(edit::workspace_edit(self.document, &after, capabilities)),
            ..CodeAction::default()
        })
    }
}
