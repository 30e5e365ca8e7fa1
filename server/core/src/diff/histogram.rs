//! A diff that follows what is rare.
//!
//! People find their way in a text by its rare lines: the head of a function rather than its closing
//! brace. So the longest run of equal lines around the rarest line is taken as unchanged, and what
//! is before and after it is compared in the same way. Where only frequent lines are left, and where
//! this would take too long, [`myers`] takes over.

use std::{cmp::Reverse, ops::Range};

use super::{Places, Token, compare::Counts, myers};

/// A line that is there more often than this is nothing to go by.
const MOST_OFTEN: usize = 64;
/// How many lines may be looked at for each line there is: halving a text again and again takes
/// about twenty, and taking it apart from one end could take as many as it has.
const PATIENCE: usize = 64;

/// Marks the lines that change between two parts.
pub(super) fn mark(parts: [&[Token]; 2], counts: &mut Counts, marks: &mut [Vec<bool>; 2]) {
    let places = Places::new(parts[0], counts.words());
    let mut patience = PATIENCE * (parts[0].len() + parts[1].len());
    let mut regions = vec![parts.map(|part| 0..part.len())];
    while let Some(region) = regions.pop() {
        let [old, new] = region;
        patience = patience.saturating_sub(new.len());
        let anchor = if old.is_empty() || new.is_empty() {
            Anchor::Nothing
        } else if patience == 0 {
            Anchor::Frequent
        } else {
            anchor(parts, &old, &new, &places)
        };
        match anchor {
            Anchor::Nothing => {
                marks[0][old].fill(true);
                marks[1][new].fill(true);
            }
            Anchor::Frequent => {
                let parts = [&parts[0][old.clone()], &parts[1][new.clone()]];
                let [a, b] = &mut *marks;
                myers::mark(parts, parts, counts, &mut [&mut a[old], &mut b[new]]);
            }
            Anchor::Run(run) => {
                regions.push([run.old + run.len..old.end, run.new + run.len..new.end]);
                regions.push([old.start..run.old, new.start..run.new]);
            }
        }
    }
}

/// What there is to divide a region at.
enum Anchor {
    /// The sides have no line in common.
    Nothing,
    /// All lines they have in common are frequent.
    Frequent,
    Run(Run),
}

/// Equal lines in both parts.
#[derive(Clone, Copy)]
struct Run {
    old: usize,
    new: usize,
    len: usize,
}

/// Finds the run to divide a region at: one with the rarest line, of these the longest, of these the
/// one nearest to the middle, so that what is left is of about the same size on both sides.
fn anchor(parts: [&[Token]; 2], old: &Range<usize>, new: &Range<usize>, places: &Places) -> Anchor {
    let [a, b] = parts;
    let found: Vec<&[u32]> = b[new.clone()]
        .iter()
        .map(|&token| places.within(token, old))
        .collect();
    let often = |at: usize| found[at - new.start].len();
    let mut is_common = false;
    let mut best: Option<((usize, Reverse<usize>, usize), Run)> = None;
    let mut at = new.start;
    while at < new.end {
        let here = often(at);
        is_common |= here > 0;
        let mut next = at + 1;
        if (1..=best.map_or(MOST_OFTEN, |(rank, _)| rank.0)).contains(&here) {
            let mut done = old.start;
            for place in found[at - new.start].iter().map(|&place| place as usize) {
                // Part of the run before.
                if place < done {
                    continue;
                }
                let up = a[old.start..place]
                    .iter()
                    .rev()
                    .zip(b[new.start..at].iter().rev());
                let up = up.take_while(|(a, b)| a == b).count();
                let down = a[place..old.end].iter().zip(&b[at..new.end]);
                let down = down.take_while(|(a, b)| a == b).count();
                done = place + down;
                next = next.max(at + down);
                let run = Run {
                    old: place - up,
                    new: at - up,
                    len: up + down,
                };
                let rarest = (run.new..run.new + run.len).map(often).min();
                let aside = (2 * run.new + run.len).abs_diff(new.start + new.end);
                let rank = (rarest.unwrap_or(here), Reverse(run.len), aside);
                if best.is_none_or(|(best, _)| rank < best) {
                    best = Some((rank, run));
                }
            }
        }
        at = next;
    }
    match best {
        Some((_, run)) => Anchor::Run(run),
        None if is_common => Anchor::Frequent,
        None => Anchor::Nothing,
    }
}
