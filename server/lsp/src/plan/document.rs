//! Recognition of plan documents.

use std::path::PathBuf;

use claudecluster_protocol::{GoalId, goal::GoalView};

use super::{
    check::{CheckedPlan, PlanContext, check_plan},
    files,
};
use crate::{blocking::run_blocking, documents::DocumentSnapshot, session::EditorSession, uri};

/// The ending of plans that users keep in a workspace.
pub(super) const WORKSPACE_ENDING: &str = ".claudecluster.json";

/// The owner of a plan document.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum PlanOwner {
    Goal(GoalId),
    /// A user, who keeps the plan in a workspace.
    Workspace,
}

/// Returns the owner of a plan document; `None` if the document is not a plan.
pub(super) fn plan_owner(
    session: &EditorSession,
    document: &DocumentSnapshot,
) -> Option<PlanOwner> {
    let path = document.path.as_deref()?;
    let name = path.file_name()?.to_str()?;
    if name.ends_with(files::GOAL_ENDING) {
        let folder = uri::resolve_links(session.config.plans.as_deref()?);
        let goal = name.split('.').next().filter(|goal| !goal.is_empty())?;
        return path
            .starts_with(folder)
            .then(|| PlanOwner::Goal(GoalId::new(goal)));
    }
    let kept = name.ends_with(WORKSPACE_ENDING) && session.root_of(path).is_some();
    kept.then_some(PlanOwner::Workspace)
}

/// An open plan document and the result of its check.
pub(super) struct CheckedPlanDocument {
    pub(super) owner: PlanOwner,
    /// The goal of the plan, if it is known.
    pub(super) goal: Option<GoalView>,
    pub(super) checked: CheckedPlan,
}

/// Checks a document; `None` if the document is not a plan.
pub(super) async fn check_document(
    session: &EditorSession,
    document: &DocumentSnapshot,
) -> Option<CheckedPlanDocument> {
    let owner = plan_owner(session, document)?;
    let goal = owning_goal(session, &owner).await;
    let context = plan_context(session, document, goal.as_ref());
    let text = document.text.clone();
    let checked = run_blocking(move || Ok(check_plan(String::from(&text), &context)))
        .await
        .ok()?;
    Some(CheckedPlanDocument {
        owner,
        goal,
        checked,
    })
}

/// Returns the goal that owns a plan, if it is known.
pub(super) async fn owning_goal(session: &EditorSession, owner: &PlanOwner) -> Option<GoalView> {
    match owner {
        PlanOwner::Goal(goal) => session.goal_view(goal).await.ok(),
        PlanOwner::Workspace => None,
    }
}

/// Returns the workspace folder and the gates with which a plan is checked.
pub(super) fn plan_context(
    session: &EditorSession,
    document: &DocumentSnapshot,
    goal: Option<&GoalView>,
) -> PlanContext {
    if let Some(goal) = goal {
        return PlanContext {
            root: Some(PathBuf::from(&goal.summary.workspace)),
            has_gates: !goal.spec.gates.is_empty(),
        };
    }
    let path = document.path.as_deref();
    let gates = session.settings.current().gates;
    PlanContext {
        root: path.and_then(|path| session.root_of(path)),
        has_gates: gates.is_some_and(|gates| !gates.is_empty()),
    }
}
