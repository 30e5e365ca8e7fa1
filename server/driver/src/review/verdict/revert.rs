//! Undo and redo of ledger moves. The effect of a move is computed from the texts it was made from,
//! hunk by hunk, and merged with the current file; see [`core::review::VerdictEffect`].
//!
//! [`core::review::VerdictEffect`]: claudecluster_core::review::VerdictEffect

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use claudecluster_core::{
    review::{self, FileReview, HunkKey, HunkRewrite, HunkState, ReviewTexts, VerdictEffect},
    state::{FileEntry, Goal, LedgerRecord, ReviewPair},
};
use claudecluster_protocol::{
    ErrorBody, HunkId, TaskId,
    change::{FileVersion, Provenance},
    event::Verdict,
    landed::LandedContent,
};
use claudecluster_worker::changes::FileContent;

use super::{VerdictChange, set_text};
use crate::{
    review::{
        cache::{KeyedHunks, hunks_of_pair},
        hunk_part::{HunkPart, hunk_id},
        provenance::entry_provenance,
        versions::FileVersions,
    },
    workspace::{content_store::ContentStore, content_text::ContentText},
};

/// A past move, with the texts that undoing it needs.
pub(crate) struct PastMove<'a> {
    pub(crate) entry: &'a FileEntry,
    pub(crate) index: usize,
    before: FileVersions,
    after: FileVersions,
    /// Hunks of lines at the time of the move, with their authors.
    hunks: KeyedHunks,
    /// Id of the hunk that is the file's mode.
    mode: HunkId,
    /// Authors of the whole file.
    all: Vec<Provenance>,
}

/// A file in which moves are undone one after the other, with the pairs of its entries.
pub(crate) struct RevertState<'a> {
    contents: &'a ContentStore,
    current: Option<FileContent>,
    pairs: BTreeMap<u32, FileVersions>,
}

/// The change that undoes or redoes hunks of a move.
pub(crate) struct RevertStep {
    /// The change by lines, and the key of each hunk; `None` if the file changes as a whole.
    lines: Option<(VerdictEffect, BTreeMap<HunkId, HunkKey>)>,
    /// The file and the pair before the step if nothing has happened since, and after it.
    from: FileVersions,
    to: FileVersions,
    /// Whether the file changes, or only the pair.
    lands: bool,
}

impl<'a> PastMove<'a> {
    pub(crate) fn load_move(
        contents: &ContentStore,
        goal: &Goal,
        entry: &'a FileEntry,
        index: usize,
    ) -> Result<Self, ErrorBody> {
        let made = &entry.ledger[index];
        let load = |pair: &ReviewPair, current: Option<FileVersion>| {
            let current = if made.landed.is_some() {
                current
            } else {
                made.before.base.clone()
            };
            Ok::<_, ErrorBody>(FileVersions {
                base: contents.load_optional(pair.base.as_ref())?,
                current: contents.load_optional(current.as_ref())?,
                proposed: contents.load_optional(pair.proposed.as_ref())?,
                typed: None,
            })
        };
        let landed = made.landed.as_ref();
        let before = load(&made.before, landed.and_then(LandedContent::version_before))?;
        let after = load(&made.after, landed.and_then(LandedContent::version_after))?;
        let mut then = entry.clone();
        then.file.base.clone_from(&made.before.base);
        then.file.proposed.clone_from(&made.before.proposed);
        Ok(Self {
            hunks: hunks_of_pair(contents, goal, &then)?.unwrap_or_default(),
            mode: hunk_id(goal, entry, HunkPart::Mode),
            all: entry_provenance(goal, entry),
            entry,
            index,
            before,
            after,
        })
    }

    pub(crate) fn ledger_move(&self) -> &'a LedgerRecord {
        &self.entry.ledger[self.index]
    }

    /// Returns whether the move is undone with all its hunks or not at all.
    pub(crate) fn is_indivisible(&self) -> bool {
        self.ledger_move().verdict == Verdict::Resolve
    }

    /// Returns the authors of a hunk.
    pub(crate) fn hunk_authors(&self, hunk: &HunkId) -> &[Provenance] {
        self.hunks.get(hunk).map_or(&self.all, |(_, makers)| makers)
    }

    /// Returns whether a task has a part in a hunk.
    pub(crate) fn is_by(&self, hunk: &HunkId, task: &TaskId) -> bool {
        self.hunk_authors(hunk).iter().any(|by| by.task == *task)
    }

    /// Returns the step that undoes hunks of the move. `standing` are the hunks not undone yet.
    pub(crate) fn undo_step(&self, standing: &[HunkId]) -> RevertStep {
        let lines = self.line_effect(standing);
        RevertStep {
            lines: lines.map(|(made, keys)| (made.inverse(), keys)),
            from: self.after.clone(),
            to: self.before.clone(),
            lands: self.ledger_move().landed.is_some(),
        }
    }

    /// Returns the step that redoes hunks which `undo`, a later move of the same entry, took back.
    pub(crate) fn redo_step(
        &self,
        contents: &ContentStore,
        goal: &Goal,
        undo: usize,
        again: &[HunkId],
    ) -> Result<RevertStep, ErrorBody> {
        let undone = PastMove::load_move(contents, goal, self.entry, undo)?;
        let stood = self.entry.hunks_in_effect_before(self.index, undo);
        let exact = self.line_effect(&stood).and_then(|(made, keys)| {
            let wanted = keys_of(&keys, &undone.ledger_move().hunks);
            let then = made
                .inverse()
                .rebase_onto(texts_of(&undone.before)?, &wanted)
                .made;
            let all = again.iter().filter_map(|id| keys.get(id));
            let exact = all.into_iter().all(|key| then.touches_hunk(*key));
            exact.then(|| (then.inverse(), keys))
        });
        let lines = exact.or_else(|| {
            // The undo found the text without them already: they are put there as at first.
            let until = self.entry.ledger.len();
            let mut all = self.entry.hunks_in_effect_before(self.index, until);
            all.extend(again.iter().cloned());
            self.line_effect(&all)
        });
        Ok(RevertStep {
            lines,
            from: undone.after,
            to: undone.before,
            lands: self.ledger_move().landed.is_some(),
        })
    }

    /// Returns the effect of the move for some of its hunks; `None` if it is not known by lines.
    pub(crate) fn line_effect(
        &self,
        hunks: &[HunkId],
    ) -> Option<(VerdictEffect, BTreeMap<HunkId, HunkKey>)> {
        let texts = texts_of(&self.before)?;
        let mut keys = BTreeMap::new();
        for id in hunks {
            if *id != self.mode {
                keys.insert(id.clone(), self.hunks.get(id)?.0);
            }
        }
        let list: Vec<HunkKey> = keys.values().copied().collect();
        let made = match self.ledger_move().verdict {
            Verdict::Reject => VerdictEffect::of_reject(texts, &list)?,
            Verdict::Resolve if !list.is_empty() => {
                // One stretch, whatever hunks it decides.
                keys.values_mut().for_each(|key| *key = list[0]);
                self.resolved_effect(texts, list[0])?
            }
            _ => VerdictEffect::of_accept(texts, &list)?,
        };
        Some((made, keys))
    }

    /// Returns the lines that the move wrote into the file for the hunks not undone, and the key of
    /// each hunk.
    pub(crate) fn written_lines(
        &self,
        standing: &[HunkId],
    ) -> Option<(HunkRewrite, Vec<(HunkKey, HunkId)>)> {
        if let Some((made, keys)) = self.line_effect(standing)
            && !self.is_indivisible()
        {
            let keys = keys.into_iter().map(|(id, key)| (key, id));
            return Some((made.current, keys.collect()));
        }
        // As a whole: the lines that were not there before.
        let before = self.before.current.as_ref().and_then(FileContent::as_text);
        let after = self.after.current.as_ref().and_then(FileContent::as_text)?;
        let (id, key) = (standing.first()?, HunkKey(0));
        let rewrite = HunkRewrite::between_texts(before.unwrap_or_default(), after, key);
        Some((rewrite, vec![(key, id.clone())]))
    }

    /// Returns the landed hunks that a text no longer contains, with the lines they were taken out
    /// of.
    ///
    /// A hunk counts as taken out if, in all its places, the text has what was there before it, or
    /// what the proposal is a change to. `pair` is the entry's current pair.
    pub(crate) fn taken_out(
        &self,
        standing: &[HunkId],
        pair: &FileVersions,
        now: &str,
    ) -> Vec<(HunkId, Vec<Range<u32>>)> {
        let Some((made, keys)) = self.line_effect(standing) else {
            return Vec::new();
        };
        let mut found = made.current.reverted_hunks_in(now);
        let unclear: BTreeSet<HunkKey> = keys
            .values()
            .filter(|key| made.current.touches_hunk(**key) && !found.contains_key(key))
            .copied()
            .collect();
        if !unclear.is_empty() {
            found.extend(self.clean_again(&made, unclear, pair, now));
        }
        let lines = |id: &HunkId| Some((id.clone(), found.get(keys.get(id)?)?.clone()));
        standing.iter().filter_map(lines).collect()
    }

    /// Returns the hunks that would be pending and clean in a text if they had not landed: more
    /// than their own lines is gone.
    fn clean_again(
        &self,
        made: &VerdictEffect,
        mut keys: BTreeSet<HunkKey>,
        pair: &FileVersions,
        now: &str,
    ) -> Vec<(HunkKey, Vec<Range<u32>>)> {
        let moved = made.current.moved_hunks_in(now);
        keys.retain(|key| !moved.contains(key));
        for (key, _) in review::surviving_lines(&made.current, now) {
            keys.remove(&key);
        }
        let (Some(base), Some(proposed)) = (&pair.base, &pair.proposed) else {
            return Vec::new();
        };
        let (true, Some(base), Some(proposed)) =
            (!keys.is_empty(), base.as_text(), proposed.as_text())
        else {
            return Vec::new();
        };
        let landed = ReviewTexts {
            base,
            current: made.current.new_text(),
            proposed,
        };
        let back = made.inverse().rebase_onto(landed, &keys);
        let review = FileReview::new(
            back.made.base.new_text(),
            now,
            back.made.proposed.new_text(),
        );
        let clean = |key: &HunkKey| {
            let hunk = review.hunk(*key)?;
            (hunk.state == HunkState::Clean).then(|| hunk.current.clone())
        };
        if self.is_indivisible() {
            let all = self.ledger_move().hunks_in_effect();
            let all = all.map(|id| clean(&self.hunks.get(id)?.0));
            let lines: Option<Vec<_>> = all.collect();
            let one = keys.first().filter(|key| !back.left.contains(key));
            return one.copied().zip(lines).into_iter().collect();
        }
        let keys = keys.iter().filter(|key| !back.left.contains(key));
        keys.filter_map(|key| Some((*key, vec![clean(key)?])))
            .collect()
    }

    fn resolved_effect(&self, before: ReviewTexts<'_>, key: HunkKey) -> Option<VerdictEffect> {
        let base = self.after.base.as_ref().and_then(FileContent::as_text)?;
        let text = review::find_resolution(before, key, base)?;
        let made = VerdictEffect::of_resolve(before, key, text)?;
        // The base may have got a line ending after the text that the file, which ends there, has not.
        let observed = self.after.current.as_ref().and_then(FileContent::as_text);
        if observed != Some(made.current.new_text())
            && let Some(open) = text.strip_suffix('\n')
            && let Some(other) =
                VerdictEffect::of_resolve(before, key, open.strip_suffix('\r').unwrap_or(open))
            && observed == Some(other.current.new_text())
        {
            return Some(other);
        }
        Some(made)
    }
}

impl<'a> RevertState<'a> {
    pub(crate) fn new(contents: &'a ContentStore, current: Option<FileContent>) -> Self {
        Self {
            contents,
            current,
            pairs: BTreeMap::new(),
        }
    }

    /// Replaces the current file.
    pub(crate) fn set_current(&mut self, current: Option<FileContent>) {
        self.current = current;
    }

    /// Applies a step for some hunks of an entry. Returns the change, if any hunk moves, and the
    /// number of hunks left because something else is there now.
    pub(crate) fn apply_step(
        &mut self,
        entry: &FileEntry,
        step: &RevertStep,
        hunks: &[HunkId],
        verdict: Verdict,
        of: usize,
    ) -> Result<(Option<VerdictChange>, usize), ErrorBody> {
        let pair = match self.pairs.get(&entry.file.entry) {
            Some(pair) => pair.clone(),
            None => FileVersions::load(self.contents, entry, None)?,
        };
        let now = FileVersions {
            current: self.current.clone(),
            ..pair
        };
        let (next, done) = match &step.lines {
            Some((made, keys)) => step.by_lines(&now, made, keys, hunks),
            None => match step.as_a_whole(&now) {
                Some(next) => (next, hunks.to_vec()),
                None => (now, Vec::new()),
            },
        };
        let left = hunks.len() - done.len();
        if done.is_empty() {
            return Ok((None, left));
        }
        self.current.clone_from(&next.current);
        self.pairs.insert(entry.file.entry, next.clone());
        let change = VerdictChange {
            entry: entry.file.entry,
            verdict,
            hunks: done,
            parts: Vec::new(),
            current: next.current,
            base: next.base,
            proposed: next.proposed,
            of: u32::try_from(of).ok(),
        };
        Ok((Some(change), left))
    }
}

impl RevertStep {
    /// Returns the file that the step expects if nothing has happened since.
    pub(crate) fn start_content(&self) -> Option<FileContent> {
        let mut start = self.from.current.clone();
        if let Some((made, _)) = &self.lines {
            set_text(&mut start, made.current.old_text().to_owned());
        }
        start
    }

    /// Returns those hunks that a text already has as the step would make them.
    pub(crate) fn present_hunks_in(&self, hunks: &[HunkId], now: &str) -> Vec<HunkId> {
        let Some((made, keys)) = &self.lines else {
            return Vec::new();
        };
        let there = made.current.present_hunks_in(now);
        let there = |id: &&HunkId| keys.get(*id).is_some_and(|key| there.contains_key(key));
        hunks.iter().filter(there).cloned().collect()
    }

    /// Applies the step to each hunk that can be undone or redone by lines.
    fn by_lines(
        &self,
        now: &FileVersions,
        made: &VerdictEffect,
        keys: &BTreeMap<HunkId, HunkKey>,
        hunks: &[HunkId],
    ) -> (FileVersions, Vec<HunkId>) {
        let mut next = now.clone();
        let mut done = Vec::new();
        let mut ground = now.clone();
        if !self.lands {
            // The file does not matter, and need not even be there.
            ground.current.clone_from(&now.base);
        }
        if let Some(texts) = texts_of(&ground) {
            let carried = made.rebase_onto(texts, &keys_of(keys, hunks));
            if self.lands {
                set_text(
                    &mut next.current,
                    carried.made.current.new_text().to_owned(),
                );
            }
            set_text(&mut next.base, carried.made.base.new_text().to_owned());
            set_text(
                &mut next.proposed,
                carried.made.proposed.new_text().to_owned(),
            );
            let moved = |id: &&HunkId| keys.get(*id).is_some_and(|key| !carried.left.contains(key));
            done.extend(hunks.iter().filter(moved).cloned());
        }
        // What is no hunk of lines is the file's mode.
        let modes: Vec<&HunkId> = hunks.iter().filter(|id| !keys.contains_key(*id)).collect();
        if !modes.is_empty() && self.move_modes(&mut next) {
            done.extend(modes.into_iter().cloned());
        }
        (next, done)
    }

    /// Moves the modes; `false` if one of them has another value by now.
    fn move_modes(&self, next: &mut FileVersions) -> bool {
        let (from, to) = (three_sides(&self.from), three_sides(&self.to));
        let mut moved = next.clone();
        for (at, now) in sides_mut(&mut moved).into_iter().enumerate() {
            let (Some(now), Some(from), Some(to)) = (now, from[at], to[at]) else {
                continue;
            };
            if from.mode == to.mode || now.mode == to.mode {
                continue;
            }
            if now.mode != from.mode {
                return false;
            }
            now.mode = to.mode;
        }
        *next = moved;
        true
    }

    /// Applies the step to the file as a whole; `None` if something else is there by now.
    fn as_a_whole(&self, now: &FileVersions) -> Option<FileVersions> {
        let back = |now: &Option<FileContent>,
                    from: &Option<FileContent>,
                    to: &Option<FileContent>| {
            if now == from || from == to {
                return Some(if from == to { now.clone() } else { to.clone() });
            }
            let (before, after) = (to.as_ref()?, from.as_ref()?);
            let here = now.as_ref()?;
            let undone = review::undo_landing(before.as_text()?, after.as_text()?, here.as_text()?);
            let mode = if here.mode == after.mode {
                before.mode
            } else {
                here.mode
            };
            (undone.conflicts == 0).then(|| {
                Some(FileContent {
                    bytes: undone.text.into_bytes().into(),
                    mode,
                })
            })
        };
        Some(FileVersions {
            base: back(&now.base, &self.from.base, &self.to.base)?,
            current: back(&now.current, &self.from.current, &self.to.current)?,
            proposed: back(&now.proposed, &self.from.proposed, &self.to.proposed)?,
            typed: None,
        })
    }
}

fn texts_of(versions: &FileVersions) -> Option<ReviewTexts<'_>> {
    let (base, current, proposed) = versions.texts()?;
    Some(ReviewTexts {
        base,
        current,
        proposed,
    })
}

fn keys_of(keys: &BTreeMap<HunkId, HunkKey>, hunks: &[HunkId]) -> BTreeSet<HunkKey> {
    let keys = hunks.iter().filter_map(|id| keys.get(id));
    keys.copied().collect()
}

fn three_sides(versions: &FileVersions) -> [Option<&FileContent>; 3] {
    [&versions.base, &versions.current, &versions.proposed].map(Option::as_ref)
}

fn sides_mut(versions: &mut FileVersions) -> [Option<&mut FileContent>; 3] {
    let FileVersions {
        base,
        current,
        proposed,
        ..
    } = versions;
    [base, current, proposed].map(Option::as_mut)
}
