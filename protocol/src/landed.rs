//! The content of a file before and after a landing.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    BlobId,
    change::{FileMode, FileVersion},
};

/// The content of a file before and after a landing: what makes it happen at most once.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct LandedContent {
    /// The file before; `None` where it did not exist.
    pub before: Option<BlobId>,
    /// The file after; `None` where it was deleted.
    pub after: Option<BlobId>,
    /// Kind and permission before.
    #[serde(default, skip_serializing_if = "FileMode::is_regular")]
    pub mode_before: FileMode,
    /// Kind and permission after.
    #[serde(default, skip_serializing_if = "FileMode::is_regular")]
    pub mode_after: FileMode,
}

impl LandedContent {
    /// Returns the version of the file before the landing.
    pub fn version_before(&self) -> Option<FileVersion> {
        file_version(self.before.as_ref(), self.mode_before)
    }

    /// Returns the version of the file after the landing.
    pub fn version_after(&self) -> Option<FileVersion> {
        file_version(self.after.as_ref(), self.mode_after)
    }
}

fn file_version(blob: Option<&BlobId>, mode: FileMode) -> Option<FileVersion> {
    let blob = blob?.clone();
    Some(FileVersion { blob, mode })
}
