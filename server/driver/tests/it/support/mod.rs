//! What the tests of landing share: a workspace with a proposal for it, and an editor that behaves as
//! it is told.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use async_trait::async_trait;
use claudecluster_driver::{
    AttachmentGuard, DocumentDeletion, DocumentEdit, Driver, DriverConfig, DriverSettings,
    EditError, EditedLines, Editor, OpenDocument, store,
};
use claudecluster_protocol::{
    AttemptId, EventBody, EventSeq, FileMode, GoalId, GoalSpec, GoalState, HunkId, RelPath, Span,
    Timestamp,
    api::{Decision, DecisionReport},
    change::{FileVersion, Provenance},
    event::{ProposedFile, TaskVersion, Verdict},
    resolution::Resolution,
};
use ropey::Rope;
use store::{NewEvent, Store};
use tempfile::TempDir;

/// A workspace, a journal with a proposal for it, and a driver on both.
pub(crate) struct Fixture {
    pub(crate) workspace: TempDir,
    pub(crate) home: TempDir,
    pub(crate) store: Store,
    /// Of the last goal.
    pub(crate) files: Vec<ProposedFile>,
    /// Of the goals before it.
    earlier: Vec<Vec<ProposedFile>>,
    pub(crate) settings: DriverSettings,
}

pub(crate) const GOAL: &str = "g1";

impl Fixture {
    pub(crate) fn new() -> Self {
        Self {
            workspace: tempfile::tempdir().unwrap(),
            home: tempfile::tempdir().unwrap(),
            store: Store::in_memory(),
            files: Vec::new(),
            earlier: Vec::new(),
            settings: DriverSettings::default(),
        }
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root().join(path)
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.workspace.path().canonicalize().unwrap()
    }

    pub(crate) fn version(&self, text: Option<&str>, mode: FileMode) -> Option<FileVersion> {
        text.map(|text| FileVersion {
            blob: self.store.put_blob(text.as_bytes()).unwrap(),
            mode,
        })
    }

    /// Proposes `base` → `proposed` for a file, and writes `base` to disk.
    pub(crate) fn propose(self, path: &str, base: Option<&str>, proposed: Option<&str>) -> Self {
        if let Some(text) = base {
            fs::create_dir_all(self.path(path).parent().unwrap()).unwrap();
            fs::write(self.path(path), text).unwrap();
        }
        self.entry(path, 0, base, proposed)
    }

    pub(crate) fn entry(
        mut self,
        path: &str,
        entry: u32,
        base: Option<&str>,
        proposed: Option<&str>,
    ) -> Self {
        let base = self.version(base, FileMode::Regular);
        let proposed = self.version(proposed, FileMode::Regular);
        let by = Provenance {
            why: None,
            task: format!("task{entry}").as_str().into(),
            title: "Task".into(),
            attempt: AttemptId(1),
        };
        self.files.push(ProposedFile {
            path: RelPath::new(path).unwrap(),
            from: None,
            entry,
            base: base.clone(),
            proposed: proposed.clone(),
            held: Vec::new(),
            versions: vec![TaskVersion { by, base, proposed }],
        });
        self
    }

    pub(crate) fn last(mut self, change: impl FnOnce(&mut ProposedFile)) -> Self {
        change(self.files.last_mut().unwrap());
        self
    }

    /// What is proposed from here on is another goal's.
    pub(crate) fn another_goal(mut self) -> Self {
        self.earlier.push(std::mem::take(&mut self.files));
        self
    }

    /// Starts a driver on the journal.
    pub(crate) async fn start(&self) -> Driver {
        if self.store.last_seq() == EventSeq(0) {
            let spec = serde_json::json!({"workspace": self.root(), "prompt": "change it"});
            let spec: GoalSpec = serde_json::from_value(spec).unwrap();
            let mut events = Vec::new();
            for (at, files) in self.earlier.iter().chain([&self.files]).enumerate() {
                let bodies = [
                    EventBody::GoalSubmitted {
                        spec: Box::new(spec.clone()),
                    },
                    EventBody::Proposed {
                        files: files.clone(),
                    },
                    EventBody::GoalChanged {
                        state: GoalState::Proposed,
                        error: None,
                    },
                ];
                let goal = GoalId::new(format!("g{}", at + 1));
                events.extend(bodies.into_iter().map(|body| NewEvent {
                    at: Timestamp(1),
                    goal: goal.clone(),
                    body,
                }));
            }
            self.store.append_events(events).await.unwrap();
        }
        let config = DriverConfig {
            home: self.home.path().to_owned(),
            launcher: PathBuf::from("/nonexistent"),
            settings: self.settings.clone(),
            restrictions: Arc::new(|_| Ok(Default::default())),
            keep_host: Arc::new(|_| Ok(())),
            hidden: Default::default(),
        };
        Driver::start(config, self.store.clone()).await.unwrap()
    }

    pub(crate) fn text(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.path(path)).ok()
    }
}

pub(crate) fn decision(verdict: Verdict) -> Decision {
    Decision::new(GoalId::new(GOAL), verdict)
}

pub(crate) async fn accept_all(driver: &Driver) -> DecisionReport {
    driver.decide(decision(Verdict::Accept)).await.unwrap()
}

pub(crate) fn state(driver: &Driver) -> GoalState {
    driver.goal(&GoalId::new(GOAL)).unwrap().summary.state
}

/// A decision about one hunk.
pub(crate) fn of_hunk(verdict: Verdict, hunk: &HunkId) -> Decision {
    Decision {
        hunk_id: Some(hunk.clone()),
        ..Decision::new(hunk.goal().unwrap(), verdict)
    }
}

/// The choice of what a conflict becomes.
pub(crate) fn resolution(hunk: &HunkId, to: Resolution) -> Decision {
    Decision {
        resolution: Some(to),
        ..of_hunk(Verdict::Resolve, hunk)
    }
}

/// Nine lines.
pub(crate) const BASE: &str = "1\n2\n3\n4\n5\n6\n7\n8\n9\n";
/// Three of them changed.
pub(crate) const PROPOSED: &str = "1\nTWO\n3\n4\nFIVE\n6\n7\nEIGHT\n9\n";

/// A fixture with its driver, and an editor that shows one of its files.
pub(crate) struct Stage {
    pub(crate) fixture: Fixture,
    pub(crate) driver: Driver,
    pub(crate) editor: Arc<OneDocument>,
    /// `None` once the editor has left.
    pub(crate) attached: Option<AttachmentGuard>,
}

impl Stage {
    pub(crate) async fn new(fixture: Fixture, file: &str, shown: &str, manner: Manner) -> Self {
        let driver = fixture.start().await;
        let editor = OneDocument::new(fixture.path(file), shown, manner);
        Self {
            attached: Some(driver.attach(editor.clone())),
            fixture,
            driver,
            editor,
        }
    }

    pub(crate) async fn decide(&self, decision: Decision) -> DecisionReport {
        self.driver.decide(decision).await.unwrap()
    }

    /// The names of the pending hunks.
    pub(crate) async fn pending(&self) -> Vec<HunkId> {
        let hunks = self.driver.hunks(None, None).await.unwrap();
        hunks.into_iter().map(|hunk| hunk.id).collect()
    }
}

/// An editor with one document, which behaves as it is told.
pub(crate) struct OneDocument {
    document: Mutex<OpenDocument>,
    pub(crate) manner: Mutex<Manner>,
    edits: Mutex<u32>,
    closed: AtomicBool,
    /// What it opens again with.
    reloads: Mutex<Option<String>>,
    changes: tokio::sync::watch::Sender<i32>,
}

/// How an editor treats edits.
pub(crate) enum Manner {
    Obeys,
    /// The user types this at the end just before the edit arrives; then it obeys.
    TypesFirst(&'static str),
    /// Says yes and does nothing, once.
    DropsSilently,
    /// Says no.
    Refuses,
    /// The user types a letter at the end whenever an edit arrives, so often; then it obeys.
    KeepsTyping(u32),
    /// Is closed when the edit arrives, saved or not with the edit in it.
    Closes(bool),
    /// Is loading the file anew when the edit arrives.
    Reloads,
    /// Makes the edit and never says so.
    SaysNothing,
    /// Does nothing, and never says so.
    NeverAnswers,
    /// Deletes no files.
    KeepsFiles,
    /// Deletes a file and goes on showing what was in it.
    KeepsShowing,
}

impl OneDocument {
    pub(crate) fn new(path: PathBuf, text: &str, manner: Manner) -> Arc<Self> {
        Arc::new(Self {
            document: Mutex::new(OpenDocument {
                edited: None,
                path,
                version: 1,
                text: Rope::from_str(text),
            }),
            manner: Mutex::new(manner),
            edits: Mutex::default(),
            closed: AtomicBool::new(false),
            reloads: Mutex::default(),
            changes: tokio::sync::watch::Sender::new(1),
        })
    }

    pub(crate) fn text(&self) -> String {
        self.document.lock().unwrap().text.to_string()
    }

    pub(crate) fn is_open(&self) -> bool {
        !self.closed.load(Ordering::SeqCst)
    }

    /// How many edits it made.
    pub(crate) fn edits(&self) -> u32 {
        *self.edits.lock().unwrap()
    }

    /// The document is closed, and opened again with this text once somebody waits for that.
    pub(crate) fn reload(&self, text: &str) {
        *self.reloads.lock().unwrap() = Some(text.to_owned());
        self.closed.store(true, Ordering::SeqCst);
    }

    /// The user has just typed in these lines.
    pub(crate) fn type_in(&self, lines: Option<std::ops::Range<u32>>) {
        let mut document = self.document.lock().unwrap();
        document.edited = lines.map(|lines| EditedLines {
            lines,
            at: Instant::now(),
        });
        document.version += 1;
        self.changes.send_replace(document.version);
    }

    pub(crate) fn set(&self, text: &str) -> OpenDocument {
        let mut document = self.document.lock().unwrap();
        document.text = Rope::from_str(text);
        document.version += 1;
        self.changes.send_replace(document.version);
        document.clone()
    }
}

#[async_trait]
impl Editor for OneDocument {
    fn name(&self) -> String {
        "test".into()
    }

    fn roots(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    fn documents(&self) -> Vec<OpenDocument> {
        vec![self.document.lock().unwrap().clone()]
    }

    fn document(&self, path: &Path) -> Option<OpenDocument> {
        let document = self.document.lock().unwrap().clone();
        let open = !self.closed.load(Ordering::SeqCst);
        (open && document.path == path).then_some(document)
    }

    async fn settled(&self, _: &Path) -> bool {
        let Some(text) = self.reloads.lock().unwrap().take() else {
            return false;
        };
        self.set(&text);
        self.closed.store(false, Ordering::SeqCst);
        true
    }

    async fn edit(&self, edit: DocumentEdit) -> Result<OpenDocument, EditError> {
        let manner = std::mem::replace(&mut *self.manner.lock().unwrap(), Manner::Obeys);
        match manner {
            Manner::Obeys => {
                *self.edits.lock().unwrap() += 1;
                Ok(self.set(&edit.after))
            }
            Manner::TypesFirst(typed) => {
                let text = format!("{}{typed}", self.text());
                self.set(&text);
                Err(EditError::Stale)
            }
            Manner::DropsSilently => Ok(self.document.lock().unwrap().clone()),
            Manner::Refuses => Err(EditError::Refused("read-only".into())),
            Manner::KeepsTyping(0) => Ok(self.set(&edit.after)),
            Manner::KeepsTyping(left) => {
                *self.manner.lock().unwrap() = Manner::KeepsTyping(left - 1);
                self.set(&format!("{}x", self.text()));
                Err(EditError::Stale)
            }
            Manner::Closes(saved) => {
                if saved {
                    std::fs::write(&edit.document.path, &edit.after).unwrap();
                }
                self.closed.store(true, Ordering::SeqCst);
                Err(EditError::Closed)
            }
            Manner::NeverAnswers => Err(EditError::Unconfirmed),
            Manner::KeepsFiles | Manner::KeepsShowing => Ok(self.set(&edit.after)),
            Manner::Reloads => {
                self.reload(&edit.document.text.to_string());
                Err(EditError::Closed)
            }
            Manner::SaysNothing => {
                let document = self.set(&edit.after);
                self.set(&format!("{}typed\n", document.text));
                Err(EditError::Unconfirmed)
            }
        }
    }

    fn deletes(&self) -> bool {
        !matches!(*self.manner.lock().unwrap(), Manner::KeepsFiles)
    }

    async fn delete(&self, deletion: DocumentDeletion) -> Result<OpenDocument, EditError> {
        let manner = std::mem::replace(&mut *self.manner.lock().unwrap(), Manner::Obeys);
        match manner {
            Manner::Refuses => return Err(EditError::Refused("read-only".into())),
            Manner::NeverAnswers => return Err(EditError::Unconfirmed),
            // No client compares what it deletes with what was decided about.
            Manner::TypesFirst(typed) => {
                self.set(&format!("{}{typed}", self.text()));
            }
            _ => {}
        }
        fs::remove_file(&deletion.document.path).unwrap();
        let shows = matches!(manner, Manner::KeepsShowing);
        self.closed.store(!shows, Ordering::SeqCst);
        Ok(self.document.lock().unwrap().clone())
    }

    async fn changed(&self, path: &Path, version: i32, wait: Span) -> Option<OpenDocument> {
        let mut changes = self.changes.subscribe();
        let changed = changes.wait_for(|now| *now != version);
        tokio::time::timeout(wait.to_duration(), changed)
            .await
            .ok()?
            .ok()?;
        self.document(path)
    }
}
