//! Permission requests: asked once however many want the same, answered for all of them, taken back
//! with those who asked.

use claudecluster_protocol::{
    AttemptId, BlobId, ErrorBody, EventBody, GoalId, GoalState, PermissionId, TaskId,
    permission::{
        PermissionAnswer, PermissionDecision, PermissionKind, PermissionRequest, PermissionScope,
    },
};

use super::{Effect, StepTurn};
use crate::state::{ClusterState, Goal, PermissionEnding};

/// Names the asker: an attempt at a task, or the planner.
pub type PermissionAsker = Option<(TaskId, AttemptId)>;

/// Describes a use of a tool that needs permission.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RequestedToolUse {
    /// The tool.
    pub tool: String,
    /// A description of the use, for people.
    pub detail: String,
    /// The kind of access the tool wants.
    pub kind: Option<PermissionKind>,
    /// Its whole input, by the hash of its canonical form.
    pub input: BlobId,
}

impl StepTurn<'_> {
    /// Records that a task or the planner asks for permission and waits.
    pub(super) fn permission_asked(
        &mut self,
        id: &GoalId,
        asker: &PermissionAsker,
        wanted: RequestedToolUse,
    ) {
        let Some(goal) = self.state.goal(id).filter(|goal| is_waiting(goal, asker)) else {
            return;
        };
        let task = asker.as_ref().map(|(task, _)| task);
        if let Some(rule) = goal
            .permissions
            .last_rule(&wanted.tool, &wanted.input, task)
        {
            let effect = Effect::Permit {
                goal: id.clone(),
                task: task.cloned(),
                tool: wanted.tool,
                input: wanted.input,
                decision: rule.decision,
                reason: rule.reason.clone(),
            };
            self.effects.push(effect);
            return;
        }
        let request = match goal.permissions.request_about(&wanted.tool, &wanted.input) {
            Some(open) => {
                let Some(task) = task.filter(|task| !open.task_ids.contains(task)) else {
                    return;
                };
                let mut joined = open.clone();
                joined.task_ids.push(task.clone());
                joined
            }
            None => PermissionRequest {
                id: PermissionId::from_number(self.state.permissions + 1),
                goal_id: id.clone(),
                task_ids: task.cloned().into_iter().collect(),
                tool: wanted.tool,
                detail: wanted.detail,
                kind: wanted.kind,
                input: wanted.input,
                asked_at: self.now,
            },
        };
        let request = Box::new(request);
        self.record_event(id, EventBody::PermissionAsked { request });
    }

    /// Records the answer to a permission request.
    pub(super) fn permission_answered(
        &mut self,
        answer: PermissionAnswer,
        by: Option<String>,
    ) -> Result<(), ErrorBody> {
        let PermissionAnswer {
            request_id,
            decision,
            scope,
            reason,
        } = answer;
        let mut open = self.state.goals.values().flat_map(|g| &g.permissions.open);
        let Some(request) = open.find(|open| open.id == request_id).cloned() else {
            return Err(closed_request(self.state, &request_id));
        };
        if scope == PermissionScope::Always {
            check_always(&request, decision)?;
        }
        // A reason of nothing but space is none.
        let reason = reason.filter(|reason| !reason.trim().is_empty());
        let goal = request.goal_id;
        self.record_event(
            &goal,
            EventBody::PermissionAnswered {
                request_id,
                decision,
                scope,
                reason: reason.clone(),
                by,
            },
        );
        let planner = request.task_ids.is_empty().then_some(None);
        let tasks = request.task_ids.into_iter().map(Some);
        for task in tasks.chain(planner) {
            self.effects.push(Effect::Permit {
                goal: goal.clone(),
                task,
                tool: request.tool.clone(),
                input: request.input.clone(),
                decision,
                reason: reason.clone(),
            });
        }
        Ok(())
    }

    /// Records that an asker continues without waiting for its answer.
    pub(super) fn permission_left(
        &mut self,
        id: &GoalId,
        asker: &PermissionAsker,
        tool: &str,
        input: &BlobId,
    ) {
        let Some(goal) = self.state.goal(id).filter(|goal| is_waiting(goal, asker)) else {
            return;
        };
        if let Some(request) = goal.permissions.request_about(tool, input).cloned() {
            self.withdraw_asker(id, request, asker.as_ref().map(|(task, _)| task));
        }
    }

    /// Withdraws all requests of a task's attempt, or of the planner, that has ended.
    pub(super) fn leave_all(&mut self, id: &GoalId, task: Option<&TaskId>) {
        let Some(goal) = self.state.goal(id) else {
            return;
        };
        for request in goal.permissions.open.clone() {
            self.withdraw_asker(id, request, task);
        }
    }

    fn withdraw_asker(
        &mut self,
        id: &GoalId,
        mut request: PermissionRequest,
        task: Option<&TaskId>,
    ) {
        let waits = match task {
            Some(task) => request.task_ids.contains(task),
            None => request.task_ids.is_empty(),
        };
        if !waits {
            return;
        }
        request.task_ids.retain(|id| Some(id) != task);
        if request.task_ids.is_empty() {
            let request_id = request.id;
            self.record_event(id, EventBody::PermissionWithdrawn { request_id });
        } else {
            let request = Box::new(request);
            self.record_event(id, EventBody::PermissionAsked { request });
        }
    }

    /// Withdraws all requests of a goal. Its askers are being ended, or ended with the last daemon.
    pub(super) fn withdraw_permissions(&mut self, id: &GoalId) {
        let Some(goal) = self.state.goal(id) else {
            return;
        };
        let open: Vec<PermissionId> = goal
            .permissions
            .open
            .iter()
            .map(|request| request.id.clone())
            .collect();
        for request_id in open {
            self.record_event(id, EventBody::PermissionWithdrawn { request_id });
        }
    }
}

/// Returns whether the asker still waits for the answer.
fn is_waiting(goal: &Goal, asker: &PermissionAsker) -> bool {
    match asker {
        None => goal.state == GoalState::Planning,
        Some((task, attempt)) => goal.tasks.get(task).is_some_and(|task| {
            !task.state.is_terminal() && task.running_attempt().is_some_and(|a| a.id == *attempt)
        }),
    }
}

/// Refuses an answer that cannot stand for all goals.
fn check_always(
    request: &PermissionRequest,
    decision: PermissionDecision,
) -> Result<(), ErrorBody> {
    let id = &request.id;
    if !request.is_about_host() {
        let error =
            format!("{id} is not about a host of the network, so it cannot be allowed for always");
        return Err(ErrorBody::user(error).with_hint(format!(
            "allow it for the goal with: claudecluster allow {id} --goal"
        )));
    }
    match decision {
        PermissionDecision::Allow => Ok(()),
        PermissionDecision::Deny => {
            let error = format!(
                "{id} cannot be denied for always: hosts are denied unless they are allowed"
            );
            Err(ErrorBody::user(error).with_hint(format!(
                "deny it for the goal with: claudecluster deny {id} --goal"
            )))
        }
    }
}

/// Makes the error for a request that no longer waits.
fn closed_request(state: &ClusterState, id: &PermissionId) -> ErrorBody {
    let mut goals = state.goals.values();
    let error = match goals.find_map(|goal| goal.permissions.ended.get(id)) {
        Some(PermissionEnding::Answered { decision, by }) => {
            let said = match decision {
                PermissionDecision::Allow => "granted",
                PermissionDecision::Deny => "denied",
            };
            let by = by.as_ref().map(|by| format!(" by {by}"));
            let by = by.unwrap_or_default();
            ErrorBody::stale(format!("{id} was already {said}{by}"))
        }
        Some(PermissionEnding::Withdrawn) => ErrorBody::stale(format!(
            "{id} is no longer open: the worker has ended or continued without an answer"
        )),
        None => ErrorBody::user(format!("there is no permission request {:?}", id.as_str())),
    };
    error.with_hint("list open requests with: claudecluster permissions")
}
