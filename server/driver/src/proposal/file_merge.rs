//! Whole files merged: two later versions and the one they started from.

use std::sync::Arc;

use claudecluster_core::review;
use claudecluster_protocol::{ErrorBody, FileMode, change::FileVersion};

use crate::{
    config::DriverConfig,
    settings::MergeWords,
    workspace::{
        content_store::ContentStore,
        content_text::{ContentText, text_content},
    },
};

/// Where merged texts come from and go to, whether words are merged, and which files are held.
#[derive(Clone)]
pub(crate) struct FileMergeRules {
    pub(crate) config: Arc<DriverConfig>,
    pub(crate) contents: ContentStore,
    pub(crate) merge_words: MergeWords,
}

/// The result of a three-way merge of whole files.
pub(crate) enum MergeOutcome {
    Clean(Option<FileVersion>),
    /// A conflict: `ours` with every change of theirs that does not conflict, and the same with
    /// theirs where they do.
    Conflict {
        ours: Option<FileVersion>,
        theirs: Option<FileVersion>,
    },
}

/// Merges two later versions of a file with their base.
pub(crate) fn merge_files(
    rules: &FileMergeRules,
    base: &Option<FileVersion>,
    ours: &Option<FileVersion>,
    theirs: &Option<FileVersion>,
) -> Result<MergeOutcome, ErrorBody> {
    if theirs == ours || theirs == base {
        return Ok(MergeOutcome::Clean(ours.clone()));
    }
    if ours == base {
        return Ok(MergeOutcome::Clean(theirs.clone()));
    }
    let conflict = || MergeOutcome::Conflict {
        ours: ours.clone(),
        theirs: theirs.clone(),
    };
    let (Some(left), Some(right)) = (ours, theirs) else {
        return Ok(conflict());
    };
    let base_text = match base {
        Some(version) => text_of(&rules.contents, version)?,
        None => Some(String::new()),
    };
    let (Some(base_text), Some(left_text), Some(right_text)) = (
        base_text,
        text_of(&rules.contents, left)?,
        text_of(&rules.contents, right)?,
    ) else {
        return Ok(conflict());
    };
    // Whoever changed the mode means it; where both did, differently, the later one does.
    let base_mode = base
        .as_ref()
        .map_or(FileMode::Regular, |version| version.mode);
    let mode = if right.mode == base_mode {
        left.mode
    } else {
        right.mode
    };
    let store = |text: String| -> Result<Option<FileVersion>, ErrorBody> {
        Ok(Some(rules.contents.save(&text_content(text, mode))?))
    };
    let merged = review::merge_later_result(&base_text, &left_text, &right_text);
    let merged = match rules.merge_words {
        MergeWords::On => merged.by_words(),
        MergeWords::Off | MergeWords::Suggest => merged,
    };
    Ok(match merged.clean_text() {
        Some(text) => MergeOutcome::Clean(store(text)?),
        None => MergeOutcome::Conflict {
            ours: store(merged.taken_ours())?,
            theirs: store(merged.taken_theirs())?,
        },
    })
}

/// Returns whether a version can be merged by lines, or is none.
pub(crate) fn is_text(
    contents: &ContentStore,
    version: &Option<FileVersion>,
) -> Result<bool, ErrorBody> {
    Ok(match version {
        Some(version) => text_of(contents, version)?.is_some(),
        None => true,
    })
}

/// Returns the text of a file that can be merged by lines; `None` for links and binary files.
pub(crate) fn text_of(
    contents: &ContentStore,
    version: &FileVersion,
) -> Result<Option<String>, ErrorBody> {
    if version.mode == FileMode::Symlink {
        return Ok(None);
    }
    Ok(contents.load(version)?.as_text().map(str::to_owned))
}
