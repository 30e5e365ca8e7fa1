//! Files changed by a decision: intents are journaled, files are changed, and the observed result
//! is reported. Files that no editor has open are written together; the others go one at a time
//! through their editors.

use std::time::Duration;

use claudecluster_core::{state::FileEntry, step::Input};
use claudecluster_protocol::{ErrorBody, EventBody, FileMode, RelPath, Span};
use claudecluster_store::blob_id;
use claudecluster_worker::changes::FileContent;
use tokio::time::Instant;

use super::{
    file_decision::FileDecision,
    plan::{FileLanding, LandingContext},
};
use crate::{
    blocking::{read_workspace, run_blocking},
    review::verdict,
    workspace::{
        content_text::{ContentText, text_content},
        disk::{self, WriteError},
        editor::{DocumentDeletion, DocumentEdit, EditError, Editor, OpenDocument},
    },
};

/// How long a landing is tried again because the text moves.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long to wait for the next change of a text before trying again without one.
const NEXT_CHANGE: Span = Span(300);
/// How long to wait before a file is looked at again that some program writes to.
const NEXT_LOOK: Duration = Duration::from_millis(20);
/// How long a client that applied an edit itself may take to report the change.
const OBSERVE: Span = Span::from_secs(2);

/// The result of a decision for one file.
#[derive(Default)]
pub(super) struct AppliedFile {
    /// Observed facts, each [`EventBody::Reviewed`] or [`EventBody::LandingDropped`].
    pub(super) facts: Vec<EventBody>,
    /// Hunks left because they conflict.
    pub(super) conflicts: u32,
    /// Hunks left because they need an explicit look.
    pub(super) held: u32,
    /// Hunks left because somebody types there.
    pub(super) waiting: u32,
    /// The error, if the decision was not carried out.
    pub(super) failed: Option<ErrorBody>,
}

impl AppliedFile {
    fn from_landing(plan: &FileLanding, facts: Vec<EventBody>) -> Self {
        Self {
            facts,
            conflicts: plan.conflicts,
            held: plan.held,
            waiting: plan.waiting,
            failed: None,
        }
    }

    fn from_error(facts: Vec<EventBody>, error: ErrorBody) -> Self {
        Self {
            facts,
            failed: Some(error),
            ..Self::default()
        }
    }

    /// Returns whether something landed.
    pub(super) fn has_landed(&self) -> bool {
        let reviewed = |fact: &EventBody| matches!(fact, EventBody::Reviewed { .. });
        self.facts.iter().any(reviewed)
    }
}

/// The result of one try to write.
enum WriteOutcome {
    /// The text is there.
    Landed,
    /// The text has moved: everything has to be computed again.
    Moved,
}

/// A write that cannot be tried again.
struct WriteStop {
    error: ErrorBody,
    /// Whether the edit may still arrive: the intent stays open until somebody looks.
    open: bool,
}

impl LandingContext {
    /// Carries out a decision for each of these files, as far as it can be. Creating, moving and
    /// deleting files comes before changing their text.
    pub(super) async fn apply_files(
        &self,
        files: &[FileDecision<'_>],
    ) -> Result<Vec<AppliedFile>, ErrorBody> {
        for file in files.iter().filter(|file| file.decision.applied) {
            self.await_client_edit(file).await?;
        }
        for file in files {
            // For the plans: what an editor loads anew is planned from what it opens.
            let _ = self.settled_document(file).await;
        }
        let plans = self.plan_files(files).await?;
        let mut done: Vec<Option<AppliedFile>> = Vec::new();
        let mut batch = Vec::new();
        for (index, (file, plan)) in files.iter().zip(plans).enumerate() {
            done.push(None);
            match plan {
                Err(error) => done[index] = Some(AppliedFile::from_error(Vec::new(), error)),
                // What goes with another one is done when that one is.
                Ok(_)
                    if file
                        .needs
                        .is_some_and(|at| !batch.iter().any(|(i, _)| *i == at)) => {}
                Ok(plan) if !plan.touches_the_file() => {
                    let facts = plan.facts.clone();
                    done[index] = Some(AppliedFile::from_landing(&plan, facts));
                }
                Ok(plan) if self.settled_document(file).await.is_none() => {
                    batch.push((index, plan));
                }
                Ok(_) => {}
            }
        }
        self.write_together(files, batch, &mut done).await?;
        let mut rest: Vec<usize> = (0..files.len()).collect();
        rest.sort_by_key(|&index| files[index].needs.is_some());
        for index in rest {
            let before = match &mut done[index] {
                Some(AppliedFile { failed: None, .. }) | None => done[index].take(),
                Some(_) => continue,
            };
            let dropped = match before {
                Some(before) if !before.is_dropped() => {
                    done[index] = Some(before);
                    continue;
                }
                before => before.map(|before| before.facts).unwrap_or_default(),
            };
            let needed = files[index].needs.and_then(|at| done[at].as_ref());
            let apart =
                files[index].needs.is_some() && !needed.is_some_and(AppliedFile::has_landed);
            done[index] = Some(if apart {
                AppliedFile {
                    facts: dropped,
                    ..AppliedFile::default()
                }
            } else {
                self.write_alone(&files[index], dropped).await
            });
        }
        let done: Vec<_> = done.into_iter().map(Option::unwrap_or_default).collect();
        for (file, applied) in files.iter().zip(&done) {
            tracing::debug!(
                path = %file.entry.file.path,
                landed = applied.has_landed(),
                "a decision about a file is carried out"
            );
        }
        Ok(done)
    }

    /// Plans all files at once, as many at a time as there are processors.
    async fn plan_files(
        &self,
        files: &[FileDecision<'_>],
    ) -> Result<Vec<Result<FileLanding, ErrorBody>>, ErrorBody> {
        let context = self.clone();
        let files: Vec<_> = files
            .iter()
            .map(|file| (file.entry.clone(), file.decision.clone()))
            .collect();
        run_blocking("merging files", move || {
            Ok(disk::in_parallel(
                files,
                disk::processor_count(),
                |(entry, decision)| {
                    let file = FileDecision {
                        entry: &entry,
                        decision,
                        needs: None,
                    };
                    FileLanding::new(&context, &file)
                },
            ))
        })
        .await
    }

    async fn plan_file(&self, file: &FileDecision<'_>) -> Result<FileLanding, ErrorBody> {
        let alone = FileDecision {
            entry: file.entry,
            decision: file.decision.clone(),
            needs: None,
        };
        let mut plans = self.plan_files(&[alone]).await?;
        plans.pop().unwrap_or_else(|| Ok(FileLanding::default()))
    }

    async fn settled_document(
        &self,
        file: &FileDecision<'_>,
    ) -> Option<(std::sync::Arc<dyn Editor>, OpenDocument)> {
        let path = self.root.join(file.entry.file.path.to_path_buf());
        self.editors.settled_document(&path).await
    }

    /// Writes files that no editor has open: one commit of the journal, one write of the disk. Those
    /// that have changed meanwhile are left with a dropped landing, to be tried again by themselves.
    async fn write_together(
        &self,
        files: &[FileDecision<'_>],
        mut batch: Vec<(usize, FileLanding)>,
        done: &mut [Option<AppliedFile>],
    ) -> Result<(), ErrorBody> {
        if batch.is_empty() {
            return Ok(());
        }
        let resource = |plan: &FileLanding| plan.before.is_some() && plan.after.is_some();
        batch.sort_by_key(|(index, plan)| (resource(plan), files[*index].needs.is_some()));
        let intents = batch
            .iter()
            .flat_map(|(_, plan)| plan.landing_intents(false));
        self.journal_intents(intents.collect()).await?;
        let place = |at: usize| batch.iter().position(|(index, _)| *index == at);
        let writes: Vec<disk::FileWrite> = batch
            .iter()
            .map(|(index, plan)| disk::FileWrite {
                path: files[*index].entry.file.path.clone(),
                before: plan.before.clone(),
                after: plan.after.clone(),
                needs: files[*index].needs.and_then(place),
            })
            .collect();
        let root = self.root.clone();
        let written = run_blocking("writing files", move || {
            Ok(disk::replace_files(&root, &writes))
        })
        .await?;
        for ((index, plan), result) in batch.into_iter().zip(written) {
            let path = &files[index].entry.file.path;
            done[index] = Some(match result {
                Ok(()) => {
                    let facts = plan.facts.clone();
                    AppliedFile::from_landing(&plan, facts)
                }
                Err(WriteError::Changed | WriteError::Apart) => {
                    AppliedFile::from_landing(&plan, plan.dropped_facts())
                }
                Err(error) => {
                    AppliedFile::from_error(plan.dropped_facts(), write_error(path, &error))
                }
            });
        }
        Ok(())
    }

    /// Journals the intents of landings.
    async fn journal_intents(&self, intents: Vec<EventBody>) -> Result<(), ErrorBody> {
        if intents.is_empty() {
            return Ok(());
        }
        let goal = self.goal.id.clone();
        self.mailbox.ask(Input::Landing { goal, intents }).await
    }

    /// Carries out a decision for one file, and again if its text moves meanwhile.
    async fn write_alone(
        &self,
        file: &FileDecision<'_>,
        mut dropped: Vec<EventBody>,
    ) -> AppliedFile {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let plan = match self.plan_file(file).await {
                Ok(plan) => plan,
                Err(error) => return AppliedFile::from_error(dropped, error),
            };
            if !plan.touches_the_file() {
                dropped.extend(plan.facts.iter().cloned());
                return AppliedFile::from_landing(&plan, dropped);
            }
            let document = match self.settled_document(file).await {
                // The text of a file that has gone may still be open: what comes is the disk's.
                Some(_) if plan.before.is_none() => None,
                document => document,
            };
            let goes = plan.after.is_none();
            let as_text = plan.after.as_ref().and_then(FileContent::as_text).is_some();
            let open = document.is_some() && (goes || as_text);
            let mut intents = std::mem::take(&mut dropped);
            intents.extend(plan.landing_intents(open));
            if let Err(error) = self.journal_intents(intents).await {
                return AppliedFile::from_error(Vec::new(), error);
            }
            let version = document.as_ref().map(|(_, document)| document.version);
            let wrote = match document.filter(|_| open) {
                Some((editor, document)) if goes => {
                    self.delete_document(file, &plan, &*editor, document).await
                }
                Some((editor, document)) => {
                    self.edit_document(file, &plan, &*editor, document).await
                }
                None => self.write_disk(file, &plan).await,
            };
            match wrote {
                Ok(WriteOutcome::Landed) => {
                    let facts = plan.facts.clone();
                    return AppliedFile::from_landing(&plan, facts);
                }
                Err(stopped) if stopped.open => {
                    return AppliedFile::from_error(Vec::new(), stopped.error);
                }
                Err(stopped) => {
                    return AppliedFile::from_error(plan.dropped_facts(), stopped.error);
                }
                Ok(WriteOutcome::Moved) => dropped = plan.dropped_facts(),
            }
            if Instant::now() >= deadline {
                return AppliedFile::from_error(
                    dropped,
                    keeps_changing_error(&file.entry.file.path),
                );
            }
            self.next_change(file, version).await;
        }
    }

    /// Waits until another try makes sense. The moment right after a change is the best one: the
    /// next change is as far away as it gets.
    async fn next_change(&self, file: &FileDecision<'_>, tried: Option<i32>) {
        match (self.settled_document(file).await, tried) {
            (Some((_, document)), Some(version)) if document.version != version => {}
            (Some((editor, document)), _) => {
                let changed = editor.changed(&document.path, document.version, NEXT_CHANGE);
                let _ = changed.await;
            }
            // Nothing tells of changes to a file on disk.
            (None, _) => tokio::time::sleep(NEXT_LOOK).await,
        }
    }

    /// Has an editor make the change, and compares the resulting text.
    async fn edit_document(
        &self,
        file: &FileDecision<'_>,
        plan: &FileLanding,
        editor: &dyn Editor,
        document: OpenDocument,
    ) -> Result<WriteOutcome, WriteStop> {
        let path = &file.entry.file.path;
        let (before, after) = (plan.before.as_ref(), plan.after.as_ref());
        let text = String::from(&document.text);
        if before.is_none_or(|before| *before.bytes != *text.as_bytes()) {
            return Ok(WriteOutcome::Moved);
        }
        let mode = after.map(|content| content.mode).unwrap_or_default();
        if before.is_some_and(|before| before.mode != mode) {
            self.set_mode(path, mode).await?;
        }
        let edit = DocumentEdit {
            after: after
                .and_then(FileContent::as_text)
                .unwrap_or_default()
                .to_owned(),
            label: format!("ClaudeCluster {}: {path}", self.goal.id),
            document,
        };
        let (observed, error) = match editor.edit(edit).await {
            Ok(observed) => (Some(String::from(&observed.text)), None),
            Err(EditError::Stale) => return Ok(WriteOutcome::Moved),
            // Whatever the editor says, or does not: what counts is what is there now.
            Err(error) => (None, Some(error)),
        };
        let observed = match observed {
            Some(text) => Some(text_content(text, mode)),
            None => self
                .settled_text(file)
                .await
                .map_err(|error| WriteStop { error, open: true })?,
        };
        let there = observed.is_some_and(|observed| verdict::has_change(before, after, &observed));
        match error {
            _ if there => Ok(WriteOutcome::Landed),
            None | Some(EditError::Stale | EditError::Closed) => Ok(WriteOutcome::Moved),
            Some(error) => Err(WriteStop {
                open: matches!(error, EditError::Unconfirmed),
                error: ErrorBody::environment(format!("{path}: {error}"))
                    .with_hint("accept it again once the editor responds"),
            }),
        }
    }

    /// Has an editor delete a file that it has open: only there can unsaved text be closed.
    ///
    /// Nothing compares the text once more, as on disk. So the deleted text must be known: that of
    /// the buffer, which the journal has by now, and on disk that one or another that the journal
    /// has.
    async fn delete_document(
        &self,
        file: &FileDecision<'_>,
        plan: &FileLanding,
        editor: &dyn Editor,
        document: OpenDocument,
    ) -> Result<WriteOutcome, WriteStop> {
        let path = &file.entry.file.path;
        let closed = |error| WriteStop { error, open: false };
        let text = String::from(&document.text);
        let Some(before) =
            (plan.before.as_ref()).filter(|before| *before.bytes == *text.as_bytes())
        else {
            return Ok(WriteOutcome::Moved);
        };
        let Some(saved) = self.on_disk(path).await.map_err(closed)? else {
            // There is nothing to delete. What the editor shows stays there, and is nobody's file.
            return Ok(WriteOutcome::Landed);
        };
        let same = saved.bytes == before.bytes;
        if !editor.deletes() && same {
            return self.write_disk(file, plan).await;
        }
        if !editor.deletes() {
            let error = ErrorBody::environment(format!(
                "{path} has unsaved text, and its editor cannot delete files"
            ));
            return Err(closed(
                error.with_hint("save or close the file in the editor, then try again"),
            ));
        }
        if !same && !is_in_the_journal(file.entry, &saved) {
            let error = ErrorBody::stale(format!(
                "{path} differs on disk from the text in the editor"
            ));
            return Err(closed(error.with_hint(
                "save or reload the file in the editor, then try again",
            )));
        }
        let deletion = DocumentDeletion {
            label: format!("ClaudeCluster {}: {path}", self.goal.id),
            document,
        };
        let (last, error) = match editor.delete(deletion).await {
            Ok(last) => (Some(String::from(&last.text)), None),
            Err(EditError::Stale) => return Ok(WriteOutcome::Moved),
            Err(error) => (None, Some(error)),
        };
        let gone = self.on_disk(path).await;
        let gone = gone.map_err(|error| WriteStop { error, open: true })?;
        let typed = last.filter(|last| *last.as_bytes() != *before.bytes);
        match (gone, typed, error) {
            (None, None, _) => Ok(WriteOutcome::Landed),
            (None, Some(typed), _) => {
                // Typed in the very moment: it is the file, and what becomes of it is decided anew.
                let typed = before.with_text(typed);
                self.replace_file(path, None, Some(typed))
                    .await
                    .map(|_| WriteOutcome::Moved)
            }
            (Some(_), _, None | Some(EditError::Stale | EditError::Closed)) => {
                Ok(WriteOutcome::Moved)
            }
            (Some(_), _, Some(error)) => Err(WriteStop {
                open: matches!(error, EditError::Unconfirmed),
                error: ErrorBody::environment(format!("{path}: {error}"))
                    .with_hint("try again once the editor responds"),
            }),
        }
    }

    async fn on_disk(&self, path: &RelPath) -> Result<Option<FileContent>, ErrorBody> {
        let (root, path) = (self.root.clone(), path.clone());
        read_workspace("reading a file", move || {
            let read = disk::read_file(&root, &path).map_err(|error| write_error(&path, &error))?;
            Ok(read.map(|(content, _)| content))
        })
        .await
    }

    async fn settled_text(
        &self,
        file: &FileDecision<'_>,
    ) -> Result<Option<FileContent>, ErrorBody> {
        let _ = self.settled_document(file).await;
        let (editors, root) = (self.editors.clone(), self.root.clone());
        let path = file.entry.file.path.clone();
        read_workspace("reading a file", move || {
            editors.current_content(&root, &path)
        })
        .await
    }

    /// Sets the mode of a file whose text the editor saves.
    async fn set_mode(&self, path: &RelPath, mode: FileMode) -> Result<(), WriteStop> {
        let (root, path) = (self.root.clone(), path.clone());
        let set = run_blocking("changing a file's mode", move || {
            disk::set_mode(&root, &path, mode).map_err(|error| write_error(&path, &error))
        });
        set.await.map_err(|error| WriteStop { error, open: false })
    }

    async fn write_disk(
        &self,
        file: &FileDecision<'_>,
        plan: &FileLanding,
    ) -> Result<WriteOutcome, WriteStop> {
        let (before, after) = (plan.before.clone(), plan.after.clone());
        self.replace_file(&file.entry.file.path, before, after)
            .await
    }

    async fn replace_file(
        &self,
        path: &RelPath,
        before: Option<FileContent>,
        after: Option<FileContent>,
    ) -> Result<WriteOutcome, WriteStop> {
        let (root, path) = (self.root.clone(), path.clone());
        let written = run_blocking("writing a file", move || {
            match disk::replace_file(&root, &path, before.as_ref(), after.as_ref()) {
                Ok(()) => Ok(WriteOutcome::Landed),
                Err(WriteError::Changed) => Ok(WriteOutcome::Moved),
                Err(error) => Err(write_error(&path, &error)),
            }
        });
        written
            .await
            .map_err(|error| WriteStop { error, open: false })
    }

    /// Waits for the text of a client that made the edit itself. If it does not come, the hunk
    /// lands like any other.
    async fn await_client_edit(&self, file: &FileDecision<'_>) -> Result<(), ErrorBody> {
        let Some((editor, mut document)) = self.settled_document(file).await else {
            return Ok(());
        };
        let deadline = Instant::now() + OBSERVE.to_duration();
        loop {
            let plan = self.plan_file(file).await?;
            let left = deadline.saturating_duration_since(Instant::now());
            if plan.facts.is_empty() || plan.present || left.is_zero() {
                return Ok(());
            }
            let left = Span(u64::try_from(left.as_millis()).unwrap_or(0));
            match editor.changed(&document.path, document.version, left).await {
                Some(next) => document = next,
                None => return Ok(()),
            }
        }
    }
}

impl AppliedFile {
    /// Returns whether a landing was begun and did not happen.
    fn is_dropped(&self) -> bool {
        let dropped = |fact: &EventBody| matches!(fact, EventBody::LandingDropped { .. });
        self.facts.iter().any(dropped)
    }
}

/// Returns whether the ledger of the entry has a text, so that it can be restored.
fn is_in_the_journal(entry: &FileEntry, content: &FileContent) -> bool {
    let id = blob_id(&content.bytes);
    let pair = [&entry.file.base, &entry.file.proposed];
    let pair = pair.into_iter().flatten().map(|version| &version.blob);
    let landed = entry.ledger.iter().filter_map(|made| made.landed.as_ref());
    let landed = landed.flat_map(|landed| [&landed.before, &landed.after]);
    pair.chain(landed.flatten()).any(|blob| *blob == id)
}

fn keeps_changing_error(path: &RelPath) -> ErrorBody {
    ErrorBody::stale(format!(
        "{path} keeps changing while changes are applied to it"
    ))
    .with_hint("accept them again once the file stops changing")
}

fn write_error(path: &RelPath, error: &WriteError) -> ErrorBody {
    let hint = match error {
        WriteError::Outside | WriteError::LinkOutside => "this change cannot be applied; reject it",
        WriteError::Changed | WriteError::Apart => {
            "accept it again to merge it with the current text"
        }
        WriteError::NoFile(_) | WriteError::TooLarge => {
            "move that away, then accept the change again"
        }
        WriteError::Linked => "accept the change of the link first, or put the folder back",
        WriteError::Together(_) => "accept both again once that can be written",
        WriteError::Io(_) => "check permissions and free space, then accept it again",
    };
    ErrorBody::environment(format!("cannot write {path}: {error}")).with_hint(hint)
}
