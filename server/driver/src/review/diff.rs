//! The patch of what accepting a proposal would change.

use std::path::Path;

use claudecluster_core::{
    patch::{self, PatchFile, PatchFilePair},
    state::{FileEntry, Goal},
};
use claudecluster_protocol::{
    ErrorBody, RelPath,
    api::{Decision, DecisionReport},
};
use claudecluster_worker::changes::FileContent;

use crate::{
    review::{
        cache::ReviewCache,
        renames::open_entries,
        verdict::{self, named_target::check_named},
        versions::FileVersions,
    },
    workspace::editor_registry::EditorRegistry,
};

/// A unified diff, with the changes that a diff cannot express.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AcceptancePatch {
    /// Input for `git apply`. Bytes, for file content need not be UTF-8.
    pub text: Vec<u8>,
    /// Changes it cannot express, one line each.
    pub omitted: Vec<String>,
}

/// Returns the diff from the current text to the text after accepting. Conflicts are left out and
/// named.
pub(crate) fn diff_of_accepting(
    editors: &EditorRegistry,
    reviews: &ReviewCache,
    goal: &Goal,
    wanted: &Decision,
) -> Result<AcceptancePatch, ErrorBody> {
    let root = Path::new(&goal.spec.workspace);
    let mut pairs = Vec::new();
    let mut omitted = Vec::new();
    for entry in open_entries(goal).filter(|entry| is_in(entry, wanted.path.as_ref())) {
        let path = &entry.file.path;
        let versions = FileVersions::load(
            reviews.contents(),
            entry,
            editors.current_content(root, path)?,
        )?;
        // Naming the file is the look that held changes need: this is where they are looked at.
        let decision = Decision {
            path: Some(path.clone()),
            ..wanted.clone()
        };
        let mut verdicts = verdict::accept_entry(reviews, goal, entry, &versions, &decision)?;
        if verdicts.conflicts > 0 {
            omitted.push(format!(
                "{path}: {} in conflict",
                hunks_in_words(verdicts.conflicts)
            ));
        }
        if let Some(change) = verdicts.changes.pop() {
            let old_place = match &entry.file.from {
                Some(from) => editors.current_content(root, from)?,
                None => None,
            };
            let before = versions.current.or(old_place);
            pairs.push((path, entry.file.from.as_ref(), before, change.current));
        }
    }
    if pairs.is_empty() && omitted.is_empty() {
        check_named(wanted, &DecisionReport::default())?;
    }
    let files: Vec<PatchFilePair<'_>> = pairs
        .iter()
        .map(|(path, from, old, new)| PatchFilePair {
            path,
            from: *from,
            old: file_at(old),
            new: file_at(new),
        })
        .collect();
    let patch = patch::unified_patch(&files);
    omitted.extend(patch.omitted);
    Ok(AcceptancePatch {
        text: patch.diff.into_bytes(),
        omitted,
    })
}

/// Returns whether an entry has this path, or had it before a rename.
fn is_in(entry: &FileEntry, path: Option<&RelPath>) -> bool {
    path.is_none_or(|path| entry.file.path == *path || entry.file.from.as_ref() == Some(path))
}

fn file_at(content: &Option<FileContent>) -> Option<PatchFile<'_>> {
    content.as_ref().map(|content| PatchFile {
        mode: content.mode,
        content: &content.bytes,
    })
}

fn hunks_in_words(n: u32) -> String {
    if n == 1 {
        "1 hunk".to_owned()
    } else {
        format!("{n} hunks")
    }
}
