//! What the dispatcher, the work it starts and the readers share: immutable snapshots, the store, the
//! attached editors, and the way to send a message to the one owner of the state.

use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use claudecluster_core::lifecycle::{Goal, State};
use claudecluster_protocol::{
    BlobId, ErrorBody, GoalId, RelPath, TaskId, Timestamp,
    api::Decision,
    change::FileVersion,
    event::{Activity, AgentEvent, StreamItem, Verdict},
    goal::EnvVar,
};
use claudecluster_store::Store;
use claudecluster_worker::{
    agent::registry,
    changes::{Content, Tracked},
};
use dashmap::DashMap;
use tokio::sync::{broadcast, mpsc, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    DriverConfig, disk,
    dispatcher::Message,
    editor::{Editor, OpenDocument},
    landing::Followed,
    origins::Landings,
    permissions::Desks,
    reviews::Reviews,
    snapshot,
};

/// Items a slow watcher may be behind before it has to read the journal again.
const STREAM_ITEMS: usize = 4_096;
/// Bytes of file content kept in memory.
const CACHE_BYTES: usize = 64 << 20;

/// Shared by everything in the driver.
pub(crate) struct Shared {
    pub(crate) config: DriverConfig,
    pub(crate) store: Store,
    pub(crate) messages: mpsc::UnboundedSender<Message>,
    pub(crate) state: watch::Sender<Arc<State>>,
    pub(crate) stream: broadcast::Sender<StreamItem>,
    pub(crate) editors: DashMap<u64, Arc<dyn Editor>>,
    pub(crate) work: DashMap<GoalId, Work>,
    pub(crate) started: Instant,
    /// Environments of the clients that submitted goals. Kept out of the journal: they hold keys.
    pub(crate) env: DashMap<GoalId, Vec<EnvVar>>,
    /// Tracked files that an ignore rule names, of goals at work.
    pub(crate) tracked: DashMap<GoalId, Tracked>,
    /// One landing at a time in a workspace.
    landing: DashMap<PathBuf, Arc<tokio::sync::Mutex<()>>>,
    /// Looks at what became of the last daemon's landings.
    pub(crate) recoveries: TaskTracker,
    /// How many decisions have been made about each goal.
    turns: DashMap<GoalId, u64>,
    /// Goals whose agents have a home.
    homes: Mutex<HashSet<GoalId>>,
    next_editor: AtomicU64,
    contents: Mutex<Contents>,
    /// Reviews of the files that are looked at.
    pub(crate) reviews: Reviews,
    pub(crate) landings: Landings,
    /// The files in which an editor's own undo is followed.
    pub(crate) followed: Followed,
    /// Where sessions wait for what they asked.
    pub(crate) desks: Desks,
}

/// The running work of one goal.
#[derive(Clone, Default)]
pub(crate) struct Work {
    /// Ends all of it.
    pub(crate) cancel: CancellationToken,
    /// Knows when all of it has ended.
    pub(crate) tracker: TaskTracker,
}

#[derive(Default)]
struct Contents {
    bytes: usize,
    by_id: HashMap<BlobId, bytes::Bytes>,
}

impl Shared {
    pub(crate) fn new(
        config: DriverConfig,
        store: Store,
        messages: mpsc::UnboundedSender<Message>,
        state: State,
    ) -> Self {
        Self {
            config,
            store,
            messages,
            state: watch::Sender::new(Arc::new(state)),
            stream: broadcast::Sender::new(STREAM_ITEMS),
            editors: DashMap::new(),
            work: DashMap::new(),
            started: Instant::now(),
            env: DashMap::new(),
            tracked: DashMap::new(),
            landing: DashMap::new(),
            recoveries: TaskTracker::new(),
            turns: DashMap::new(),
            homes: Mutex::default(),
            next_editor: AtomicU64::new(1),
            contents: Mutex::default(),
            reviews: Reviews::default(),
            landings: Landings::default(),
            followed: Followed::default(),
            desks: Desks::default(),
        }
    }

    /// The state as of the last durable event.
    pub(crate) fn state(&self) -> Arc<State> {
        self.state.borrow().clone()
    }

    /// One goal as of the last durable event.
    pub(crate) fn goal(&self, id: &GoalId) -> Result<Arc<Goal>, ErrorBody> {
        self.state()
            .goals
            .get(id)
            .cloned()
            .ok_or_else(|| claudecluster_core::step::unknown_goal(id))
    }

    /// Tells the dispatcher. It is there as long as the process is.
    pub(crate) fn send(&self, message: Message) {
        if self.messages.send(message).is_err() {
            tracing::debug!("the dispatcher has ended; a message to it is dropped");
        }
    }

    /// Tells watchers what somebody is doing right now.
    pub(crate) fn activity(&self, goal: &GoalId, task: Option<&TaskId>, what: AgentEvent) {
        // Nobody watching is not an error.
        let _ = self.stream.send(StreamItem::Activity(Box::new(Activity {
            goal_id: goal.clone(),
            task_id: task.cloned(),
            what,
        })));
    }

    pub(crate) fn attach(&self, editor: Arc<dyn Editor>) -> u64 {
        let id = self.next_editor.fetch_add(1, Ordering::Relaxed);
        self.editors.insert(id, editor);
        id
    }

    /// The open documents beneath `root`, of all editors. Of a file that two editors have open, the
    /// one attached first counts.
    pub(crate) fn documents(&self, root: &Path) -> Vec<OpenDocument> {
        let mut editors: Vec<(u64, Arc<dyn Editor>)> = self
            .editors
            .iter()
            .map(|e| (*e.key(), e.value().clone()))
            .collect();
        editors.sort_by_key(|(id, _)| *id);
        let mut found: HashMap<PathBuf, OpenDocument> = HashMap::new();
        for document in editors.iter().flat_map(|(_, editor)| editor.documents()) {
            if document.path.starts_with(root) {
                found.entry(document.path.clone()).or_insert(document);
            }
        }
        found.into_values().collect()
    }

    /// The editor that has a file open, and the document. As for [`Self::documents`].
    pub(crate) fn document(&self, path: &Path) -> Option<(Arc<dyn Editor>, OpenDocument)> {
        let mut found: Option<(u64, Arc<dyn Editor>, OpenDocument)> = None;
        for entry in &self.editors {
            if let Some(document) = entry.value().document(path)
                && found.as_ref().is_none_or(|(id, ..)| entry.key() < id)
            {
                found = Some((*entry.key(), entry.value().clone(), document));
            }
        }
        found.map(|(_, editor, document)| (editor, document))
    }

    /// The same, once it is known that no editor is merely loading the file anew. Whoever takes a file for
    /// the disk's asks this.
    pub(crate) async fn settled_document(
        &self,
        path: &Path,
    ) -> Option<(Arc<dyn Editor>, OpenDocument)> {
        loop {
            let found = self.document(path);
            if found.is_some() {
                return found;
            }
            let editors: Vec<_> = self.editors.iter().map(|one| one.value().clone()).collect();
            let mut waited = false;
            for editor in editors {
                waited |= editor.settled(path).await;
            }
            if !waited {
                // Opened between the two looks.
                return self.document(path);
            }
        }
    }

    /// What a file is now: the open buffer, or the file on disk where no editor has it open.
    pub(crate) fn current(
        &self,
        root: &Path,
        path: &RelPath,
    ) -> Result<Option<Content>, ErrorBody> {
        let on_disk = disk::read(root, path).map_err(|error| unreadable(path, &error))?;
        let on_disk = on_disk.map(|(content, _)| content);
        if let Some((_, document)) = self.document(&root.join(path.to_path_buf())) {
            let mode = on_disk.map(|content| content.mode).unwrap_or_default();
            let text = String::from(&document.text);
            return Ok(Some(Content {
                bytes: text.into_bytes().into(),
                mode,
            }));
        }
        Ok(on_disk)
    }

    /// Whether there is no such file, whatever an editor shows in its place: the text of a file that was
    /// deleted can stay open.
    pub(crate) fn is_gone(&self, root: &Path, path: &RelPath) -> Result<bool, ErrorBody> {
        match disk::stamp(root, path) {
            Ok(stamp) => Ok(stamp.is_none()),
            Err(error) => Err(unreadable(path, &error)),
        }
    }

    /// The content of a version, from memory where it was wanted before.
    pub(crate) fn content(&self, version: &FileVersion) -> Result<Content, ErrorBody> {
        {
            let contents = self.contents.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(bytes) = contents.by_id.get(&version.blob) {
                return Ok(Content {
                    bytes: bytes.clone(),
                    mode: version.mode,
                });
            }
        }
        let content = snapshot::content(&self.store, version)?;
        let mut contents = self.contents.lock().unwrap_or_else(PoisonError::into_inner);
        if contents.bytes + content.bytes.len() > CACHE_BYTES {
            *contents = Contents::default();
        }
        if contents
            .by_id
            .insert(version.blob.clone(), content.bytes.clone())
            .is_none()
        {
            contents.bytes += content.bytes.len();
        }
        Ok(content)
    }

    /// The content of a version that may be none.
    pub(crate) fn content_of(
        &self,
        version: Option<&FileVersion>,
    ) -> Result<Option<Content>, ErrorBody> {
        version.map(|version| self.content(version)).transpose()
    }

    /// The lock that lets one landing at a time into a workspace.
    pub(crate) fn landing(&self, root: &Path) -> Arc<tokio::sync::Mutex<()>> {
        self.landing.entry(root.to_owned()).or_default().clone()
    }

    /// Takes note of a decision. Unless it is about a single hunk that lands, it overrules what waits of
    /// earlier ones about the goal. Returns which decision it is, for [`Self::stands`].
    pub(crate) fn overrule(&self, decision: &Decision) -> u64 {
        let mut turn = self.turns.entry(decision.goal_id.clone()).or_default();
        let adds = decision.verdict == Verdict::Accept
            && (decision.hunk_id.is_some() || decision.path.is_some());
        if !adds {
            *turn += 1;
        }
        *turn
    }

    /// Whether no later decision has overruled one.
    pub(crate) fn stands(&self, goal: &GoalId, turn: u64) -> bool {
        self.turns.get(goal).is_some_and(|now| *now == turn)
    }

    /// Where the agents of a goal keep their sessions, made on first use.
    pub(crate) fn agent_home(&self, goal: &GoalId) -> Result<PathBuf, ErrorBody> {
        let home = self.goal_dir(goal).join("agent");
        let mut ready = self.homes.lock().unwrap_or_else(PoisonError::into_inner);
        if !ready.contains(goal) {
            registry().prepare_home(&home).map_err(|error| {
                ErrorBody::environment(format!("failed to make {}: {error}", home.display()))
                    .hint("check that the state folder can be written and has space left")
            })?;
            ready.insert(goal.clone());
        }
        Ok(home)
    }

    /// The goal is done, and its agents' home is about to be deleted.
    pub(crate) fn forget(&self, goal: &GoalId) {
        self.tracked.remove(goal);
        self.env.remove(goal);
        self.reviews.forget(goal);
        self.landings.forget(goal);
        self.homes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(goal);
    }

    /// Where a goal's private files are.
    pub(crate) fn goal_dir(&self, goal: &GoalId) -> PathBuf {
        self.config.home.join("goals").join(goal.as_str())
    }
}

fn unreadable(path: &RelPath, error: &disk::WriteError) -> ErrorBody {
    ErrorBody::environment(format!("failed to read {path}: {error}"))
        .hint("check the file's permissions and where its links lead")
}

/// The clock of events.
pub(crate) fn now() -> Timestamp {
    let millis = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_millis());
    Timestamp(u64::try_from(millis).unwrap_or(u64::MAX))
}
