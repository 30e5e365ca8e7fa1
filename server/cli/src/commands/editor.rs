//! Opens the user's own editor for texts that the user has to write.

use std::{path::Path, process::Command};

use claudecluster_protocol::ErrorBody;

/// Opens a file in `$VISUAL`, `$EDITOR` or `vi`, and returns once that editor ends.
pub(super) fn open_in_editor(file: &Path) -> Result<(), ErrorBody> {
    let editor = ["VISUAL", "EDITOR"]
        .into_iter()
        .find_map(|name| {
            std::env::var(name)
                .ok()
                .filter(|editor| !editor.trim().is_empty())
        })
        .unwrap_or_else(|| "vi".to_owned());
    // Editors are named with their options: `code --wait`.
    let mut words = editor.split_whitespace();
    let status = Command::new(words.next().unwrap_or("vi"))
        .args(words)
        .arg(file)
        .status()
        .map_err(|e| {
            ErrorBody::environment(format!("cannot start the editor {editor:?}: {e}"))
                .with_hint("set EDITOR to a command that waits until the file is closed, such as `code --wait`")
        })?;
    if !status.success() {
        return Err(ErrorBody::environment(format!(
            "the editor {editor:?} failed: {status}"
        )));
    }
    Ok(())
}
