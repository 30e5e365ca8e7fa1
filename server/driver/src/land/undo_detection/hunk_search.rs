//! Search for undone and redone hunks by their places in the text, whatever else has changed:
//! several steps undone at once with typing between them, or a file reloaded without being saved.

use std::{path::Path, time::Duration};

use claudecluster_protocol::{ErrorBody, HunkId, Span, change::FileVersion, event::Verdict};
use claudecluster_store::blob_id;
use claudecluster_worker::changes::FileContent;

use super::{ChangedLines, DetectedUndo, LandedMove, ObservedFiles, reverse_landing};
use crate::{
    review::{
        verdict::revert::{PastMove, RevertStep},
        versions::FileVersions,
    },
    workspace::{
        content_store::ContentStore, content_text::ContentText, editor::EditedLines, typing,
    },
};

/// The current file, and its last known text.
pub(super) struct UndoScan<'a> {
    pub(super) contents: &'a ContentStore,
    pub(super) observed: &'a ObservedFiles,
    pub(super) typing_pause: Span,
    pub(super) path: &'a Path,
    /// Current content.
    pub(super) current: &'a FileContent,
    /// FileContent at the last look, if known.
    pub(super) last: Option<&'a FileContent>,
    /// Whether an editor has it open.
    pub(super) open: bool,
    /// Lines in which somebody types.
    pub(super) edited: Option<&'a EditedLines>,
}

/// The result of a search.
pub(super) enum UndoScanResult<'a> {
    /// Undone and redone hunks.
    Now(Vec<DetectedUndo<'a>>),
    /// Somebody types where a hunk was: the search can be repeated after this time at the earliest.
    Later(Duration),
}

/// Searches the hunks of all moves. A hunk that a decision took out or put in is not the editor's.
pub(super) fn search_hunks<'a>(
    look: &UndoScan<'_>,
    history: &[LandedMove<'a>],
) -> Result<UndoScanResult<'a>, ErrorBody> {
    let Some(now) = look.current.as_text() else {
        return Ok(UndoScanResult::Now(Vec::new()));
    };
    let last = look.last.and_then(FileContent::as_text);
    let changed = last.map(|last| ChangedLines::new(last, now));
    let changed = changed.as_ref();
    let mut seen = Vec::new();
    for (at, moved) in history.iter().enumerate().rev() {
        let standing: Vec<HunkId> = moved.ledger_move().hunks_in_effect().cloned().collect();
        if !moved.ledger_move().is_landing()
            || standing.is_empty()
            || !look.can_have_changed(moved, changed)?
        {
            continue;
        }
        let past = PastMove::load_move(look.contents, moved.goal, moved.entry, moved.index)?;
        let pair = FileVersions::load(look.contents, moved.entry, None)?;
        let mut hunks = Vec::new();
        for (id, lines) in past.taken_out(&standing, &pair, now) {
            let out = |text: &str| {
                let out = past.taken_out(&standing, &pair, text);
                out.iter().any(|(other, _)| *other == id)
            };
            if !look.by_nobody_else(&history[at + 1..], out)? {
                continue;
            }
            if let Some(left) = look.typed_in(&lines) {
                return Ok(UndoScanResult::Later(left));
            }
            hunks.push(id);
        }
        let reason = if look.open {
            "undone in the editor"
        } else {
            "discarded when the editor closed the file"
        };
        seen.push(look.detected_undo(moved, None, hunks, reason));
    }
    for (at, moved) in history.iter().enumerate().rev() {
        let undone = moved.entry.undone_by(moved.index);
        let (Verdict::Undo, Some(_), false) = (
            moved.ledger_move().verdict,
            moved.entry.takes_back(moved.index),
            undone.is_empty(),
        ) else {
            continue;
        };
        if !look.can_have_changed(moved, changed)? {
            continue;
        }
        let step = redo_step(look.contents, moved, &undone)?;
        let mut hunks = Vec::new();
        for id in step.present_hunks_in(&undone, now) {
            let one = std::slice::from_ref(&id);
            let there = |text: &str| !step.present_hunks_in(one, text).is_empty();
            if look.by_nobody_else(&history[at + 1..], there)? {
                hunks.push(id);
            }
        }
        let reason = if look.open {
            "redone in the editor"
        } else {
            "restored when the editor closed the file"
        };
        seen.push(look.detected_undo(moved, Some(moved.index), hunks, reason));
    }
    seen.retain(|one| !one.hunks.is_empty());
    Ok(UndoScanResult::Now(seen))
}

fn redo_step(
    contents: &ContentStore,
    undo: &LandedMove<'_>,
    hunks: &[HunkId],
) -> Result<RevertStep, ErrorBody> {
    let of = undo.entry.takes_back(undo.index).unwrap_or(undo.index);
    PastMove::load_move(contents, undo.goal, undo.entry, of)?
        .redo_step(contents, undo.goal, undo.index, hunks)
}

impl UndoScan<'_> {
    /// Returns whether the effect of a move can have changed since the file was looked at last.
    fn can_have_changed(
        &self,
        moved: &LandedMove<'_>,
        changed: Option<&ChangedLines<'_>>,
    ) -> Result<bool, ErrorBody> {
        let Some(changed) = changed else {
            return Ok(true);
        };
        let trace = self
            .observed
            .move_trace(self.contents, self.path, moved.landed)?;
        Ok(trace.is_none_or(|trace| changed.touch_move(&trace)))
    }

    /// Returns whether `is_so` became true between moves, and not by one. `later` are the moves
    /// since.
    fn by_nobody_else(
        &self,
        later: &[LandedMove<'_>],
        is_so: impl Fn(&str) -> bool,
    ) -> Result<bool, ErrorBody> {
        let was_so = |version: Option<FileVersion>| {
            let content = self.contents.load_optional(version.as_ref())?;
            Ok::<_, ErrorBody>(content.as_ref().and_then(FileContent::as_text).map(&is_so))
        };
        for moved in later.iter().rev() {
            match was_so(moved.landed.version_after())? {
                Some(true) => {}
                Some(false) => return Ok(true),
                // There was no text to be in.
                None => return Ok(false),
            }
            if was_so(moved.landed.version_before())? != Some(true) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Returns how long the developer types in some of the lines, if so: deleted text may be about
    /// to be put in elsewhere, or written anew.
    fn typed_in(&self, lines: &[std::ops::Range<u32>]) -> Option<Duration> {
        let edited = self.edited?;
        let meets = lines.iter().any(|lines| typing::meet(&edited.lines, lines));
        typing::remaining_pause(edited, self.typing_pause).filter(|_| meets)
    }

    fn detected_undo<'a>(
        &self,
        moved: &LandedMove<'a>,
        undo: Option<usize>,
        hunks: Vec<HunkId>,
        reason: &'static str,
    ) -> DetectedUndo<'a> {
        let mut landed = reverse_landing(moved.landed);
        landed.after = Some(blob_id(&self.current.bytes));
        landed.mode_after = self.current.mode;
        if let Some(last) = self.last.filter(|last| last.bytes != self.current.bytes) {
            landed.before = Some(blob_id(&last.bytes));
            landed.mode_before = last.mode;
        }
        let of = undo.and_then(|undo| moved.entry.takes_back(undo));
        DetectedUndo {
            goal: moved.goal,
            entry: moved.entry,
            index: of.unwrap_or(moved.index),
            undo,
            hunks,
            landed,
            reason,
        }
    }
}
