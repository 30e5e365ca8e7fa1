//! The one loop that owns the state of all goals.
//!
//! A turn takes the messages that wait, lets `step` decide, makes the facts durable in one commit,
//! and only then publishes the state, answers, and carries the effects out. Nobody ever sees
//! something that a crash could take back.

use std::{cmp::Reverse, collections::BinaryHeap, sync::Arc, time::Duration};

use claudecluster_core::{
    duplicate,
    lifecycle::State,
    policy::Policy,
    step::{Effect, Input, step},
};
use claudecluster_protocol::{
    ErrorBody, GoalSpec, Timestamp, editor::Submitted, event::StreamItem,
};
use claudecluster_store::{NewEvent, StoreError};
use claudecluster_worker::agent;
use tokio::sync::{mpsc, oneshot};

use crate::{
    permissions::Said,
    shared::{Shared, now},
    work,
};

/// Messages taken in one turn.
const BATCH: usize = 64;
/// A turn that takes longer is worth a line in the log.
const SLOW_TURN: Duration = Duration::from_millis(250);
/// How long facts wait for space on a full disk before they are tried again.
pub(crate) const FULL_DISK_WAIT: Duration = Duration::from_secs(5);

/// What the loop is told. Closed: everything that can change a goal is one of these.
pub(crate) enum Message {
    /// A new goal.
    Submit(Box<GoalSpec>, Sameness, Reply<Submitted>),
    /// Somebody asks for something and waits for the answer.
    Ask(Input, Reply<()>),
    /// Work reports.
    Input(Input),
    /// End the loop.
    Shutdown(oneshot::Sender<()>),
}

/// Takes the answer to whoever asked.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, ErrorBody>>;

/// What becomes of a goal that is the same as one that is not settled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Sameness {
    /// It is started all the same.
    Start,
    /// The other one is the answer.
    Join,
}

/// Who waits for the end of a turn.
enum Waiter {
    Goal(Reply<Submitted>, Submitted),
    Done(Reply<()>),
}

/// What one turn has come to so far.
#[derive(Default)]
struct Turn {
    effects: Vec<Effect>,
    waiters: Vec<Waiter>,
    /// What work reported, to come again where it cannot be written now.
    reports: Vec<Input>,
    ending: Option<oneshot::Sender<()>>,
}

pub(crate) struct Dispatcher {
    shared: Arc<Shared>,
    messages: mpsc::UnboundedReceiver<Message>,
    state: State,
    policy: Policy,
    wakes: BinaryHeap<Reverse<Timestamp>>,
}

impl Dispatcher {
    pub(crate) fn new(
        shared: Arc<Shared>,
        messages: mpsc::UnboundedReceiver<Message>,
        policy: Policy,
    ) -> Self {
        let state = (*shared.state()).clone();
        Self {
            shared,
            messages,
            state,
            policy,
            wakes: BinaryHeap::new(),
        }
    }

    /// Takes up what the last daemon left.
    pub(crate) async fn recover(&mut self) {
        self.turn(vec![Message::Input(Input::Recover)]).await;
    }

    /// Runs until it is told to end.
    pub(crate) async fn run(mut self) {
        loop {
            let due = self
                .wakes
                .peek()
                .map(|Reverse(at)| at.since(now()).to_duration());
            let first = tokio::select! {
                message = self.messages.recv() => message,
                () = tokio::time::sleep(due.unwrap_or(Duration::MAX)), if due.is_some() => {
                    self.wakes.pop();
                    Some(Message::Input(Input::Tick))
                }
            };
            let Some(first) = first else { return };
            let mut batch = vec![first];
            while batch.len() < BATCH
                && let Ok(next) = self.messages.try_recv()
            {
                batch.push(next);
            }
            if let Some(ended) = self.turn(batch).await {
                // Nobody waiting any more is fine: the loop ends either way.
                let _ = ended.send(());
                return;
            }
        }
    }

    /// One turn. Returns who waits for the end of the loop, if it is to end.
    async fn turn(&mut self, batch: Vec<Message>) -> Option<oneshot::Sender<()>> {
        let began = std::time::Instant::now();
        let before = self.state.clone();
        let mut turn = Turn::default();
        // One moment for the whole turn: what the state was decided with is what the journal says, so
        // that replaying it gives the same state.
        let at = now();
        for message in batch {
            self.take(message, at, &mut turn);
        }
        match self.commit(&turn.effects, at).await {
            Ok(()) => {
                for waiter in turn.waiters {
                    waiter.answer(Ok(()));
                }
                for effect in turn.effects {
                    self.carry_out(effect);
                }
            }
            Err(error) => self.take_back(before, error, turn.waiters, turn.reports),
        }
        if began.elapsed() > SLOW_TURN {
            tracing::warn!(elapsed = ?began.elapsed(), "a turn of the dispatcher was slow");
        }
        turn.ending
    }

    /// Lets `step` decide about one message. A refusal is answered at once: it changed nothing.
    fn take(&mut self, message: Message, at: Timestamp, turn: &mut Turn) {
        match message {
            Message::Submit(mut spec, sameness, reply) => {
                if sameness == Sameness::Join
                    && let Some(same) = duplicate::of(&self.state, &spec)
                {
                    let goal_id = same.id.clone();
                    let duplicate_of = Some(goal_id.clone());
                    // It may be of this very turn: nobody hears of it before it is durable.
                    let answer = Submitted {
                        goal_id,
                        duplicate_of,
                    };
                    return turn.waiters.push(Waiter::Goal(reply, answer));
                }
                let goal = self.state.next_goal_id();
                let env = std::mem::take(&mut spec.env);
                let input = Input::Submit {
                    goal: goal.clone(),
                    spec,
                };
                match self.step(input, at) {
                    Ok(effects) => {
                        self.shared.env.insert(goal.clone(), env);
                        turn.effects.extend(effects);
                        let answer = Submitted {
                            goal_id: goal,
                            duplicate_of: None,
                        };
                        turn.waiters.push(Waiter::Goal(reply, answer));
                    }
                    Err(error) => drop(reply.send(Err(error))),
                }
            }
            Message::Ask(input, reply) => match self.step(input, at) {
                Ok(effects) => {
                    turn.effects.extend(effects);
                    turn.waiters.push(Waiter::Done(reply));
                }
                Err(error) => drop(reply.send(Err(error))),
            },
            Message::Input(input) => {
                turn.reports.push(input.clone());
                match self.step(input, at) {
                    Ok(effects) => turn.effects.extend(effects),
                    Err(error) => tracing::warn!(%error, "a report was refused"),
                }
            }
            Message::Shutdown(reply) => turn.ending = Some(reply),
        }
    }

    fn step(&mut self, input: Input, at: Timestamp) -> Result<Vec<Effect>, ErrorBody> {
        step(&mut self.state, input, at, &self.policy)
    }

    /// Makes the turn's facts durable and public.
    async fn commit(&mut self, effects: &[Effect], at: Timestamp) -> Result<(), StoreError> {
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
        let events = self.shared.store.append(facts).await?;
        if let Some(last) = events.last() {
            self.state.last_seq = last.seq;
        }
        self.shared.state.send_replace(Arc::new(self.state.clone()));
        for event in events {
            // Nobody watching is not an error.
            let _ = self.shared.stream.send(StreamItem::Event(Box::new(event)));
        }
        Ok(())
    }

    /// The facts could not be written, so nothing of this turn has happened.
    fn take_back(
        &mut self,
        before: State,
        error: StoreError,
        waiters: Vec<Waiter>,
        reports: Vec<Input>,
    ) {
        tracing::error!(%error, "the journal refused a turn");
        self.state = before;
        let retry = matches!(error, StoreError::Full);
        let body = ErrorBody::from(error);
        for waiter in waiters {
            waiter.answer(Err(body.clone()));
        }
        if retry {
            // What work reported is not lost for want of space: it comes again.
            let shared = self.shared.clone();
            tokio::spawn(async move {
                tokio::time::sleep(FULL_DISK_WAIT).await;
                for input in reports {
                    shared.send(Message::Input(input));
                }
            });
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Record(..) => {}
            Effect::WakeAt(at) => self.wakes.push(Reverse(at)),
            Effect::Stop(goal) => {
                if let Some((_, work)) = self.shared.work.remove(&goal) {
                    work.cancel.cancel();
                    work.tracker.close();
                }
            }
            Effect::Permit {
                goal,
                task,
                tool,
                input,
                decision,
                reason,
            } => {
                let reply = agent::QuestionReply { decision, reason };
                let said = Said { tool, input, reply };
                self.shared.desks.tell(goal, task, said);
            }
            Effect::Snapshot(goal) => work::snapshot(&self.shared, &goal),
            Effect::Plan {
                goal,
                repair,
                delay,
            } => {
                work::plan(&self.shared, &goal, repair, delay);
            }
            Effect::Start {
                goal,
                task,
                attempt,
            } => {
                work::attempt(&self.shared, &goal, &task, attempt);
            }
            Effect::Merge(goal) => work::merge(&self.shared, &goal),
            Effect::Amend { goal, task } => work::amend(&self.shared, &goal, &task),
            Effect::Gates(goal) => work::gates(&self.shared, &goal),
            Effect::Land(goal) => work::land(&self.shared, &goal),
            Effect::Settle(goal) => work::settle(&self.shared, goal),
            Effect::Tidy(goal) => work::tidy(&self.shared, goal),
        }
    }
}

impl Waiter {
    /// Answers. Whoever asked may have gone meanwhile.
    fn answer(self, result: Result<(), ErrorBody>) {
        match self {
            Self::Goal(reply, answer) => drop(reply.send(result.map(|()| answer))),
            Self::Done(reply) => drop(reply.send(result)),
        }
    }
}
