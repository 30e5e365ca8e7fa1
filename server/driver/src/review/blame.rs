//! Origins of lines: the goal, task and attempt that wrote them, and the reason.

use std::{
    collections::HashMap,
    ops::Range,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use claudecluster_core::{
    review::{HunkKey, HunkRewrite, surviving_lines},
    state::{FileEntry, Goal},
};
use claudecluster_protocol::{
    ErrorBody, GoalId, HunkId, RelPath, Timestamp,
    change::{HunkStatus, HunkView, Provenance},
};
use claudecluster_store::blob_id;

use crate::{
    published::PublishedGoals,
    review::{provenance::entry_provenance, verdict::revert::PastMove},
    workspace::{content_store::ContentStore, text_source::TextSource},
};

/// Bytes of text of landings kept in memory. Past that, all of it is computed anew.
const KEPT_BYTES: usize = 64 << 20;

/// Finds the lines that landings wrote, and caches the text of each landing: editors ask on every
/// cursor move.
pub(crate) struct BlameCache {
    contents: ContentStore,
    goals: PublishedGoals,
    kept: Mutex<BlamedMoves>,
}

#[derive(Default)]
struct BlamedMoves {
    by_move: HashMap<MoveKey, Arc<BlamedMove>>,
    bytes: usize,
}

/// Identity of one move of one entry.
#[derive(Clone, PartialEq, Eq, Hash)]
struct MoveKey {
    goal: GoalId,
    path: RelPath,
    entry: u32,
    index: usize,
}

/// The text that one landing wrote.
struct BlamedMove {
    /// Hunks that are not undone. If another one is undone, the entry is stale.
    standing: Vec<HunkId>,
    written: HunkRewrite,
    hunks: Vec<LandedHunk>,
    /// Lines of the landing in the text that was looked at last, by that text's hash.
    found: Mutex<Option<(blake3::Hash, HunkRanges)>>,
}

/// Line ranges in a text, each with the index of its hunk in the landing.
type HunkRanges = Arc<[(usize, Range<u32>)]>;

struct LandedHunk {
    key: HunkKey,
    id: HunkId,
    makers: Vec<Provenance>,
}

/// Lines of a text that a landing wrote.
pub(crate) struct LandedLines {
    pub(crate) goal: Arc<Goal>,
    pub(crate) hunk: HunkId,
    pub(crate) makers: Vec<Provenance>,
    pub(crate) lines: Range<u32>,
    pub(crate) at: Timestamp,
}

/// Names the competing task of an alternative whose rival has not landed. The current text is then
/// what both tasks started from, and nobody's side.
fn name_rivals(hunks: &mut [(u32, HunkView)]) {
    for at in 0..hunks.len() {
        let (entry, hunk) = &hunks[at];
        let meets = |(other, rival): &&(u32, HunkView)| {
            let touch = rival.start_line <= hunk.end_line && hunk.start_line <= rival.end_line;
            other < entry
                && rival.id.goal() == hunk.id.goal()
                && (touch || rival.whole || hunk.whole)
        };
        let rivals: Vec<&(u32, HunkView)> = hunks.iter().filter(meets).collect();
        // What came first stands in the way; the other alternatives stand beside.
        let first = || rivals.iter().filter(|(other, _)| *other == 0);
        let untouched =
            |rival: &HunkView| rival.status == HunkStatus::Clean && rival.merged.is_none();
        if first().next().is_none() || !first().all(|(_, rival)| untouched(rival)) {
            continue;
        }
        let mut makers: Vec<Provenance> = Vec::new();
        for by in rivals.iter().flat_map(|(_, rival)| &rival.provenance) {
            if !makers.contains(by) {
                makers.push(by.clone());
            }
        }
        let hunk = &mut hunks[at].1;
        hunk.mine_by = makers;
        hunk.mine_pending = true;
        if let Some(conflict) = &mut hunk.conflict {
            // An alternative begins where the first one ends, and what is there is where both began.
            std::mem::swap(&mut conflict.base, &mut conflict.mine);
        }
    }
}

impl BlameCache {
    /// Returns an empty cache for the landings of `goals`.
    pub(crate) fn new(contents: ContentStore, goals: PublishedGoals) -> Self {
        Self {
            contents,
            goals,
            kept: Mutex::default(),
        }
    }

    /// Names the tasks that wrote the other side of each conflict in a file. Each hunk comes with
    /// the number of its entry; `current` is `None` if there is no such file.
    pub(crate) fn name_sides(
        &self,
        path: &Path,
        current: Option<TextSource<'_>>,
        hunks: &mut [(u32, HunkView)],
    ) {
        let conflicts = |hunk: &HunkView| hunk.status == HunkStatus::Conflict;
        if !hunks.iter().any(|(_, hunk)| conflicts(hunk)) {
            return;
        }
        let text = current.map(|current| current.whole());
        let written = match &text {
            Some(text) => self.landed_lines(path, text),
            None => Vec::new(),
        };
        for (_, hunk) in hunks.iter_mut().filter(|(_, hunk)| conflicts(hunk)) {
            if hunk.whole {
                hunk.mine_by = self.authors_of_whole(path, text.as_deref());
                continue;
            }
            for landed in &written {
                let lines = &landed.lines;
                if lines.start >= hunk.end_line || hunk.start_line >= lines.end {
                    continue;
                }
                for by in &landed.makers {
                    if !hunk.mine_by.contains(by) {
                        hunk.mine_by.push(by.clone());
                    }
                }
            }
        }
        name_rivals(hunks);
    }

    /// Returns the tasks whose landing left a file exactly as it is.
    fn authors_of_whole(&self, path: &Path, current: Option<&str>) -> Vec<Provenance> {
        let now = current.map(|text| blob_id(text.as_bytes()));
        let state = self.goals.state();
        let mut last: Option<(u64, &FileEntry, &Goal)> = None;
        for goal in state.goals.values() {
            let Ok(relative) = path.strip_prefix(&goal.spec.workspace) else {
                continue;
            };
            let here = |entry: &&FileEntry| entry.file.path.to_path_buf() == relative;
            for entry in goal.files.iter().filter(here) {
                for made in &entry.ledger {
                    let stands = made.is_landing() && made.hunks_in_effect().next().is_some();
                    let left = made
                        .landed
                        .as_ref()
                        .is_some_and(|landed| landed.after == now);
                    if stands && left && last.is_none_or(|(order, ..)| order < made.order) {
                        last = Some((made.order, entry, goal));
                    }
                }
            }
        }
        last.map_or_else(Vec::new, |(_, entry, goal)| entry_provenance(goal, entry))
    }

    /// Returns the lines of a text that landings of any goal wrote and that are still there.
    pub(crate) fn landed_lines(&self, path: &Path, current: &str) -> Vec<LandedLines> {
        let state = self.goals.state();
        let mut found = Vec::new();
        let mut hash = None;
        for goal in state.goals.values() {
            let relative = path.strip_prefix(&goal.spec.workspace).ok();
            let Some(relative) = relative.and_then(|path| RelPath::from_path(path).ok()) else {
                continue;
            };
            for entry in goal.files.iter().filter(|file| file.file.path == relative) {
                for (index, made) in entry.ledger.iter().enumerate() {
                    if !made.is_landing() || made.hunks_in_effect().next().is_none() {
                        continue;
                    }
                    let landing = match self.blamed_move(goal, entry, index) {
                        Ok(Some(landing)) => landing,
                        Ok(None) => continue,
                        Err(error) => {
                            tracing::warn!(goal = %goal.id, path = %relative, %error, "cannot determine the origins of lines");
                            continue;
                        }
                    };
                    let hash = *hash.get_or_insert_with(|| blake3::hash(current.as_bytes()));
                    for (hunk, lines) in landing.find_lines(current, hash).iter() {
                        let hunk = &landing.hunks[*hunk];
                        found.push(LandedLines {
                            goal: goal.clone(),
                            hunk: hunk.id.clone(),
                            makers: hunk.makers.clone(),
                            lines: lines.clone(),
                            at: made.at,
                        });
                    }
                }
            }
        }
        found
    }

    fn blamed_move(
        &self,
        goal: &Goal,
        entry: &FileEntry,
        index: usize,
    ) -> Result<Option<Arc<BlamedMove>>, ErrorBody> {
        let place = MoveKey {
            goal: goal.id.clone(),
            path: entry.file.path.clone(),
            entry: entry.file.entry,
            index,
        };
        let standing: Vec<HunkId> = entry.ledger[index].hunks_in_effect().cloned().collect();
        {
            let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            let known = kept.by_move.get(&place);
            if let Some(known) = known.filter(|known| known.standing == standing) {
                return Ok(Some(known.clone()));
            }
        }
        let past = PastMove::load_move(&self.contents, goal, entry, index)?;
        let Some((written, keys)) = past.written_lines(&standing) else {
            return Ok(None);
        };
        let hunks = keys.into_iter().map(|(key, id)| LandedHunk {
            key,
            makers: past.hunk_authors(&id).to_vec(),
            id,
        });
        let landing = Arc::new(BlamedMove {
            hunks: hunks.collect(),
            standing,
            written,
            found: Mutex::default(),
        });
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.bytes + landing.size_in_bytes() > KEPT_BYTES {
            *kept = BlamedMoves::default();
        }
        kept.bytes += landing.size_in_bytes();
        if let Some(old) = kept.by_move.insert(place, landing.clone()) {
            kept.bytes -= old.size_in_bytes();
        }
        Ok(Some(landing))
    }

    /// Nobody looks at this goal's files any more.
    pub(crate) fn forget_goal(&self, goal: &GoalId) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.by_move.retain(|place, _| place.goal != *goal);
        kept.bytes = kept
            .by_move
            .values()
            .map(|landing| landing.size_in_bytes())
            .sum();
    }
}

impl BlamedMove {
    fn size_in_bytes(&self) -> usize {
        self.written.old_text().len() + self.written.new_text().len()
    }

    /// Returns the lines of a text that the landing wrote, by hunk.
    fn find_lines(&self, current: &str, hash: blake3::Hash) -> HunkRanges {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, lines)) = &*found
            && *of == hash
        {
            return lines.clone();
        }
        let there = surviving_lines(&self.written, current).into_iter();
        let lines = there.filter_map(|(key, lines)| {
            let hunk = self.hunks.iter().position(|hunk| hunk.key == key)?;
            Some((hunk, lines))
        });
        let lines: HunkRanges = lines.collect();
        *found = Some((hash, lines.clone()));
        lines
    }
}
