//! The private home of a goal's sessions.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use claudecluster_protocol::goal::AgentUsage;
use serde::{Deserialize, Serialize};

/// Returns the folder that Claude Code uses for its configuration.
pub(super) fn config_dir(home: &Path) -> PathBuf {
    home.join("claude")
}

fn inheritance_dir(home: &Path) -> PathBuf {
    home.join("sessions")
}

/// Makes the folders of the home; keeps existing ones.
pub(super) fn make_folders(home: &Path) -> io::Result<()> {
    for folder in [config_dir(home), inheritance_dir(home)] {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
    }
    Ok(())
}

/// Prepares the private home of a goal's Claude Code sessions: a configuration folder of its own,
/// with the user's login where there is one. Once a goal, before its first session.
///
/// The user's settings, hooks, MCP servers and memories stay out on purpose.
///
/// # Errors
/// The folder or the file cannot be written.
pub(super) fn prepare_home(home: &Path) -> io::Result<()> {
    make_folders(home)?;
    let config = config_dir(home);
    let settings = config.join(".claude.json");
    if !settings.exists() {
        write_private(&settings, br#"{"hasCompletedOnboarding":true}"#)?;
    }
    let own = std::env::var_os("CLAUDE_CONFIG_DIR").map(PathBuf::from);
    let users = own.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".claude")));
    let Some(login) = users.map(|folder| folder.join(".credentials.json")) else {
        return Ok(());
    };
    match fs::read(login) {
        Ok(secret) => write_private(&config.join(".credentials.json"), &secret),
        // No login: a key in the environment, or none, which the session will say.
        Err(_) => Ok(()),
    }
}

/// Writes a file that nobody else can read, not even while it is being written.
pub(super) fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    let written = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)
        .and_then(|mut file| io::Write::write_all(&mut file, content))
        .and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // Nothing half-written stays behind; the first error is the one to report.
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// The values that forks of a session inherit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct ForkInheritance {
    /// The running totals at the end of the session. Some releases of Claude Code carry them on into every
    /// fork; the cost of the fork is the difference then.
    pub(super) totals: AgentUsage,
    /// The model as it named it, context variant included. A fork that is told none takes the name
    /// that the provider answered with, which lacks the variant: its prompt would differ from its
    /// parent's near the start.
    pub(super) model: Option<String>,
}

impl ForkInheritance {
    /// Loads the values of `session`; the default if it left none.
    pub(super) fn load(home: &Path, session: &str) -> Self {
        let read = fs::read(Self::path(home, session)).ok();
        let left = read.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        left.unwrap_or_default()
    }

    /// Saves the values for forks of `session`.
    pub(super) fn save(&self, home: &Path, session: &str) -> io::Result<()> {
        let json = serde_json::to_vec(self).map_err(io::Error::other)?;
        write_private(&Self::path(home, session), &json)
    }

    fn path(home: &Path, session: &str) -> PathBuf {
        // A session id is a name of ours or of the agent; either way it must not lead elsewhere.
        let name: String = session
            .chars()
            .filter(|c| c.is_ascii_alphanumeric() || *c == '-')
            .collect();
        inheritance_dir(home).join(format!("{name}.json"))
    }
}

#[cfg(test)]
mod tests {
    use claudecluster_protocol::Usd;

    use super::*;

    #[test]
    fn what_a_session_leaves_is_found_again_and_stays_in_its_folder() {
        let home = tempfile::tempdir().unwrap();
        make_folders(home.path()).unwrap();
        let left = ForkInheritance {
            totals: AgentUsage {
                input_tokens: 7,
                cost_usd: Usd::from_micros(12),
                ..AgentUsage::default()
            },
            model: Some("claude-opus-4-8[1m]".to_owned()),
        };
        left.save(home.path(), "../../a-1").unwrap();
        assert_eq!(ForkInheritance::load(home.path(), "../../a-1"), left);
        assert!(home.path().join("sessions/a-1.json").exists());
        assert_eq!(
            ForkInheritance::load(home.path(), "b"),
            ForkInheritance::default()
        );
    }
}
