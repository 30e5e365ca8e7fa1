//! Verdicts carried out: into open buffers through their editors, onto the disk where no editor has
//! the file open. A verdict counts when its text has been observed, not when somebody was told.

mod undo;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use claudecluster_core::{
    lifecycle::{FileEntry, Goal},
    step::Input,
};
use claudecluster_protocol::{
    ErrorBody, EventBody, GoalId, RelPath, Span,
    api::{Decision, DecisionReport, FileFailure},
    event::{Landed, Verdict},
};
use claudecluster_worker::changes::Content;
use tokio::sync::oneshot;

use crate::{
    disk::{self, WriteError},
    dispatcher::Message,
    editor::{DocumentEdit, EditError},
    pending::Versions,
    proposal::as_text,
    shared::Shared,
    snapshot,
    verdict::{self, Change, Verdicts},
    views,
    work::blocking,
};

/// How often a landing is computed again because the text moved meanwhile.
const TRIES: u32 = 5;
/// How long a client that applied an edit itself may take to report the change.
const OBSERVE: Span = Span::secs(2);

/// The decision to land everything clean.
pub(crate) fn everything(goal: &GoalId) -> Decision {
    Decision::new(goal.clone(), Verdict::Accept)
}

/// What came of landing everything clean, as a fact.
pub(crate) fn applied(goal: &GoalId, result: Result<DecisionReport, ErrorBody>) -> Input {
    let (report, failed) = match result {
        Ok(report) => {
            let failed = report
                .failed
                .iter()
                .map(|failure| failure.error.clone())
                .collect();
            (report, failed)
        }
        Err(error) => (DecisionReport::default(), vec![error]),
    };
    let fact = EventBody::Applied {
        landed: report.decided,
        conflicts: report.conflicts,
        held: report.held,
        failed,
    };
    Input::Applied {
        goal: goal.clone(),
        fact,
    }
}

/// Carries a decision out.
pub(crate) async fn decide(
    shared: &Arc<Shared>,
    decision: Decision,
) -> Result<DecisionReport, ErrorBody> {
    let id = decision.goal_id.clone();
    if let Some(hunk) = &decision.hunk_id
        && hunk.goal().as_ref() != Some(&id)
    {
        return Err(
            ErrorBody::user(format!("the hunk {hunk} does not belong to goal {id}"))
                .hint(format!("`claudecluster diff {id}` shows its hunks")),
        );
    }
    let root = PathBuf::from(&shared.goal(&id)?.spec.workspace);
    let landing = shared.landing(&root);
    let _one_at_a_time = landing.lock().await;
    // Looked at again behind the lock: another decision may have moved the entries.
    let goal = shared.goal(&id)?;
    if goal.files.is_empty() {
        return Err(nothing_proposed(&goal));
    }
    let mut report = DecisionReport::default();
    let mut facts = Vec::new();
    for index in selected(&goal, &decision) {
        let entry = &goal.files[index];
        // The old place of a renamed file goes with the new one, and only with it.
        let old_place = views::renamed_to(&goal, entry);
        if old_place.is_some_and(|to| !facts.iter().any(|fact| is_about(fact, to))) {
            continue;
        }
        let with_it = Decision {
            hunk_id: None,
            task_id: None,
            path: Some(entry.file.path.clone()),
            ..decision.clone()
        };
        let decision = if old_place.is_some() {
            &with_it
        } else {
            &decision
        };
        let mut turn = Turn {
            shared,
            goal: &goal,
            root: &root,
            decision,
        };
        let done = match decision.verdict {
            Verdict::Accept => turn.accept(entry).await,
            Verdict::Reject => turn.reject(entry).await,
            Verdict::Undo => turn.undo(entry).await,
            Verdict::Redo | Verdict::Resolve => Err(ErrorBody::user("this cannot be done yet")),
        };
        match done {
            Ok(done) => {
                report.conflicts += done.conflicts;
                report.held += done.held;
                if !done.facts.is_empty() && !report.files.contains(&entry.file.path) {
                    report.files.push(entry.file.path.clone());
                }
                facts.extend(done.facts);
            }
            Err(error) => {
                report.failed.push(FileFailure {
                    path: entry.file.path.clone(),
                    error,
                });
            }
        }
    }
    report.decided = facts.iter().map(decided).sum();
    check_named(&decision, &report)?;
    if !facts.is_empty() {
        ask(
            shared,
            Input::Reviewed {
                goal: id.clone(),
                facts,
            },
        )
        .await?;
    }
    let goal = shared.goal(&id)?;
    let owned = shared.clone();
    report.state = Some(goal.state);
    report.hunks = blocking("counting hunks", move || Ok(views::counts(&owned, &goal))).await?;
    Ok(report)
}

/// Lets the ledger follow what an editor has undone, or done again, by itself.
pub(crate) async fn follow(shared: &Arc<Shared>, path: &Path) {
    let _ = (shared, path);
}

/// Sends an input to the dispatcher and waits until it is durable.
pub(crate) async fn ask(shared: &Shared, input: Input) -> Result<(), ErrorBody> {
    let (reply, answer) = oneshot::channel();
    shared.send(Message::Ask(input, reply));
    answer.await.unwrap_or_else(|_| {
        Err(ErrorBody::environment("the daemon is shutting down").hint("try again in a moment"))
    })
}

fn nothing_proposed(goal: &Goal) -> ErrorBody {
    let what = if goal.state.is_active() {
        "has proposed nothing yet"
    } else {
        "proposes nothing"
    };
    ErrorBody::user(format!(
        "goal {} {what}; it is {}",
        goal.id,
        goal.state.as_str()
    ))
    .hint(format!(
        "`claudecluster show {}` says how far it is",
        goal.id
    ))
}

/// A decision that names something which is not there is an error; one that finds nothing left to
/// do is not.
fn check_named(decision: &Decision, report: &DecisionReport) -> Result<(), ErrorBody> {
    let nothing = report.decided == 0
        && report.conflicts == 0
        && report.held == 0
        && report.failed.is_empty();
    if !nothing {
        return Ok(());
    }
    let id = &decision.goal_id;
    let what = match (&decision.hunk_id, &decision.path, &decision.task_id) {
        (Some(hunk), ..) => format!("there is no pending hunk {hunk}"),
        (_, Some(path), _) => format!("nothing is pending in {path}"),
        (_, _, Some(task)) => format!("nothing of task {task} is pending"),
        _ => return Ok(()),
    };
    Err(ErrorBody::stale(what).hint(format!("`claudecluster diff {id}` shows what is pending")))
}

fn decided(fact: &EventBody) -> u32 {
    match fact {
        EventBody::Reviewed { hunks, .. } => u32::try_from(hunks.len()).unwrap_or(u32::MAX),
        _ => 0,
    }
}

/// The entries a decision is about. With a renamed file goes the old one.
fn selected(goal: &Goal, decision: &Decision) -> Vec<usize> {
    let wanted = |entry: &FileEntry| {
        decision.path.as_ref().is_none_or(|path| {
            entry.file.path == *path || views::renamed_to(goal, entry).is_some_and(|to| to == path)
        })
    };
    let mut found: Vec<usize> = (0..goal.files.len())
        .filter(|&index| wanted(&goal.files[index]))
        .collect();
    found.sort_by_key(|&index| views::renamed_to(goal, &goal.files[index]).is_some());
    found
}

fn is_about(fact: &EventBody, file: &RelPath) -> bool {
    matches!(fact, EventBody::Reviewed { path, .. } if path == file)
}

/// What came of one entry.
#[derive(Default)]
struct Done {
    facts: Vec<EventBody>,
    conflicts: u32,
    held: u32,
}

/// One decision about one entry.
struct Turn<'a> {
    shared: &'a Arc<Shared>,
    goal: &'a Arc<Goal>,
    root: &'a Path,
    decision: &'a Decision,
}

impl Turn<'_> {
    async fn accept(&mut self, entry: &FileEntry) -> Result<Done, ErrorBody> {
        if self.decision.applied {
            self.observe(entry).await?;
        }
        for _ in 0..TRIES {
            let (versions, verdicts) = self.verdicts(entry, verdict::accept).await?;
            let left = Done {
                facts: Vec::new(),
                conflicts: verdicts.conflicts,
                held: verdicts.held,
            };
            let Some(change) = verdicts.change else {
                return Ok(left);
            };
            let observed = match self.write(entry, &versions, &change).await? {
                Some(observed) => observed,
                None => continue,
            };
            let mut facts = Vec::new();
            if let (Some(beneath), Some(below)) =
                (&verdicts.beneath, self.goal.entry(&entry.file.path, 0))
            {
                let landed = self.landed(&versions.current, &beneath.current)?;
                facts.push(self.fact(below, beneath, Some(landed))?);
            }
            let landed = self.landed(&versions.current, &observed)?;
            facts.push(self.fact(entry, &change, Some(landed))?);
            return Ok(Done { facts, ..left });
        }
        Err(moving(&entry.file.path))
    }

    async fn reject(&mut self, entry: &FileEntry) -> Result<Done, ErrorBody> {
        let (_, verdicts) = self.verdicts(entry, verdict::reject).await?;
        let facts = match &verdicts.change {
            Some(change) => vec![self.fact(entry, change, None)?],
            None => Vec::new(),
        };
        Ok(Done {
            facts,
            ..Done::default()
        })
    }

    /// Waits for the text of a client that says it has made the edit itself. Where it does not come,
    /// the hunk is landed like any other.
    async fn observe(&self, entry: &FileEntry) -> Result<(), ErrorBody> {
        let path = self.root.join(entry.file.path.to_path_buf());
        let Some((editor, mut document)) = self.shared.document(&path) else {
            return Ok(());
        };
        let deadline = tokio::time::Instant::now() + OBSERVE.to_duration();
        loop {
            let (versions, verdicts) = self.verdicts(entry, verdict::accept).await?;
            let there = verdicts
                .change
                .as_ref()
                .is_none_or(|change| verdict::has_landed(&versions, &change.parts));
            let left = deadline.saturating_duration_since(tokio::time::Instant::now());
            if there || left.is_zero() {
                return Ok(());
            }
            let left = Span(u64::try_from(left.as_millis()).unwrap_or(0));
            match editor.changed(&path, document.version, left).await {
                Some(next) => document = next,
                None => return Ok(()),
            }
        }
    }

    async fn versions(&self, entry: &FileEntry) -> Result<Versions, ErrorBody> {
        let (shared, root, entry) = (self.shared.clone(), self.root.to_owned(), entry.clone());
        blocking("reading a file", move || {
            let current = shared.current(&root, &entry.file.path)?;
            Versions::of(&shared, &entry, current)
        })
        .await
    }

    async fn verdicts(
        &self,
        entry: &FileEntry,
        judge: fn(&Shared, &Goal, &FileEntry, &Versions, &Decision) -> Result<Verdicts, ErrorBody>,
    ) -> Result<(Versions, Verdicts), ErrorBody> {
        let versions = self.versions(entry).await?;
        let (shared, goal, decision) = (
            self.shared.clone(),
            self.goal.clone(),
            self.decision.clone(),
        );
        let entry = entry.clone();
        blocking("merging a file", move || {
            let verdicts = judge(&shared, &goal, &entry, &versions, &decision)?;
            Ok((versions, verdicts))
        })
        .await
    }

    /// Makes the file what it is to be. Returns the content that was observed after it; `None` where
    /// the text has moved, so that everything has to be computed again.
    async fn write(
        &self,
        entry: &FileEntry,
        versions: &Versions,
        change: &Change,
    ) -> Result<Option<Option<Content>>, ErrorBody> {
        if change.current == versions.current {
            return Ok(Some(change.current.clone()));
        }
        let path = self.root.join(entry.file.path.to_path_buf());
        let document = self.shared.document(&path);
        let after = change.current.as_ref();
        let (Some((editor, document)), Some(text)) = (document, after.and_then(as_text)) else {
            return self.write_disk(entry, versions, change).await;
        };
        let was = versions
            .current
            .as_ref()
            .map(|content| content.bytes.clone());
        if was.is_none_or(|was| was != String::from(&document.text).into_bytes()) {
            return Ok(None);
        }
        let label = format!("ClaudeCluster {}: {}", self.goal.id, entry.file.path);
        let edit = DocumentEdit {
            document,
            after: text.to_owned(),
            label,
        };
        let observed = match editor.edit(edit).await {
            Ok(observed) => observed,
            Err(EditError::Stale) => return Ok(None),
            Err(error) => {
                return Err(
                    ErrorBody::environment(format!("{}: {error}", entry.file.path))
                        .hint("accept it again once the editor answers"),
                );
            }
        };
        let mode = after.map(|content| content.mode).unwrap_or_default();
        let bytes = String::from(&observed.text).into_bytes();
        let observed = Content {
            bytes: bytes.into(),
            mode,
        };
        let now = Versions {
            current: Some(observed.clone()),
            ..versions.clone()
        };
        let landed = if change.parts.is_empty() {
            Some(&observed) == after
        } else {
            verdict::has_landed(&now, &change.parts)
        };
        if !landed {
            return Ok(None);
        }
        self.write_mode(entry, versions, mode).await?;
        Ok(Some(Some(observed)))
    }

    /// The mode of a file whose text is the editor's to save.
    async fn write_mode(
        &self,
        entry: &FileEntry,
        versions: &Versions,
        mode: claudecluster_protocol::FileMode,
    ) -> Result<(), ErrorBody> {
        if versions
            .current
            .as_ref()
            .is_none_or(|content| content.mode == mode)
        {
            return Ok(());
        }
        let (root, path) = (self.root.to_owned(), entry.file.path.clone());
        blocking("changing a file's mode", move || {
            let on_disk = disk::read(&root, &path).map_err(|error| refused(&path, &error))?;
            let Some((before, _)) = on_disk else {
                return Ok(());
            };
            let after = Content {
                mode,
                ..before.clone()
            };
            disk::replace(&root, &path, Some(&before), Some(&after))
                .map_err(|error| refused(&path, &error))
        })
        .await
    }

    async fn write_disk(
        &self,
        entry: &FileEntry,
        versions: &Versions,
        change: &Change,
    ) -> Result<Option<Option<Content>>, ErrorBody> {
        let (root, path) = (self.root.to_owned(), entry.file.path.clone());
        let (before, after) = (versions.current.clone(), change.current.clone());
        blocking("writing a file", move || {
            match disk::replace(&root, &path, before.as_ref(), after.as_ref()) {
                Ok(()) => Ok(Some(after)),
                Err(WriteError::Changed) => Ok(None),
                Err(error) => Err(refused(&path, &error)),
            }
        })
        .await
    }

    fn landed(
        &self,
        before: &Option<Content>,
        after: &Option<Content>,
    ) -> Result<Landed, ErrorBody> {
        let blob = |content: &Option<Content>| {
            let version = content
                .as_ref()
                .map(|c| snapshot::version(&self.shared.store, c))
                .transpose()?;
            Ok::<_, ErrorBody>(version.map(|version| version.blob))
        };
        Ok(Landed {
            before: blob(before)?,
            after: blob(after)?,
        })
    }

    fn fact(
        &self,
        entry: &FileEntry,
        change: &Change,
        landed: Option<Landed>,
    ) -> Result<EventBody, ErrorBody> {
        let version = |content: &Option<Content>| {
            content
                .as_ref()
                .map(|c| snapshot::version(&self.shared.store, c))
                .transpose()
        };
        Ok(EventBody::Reviewed {
            path: entry.file.path.clone(),
            entry: entry.file.entry,
            verdict: self.decision.verdict,
            hunks: change.hunks.clone(),
            base: version(&change.base)?,
            proposed: version(&change.proposed)?,
            landed,
            reason: self.decision.reason.clone(),
            of: None,
        })
    }
}

fn moving(path: &RelPath) -> ErrorBody {
    ErrorBody::stale(format!("{path} keeps changing while its hunks land"))
        .hint("accept them again once it is quiet")
}

fn refused(path: &RelPath, error: &WriteError) -> ErrorBody {
    let hint = match error {
        WriteError::Outside | WriteError::LinkOutside => "this change cannot land; reject it",
        WriteError::Changed => "accept it again: it is merged with what is there now",
        WriteError::Io(_) => "check the folder's permissions and free space, then accept it again",
    };
    ErrorBody::environment(format!("failed to write {path}: {error}")).hint(hint)
}
