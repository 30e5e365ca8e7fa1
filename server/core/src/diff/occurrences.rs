//! Where each distinct line stands.

use std::ops::Range;

use super::LineToken;

/// For each distinct line the places in a text where it is.
pub(crate) struct LineOccurrences {
    /// For each token, where its entries in `at` start.
    starts: Vec<u32>,
    at: Vec<u32>,
}

impl LineOccurrences {
    /// Returns the places in a text with tokens of a vocabulary that has `words` of them.
    pub(crate) fn new(text: &[LineToken], words: usize) -> Self {
        let mut starts = vec![0u32; words + 1];
        for token in text {
            starts[token.0 as usize + 1] += 1;
        }
        for i in 1..starts.len() {
            starts[i] += starts[i - 1];
        }
        let mut next = starts.clone();
        let mut at = vec![0u32; text.len()];
        for (line, token) in (0u32..).zip(text) {
            let slot = &mut next[token.0 as usize];
            at[*slot as usize] = line;
            *slot += 1;
        }
        Self { starts, at }
    }

    /// Returns the places of a line, in order.
    pub(crate) fn places_of(&self, token: LineToken) -> &[u32] {
        let token = token.0 as usize;
        &self.at[self.starts[token] as usize..self.starts[token + 1] as usize]
    }

    /// Returns the places of a line within a part of the text.
    pub(super) fn places_within(&self, token: LineToken, part: &Range<usize>) -> &[u32] {
        let places = self.places_of(token);
        let before = |end: usize| places.partition_point(|&place| (place as usize) < end);
        &places[before(part.start)..before(part.end)]
    }
}
