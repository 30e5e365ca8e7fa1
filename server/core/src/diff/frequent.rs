//! Lines that are not worth comparing.
//!
//! A line that the other text does not have is changed, whatever else is. A line that the other text
//! has very often (a brace, an empty line) says little about what corresponds to what; where it
//! stands among lines of the first kind it would only tie unrelated parts together, so it is taken
//! as changed as well. The limits are the ones git has, because what is left out decides which of
//! several shortest diffs is found.

use super::LineToken;

/// Limits the lines looked at on either side of a frequent line.
const WINDOW: usize = 100;
/// However long a text is, a line that the other one has more often than this is frequent.
const MOST_OFTEN: u32 = 1024;
/// Sets the number of absent lines for each frequent one up to which comparing is worth it.
const FREQUENT: usize = 3;

/// Classifies a line by its occurrences in the other text.
#[derive(Clone, Copy, PartialEq, Eq)]
enum LineFrequency {
    /// The other text does not have the line.
    Absent,
    /// The other text has the line a few times.
    Rare,
    /// The other text has the line so often that its places mean little.
    Frequent,
}

/// Returns a power of two near the square root, the measure git uses.
pub(super) fn about_root(n: usize) -> u32 {
    let bits = usize::BITS - n.leading_zeros();
    1 << bits.div_ceil(2)
}

/// Selects the lines of a part of a text to compare, in order. The text has `len` lines, and the
/// other text has each line as often as `occurs` says.
pub(super) fn worth_comparing(
    part: &[LineToken],
    len: usize,
    occurs: impl Fn(LineToken) -> u32,
) -> Vec<u32> {
    let often = about_root(len).min(MOST_OFTEN);
    let (mut absent, mut frequent) = (0, 0);
    let kind = |token: &LineToken| match occurs(*token) {
        0 => {
            absent += 1;
            LineFrequency::Absent
        }
        n if n < often => LineFrequency::Rare,
        _ => {
            frequent += 1;
            LineFrequency::Frequent
        }
    };
    let kinds: Vec<_> = part.iter().map(kind).collect();
    let stretches = (frequent > 0 && absent > FREQUENT).then(|| RareLineStretches::new(&kinds));
    let keep = |at: usize| match (kinds[at], &stretches) {
        (LineFrequency::Absent, _) => false,
        (LineFrequency::Frequent, Some(stretches)) => !stretches.is_drowned_by_absent(at),
        _ => true,
    };
    let mut kept = Vec::with_capacity(kinds.len() - absent);
    kept.extend((0..kinds.len()).filter(|&at| keep(at)).map(|at| at as u32));
    kept
}

/// The stretches between rare lines.
struct RareLineStretches {
    /// The number of absent lines above each line, and above the end.
    absent: Vec<u32>,
    /// The start and the end of the stretch of each line.
    starts: Vec<u32>,
    ends: Vec<u32>,
}

impl RareLineStretches {
    fn new(kinds: &[LineFrequency]) -> Self {
        let mut absent = Vec::with_capacity(kinds.len() + 1);
        let mut starts = Vec::with_capacity(kinds.len());
        let (mut count, mut start) = (0, 0);
        absent.push(count);
        for (at, kind) in (1..).zip(kinds) {
            starts.push(start);
            match kind {
                LineFrequency::Absent => count += 1,
                LineFrequency::Rare => start = at,
                LineFrequency::Frequent => {}
            }
            absent.push(count);
        }
        let mut ends = vec![0; kinds.len()];
        let mut end = kinds.len() as u32;
        for (at, kind) in kinds.iter().enumerate().rev() {
            ends[at] = end;
            if *kind == LineFrequency::Rare {
                end = at as u32;
            }
        }
        Self {
            absent,
            starts,
            ends,
        }
    }

    /// Returns whether absent lines outnumber a frequent line in its stretch. Absent lines must be
    /// both above and below the line, and too many for the frequent ones, where the line itself
    /// counts for two.
    fn is_drowned_by_absent(&self, at: usize) -> bool {
        let start = (self.starts[at] as usize).max(at.saturating_sub(WINDOW));
        let end = (self.ends[at] as usize).min(at + 1 + WINDOW);
        let above = self.absent[at] - self.absent[start];
        let below = self.absent[end] - self.absent[at];
        let absent = above + below;
        let frequent = end - start + 1 - absent as usize;
        above > 0 && below > 0 && absent as usize > FREQUENT * frequent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_are_powers_of_two() {
        for (n, root) in [
            (0, 1),
            (1, 2),
            (3, 2),
            (4, 4),
            (16, 8),
            (255, 16),
            (256, 32),
        ] {
            assert_eq!(about_root(n), root, "{n}");
        }
    }

    /// `kept` are the lines that stay. Upper case is absent, lower case rare, a point frequent.
    fn check(lines: &str, kept: &str) {
        let part: Vec<_> = lines.bytes().map(|b| LineToken(b.into())).collect();
        let occurs = |token: LineToken| match u8::try_from(token.0) {
            Ok(b'.') => 40,
            Ok(b'A'..=b'Z') => 0,
            _ => 1,
        };
        let stay = worth_comparing(&part, 400, occurs);
        let stay: String = stay
            .iter()
            .map(|&at| char::from(lines.as_bytes()[at as usize]))
            .collect();
        assert_eq!(stay, kept, "{lines}");
    }

    #[test]
    fn frequent_lines_go_among_absent_ones() {
        check("", "");
        check("aXb", "ab");
        check(".a.", ".a.");
        // More than six absent lines around a single frequent one, on both sides of it.
        check("XXX.XXXX", "");
        check("XXX.XXX", ".");
        check("XXXXXXXX.", ".");
        check(".XXXXXXXX", ".");
        check("XXX.XXX.XXXX", "");
        check("XXX..XXX.XXX", "...");
        // A rare line ends a stretch.
        check("XXXXXXXa.XXXXXXX", "a.");
        check("XXXa.XXXX", "a.");
        // No further than the window.
        let far = |n: usize| format!("{}{}X", "X".repeat(8), ".".repeat(n));
        check(&far(2), "..");
        check(
            &format!("{}a{}.{}", "X".repeat(50), "X".repeat(101), "X".repeat(4)),
            "a",
        );
    }
}
