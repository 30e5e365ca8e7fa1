//! The lines the developer types in. They are theirs: what was not asked for by name waits until the
//! typing there has stopped or moved on.

use std::{ops::Range, path::Path, time::Duration};

use claudecluster_protocol::Span;

use crate::workspace::{editor::EditedLines, editor_registry::EditorRegistry};

/// Returns the lines of an open document that are the developer's right now; `None` if nobody has
/// typed there for `pause`.
pub(crate) fn typed_lines(
    editors: &EditorRegistry,
    path: &Path,
    pause: Span,
) -> Option<Range<u32>> {
    let (_, document) = editors.document(path)?;
    let edited = document.edited?;
    remaining_pause(&edited, pause)?;
    Some(edited.lines)
}

/// Returns how long lines stay the developer's if nothing more is typed there; `None` if they are not.
pub(crate) fn remaining_pause(edited: &EditedLines, pause: Span) -> Option<Duration> {
    let left = pause.to_duration().checked_sub(edited.at.elapsed())?;
    (!left.is_zero()).then_some(left)
}

/// Returns whether lines that are typed in and the lines of a hunk have one in common, or lie side by side.
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
