//! The driver as everybody else sees it: a cheap handle that sends messages to the one dispatcher
//! loop and reads immutable snapshots.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use claudecluster_core::{lifecycle::State, step::Input};
use claudecluster_protocol::{
    BlobId, ErrorBody, EventSeq, GoalId, GoalSpec, HunkId, Plan, RelPath, TaskId,
    api::{Artifact, DaemonStatus, Decision, DecisionReport},
    change::{HunkView, Origin},
    editor::{Side, Submitted},
    event::StreamItem,
    goal::{GoalSummary, GoalView, ScopeKind},
    permission::{PermissionAnswer, PermissionRequest},
};
use claudecluster_store::Store;
use claudecluster_worker::agent::registry;
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use crate::{
    DriverConfig, agents,
    current::Current,
    disk,
    dispatcher::{Dispatcher, Message, Sameness},
    editor::Editor,
    git, landing, origins,
    pending::Versions,
    permissions,
    proposal::{self, as_text},
    selected,
    shared::Shared,
    verdict, views, watch,
    work::blocking,
};

type Result<T> = std::result::Result<T, ErrorBody>;

/// How long a start waits for what the disk says about earlier landings. A file system that hangs must not
/// keep the daemon from everybody else.
const RECOVERY: Duration = Duration::from_secs(2);

/// A handle on the driver. Clones are cheap and equal.
#[derive(Clone)]
pub struct Driver {
    shared: Arc<Shared>,
}

/// Detaches an editor when dropped.
pub struct Attached {
    shared: Arc<Shared>,
    id: u64,
}

impl Drop for Attached {
    fn drop(&mut self) {
        self.shared.editors.remove(&self.id);
    }
}

/// A unified diff with what it cannot express.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Diff {
    /// What `git apply` takes. Bytes, for file content need not be UTF-8.
    pub text: Vec<u8>,
    /// Changes it cannot express, one line each.
    pub omitted: Vec<String>,
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
        let state = blocking("replaying the journal", move || {
            let mut state = State::default();
            for event in reader.read(EventSeq(0), None).map_err(ErrorBody::from)? {
                state.apply(&event.goal_id, event.at, &event.body);
                state.last_seq = event.seq;
            }
            Ok(state)
        })
        .await?;
        let policy = config.policy();
        let (messages, inbox) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared::new(config, store, messages, state));
        let mut dispatcher = Dispatcher::new(shared.clone(), inbox, policy);
        dispatcher.recover().await;
        tokio::spawn(dispatcher.run());
        shared.recoveries.close();
        if timeout(RECOVERY, shared.recoveries.wait()).await.is_err() {
            tracing::warn!("it is not clear yet what became of earlier landings");
        }
        Ok(Self { shared })
    }

    /// Journals a goal and starts working on it. The goal is durable when this returns.
    ///
    /// # Errors
    ///
    /// The goal is empty or its plan invalid, the workspace is none, no agent can work on it, or the
    /// journal takes no more.
    pub async fn submit(&self, spec: GoalSpec) -> Result<GoalId> {
        Ok(self.hand_in(spec, Sameness::Start).await?.goal_id)
    }

    /// As [`Driver::submit`], unless a goal that is not settled has the same words and place: then nothing
    /// is started, and the answer says which.
    ///
    /// # Errors
    ///
    /// As [`Driver::submit`].
    pub async fn submit_once(&self, spec: GoalSpec) -> Result<Submitted> {
        self.hand_in(spec, Sameness::Join).await
    }

    async fn hand_in(&self, mut spec: GoalSpec, sameness: Sameness) -> Result<Submitted> {
        self.shared.store.health().map_err(ErrorBody::from)?;
        let shared = self.shared.clone();
        let spec = blocking("checking the goal", move || {
            let root = workspace(&shared, &spec.workspace)?;
            spec.workspace = root.to_str().map(str::to_owned).ok_or_else(|| {
                ErrorBody::user(format!("the path {} is not UTF-8", root.display()))
                    .hint("work from a folder whose path is UTF-8")
            })?;
            proposal::globs(&spec.scope.globs)?;
            if spec.scope.kind == ScopeKind::Open && spec.scope.files.is_empty() {
                let open = shared.documents(&root);
                let inside = open
                    .iter()
                    .filter_map(|doc| doc.path.strip_prefix(&root).ok());
                spec.scope.files = inside
                    .filter_map(|path| RelPath::from_path(path).ok())
                    .collect();
                spec.scope.files.sort();
            }
            selected::remember(&shared, &root, &mut spec);
            agents::settle(&shared, &mut spec)?;
            Ok(spec)
        })
        .await?;
        let (reply, answer) = oneshot::channel();
        let message = Message::Submit(Box::new(spec), sameness, reply);
        self.shared.send(message);
        answer.await.unwrap_or_else(|_| Err(shutting_down()))
    }

    /// All goals, oldest first. Reads the files with pending hunks.
    pub fn goals(&self) -> Vec<GoalSummary> {
        self.goals_as_of().0
    }

    /// All goals, with the last event they show. Reads the files with pending hunks.
    pub fn goals_as_of(&self) -> (Vec<GoalSummary>, EventSeq) {
        let state = self.shared.state();
        let summaries = state
            .goals
            .values()
            .map(|goal| views::summary(&self.shared, goal));
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
        let state = self.shared.state();
        let goal = state
            .goals
            .get(goal)
            .ok_or_else(|| claudecluster_core::step::unknown_goal(goal))?;
        Ok((views::goal(&self.shared, goal), state.last_seq))
    }

    /// Journaled events after `after` (none of the past for `None`), then live ones and activity, for
    /// one goal or all, without gap or duplicate. Ends when the receiver is dropped.
    pub fn watch(
        &self,
        goal: Option<GoalId>,
        after: Option<EventSeq>,
    ) -> mpsc::Receiver<StreamItem> {
        watch::watch(&self.shared, goal, after)
    }

    /// Pending hunks against what the editors and the disk hold now.
    ///
    /// # Errors
    ///
    /// There is no such goal, or a file cannot be read.
    pub async fn hunks(
        &self,
        goal: Option<GoalId>,
        path: Option<RelPath>,
    ) -> Result<Vec<HunkView>> {
        let shared = self.shared.clone();
        blocking("listing hunks", move || {
            let goals = match &goal {
                Some(id) => vec![shared.goal(id)?],
                None => shared.state().goals.values().cloned().collect(),
            };
            let mut found = Vec::new();
            for goal in goals {
                found.extend(views::hunks(&shared, &goal, path.as_ref())?);
            }
            Ok(found)
        })
        .await
    }

    /// Pending hunks of one file (absolute path), of all goals, against the text given. Synchronous
    /// and quick: for code actions and lenses.
    pub fn hunks_in<'a>(&self, path: &Path, current: impl Into<Current<'a>>) -> Vec<HunkView> {
        views::hunks_in(&self.shared, path, current.into())
    }

    /// Where the lines of a file (absolute path) come from and what is to become of them: pending hunks
    /// and those that have landed, of all goals, against the text given. Synchronous and quick.
    pub fn origins(&self, path: &Path, current: &str) -> Vec<Origin> {
        origins::of(&self.shared, path, current)
    }

    /// The text of an open document has settled: the ledger follows what its editor has undone or done
    /// again by itself.
    pub async fn settled(&self, path: &Path) {
        landing::follow(&self.shared, path).await;
    }

    /// The text `current` has once the hunk is accepted.
    ///
    /// # Errors
    ///
    /// It is no longer pending, or no longer clean.
    pub fn preview(&self, hunk: &HunkId, current: &str) -> Result<String> {
        views::preview(&self.shared, hunk, current)
    }

    /// What accepting the hunks of a decision would change, as a unified diff against what is there
    /// now.
    ///
    /// # Errors
    ///
    /// There is no such goal, nothing is pending of what the decision names, or a file cannot be read.
    pub async fn diff(&self, wanted: Decision) -> Result<Diff> {
        let (shared, goal) = (self.shared.clone(), self.shared.goal(&wanted.goal_id)?);
        blocking("making a diff", move || {
            views::diff(&shared, &goal, &wanted)
        })
        .await
    }

    /// One side of a pending file; `None` where the file does not exist on that side or is not text.
    ///
    /// # Errors
    ///
    /// There is no such goal, it does not change the file, or the file cannot be read.
    pub async fn content(
        &self,
        goal: &GoalId,
        path: &RelPath,
        side: Side,
    ) -> Result<Option<String>> {
        let (shared, goal, path) = (self.shared.clone(), self.shared.goal(goal)?, path.clone());
        blocking("reading a file", move || {
            let entry = goal.entry(&path, 0).ok_or_else(|| {
                ErrorBody::user(format!("goal {} does not change {path}", goal.id))
                    .hint(format!("`claudecluster show {}` lists its files", goal.id))
            })?;
            let current = shared.current(Path::new(&goal.spec.workspace), &path)?;
            let versions = Versions::of(&shared, entry, current)?;
            let content = match side {
                Side::Base => versions.base,
                Side::Proposed => versions.proposed,
                Side::Merged => {
                    let named = Decision {
                        path: Some(path.clone()),
                        ..landing::everything(&goal.id)
                    };
                    let verdicts = verdict::accept(&shared, &goal, entry, &versions, &named)?;
                    let target = verdicts.changes.into_iter().next_back();
                    target.map_or(versions.current, |change| change.current)
                }
            };
            Ok(content.as_ref().and_then(as_text).map(str::to_owned))
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
        let shared = self.shared.clone();
        let done = tokio::spawn(async move { landing::decide(&shared, decision).await });
        done.await.unwrap_or_else(|_| {
            Err(
                ErrorBody::internal("the decision failed for a reason of our own")
                    .hint("look at the pending changes again; nothing is lost"),
            )
        })
    }

    /// Stops a goal: every process it started is gone when this returns.
    ///
    /// # Errors
    ///
    /// There is no such goal, or it has ended.
    pub async fn cancel(&self, goal: &GoalId) -> Result<()> {
        let work = self.shared.work.get(goal).map(|work| work.tracker.clone());
        landing::ask(&self.shared, Input::Cancel { goal: goal.clone() }).await?;
        if let Some(tracker) = work {
            tracker.close();
            tracker.wait().await;
        }
        Ok(())
    }

    /// Tries failed tasks again, or one of them.
    ///
    /// # Errors
    ///
    /// There is no such goal or task, or it has not failed.
    pub async fn retry(&self, goal: &GoalId, task: Option<TaskId>) -> Result<()> {
        landing::ask(
            &self.shared,
            Input::Retry {
                goal: goal.clone(),
                task,
            },
        )
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
        landing::ask(
            &self.shared,
            Input::Approve {
                goal: goal.clone(),
                plan: plan.map(Box::new),
                shown: shown.map(Box::new),
            },
        )
        .await
    }

    /// Lets a task start that its plan pauses.
    ///
    /// # Errors
    ///
    /// There is no such goal or task, or it is not paused.
    pub async fn approve_task(&self, goal: &GoalId, task: &TaskId) -> Result<()> {
        landing::ask(
            &self.shared,
            Input::ApproveTask {
                goal: goal.clone(),
                task: task.clone(),
            },
        )
        .await
    }

    /// The permission requests of all goals that wait for an answer, oldest first.
    pub fn permissions(&self) -> Vec<PermissionRequest> {
        permissions::open(&self.shared)
    }

    /// Allows or denies what a worker asks for. `by`: who says it, for the journal.
    ///
    /// # Errors
    ///
    /// There is no such request, or (stale) it does not wait any more.
    pub async fn permit(&self, answer: PermissionAnswer, by: Option<String>) -> Result<()> {
        landing::ask(&self.shared, Input::PermissionAnswered { answer, by }).await
    }

    /// What a goal left in the artifact store.
    ///
    /// # Errors
    ///
    /// There is no such goal.
    pub fn artifacts(&self, goal: &GoalId) -> Result<Vec<Artifact>> {
        Ok(views::artifacts(&self.shared, &*self.shared.goal(goal)?))
    }

    /// The bytes of one artifact. Blocks on the disk.
    ///
    /// # Errors
    ///
    /// There is no such artifact, or it is damaged.
    pub fn blob(&self, id: &BlobId) -> Result<Vec<u8>> {
        self.shared
            .store
            .get_blob(id)
            .map_err(ErrorBody::from)?
            .ok_or_else(|| {
                ErrorBody::user(format!("there is no artifact {id}"))
                    .hint("`claudecluster artifacts GOAL` lists them")
            })
    }

    /// What the daemon says of itself.
    ///
    /// # Errors
    ///
    /// None today; remote daemons may not answer.
    pub fn status(&self) -> Result<DaemonStatus> {
        let state = self.shared.state();
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Ok(DaemonStatus {
            version: claudecluster_protocol::api::VERSION.to_owned(),
            pid: std::process::id(),
            uptime_secs: self.shared.started.elapsed().as_secs(),
            active_goals: count(
                state
                    .goals
                    .values()
                    .filter(|g| g.state.is_active() || g.is_working())
                    // What waits for an approval waits as well while no daemon runs.
                    .filter(|g| !g.is_paused())
                    .count(),
            ),
            running_attempts: count(state.goals.values().map(|g| g.running().count()).sum()),
            editors: count(self.shared.editors.len()),
            last_seq: state.last_seq,
            home: self.shared.config.home.display().to_string(),
        })
    }

    /// Makes an editor's documents part of every snapshot of its workspace, and the place where
    /// changes to them land.
    pub fn attach(&self, editor: Arc<dyn Editor>) -> Attached {
        Attached {
            id: self.shared.attach(editor),
            shared: self.shared.clone(),
        }
    }

    /// Stops all work without ending any goal: the next daemon resumes them.
    pub async fn shutdown(&self) {
        // The dispatcher first, so that it does not take ended work for failed work.
        let (reply, ended) = oneshot::channel();
        self.shared.send(Message::Shutdown(reply));
        // An error means that it has ended already.
        let _ = ended.await;
        let work: Vec<_> = self
            .shared
            .work
            .iter()
            .map(|entry| entry.value().clone())
            .collect();
        for work in work {
            work.cancel.cancel();
            work.tracker.close();
            work.tracker.wait().await;
        }
    }
}

fn shutting_down() -> ErrorBody {
    ErrorBody::environment("the daemon is shutting down").hint("try again in a moment")
}

/// The workspace root, canonical, if it can be worked on.
fn workspace(shared: &Shared, path: &str) -> Result<PathBuf> {
    let given = Path::new(path);
    if !given.is_absolute() {
        return Err(ErrorBody::user(format!(
            "the workspace {path:?} is not an absolute path"
        )));
    }
    let refused = |error: std::io::Error| {
        ErrorBody::user(format!("{path} cannot be a workspace: {error}"))
            .hint("run it in the folder of your project, or name it with --workspace")
    };
    let root = given.canonicalize().map_err(refused)?;
    disk::readable_dir(&root).map_err(refused)?;
    if root.parent().is_none() {
        return Err(refused(std::io::Error::other(
            "it is the root of the file system",
        )));
    }
    let home = &shared.config.home;
    if home.starts_with(&root) || root.starts_with(home) {
        return Err(ErrorBody::user(format!(
            "the workspace {} and the state folder {} lie inside each other",
            root.display(),
            home.display()
        ))
        .hint("set CLAUDECLUSTER_HOME to a folder outside the workspace"));
    }
    // Refuses what git knows not to be a work tree.
    git::repository(&root)?;
    Ok(root)
}
