//! The three versions of a file that a review compares.

use std::ops::Range;

use claudecluster_core::state::FileEntry;
use claudecluster_protocol::ErrorBody;
use claudecluster_worker::changes::FileContent;

use crate::workspace::{content_store::ContentStore, content_text::ContentText};

/// The three versions of one file: base, current and proposed.
#[derive(Clone, Debug, Default)]
pub(crate) struct FileVersions {
    pub(crate) base: Option<FileContent>,
    pub(crate) current: Option<FileContent>,
    pub(crate) proposed: Option<FileContent>,
    /// Lines of the current text that the developer is typing in.
    pub(crate) typed: Option<Range<u32>>,
}

impl FileVersions {
    /// Loads base and proposed of an entry, beside the current content as given.
    pub(crate) fn load(
        contents: &ContentStore,
        entry: &FileEntry,
        current: Option<FileContent>,
    ) -> Result<Self, ErrorBody> {
        Ok(Self {
            base: contents.load_optional(entry.file.base.as_ref())?,
            current,
            proposed: contents.load_optional(entry.file.proposed.as_ref())?,
            typed: None,
        })
    }

    /// Returns the three texts; `None` if the file cannot be reviewed by lines.
    pub(crate) fn texts(&self) -> Option<(&str, &str, &str)> {
        Some((
            self.base.as_ref()?.as_text()?,
            self.current.as_ref()?.as_text()?,
            self.proposed.as_ref()?.as_text()?,
        ))
    }

    /// Returns whether nobody has changed the file since its base.
    pub(crate) fn is_untouched(&self) -> bool {
        // An empty buffer at the place of a file that is not there yet is what an editor shows to
        // somebody who looks for the file: nobody's text.
        let nothing = self.current.as_ref().is_none_or(|c| c.bytes.is_empty());
        self.current == self.base || self.base.is_none() && nothing
    }
}
