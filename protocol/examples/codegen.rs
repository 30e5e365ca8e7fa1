//! Writes `protocol/generated`. Run by `cargo xtask codegen`.

use std::{fs, io, path::Path};

use claudecluster_protocol::export;

fn main() -> io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("generated");
    // From nothing, so that the file of a type that is gone goes too.
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir(&folder)?;
    for file in export::generated_files() {
        fs::write(folder.join(file.name), file.content)?;
    }
    Ok(())
}
