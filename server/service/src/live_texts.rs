//! Synchronous questions about the texts that editors hold, which change with every key.

use std::{any::Any, path::Path, sync::Arc};

use async_trait::async_trait;
use claudecluster_driver::{Editor, TextSource};
use claudecluster_protocol::{
    ErrorBody, HunkId,
    change::{HunkOrigin, HunkView},
};

use crate::service::Service;

/// Keeps an editor attached. Dropping this value detaches the editor.
pub type EditorAttachment = Box<dyn Any + Send + Sync>;

/// Answers questions about a text that an editor holds, and attaches editors.
///
/// The questions are synchronous and read memory, but may read a file of a proposal: ask them on a
/// thread that may block. No caller is checked here, so only fronts whose callers have every right
/// may use this trait.
#[async_trait]
pub trait LiveTexts: Send + Sync + 'static {
    /// Returns the pending hunks of one file (absolute path), of all goals, against `text`.
    fn hunks_in(&self, path: &Path, text: TextSource<'_>) -> Vec<HunkView>;

    /// Returns the origins of the lines of a file (absolute path): the hunks of all goals that are
    /// pending or have landed, against `text`.
    fn origins(&self, path: &Path, text: &str) -> Vec<HunkOrigin>;

    /// Returns `text` with a hunk accepted.
    ///
    /// # Errors
    ///
    /// The hunk is no longer pending, or no longer merges cleanly.
    fn preview(&self, hunk: &HunkId, text: &str) -> Result<String, ErrorBody>;

    /// Reports that the text of an open document (absolute path) has paused. Returns once the
    /// ledger records every undo and redo that the editor did there by itself.
    async fn text_settled(&self, path: &Path);

    /// Attaches an editor: its documents become part of every snapshot, and changes to them land there.
    fn attach(&self, editor: Arc<dyn Editor>) -> EditorAttachment;
}

/// Joins both traits that an editor front needs.
pub trait EditorService: Service + LiveTexts {}

impl<T: Service + LiveTexts> EditorService for T {}
