//! Permission requests: from a session to the dispatcher, and the answer back.
//!
//! Every session has a broker. It reports what the session asks to the dispatcher, which makes it a
//! request, journals it, and delivers the answer to the brokers of all sessions that wait for it.
//! If a session repeats a question that is still open, it gets another copy of the answer.
//!
//! A question about a host of the network does not wait where nobody can answer it: what was decided before
//! counts, and otherwise it is denied at once.

use std::{future::poll_fn, sync::Arc, task::Poll};

use claudecluster_core::{
    secrets::SecretMask,
    state::ClusterState,
    step::{Input, PermissionAsker, RequestedToolUse},
};
use claudecluster_protocol::{
    BlobId, ErrorBody, GoalId, GoalState, TaskId,
    permission::{NETWORK_TOOL, PermissionDecision, PermissionRequest},
};
use claudecluster_worker::agent::{PermissionQuestion, QuestionReply};
use dashmap::DashMap;
use tokio::sync::{mpsc, oneshot};

use crate::{
    blocking::run_blocking, mailbox::DispatcherMailbox, published::PublishedGoals,
    run::host_answers::HostAnswers, workspace::content_store::ContentStore,
};

/// The brokers of the sessions that run. Clones share them.
#[derive(Clone)]
pub(crate) struct PermissionBrokers {
    contents: ContentStore,
    mailbox: DispatcherMailbox,
    goals: PublishedGoals,
    hosts: HostAnswers,
    open: Arc<OpenBrokers>,
}

/// A task has one session at a time, and a goal one planner.
type OpenBrokers = DashMap<(GoalId, Option<TaskId>), mpsc::UnboundedSender<PermissionReply>>;

/// The answer to a permission request, for the broker of the session that asked.
pub(crate) struct PermissionReply {
    pub(crate) tool: String,
    pub(crate) input: BlobId,
    pub(crate) reply: QuestionReply,
}

impl PermissionBrokers {
    /// Returns brokers that store requests in `contents` and report them to the dispatcher.
    pub(crate) fn new(
        contents: ContentStore,
        mailbox: DispatcherMailbox,
        goals: PublishedGoals,
        hosts: HostAnswers,
    ) -> Self {
        Self {
            contents,
            mailbox,
            goals,
            hosts,
            open: Arc::default(),
        }
    }

    /// Opens the broker of a session. Returns the sender with which the session asks, too.
    pub(crate) fn open_broker(
        &self,
        goal: &GoalId,
        asker: PermissionAsker,
    ) -> (PermissionBroker, mpsc::UnboundedSender<PermissionQuestion>) {
        let (ask, asks) = mpsc::unbounded_channel();
        let (entry, replies) = mpsc::unbounded_channel();
        let broker = PermissionBroker {
            brokers: self.clone(),
            goal: goal.clone(),
            asker,
            asks,
            replies,
            entry,
            waiting: Vec::new(),
        };
        self.open.insert(broker.session_key(), broker.entry.clone());
        (broker, ask)
    }

    /// Delivers an answer to the session that waits for it. A session that has ended needs none.
    pub(crate) fn deliver_reply(&self, goal: GoalId, task: Option<TaskId>, reply: PermissionReply) {
        if let Some(broker) = self.open.get(&(goal, task)) {
            let _ = broker.send(reply);
        }
    }
}

/// Forwards the questions of one session to the dispatcher, and the answers back.
pub(crate) struct PermissionBroker {
    brokers: PermissionBrokers,
    goal: GoalId,
    asker: PermissionAsker,
    asks: mpsc::UnboundedReceiver<PermissionQuestion>,
    replies: mpsc::UnboundedReceiver<PermissionReply>,
    /// The broker's own sender among the open ones, to tell it from a later session's.
    entry: mpsc::UnboundedSender<PermissionReply>,
    waiting: Vec<WaitingRequest>,
}

/// An open question of the session.
struct WaitingRequest {
    tool: String,
    input: BlobId,
    replies: Vec<oneshot::Sender<QuestionReply>>,
}

impl PermissionBroker {
    fn session_key(&self) -> (GoalId, Option<TaskId>) {
        let task = self.asker.as_ref().map(|(task, _)| task.clone());
        (self.goal.clone(), task)
    }

    /// Runs until the session has ended. Its open requests are then withdrawn with its attempt.
    pub(crate) async fn run(mut self) {
        loop {
            tokio::select! {
                ask = self.asks.recv() => match ask {
                    Some(ask) => self.forward_ask(ask).await,
                    None => return,
                },
                Some(reply) = self.replies.recv() => self.answer_waiting(&reply),
                left = first_abandoned(&mut self.waiting) => self.withdraw_request(left),
            }
        }
    }

    async fn forward_ask(&mut self, ask: PermissionQuestion) {
        let PermissionQuestion {
            request: wanted,
            reply,
        } = ask;
        if wanted.tool == NETWORK_TOOL
            && let Some(known) = self.answer_about_host(&wanted.input)
        {
            // The session may have ended meanwhile.
            let _ = reply.send(known);
            return;
        }
        let (contents, bytes) = (self.brokers.contents.clone(), wanted.input.into_bytes());
        let stored = run_blocking("storing what a worker asks for", move || {
            contents.store().put_blob(&bytes).map_err(ErrorBody::from)
        });
        let input = match stored.await {
            Ok(input) => input,
            Err(error) => {
                // Nobody can be shown what they would allow.
                let reason = Some(format!("cannot record the request: {}", error.message));
                let decision = PermissionDecision::Deny;
                // The session may have ended meanwhile.
                let _ = reply.send(QuestionReply { decision, reason });
                return;
            }
        };
        let same = |one: &&mut WaitingRequest| one.tool == wanted.tool && one.input == input;
        if let Some(waiting) = self.waiting.iter_mut().find(same) {
            waiting.replies.push(reply);
            return;
        }
        self.waiting.push(WaitingRequest {
            tool: wanted.tool.clone(),
            input: input.clone(),
            replies: vec![reply],
        });
        self.brokers.mailbox.report(Input::PermissionAsked {
            goal: self.goal.clone(),
            asker: self.asker.clone(),
            wanted: RequestedToolUse {
                tool: wanted.tool,
                detail: SecretMask::default().mask(&wanted.detail).into_owned(),
                kind: wanted.kind,
                input,
            },
        });
    }

    /// Returns the answer to a question about a host; `None` if somebody can be asked.
    fn answer_about_host(&self, input: &str) -> Option<QuestionReply> {
        let hosts = &self.brokers.hosts;
        if let Some(decision) = hosts.standing_answer(input) {
            let reason = None;
            return Some(QuestionReply { decision, reason });
        }
        let deny = |reason: &str| {
            let (decision, reason) = (PermissionDecision::Deny, Some(reason.to_owned()));
            Some(QuestionReply { decision, reason })
        };
        let Ok(goal) = self.brokers.goals.goal(&self.goal) else {
            return deny("its goal is gone");
        };
        let task = self.asker.as_ref().map(|(task, _)| task);
        let id = BlobId::of_bytes(input.as_bytes());
        if let Some(rule) = goal.permissions.last_rule(NETWORK_TOOL, &id, task) {
            let (decision, reason) = (rule.decision, rule.reason.clone());
            return Some(QuestionReply { decision, reason });
        }
        if self.asker.is_none() && goal.state != GoalState::Planning {
            return deny("the gates of a goal cannot ask for a host");
        }
        if goal.spec.unattended {
            return deny("the goal was started with --yes, so nobody is asked");
        }
        if !hosts.somebody_attends() {
            return deny(
                "nobody is there to ask: no editor is attached, and no terminal follows the goal",
            );
        }
        None
    }

    fn answer_waiting(&mut self, reply: &PermissionReply) {
        let about = |one: &WaitingRequest| one.tool == reply.tool && one.input == reply.input;
        let Some(at) = self.waiting.iter().position(about) else {
            return;
        };
        for sender in self.waiting.remove(at).replies {
            // It may have stopped waiting in this moment.
            let _ = sender.send(reply.reply.clone());
        }
    }

    fn withdraw_request(&self, left: WaitingRequest) {
        self.brokers.mailbox.report(Input::PermissionLeft {
            goal: self.goal.clone(),
            asker: self.asker.clone(),
            tool: left.tool,
            input: left.input,
        });
    }
}

impl Drop for PermissionBroker {
    fn drop(&mut self) {
        let own =
            |_: &_, entry: &mpsc::UnboundedSender<PermissionReply>| entry.same_channel(&self.entry);
        self.brokers.open.remove_if(&self.session_key(), own);
    }
}

/// Returns the first request that the session no longer waits for: it gave up, or withdrew its
/// question.
async fn first_abandoned(waiting: &mut Vec<WaitingRequest>) -> WaitingRequest {
    poll_fn(|cx| {
        for at in 0..waiting.len() {
            let replies = &mut waiting[at].replies;
            replies.retain_mut(|reply| reply.poll_closed(cx).is_pending());
            if replies.is_empty() {
                return Poll::Ready(waiting.remove(at));
            }
        }
        Poll::Pending
    })
    .await
}

/// Returns the requests of all goals that wait for an answer, oldest first.
pub(crate) fn open_requests(state: &ClusterState) -> Vec<PermissionRequest> {
    let goals = state.goals.values();
    let mut open: Vec<PermissionRequest> = goals
        .flat_map(|goal| goal.permissions.open.iter().cloned())
        .collect();
    open.sort_by_key(|request| request.id.number());
    open
}

#[cfg(test)]
mod tests {
    use claudecluster_protocol::AttemptId;
    use claudecluster_store::Store;
    use claudecluster_worker::agent;

    use super::*;
    use crate::{mailbox::DispatcherMessage, workspace::editor_registry::EditorRegistry};

    /// Returns the brokers, one session's, what the session asks with, and what the dispatcher is told.
    fn broker() -> (
        PermissionBrokers,
        PermissionBroker,
        mpsc::UnboundedSender<PermissionQuestion>,
        mpsc::UnboundedReceiver<DispatcherMessage>,
    ) {
        let (mailbox, told) = DispatcherMailbox::new();
        let goals = PublishedGoals::new(ClusterState::default());
        let hosts = HostAnswers::new(EditorRegistry::default(), Arc::new(|_| Ok(())));
        let contents = ContentStore::new(Store::in_memory());
        let brokers = PermissionBrokers::new(contents, mailbox, goals, hosts);
        let asker = Some((TaskId::new("t"), AttemptId(1)));
        let (broker, asks) = brokers.open_broker(&GoalId::new("g1"), asker);
        (brokers, broker, asks, told)
    }

    fn ask(
        asks: &mpsc::UnboundedSender<PermissionQuestion>,
        input: &str,
    ) -> oneshot::Receiver<QuestionReply> {
        let (reply, answer) = oneshot::channel();
        let request = agent::ToolRequest {
            tool: "Fetch".into(),
            detail: input.into(),
            kind: None,
            input: input.into(),
        };
        asks.send(PermissionQuestion { request, reply }).unwrap();
        answer
    }

    /// What the dispatcher is told next: asked or left, and about which input.
    async fn next(told: &mut mpsc::UnboundedReceiver<DispatcherMessage>) -> (&'static str, BlobId) {
        match told.recv().await {
            Some(DispatcherMessage::Report(Input::PermissionAsked { wanted, .. })) => {
                ("asked", wanted.input)
            }
            Some(DispatcherMessage::Report(Input::PermissionLeft { input, .. })) => ("left", input),
            _ => panic!("something else was told"),
        }
    }

    #[tokio::test]
    async fn a_session_is_told_what_it_asked() {
        let (brokers, broker, asks, mut told) = broker();
        let running = tokio::spawn(broker.run());
        let (first, second) = (ask(&asks, "x"), ask(&asks, "x"));
        let (asked, input) = next(&mut told).await;
        assert_eq!(asked, "asked");
        // What is asked for is kept under its hash, whole.
        assert_eq!(
            brokers.contents.store().get_blob(&input).unwrap().unwrap(),
            b"x"
        );
        let third = ask(&asks, "y");
        let (asked, other) = next(&mut told).await;
        assert_eq!(asked, "asked");
        assert_ne!(other, input);

        let reply = QuestionReply {
            decision: PermissionDecision::Deny,
            reason: Some("no".into()),
        };
        let tell = |tool: &str, input: &BlobId| {
            let reply = PermissionReply {
                tool: tool.into(),
                input: input.clone(),
                reply: reply.clone(),
            };
            brokers.deliver_reply(GoalId::new("g1"), Some(TaskId::new("t")), reply);
        };
        tell("Other", &input);
        tell("Fetch", &input);
        assert_eq!(first.await.unwrap(), reply);
        assert_eq!(second.await.unwrap(), reply);
        // It gives the other one up.
        drop(third);
        assert_eq!(next(&mut told).await, ("left", other));
        // It was answered, so asking again is asking anew.
        let again = ask(&asks, "x");
        assert_eq!(next(&mut told).await, ("asked", input));
        drop((asks, again));
        running.await.unwrap();
        assert!(brokers.open.is_empty());
    }
}
