//! Carries decisions out, one entry at a time: computes what they come to, makes the file so, and
//! says what was observed.

use std::{path::Path, sync::Arc};

use claudecluster_core::lifecycle::{FileEntry, Goal};
use claudecluster_protocol::{
    ErrorBody, EventBody, FileMode, RelPath, Span,
    api::Decision,
    event::{Landed, Verdict},
};
use claudecluster_worker::changes::Content;

use super::Judge;
use crate::{
    disk::{self, WriteError},
    editor::{DocumentEdit, EditError},
    pending::Versions,
    proposal::as_text,
    shared::Shared,
    snapshot,
    verdict::{self, Change, Verdicts},
    work::blocking,
};

/// How often a landing is computed again because the text moved meanwhile.
const TRIES: u32 = 5;
/// How long a client that applied an edit itself may take to report the change.
const OBSERVE: Span = Span::secs(2);

/// What came of one entry.
#[derive(Default)]
pub(super) struct Done {
    /// What was observed, all of it [`EventBody::Reviewed`].
    pub(super) facts: Vec<EventBody>,
    /// Hunks left because they conflict.
    pub(super) conflicts: u32,
    /// Hunks left because they need an explicit look.
    pub(super) held: u32,
}

/// One decision about one entry.
pub(super) struct Turn<'a> {
    pub(super) shared: &'a Arc<Shared>,
    pub(super) goal: &'a Arc<Goal>,
    pub(super) root: &'a Path,
    pub(super) decision: &'a Decision,
}

impl Turn<'_> {
    /// Makes the file what the decision makes of it, and returns what was observed.
    pub(super) async fn carry(&self, entry: &FileEntry, judge: Judge) -> Result<Done, ErrorBody> {
        if self.decision.applied {
            self.observe(entry, judge).await?;
        }
        for _ in 0..TRIES {
            let (versions, verdicts) = self.verdicts(entry, judge).await?;
            let left = Done {
                facts: Vec::new(),
                conflicts: verdicts.conflicts,
                held: verdicts.held,
            };
            let Some(target) = verdicts.target() else {
                return Ok(left);
            };
            let Some(observed) = self.write(entry, &versions, target).await? else {
                continue;
            };
            let facts = self.facts(entry, &versions, &verdicts.changes, &observed)?;
            return Ok(Done { facts, ..left });
        }
        Err(moving(&entry.file.path))
    }

    /// Waits for the text of a client that says it has made the edit itself. Where it does not come,
    /// the hunk is landed like any other.
    async fn observe(&self, entry: &FileEntry, judge: Judge) -> Result<(), ErrorBody> {
        let path = self.root.join(entry.file.path.to_path_buf());
        let Some((editor, mut document)) = self.shared.document(&path) else {
            return Ok(());
        };
        let deadline = tokio::time::Instant::now() + OBSERVE.to_duration();
        loop {
            let (versions, verdicts) = self.verdicts(entry, judge).await?;
            let there = verdicts
                .target()
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
        judge: Judge,
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
            verdict::holds(versions.current.as_ref(), after, &observed)
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
        mode: FileMode,
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
        let mode = |content: &Option<Content>| content.as_ref().map(|c| c.mode).unwrap_or_default();
        Ok(Landed {
            before: blob(before)?,
            after: blob(after)?,
            mode_before: mode(before),
            mode_after: mode(after),
        })
    }

    /// The moves of a decision, from what the file was to what was observed of it.
    fn facts(
        &self,
        entry: &FileEntry,
        versions: &Versions,
        changes: &[Change],
        observed: &Option<Content>,
    ) -> Result<Vec<EventBody>, ErrorBody> {
        let mut before = &versions.current;
        let mut facts = Vec::new();
        for (index, change) in changes.iter().enumerate() {
            let last = index + 1 == changes.len();
            let after = if last { observed } else { &change.current };
            let landed = match change.verdict {
                Verdict::Reject => None,
                _ => Some(self.landed(before, after)?),
            };
            facts.push(self.fact(entry, change, landed)?);
            before = after;
        }
        Ok(facts)
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
            entry: change.entry,
            verdict: change.verdict,
            hunks: change.hunks.clone(),
            base: version(&change.base)?,
            proposed: version(&change.proposed)?,
            landed,
            reason: self.decision.reason.clone(),
            of: change.of,
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
