//! What the searches for a diff share: lines in common at both ends, and how often each line occurs.

use super::vocabulary::LineToken;

/// Counts the lines two lists have in common at their start.
pub(super) fn same_start(a: &[LineToken], b: &[LineToken]) -> usize {
    let lines = a.iter().zip(b);
    lines.take_while(|(a, b)| a == b).count()
}

/// Counts the lines two lists have in common at their end.
pub(super) fn same_end(a: &[LineToken], b: &[LineToken]) -> usize {
    let lines = a.iter().rev().zip(b.iter().rev());
    lines.take_while(|(a, b)| a == b).count()
}

/// Counts the occurrences of each distinct line in each of two texts.
pub(super) struct LineCounts(Vec<[u32; 2]>);

impl LineCounts {
    pub(super) fn new(words: usize) -> Self {
        Self(vec![[0; 2]; words])
    }

    /// Returns the number of distinct lines.
    pub(super) fn distinct_lines(&self) -> usize {
        self.0.len()
    }

    /// Counts the lines of two texts, from zero.
    pub(super) fn count_texts(&mut self, texts: [&[LineToken]; 2]) {
        for (side, text) in texts.into_iter().enumerate() {
            for token in text {
                self.0[token.0 as usize][side] += 1;
            }
        }
    }

    /// Forgets the lines of two texts; in work proportional to them, not to all lines there are.
    pub(super) fn forget_texts(&mut self, texts: [&[LineToken]; 2]) {
        for token in texts.into_iter().flatten() {
            self.0[token.0 as usize] = [0; 2];
        }
    }

    /// Returns the number of times a line occurs on one side.
    pub(super) fn count_on_side(&self, token: LineToken, side: usize) -> u32 {
        self.0[token.0 as usize][side]
    }
}
