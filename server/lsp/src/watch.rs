//! Follows what happens to the goals of this editor's workspace, and tells the client.

use std::{collections::HashMap, sync::Arc, time::Duration};

use claudecluster_protocol::{
    ErrorBody, EventBody, EventSeq, GoalId, GoalState, PermissionId, TaskId, TaskState,
    editor::method,
    event::{Event, Repair, StreamItem},
    goal::GoalView,
    permission::PermissionRequest,
};
use lsp_types::{LspNotificationMethod, MessageDirection, Notification};
use tokio::sync::{mpsc, oneshot, watch};

use crate::{
    permission, plan, progress,
    question::{self, Open, Settled},
    session::Session,
    stale::Dirty,
};

/// Carries every event and activity to clients that want them.
enum EventNotification {}

impl Notification for EventNotification {
    type Params = StreamItem;
    const METHOD: LspNotificationMethod<'static> = LspNotificationMethod::new(method::EVENT);
    const MESSAGE_DIRECTION: MessageDirection = MessageDirection::ServerToClient;
}

/// How long to wait before the stream is opened again when it has ended.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Follows the events from this moment on: whoever asks for something next sees all that comes of it.
/// The task runs as long as the connection does.
pub(crate) fn start(session: &Arc<Session>) {
    let stream = session.backend.watch(None, None);
    session.spawn(run(session.clone(), stream));
}

async fn run(session: Arc<Session>, mut stream: mpsc::Receiver<StreamItem>) {
    let mut watcher = Watcher {
        session,
        workspaces: HashMap::new(),
        progress: HashMap::new(),
        asked: HashMap::new(),
    };
    let mut last: Option<EventSeq> = None;
    let mut pause = FIRST_PAUSE;
    loop {
        // After the stream is open, so that nothing falls between.
        watcher.catch_up().await;
        while let Some(item) = stream.recv().await {
            pause = FIRST_PAUSE;
            if let StreamItem::Event(event) = &item {
                last = Some(event.seq);
            }
            watcher.item(item).await;
        }
        // What was missed comes again from `last` on.
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
        stream = watcher.session.backend.watch(None, last);
    }
}

struct Watcher {
    session: Arc<Session>,
    /// Where each goal works, to tell those of this editor's folders.
    workspaces: HashMap<GoalId, String>,
    /// The goals whose progress is shown; the value wakes the task that shows it.
    progress: HashMap<GoalId, watch::Sender<()>>,
    /// What this editor's user has been asked and nobody has settled. Taking one out takes the question
    /// back, where it still stands there.
    asked: HashMap<Topic, Open>,
}

/// What a question is about.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Topic {
    /// A permission request.
    Permission(PermissionId),
    /// The plan of a goal, which waits for an approval.
    Plan(GoalId),
    /// A task that its plan pauses.
    Task(GoalId, TaskId),
}

impl Watcher {
    /// Shows the progress of goals that were running before this editor came, and asks what was asked
    /// before.
    async fn catch_up(&mut self) {
        let goals = self.session.ask(|backend| Ok(backend.goals())).await;
        for goal in goals.unwrap_or_default() {
            let working = goal.state.is_active() || goal.running > 0;
            if working && self.session.has_workspace(&goal.workspace) {
                self.poke(&goal.id).await;
                if let Ok(view) = self.session.goal(&goal.id).await {
                    for request in view.permissions {
                        self.ask_permission(request);
                    }
                }
            }
        }
    }

    /// Asks the user, once for a request however many workers come to wait for it.
    fn ask_permission(&mut self, request: PermissionRequest) {
        let topic = Topic::Permission(request.id.clone());
        if !self.asked.contains_key(&topic) {
            let settled = self.opened(topic);
            let session = self.session.clone();
            self.session
                .spawn(permission::ask(session, request, settled));
        }
    }

    /// Remembers a question. What it returns resolves once the question is settled in another way.
    fn opened(&mut self, topic: Topic) -> Settled {
        let (open, settled) = oneshot::channel();
        self.asked.insert(topic, open);
        settled
    }

    async fn item(&mut self, item: StreamItem) {
        let goal = match &item {
            StreamItem::Event(event) => &event.goal_id,
            StreamItem::Activity(activity) => &activity.goal_id,
        };
        if !self.concerns(goal, &item).await {
            return;
        }
        if let StreamItem::Event(event) = &item {
            self.event(event).await;
        }
        if self.session.settings.now().events == Some(true) {
            self.session
                .client
                .send_notification::<EventNotification>(item)
                .await;
        }
    }

    async fn concerns(&mut self, goal: &GoalId, item: &StreamItem) -> bool {
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
            None => match self.session.goal(goal).await {
                Ok(view) => view.summary.workspace,
                Err(_) => return false,
            },
        };
        let concerns = self.session.has_workspace(&workspace);
        self.workspaces.insert(goal.clone(), workspace);
        concerns
    }

    async fn event(&mut self, event: &Event) {
        let goal = &event.goal_id;
        self.poke(goal).await;
        if let Some(topic) = settles(event) {
            self.asked.remove(&topic);
        }
        match &event.body {
            EventBody::Proposed { .. } | EventBody::Reviewed { .. } => {
                self.session.refresh(Dirty::Everything);
            }
            EventBody::Amended { task_id, .. } => {
                self.session.refresh(Dirty::Everything);
                self.announce_repair(goal, task_id).await;
            }
            EventBody::TaskChanged {
                task_id,
                state: TaskState::Failed,
            } => self.announce_repair(goal, task_id).await,
            EventBody::PermissionAsked { request } => self.ask_permission((**request).clone()),
            EventBody::TaskChanged {
                task_id,
                state: TaskState::Paused,
            } => {
                self.session.refresh(Dirty::Everything);
                if self.session.settings.now().events != Some(true)
                    && let Ok(view) = self.session.goal(goal).await
                {
                    let settled = self.opened(Topic::Task(goal.clone(), task_id.clone()));
                    let session = self.session.clone();
                    let asked = ask_for_task(session, view, task_id.clone(), settled);
                    self.session.spawn(asked);
                }
            }
            // Its plan may offer to let it start.
            EventBody::AttemptStarted { .. } => self.session.refresh(Dirty::Everything),
            EventBody::GoalChanged { state, error } => {
                self.session.refresh(Dirty::Everything);
                if self.session.settings.now().events != Some(true) {
                    self.announce(goal, *state, error.as_ref()).await;
                }
            }
            _ => {}
        }
    }

    /// Starts or wakes the task that shows a goal's progress.
    async fn poke(&mut self, goal: &GoalId) {
        if !self.session.capabilities().progress {
            return;
        }
        if let Some(wake) = self.progress.get(goal)
            && wake.send(()).is_ok()
        {
            return;
        }
        self.progress.remove(goal);
        let view = self.session.goal(goal).await;
        if view.is_ok_and(|view| view.is_working()) {
            let (wake, woken) = watch::channel(());
            self.progress.insert(goal.clone(), wake);
            self.session
                .spawn(progress::show(self.session.clone(), goal.clone(), woken));
        }
    }

    /// Tells the user of a client that does not do it itself what became of a repair they asked for.
    async fn announce_repair(&self, goal: &GoalId, task: &TaskId) {
        if self.session.settings.now().events == Some(true) {
            return;
        }
        let Ok(view) = self.session.goal(goal).await else {
            return;
        };
        let mut tasks = view.tasks_detail.into_iter();
        let Some(task) = tasks.find(|one| one.id == *task) else {
            return;
        };
        if !task.repair.as_ref().is_some_and(Repair::amends) {
            return;
        }
        let words = task.attempts.last().map(|last| last.summary.as_str());
        let words = words.unwrap_or_default();
        if task.state == TaskState::Failed {
            let error = ErrorBody::environment(words).hint(format!(
                "resolve it yourself, or try again with: claudecluster retry {goal}"
            ));
            let what = format!("{goal}: {} failed; nothing has changed", task.title);
            self.session.fail(&what, &error).await;
        } else {
            let said = format!("{goal}: {} finished: {words}", task.title);
            self.session.info(said).await;
        }
    }

    /// Tells the user of a client that does not do it itself what wants a decision.
    async fn announce(&mut self, goal: &GoalId, state: GoalState, error: Option<&ErrorBody>) {
        let session = self.session.clone();
        match state {
            GoalState::AwaitingApproval => {
                if let Ok(view) = session.goal(goal).await {
                    let settled = self.opened(Topic::Plan(goal.clone()));
                    self.session.spawn(ask_for_approval(session, view, settled));
                }
            }
            GoalState::Proposed => {
                let message = progress::outcome(&session, goal).await;
                session
                    .info(format!(
                        "{goal}: {message}. Use code actions to accept or reject them."
                    ))
                    .await;
            }
            GoalState::Failed => {
                let unknown = ErrorBody::internal("no reason was given");
                session
                    .fail(&format!("{goal} failed"), error.unwrap_or(&unknown))
                    .await;
            }
            _ => {}
        }
    }
}

/// The question that an event settles, should it stand open.
fn settles(event: &Event) -> Option<Topic> {
    let goal = || event.goal_id.clone();
    match &event.body {
        EventBody::PermissionAnswered { request_id, .. }
        | EventBody::PermissionWithdrawn { request_id } => {
            Some(Topic::Permission(request_id.clone()))
        }
        EventBody::GoalChanged { state, .. } if *state != GoalState::AwaitingApproval => {
            Some(Topic::Plan(goal()))
        }
        EventBody::TaskChanged { task_id, state } if *state != TaskState::Paused => {
            Some(Topic::Task(goal(), task_id.clone()))
        }
        _ => None,
    }
}

const CANCEL: &str = "Cancel the goal";
const OPEN: &str = "Open plan";

/// Asks whether a plan may run, and carries the answer out. What is approved is the plan that was asked
/// about.
async fn ask_for_approval(session: Arc<Session>, goal: GoalView, settled: Settled) {
    const RUN: &str = "Run the plan";
    let tasks: Vec<_> = goal
        .tasks_detail
        .iter()
        .map(|task| task.title.as_str())
        .collect();
    let message = format!(
        "{}: a plan of {} tasks is waiting for approval: {}",
        goal.summary.id,
        tasks.len(),
        tasks.join("; ")
    );
    let choices = [RUN, OPEN, CANCEL];
    let answer = question::ask(&session.client, &message, &choices, settled).await;
    if answer.as_deref() == Some(RUN) {
        let id = &goal.summary.id;
        let done = session.backend.approve(id, None, goal.plan).await;
        told(&session, id, done).await;
    } else {
        open_or_cancel(&session, goal, answer).await;
    }
}

/// Asks whether a task may start that its plan pauses.
async fn ask_for_task(session: Arc<Session>, goal: GoalView, task: TaskId, settled: Settled) {
    const START: &str = "Start task";
    let mut tasks = goal.tasks_detail.iter();
    let title = tasks.find(|one| one.id == task);
    let title = title.map_or(task.as_str(), |one| &one.title);
    let id = goal.summary.id.clone();
    let message = format!("{id}: {title} ({task}) is waiting for your approval");
    let choices = [START, OPEN, CANCEL];
    let answer = question::ask(&session.client, &message, &choices, settled).await;
    if answer.as_deref() == Some(START) {
        let done = session.backend.approve_task(&id, &task).await;
        told(&session, &id, done).await;
    } else {
        open_or_cancel(&session, goal, answer).await;
    }
}

async fn open_or_cancel(session: &Arc<Session>, goal: GoalView, answer: Option<String>) {
    let id = goal.summary.id.clone();
    let done = match answer.as_deref() {
        Some(OPEN) => plan::open(session, goal).await.map(|_| ()),
        Some(CANCEL) => session.backend.cancel(&id).await,
        _ => Ok(()),
    };
    told(session, &id, done).await;
}

async fn told(session: &Session, goal: &GoalId, done: Result<(), ErrorBody>) {
    if let Err(error) = done {
        session.fail(goal.as_str(), &error).await;
    }
}
