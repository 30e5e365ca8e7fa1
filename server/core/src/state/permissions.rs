//! What workers of one goal ask for, and what they have been told.

use claudecluster_protocol::{
    BlobId, EventBody, PermissionId, TaskId,
    permission::{PermissionDecision, PermissionRequest, PermissionScope},
};
use indexmap::IndexMap;

use super::{Goal, TaskAttempt};

/// The permission requests of one goal.
#[derive(Clone, Debug, Default)]
pub struct GoalPermissions {
    /// The requests that wait for an answer, oldest first. No two are about the same.
    pub open: Vec<PermissionRequest>,
    /// Answers that go on standing, oldest first.
    pub rules: Vec<PermissionRule>,
    /// The endings of the requests that no longer wait.
    pub ended: IndexMap<PermissionId, PermissionEnding>,
}

/// Records the ending of a permission request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PermissionEnding {
    /// Somebody answered it.
    Answered {
        /// The answer.
        decision: PermissionDecision,
        /// The client that answered, where that is known.
        by: Option<String>,
    },
    /// The asker has ended, or continues without an answer.
    Withdrawn,
}

/// An answer that stands for later requests about exactly the same.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PermissionRule {
    /// The tool.
    pub tool: String,
    /// Its input.
    pub input: BlobId,
    /// For whom it stands: these tasks, or the planner where there are none; `None` for everybody.
    pub tasks: Option<Vec<TaskId>>,
    /// The answer.
    pub decision: PermissionDecision,
    /// Why.
    pub reason: Option<String>,
}

impl PermissionRule {
    fn is_for(&self, task: Option<&TaskId>) -> bool {
        match (&self.tasks, task) {
            (None, _) => true,
            (Some(tasks), Some(task)) => tasks.contains(task),
            (Some(tasks), None) => tasks.is_empty(),
        }
    }
}

impl GoalPermissions {
    /// Returns the request about this tool with this input.
    pub fn request_about(&self, tool: &str, input: &BlobId) -> Option<&PermissionRequest> {
        self.open.iter().find(|open| open.is_about(tool, input))
    }

    /// Returns the last rule a task, or the planner, was given about this use.
    pub fn last_rule(
        &self,
        tool: &str,
        input: &BlobId,
        task: Option<&TaskId>,
    ) -> Option<&PermissionRule> {
        let mut rules = self.rules.iter().rev();
        rules.find(|rule| rule.tool == tool && rule.input == *input && rule.is_for(task))
    }

    pub(super) fn apply_event(&mut self, body: &EventBody) {
        match body {
            EventBody::PermissionAsked { request } => {
                let known = self.open.iter_mut().find(|open| open.id == request.id);
                match known {
                    Some(known) => known.clone_from(request),
                    None => self.open.push((**request).clone()),
                }
            }
            EventBody::PermissionAnswered {
                request_id,
                decision,
                scope,
                reason,
                by,
            } => {
                let Some(at) = self.open.iter().position(|open| open.id == *request_id) else {
                    return;
                };
                let request = self.open.remove(at);
                let ending = PermissionEnding::Answered {
                    decision: *decision,
                    by: by.clone(),
                };
                self.ended.insert(request_id.clone(), ending);
                if *scope != PermissionScope::Once {
                    self.rules.push(PermissionRule {
                        tool: request.tool,
                        input: request.input,
                        tasks: (*scope == PermissionScope::Task).then_some(request.task_ids),
                        decision: *decision,
                        reason: reason.clone(),
                    });
                }
            }
            EventBody::PermissionWithdrawn { request_id } => {
                self.open.retain(|open| open.id != *request_id);
                self.ended
                    .insert(request_id.clone(), PermissionEnding::Withdrawn);
            }
            _ => {}
        }
    }
}

impl Goal {
    /// Returns the attempts that run and wait for a person: they hold a process and do nothing.
    pub fn waiting_attempts(&self) -> impl Iterator<Item = (&TaskId, &TaskAttempt)> {
        self.running_attempts().filter(|(task, _)| {
            let mut open = self.permissions.open.iter();
            open.any(|request| request.task_ids.contains(task))
        })
    }
}
