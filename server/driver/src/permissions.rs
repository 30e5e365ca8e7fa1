//! Permission requests: from a session to the dispatcher, and the answer back.
//!
//! Every session has a desk. What the session asks is told to the dispatcher, which makes it a request,
//! journals it, and has the answer brought back to the desks of all who wait for it. A session that asks
//! the same again while it waits only gets another copy of the answer.

use std::{future::poll_fn, sync::Arc, task::Poll};

use claudecluster_core::step::{Asker, Input, Wanted};
use claudecluster_protocol::{
    BlobId, ErrorBody, GoalId, TaskId,
    permission::{PermissionDecision, PermissionRequest},
};
use claudecluster_worker::agent::{Ask, QuestionReply};
use dashmap::DashMap;
use tokio::sync::{mpsc, oneshot};

use crate::{dispatcher::Message, shared::Shared, work::blocking};

/// The desks of the sessions that run. A task has one session at a time, and a goal one planner.
#[derive(Default)]
pub(crate) struct Desks(DashMap<(GoalId, Option<TaskId>), mpsc::UnboundedSender<Said>>);

/// What was said to a request.
pub(crate) struct Said {
    pub(crate) tool: String,
    pub(crate) input: BlobId,
    pub(crate) reply: QuestionReply,
}

impl Desks {
    /// Brings an answer to the session that waits for it. One that has ended does not need it any more.
    pub(crate) fn tell(&self, goal: GoalId, task: Option<TaskId>, said: Said) {
        if let Some(desk) = self.0.get(&(goal, task)) {
            let _ = desk.send(said);
        }
    }
}

/// Takes what one session asks, and what is said to it.
pub(crate) struct Desk {
    shared: Arc<Shared>,
    goal: GoalId,
    asker: Asker,
    asks: mpsc::UnboundedReceiver<Ask>,
    said: mpsc::UnboundedReceiver<Said>,
    /// The desk's own entry among all desks, to tell it from that of a later session.
    entry: mpsc::UnboundedSender<Said>,
    waiting: Vec<Waiting>,
}

/// What the session waits for.
struct Waiting {
    tool: String,
    input: BlobId,
    replies: Vec<oneshot::Sender<QuestionReply>>,
}

impl Desk {
    /// Opens the desk of a session, and returns it with where the session asks.
    pub(crate) fn open(
        shared: &Arc<Shared>,
        goal: &GoalId,
        asker: Asker,
    ) -> (Self, mpsc::UnboundedSender<Ask>) {
        let (ask, asks) = mpsc::unbounded_channel();
        let (entry, said) = mpsc::unbounded_channel();
        let desk = Self {
            shared: shared.clone(),
            goal: goal.clone(),
            asker,
            asks,
            said,
            entry,
            waiting: Vec::new(),
        };
        shared.desks.0.insert(desk.key(), desk.entry.clone());
        (desk, ask)
    }

    fn key(&self) -> (GoalId, Option<TaskId>) {
        let task = self.asker.as_ref().map(|(task, _)| task.clone());
        (self.goal.clone(), task)
    }

    /// Works until the session has ended. What it waited for then is withdrawn with its attempt.
    pub(crate) async fn run(mut self) {
        loop {
            tokio::select! {
                ask = self.asks.recv() => match ask {
                    Some(ask) => self.take(ask).await,
                    None => return,
                },
                Some(said) = self.said.recv() => self.say(&said),
                left = first_left(&mut self.waiting) => self.leave(left),
            }
        }
    }

    async fn take(&mut self, ask: Ask) {
        let Ask { wanted, reply } = ask;
        let (shared, bytes) = (self.shared.clone(), wanted.input.into_bytes());
        let stored = blocking("storing what a worker asks for", move || {
            shared.store.put_blob(&bytes).map_err(ErrorBody::from)
        });
        let input = match stored.await {
            Ok(input) => input,
            Err(error) => {
                // Nobody can be shown what they would allow.
                let reason = Some(format!("it cannot be recorded: {}", error.message));
                let decision = PermissionDecision::Deny;
                // The session may have ended meanwhile.
                let _ = reply.send(QuestionReply { decision, reason });
                return;
            }
        };
        let same = |one: &&mut Waiting| one.tool == wanted.tool && one.input == input;
        if let Some(waiting) = self.waiting.iter_mut().find(same) {
            waiting.replies.push(reply);
            return;
        }
        self.waiting.push(Waiting {
            tool: wanted.tool.clone(),
            input: input.clone(),
            replies: vec![reply],
        });
        self.shared.send(Message::Input(Input::PermissionAsked {
            goal: self.goal.clone(),
            asker: self.asker.clone(),
            wanted: Wanted {
                tool: wanted.tool,
                detail: wanted.detail,
                kind: wanted.kind,
                input,
            },
        }));
    }

    fn say(&mut self, said: &Said) {
        let about = |one: &Waiting| one.tool == said.tool && one.input == said.input;
        let Some(at) = self.waiting.iter().position(about) else {
            return;
        };
        for reply in self.waiting.remove(at).replies {
            // It may have stopped waiting in this moment.
            let _ = reply.send(said.reply.clone());
        }
    }

    fn leave(&self, left: Waiting) {
        self.shared.send(Message::Input(Input::PermissionLeft {
            goal: self.goal.clone(),
            asker: self.asker.clone(),
            tool: left.tool,
            input: left.input,
        }));
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        let own = |_: &_, entry: &mpsc::UnboundedSender<Said>| entry.same_channel(&self.entry);
        self.shared.desks.0.remove_if(&self.key(), own);
    }
}

/// The first that the session does not wait for any more: it gave up, or took its question back.
async fn first_left(waiting: &mut Vec<Waiting>) -> Waiting {
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

/// The requests of all goals that wait for an answer, oldest first.
pub(crate) fn open(shared: &Shared) -> Vec<PermissionRequest> {
    let state = shared.state();
    let goals = state.goals.values();
    let mut open: Vec<PermissionRequest> = goals
        .flat_map(|goal| goal.permissions.open.iter().cloned())
        .collect();
    open.sort_by_key(|request| request.id.number());
    open
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use claudecluster_core::lifecycle::State;
    use claudecluster_protocol::AttemptId;
    use claudecluster_store::Store;
    use claudecluster_worker::agent;

    use super::*;
    use crate::{DriverConfig, Settings};

    /// The desk of a session, what the session asks with, and what the dispatcher is told.
    fn desk() -> (
        Arc<Shared>,
        Desk,
        mpsc::UnboundedSender<Ask>,
        mpsc::UnboundedReceiver<Message>,
    ) {
        let config = DriverConfig {
            home: PathBuf::from("/nonexistent"),
            launcher: PathBuf::from("/nonexistent"),
            settings: Settings::default(),
            narrow: Arc::new(|_| Ok(Default::default())),
        };
        let (messages, told) = mpsc::unbounded_channel();
        let store = Store::in_memory();
        let shared = Arc::new(Shared::new(config, store, messages, State::default()));
        let asker = Some((TaskId::new("t"), AttemptId(1)));
        let (desk, asks) = Desk::open(&shared, &GoalId::new("g1"), asker);
        (shared, desk, asks, told)
    }

    fn ask(asks: &mpsc::UnboundedSender<Ask>, input: &str) -> oneshot::Receiver<QuestionReply> {
        let (reply, answer) = oneshot::channel();
        let wanted = agent::ToolRequest {
            tool: "Fetch".into(),
            detail: input.into(),
            kind: None,
            input: input.into(),
        };
        asks.send(Ask { wanted, reply }).unwrap();
        answer
    }

    /// What the dispatcher is told next: asked or left, and about which input.
    async fn next(told: &mut mpsc::UnboundedReceiver<Message>) -> (&'static str, BlobId) {
        match told.recv().await {
            Some(Message::Input(Input::PermissionAsked { wanted, .. })) => ("asked", wanted.input),
            Some(Message::Input(Input::PermissionLeft { input, .. })) => ("left", input),
            _ => panic!("something else was told"),
        }
    }

    #[tokio::test]
    async fn a_session_is_told_what_it_asked() {
        let (shared, desk, asks, mut told) = desk();
        let running = tokio::spawn(desk.run());
        let (first, second) = (ask(&asks, "x"), ask(&asks, "x"));
        let (asked, input) = next(&mut told).await;
        assert_eq!(asked, "asked");
        // What is asked for is kept under its hash, whole.
        assert_eq!(shared.store.get_blob(&input).unwrap().unwrap(), b"x");
        let third = ask(&asks, "y");
        let (asked, other) = next(&mut told).await;
        assert_eq!(asked, "asked");
        assert_ne!(other, input);

        let reply = QuestionReply {
            decision: PermissionDecision::Deny,
            reason: Some("no".into()),
        };
        let tell = |tool: &str, input: &BlobId| {
            let said = Said {
                tool: tool.into(),
                input: input.clone(),
                reply: reply.clone(),
            };
            shared
                .desks
                .tell(GoalId::new("g1"), Some(TaskId::new("t")), said);
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
        assert!(shared.desks.0.is_empty());
    }
}
