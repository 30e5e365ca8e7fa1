//! The one loop that owns the state of all goals.
//!
//! A turn takes the messages that wait, lets `step` decide, makes the facts durable in one commit,
//! and only then publishes the state, answers, and carries the effects out. Nobody ever sees
//! something that a crash could take back.

use std::{cmp::Reverse, collections::BinaryHeap, time::Duration};

use claudecluster_core::{
    duplicate,
    policy::SchedulingPolicy,
    state::ClusterState,
    step::{Effect, Input, step},
};
use claudecluster_protocol::{ErrorBody, StopReason, Timestamp, submitted::SubmittedGoal};
use claudecluster_store::{NewEvent, Store, StoreError};
use tokio::sync::{mpsc, oneshot};

use crate::{
    clock::now,
    effects::EffectRunner,
    mailbox::{DispatcherMailbox, DispatcherMessage, DuplicatePolicy, FULL_DISK_WAIT, ReplySender},
    published::PublishedGoals,
    run::running_goals::RunningGoals,
    spans::input_span,
};

/// Messages taken in one turn.
const BATCH: usize = 64;
/// A turn that takes longer is worth a line in the log.
const SLOW_TURN: Duration = Duration::from_millis(250);

/// A caller that waits for the end of a turn.
enum TurnWaiter {
    Goal(ReplySender<SubmittedGoal>, SubmittedGoal),
    Done(ReplySender<()>),
}

/// Effects, waiters and reports of the turn under way.
#[derive(Default)]
struct DispatcherTurn {
    effects: Vec<Effect>,
    waiters: Vec<TurnWaiter>,
    /// Reports of work. They are sent again if the turn cannot be journaled.
    reports: Vec<Input>,
    ending: Option<oneshot::Sender<()>>,
}

/// Owns the state of all goals.
pub(crate) struct Dispatcher {
    store: Store,
    goals: PublishedGoals,
    running: RunningGoals,
    effects: EffectRunner,
    mailbox: DispatcherMailbox,
    inbox: mpsc::UnboundedReceiver<DispatcherMessage>,
    state: ClusterState,
    policy: SchedulingPolicy,
    wakes: BinaryHeap<Reverse<Timestamp>>,
}

impl Dispatcher {
    /// Returns a dispatcher that goes on from the published state.
    pub(crate) fn new(
        effects: EffectRunner,
        inbox: mpsc::UnboundedReceiver<DispatcherMessage>,
        policy: SchedulingPolicy,
    ) -> Self {
        let goals = effects.goals.clone();
        Self {
            store: effects.contents.store().clone(),
            running: effects.running.clone(),
            mailbox: effects.mailbox.clone(),
            state: (*goals.state()).clone(),
            goals,
            effects,
            inbox,
            policy,
            wakes: BinaryHeap::new(),
        }
    }

    /// Resumes the goals that the last daemon left.
    pub(crate) async fn recover(&mut self, ended: StopReason) {
        self.run_turn(vec![DispatcherMessage::Report(Input::Recover { ended })])
            .await;
    }

    /// Runs until it is told to end.
    pub(crate) async fn run(mut self) {
        loop {
            let due = self
                .wakes
                .peek()
                .map(|Reverse(at)| at.span_since(now()).to_duration());
            let first = tokio::select! {
                message = self.inbox.recv() => message,
                () = tokio::time::sleep(due.unwrap_or(Duration::MAX)), if due.is_some() => {
                    self.wakes.pop();
                    Some(DispatcherMessage::Report(Input::Tick))
                }
            };
            let Some(first) = first else { return };
            let mut batch = vec![first];
            while batch.len() < BATCH
                && let Ok(next) = self.inbox.try_recv()
            {
                batch.push(next);
            }
            if let Some(ended) = self.run_turn(batch).await {
                // Nobody waiting any more is fine: the loop ends either way.
                let _ = ended.send(());
                return;
            }
        }
    }

    /// Runs one turn. Returns the sender that waits for the end of the loop, if the loop is to end.
    async fn run_turn(&mut self, batch: Vec<DispatcherMessage>) -> Option<oneshot::Sender<()>> {
        let began = std::time::Instant::now();
        let before = self.state.clone();
        let mut turn = DispatcherTurn::default();
        // One moment for the whole turn: what the state was decided with is what the journal says, so
        // that replaying it gives the same state.
        let at = now();
        for message in batch {
            self.decide_message(message, at, &mut turn);
        }
        match self.commit_facts(&turn.effects, at).await {
            Ok(()) => {
                for waiter in turn.waiters {
                    waiter.answer(Ok(()));
                }
                for effect in turn.effects {
                    match effect {
                        Effect::WakeAt(at) => self.wakes.push(Reverse(at)),
                        effect => self.effects.start_effect(effect),
                    }
                }
            }
            Err(error) => self.take_back(before, error, turn.waiters, turn.reports),
        }
        if began.elapsed() > SLOW_TURN {
            tracing::warn!(elapsed = ?began.elapsed(), "slow dispatcher turn");
        }
        turn.ending
    }

    /// Lets `step` decide about one message. A refusal is answered at once: it changed nothing.
    fn decide_message(
        &mut self,
        message: DispatcherMessage,
        at: Timestamp,
        turn: &mut DispatcherTurn,
    ) {
        match message {
            DispatcherMessage::Submit(mut spec, duplicates, reply) => {
                if duplicates == DuplicatePolicy::Join
                    && let Some(same) = duplicate::find_duplicate(&self.state, &spec)
                {
                    let goal_id = same.id.clone();
                    let duplicate_of = Some(goal_id.clone());
                    // It may be of this very turn: nobody hears of it before it is durable.
                    let answer = SubmittedGoal {
                        goal_id,
                        duplicate_of,
                    };
                    return turn.waiters.push(TurnWaiter::Goal(reply, answer));
                }
                let goal = self.state.next_goal_id();
                tracing::info!(%goal, workspace = spec.workspace, "a goal is submitted");
                let env = std::mem::take(&mut spec.env);
                let input = Input::Submit {
                    goal: goal.clone(),
                    spec,
                };
                match self.step(input, at) {
                    Ok(effects) => {
                        self.running.set_client_env(&goal, env);
                        turn.effects.extend(effects);
                        let answer = SubmittedGoal {
                            goal_id: goal,
                            duplicate_of: None,
                        };
                        turn.waiters.push(TurnWaiter::Goal(reply, answer));
                    }
                    Err(error) => drop(reply.send(Err(error))),
                }
            }
            DispatcherMessage::Ask(input, reply) => match self.step(input, at) {
                Ok(effects) => {
                    turn.effects.extend(effects);
                    turn.waiters.push(TurnWaiter::Done(reply));
                }
                Err(error) => drop(reply.send(Err(error))),
            },
            DispatcherMessage::Report(input) => {
                let span = input_span(&input);
                turn.reports.push(input.clone());
                match self.step(input, at) {
                    Ok(effects) => turn.effects.extend(effects),
                    Err(error) => tracing::warn!(parent: &span, %error, "rejected a report"),
                }
            }
            DispatcherMessage::Shutdown(reply) => turn.ending = Some(reply),
        }
    }

    fn step(&mut self, input: Input, at: Timestamp) -> Result<Vec<Effect>, ErrorBody> {
        let _span = input_span(&input).entered();
        tracing::debug!("handling an input");
        step(&mut self.state, input, at, &self.policy)
    }

    /// Makes the turn's facts durable and public.
    async fn commit_facts(&mut self, effects: &[Effect], at: Timestamp) -> Result<(), StoreError> {
        let facts: Vec<NewEvent> = effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::Record(goal, body) => Some(NewEvent {
                    at,
                    goal: goal.clone(),
                    body: body.clone(),
                }),
                _ => None,
            })
            .collect();
        if facts.is_empty() {
            return Ok(());
        }
        let events = self.store.append_events(facts).await?;
        if let Some(last) = events.last() {
            self.state.last_seq = last.seq;
        }
        self.goals.publish(self.state.clone(), events);
        Ok(())
    }

    /// Restores the state from before a turn whose facts could not be written: nothing of it has
    /// happened.
    fn take_back(
        &mut self,
        before: ClusterState,
        error: StoreError,
        waiters: Vec<TurnWaiter>,
        reports: Vec<Input>,
    ) {
        tracing::error!(%error, "cannot write to the journal");
        self.state = before;
        let retry = matches!(error, StoreError::Full);
        let body = ErrorBody::from(error);
        for waiter in waiters {
            waiter.answer(Err(body.clone()));
        }
        if retry {
            // What work reported is not lost for want of space: it comes again.
            let mailbox = self.mailbox.clone();
            tokio::spawn(async move {
                tokio::time::sleep(FULL_DISK_WAIT).await;
                for input in reports {
                    mailbox.report(input);
                }
            });
        }
    }
}

impl TurnWaiter {
    /// Sends the answer. The caller may have gone meanwhile.
    fn answer(self, result: Result<(), ErrorBody>) {
        match self {
            Self::Goal(reply, answer) => drop(reply.send(result.map(|()| answer))),
            Self::Done(reply) => drop(reply.send(result)),
        }
    }
}
