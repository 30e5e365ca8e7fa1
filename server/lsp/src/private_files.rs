//! Folders that only the user may read.

use std::{fs, io, path::Path};

/// Creates a private folder (mode 0700) with its parents, if it does not exist.
///
/// # Errors
///
/// The folder cannot be created.
pub(crate) fn create_private_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(folder)
}
