//! Where a hunk is shown.
//!
//! Merging places every change as low as it can stand, as git does, so that verdicts are git's. An
//! added function then often starts with the comment of the one below it. Hunks that only add or
//! only remove lines are moved up to where people expect them, as `git diff` does it; the text they
//! make is the same.

use std::ops::Range;

use super::{HunkState, ReviewHunk};
use crate::{
    diff::{LineToken, LineVocabulary},
    merge::{MergeRegion, MergeRegionKind},
};

/// Caches the places of hunks. It depends on the proposal and on how much room there is above a
/// hunk, and a keystroke changes that for few.
#[derive(Debug, Default)]
pub(super) struct HunkRaises {
    /// For each hunk the room for which its place is known, and how many lines higher that is.
    known: Vec<Option<(u32, u32)>>,
}

impl HunkRaises {
    fn get_or_find(&mut self, hunk: usize, room: u32, find: impl FnOnce() -> u32) -> u32 {
        if self.known.len() <= hunk {
            self.known.resize(hunk + 1, None);
        }
        match &mut self.known[hunk] {
            Some((known, by)) if *known == room => *by,
            unknown => unknown.insert((room, find())).1,
        }
    }
}

/// Moves each clean hunk to its best place within the unchanged lines above it.
pub(super) fn place_for_reading(
    hunks: &mut [ReviewHunk],
    regions: &[MergeRegion],
    vocabulary: &LineVocabulary,
    base: &[LineToken],
    proposed: &[LineToken],
    raises: &mut HunkRaises,
) {
    for (at, hunk) in hunks.iter_mut().enumerate() {
        if hunk.state != HunkState::Clean {
            continue;
        }
        let (tokens, lines) = match (hunk.base.is_empty(), hunk.proposed.is_empty()) {
            (true, false) => (proposed, &hunk.proposed),
            (false, true) => (base, &hunk.base),
            _ => continue,
        };
        let room = room_above(regions, hunk.region);
        let by = raises.get_or_find(at, room, || vocabulary.best_raise(tokens, lines, room));
        let raise = |range: &mut Range<u32>| {
            range.start = range.start.saturating_sub(by);
            range.end = range.end.saturating_sub(by);
        };
        raise(&mut hunk.base);
        raise(&mut hunk.proposed);
        raise(&mut hunk.current);
    }
}

/// Further than this no hunk is raised, as in git: in a file of equal lines every place is possible,
/// and looking at all of them for every hunk would take longer than a keystroke may.
const MOST_RAISED: u32 = 100;

/// Counts the unchanged lines above a region, less one that keeps the region apart from the change
/// above.
fn room_above(regions: &[MergeRegion], region: usize) -> u32 {
    region
        .checked_sub(1)
        .and_then(|above| regions.get(above))
        .filter(|above| above.kind == MergeRegionKind::Unchanged)
        .map_or(0, |above| (above.base.len() as u32 - 1).min(MOST_RAISED))
}
