//! The shortest diff, or nearly.
//!
//! This is the linear-space algorithm of Eugene Myers ("An O(ND) Difference Algorithm and Its
//! Variations", 1986): a search from both ends at once, one edit after the other, finds a point that
//! a shortest diff goes through; what lies before and after that point is divided in the same way.
//!
//! Texts that have little in common would take a time proportional to the product of their lengths.
//! Two rules bound it. After [`GOOD_COST`] edits, a place behind which a long run of equal lines
//! lies is good enough to divide at; and after a number of edits that grows with the square root of
//! the lengths, the search divides where it has come farthest. The rules, their numbers, and the
//! order in which equally good ways are tried are those that git's merges and diffs are known for:
//! where lines repeat there are many shortest diffs, and which one is taken decides what touches
//! what in a merge.

use std::ops::Range;

use super::{
    LineToken,
    counting::{LineCounts, same_end, same_start},
    frequent::{about_root, worth_comparing},
};

/// Sets the number of edits after which the search accepts a good place.
const GOOD_COST: i32 = 256;
/// Sets the number of equal lines in a row that make a place good.
const GOOD_RUN: i32 = 20;
/// Sets the number of lines for each edit that the search must have passed on the way to a good
/// place.
const GOOD_PACE: i32 = 4;
/// However short the texts are, the search goes on for so many edits.
const LEAST_LIMIT: i32 = 256;

/// Marks the lines that change between two parts of two texts.
pub(super) fn mark_changes(
    parts: [&[LineToken]; 2],
    texts: [&[LineToken]; 2],
    counts: &mut LineCounts,
    marks: &mut [impl AsMut<[bool]>; 2],
) {
    counts.count_texts(texts);
    let kept = [0, 1].map(|side| {
        worth_comparing(parts[side], texts[side].len(), |token| {
            counts.count_on_side(token, 1 - side)
        })
    });
    counts.forget_texts(texts);
    let lines = [0, 1].map(|side| -> Vec<LineToken> {
        let kept = kept[side].iter();
        kept.map(|&at| parts[side][at as usize]).collect()
    });
    for (side, marks) in marks.iter_mut().enumerate() {
        let marks = marks.as_mut();
        marks.fill(true);
        for &at in &kept[side] {
            marks[at as usize] = false;
        }
    }
    MyersSearch::new([&lines[0], &lines[1]]).report_changes(|side, changed| {
        let marks = marks[side].as_mut();
        for &at in &kept[side][changed] {
            marks[at as usize] = true;
        }
    });
}

/// A stretch of each list that is still to be compared.
struct UncomparedRange {
    ranges: [Range<usize>; 2],
    /// Says whether the diff of the piece must be a shortest one. The diff is known to be short
    /// then.
    exact: bool,
}

struct MyersSearch<'t> {
    lists: [&'t [LineToken]; 2],
    ahead: SearchFront,
    back: SearchFront,
    limit: i32,
}

/// Divides a piece at some lines from its start, and says whether the parts before and after must
/// be compared exactly.
struct SearchSplit {
    at: (i32, i32),
    exact: [bool; 2],
}

impl<'t> MyersSearch<'t> {
    fn new(lists: [&'t [LineToken]; 2]) -> Self {
        let lines = lists[0].len() + lists[1].len();
        let limit = i32::try_from(about_root(lines + 3)).unwrap_or(i32::MAX);
        Self {
            lists,
            ahead: SearchFront::new(lists),
            back: SearchFront::new(lists),
            limit: limit.max(LEAST_LIMIT),
        }
    }

    /// Reports every range that changes, with the side it is on.
    fn report_changes(mut self, mut changed: impl FnMut(usize, Range<usize>)) {
        let whole = UncomparedRange {
            ranges: self.lists.map(|list| 0..list.len()),
            exact: false,
        };
        // Not by recursion: in texts without end the pieces nest deep.
        let mut pieces = vec![whole];
        while let Some(mut piece) = pieces.pop() {
            let [a, b] = self.lists_of(&piece);
            let start = same_start(a, b);
            let end = same_end(&a[start..], &b[start..]);
            for range in &mut piece.ranges {
                range.start += start;
                range.end -= end;
            }
            let [a, b] = &piece.ranges;
            if a.is_empty() || b.is_empty() {
                changed(0, a.clone());
                changed(1, b.clone());
                continue;
            }
            let split = self.split_range(&piece);
            let x = (a.start + split.at.0 as usize).min(a.end);
            let y = (b.start + split.at.1 as usize).min(b.end);
            pieces.push(UncomparedRange {
                ranges: [x..a.end, y..b.end],
                exact: split.exact[1],
            });
            pieces.push(UncomparedRange {
                ranges: [a.start..x, b.start..y],
                exact: split.exact[0],
            });
        }
    }

    fn lists_of(&self, piece: &UncomparedRange) -> [&'t [LineToken]; 2] {
        let [a, b] = &piece.ranges;
        [&self.lists[0][a.clone()], &self.lists[1][b.clone()]]
    }

    /// Finds a place to divide a piece at. Both its lists have lines, and begin and end differently.
    fn split_range(&mut self, piece: &UncomparedRange) -> SearchSplit {
        let [a, b] = self.lists_of(piece);
        let ahead = EditPlane::<false> { a, b };
        let back = EditPlane::<true> { a, b };
        let turned = |(x, y): (i32, i32)| (ahead.width() - x, ahead.height() - y);
        let met = |at| SearchSplit {
            at,
            exact: [true; 2],
        };
        // What one front has reached is certain to be reached at the least cost, so that part is
        // compared exactly; the other is as long as before.
        let by_ahead = |at| SearchSplit {
            at,
            exact: [true, false],
        };
        let by_back = |at| SearchSplit {
            at: turned(at),
            exact: [false, true],
        };
        // With an odd number of diagonals between the corners, the search from the start completes
        // a way, else the one from the end.
        let odd = (ahead.width() - ahead.height()) & 1 == 1;
        self.ahead.reset_to_start(&ahead);
        self.back.reset_to_start(&back);
        let mut cost = 0;
        loop {
            cost += 1;
            let forward = self.ahead.advance_edit(&ahead, odd.then_some(&self.back));
            if let Some(at) = forward.met {
                return met(at);
            }
            let backward = self.back.advance_edit(&back, (!odd).then_some(&self.ahead));
            if let Some(at) = backward.met {
                return met(turned(at));
            }
            if piece.exact {
                continue;
            }
            if cost > GOOD_COST && (forward.ran || backward.ran) {
                if let Some(at) = self.ahead.good_place(&ahead, cost) {
                    return by_ahead(at);
                }
                if let Some(at) = self.back.good_place(&back, cost) {
                    return by_back(at);
                }
            }
            if cost >= self.limit {
                let (f, b) = (
                    self.ahead.farthest_point(&ahead),
                    self.back.farthest_point(&back),
                );
                return if b.0 + b.1 < f.0 + f.1 {
                    by_ahead(f)
                } else {
                    by_back(b)
                };
            }
        }
    }
}

/// Two lists as the sides of a rectangle: from a point, a step to the right is a line removed, a
/// step down is a line added, and a step along the diagonal is a line both have. With `BACK` the
/// lists are seen from their ends, so that searching backward is searching forward.
struct EditPlane<'t, const BACK: bool> {
    a: &'t [LineToken],
    b: &'t [LineToken],
}

impl<const BACK: bool> EditPlane<'_, BACK> {
    fn width(&self) -> i32 {
        self.a.len() as i32
    }

    fn height(&self) -> i32 {
        self.b.len() as i32
    }

    fn is_same_line(&self, x: i32, y: i32) -> bool {
        let (x, y) = (x as usize, y as usize);
        if BACK {
            self.a[self.a.len() - 1 - x] == self.b[self.b.len() - 1 - y]
        } else {
            self.a[x] == self.b[y]
        }
    }

    /// Follows equal lines from a point; gives how far to the right that leads.
    fn follow_run(&self, mut x: i32, mut y: i32) -> i32 {
        let (width, height) = (self.width(), self.height());
        while x < width && y < height && self.is_same_line(x, y) {
            x += 1;
            y += 1;
        }
        x
    }
}

/// Stores the farthest point of a search on each diagonal with the edits made so far. Diagonal `k`
/// has the points that are `k` more to the right than down.
struct SearchFront {
    /// The farthest column of each diagonal; -1 next to the outermost ones.
    reach: Vec<i32>,
    /// The index of diagonal 0.
    zero: i32,
    lowest: i32,
    highest: i32,
}

/// Reports the result of one more edit.
#[derive(Default)]
struct FrontAdvance {
    /// The point at which both searches met.
    met: Option<(i32, i32)>,
    /// Says whether a long run of equal lines was passed.
    ran: bool,
}

impl SearchFront {
    fn new(lists: [&[LineToken]; 2]) -> Self {
        Self {
            // All diagonals of the whole, and one beyond at either end.
            reach: vec![-1; lists[0].len() + lists[1].len() + 3],
            zero: 0,
            lowest: 0,
            highest: 0,
        }
    }

    /// Resets the search to the start, with no edit made.
    fn reset_to_start<const BACK: bool>(&mut self, plane: &EditPlane<'_, BACK>) {
        self.zero = plane.height() + 1;
        (self.lowest, self.highest) = (0, 0);
        self.set_reach(0, 0);
    }

    fn reach_at(&self, diagonal: i32) -> i32 {
        self.reach[(self.zero + diagonal) as usize]
    }

    fn set_reach(&mut self, diagonal: i32, x: i32) {
        self.reach[(self.zero + diagonal) as usize] = x;
    }

    /// Returns the diagonals this search is on. Both searches take them from the same side of the
    /// plane, so the one that sees it turned takes them in the other order.
    fn diagonals<const BACK: bool>(&self) -> impl Iterator<Item = i32> + use<BACK> {
        let (lowest, highest) = (self.lowest, self.highest);
        let count = (highest - lowest) / 2;
        (0..=count).map(move |n| {
            if BACK {
                lowest + 2 * n
            } else {
                highest - 2 * n
            }
        })
    }

    /// Moves one diagonal further out at either side, or one further in where the plane ends: only
    /// every other diagonal can be reached with a given number of edits.
    fn widen_diagonals<const BACK: bool>(&mut self, plane: &EditPlane<'_, BACK>) {
        if self.lowest > -plane.height() {
            self.lowest -= 1;
            self.set_reach(self.lowest - 1, -1);
        } else {
            self.lowest += 1;
        }
        if self.highest < plane.width() {
            self.highest += 1;
            self.set_reach(self.highest + 1, -1);
        } else {
            self.highest -= 1;
        }
    }

    /// Makes one more edit on every diagonal. Stops where it meets the other search, if this is the
    /// one to complete a way.
    fn advance_edit<const BACK: bool>(
        &mut self,
        plane: &EditPlane<'_, BACK>,
        other: Option<&Self>,
    ) -> FrontAdvance {
        self.widen_diagonals(plane);
        let mut advance = FrontAdvance::default();
        for k in self.diagonals::<BACK>() {
            let (removed, added) = (self.reach_at(k - 1), self.reach_at(k + 1));
            let x = if removed >= added { removed + 1 } else { added };
            let end = plane.follow_run(x, x - k);
            advance.ran |= end - x > GOOD_RUN;
            self.set_reach(k, end);
            if other.is_some_and(|other| other.covers_point(plane, end, k)) {
                advance.met = Some((end, end - k));
                break;
            }
        }
        advance
    }

    /// Returns whether this search has reached a point of the other one, which sees the plane
    /// turned.
    fn covers_point<const BACK: bool>(
        &self,
        plane: &EditPlane<'_, BACK>,
        x: i32,
        diagonal: i32,
    ) -> bool {
        let turned = plane.width() - plane.height() - diagonal;
        (self.lowest..=self.highest).contains(&turned) && self.reach_at(turned) + x >= plane.width()
    }

    /// Returns the best place to divide at that has a long run of equal lines behind it, if the
    /// search reached the place quickly.
    fn good_place<const BACK: bool>(
        &self,
        plane: &EditPlane<'_, BACK>,
        cost: i32,
    ) -> Option<(i32, i32)> {
        let mut best = None;
        let mut most = GOOD_PACE * cost;
        for k in self.diagonals::<BACK>() {
            let x = self.reach_at(k);
            let y = x - k;
            let way = x + y - k.abs();
            let inside =
                (GOOD_RUN..plane.width()).contains(&x) && (GOOD_RUN..plane.height()).contains(&y);
            if way > most && inside && (1..=GOOD_RUN).all(|n| plane.is_same_line(x - n, y - n)) {
                (best, most) = (Some((x, y)), way);
            }
        }
        best
    }

    /// Returns the point that is the farthest from the start.
    fn farthest_point<const BACK: bool>(&self, plane: &EditPlane<'_, BACK>) -> (i32, i32) {
        let mut best = (0, -1);
        for k in self.diagonals::<BACK>() {
            // The last edit on a diagonal can lead out of the plane.
            let x = self.reach_at(k).min(plane.width()).min(plane.height() + k);
            if x + x - k > best.0 + best.1 {
                best = (x, x - k);
            }
        }
        best
    }
}
