//! Follows the events of goals in this editor's workspaces and informs the client.

use std::{collections::HashMap, sync::Arc, time::Duration};

use claudecluster_protocol::{
    ErrorBody, EventBody, EventSeq, GoalId, GoalState, PermissionId, TaskId, TaskState,
    editor::method,
    event::{Event, StreamItem},
    permission::PermissionRequest,
    repair::RepairSpec,
};
use claudecluster_service::{EventReceiver, TypedCalls};
use lsp_types::{LspNotificationMethod, MessageDirection, Notification};
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{Instrument, error_span};

use super::{
    approval_questions::{ask_plan_approval, ask_task_approval},
    permission_questions::ask_permission,
    progress,
};
use crate::{
    question::{OpenQuestion, QuestionSettled},
    session::{EditorSession, dirty_queue::DirtyMark},
};

/// `claudecluster/event`: one event or activity, for clients that show events by themselves.
enum EventNotification {}

impl Notification for EventNotification {
    type Params = StreamItem;
    const METHOD: LspNotificationMethod<'static> = LspNotificationMethod::new(method::EVENT);
    const MESSAGE_DIRECTION: MessageDirection = MessageDirection::ServerToClient;
}

/// How long to wait before a stream that has ended is opened again.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Opens the stream at once and starts the task.
///
/// The stream is opened before the next message is handled, so no event of a later request is missed.
pub(super) fn start(session: &Arc<EditorSession>) {
    let stream = open_stream(session, None);
    let following = follow_events(session.clone(), stream);
    session.tasks.spawn_background("goal events", following);
}

/// Opens the stream of events after `after`. A refused stream has ended already.
fn open_stream(session: &EditorSession, after: Option<EventSeq>) -> EventReceiver {
    let stream = session.service().events(None, after);
    stream.unwrap_or_else(|error| {
        tracing::warn!(%error, "cannot follow the events of goals");
        mpsc::channel(1).1
    })
}

async fn follow_events(session: Arc<EditorSession>, mut stream: EventReceiver) {
    let mut watcher = GoalEventWatcher {
        session,
        workspaces: HashMap::new(),
        progress: HashMap::new(),
        questions: HashMap::new(),
    };
    let mut last: Option<EventSeq> = None;
    let mut pause = FIRST_PAUSE;
    loop {
        // After the stream is open, so that no event is missed in between.
        watcher.catch_up().await;
        while let Some(item) = stream.recv().await {
            pause = FIRST_PAUSE;
            if let StreamItem::Event(event) = &item {
                last = Some(event.seq);
            }
            let span = error_span!("goal event", goal = %goal_of(&item));
            watcher.handle_item(item).instrument(span).await;
        }
        // The new stream repeats the events after `last`.
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
        stream = open_stream(&watcher.session, last);
    }
}

fn goal_of(item: &StreamItem) -> &GoalId {
    match item {
        StreamItem::Event(event) => &event.goal_id,
        StreamItem::Activity(activity) => &activity.goal_id,
    }
}

/// The state of the task that follows events.
struct GoalEventWatcher {
    session: Arc<EditorSession>,
    /// The workspace of each goal, to find the goals of this editor's folders.
    workspaces: HashMap<GoalId, String>,
    /// The goals whose progress is shown; the value wakes the task that shows it.
    progress: HashMap<GoalId, watch::Sender<()>>,
    /// The open questions to the user. Removing one withdraws the question.
    questions: HashMap<QuestionTopic, OpenQuestion>,
}

/// The subject of a question.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum QuestionTopic {
    /// A permission request.
    Permission(PermissionId),
    /// The plan of a goal that waits for approval.
    Plan(GoalId),
    /// A paused task.
    Task(GoalId, TaskId),
}

impl GoalEventWatcher {
    /// Shows the progress of goals that are already running, and repeats their open questions.
    async fn catch_up(&mut self) {
        let goals = self.session.service().goals().await;
        for goal in goals.map(|goals| goals.value).unwrap_or_default() {
            let working = goal.state.is_active() || goal.running > 0;
            if working && self.session.has_workspace(&goal.workspace) {
                self.wake_progress(&goal.id).await;
                if let Ok(view) = self.session.goal_view(&goal.id).await {
                    for request in view.permissions {
                        self.open_permission_question(request);
                    }
                }
            }
        }
    }

    /// Asks the user about a request, once however many workers wait for it.
    fn open_permission_question(&mut self, request: PermissionRequest) {
        let topic = QuestionTopic::Permission(request.id.clone());
        if !self.questions.contains_key(&topic) {
            let span = error_span!("permission", goal = %request.goal_id, request = %request.id);
            let settled = self.open_question(topic);
            let asking = ask_permission(self.session.clone(), request, settled);
            self.session.tasks.spawn(asking.instrument(span));
        }
    }

    /// Records an open question. The returned receiver resolves when the question is settled elsewhere.
    fn open_question(&mut self, topic: QuestionTopic) -> QuestionSettled {
        let (open, settled) = oneshot::channel();
        self.questions.insert(topic, open);
        settled
    }

    async fn handle_item(&mut self, item: StreamItem) {
        if !self.concerns_editor(&item).await {
            return;
        }
        if let StreamItem::Event(event) = &item {
            self.handle_event(event).await;
        }
        if self.session.client_shows_events() {
            self.session
                .client
                .send_notification::<EventNotification>(item)
                .await;
        }
    }

    /// Whether the goal of an item belongs to one of this editor's folders.
    async fn concerns_editor(&mut self, item: &StreamItem) -> bool {
        let goal = goal_of(item);
        if let Some(workspace) = self.workspaces.get(goal) {
            return self.session.has_workspace(workspace);
        }
        let submitted = match item {
            StreamItem::Event(event) => match &event.body {
                EventBody::GoalSubmitted { spec } => Some(spec.workspace.clone()),
                _ => None,
            },
            StreamItem::Activity(_) => None,
        };
        let workspace = match submitted {
            Some(workspace) => workspace,
            None => match self.session.goal_view(goal).await {
                Ok(view) => view.summary.workspace,
                Err(_) => return false,
            },
        };
        let concerns = self.session.has_workspace(&workspace);
        self.workspaces.insert(goal.clone(), workspace);
        concerns
    }

    async fn handle_event(&mut self, event: &Event) {
        let goal = &event.goal_id;
        self.wake_progress(goal).await;
        if let Some(topic) = answered_topic(event) {
            self.questions.remove(&topic);
        }
        match &event.body {
            EventBody::Proposed { .. } | EventBody::Reviewed { .. } => {
                self.session.mark_dirty(DirtyMark::Everything);
            }
            EventBody::Amended { task_id, .. } => {
                self.session.mark_dirty(DirtyMark::Everything);
                self.announce_repair(goal, task_id).await;
            }
            EventBody::TaskChanged {
                task_id,
                state: TaskState::Failed,
            } => self.announce_repair(goal, task_id).await,
            EventBody::PermissionAsked { request } => {
                self.open_permission_question((**request).clone());
            }
            EventBody::TaskChanged {
                task_id,
                state: TaskState::Paused,
            } => {
                self.session.mark_dirty(DirtyMark::Everything);
                self.open_task_question(goal, task_id).await;
            }
            // The plan may show a lens that lets the task start.
            EventBody::AttemptStarted { .. } => self.session.mark_dirty(DirtyMark::Everything),
            EventBody::GoalChanged { state, error } => {
                self.session.mark_dirty(DirtyMark::Everything);
                if !self.session.client_shows_events() {
                    self.announce_state(goal, *state, error.as_ref()).await;
                }
            }
            _ => {}
        }
    }

    /// Asks the user to approve a paused task, unless the client asks by itself.
    async fn open_task_question(&mut self, goal: &GoalId, task: &TaskId) {
        if self.session.client_shows_events() {
            return;
        }
        if let Ok(view) = self.session.goal_view(goal).await {
            let settled = self.open_question(QuestionTopic::Task(goal.clone(), task.clone()));
            let asking = ask_task_approval(self.session.clone(), view, task.clone(), settled);
            self.session.tasks.spawn(asking);
        }
    }

    /// Wakes the task that shows a goal's progress, or starts it.
    async fn wake_progress(&mut self, goal: &GoalId) {
        if !self.session.capabilities().progress {
            return;
        }
        if let Some(wake) = self.progress.get(goal)
            && wake.send(()).is_ok()
        {
            return;
        }
        self.progress.remove(goal);
        let view = self.session.goal_view(goal).await;
        if view.is_ok_and(|view| view.is_working()) {
            let (wake, woken) = watch::channel(());
            self.progress.insert(goal.clone(), wake);
            let showing = progress::show_progress(self.session.clone(), goal.clone(), woken);
            let span = error_span!("progress", %goal);
            self.session.tasks.spawn(showing.instrument(span));
        }
    }

    /// Shows the result of a repair, unless the client shows events by itself.
    async fn announce_repair(&self, goal: &GoalId, task: &TaskId) {
        if self.session.client_shows_events() {
            return;
        }
        let Ok(view) = self.session.goal_view(goal).await else {
            return;
        };
        let mut tasks = view.tasks_detail.into_iter();
        let Some(task) = tasks.find(|one| one.id == *task) else {
            return;
        };
        if !task
            .repair
            .as_ref()
            .is_some_and(RepairSpec::amends_proposal)
        {
            return;
        }
        let words = task.attempts.last().map(|last| last.summary.as_str());
        let words = words.unwrap_or_default();
        if task.state == TaskState::Failed {
            let error = ErrorBody::environment(words)
                .with_hint("resolve it yourself, or try again with: claudecluster retry {goal}");
            let what = format!("{goal}: {} failed; nothing has changed", task.title);
            self.session.show_error(&what, &error).await;
        } else {
            let said = format!("{goal}: {} finished: {words}", task.title);
            self.session.show_info(said).await;
        }
    }

    /// Shows a new state that needs the user, or asks about it.
    async fn announce_state(&mut self, goal: &GoalId, state: GoalState, error: Option<&ErrorBody>) {
        let session = self.session.clone();
        match state {
            GoalState::AwaitingApproval => {
                if let Ok(view) = session.goal_view(goal).await {
                    let settled = self.open_question(QuestionTopic::Plan(goal.clone()));
                    let asking = ask_plan_approval(session, view, settled);
                    self.session.tasks.spawn(asking);
                }
            }
            GoalState::Proposed => {
                let message = progress::describe_outcome(&session, goal).await;
                session
                    .show_info(format!(
                        "{goal}: {message}. Use code actions to accept or reject them."
                    ))
                    .await;
            }
            GoalState::Failed => {
                let unknown = ErrorBody::internal("no reason was given");
                session
                    .show_error(&format!("{goal} failed"), error.unwrap_or(&unknown))
                    .await;
            }
            _ => {}
        }
    }
}

/// Returns the topic of the question that an event settles.
fn answered_topic(event: &Event) -> Option<QuestionTopic> {
    let goal = || event.goal_id.clone();
    match &event.body {
        EventBody::PermissionAnswered { request_id, .. }
        | EventBody::PermissionWithdrawn { request_id } => {
            Some(QuestionTopic::Permission(request_id.clone()))
        }
        EventBody::GoalChanged { state, .. } if *state != GoalState::AwaitingApproval => {
            Some(QuestionTopic::Plan(goal()))
        }
        EventBody::TaskChanged { task_id, state } if *state != TaskState::Paused => {
            Some(QuestionTopic::Task(goal(), task_id.clone()))
        }
        _ => None,
    }
}
