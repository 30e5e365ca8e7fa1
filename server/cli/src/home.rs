//! The state folder: its path, and the files that the command line and the daemon keep beside the
//! store's own.

use std::{
    env,
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use claudecluster_protocol::{ErrorBody, api::DaemonFile};
use etcetera::BaseStrategy;

use crate::exit::ErrorContext;

/// Limits the length of a socket's path. The kernel takes 107 bytes on Linux and 103 on macOS, so
/// there is room to spare.
const SOCKET_PATH_LIMIT: usize = 100;

/// Names a state folder and the files in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Home {
    dir: PathBuf,
}

impl Home {
    /// Finds the state folder: `CLAUDECLUSTER_HOME`, or the folder of the platform's convention.
    pub(crate) fn find() -> Result<Self, ErrorBody> {
        if let Some(dir) = env::var_os("CLAUDECLUSTER_HOME").filter(|dir| !dir.is_empty()) {
            let dir = std::path::absolute(&dir)
                .context("cannot make CLAUDECLUSTER_HOME an absolute path")?;
            return Ok(Self { dir });
        }
        let base = etcetera::choose_base_strategy().map_err(|e| {
            ErrorBody::environment(format!("cannot find the home folder: {e}"))
                .with_hint("set HOME or CLAUDECLUSTER_HOME")
        })?;
        let state = base.state_dir().unwrap_or_else(|| base.data_dir());
        Ok(Self {
            dir: state.join("claudecluster"),
        })
    }

    /// Uses `dir` as the state folder.
    pub(crate) fn at(dir: PathBuf) -> Self {
        Self { dir }
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn logs(&self) -> PathBuf {
        self.dir.join("logs")
    }

    /// Returns the folder of the diffs that editors show as documents.
    pub(crate) fn diffs(&self) -> PathBuf {
        self.dir.join("diffs")
    }

    /// Returns the folder of the plans that editors show as documents. People edit these plans.
    pub(crate) fn plans(&self) -> PathBuf {
        self.dir.join("plans")
    }

    /// Returns the file for the output of the daemon's process outside its log, such as a crash.
    pub(crate) fn stderr_log(&self) -> PathBuf {
        self.logs().join("stderr.log")
    }

    /// Returns the file that the store locks while a daemon owns the folder.
    pub(crate) fn store_lock(&self) -> PathBuf {
        self.dir.join("lock")
    }

    fn daemon_file(&self) -> PathBuf {
        self.dir.join("daemon.json")
    }

    /// Creates the folder and its `logs`, private to the user.
    pub(crate) fn create(&self) -> Result<(), ErrorBody> {
        for dir in [&self.dir, &self.logs()] {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(dir)
                .and_then(|()| fs::set_permissions(dir, Permissions::from_mode(0o700)))
                .map_err(|e| {
                    ErrorBody::environment(format!("cannot create {}: {e}", dir.display()))
                        .with_hint("make it writable, or set CLAUDECLUSTER_HOME to another folder")
                })?;
        }
        Ok(())
    }

    /// Waits until no other process starts a daemon here. Dropping the file releases the lock.
    pub(crate) fn lock_start(&self) -> Result<File, ErrorBody> {
        self.create()?;
        let path = self.dir.join("start.lock");
        let file = private_file(&path).context(format!("cannot open {}", path.display()))?;
        file.lock()
            .context(format!("cannot lock {}", path.display()))?;
        Ok(file)
    }

    /// Waits until no process owns the store.
    pub(crate) fn wait_for_store(&self) -> io::Result<()> {
        match File::open(self.store_lock()) {
            Ok(file) => file.lock(),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(e),
        }
    }

    /// Returns the path of the daemon's socket. It is in the state folder, or in a private folder
    /// with a shorter path. Dropping the second value removes that private folder.
    pub(crate) fn socket(&self) -> Result<(PathBuf, Option<tempfile::TempDir>), ErrorBody> {
        let usual = self.dir.join("daemon.sock");
        if usual.as_os_str().len() <= SOCKET_PATH_LIMIT {
            return Ok((usual, None));
        }
        let runtime = env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        let candidates = [runtime, Some(PathBuf::from("/tmp"))];
        let mut last = None;
        for parent in candidates.into_iter().flatten() {
            match private_tempdir(&parent) {
                Ok(dir) if dir.path().as_os_str().len() + 5 <= SOCKET_PATH_LIMIT => {
                    return Ok((dir.path().join("sock"), Some(dir)));
                }
                Ok(_) => {}
                Err(e) => last = Some(e),
            }
        }
        let why = last.map(|e| format!(": {e}")).unwrap_or_default();
        Err(ErrorBody::environment(format!(
            "the path {} is too long for a socket, and no folder with a shorter path is available{why}",
            usual.display()
        ))
        .with_hint("set CLAUDECLUSTER_HOME to a folder with a shorter path"))
    }

    /// Reads the daemon's address. Returns `None` if the file is missing or invalid.
    pub(crate) fn read_daemon_file(&self) -> Option<DaemonFile> {
        let text = fs::read(self.daemon_file()).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Writes the daemon's address. Readers see the old file or the new one, nothing between.
    pub(crate) fn write_daemon_file(&self, file: &DaemonFile) -> Result<(), ErrorBody> {
        let path = self.daemon_file();
        let write = || -> io::Result<()> {
            // Made with mode 0600.
            let mut temporary = tempfile::NamedTempFile::new_in(&self.dir)?;
            serde_json::to_writer_pretty(&mut temporary, file)?;
            temporary.write_all(b"\n")?;
            temporary.persist(&path)?;
            Ok(())
        };
        write().context(format!("cannot write {}", path.display()))
    }

    /// Removes the daemon's address if it still belongs to process `pid`.
    pub(crate) fn remove_daemon_file(&self, pid: u32) {
        if self.read_daemon_file().is_some_and(|file| file.pid == pid) {
            let _ = fs::remove_file(self.daemon_file());
        }
    }
}

/// Creates a folder that only its owner may enter, with a random name. Dropping the value removes
/// the folder.
pub(crate) fn private_tempdir(parent: &Path) -> io::Result<tempfile::TempDir> {
    tempfile::Builder::new()
        .prefix("claudecluster-")
        // The library's default is whatever the umask leaves.
        .permissions(Permissions::from_mode(0o700))
        .tempdir_in(parent)
}

fn private_file(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_never_has_a_path_the_kernel_refuses() {
        let short = Home::at("/tmp/state".into());
        assert_eq!(
            short.socket().unwrap().0,
            Path::new("/tmp/state/daemon.sock")
        );

        let root = tempfile::tempdir().unwrap();
        let long = Home::at(root.path().join("x".repeat(120)));
        let (path, keep) = long.socket().unwrap();
        assert!(path.as_os_str().len() <= SOCKET_PATH_LIMIT, "{path:?}");
        let dir = keep.unwrap();
        let mode = fs::metadata(dir.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }
}
