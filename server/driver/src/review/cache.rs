//! Reviews of open files, cached between requests: editors ask after every keystroke.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use claudecluster_core::{
    merge::MergeSide,
    review::{
        self, FileReview, HunkAttribution, HunkKey, HunkState, LiveReview, MergedAlternative,
        ReviewHunk, TaskContribution, words,
    },
    state::{FileEntry, Goal, ReviewPair},
};
use claudecluster_protocol::{
    ErrorBody, GoalId, HunkId, RelPath,
    change::{FileVersion, HunkWord, Provenance},
};
use claudecluster_worker::changes::FileContent;

use crate::{
    review::{
        hunk_part::{HunkPart, hunk_id},
        provenance::{entry_provenance, with_summary},
    },
    settings::MergeWords,
    workspace::{
        content_store::ContentStore, content_text::ContentText, disk::FileStamp,
        text_source::TextSource,
    },
};

/// Bytes of memory all kept reviews may take together. What was not looked at for the longest time
/// goes first.
const KEPT_BYTES: usize = 64 << 20;

/// Reviews the entries of proposals, and caches everything that does not depend on the current
/// text.
pub(crate) struct ReviewCache {
    contents: ContentStore,
    merge_words: MergeWords,
    kept: Mutex<KeptReviews>,
    /// How much was left of files on disk when they were last read.
    counted: Mutex<HashMap<EntryKey, CountedEntry>>,
}

/// Numbers of hunks left to decide.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct RemainingHunks {
    pub(crate) clean: u32,
    pub(crate) conflicts: u32,
}

impl RemainingHunks {
    pub(crate) fn count_hunk(&mut self, conflicts: bool) {
        if conflicts {
            self.conflicts += 1;
        } else {
            self.clean += 1;
        }
    }
}

struct CountedEntry {
    pair: ReviewPair,
    stamp: Option<FileStamp>,
    left: RemainingHunks,
}

#[derive(Default)]
struct KeptReviews {
    by_entry: HashMap<EntryKey, KeptReview>,
    bytes: usize,
    /// Counts looks.
    clock: u64,
}

impl EntryKey {
    fn for_entry(goal: &Goal, entry: &FileEntry) -> Self {
        Self {
            goal: goal.id.clone(),
            path: entry.file.path.clone(),
            entry: entry.file.entry,
        }
    }
}

/// Identity of one entry of one goal.
#[derive(Clone, PartialEq, Eq, Hash)]
struct EntryKey {
    goal: GoalId,
    path: RelPath,
    entry: u32,
}

struct KeptReview {
    /// The texts it is the review of. A verdict moves them, and the review with them.
    pair: ReviewPair,
    review: Arc<Mutex<EntryReview>>,
    bytes: usize,
    used: u64,
}

struct EntryReview {
    live: LiveReview,
    known: HashMap<HunkKey, KnownHunk>,
}

/// Data of a hunk that does not depend on the current text.
pub(crate) struct KnownHunk {
    pub(crate) id: HunkId,
    pub(crate) provenance: Vec<Provenance>,
    /// Refined to words, with the lines it was refined from: those shown can move.
    refined: Option<(String, Vec<HunkWord>)>,
    /// The conflict merged by words, with the three texts it was merged from.
    merged: Option<([String; 3], Option<String>)>,
    /// For an alternative: merged by words with the version that it competes with.
    woven: Option<MergedAlternative>,
}

impl KnownHunk {
    fn for_hunk(
        goal: &Goal,
        entry: &FileEntry,
        authors: &HunkAttribution,
        hunk: &ReviewHunk,
    ) -> Self {
        let tasks = authors.authors_of(hunk);
        let provenance = if tasks.is_empty() {
            entry_provenance(goal, entry)
        } else {
            let versions = tasks.into_iter().map(|task| &entry.file.versions[task]);
            versions
                .map(|version| with_summary(goal, &version.by))
                .collect()
        };
        Self {
            id: hunk_id(goal, entry, HunkPart::Lines(hunk.key)),
            provenance,
            refined: None,
            merged: None,
            woven: None,
        }
    }

    /// Returns an alternative merged by words with its rival, if the rival is in the text or the
    /// lines are still as both tasks found them.
    pub(crate) fn merged_alternative(
        &self,
        review: &FileReview<'_>,
        hunk: &ReviewHunk,
    ) -> Option<String> {
        let woven = self.woven.as_ref()?;
        let there = review
            .merge()
            .text_of(&review.decided_region(hunk), MergeSide::Ours);
        let untouched = hunk.state == HunkState::Clean || there == woven.base;
        untouched.then(|| woven.merged.clone())
    }

    /// Returns a conflict merged by words, see [`FileReview::merged_words`].
    pub(crate) fn merged_words(
        &mut self,
        review: &FileReview<'_>,
        hunk: &ReviewHunk,
    ) -> Option<String> {
        if hunk.state != HunkState::Conflict {
            return None;
        }
        let (merge, region) = (review.merge(), review.decided_region(hunk));
        let sides = [MergeSide::Base, MergeSide::Ours, MergeSide::Theirs]
            .map(|side| merge.text_of(&region, side));
        if sides.iter().any(|side| side.len() > words::MOST_MERGED) {
            return None;
        }
        if self.merged.as_ref().is_none_or(|(from, _)| *from != sides) {
            let from = sides.map(str::to_owned);
            self.merged = Some((from, review.merged_words(hunk)));
        }
        self.merged.as_ref()?.1.clone()
    }

    /// Returns a clean hunk refined to words.
    pub(crate) fn refined_words(&mut self, old: &str, new: &str) -> Vec<HunkWord> {
        let same = |(from, _): &&(String, Vec<HunkWord>)| from == old;
        if self.refined.as_ref().filter(same).is_none() {
            self.refined = Some((old.to_owned(), words::refine_to_words(old, new)));
        }
        let refined = self.refined.as_ref();
        refined.map(|(_, words)| words.clone()).unwrap_or_default()
    }
}

impl ReviewCache {
    /// Returns an empty cache of reviews whose texts come from `contents`.
    pub(crate) fn new(contents: ContentStore, merge_words: MergeWords) -> Self {
        Self {
            contents,
            merge_words,
            kept: Mutex::default(),
            counted: Mutex::default(),
        }
    }

    /// Returns the content store that the reviewed texts come from.
    pub(crate) fn contents(&self) -> &ContentStore {
        &self.contents
    }

    /// Returns what happens to lines of which both sides changed different words.
    pub(crate) fn merge_words(&self) -> MergeWords {
        self.merge_words
    }

    /// Runs `ask` on the review of an entry against a text. `None` if base or proposed are not
    /// text.
    pub(crate) fn with_review<R>(
        &self,
        goal: &Goal,
        entry: &FileEntry,
        current: TextSource<'_>,
        ask: impl FnOnce(&FileReview<'_>, &mut HashMap<HunkKey, KnownHunk>) -> R,
    ) -> Result<Option<R>, ErrorBody> {
        let place = EntryKey::for_entry(goal, entry);
        let pair = entry.review_pair();
        let review = match self.find_review(&place, &pair) {
            Some(review) => review,
            None => match EntryReview::new(&self.contents, goal, entry)? {
                Some(review) => Arc::new(Mutex::new(review)),
                None => return Ok(None),
            },
        };
        let (answer, bytes) = {
            let mut reviewed = lock_unpoisoned(&review);
            let EntryReview { live, known } = &mut *reviewed;
            let answer = ask(&current.update(live), known);
            (answer, live.memory_size())
        };
        lock_unpoisoned(&self.kept).keep_review(place, pair, review, bytes);
        Ok(Some(answer))
    }

    fn find_review(&self, place: &EntryKey, pair: &ReviewPair) -> Option<Arc<Mutex<EntryReview>>> {
        let kept = lock_unpoisoned(&self.kept);
        let slot = kept.by_entry.get(place)?;
        (slot.pair == *pair).then(|| slot.review.clone())
    }

    /// Returns whether the review of an entry is at hand and has this hunk.
    pub(crate) fn has_hunk(&self, goal: &Goal, entry: &FileEntry, hunk: &HunkId) -> bool {
        let found = self.find_review(&EntryKey::for_entry(goal, entry), &entry.review_pair());
        found.is_some_and(|review| {
            lock_unpoisoned(&review)
                .known
                .values()
                .any(|known| known.id == *hunk)
        })
    }

    /// Returns the remaining hunks of a file on disk that has not changed since they were counted.
    pub(crate) fn remaining_hunks(
        &self,
        goal: &Goal,
        entry: &FileEntry,
        stamp: Option<FileStamp>,
    ) -> Option<RemainingHunks> {
        let counted = lock_unpoisoned(&self.counted);
        let known = counted.get(&EntryKey::for_entry(goal, entry))?;
        (known.stamp == stamp && known.pair == entry.review_pair()).then_some(known.left)
    }

    /// Stores the result of [`Self::remaining_hunks`]. A file that has changed just now is not
    /// stored: it may change again with the same times.
    pub(crate) fn remember_remaining(
        &self,
        goal: &Goal,
        entry: &FileEntry,
        stamp: Option<FileStamp>,
        left: RemainingHunks,
    ) {
        if stamp.is_some_and(|stamp| !stamp.is_reliable()) {
            return;
        }
        let pair = entry.review_pair();
        lock_unpoisoned(&self.counted).insert(
            EntryKey::for_entry(goal, entry),
            CountedEntry { pair, stamp, left },
        );
    }

    /// Drops everything cached for a goal.
    pub(crate) fn forget_goal(&self, goal: &GoalId) {
        lock_unpoisoned(&self.counted).retain(|place, _| place.goal != *goal);
        let mut kept = lock_unpoisoned(&self.kept);
        kept.by_entry.retain(|place, _| place.goal != *goal);
        kept.bytes = kept.by_entry.values().map(|slot| slot.bytes).sum();
    }
}

impl KeptReviews {
    fn keep_review(
        &mut self,
        place: EntryKey,
        pair: ReviewPair,
        review: Arc<Mutex<EntryReview>>,
        bytes: usize,
    ) {
        self.clock += 1;
        let slot = KeptReview {
            pair,
            review,
            bytes,
            used: self.clock,
        };
        self.bytes += bytes;
        if let Some(old) = self.by_entry.insert(place, slot) {
            self.bytes -= old.bytes;
        }
        // Half goes at once, so that looking at one file more does not look for the oldest each time.
        if self.bytes > KEPT_BYTES {
            self.evict_oldest(KEPT_BYTES / 2);
        }
    }

    fn evict_oldest(&mut self, to: usize) {
        let mut oldest: Vec<(u64, EntryKey)> = self
            .by_entry
            .iter()
            .map(|(place, slot)| (slot.used, place.clone()))
            .collect();
        oldest.sort_by_key(|(used, _)| *used);
        for (_, place) in oldest {
            if self.bytes <= to {
                break;
            }
            if let Some(slot) = self.by_entry.remove(&place) {
                self.bytes -= slot.bytes;
            }
        }
    }
}

impl EntryReview {
    fn new(
        contents: &ContentStore,
        goal: &Goal,
        entry: &FileEntry,
    ) -> Result<Option<Self>, ErrorBody> {
        let base = contents.load_optional(entry.file.base.as_ref())?;
        let proposed = contents.load_optional(entry.file.proposed.as_ref())?;
        let texts = base.as_ref().and_then(FileContent::as_text);
        let Some((base, proposed)) = texts.zip(proposed.as_ref().and_then(FileContent::as_text))
        else {
            return Ok(None);
        };
        let contributions = task_contributions(contents, entry)?;
        let contributions: Vec<TaskContribution<'_>> = contributions
            .iter()
            .map(|(base, text)| TaskContribution { base, text })
            .collect();
        let authors = HunkAttribution::new(base, proposed, &contributions);
        let live = LiveReview::new(base, proposed);
        let mut woven = merged_alternatives(contents, entry, base, proposed)?;
        let known = |hunk: &ReviewHunk| {
            let known = KnownHunk {
                woven: woven.remove(&hunk.key),
                ..KnownHunk::for_hunk(goal, entry, &authors, hunk)
            };
            (hunk.key, known)
        };
        let known = live.review().hunks().iter().map(known).collect();
        Ok(Some(Self { live, known }))
    }
}

/// Merges the hunks of an alternative by words, from the text its task started from.
fn merged_alternatives(
    contents: &ContentStore,
    entry: &FileEntry,
    base: &str,
    proposed: &str,
) -> Result<BTreeMap<HunkKey, MergedAlternative>, ErrorBody> {
    let started = entry
        .file
        .versions
        .last()
        .filter(|_| entry.is_alternative());
    let started = contents.load_optional(started.and_then(|version| version.base.as_ref()))?;
    let started = started.as_ref().and_then(FileContent::as_text);
    Ok(started.map_or_else(BTreeMap::new, |started| {
        review::merge_alternatives(started, base, proposed)
    }))
}

/// Key and authors of each hunk.
pub(crate) type KeyedHunks = HashMap<HunkId, (HunkKey, Vec<Provenance>)>;

/// Returns the hunks of an entry with their keys and authors, whatever the current text; `None` if
/// base or proposed are not text. For past pairs, which nobody looks at again: nothing is cached.
pub(crate) fn hunks_of_pair(
    contents: &ContentStore,
    goal: &Goal,
    entry: &FileEntry,
) -> Result<Option<KeyedHunks>, ErrorBody> {
    let reviewed = EntryReview::new(contents, goal, entry)?;
    let known = reviewed.map(|reviewed| reviewed.known.into_iter());
    Ok(known.map(|known| {
        let hunks = known.map(|(key, known)| (known.id, (key, known.provenance)));
        hunks.collect()
    }))
}

/// Each task's own two texts.
fn task_contributions(
    contents: &ContentStore,
    entry: &FileEntry,
) -> Result<Vec<(String, String)>, ErrorBody> {
    let text = |version: Option<&FileVersion>| {
        let content = contents.load_optional(version)?;
        let text = content
            .as_ref()
            .and_then(FileContent::as_text)
            .unwrap_or_default();
        Ok::<_, ErrorBody>(text.to_owned())
    };
    // With one task there is nothing to tell apart.
    let versions = entry
        .file
        .versions
        .iter()
        .filter(|_| entry.file.versions.len() > 1);
    versions
        .map(|v| Ok((text(v.base.as_ref())?, text(v.proposed.as_ref())?)))
        .collect()
}

fn lock_unpoisoned<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
