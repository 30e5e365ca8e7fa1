//! The seam between agents and sandboxes: a sandbox decides how the program of an agent is started.

use std::{
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
};

/// Starts programs inside some view of the workspace.
pub trait ProgramLauncher: Send + Sync {
    /// A command that runs `argv` in the view, with exactly the environment `env` and nothing
    /// inherited. Standard streams are the caller's to set. Dropping the child kills it with
    /// everything it started.
    fn command(&self, argv: &[OsString], env: &[(OsString, OsString)]) -> tokio::process::Command;

    /// Returns the path at which the program sees the workspace.
    fn root(&self) -> &Path;

    /// Returns the path at which the program sees a private folder, or what lies in it. Other paths are
    /// the same inside.
    fn path_inside(&self, path: &Path) -> PathBuf {
        path.to_owned()
    }

    /// The environment every program in the view gets, before its own additions: an allow-list.
    fn base_env(&self) -> Vec<(OsString, OsString)>;
}

/// Convenience for building argument vectors.
pub fn argv<I, S>(parts: I) -> Vec<OsString>
where
    I: IntoIterator<Item = S>,
    S: AsRef<OsStr>,
{
    parts
        .into_iter()
        .map(|part| part.as_ref().to_owned())
        .collect()
}
