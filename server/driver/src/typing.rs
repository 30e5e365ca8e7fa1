//! The lines the developer types in. They are theirs: what was not asked for by name waits until the
//! typing there has stopped or moved on.

use std::{ops::Range, path::Path, time::Duration};

use crate::{editor::Edited, shared::Shared};

/// The lines of an open document that are the developer's right now; `None` where nobody types.
pub(crate) fn lines(shared: &Shared, path: &Path) -> Option<Range<u32>> {
    let (_, document) = shared.document(path)?;
    let edited = document.edited?;
    left(shared, &edited)?;
    Some(edited.lines)
}

/// How long lines stay the developer's if nothing more is typed there; `None` where they are not.
pub(crate) fn left(shared: &Shared, edited: &Edited) -> Option<Duration> {
    let pause = shared.config.settings.review.typing_pause.to_duration();
    let left = pause.checked_sub(edited.at.elapsed())?;
    (!left.is_zero()).then_some(left)
}

/// Whether lines that are typed in and the lines of a hunk have one in common, or lie side by side.
pub(crate) fn meet(typed: &Range<u32>, hunk: &Range<u32>) -> bool {
    hunk.start <= typed.end && typed.start <= hunk.end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_beside_count() {
        for (typed, hunk, expected) in [
            (5..6, 5..6, true),
            (5..6, 6..7, true),
            (5..6, 4..5, true),
            (5..6, 7..8, false),
            (5..6, 3..4, false),
            (5..6, 6..6, true),
            (5..6, 5..5, true),
            (5..6, 4..4, false),
            (5..6, 7..7, false),
            (5..5, 5..6, true),
            (5..5, 4..5, true),
            (5..5, 6..7, false),
        ] {
            assert_eq!(meet(&typed, &hunk), expected, "{typed:?} {hunk:?}");
        }
    }
}
