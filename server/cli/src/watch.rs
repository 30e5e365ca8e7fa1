//! Watches a goal and prints it as a live view, as lines, or as JSON.

use std::{future::pending, time::Duration};

use claudecluster_protocol::{
    ErrorBody, EventSeq, GoalId, GoalState, TaskId, TaskState, Timestamp,
    event::{Event, EventBody, StreamItem},
};
use claudecluster_service::TypedCalls;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};

use crate::{
    client::{DaemonClient, WatchStream, daemon_lost},
    exit::CommandResult,
    ui::{Ui, board::GoalBoard, live::LiveView, plain, render, text},
};

/// Limits how often the live view is painted.
const FRAME: Duration = Duration::from_millis(100);
/// Limits the connections that may be lost in a row. A daemon that ends that often does not work.
const RECONNECTS: u32 = 3;

/// Sets the actions of [`watch_goal`] besides printing.
#[derive(Clone, Debug, Default)]
pub(crate) struct WatchOptions {
    /// Cancel the goal on Ctrl-C, instead of only leaving it.
    pub(crate) cancel: bool,
    /// Approve the plan when the goal waits for approval.
    pub(crate) approve: bool,
    /// Ignore the states before this moment: they are history.
    pub(crate) since: Timestamp,
    /// The repairs of a proposal to wait for.
    pub(crate) repairs: Vec<TaskId>,
}

/// Tells how a watch ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum WatchEnd {
    /// The goal does not continue by itself.
    Settled,
    /// The user left. The goal continues, or its cancellation does.
    Left,
}

/// Watches a goal until it does not continue by itself.
pub(crate) async fn watch_goal(
    client: &DaemonClient,
    ui: &mut Ui,
    goal: &GoalId,
    manner: WatchOptions,
) -> CommandResult<(GoalBoard, WatchEnd)> {
    let mut follower = GoalWatcher {
        client,
        board: GoalBoard::new(goal.clone()),
        live: LiveView::default(),
        manner,
        last: EventSeq(0),
        dirty: true,
        painted: Instant::now() - FRAME,
        cancelling: false,
        attended: false,
    };
    let end = follower.run(ui).await;
    if ui.live {
        follower.live.end(ui)?;
    }
    Ok((follower.board, end?))
}

struct GoalWatcher<'a> {
    client: &'a DaemonClient,
    board: GoalBoard,
    live: LiveView,
    manner: WatchOptions,
    last: EventSeq,
    dirty: bool,
    painted: Instant,
    cancelling: bool,
    /// Whether somebody looks at the output who can answer questions.
    attended: bool,
}

impl GoalWatcher<'_> {
    async fn run(&mut self, ui: &mut Ui) -> CommandResult<WatchEnd> {
        let goal = self.board.goal.clone();
        self.attended = ui.is_attended() && !self.manner.approve;
        let mut watch = self.resume(&goal).await?;
        let mut reconnects = 0;
        let mut clock = interval(Duration::from_secs(1));
        clock.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut resized = listen_for_signal(SignalKind::window_change());
        let mut interrupted = listen_for_signal(SignalKind::interrupt());
        loop {
            tokio::select! {
                item = watch.next() => match item? {
                    Some(item) => {
                        reconnects = 0;
                        if self.take(ui, &item).await? {
                            return Ok(WatchEnd::Settled);
                        }
                    }
                    None => {
                        reconnects += 1;
                        if reconnects > RECONNECTS {
                            return Err(daemon_lost().into());
                        }
                        watch = self.resume(&goal).await?;
                    }
                },
                () = sleep_until(self.painted + FRAME), if ui.live && self.dirty => self.paint(ui)?,
                _ = clock.tick(), if ui.live => self.dirty = true,
                () = wait_for_signal(&mut resized), if ui.live => self.dirty = true,
                () = wait_for_signal(&mut interrupted) => {
                    if self.cancelling || !self.manner.cancel {
                        return Ok(WatchEnd::Left);
                    }
                    self.cancel(ui).await?;
                }
            }
        }
    }

    /// Watches again after the last event seen. Another daemon resumes the goal where the last
    /// daemon left it.
    async fn resume(&self, goal: &GoalId) -> Result<WatchStream, ErrorBody> {
        let (goal, attended) = (Some(goal.clone()), self.attended);
        self.client.watch(goal, Some(self.last), attended).await
    }

    /// Handles one item. Returns `true` once the goal does not continue by itself.
    async fn take(&mut self, ui: &mut Ui, item: &StreamItem) -> CommandResult<bool> {
        self.board.apply(item);
        self.dirty = true;
        print_item(ui, item)?;
        let StreamItem::Event(event) = item else {
            return Ok(false);
        };
        self.last = event.seq;
        if self.repairs_ended(event) || self.is_paused(event).await? {
            return Ok(true);
        }
        let Some(state) = state_left_to_user(event, self.manner.since) else {
            return Ok(false);
        };
        if state == GoalState::Proposed && !self.manner.repairs.is_empty() {
            return Ok(false);
        }
        if state == GoalState::Proposed && self.board.apply && !is_applied(event) {
            return Ok(false);
        }
        if state == GoalState::AwaitingApproval && self.manner.approve {
            let goal = &self.board.goal;
            self.client.approve_plan(goal, None, None).await?;
            return Ok(false);
        }
        if ui.live {
            self.paint(ui)?;
        }
        Ok(true)
    }

    /// Returns whether an event has left only tasks that wait for approval. The facts of one turn
    /// arrive one by one, so the daemon is asked for the resulting state.
    async fn is_paused(&self, event: &Event) -> Result<bool, ErrorBody> {
        let may_be_last = match &event.body {
            EventBody::TaskChanged { state, .. } => {
                *state == TaskState::Paused || state.is_terminal()
            }
            EventBody::AttemptEnded { .. } => true,
            _ => false,
        };
        let mut rows = self.board.rows.iter();
        if !may_be_last || !rows.any(|row| row.state == TaskState::Paused) {
            return Ok(false);
        }
        let view = self.client.goal(&self.board.goal).await?.value;
        Ok(view.is_paused())
    }

    /// Returns whether an event ends the last repair that the watch waits for.
    fn repairs_ended(&mut self, event: &Event) -> bool {
        let ended = match &event.body {
            _ if event.at < self.manner.since => return false,
            EventBody::Amended { task_id, .. } => task_id,
            EventBody::TaskChanged { task_id, state } if state.is_terminal() => task_id,
            _ => return false,
        };
        let repairs = &mut self.manner.repairs;
        let Some(at) = repairs.iter().position(|task| task == ended) else {
            return false;
        };
        repairs.remove(at);
        repairs.is_empty()
    }

    async fn cancel(&mut self, ui: &mut Ui) -> CommandResult<()> {
        self.cancelling = true;
        if !ui.json && !ui.quiet && !ui.live {
            ui.line(format!(
                "Cancelling {}; press Ctrl-C again to leave immediately",
                self.board.goal
            ))?;
        }
        match self.client.cancel(&self.board.goal).await {
            // It settled in the same moment: its last event is on the way.
            Err(e) if e.kind == claudecluster_protocol::ErrorKind::User => Ok(()),
            other => other.map_err(Into::into),
        }
    }

    fn paint(&mut self, ui: &mut Ui) -> CommandResult<()> {
        let (columns, _) = crate::ui::live::terminal_size();
        let lines = render::board_lines(
            &self.board,
            text::current_time(),
            columns.saturating_sub(1).max(1),
        );
        self.live.paint(ui, lines)?;
        self.dirty = false;
        self.painted = Instant::now();
        Ok(())
    }
}

/// Returns the state in which an event left its goal to the user.
fn state_left_to_user(event: &Event, since: Timestamp) -> Option<GoalState> {
    match event.body {
        _ if event.at < since => None,
        EventBody::GoalChanged { state, .. } if !state.is_active() => Some(state),
        EventBody::Applied { .. } => Some(GoalState::Proposed),
        _ => None,
    }
}

/// Returns whether an event reports the end of the automatic landing.
fn is_applied(event: &Event) -> bool {
    matches!(event.body, EventBody::Applied { .. })
}

/// Prints an item as a line or as JSON, as the options ask.
fn print_item(ui: &mut Ui, item: &StreamItem) -> CommandResult<()> {
    if ui.json {
        ui.json(item)?;
    } else if !ui.live
        && !ui.quiet
        && let Some(line) = plain::item_line(item)
    {
        ui.line(line.styled())?;
    }
    Ok(())
}

/// Prints the items of all goals until the user leaves.
pub(crate) async fn watch_all_goals(client: &DaemonClient, ui: &mut Ui) -> CommandResult<()> {
    let mut watch = client.watch(None, None, ui.is_attended()).await?;
    let mut interrupted = listen_for_signal(SignalKind::interrupt());
    loop {
        tokio::select! {
            item = watch.next() => match item? {
                Some(item) if ui.json => ui.json(&item)?,
                Some(item) => if let Some(line) = plain::item_line(&item) {
                    ui.line(line.styled())?;
                },
                None => return Err(daemon_lost().into()),
            },
            () = wait_for_signal(&mut interrupted) => return Ok(()),
        }
    }
}

/// Returns a signal as a stream, or `None` if the system refuses: such a signal never comes.
fn listen_for_signal(kind: SignalKind) -> Option<Signal> {
    signal(kind).ok()
}

async fn wait_for_signal(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => pending().await,
    }
}
