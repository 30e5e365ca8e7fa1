//! Effects as running work. Each gets what it needs as its own, and answers with one input.

use std::{future::Future, panic::AssertUnwindSafe, path::Path, sync::Arc};

use claudecluster_core::{
    state::Goal,
    step::{Effect, Input},
};
use claudecluster_protocol::{
    AttemptId, GoalId, Span, StopReason, TaskId,
    api::Decision,
    event::{AttemptOutcome, Verdict},
    goal::AgentUsage,
};
use claudecluster_worker::agent;
use futures::FutureExt;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument;

use crate::{
    blocking::{internal_failure, read_workspace, run_blocking},
    land::{LandingService, decision::applied_input, merge_repair::RepairMerger},
    mailbox::DispatcherMailbox,
    proposal::build_proposal,
    published::PublishedGoals,
    review::reader::PendingReader,
    run::{
        attempts::{AttemptRunner, failed_outcome},
        gates,
        permissions::{PermissionBrokers, PermissionReply},
        planner,
        running_goals::RunningGoals,
    },
    spans::effect_span,
    workspace::{content_store::ContentStore, editor_registry::EditorRegistry, snapshot},
};

/// Starts the work that effects ask for.
#[derive(Clone)]
pub(crate) struct EffectRunner {
    pub(crate) goals: PublishedGoals,
    pub(crate) mailbox: DispatcherMailbox,
    pub(crate) contents: ContentStore,
    pub(crate) editors: EditorRegistry,
    pub(crate) running: RunningGoals,
    pub(crate) permissions: PermissionBrokers,
    pub(crate) attempts: AttemptRunner,
    pub(crate) pending: PendingReader,
    pub(crate) landing: LandingService,
    pub(crate) repairs: RepairMerger,
    /// Recoveries of landings that the last daemon began. A start waits for them.
    pub(crate) recoveries: TaskTracker,
}

impl EffectRunner {
    /// Starts the work of one effect. Facts and times to wake at are the dispatcher's own.
    pub(crate) fn start_effect(&self, effect: Effect) {
        if matches!(effect, Effect::Record(..) | Effect::WakeAt(_)) {
            return;
        }
        let _span = effect_span(&effect).entered();
        tracing::debug!("starting the work of an effect");
        match effect {
            Effect::Record(..) | Effect::WakeAt(_) => {}
            Effect::Stop(goal) => {
                let work = self.running.take_work(&goal);
                work.cancel.cancel();
                work.tracker.close();
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
                let reply = PermissionReply { tool, input, reply };
                self.permissions.deliver_reply(goal, task, reply);
            }
            Effect::Snapshot(goal) => self.take_snapshot(&goal),
            Effect::Plan {
                goal,
                repair,
                delay,
            } => self.plan_goal(&goal, repair, delay),
            Effect::Start {
                goal,
                task,
                attempt,
            } => self.run_attempt(&goal, &task, attempt),
            Effect::Merge(goal) => self.merge_tasks(&goal),
            Effect::Amend { goal, task } => self.merge_repair(&goal, &task),
            Effect::Gates(goal) => self.run_gates(&goal),
            Effect::Land(goal) => self.land_clean(&goal),
            Effect::Settle(goal) => self.recover_landings(goal),
            Effect::Tidy(goal) => self.tidy_goal(goal),
        }
    }

    /// Runs work of a goal. A panic in it is answered like any other failure.
    fn spawn_work<F>(&self, goal: &GoalId, panicked: Input, work: F)
    where
        F: Future<Output = Input> + Send + 'static,
    {
        let tracker = self.running.work(goal).tracker;
        let mailbox = self.mailbox.clone();
        let work = async move {
            let input = AssertUnwindSafe(work)
                .catch_unwind()
                .await
                .unwrap_or_else(|_| {
                    tracing::error!("a background task panicked");
                    panicked
                });
            mailbox.report(input);
        };
        tracker.spawn(work.in_current_span());
    }

    fn cancel_token(&self, goal: &GoalId) -> CancellationToken {
        self.running.work(goal).cancel.child_token()
    }

    /// Returns the goal an effect is about. Effects are carried out after the state that names it is public.
    fn goal_of(&self, id: &GoalId) -> Option<Arc<Goal>> {
        let goal = self.goals.goal(id);
        if let Err(error) = &goal {
            tracing::error!(%error, "ignored an effect for an unknown goal");
        }
        goal.ok()
    }

    fn take_snapshot(&self, id: &GoalId) {
        let Some(goal) = self.goal_of(id) else {
            return;
        };
        let panicked = Input::Snapshot {
            goal: id.clone(),
            result: Err(internal_failure("capturing the workspace")),
        };
        let (editors, contents) = (self.editors.clone(), self.contents.clone());
        self.spawn_work(id, panicked, async move {
            let id = goal.id.clone();
            let result = read_workspace("capturing the workspace", move || {
                let root = Path::new(&goal.spec.workspace);
                let open = editors.documents(root);
                let (manifest, blob) = snapshot::take_snapshot(contents.store(), root, &open)?;
                Ok((blob, manifest.len(), manifest.unsaved))
            })
            .await;
            Input::Snapshot { goal: id, result }
        });
    }

    fn plan_goal(&self, id: &GoalId, repair: Vec<String>, delay: Span) {
        let Some(goal) = self.goal_of(id) else {
            return;
        };
        let panicked = Input::PlanStopped {
            goal: id.clone(),
            stop: StopReason::Crashed,
            summary: internal_failure("planning").message,
            usage: AgentUsage::default(),
        };
        let cancel = self.cancel_token(id);
        let (runner, mailbox) = (self.attempts.clone(), self.mailbox.clone());
        self.spawn_work(id, panicked, async move {
            tokio::select! {
                () = tokio::time::sleep(delay.to_duration()) => {}
                () = cancel.cancelled() => {}
            }
            planner::run_planner(&runner, &mailbox, &goal, &repair, cancel).await
        });
    }

    fn run_attempt(&self, id: &GoalId, task: &TaskId, attempt: AttemptId) {
        let Some(goal) = self.goal_of(id) else {
            return;
        };
        let (task, id) = (task.clone(), id.clone());
        let ended = |outcome: AttemptOutcome| Input::Attempt {
            goal: id.clone(),
            task: task.clone(),
            attempt,
            outcome: Box::new(outcome),
        };
        let panicked = ended(failed_outcome(
            StopReason::Crashed,
            internal_failure("the attempt").message,
        ));
        let cancel = self.cancel_token(&id);
        let runner = self.attempts.clone();
        let task_id = task.clone();
        self.spawn_work(&id.clone(), panicked, async move {
            let outcome = runner.run_attempt(&goal, &task_id, attempt, cancel).await;
            Input::Attempt {
                goal: goal.id.clone(),
                task: task_id,
                attempt,
                outcome: Box::new(outcome),
            }
        });
    }

    fn merge_tasks(&self, id: &GoalId) {
        let Some(goal) = self.goal_of(id) else {
            return;
        };
        let panicked = Input::Merged {
            goal: id.clone(),
            result: Err(internal_failure("merging")),
        };
        let merge = self.attempts.merge.clone();
        self.spawn_work(id, panicked, async move {
            let id = goal.id.clone();
            let result = run_blocking("merging", move || build_proposal(&merge, &goal)).await;
            Input::Merged { goal: id, result }
        });
    }

    fn run_gates(&self, id: &GoalId) {
        let Some(goal) = self.goal_of(id) else {
            return;
        };
        let results = gates::failed_gates(&goal, &internal_failure("running the gates").message);
        let panicked = Input::Gates {
            goal: id.clone(),
            results,
        };
        let cancel = self.cancel_token(id);
        let runner = self.attempts.clone();
        self.spawn_work(id, panicked, async move {
            let results = gates::run_gates(&runner, &goal, cancel).await;
            Input::Gates {
                goal: goal.id.clone(),
                results,
            }
        });
    }

    /// Merges the work of a repair into the proposal.
    fn merge_repair(&self, id: &GoalId, task: &TaskId) {
        let tracker = self.running.work(id).tracker;
        let (merger, id, task) = (self.repairs.clone(), id.clone(), task.clone());
        let work = async move { merger.merge_repair(&id, &task).await };
        tracker.spawn(work.in_current_span());
    }

    /// Lands the clean hunks of a goal that was submitted with `apply`.
    fn land_clean(&self, id: &GoalId) {
        let panicked = applied_input(id, Err(internal_failure("landing")));
        let (landing, goal) = (self.landing.clone(), id.clone());
        self.spawn_work(id, panicked, async move {
            let everything = Decision::new(goal.clone(), Verdict::Accept);
            let report = landing.decide(everything).await;
            applied_input(&goal, report)
        });
    }

    /// Recovers the landings that the last daemon had begun.
    fn recover_landings(&self, id: GoalId) {
        let recovery = self.landing.decisions.recovery.clone();
        let work = async move {
            if let Err(error) = recovery.recover_goal(&id).await {
                // It is tried again before anything else lands in that workspace.
                tracing::warn!(%error, "cannot recover earlier changes");
            }
        };
        self.recoveries.spawn(work.in_current_span());
    }

    /// Deletes the private files of a goal whose work is done. Its journal and artifacts stay.
    fn tidy_goal(&self, id: GoalId) {
        let (running, pending) = (self.running.clone(), self.pending.clone());
        let executor = self.attempts.sessions.executor.clone();
        let tidying = async move {
            // Whatever still runs ends first: the landing that settled the goal, at the least.
            let work = running.take_work(&id);
            work.tracker.close();
            work.tracker.wait().await;
            running.forget_goal(&id);
            pending.forget_goal(&id);
            executor.forget_goal(&id).await;
        };
        tokio::spawn(tidying.in_current_span());
    }
}
