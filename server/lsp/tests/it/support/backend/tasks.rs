//! Tasks as the backend shows them.

use claudecluster_protocol::{TaskId, TaskState, goal::TaskView, plan::AgentName};

/// Returns a task of the built-in agent that nobody has tried yet.
pub(super) fn task_view(id: TaskId, title: &str, state: TaskState) -> TaskView {
    TaskView {
        id,
        title: title.to_owned(),
        state,
        depends_on: Vec::new(),
        agent: AgentName::Native,
        attempts: Vec::new(),
        changed: Vec::new(),
        repair: None,
        network: Vec::new(),
    }
}
