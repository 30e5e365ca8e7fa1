//! What workers of the recorded goals ask for, and what is said to it: as the driver does it.

use claudecluster_protocol::{
    BlobId, ErrorBody, EventBody, GoalId, PermissionId, TaskId, Timestamp,
    goal::GoalView,
    permission::{PermissionAnswer, PermissionDecision, PermissionKind, PermissionRequest},
};

use super::{Recorder, Result};

impl Recorder {
    /// A worker of a goal asks for something.
    pub(crate) async fn ask(&self, goal: &str, id: &str, tasks: &[&str]) {
        let request = PermissionRequest {
            id: PermissionId::new(id),
            goal_id: GoalId::new(goal),
            task_ids: tasks.iter().map(|&task| TaskId::new(task)).collect(),
            tool: "WebFetch".into(),
            detail: format!("http://example.com/{id}"),
            kind: Some(PermissionKind::Network),
            input: BlobId::new("b"),
            asked_at: Timestamp(0),
        };
        self.with(|state| {
            let goals = state.goals.iter_mut();
            for view in goals.filter(|view| view.summary.id == request.goal_id) {
                view.permissions.retain(|open| open.id != request.id);
                view.permissions.push(request.clone());
            }
        });
        let request = Box::new(request);
        self.event(goal, EventBody::PermissionAsked { request })
            .await;
    }

    /// The worker goes on without an answer: it has waited as long as it may.
    pub(crate) async fn withdraw(&self, id: &str) {
        let request_id = PermissionId::new(id);
        let goal = self.close(&request_id).expect("it is open");
        self.event(goal.as_str(), EventBody::PermissionWithdrawn { request_id })
            .await;
    }

    /// Takes a request from those that wait. Returns its goal.
    fn close(&self, id: &PermissionId) -> Option<GoalId> {
        self.with(|state| {
            let open = |goal: &GoalView| goal.permissions.iter().any(|open| open.id == *id);
            let goal = state.goals.iter_mut().find(|goal| open(goal))?;
            goal.permissions.retain(|open| open.id != *id);
            Some(goal.summary.id.clone())
        })
    }

    /// Somebody answers.
    pub(crate) async fn permitted(
        &self,
        answer: PermissionAnswer,
        by: Option<String>,
    ) -> Result<()> {
        let id = answer.request_id.clone();
        let Some(goal) = self.close(&id) else {
            return Err(ErrorBody::stale(self.ended(&id)));
        };
        let answered = EventBody::PermissionAnswered {
            request_id: id,
            decision: answer.decision,
            scope: answer.scope,
            reason: None,
            by: by.clone(),
        };
        self.with(|state| state.permitted.push((answer, by)));
        self.event(goal.as_str(), answered).await;
        self.permitting.notify_one();
        Ok(())
    }

    fn ended(&self, id: &PermissionId) -> String {
        let permitted = self.with(|state| state.permitted.clone());
        let mut answers = permitted.into_iter();
        match answers.find(|(answer, _)| answer.request_id == *id) {
            None => format!("{id} is no longer open"),
            Some((answer, by)) => {
                let said = match answer.decision {
                    PermissionDecision::Allow => "granted",
                    PermissionDecision::Deny => "denied",
                };
                let by = by.map(|by| format!(" by {by}")).unwrap_or_default();
                format!("{id} was already {said}{by}")
            }
        }
    }
}
