//! Keys of hunks.

use std::{collections::BTreeMap, ops::Range};

use imara_diff::Token;

use super::HunkKey;
use crate::diff::{Change, Lines};

/// The keys of all changes.
///
/// The unchanged lines directly above and below a change stay where they are whatever is decided
/// about other hunks, while lines further away may themselves be part of one. Equal changes between
/// equal lines are told apart by counting: how many places above look like this one, before or
/// after such a change landed. The count must not depend on which of them are still undecided.
pub(super) fn keys(
    base: &Lines<'_>,
    proposed: &Lines<'_>,
    base_tokens: &[Token],
    proposed_tokens: &[Token],
    vocabulary: usize,
    changes: &[Change],
) -> Vec<HunkKey> {
    let places = Places::new(base_tokens, vocabulary);
    // Changes that look alike share one search.
    let mut alike: BTreeMap<Digest, Vec<u32>> = BTreeMap::new();
    changes
        .iter()
        .map(|change| {
            let above = change.old.start.checked_sub(1);
            let below = (change.old.end < base.len()).then_some(change.old.end);
            let line = |at: Option<u32>| at.map(|at| base.get(&(at..at + 1)).as_bytes());
            let look = hash(&[
                line(above),
                Some(base.get(&change.old).as_bytes()),
                Some(proposed.get(&change.new).as_bytes()),
                line(below),
            ]);
            let ordinal = above.map_or(0, |above| {
                alike
                    .entry(look)
                    .or_insert_with(|| places.like(above, below, change, proposed_tokens))
                    .partition_point(|&place| place < above)
            });
            let whole = hash(&[Some(&look), Some(&(ordinal as u64).to_le_bytes())]);
            let [a, b, c, d, e, f, g, h, ..] = whole;
            HunkKey(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
        })
        .collect()
}

type Digest = [u8; 32];

/// Each part goes in with its length, so that no two lists of parts look the same.
fn hash(parts: &[Option<&[u8]>]) -> Digest {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        let length = part.map_or(u64::MAX, |part| part.len() as u64);
        hasher.update(&length.to_le_bytes());
        hasher.update(part.unwrap_or_default());
    }
    *hasher.finalize().as_bytes()
}

/// Where each distinct line stands in the base.
struct Places<'t> {
    tokens: &'t [Token],
    /// For each token, where its entries in `at` start.
    starts: Vec<u32>,
    at: Vec<u32>,
}

impl<'t> Places<'t> {
    fn new(tokens: &'t [Token], vocabulary: usize) -> Self {
        let mut starts = vec![0u32; vocabulary + 1];
        for token in tokens {
            starts[token.0 as usize + 1] += 1;
        }
        for i in 1..starts.len() {
            starts[i] += starts[i - 1];
        }
        let mut next = starts.clone();
        let mut at = vec![0u32; tokens.len()];
        for (line, token) in (0u32..).zip(tokens) {
            let slot = &mut next[token.0 as usize];
            at[*slot as usize] = line;
            *slot += 1;
        }
        Self { tokens, starts, at }
    }

    /// The lines that equal the one at `above` and are followed by the change's old or new lines
    /// and then by a line that equals `below`.
    fn like(
        &self,
        above: u32,
        below: Option<u32>,
        change: &Change,
        proposed: &[Token],
    ) -> Vec<u32> {
        let token = self.tokens[above as usize].0 as usize;
        let range = self.starts[token] as usize..self.starts[token + 1] as usize;
        let old = slice(self.tokens, &change.old);
        let new = slice(proposed, &change.new);
        let below = below.map(|below| self.tokens[below as usize]);
        let follows = |rest: &[Token], lines: &[Token]| {
            rest.strip_prefix(lines)
                .is_some_and(|rest| rest.first().copied() == below)
        };
        self.at[range]
            .iter()
            .copied()
            .filter(|&line| {
                let rest = &self.tokens[line as usize + 1..];
                follows(rest, old) || follows(rest, new)
            })
            .collect()
    }
}

fn slice<'t>(tokens: &'t [Token], range: &Range<u32>) -> &'t [Token] {
    tokens
        .get(range.start as usize..range.end as usize)
        .unwrap_or_default()
}
