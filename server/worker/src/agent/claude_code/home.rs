//! The home of a Claude Code session: its configuration folder, its login and its record.

use std::path::{Path, PathBuf};

use claudecluster_files::{EntryKind, FolderHandle, ForeignFileError, read_named_file};

use super::login::{self, ClaudeLogin};
use crate::agent::AgentHome;

/// The folder for the configuration, in the home.
const CONFIG: &str = "claude";
/// The folder for the records of sessions, in that for the configuration.
const PROJECTS: &str = "projects";
/// The login, in the configuration folder; the user's own has the same name.
const CREDENTIALS: &str = ".credentials.json";
/// The login that a session has renewed, in the goal's keep.
const RENEWED: &str = "claude-login.json";
/// The largest login that is copied, in bytes.
const LOGIN_BYTES: u64 = 64 << 10;
/// The largest number of projects that a home has, and of files that belong to a session. A session has one of the
/// former.
const ENTRIES: usize = 256;

/// Returns the folder that Claude Code uses for its configuration.
pub(super) fn config_dir(home: &Path) -> PathBuf {
    home.join(CONFIG)
}

/// The home of a Claude Code session.
///
/// The user's settings, hooks, MCP servers and memories stay out on purpose.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClaudeHome;

impl AgentHome for ClaudeHome {
    /// Makes a configuration folder of its own, with the login where there is one: the user's, or a later one that
    /// an earlier session of the goal has made of it.
    fn fill(
        &self,
        home: &FolderHandle,
        keep: &FolderHandle,
        needs_login: bool,
    ) -> Result<(), ForeignFileError> {
        let config = home.make_folder(CONFIG)?;
        config.create_private(".claude.json", br#"{"hasCompletedOnboarding":true}"#)?;
        if !needs_login {
            return Ok(());
        }
        let renewed = keep.read_file(RENEWED, LOGIN_BYTES).ok();
        // No login: a key in the environment, or none, which the session will say.
        let users = read_user_login();
        let login = match (users, renewed) {
            (Some(users), Some(renewed)) => login::choose_later(users, renewed),
            (Some(users), None) => users,
            // Whoever has logged out is not logged in again.
            (None, _) => return Ok(()),
        };
        config.create_private(CREDENTIALS, &login)
    }

    fn list_session_files(
        &self,
        home: &FolderHandle,
        session: &str,
    ) -> Result<Vec<PathBuf>, ForeignFileError> {
        let place = Path::new(CONFIG).join(PROJECTS);
        let record = format!("{session}.jsonl");
        let names = match home.open_folder(&place) {
            Ok(folder) => list_names(&folder, EntryKind::Folder)?,
            Err(error) if error.is_not_found() => Vec::new(),
            Err(error) => return Err(error),
        };
        let mut projects: Vec<PathBuf> = names
            .into_iter()
            .map(|name| place.join(name))
            .filter(|project| {
                let kind = home.kind(project.join(&record));
                matches!(kind, Ok(Some(EntryKind::File)))
            })
            .collect();
        // A session works in one folder; which one it is matters to nobody but its forks.
        projects.sort();
        let Some(project) = projects.into_iter().next() else {
            return Ok(Vec::new());
        };
        // The record names these where an output was too long for it.
        let results = project.join(session).join("tool-results");
        let names = match home.open_folder(&results) {
            Ok(folder) => list_names(&folder, EntryKind::File)?,
            Err(error) if error.is_not_found() => Vec::new(),
            Err(error) => return Err(error),
        };
        let results = names.into_iter().map(|name| results.join(name));
        Ok(std::iter::once(project.join(record))
            .chain(results)
            .collect())
    }

    /// Keeps a login that Claude Code has renewed because it had run out: the one before is worth nothing then.
    ///
    /// A hostile session could leave the login of another account in that moment. So it is taken only where the
    /// user's was about to run out, has to look like it in everything but the tokens, and never leaves the goal.
    fn keep_login(&self, home: &FolderHandle, keep: &FolderHandle) -> Result<(), ForeignFileError> {
        let path = Path::new(CONFIG).join(CREDENTIALS);
        let left = match home.read_file(path, LOGIN_BYTES) {
            Ok(left) => ClaudeLogin::parse(&left),
            Err(error) if error.is_not_found() => return Ok(()),
            Err(error) => return Err(error),
        };
        let users = read_user_login().and_then(|users| ClaudeLogin::parse(&users));
        let (Some(left), Some(users)) = (left, users) else {
            return Ok(());
        };
        let before = keep.read_file(RENEWED, LOGIN_BYTES).ok();
        let before = before.and_then(|kept| ClaudeLogin::parse(&kept));
        let before = before.filter(|kept| kept.is_later_than(&users));
        if left.renews(before.as_ref().unwrap_or(&users), login::now()) {
            keep.write_private(RENEWED, &left.to_bytes())?;
        }
        Ok(())
    }
}

/// Returns the login of the user's own Claude Code.
fn read_user_login() -> Option<Vec<u8>> {
    let own = std::env::var_os("CLAUDE_CONFIG_DIR").map(PathBuf::from);
    let users = own.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".claude")))?;
    read_named_file(&users.join(CREDENTIALS), LOGIN_BYTES).ok()
}

/// Lists the entries of a kind whose names Claude Code could have given.
fn list_names(folder: &FolderHandle, kind: EntryKind) -> Result<Vec<String>, ForeignFileError> {
    let entries = folder.entries(ENTRIES)?;
    let named = entries.into_iter().filter(|entry| entry.kind == kind);
    let names = named.filter_map(|entry| entry.name.into_string().ok());
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    Ok(names
        .filter(|name| !name.starts_with('.') && name.chars().all(is_plain))
        .collect())
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    const SESSION: &str = "11111111-1111-4111-8111-111111111111";

    #[test]
    fn a_session_is_its_record_and_long_outputs() {
        let dir = tempfile::tempdir().unwrap();
        let home = FolderHandle::open(dir.path()).unwrap();
        let project = dir.path().join("claude/projects/-w");
        let results = project.join(SESSION).join("tool-results");
        fs::create_dir_all(&results).unwrap();
        fs::create_dir_all(project.join(SESSION).join("subagents")).unwrap();
        let list = || ClaudeHome.list_session_files(&home, SESSION).unwrap();
        assert!(list().is_empty());
        let record = PathBuf::from(format!("claude/projects/-w/{SESSION}.jsonl"));
        fs::write(dir.path().join(&record), "{}").unwrap();
        fs::write(project.join("other.jsonl"), "{}").unwrap();
        fs::write(results.join("b1.txt"), "long").unwrap();
        symlink("/etc/passwd", results.join("b2.txt")).unwrap();
        let result = PathBuf::from(format!("claude/projects/-w/{SESSION}/tool-results/b1.txt"));
        assert_eq!(list(), [record.clone(), result]);
        // A link is no record, nor is anything behind one.
        fs::remove_file(dir.path().join(&record)).unwrap();
        symlink("/etc/passwd", dir.path().join(&record)).unwrap();
        assert!(list().is_empty());
        fs::rename(dir.path().join("claude/projects"), dir.path().join("moved")).unwrap();
        symlink(dir.path().join("moved"), dir.path().join("claude/projects")).unwrap();
        assert!(ClaudeHome.list_session_files(&home, SESSION).is_err());
    }
}
