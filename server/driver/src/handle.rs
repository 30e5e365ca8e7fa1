//! The driver as fronts see it: a cheap handle that sends messages to the one dispatcher loop and
//! reads immutable snapshots.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use claudecluster_core::{state::ClusterState, step::Input};
use claudecluster_protocol::{
    BlobId, ErrorBody, EventSeq, GoalId, GoalSpec, HunkId, Plan, RelPath, TaskId,
    api::{DaemonStatus, Decision, DecisionReport, GoalArtifact},
    change::{HunkOrigin, HunkView},
    content::PendingSide,
    event::{StreamItem, Verdict},
    goal::{GoalSummary, GoalView},
    permission::{PermissionAnswer, PermissionRequest},
    submitted::SubmittedGoal,
};
use claudecluster_store::Store;
use claudecluster_worker::{agent::registry, executor::LocalExecutor, serve::WorkerPlace};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};
use tokio_util::task::TaskTracker;

use crate::{
    blocking::{read_workspace, run_blocking},
    config::DriverConfig,
    dispatcher::Dispatcher,
    effects::EffectRunner,
    goal::{artifacts::list_artifacts, submission::check_goal, views},
    land::{
        LandingService,
        decision::DecisionRunner,
        decision_epoch::DecisionEpochs,
        locks::LandingLocks,
        merge_repair::RepairMerger,
        recovery::LandingRecovery,
        undo_detection::{ObservedFiles, UndoDetection},
    },
    last_end,
    mailbox::{DispatcherMailbox, DispatcherMessage, DuplicatePolicy},
    proposal::file_merge::FileMergeRules,
    published::PublishedGoals,
    review::{
        diff::{self, AcceptancePatch},
        reader::PendingReader,
        verdict,
        versions::FileVersions,
    },
    run::{
        attempts::AttemptRunner,
        host_answers::{Attendance, HostAnswers},
        permissions::{self, PermissionBrokers},
        running_goals::RunningGoals,
        sessions::{SessionRunner, SessionSetup},
    },
    watch,
    workspace::{
        content_store::ContentStore, content_text::ContentText, editor::Editor,
        editor_registry::EditorRegistry, text_source::TextSource,
    },
};

type Result<T> = std::result::Result<T, ErrorBody>;

/// Longest wait of a start for recovered landings. A file system that hangs must not keep the
/// daemon from other goals.
const RECOVERY: Duration = Duration::from_secs(2);

/// A handle on the driver. Clones are cheap and equal.
#[derive(Clone)]
pub struct Driver(Arc<DriverParts>);

/// The parts that the handle speaks to.
struct DriverParts {
    config: Arc<DriverConfig>,
    store: Store,
    mailbox: DispatcherMailbox,
    goals: PublishedGoals,
    editors: EditorRegistry,
    running: RunningGoals,
    hosts: HostAnswers,
    pending: PendingReader,
    landing: LandingService,
    undo_detection: UndoDetection,
    started: Instant,
}

/// Detaches an editor when dropped.
pub struct AttachmentGuard {
    editors: EditorRegistry,
    number: u64,
}

impl Drop for AttachmentGuard {
    fn drop(&mut self) {
        self.editors.detach(self.number);
    }
}

impl Driver {
    /// Rebuilds the state from the journal and takes up the work that was left. What became of landings
    /// that the last daemon had begun is known when this returns, unless the disk takes very long to say.
    ///
    /// # Errors
    ///
    /// The journal cannot be read.
    pub async fn start(config: DriverConfig, store: Store) -> Result<Self> {
        registry().cache_in(&config.home);
        let reader = store.clone();
        let state = run_blocking("replaying the journal", move || {
            let mut state = ClusterState::default();
            for event in reader
                .read_events(EventSeq(0), None)
                .map_err(ErrorBody::from)?
            {
                state.apply_event(&event.goal_id, event.at, &event.body);
                state.last_seq = event.seq;
            }
            Ok(state)
        })
        .await?;
        let policy = config.policy();
        let ended = last_end::take_last_end(&config.home);
        let recoveries = TaskTracker::new();
        let (parts, effects, inbox) = assemble(config, store, state, recoveries.clone());
        let mut dispatcher = Dispatcher::new(effects, inbox, policy);
        dispatcher.recover(ended).await;
        tokio::spawn(dispatcher.run());
        recoveries.close();
        if timeout(RECOVERY, recoveries.wait()).await.is_err() {
            tracing::warn!("earlier changes are still being recovered");
        }
        Ok(Self(Arc::new(parts)))
    }

    /// Journals a goal and starts working on it. The goal is durable when this returns.
    ///
    /// # Errors
    ///
    /// The goal is empty or its plan invalid, the workspace is none, no agent can work on it, or the
    /// journal takes no more.
    pub async fn submit(&self, spec: GoalSpec) -> Result<GoalId> {
        Ok(self.hand_in(spec, DuplicatePolicy::Start).await?.goal_id)
    }

    /// Journals a goal as [`Driver::submit`] does, unless an open goal has the same prompt and
    /// place. Then nothing starts, and the answer names the open goal.
    ///
    /// # Errors
    ///
    /// As [`Driver::submit`].
    pub async fn submit_once(&self, spec: GoalSpec) -> Result<SubmittedGoal> {
        self.hand_in(spec, DuplicatePolicy::Join).await
    }

    async fn hand_in(&self, spec: GoalSpec, duplicates: DuplicatePolicy) -> Result<SubmittedGoal> {
        self.0.store.check_writable().map_err(ErrorBody::from)?;
        let (config, editors) = (self.0.config.clone(), self.0.editors.clone());
        let spec = read_workspace("checking the goal", move || {
            check_goal(&config, &editors, spec)
        })
        .await?;
        self.0.mailbox.submit(spec, duplicates).await
    }

    /// Returns all goals, oldest first. Reads the files with pending hunks.
    pub fn goals(&self) -> Vec<GoalSummary> {
        self.goals_as_of().0
    }

    /// Returns all goals, with the last event they show. Reads the files with pending hunks.
    pub fn goals_as_of(&self) -> (Vec<GoalSummary>, EventSeq) {
        let state = self.0.goals.state();
        let summaries = state
            .goals
            .values()
            .map(|goal| views::goal_summary(&self.0.pending, goal));
        (summaries.collect(), state.last_seq)
    }

    /// One goal. Reads the files with pending hunks.
    ///
    /// # Errors
    ///
    /// There is no such goal.
    pub fn goal(&self, goal: &GoalId) -> Result<GoalView> {
        Ok(self.goal_as_of(goal)?.0)
    }

    /// One goal, with the last event it shows. Reads the files with pending hunks.
    ///
    /// # Errors
    ///
    /// There is no such goal.
    pub fn goal_as_of(&self, goal: &GoalId) -> Result<(GoalView, EventSeq)> {
        let state = self.0.goals.state();
        let goal = state
            .goals
            .get(goal)
            .ok_or_else(|| claudecluster_core::step::unknown_goal(goal))?;
        Ok((views::goal_view(&self.0.pending, goal), state.last_seq))
    }

    /// Streams journaled events after `after` (none of the past for `None`), then live events and
    /// activity, without gap or duplicate. Covers one goal or all. Ends when the receiver is
    /// dropped.
    pub fn watch(
        &self,
        goal: Option<GoalId>,
        after: Option<EventSeq>,
    ) -> mpsc::Receiver<StreamItem> {
        watch::watch_events(&self.0.goals, &self.0.store, goal, after)
    }

    /// Lists pending hunks against the open buffers and the disk as they are now.
    ///
    /// # Errors
    ///
    /// There is no such goal, or a file cannot be read.
    pub async fn hunks(
        &self,
        goal: Option<GoalId>,
        path: Option<RelPath>,
    ) -> Result<Vec<HunkView>> {
        let (published, pending) = (self.0.goals.clone(), self.0.pending.clone());
        read_workspace("listing hunks", move || {
            let goals = match &goal {
                Some(id) => vec![published.goal(id)?],
                None => published.state().goals.values().cloned().collect(),
            };
            let mut found = Vec::new();
            for goal in goals {
                found.extend(pending.hunks(&goal, path.as_ref())?);
            }
            Ok(found)
        })
        .await
    }

    /// Pending hunks of one file (absolute path), of all goals, against the text given. Synchronous
    /// and quick: for code actions and lenses.
    pub fn hunks_in<'a>(&self, path: &Path, current: impl Into<TextSource<'a>>) -> Vec<HunkView> {
        self.0.pending.hunks_in(path, current.into())
    }

    /// Lists the origins of a file's lines: pending hunks and landed hunks of all goals, against
    /// the text given. The path is absolute. Synchronous and quick.
    pub fn origins(&self, path: &Path, current: &str) -> Vec<HunkOrigin> {
        self.0.pending.origins(path, current)
    }

    /// Lets the ledger follow what an editor has undone or redone by itself. Call this when the
    /// text of an open document has settled.
    pub async fn settled(&self, path: &Path) {
        self.0.undo_detection.follow_editor(path).await;
    }

    /// Returns the text that `current` becomes if the hunk is accepted.
    ///
    /// # Errors
    ///
    /// It is no longer pending, or no longer clean.
    pub fn preview(&self, hunk: &HunkId, current: &str) -> Result<String> {
        self.0.pending.preview(hunk, current)
    }

    /// Returns a unified diff of what accepting the hunks of a decision would change in the current
    /// text.
    ///
    /// # Errors
    ///
    /// There is no such goal, nothing is pending of what the decision names, or a file cannot be
    /// read.
    pub async fn diff(&self, wanted: Decision) -> Result<AcceptancePatch> {
        let (editors, pending) = (self.0.editors.clone(), self.0.pending.clone());
        let goal = self.0.goals.goal(&wanted.goal_id)?;
        read_workspace("making a diff", move || {
            diff::diff_of_accepting(&editors, pending.reviews(), &goal, &wanted)
        })
        .await
    }

    /// Returns one side of a pending file; `None` if the file does not exist on that side or is not
    /// text.
    ///
    /// # Errors
    ///
    /// There is no such goal, it does not change the file, or the file cannot be read.
    pub async fn content(
        &self,
        goal: &GoalId,
        path: &RelPath,
        side: PendingSide,
    ) -> Result<Option<String>> {
        let (editors, pending) = (self.0.editors.clone(), self.0.pending.clone());
        let (goal, path) = (self.0.goals.goal(goal)?, path.clone());
        read_workspace("reading a file", move || {
            let entry = goal.file_entry(&path, 0).ok_or_else(|| {
                ErrorBody::user(format!("goal {} does not change {path}", goal.id)).with_hint(
                    format!("list its files with: claudecluster show {}", goal.id),
                )
            })?;
            let reviews = pending.reviews();
            let current = editors.current_content(Path::new(&goal.spec.workspace), &path)?;
            let versions = FileVersions::load(reviews.contents(), entry, current)?;
            let content = match side {
                PendingSide::Base => versions.base,
                PendingSide::Proposed => versions.proposed,
                PendingSide::Merged => {
                    let named = Decision {
                        path: Some(path.clone()),
                        ..Decision::new(goal.id.clone(), Verdict::Accept)
                    };
                    let verdicts = verdict::accept_entry(reviews, &goal, entry, &versions, &named)?;
                    let target = verdicts.changes.into_iter().next_back();
                    target.map_or(versions.current, |change| change.current)
                }
            };
            Ok(content
                .as_ref()
                .and_then(ContentText::as_text)
                .map(str::to_owned))
        })
        .await
    }

    /// Accepts, rejects or undoes hunks, in open buffers and on disk.
    ///
    /// # Errors
    ///
    /// There is no such goal or hunk. What could not be done for single files is in the report.
    pub async fn decide(&self, decision: Decision) -> Result<DecisionReport> {
        // On a task of its own: a decision that has begun is carried out also when whoever asked goes.
        let landing = self.0.landing.clone();
        let done = tokio::spawn(async move { landing.decide(decision).await });
        done.await.unwrap_or_else(|_| {
            Err(
                ErrorBody::internal("the decision failed because of an internal error")
                    .with_hint("nothing is lost; review the pending changes and try again"),
            )
        })
    }

    /// Stops a goal: every process it started is gone when this returns.
    ///
    /// # Errors
    ///
    /// There is no such goal, or it has ended.
    pub async fn cancel(&self, goal: &GoalId) -> Result<()> {
        let work = self.0.running.started_work(goal);
        let cancel = Input::Cancel { goal: goal.clone() };
        self.0.mailbox.ask(cancel).await?;
        if let Some(work) = work {
            work.tracker.close();
            work.tracker.wait().await;
        }
        Ok(())
    }

    /// Tries failed tasks again, or one of them.
    ///
    /// # Errors
    ///
    /// There is no such goal or task, or it has not failed.
    pub async fn retry(&self, goal: &GoalId, task: Option<TaskId>) -> Result<()> {
        self.0
            .mailbox
            .ask(Input::Retry {
                goal: goal.clone(),
                task,
            })
            .await
    }

    /// Lets a plan run, edited or as it is. `shown` is the goal's plan as it was looked at.
    ///
    /// # Errors
    ///
    /// There is no such goal, no plan of it waits, it has another one than was shown, or the edited
    /// plan is invalid.
    pub async fn approve(
        &self,
        goal: &GoalId,
        plan: Option<Plan>,
        shown: Option<Plan>,
    ) -> Result<()> {
        self.0
            .mailbox
            .ask(Input::Approve {
                goal: goal.clone(),
                plan: plan.map(Box::new),
                shown: shown.map(Box::new),
            })
            .await
    }

    /// Lets a task start that its plan pauses.
    ///
    /// # Errors
    ///
    /// There is no such goal or task, or it is not paused.
    pub async fn approve_task(&self, goal: &GoalId, task: &TaskId) -> Result<()> {
        self.0
            .mailbox
            .ask(Input::ApproveTask {
                goal: goal.clone(),
                task: task.clone(),
            })
            .await
    }

    /// Returns the permission requests of all goals that wait for an answer, oldest first.
    pub fn permissions(&self) -> Vec<PermissionRequest> {
        permissions::open_requests(&self.0.goals.state())
    }

    /// Grants or denies a permission request of a worker. `by` names the person, for the journal.
    ///
    /// # Errors
    ///
    /// There is no such request, or (stale) it does not wait any more.
    pub async fn permit(&self, answer: PermissionAnswer, by: Option<String>) -> Result<()> {
        let parts = &self.0;
        parts
            .hosts
            .keep_answer(&parts.store, self.permissions(), &answer)
            .await?;
        parts
            .mailbox
            .ask(Input::PermissionAnswered { answer, by })
            .await
    }

    /// Records that somebody watches events and can answer questions, until the returned value is dropped.
    pub fn attend(&self) -> Attendance {
        self.0.hosts.attend()
    }

    /// Lists the artifacts of a goal.
    ///
    /// # Errors
    ///
    /// There is no such goal.
    pub fn artifacts(&self, goal: &GoalId) -> Result<Vec<GoalArtifact>> {
        Ok(list_artifacts(&self.0.store, &*self.0.goals.goal(goal)?))
    }

    /// Returns the bytes of one artifact. Blocks on the disk.
    ///
    /// # Errors
    ///
    /// There is no such artifact, or it is damaged.
    pub fn blob(&self, id: &BlobId) -> Result<Vec<u8>> {
        self.0
            .store
            .get_blob(id)
            .map_err(ErrorBody::from)?
            .ok_or_else(|| {
                ErrorBody::user(format!("there is no artifact {id}"))
                    .with_hint("list a goal's artifacts with: claudecluster artifacts GOAL")
            })
    }

    /// Returns the daemon's version, uptime and load.
    ///
    /// # Errors
    ///
    /// None today; remote daemons may not answer.
    pub fn status(&self) -> Result<DaemonStatus> {
        let state = self.0.goals.state();
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Ok(DaemonStatus {
            version: claudecluster_protocol::api::VERSION.to_owned(),
            pid: std::process::id(),
            uptime_secs: self.0.started.elapsed().as_secs(),
            active_goals: count(
                state
                    .goals
                    .values()
                    .filter(|g| g.state.is_active() || g.is_working())
                    // What waits for an approval waits as well while no daemon runs.
                    .filter(|g| !g.is_paused())
                    .count(),
            ),
            running_attempts: count(
                state
                    .goals
                    .values()
                    .map(|g| g.running_attempts().count())
                    .sum(),
            ),
            editors: count(self.0.editors.len()),
            last_seq: state.last_seq,
            home: self.0.config.home.display().to_string(),
        })
    }

    /// Attaches an editor: its documents become part of every snapshot of its workspace, and
    /// changes to them land there.
    pub fn attach(&self, editor: Arc<dyn Editor>) -> AttachmentGuard {
        AttachmentGuard {
            number: self.0.editors.attach(editor),
            editors: self.0.editors.clone(),
        }
    }

    /// Stops all work without ending any goal: the next daemon resumes them.
    pub async fn shutdown(&self) {
        last_end::record_stop(&self.0.config.home);
        // The dispatcher first, so that it does not take ended work for failed work.
        let (reply, ended) = oneshot::channel();
        self.0.mailbox.send(DispatcherMessage::Shutdown(reply));
        // An error means that it has ended already.
        let _ = ended.await;
        for work in self.0.running.all_work() {
            work.cancel.cancel();
            work.tracker.close();
            work.tracker.wait().await;
        }
    }
}

/// Puts the parts of a driver together: those of the handle, and those of the effects.
fn assemble(
    config: DriverConfig,
    store: Store,
    state: ClusterState,
    recoveries: TaskTracker,
) -> (
    DriverParts,
    EffectRunner,
    mpsc::UnboundedReceiver<DispatcherMessage>,
) {
    let (merge_words, typing_pause) = {
        let review = &config.settings.review;
        (review.merge_words, review.typing_pause)
    };
    let (mailbox, inbox) = DispatcherMailbox::new();
    let config = Arc::new(config);
    let goals = PublishedGoals::new(state);
    let contents = ContentStore::new(store.clone());
    let editors = EditorRegistry::default();
    let running = RunningGoals::new(&config.home);
    let locks = LandingLocks::default();
    let pending = PendingReader::new(
        goals.clone(),
        editors.clone(),
        contents.clone(),
        merge_words,
    );
    let hosts = HostAnswers::new(editors.clone(), config.keep_host.clone());
    let permissions = PermissionBrokers::new(
        contents.clone(),
        mailbox.clone(),
        goals.clone(),
        hosts.clone(),
    );
    let merge = FileMergeRules {
        config: config.clone(),
        contents: contents.clone(),
        merge_words,
    };
    let place = WorkerPlace::new(config.home.clone(), config.launcher.clone())
        .with_agents(config.settings.agent_settings())
        .hide_found(config.hidden.clone());
    let attempts = AttemptRunner {
        setup: SessionSetup {
            config: config.clone(),
            running: running.clone(),
            editors: editors.clone(),
            epochs: Arc::default(),
            hosts: hosts.clone(),
        },
        sessions: SessionRunner {
            goals: goals.clone(),
            permissions: permissions.clone(),
            mailbox: mailbox.clone(),
            executor: Arc::new(LocalExecutor::new(place)),
        },
        merge: merge.clone(),
        pending: pending.clone(),
    };
    let recovery = LandingRecovery {
        goals: goals.clone(),
        editors: editors.clone(),
        contents: contents.clone(),
        mailbox: mailbox.clone(),
        locks: locks.clone(),
    };
    let landing = LandingService {
        decisions: DecisionRunner {
            config: config.clone(),
            goals: goals.clone(),
            editors: editors.clone(),
            pending: pending.clone(),
            mailbox: mailbox.clone(),
            locks: locks.clone(),
            recovery: recovery.clone(),
        },
        epochs: DecisionEpochs::default(),
    };
    let repairs = RepairMerger {
        goals: goals.clone(),
        editors: editors.clone(),
        pending: pending.clone(),
        merge,
        mailbox: mailbox.clone(),
        locks: locks.clone(),
        recovery: recovery.clone(),
    };
    let undo_detection = UndoDetection {
        goals: goals.clone(),
        editors: editors.clone(),
        contents: contents.clone(),
        mailbox: mailbox.clone(),
        locks,
        recovery,
        typing_pause,
        observed: Arc::new(ObservedFiles::default()),
    };
    let parts = DriverParts {
        config,
        store,
        mailbox: mailbox.clone(),
        goals: goals.clone(),
        editors: editors.clone(),
        running: running.clone(),
        hosts,
        pending: pending.clone(),
        landing: landing.clone(),
        undo_detection,
        started: Instant::now(),
    };
    let effects = EffectRunner {
        goals,
        mailbox,
        contents,
        editors,
        running,
        permissions,
        attempts,
        pending,
        landing,
        repairs,
        recoveries,
    };
    (parts, effects, inbox)
}
