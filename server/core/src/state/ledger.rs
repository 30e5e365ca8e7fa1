//! The ledger of a proposal: its files, and every verdict that was carried out on them.

use claudecluster_protocol::{
    HunkId, Timestamp,
    change::FileVersion,
    event::{ProposedFile, Verdict},
    landed::LandedContent,
};

/// One file of a proposal, and what has been decided about it.
#[derive(Clone, Debug)]
pub struct FileEntry {
    /// The file as it was proposed, with `base` and `proposed` as they are now.
    pub file: ProposedFile,
    /// Every verdict that was carried out, oldest first. Never taken away: an undo is a further move.
    pub ledger: Vec<LedgerRecord>,
    /// Landings that were begun and of which nothing has been heard since, in order.
    pub pending_landings: Vec<PendingLanding>,
}

/// The two texts that are in review.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ReviewPair {
    /// The version with everything already decided, or the original one.
    pub base: Option<FileVersion>,
    /// The proposed version.
    pub proposed: Option<FileVersion>,
}

/// One verdict on hunks of one entry, carried out.
#[derive(Clone, Debug)]
pub struct LedgerRecord {
    /// Its place among all moves of all goals, counting from 0.
    pub order: u64,
    /// The verdict.
    pub verdict: Verdict,
    /// The hunks it was about.
    pub hunks: Vec<HunkId>,
    /// The hunks that later records have undone, and none has redone.
    pub undone: Vec<HunkId>,
    /// The content before and after, if it changed the file.
    pub landed: Option<LandedContent>,
    /// The pair before.
    pub before: ReviewPair,
    /// The pair after.
    pub after: ReviewPair,
    /// For an undo or a redo: which move it takes back.
    pub of: Option<u32>,
    /// The moment the decision was observed.
    pub at: Timestamp,
    /// The decision it is a part of; `None` in journals of older versions.
    pub decision: Option<u64>,
}

impl LedgerRecord {
    /// Returns a key that is equal for all records of one decision, and different for any other.
    pub fn decision_key(&self) -> impl PartialEq + use<> {
        // The facts of one decision become durable in one moment.
        (self.decision, self.at)
    }
}

/// A landing under way, see [`claudecluster_protocol::EventBody::LandingBegun`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PendingLanding {
    /// The verdict.
    pub verdict: Verdict,
    /// The hunks it is about.
    pub hunks: Vec<HunkId>,
    /// The pair after it.
    pub pair: ReviewPair,
    /// The content that is expected and the content that is to be.
    pub landed: LandedContent,
    /// For an undo or a redo: which move it takes back.
    pub of: Option<u32>,
    /// Why, in the developer's words.
    pub reason: Option<String>,
    /// The text is an editor's.
    pub open: bool,
}

impl LedgerRecord {
    /// Returns the hunks that are still as this record decided.
    pub fn hunks_in_effect(&self) -> impl Iterator<Item = &HunkId> {
        self.hunks.iter().filter(|id| !self.undone.contains(id))
    }

    /// Returns whether the record put hunks or a chosen text into the file. Resolving a conflict to
    /// what is there is no landing, but as good as a rejection.
    pub fn is_landing(&self) -> bool {
        self.verdict == Verdict::Accept || self.verdict == Verdict::Resolve && !self.keeps_file()
    }

    /// Returns whether the record took hunks out of the proposal and left the file as it is.
    pub fn is_rejection(&self) -> bool {
        self.verdict == Verdict::Reject || self.verdict == Verdict::Resolve && self.keeps_file()
    }

    /// Returns whether the file is the same before and after the record.
    fn keeps_file(&self) -> bool {
        let landed = self.landed.as_ref();
        landed.is_none_or(|landed| landed.version_before() == landed.version_after())
    }
}

impl FileEntry {
    /// Returns whether nothing is left to decide.
    pub fn is_fully_decided(&self) -> bool {
        self.file.base == self.file.proposed
    }

    /// Returns the present pair of base and proposed text.
    pub fn review_pair(&self) -> ReviewPair {
        ReviewPair {
            base: self.file.base.clone(),
            proposed: self.file.proposed.clone(),
        }
    }

    /// Counts the hunks that have landed and are not undone.
    pub fn landed_count(&self) -> u32 {
        self.count_hunks(LedgerRecord::is_landing)
    }

    /// Counts the hunks that were rejected for good.
    pub fn rejected_count(&self) -> u32 {
        self.count_hunks(LedgerRecord::is_rejection)
    }

    /// Returns the hunks of a record that were still as decided before the record at `until`.
    pub fn hunks_in_effect_before(&self, index: usize, until: usize) -> Vec<HunkId> {
        let Some(of) = self.ledger.get(index) else {
            return Vec::new();
        };
        let mut standing = of.hunks.clone();
        for later in self.ledger.iter().take(until).skip(index) {
            match (later.verdict, later.of.map(|of| of as usize)) {
                (Verdict::Undo, Some(of)) if of == index => {
                    standing.retain(|id| !later.hunks.contains(id));
                }
                (Verdict::Redo, Some(of)) if self.takes_back(of) == Some(index) => {
                    standing.extend(later.hunks.iter().cloned());
                }
                _ => {}
            }
        }
        standing
    }

    /// Returns the hunks of an undo that are still undone by it: neither done again nor decided in
    /// another way since.
    pub fn undone_by(&self, index: usize) -> Vec<HunkId> {
        let Some(undo) = self.ledger.get(index) else {
            return Vec::new();
        };
        let later = self.ledger.iter().skip(index + 1);
        let decided: Vec<&HunkId> = later
            .filter(|one| one.of.is_none())
            .flat_map(|one| &one.hunks)
            .collect();
        let standing = undo.hunks_in_effect().filter(|id| !decided.contains(id));
        standing.cloned().collect()
    }

    /// Returns the index of the record an undo takes back.
    pub fn takes_back(&self, undo: usize) -> Option<usize> {
        self.ledger.get(undo)?.of.map(|of| of as usize)
    }

    fn count_hunks(&self, of: impl Fn(&LedgerRecord) -> bool) -> u32 {
        let standing = self.ledger.iter().filter(|one| of(one));
        u32::try_from(standing.flat_map(LedgerRecord::hunks_in_effect).count()).unwrap_or(u32::MAX)
    }

    /// Returns whether the entry is an alternative to the merged one. An alternative never lands by
    /// itself.
    pub fn is_alternative(&self) -> bool {
        self.file.entry > 0
    }
}

impl FileEntry {
    pub(super) fn new(file: ProposedFile) -> Self {
        Self {
            file,
            ledger: Vec::new(),
            pending_landings: Vec::new(),
        }
    }

    /// Takes a move in: the pair is what it leaves, and the move it takes back knows of it.
    pub(super) fn add_record(&mut self, made: LedgerRecord) {
        if let Some(of) = made.of {
            self.take_back(of as usize, made.verdict, &made.hunks);
        }
        self.file.base.clone_from(&made.after.base);
        self.file.proposed.clone_from(&made.after.proposed);
        // What was begun is carried out in its order.
        let begun = self.pending_landings.first();
        if begun.is_some_and(|begun| begun.verdict == made.verdict && begun.hunks == made.hunks) {
            self.pending_landings.remove(0);
        }
        self.ledger.push(made);
    }

    /// Undoes hunks of a record. A redo undoes the undo, and so lands the hunks again.
    fn take_back(&mut self, of: usize, verdict: Verdict, hunks: &[HunkId]) {
        let Some(earlier) = self.ledger.get_mut(of) else {
            return;
        };
        let news = hunks.iter().filter(|id| !earlier.undone.contains(id));
        let news: Vec<HunkId> = news.cloned().collect();
        earlier.undone.extend(news);
        let original = earlier.of.map(|of| of as usize);
        if verdict == Verdict::Redo
            && let Some(original) = original.and_then(|of| self.ledger.get_mut(of))
        {
            original.undone.retain(|id| !hunks.contains(id));
        }
    }
}
