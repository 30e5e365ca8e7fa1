//! The workspace as it is: files on disk, open buffers, git, and the content of recorded versions.

mod bounded_process;
pub(crate) mod content_store;
pub(crate) mod content_text;
pub(crate) mod disk;
pub(crate) mod editor;
pub(crate) mod editor_registry;
pub(crate) mod git;
pub(crate) mod snapshot;
pub(crate) mod text_source;
pub(crate) mod typing;
