//! The text of a file's content.

use claudecluster_core::diff::is_binary;
use claudecluster_protocol::FileMode;
use claudecluster_worker::changes::FileContent;

/// Reads file content as text.
pub(crate) trait ContentText {
    /// Returns the text; `None` for links and binary files.
    fn as_text(&self) -> Option<&str>;

    /// Returns content with this text and the same mode.
    fn with_text(&self, text: String) -> Self;
}

impl ContentText for FileContent {
    fn as_text(&self) -> Option<&str> {
        if self.mode == FileMode::Symlink || is_binary(&self.bytes) {
            return None;
        }
        std::str::from_utf8(&self.bytes).ok()
    }

    fn with_text(&self, text: String) -> Self {
        text_content(text, self.mode)
    }
}

/// Returns content with this text and mode.
pub(crate) fn text_content(text: String, mode: FileMode) -> FileContent {
    FileContent {
        bytes: text.into_bytes().into(),
        mode,
    }
}
