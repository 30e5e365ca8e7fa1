//! Code actions of a plan: approval, fixes and refactorings.

use claudecluster_core::plan::PlanPath;
use claudecluster_protocol::{GoalState, editor::command, goal::GoalView};
use lsp_types::{
    CodeAction, CodeActionDisabled, CodeActionKind, CodeActionParams, CodeActionTriggerKind,
    Position,
};
use serde_json::json;

use super::{
    check::PlanFinding,
    diagnostics::to_diagnostic,
    document::{CheckedPlanDocument, PlanOwner, check_document},
    edits::{TextSplice, apply_splices},
    fixes::list_fixes,
    refactor::list_refactorings,
    syntax::PlanSyntaxNode,
};
use crate::{
    commands::{goal_action_kind, new_command},
    documents::{DocumentSnapshot, lines::to_byte_offset},
    session::EditorSession,
    workspace_edit::{to_workspace_edit, unsupported_line_endings},
};

/// Lists the code actions for a range of a plan; none if the document is not a plan.
pub(crate) async fn plan_actions(
    session: &EditorSession,
    document: &DocumentSnapshot,
    params: &CodeActionParams,
) -> Vec<CodeAction> {
    let Some(open) = check_document(session, document).await else {
        return Vec::new();
    };
    let encoding = session.encoding();
    let offset = |at| to_byte_offset(&document.text, at, encoding);
    // Fixes are offered for the whole lines of the range, because the cursor need not be on the mark.
    let line = |line, character| offset(Position { line, character });
    let first = line(params.range.start.line, 0);
    let last = line(params.range.end.line, u32::MAX).max(first);
    let menu = PlanActionMenu { session, document };
    let mut actions = Vec::new();
    for finding in &open.checked.findings {
        if finding.range.start <= last && first <= finding.range.end {
            actions.extend(menu.fix_actions(&open, finding));
        }
    }
    // Actions that are always possible are only for a menu that the user opens.
    if params.context.trigger_kind != Some(CodeActionTriggerKind::Automatic) {
        actions.extend(menu.run_action(&open));
        if let Some(index) = task_at(&open, offset(params.range.start)) {
            actions.extend(menu.refactor_actions(&open, index));
        }
    }
    actions
}

/// Returns the index of the task at an offset.
fn task_at(open: &CheckedPlanDocument, offset: usize) -> Option<usize> {
    let tasks = open.checked.text.node_at(&PlanPath::from_key("tasks"))?;
    let holds = |task: &PlanSyntaxNode| task.range.start <= offset && offset <= task.range.end;
    tasks.elements().iter().position(holds)
}

/// Creates code actions for a document.
struct PlanActionMenu<'a> {
    session: &'a EditorSession,
    document: &'a DocumentSnapshot,
}

impl PlanActionMenu<'_> {
    fn fix_actions(&self, open: &CheckedPlanDocument, finding: &PlanFinding) -> Vec<CodeAction> {
        let diagnostic = to_diagnostic(self.document, finding, self.session.encoding());
        let fixes = list_fixes(&open.checked, finding).into_iter().enumerate();
        fixes
            .filter_map(|(n, fix)| {
                let mut action = self.edit_action(fix.title, fix.splices)?;
                action.kind = Some(CodeActionKind::QuickFix);
                action.diagnostics = Some(vec![diagnostic.clone()]);
                action.is_preferred = (n == 0).then_some(true);
                Some(action)
            })
            .collect()
    }

    /// Returns the action that runs the plan as the document is.
    fn run_action(&self, open: &CheckedPlanDocument) -> Option<CodeAction> {
        let uri = &self.document.uri;
        let (title, command) = match (&open.owner, &open.checked.plan) {
            (PlanOwner::Goal(goal), _) => {
                let argument = json!({"goalId": goal, "uri": uri});
                ("Approve this plan", (command::PLAN_APPROVE, argument))
            }
            (PlanOwner::Workspace, plan) => {
                let argument = json!({"plan": plan, "scope": {"kind": "workspace", "uris": [uri]}});
                ("Run this plan", (command::GOAL_SUBMIT, argument))
            }
        };
        let waits = |goal: &GoalView| goal.summary.state == GoalState::AwaitingApproval;
        let reason = match (&open.owner, &open.goal) {
            _ if !open.checked.is_valid() => Some("The plan has errors".to_owned()),
            (PlanOwner::Goal(id), None) => Some(format!("Goal {id} no longer exists")),
            (PlanOwner::Goal(id), Some(goal)) if !waits(goal) => {
                let state = goal.summary.state.status_phrase();
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
            Some(reason) => self.disabled_action(action, reason),
            None => Some(CodeAction {
                command: Some(new_command(command.0, title.to_owned(), command.1)),
                ..action
            }),
        }
    }

    fn refactor_actions(&self, open: &CheckedPlanDocument, index: usize) -> Vec<CodeAction> {
        let refactorings = list_refactorings(&open.checked, index).into_iter();
        refactorings
            .filter_map(|refactoring| match refactoring.edit {
                Ok(splices) => {
                    let mut action = self.edit_action(refactoring.title, splices)?;
                    action.kind = Some(goal_action_kind());
                    Some(action)
                }
                Err(reason) => {
                    let action = CodeAction {
                        title: refactoring.title,
                        kind: Some(goal_action_kind()),
                        ..CodeAction::default()
                    };
                    self.disabled_action(action, reason.to_owned())
                }
            })
            .collect()
    }

    /// Disables an action with a reason; `None` for clients that do not show disabled actions.
    fn disabled_action(&self, action: CodeAction, reason: String) -> Option<CodeAction> {
        let shown = self.session.capabilities().disabled_actions;
        shown.then(|| CodeAction {
            disabled: Some(CodeActionDisabled { reason }),
            ..action
        })
    }

    /// Creates an action that edits the document; `None` if the client cannot edit it safely.
    fn edit_action(&self, title: String, splices: Vec<TextSplice>) -> Option<CodeAction> {
        let capabilities = self.session.capabilities();
        let before = String::from(&self.document.text);
        let after = apply_splices(&before, splices);
        if unsupported_line_endings(self.document, &after, capabilities).is_some() {
            return None;
        }
        Some(CodeAction {
            title,
            edit: Some(to_workspace_edit(self.document, &after, capabilities)),
            ..CodeAction::default()
        })
    }
}
