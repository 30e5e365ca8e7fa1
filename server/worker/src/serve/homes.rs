//! The homes of sessions, and the goal's keep of what later sessions need of earlier ones.
//!
//! ```text
//! STATE/goals/<goal>/
//!   sessions/<session>/          session.json, files/: copied from the home of the session that ended
//!   tasks/<task>/<attempt>/home/ the home of a session, as long as it runs
//! ```
//!
//! No sandbox shows the keep. A session whose files are not there is not forked: the new one starts without it.

use std::{
    fs::DirBuilder,
    io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use claudecluster_files::{
    EntryKind, FolderHandle, ForeignFileError, LEAVING, WalkLimits, WalkStep,
};
use claudecluster_protocol::plan::AgentName;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::agent::{AgentHome, ForkInheritance, is_model_name, registry};

/// The folder of the home, in that of the job.
pub(crate) const HOME: &str = "home";
/// The files of a session, in its folder of the keep.
const FILES: &str = "files";
/// The rest of what is known of a session. Written last, so that a folder with it is complete.
const SESSION: &str = "session.json";
/// The largest file of a session that is kept, and all of them, in bytes. One that has more cannot be forked.
const FILE_BYTES: u64 = 64 << 20;
const SESSION_BYTES: u64 = 128 << 20;
/// The largest number of files of a session that are kept.
const FILE_COUNT: usize = 512;
/// What the keep has of a session at most.
const LIMITS: WalkLimits = WalkLimits {
    depth: 16,
    entries: FILE_COUNT * 4,
    bytes: SESSION_BYTES,
};

/// The sessions that a goal keeps for forks and resumes. Attempts that run side by side read it together.
#[derive(Clone, Debug)]
pub(crate) struct SessionKeep {
    dir: PathBuf,
}

/// What is kept of a session beside its files.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct KeptSession {
    agent: AgentName,
    inheritance: ForkInheritance,
}

/// Returns the name of a session as we give it; `None` for anything else, which must not reach a path or a
/// command line.
pub(crate) fn session_name(session: &str) -> Option<String> {
    let id = Uuid::try_parse(session).ok()?;
    Some(id.hyphenated().to_string())
}

impl SessionKeep {
    /// Keeps sessions in `dir`, which no sandbox shows.
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// Makes the home of a session in the folder of its job, with what a fork of `parent` needs. Returns what the
    /// fork inherits; `None` if there is nothing of `parent` to start from. `needs_login` says that the session has no
    /// login by other means. Blocks.
    ///
    /// # Errors
    /// The home cannot be written.
    pub(crate) fn make_home(
        &self,
        agent: &dyn AgentHome,
        name: AgentName,
        job: &Path,
        parent: Option<&str>,
        needs_login: bool,
    ) -> Result<Option<ForkInheritance>, ForeignFileError> {
        make_private_folder(job)?;
        let job = FolderHandle::open(job)?;
        job.remove_entry(HOME.as_ref())?;
        let home = job.make_folder(HOME)?;
        let keep = self.open()?;
        agent.fill(&home, &keep, needs_login)?;
        let Some(parent) = parent.and_then(session_name) else {
            return Ok(None);
        };
        let kept = read_kept(&keep, &parent).filter(|kept| kept.agent == name);
        let Some(kept) = kept else {
            tracing::info!(%parent, "there is no such session to start from; a new one is started");
            return Ok(None);
        };
        if let Err(error) = restore_session(&keep, &parent, &home) {
            tracing::warn!(%error, %parent, "a session cannot be started from; a new one is started");
            return Ok(None);
        }
        Ok(Some(kept.inheritance))
    }

    /// Copies what forks of a session need out of its home. Returns whether it can be forked. Blocks.
    ///
    /// # Errors
    /// The keep cannot be written, or what lies in the home is not what the agent leaves there.
    pub(crate) fn keep_session(
        &self,
        agent: &dyn AgentHome,
        name: AgentName,
        home: &Path,
        session: &str,
        inheritance: ForkInheritance,
    ) -> Result<bool, ForeignFileError> {
        let home = FolderHandle::open(home)?;
        let keep = self.open()?;
        if let Err(error) = agent.keep_login(&home, &keep) {
            tracing::warn!(%error, "the login that a session has left is not kept");
        }
        let Some(session) = session_name(session) else {
            return Ok(false);
        };
        let paths = agent.list_session_files(&home, &session)?;
        if paths.is_empty() {
            return Ok(false);
        }
        keep.remove_entry(session.as_ref())?;
        let folder = keep.make_folder(&session)?;
        let kept = copy_session(&home, &folder.make_folder(FILES)?, &paths).and_then(|()| {
            let kept = KeptSession {
                agent: name,
                inheritance,
            };
            let json = serde_json::to_vec(&kept).map_err(std::io::Error::other)?;
            folder.write_private(SESSION, &json)
        });
        if kept.is_err() {
            // What is there of it is of no use; the first error is the one to report.
            let _ = keep.remove_entry(session.as_ref());
        }
        kept.map(|()| true)
    }

    fn open(&self) -> Result<FolderHandle, ForeignFileError> {
        make_private_folder(&self.dir)?;
        FolderHandle::open(&self.dir)
    }
}

/// Takes away the homes that attempts of an earlier daemon have left beside the job's own. Returns where they are now:
/// to remove them can take long. Blocks.
pub(crate) fn take_away_old_homes(job: &Path) -> Vec<PathBuf> {
    let mut aside = Vec::new();
    let Some(attempts) = job.parent() else {
        return aside;
    };
    let entries = std::fs::read_dir(attempts).into_iter().flatten().flatten();
    for attempt in entries {
        let gone = attempt
            .path()
            .join(format!("{LEAVING}{}", Uuid::new_v4().simple()));
        match std::fs::rename(attempt.path().join(HOME), &gone) {
            Ok(()) => aside.push(gone),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => tracing::warn!(%error, "cannot remove the home of an earlier attempt"),
        }
    }
    aside
}

fn read_kept(keep: &FolderHandle, session: &str) -> Option<KeptSession> {
    let path = Path::new(session).join(SESSION);
    let json = keep.read_file(path, FILE_BYTES).ok()?;
    let mut kept: KeptSession = serde_json::from_slice(&json).ok()?;
    kept.inheritance.model = kept.inheritance.model.filter(|model| is_model_name(model));
    Some(kept)
}

fn copy_session(
    home: &FolderHandle,
    files: &FolderHandle,
    paths: &[PathBuf],
) -> Result<(), ForeignFileError> {
    let mut left = SESSION_BYTES;
    for (number, path) in paths.iter().take(FILE_COUNT).enumerate() {
        let copied = home
            .read_file(path, FILE_BYTES.min(left))
            .and_then(|content| {
                left -= content.len() as u64;
                make_parents(files, path)?;
                files.write_private(path, &content)
            });
        match copied {
            Ok(()) => {}
            // Without one of its long outputs a session can still go on.
            Err(error) if number > 0 => {
                tracing::info!(%error, path = %path.display(), "a file of a session is not kept");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Copies the files of a session into a new home.
fn restore_session(
    keep: &FolderHandle,
    session: &str,
    home: &FolderHandle,
) -> Result<(), ForeignFileError> {
    let files = keep.open_folder(Path::new(session).join(FILES))?;
    let mut paths = Vec::new();
    files.walk(LIMITS, |entry| {
        if entry.kind == EntryKind::File {
            paths.push(entry.path.to_path_buf());
        }
        Ok::<_, ForeignFileError>(WalkStep::Into)
    })?;
    for path in paths {
        make_parents(home, &path)?;
        home.copy_file_from(&files, &path, &path, FILE_BYTES)?;
    }
    Ok(())
}

fn make_parents(folder: &FolderHandle, path: &Path) -> Result<(), ForeignFileError> {
    let parents: Vec<&Path> = path.ancestors().skip(1).collect();
    for parent in parents
        .into_iter()
        .rev()
        .filter(|p| !p.as_os_str().is_empty())
    {
        folder.make_folder(parent)?;
    }
    Ok(())
}

/// Returns the home of an agent, if it has one.
pub(crate) fn home_of(agent: AgentName) -> Option<&'static dyn AgentHome> {
    registry().get(agent).home()
}

/// Makes a folder and its parents so that nobody else can enter them, whatever the umask is.
fn make_private_folder(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)
}
