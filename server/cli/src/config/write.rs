//! Changes of the user's configuration file.

use std::{
    fs::{self, DirBuilder},
    io::{self, Write as _},
    os::unix::fs::DirBuilderExt as _,
    path::Path,
};

use claudecluster_protocol::ErrorBody;
use serde_json::Value;

use super::{
    ConfigSources, file,
    keys::{self, ConfigKey},
};
use crate::{exit::ErrorContext as _, ui::text};

impl ConfigSources {
    /// Changes one key in the user's file. The rest of the file stays as it is.
    pub(crate) fn write_value(&self, key: &ConfigKey, value: &Value) -> Result<(), ErrorBody> {
        self.change_file(|before| file::set_value(before, key, value))
    }

    /// Adds items to a list in the user's file. Items and comments that are there stay.
    pub(crate) fn add_to_list(&self, path: &str, items: &str) -> Result<(), ErrorBody> {
        let key = keys::find_key(path)
            .ok_or_else(|| ErrorBody::internal(format!("there is no setting `{path}`")))?;
        let added = key
            .read(items)
            .map_err(|error| ErrorBody::user(format!("`{path}`: {error}")))?;
        let Value::Array(added) = added else {
            return Err(
                ErrorBody::user(format!("the setting `{path}` is not a list")).with_hint(format!(
                    "change it with: claudecluster config set {path} VALUE"
                )),
            );
        };
        // A list that the file does not have yet goes on from the default.
        let default = super::Config::default_value(key);
        self.change_file(|before| file::add_items(before, key, &default, &added))
    }

    fn change_file(
        &self,
        change: impl FnOnce(&str) -> Result<String, String>,
    ) -> Result<(), ErrorBody> {
        let file = &self.user_file;
        let before = match super::read_text(file, super::ConfigOwner::User) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => {
                let words = format!("cannot read {}: {error}", file.display());
                return Err(ErrorBody::config(words));
            }
        };
        let after = change(&before).map_err(|error| {
            let words = format!(
                "cannot change {}: {}",
                file.display(),
                text::one_line(&error)
            );
            ErrorBody::config(words).with_hint("fix the file first: claudecluster config edit")
        })?;
        write_file(file, &after)
    }
}

/// Replaces a whole file, and follows a link: people keep such files elsewhere.
pub(crate) fn write_file(file: &Path, text: &str) -> Result<(), ErrorBody> {
    let target = file.canonicalize().unwrap_or_else(|_| file.to_owned());
    let parent = target.parent().unwrap_or(Path::new("/"));
    let write = || -> io::Result<()> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(parent)?;
        let mut temporary = tempfile::NamedTempFile::new_in(parent)?;
        temporary.write_all(text.as_bytes())?;
        if let Ok(meta) = fs::metadata(&target) {
            temporary.as_file().set_permissions(meta.permissions())?;
        }
        temporary.persist(&target)?;
        Ok(())
    };
    write().context(format!("cannot write {}", target.display()))
}
