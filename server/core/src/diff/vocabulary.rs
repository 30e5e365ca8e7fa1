//! Lines as numbers.

use std::{hash::BuildHasher as _, ops::Range};

use hashbrown::{DefaultHashBuilder, HashTable, hash_table::Entry};

use super::{IndexedText, LineText, indent};

/// The number of a line in a [`LineVocabulary`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct LineToken(pub(crate) u32);

/// Numbers for distinct lines, so that comparing lines is comparing numbers.
///
/// It has its own copy of each distinct line, so that it can outlive the texts: the review of a
/// file that is being typed in keeps it from one keystroke to the next.
#[derive(Debug)]
pub(crate) struct LineVocabulary {
    /// The distinct lines, one after the other in the order of their numbers.
    bytes: Vec<u8>,
    /// The end of each line.
    ends: Vec<usize>,
    table: HashTable<LineToken>,
    hasher: DefaultHashBuilder,
}

fn line_bytes<'v>(bytes: &'v [u8], ends: &[usize], token: LineToken) -> &'v [u8] {
    let at = token.0 as usize;
    let start = at.checked_sub(1).map_or(0, |before| ends[before]);
    &bytes[start..ends[at]]
}

impl LineVocabulary {
    /// Makes an empty vocabulary with room for some lines.
    pub(crate) fn new(lines: usize) -> Self {
        Self {
            bytes: Vec::new(),
            ends: Vec::with_capacity(lines),
            table: HashTable::with_capacity(lines),
            hasher: DefaultHashBuilder::default(),
        }
    }

    /// Returns the numbers of a text's lines.
    pub(crate) fn tokenize_text<T: LineText + ?Sized>(
        &mut self,
        lines: &IndexedText<'_, T>,
    ) -> Vec<LineToken> {
        lines.iter().map(|line| self.tokenize_line(line)).collect()
    }

    /// Returns the number of a line.
    pub(crate) fn tokenize_line(&mut self, text: &[u8]) -> LineToken {
        let Self {
            bytes,
            ends,
            table,
            hasher,
        } = self;
        let same = |token: &LineToken| line_bytes(bytes, ends, *token) == text;
        let rehash = |token: &LineToken| hasher.hash_one(line_bytes(bytes, ends, *token));
        match table.entry(hasher.hash_one(text), same, rehash) {
            Entry::Occupied(entry) => *entry.get(),
            Entry::Vacant(entry) => {
                let token = LineToken(u32::try_from(ends.len()).unwrap_or(u32::MAX));
                entry.insert(token);
                bytes.extend_from_slice(text);
                ends.push(bytes.len());
                token
            }
        }
    }

    /// Returns the number of distinct lines.
    pub(crate) fn distinct_lines(&self) -> usize {
        self.ends.len()
    }

    /// Returns the bytes of all distinct lines together.
    pub(crate) fn total_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Forgets all lines but the first `size`.
    pub(crate) fn truncate(&mut self, size: usize) {
        self.ends.truncate(size);
        self.bytes.truncate(self.ends.last().copied().unwrap_or(0));
        self.table.retain(|token| (token.0 as usize) < size);
    }

    /// Returns the number of lines to raise a group by so that the group reads best. The group is
    /// only added or only removed, and is as low as it can be. At most `room` lines.
    pub(crate) fn best_raise(&self, tokens: &[LineToken], lines: &Range<u32>, room: u32) -> u32 {
        let token = |line: u32| tokens.get(line as usize);
        let room = room.min(lines.start);
        let possible = (1..=room)
            .take_while(|by| token(lines.start - by) == token(lines.end - by))
            .count() as u32;
        lines.end - self.best_end(tokens, lines, lines.end - possible)
    }

    /// Returns the best end of a group of lines that can be slid up until it ends at `earliest`.
    pub(super) fn best_end(&self, tokens: &[LineToken], lines: &Range<u32>, earliest: u32) -> u32 {
        if earliest == lines.end {
            return earliest;
        }
        let depth = |token| indent::indent_depth(line_bytes(&self.bytes, &self.ends, token));
        indent::best_end(tokens, lines, earliest, depth)
    }
}
