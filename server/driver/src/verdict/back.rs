//! Moves of the ledger taken back, and made again. What a move did is computed from the texts it was
//! made from, hunk by hunk, and merged with what the file is now; see [`core::review::Made`].
//!
//! [`core::review::Made`]: claudecluster_core::review::Made

use std::collections::{BTreeMap, BTreeSet};

use claudecluster_core::{
    lifecycle::{FileEntry, Goal, Move, Pair},
    review::{self, HunkKey, Made, Texts},
};
use claudecluster_protocol::{
    ErrorBody, HunkId, TaskId,
    change::FileVersion,
    event::{Landed, Verdict},
};
use claudecluster_worker::changes::Content;

use super::{Change, set_text};
use crate::{
    pending::{self, Part, Pending, Versions},
    proposal::as_text,
    shared::Shared,
};

/// A move with what is needed to take it back.
pub(super) struct Past<'a> {
    pub(super) entry: &'a FileEntry,
    pub(super) index: usize,
    before: Versions,
    after: Versions,
    /// The hunks there were when it was made.
    hunks: Vec<Pending>,
}

/// A file on which moves are taken back one after the other, with the pairs of its entries.
pub(super) struct Desk<'a> {
    shared: &'a Shared,
    current: Option<Content>,
    pairs: BTreeMap<u32, Versions>,
}

/// What takes hunks of a move back, or makes them again.
pub(super) struct Step {
    /// Hunk by hunk, and which hunk has which key in it; `None` where all goes as a whole.
    lines: Option<(Made, BTreeMap<HunkId, HunkKey>)>,
    /// The file and the pair as they are if nothing has happened since, and what they become.
    from: Versions,
    to: Versions,
    /// Whether the file has a part in it, or the pair only.
    lands: bool,
}

impl<'a> Past<'a> {
    pub(super) fn of(
        shared: &Shared,
        goal: &Goal,
        entry: &'a FileEntry,
        index: usize,
    ) -> Result<Self, ErrorBody> {
        let made = &entry.moves[index];
        let load = |pair: &Pair, current: Option<FileVersion>| {
            let current = if made.landed.is_some() {
                current
            } else {
                made.before.base.clone()
            };
            Ok::<_, ErrorBody>(Versions {
                base: shared.content_of(pair.base.as_ref())?,
                current: shared.content_of(current.as_ref())?,
                proposed: shared.content_of(pair.proposed.as_ref())?,
                typed: None,
            })
        };
        let landed = made.landed.as_ref();
        let before = load(&made.before, landed.and_then(Landed::version_before))?;
        let after = load(&made.after, landed.and_then(Landed::version_after))?;
        let mut then = entry.clone();
        then.file.base.clone_from(&made.before.base);
        then.file.proposed.clone_from(&made.before.proposed);
        Ok(Self {
            hunks: pending::hunks(shared, goal, &then, &before)?,
            entry,
            index,
            before,
            after,
        })
    }

    pub(super) fn made(&self) -> &'a Move {
        &self.entry.moves[self.index]
    }

    /// Whether it is taken back with all its hunks or not at all.
    pub(super) fn is_one(&self) -> bool {
        self.made().verdict == Verdict::Resolve
    }

    /// Whether a task has a part in a hunk.
    pub(super) fn is_by(&self, hunk: &HunkId, task: &TaskId) -> bool {
        match self.hunks.iter().find(|pending| pending.view.id == *hunk) {
            Some(pending) => pending.view.provenance.iter().any(|by| by.task == *task),
            None => {
                let mut versions = self.entry.file.versions.iter();
                versions.any(|version| version.by.task == *task)
            }
        }
    }

    /// What takes hunks of it back: `standing` are those that stand.
    pub(super) fn undo(&self, standing: &[HunkId]) -> Step {
        let lines = self.lines(standing);
        Step {
            lines: lines.map(|(made, keys)| (made.inverse(), keys)),
            from: self.after.clone(),
            to: self.before.clone(),
            lands: self.made().landed.is_some(),
        }
    }

    /// What makes hunks again that `undo` took back, which is a later move of the same entry.
    pub(super) fn redo(
        &self,
        shared: &Shared,
        goal: &Goal,
        undo: usize,
        again: &[HunkId],
    ) -> Result<Step, ErrorBody> {
        let undone = Past::of(shared, goal, self.entry, undo)?;
        let stood = self.entry.standing_before(self.index, undo);
        let exact = self.lines(&stood).and_then(|(made, keys)| {
            let wanted = keys_of(&keys, &undone.made().hunks);
            let then = made.inverse().carry(texts(&undone.before)?, &wanted).made;
            let all = again.iter().filter_map(|id| keys.get(id));
            let exact = all.into_iter().all(|key| then.touches(*key));
            exact.then(|| (then.inverse(), keys))
        });
        let lines = exact.or_else(|| {
            // The undo found the text without them already: they are put there as at first.
            let until = self.entry.moves.len();
            let mut all = self.entry.standing_before(self.index, until);
            all.extend(again.iter().cloned());
            self.lines(&all)
        });
        Ok(Step {
            lines,
            from: undone.after,
            to: undone.before,
            lands: self.made().landed.is_some(),
        })
    }

    /// What it made of the texts, for some of its hunks, if that is known by lines.
    pub(super) fn lines(&self, hunks: &[HunkId]) -> Option<(Made, BTreeMap<HunkId, HunkKey>)> {
        let texts = texts(&self.before)?;
        let mut keys = BTreeMap::new();
        for id in hunks {
            let pending = self.hunks.iter().find(|pending| pending.view.id == *id)?;
            match pending.part {
                Part::Lines(key) => {
                    keys.insert(id.clone(), key);
                }
                Part::Mode => {}
                Part::Whole => return None,
            }
        }
        let list: Vec<HunkKey> = keys.values().copied().collect();
        let made = match self.made().verdict {
            Verdict::Reject => Made::rejected(texts, &list)?,
            Verdict::Resolve if !list.is_empty() => {
                // One stretch, whatever hunks it decides.
                keys.values_mut().for_each(|key| *key = list[0]);
                self.resolved(texts, list[0])?
            }
            _ => Made::accepted(texts, &list)?,
        };
        Some((made, keys))
    }

    fn resolved(&self, before: Texts<'_>, key: HunkKey) -> Option<Made> {
        let base = self.after.base.as_ref().and_then(as_text)?;
        let text = review::resolution(before, key, base)?;
        let made = Made::resolved(before, key, text)?;
        // The base may have got a line ending after the text that the file, which ends there, has not.
        let observed = self.after.current.as_ref().and_then(as_text);
        if observed != Some(made.current.to())
            && let Some(open) = text.strip_suffix('\n')
            && let Some(other) =
                Made::resolved(before, key, open.strip_suffix('\r').unwrap_or(open))
            && observed == Some(other.current.to())
        {
            return Some(other);
        }
        Some(made)
    }
}

impl<'a> Desk<'a> {
    pub(super) fn new(shared: &'a Shared, current: Option<Content>) -> Self {
        Self {
            shared,
            current,
            pairs: BTreeMap::new(),
        }
    }

    /// Carries a step out for some hunks of an entry. Gives the change, if any hunk moves, and how many
    /// were left because something else stands there now.
    pub(super) fn take(
        &mut self,
        entry: &FileEntry,
        step: &Step,
        hunks: &[HunkId],
        verdict: Verdict,
        of: usize,
    ) -> Result<(Option<Change>, usize), ErrorBody> {
        let pair = match self.pairs.get(&entry.file.entry) {
            Some(pair) => pair.clone(),
            None => Versions::of(self.shared, entry, None)?,
        };
        let now = Versions {
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
        let change = Change {
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

impl Step {
    /// The hunks that can go or come, each for itself.
    fn by_lines(
        &self,
        now: &Versions,
        made: &Made,
        keys: &BTreeMap<HunkId, HunkKey>,
        hunks: &[HunkId],
    ) -> (Versions, Vec<HunkId>) {
        let mut next = now.clone();
        let mut done = Vec::new();
        let mut ground = now.clone();
        if !self.lands {
            // The file does not matter, and need not even be there.
            ground.current.clone_from(&now.base);
        }
        if let Some(texts) = texts(&ground) {
            let carried = made.carry(texts, &keys_of(keys, hunks));
            if self.lands {
                set_text(&mut next.current, carried.made.current.to().to_owned());
            }
            set_text(&mut next.base, carried.made.base.to().to_owned());
            set_text(&mut next.proposed, carried.made.proposed.to().to_owned());
            let moved = |id: &&HunkId| keys.get(*id).is_some_and(|key| !carried.left.contains(key));
            done.extend(hunks.iter().filter(moved).cloned());
        }
        // What is no hunk of lines is the file's mode.
        let modes: Vec<&HunkId> = hunks.iter().filter(|id| !keys.contains_key(*id)).collect();
        if !modes.is_empty() && self.modes(&mut next) {
            done.extend(modes.into_iter().cloned());
        }
        (next, done)
    }

    /// Moves the modes; `false` where one of them is another by now.
    fn modes(&self, next: &mut Versions) -> bool {
        let (from, to) = (sides(&self.from), sides(&self.to));
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

    /// All of it at once; `None` where something else is there by now.
    fn as_a_whole(&self, now: &Versions) -> Option<Versions> {
        let back = |now: &Option<Content>, from: &Option<Content>, to: &Option<Content>| {
            if now == from || from == to {
                return Some(if from == to { now.clone() } else { to.clone() });
            }
            let (before, after) = (to.as_ref()?, from.as_ref()?);
            let here = now.as_ref()?;
            let undone = review::undo(as_text(before)?, as_text(after)?, as_text(here)?);
            let mode = if here.mode == after.mode {
                before.mode
            } else {
                here.mode
            };
            (undone.conflicts == 0).then(|| {
                Some(Content {
                    bytes: undone.text.into_bytes().into(),
                    mode,
                })
            })
        };
        Some(Versions {
            base: back(&now.base, &self.from.base, &self.to.base)?,
            current: back(&now.current, &self.from.current, &self.to.current)?,
            proposed: back(&now.proposed, &self.from.proposed, &self.to.proposed)?,
            typed: None,
        })
    }
}

fn texts(versions: &Versions) -> Option<Texts<'_>> {
    let (base, current, proposed) = versions.texts()?;
    Some(Texts {
        base,
        current,
        proposed,
    })
}

fn keys_of(keys: &BTreeMap<HunkId, HunkKey>, hunks: &[HunkId]) -> BTreeSet<HunkKey> {
    let keys = hunks.iter().filter_map(|id| keys.get(id));
    keys.copied().collect()
}

fn sides(versions: &Versions) -> [Option<&Content>; 3] {
    [&versions.base, &versions.current, &versions.proposed].map(Option::as_ref)
}

fn sides_mut(versions: &mut Versions) -> [Option<&mut Content>; 3] {
    let Versions {
        base,
        current,
        proposed,
        ..
    } = versions;
    [base, current, proposed].map(Option::as_mut)
}
