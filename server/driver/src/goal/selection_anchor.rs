//! The text at the lines that a goal points at: it identifies the place after lines have moved.

use std::path::Path;

use claudecluster_protocol::{
    GoalSpec,
    goal::{GoalSelection, SelectedText},
};
use claudecluster_store::blob_id;

use crate::workspace::{content_text::ContentText, editor_registry::EditorRegistry};

/// Records the text that the goal's selection covers now, in its editor or on disk. If that text
/// cannot be read or is blank, the selection is known by its lines alone.
pub(crate) fn anchor_selection(editors: &EditorRegistry, root: &Path, spec: &mut GoalSpec) {
    let Some(selection) = &mut spec.scope.selection else {
        return;
    };
    let content = match editors.current_content(root, &selection.path) {
        Ok(content) => content,
        Err(error) => {
            tracing::debug!(path = %selection.path, %error, "the selection is identified by its lines only");
            None
        }
    };
    let text = content.as_ref().and_then(ContentText::as_text);
    selection.text = text.and_then(|text| covered_text(text, selection));
}

fn covered_text(text: &str, selection: &GoalSelection) -> Option<SelectedText> {
    let lines: Vec<&str> = text.split_inclusive('\n').map(str::trim_end).collect();
    let (start, end) = (selection.start_line as usize, selection.end_line as usize);
    let covered = lines.get(start..end)?;
    if covered.iter().all(|line| line.is_empty()) {
        return None;
    }
    let above = lines.windows(covered.len()).take(start);
    let above = above.filter(|one| *one == covered).count();
    Some(SelectedText {
        hash: blob_id(covered.join("\n").as_bytes()),
        above: u32::try_from(above).unwrap_or(u32::MAX),
    })
}

#[cfg(test)]
mod tests {
    use claudecluster_protocol::RelPath;

    use super::*;

    fn of(text: &str, start_line: u32, end_line: u32) -> Option<SelectedText> {
        let path = RelPath::new("a").unwrap();
        let selection = GoalSelection {
            path,
            start_line,
            end_line,
            text: None,
        };
        covered_text(text, &selection)
    }

    #[test]
    fn lines_are_known_by_their_text_and_by_how_many_like_them_stand_above() {
        let text = "a\nb\n\nb\nb\n";
        let same = |one: Option<SelectedText>, other: Option<SelectedText>, expected: bool| {
            assert!(one.is_some() && other.is_some());
            assert_eq!(one == other, expected, "{one:?} {other:?}");
        };
        same(of(text, 0, 2), of("new\na\nb\n", 1, 3), true);
        same(of(text, 0, 2), of("a \r\nb", 0, 2), true);
        same(of(text, 0, 1), of(text, 1, 2), false);
        // The same words at another place.
        same(of(text, 1, 2), of(text, 3, 4), false);
        same(of(text, 4, 5), of("new\na\nb\n\nb\nb\n", 5, 6), true);
        // Stretches overlap where lines repeat.
        assert_eq!(of("b\nb\nb\n", 1, 3).unwrap().above, 1);
        for nothing in [
            of(text, 2, 3),
            of(text, 4, 6),
            of(text, 2, 2),
            of(text, 3, 1),
            of("", 0, 1),
        ] {
            assert_eq!(nothing, None);
        }
    }
}
