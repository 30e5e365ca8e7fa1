//! Plans of single files: computed on a thread that may block, and again if the text moves before
//! the plan is carried out.

use std::{path::PathBuf, sync::Arc};

use claudecluster_core::{
    review::FileReview,
    state::{FileEntry, Goal},
};
use claudecluster_protocol::{
    ErrorBody, EventBody, RelPath, Span, api::Decision, change::FileVersion, event::Verdict,
    landed::LandedContent,
};
use claudecluster_worker::changes::FileContent;

use super::file_decision::FileDecision;
use crate::{
    mailbox::DispatcherMailbox,
    review::{
        hunk_part::HunkPart,
        pending,
        reader::PendingReader,
        verdict::{self, EntryVerdicts},
        versions::FileVersions,
    },
    workspace::{content_store::ContentStore, disk, editor_registry::EditorRegistry, typing},
};

/// Parts and inputs of the landing of one decision, the same for all of its files.
#[derive(Clone)]
pub(super) struct LandingContext {
    pub(super) editors: EditorRegistry,
    pub(super) pending: PendingReader,
    pub(super) mailbox: DispatcherMailbox,
    pub(super) goal: Arc<Goal>,
    pub(super) root: PathBuf,
    pub(super) typing_pause: Span,
}

/// The planned landing in one file.
#[derive(Clone, Debug, Default)]
pub(super) struct FileLanding {
    /// Expected content of the file.
    pub(super) before: Option<FileContent>,
    /// New content of the file.
    pub(super) after: Option<FileContent>,
    /// Facts to journal once the file has the new content.
    pub(super) facts: Vec<EventBody>,
    /// Whether the text has all of it already.
    pub(super) present: bool,
    /// Hunks left because they conflict.
    pub(super) conflicts: u32,
    /// Hunks left because they need an explicit look.
    pub(super) held: u32,
    /// Hunks left because somebody types there.
    pub(super) waiting: u32,
}

impl FileLanding {
    /// Plans the landing in a file as it is now.
    pub(super) fn new(
        context: &LandingContext,
        file: &FileDecision<'_>,
    ) -> Result<Self, ErrorBody> {
        let (entry, decision) = (file.entry, &file.decision);
        let reviews = context.pending.reviews();
        let mut current = context
            .editors
            .current_content(&context.root, &entry.file.path)?;
        // The text of a file that a landing deleted may still be open somewhere. Taking that back is about
        // the file.
        let back = matches!(decision.verdict, Verdict::Undo | Verdict::Redo);
        if back && is_deleted(entry) && disk::is_gone(&context.root, &entry.file.path)? {
            current = None;
        }
        let mut versions = FileVersions::load(reviews.contents(), entry, current)?;
        // Whoever names a hunk or a file wants it now, also where they type; and whoever takes something
        // back has looked at it.
        let all = decision.hunk_id.is_none() && decision.path.is_none();
        if all && decision.verdict == Verdict::Accept {
            let path = context.root.join(entry.file.path.to_path_buf());
            versions.typed = typing::typed_lines(&context.editors, &path, context.typing_pause);
        }
        let start = match before_client(context, file, &versions)? {
            Some(before) => before,
            None => versions.clone(),
        };
        let verdicts =
            verdict::verdict_fn(decision.verdict)(reviews, &context.goal, entry, &start, decision)?;
        let mut plan = Self {
            after: versions.current.clone(),
            conflicts: verdicts.conflicts,
            held: verdicts.held,
            waiting: verdicts.waiting,
            ..Self::default()
        };
        let Some(target) = verdicts.final_change() else {
            plan.before = versions.current;
            return Ok(plan);
        };
        plan.present = verdict::has_landed(&versions, &target.parts);
        plan.after.clone_from(&target.current);
        plan.facts = move_facts(
            reviews.contents(),
            &entry.file.path,
            decision,
            &start,
            &verdicts,
        )?;
        plan.before = versions.current;
        Ok(plan)
    }

    /// Returns whether the file has to change.
    pub(super) fn touches_the_file(&self) -> bool {
        self.before != self.after
    }

    /// Returns the intents to journal before the file is touched.
    pub(super) fn landing_intents(&self, open: bool) -> impl Iterator<Item = EventBody> {
        self.facts
            .iter()
            .filter_map(move |fact| intent_of(fact, open))
    }

    /// Returns the facts to journal if the landing did not happen.
    pub(super) fn dropped_facts(&self) -> Vec<EventBody> {
        let mut dropped: Vec<EventBody> = Vec::new();
        for intent in self.landing_intents(false) {
            if let EventBody::LandingBegun { path, entry, .. } = intent {
                let fact = EventBody::LandingDropped { path, entry };
                if !dropped.contains(&fact) {
                    dropped.push(fact);
                }
            }
        }
        dropped
    }
}

/// Returns the versions before a client carried an accept out by itself, if the text shows that it
/// has.
///
/// The landing is then from that text to the current one, like any other: it can be undone, and is
/// followed in the editor.
fn before_client(
    context: &LandingContext,
    file: &FileDecision<'_>,
    versions: &FileVersions,
) -> Result<Option<FileVersions>, ErrorBody> {
    let Some(id) = file
        .decision
        .hunk_id
        .as_ref()
        .filter(|_| file.decision.applied)
    else {
        return Ok(None);
    };
    let found = pending::pending_hunks(
        context.pending.reviews(),
        &context.goal,
        file.entry,
        versions,
    )?;
    let part = found
        .iter()
        .find(|hunk| hunk.present && hunk.view.id == *id)
        .map(|hunk| hunk.part);
    let (Some(HunkPart::Lines(key)), Some((base, current, proposed))) = (part, versions.texts())
    else {
        return Ok(None);
    };
    let before = FileReview::new(base, current, proposed).text_before(&[key]);
    Ok(before.map(|text| {
        let mut versions = versions.clone();
        if let Some(current) = &mut versions.current {
            current.bytes = text.into_bytes().into();
        }
        versions
    }))
}

/// Returns the moves of a decision as facts, each from the text that the one before it leaves.
///
/// The text after a landing is the computed one. Text typed in the same moment is not part of it,
/// so that an undo keeps it.
fn move_facts(
    contents: &ContentStore,
    path: &RelPath,
    decision: &Decision,
    versions: &FileVersions,
    verdicts: &EntryVerdicts,
) -> Result<Vec<EventBody>, ErrorBody> {
    let version = |content: &Option<FileContent>| contents.save_optional(content.as_ref());
    let mode = |version: &Option<FileVersion>| version.as_ref().map(|v| v.mode).unwrap_or_default();
    let mut before = version(&versions.current)?;
    let mut facts = Vec::new();
    for change in &verdicts.changes {
        let after = version(&change.current)?;
        let landed = LandedContent {
            mode_before: mode(&before),
            mode_after: mode(&after),
            before: before.map(|version| version.blob),
            after: after.clone().map(|version| version.blob),
        };
        before = after;
        facts.push(EventBody::Reviewed {
            path: path.clone(),
            entry: change.entry,
            verdict: change.verdict,
            hunks: change.hunks.clone(),
            base: version(&change.base)?,
            proposed: version(&change.proposed)?,
            landed: (change.verdict != Verdict::Reject).then_some(landed),
            reason: decision.reason.clone(),
            of: change.of,
            decision: None,
        });
    }
    Ok(facts)
}

/// Returns whether the last landing of an entry deleted the file.
fn is_deleted(entry: &FileEntry) -> bool {
    let last = entry
        .ledger
        .iter()
        .rev()
        .find_map(|made| made.landed.as_ref());
    last.is_some_and(|landed| landed.after.is_none())
}

fn intent_of(fact: &EventBody, open: bool) -> Option<EventBody> {
    let EventBody::Reviewed {
        path,
        entry,
        verdict,
        hunks,
        base,
        proposed,
        landed,
        reason,
        of,
        ..
    } = fact
    else {
        return None;
    };
    Some(EventBody::LandingBegun {
        path: path.clone(),
        entry: *entry,
        verdict: *verdict,
        hunks: hunks.clone(),
        base: base.clone(),
        proposed: proposed.clone(),
        landed: landed.clone()?,
        of: *of,
        reason: reason.clone(),
        open,
    })
}
