//! Keys of hunks.

use std::{collections::BTreeMap, ops::Range};

use super::HunkKey;
use crate::diff::{IndexedText, LineChange, LineOccurrences, LineToken};

/// Returns the keys of all changes.
///
/// The unchanged lines directly above and below a change stay where they are whatever is decided
/// about other hunks, while lines further away may themselves be part of one. Equal changes between
/// equal lines are told apart by counting: how many places above look like this one, before or
/// after such a change landed. The count must not depend on which of them are still undecided.
pub(super) fn hunk_keys(
    base: &IndexedText<'_>,
    proposed: &IndexedText<'_>,
    base_tokens: &[LineToken],
    proposed_tokens: &[LineToken],
    vocabulary: usize,
    changes: &[LineChange],
) -> Vec<HunkKey> {
    let mut alike = LookalikeCounter::new(base_tokens, vocabulary);
    changes
        .iter()
        .map(|change| {
            let above = change.old.start.checked_sub(1);
            let below = (change.old.end < base.len()).then_some(change.old.end);
            let line = |at: Option<u32>| at.map(|at| base.slice_lines(&(at..at + 1)).as_bytes());
            let look = hash_parts(&[
                line(above),
                Some(base.slice_lines(&change.old).as_bytes()),
                Some(proposed.slice_lines(&change.new).as_bytes()),
                line(below),
            ]);
            let ordinal = above.map_or(0, |above| {
                let old = slice_tokens(base_tokens, &change.old);
                let new = slice_tokens(proposed_tokens, &change.new);
                alike.count_lookalikes(above, below, [old, new])
            });
            let whole = hash_parts(&[Some(&look), Some(&(ordinal as u64).to_le_bytes())]);
            let [a, b, c, d, e, f, g, h, ..] = whole;
            HunkKey(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
        })
        .collect()
}

type KeyDigest = [u8; 32];

/// Each part goes in with its length, so that no two lists of parts look the same.
fn hash_parts(parts: &[Option<&[u8]>]) -> KeyDigest {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        let length = part.map_or(u64::MAX, |part| part.len() as u64);
        hasher.update(&length.to_le_bytes());
        hasher.update(part.unwrap_or_default());
    }
    *hasher.finalize().as_bytes()
}

/// Finds places in the base that look alike.
struct LookalikeCounter<'t> {
    base: &'t [LineToken],
    places: LineOccurrences,
    /// Caches the places of lines in the base. Changes that look alike share a search, and so do
    /// different insertions between equal lines.
    found: BTreeMap<LinePattern<'t>, Vec<u32>>,
}

/// A line, some lines, and the line after them or the end of the text.
type LinePattern<'t> = (LineToken, &'t [LineToken], Option<LineToken>);

impl<'t> LookalikeCounter<'t> {
    fn new(base: &'t [LineToken], vocabulary: usize) -> Self {
        Self {
            base,
            places: LineOccurrences::new(base, vocabulary),
            found: BTreeMap::new(),
        }
    }

    /// Counts the earlier places that look like the place of a change. These are lines equal to
    /// `above` that are followed by the change's old or new lines, and then by a line that equals
    /// `below`.
    fn count_lookalikes(
        &mut self,
        above: u32,
        below: Option<u32>,
        lines: [&'t [LineToken]; 2],
    ) -> usize {
        let token = |line: u32| self.base[line as usize];
        let (first, last) = (token(above), below.map(token));
        let patterns = lines.map(|lines| (first, lines, last));
        for pattern in patterns {
            let search = || find_pattern(self.base, &self.places, pattern);
            self.found.entry(pattern).or_insert_with(search);
        }
        let [mut few, mut many] = patterns.map(|pattern| {
            let found = self.found[&pattern].as_slice();
            &found[..found.partition_point(|&place| place < above)]
        });
        if few.len() > many.len() {
            std::mem::swap(&mut few, &mut many);
        }
        let others = few
            .iter()
            .filter(|place| many.binary_search(place).is_err());
        many.len() + others.count()
    }
}

/// Finds the places of a pattern in a text.
fn find_pattern(
    text: &[LineToken],
    places: &LineOccurrences,
    (first, lines, last): LinePattern<'_>,
) -> Vec<u32> {
    let pattern: Vec<_> = [first].iter().chain(lines).chain(&last).copied().collect();
    if last.is_none() {
        let start = text.len() - pattern.len().min(text.len());
        let found = text.ends_with(&pattern).then_some(start as u32);
        return found.into_iter().collect();
    }
    // The rarest line of the pattern has the fewest places to try.
    let rarest = (0u32..).zip(&pattern);
    let rarest = rarest.map(|(at, &token)| (at, places.places_of(token)));
    let Some((offset, candidates)) = rarest.min_by_key(|(_, places)| places.len()) else {
        return Vec::new();
    };
    if candidates.len() * pattern.len() > 4 * text.len() {
        return search_pattern(text, &pattern);
    }
    let starts = candidates
        .iter()
        .filter_map(|place| place.checked_sub(offset));
    starts
        .filter(|&start| text[start as usize..].starts_with(&pattern))
        .collect()
}

/// Finds the places of a pattern in work proportional to the text, however often parts of the
/// pattern repeat. This is the algorithm of Knuth, Morris and Pratt.
fn search_pattern(text: &[LineToken], pattern: &[LineToken]) -> Vec<u32> {
    // For each line of the pattern, how many lines before the next one begin the pattern again.
    let mut again = vec![0; pattern.len()];
    let advance = |again: &[usize], mut matched: usize, token: LineToken| {
        while matched > 0 && pattern.get(matched) != Some(&token) {
            matched = again[matched - 1];
        }
        matched + usize::from(pattern.get(matched) == Some(&token))
    };
    for at in 1..pattern.len() {
        again[at] = advance(&again, again[at - 1], pattern[at]);
    }
    let mut found = Vec::new();
    let mut matched = 0;
    for (at, &token) in text.iter().enumerate() {
        matched = advance(&again, matched, token);
        if matched == pattern.len() {
            found.push((at + 1 - matched) as u32);
        }
    }
    found
}

fn slice_tokens<'t>(tokens: &'t [LineToken], range: &Range<u32>) -> &'t [LineToken] {
    tokens
        .get(range.start as usize..range.end as usize)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where `text` has `pattern`, found in both ways.
    fn check(text: &str, pattern: &str, expected: &[u32]) {
        let [text, pattern] = [text, pattern]
            .map(|text| -> Vec<_> { text.bytes().map(|byte| LineToken(byte.into())).collect() });
        assert_eq!(search_pattern(&text, &pattern), expected);
        let known = LineOccurrences::new(&text, 256);
        let (first, lines) = pattern.split_first().unwrap();
        let (last, lines) = lines.split_last().unwrap();
        assert_eq!(
            find_pattern(&text, &known, (*first, lines, Some(*last))),
            expected
        );
        let rest = [lines, &[*last]].concat();
        let at_end = expected
            .last()
            .filter(|&&at| at as usize + pattern.len() == text.len());
        let at_end: Vec<_> = at_end.copied().into_iter().collect();
        assert_eq!(find_pattern(&text, &known, (*first, &rest, None)), at_end);
    }

    #[test]
    fn patterns_are_found_wherever_they_are() {
        check("", "ab", &[]);
        check("a", "ab", &[]);
        check("abcab", "ab", &[0, 3]);
        check("aaaaa", "aaa", &[0, 1, 2]);
        check("aaaaaaaaaaaaaaaaab", "aaaab", &[13]);
        check("abababcabab", "abab", &[0, 2, 7]);
        check("aabaabaaab", "aabaaa", &[3]);
    }
}
