//! Where a group of lines reads best.
//!
//! A group that is only added, or only removed, divides the text in two places: above its first line
//! and below its last. People expect these where the text divides anyway: at empty lines, and where
//! the indentation goes back. The weights were found by others by experiment on real code, and are
//! the ones `git diff` has.

use std::{cmp::Ordering, ops::Range};

use super::LineToken;

/// Deeper indentation than this is all the same.
const DEEPEST: u8 = 200;
/// More empty lines in a row than this are not looked at.
const MOST_BLANK: usize = 20;
/// No group is raised by more lines than this.
const MOST_RAISED: u32 = 100;

/// Returns the indentation of a line; `None` if the line is blank.
pub(super) fn indent_depth(line: &[u8]) -> Option<u8> {
    let mut depth = 0;
    for byte in line {
        depth = match byte {
            b' ' => depth + 1,
            b'\t' => depth / 8 * 8 + 8,
            b'\n' | b'\r' => depth,
            _ => return Some(depth),
        };
        if depth >= DEEPEST {
            return Some(DEEPEST);
        }
    }
    None
}

/// Returns the best end of a group that can end anywhere from `earliest` to its present end.
pub(super) fn best_end(
    lines: &[LineToken],
    group: &Range<u32>,
    earliest: u32,
    depth: impl Fn(LineToken) -> Option<u8>,
) -> u32 {
    let size = group.end - group.start;
    // Higher than by one more line than it has, the group would only show the same lines again.
    let farthest = MOST_RAISED.min(size + 1);
    let earliest = earliest.max(group.end.saturating_sub(farthest));
    let badness = |end: u32| {
        let seam = |at: u32| LineSeam::between_lines(lines, at as usize, &depth).badness();
        let (above, below) = (seam(end - size), seam(end));
        (above.0 + below.0, above.1 + below.1)
    };
    let places = (earliest..=group.end).map(|end| (end, badness(end)));
    let best = places.reduce(|best, lower| {
        if is_worse(lower.1, best.1) {
            best
        } else {
            lower
        }
    });
    best.map_or(group.end, |(end, _)| end)
}

/// Returns whether a place is worse than the best one so far. Less indentation is better, unless
/// the penalty is much higher. The relation is not transitive, so it matters that places are tried
/// from the top down.
fn is_worse((depth, penalty): (i32, i32), (best_depth, best_penalty): (i32, i32)) -> bool {
    const DEPTH: i32 = 60;
    let deeper = match depth.cmp(&best_depth) {
        Ordering::Less => -DEPTH,
        Ordering::Equal => 0,
        Ordering::Greater => DEPTH,
    };
    deeper + penalty > best_penalty
}

/// Describes the surroundings of a place between two lines.
struct LineSeam {
    /// The line below, nothing if it is blank or the text ends.
    here: Option<u8>,
    is_end: bool,
    above: SeamSide,
    /// The lines after the one below.
    below: SeamSide,
}

/// Blank lines, and the line after them.
struct SeamSide {
    blank: usize,
    depth: Option<u8>,
}

impl SeamSide {
    fn new(depths: impl Iterator<Item = Option<u8>>) -> Self {
        let mut blank = 0;
        for depth in depths {
            if depth.is_some() {
                return Self { blank, depth };
            }
            blank += 1;
            if blank == MOST_BLANK {
                return Self {
                    blank,
                    depth: Some(0),
                };
            }
        }
        Self { blank, depth: None }
    }
}

impl LineSeam {
    fn between_lines(
        lines: &[LineToken],
        at: usize,
        depth: impl Fn(LineToken) -> Option<u8>,
    ) -> Self {
        let above = lines.iter().take(at).rev();
        let below = lines.iter().skip(at + 1);
        Self {
            here: lines.get(at).and_then(|&line| depth(line)),
            is_end: at >= lines.len(),
            above: SeamSide::new(above.map(|&line| depth(line))),
            below: SeamSide::new(below.map(|&line| depth(line))),
        }
    }

    /// Returns the depth of the text here, and a penalty for all other reasons.
    fn badness(&self) -> (i32, i32) {
        let blank_below = match self.here {
            None => 1 + self.below.blank,
            Some(_) => 0,
        };
        let blank = self.above.blank + blank_below;
        let mut penalty = 6 * blank_below as i32 - 30 * blank as i32;
        if self.above.depth.is_none() && self.above.blank == 0 {
            penalty += 1;
        }
        if self.is_end {
            penalty += 21;
        }
        let depth = self.here.or(self.below.depth);
        penalty += self.turn_penalty(depth, blank > 0);
        (depth.map_or(-1, i32::from), penalty)
    }

    /// Returns the penalty for the change of indentation: into a block is better than out of one.
    fn turn_penalty(&self, depth: Option<u8>, blank: bool) -> i32 {
        let (Some(depth), Some(above)) = (depth, self.above.depth) else {
            return 0;
        };
        let opens = self.below.depth.is_some_and(|below| below > depth);
        match (depth.cmp(&above), blank) {
            (Ordering::Equal, _) => 0,
            (Ordering::Greater, true) => 10,
            (Ordering::Greater, false) => -4,
            (Ordering::Less, true) => 17,
            // The start of another block, or the end of this one.
            (Ordering::Less, false) if opens => 24,
            (Ordering::Less, false) => 23,
        }
    }
}
