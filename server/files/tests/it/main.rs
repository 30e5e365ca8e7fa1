//! What somebody hostile can leave in a folder, and what then happens.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod measuring;
mod reading;
mod removing;
mod walking;
mod writing;

use std::{
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use claudecluster_files::{FolderHandle, remove_path};
use rustix::fs::{CWD, FileType, Mode, OFlags, mkdirat, mknodat, openat};

/// A folder to play in, with a canary beside it.
struct Ground {
    dir: tempfile::TempDir,
}

impl Ground {
    fn new() -> Self {
        // In memory where there is such a place: a disk takes a while for so many folders.
        let memory = Path::new("/dev/shm");
        let dir = tempfile::tempdir_in(memory).or_else(|_| tempfile::tempdir());
        let dir = dir.unwrap();
        std::fs::create_dir_all(dir.path().join("foreign/sub")).unwrap();
        std::fs::write(dir.path().join("canary"), "secret").unwrap();
        std::fs::create_dir(dir.path().join("outside")).unwrap();
        std::fs::write(dir.path().join("outside/canary"), "secret").unwrap();
        Self { dir }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    fn foreign(&self, path: &str) -> PathBuf {
        self.path("foreign").join(path)
    }

    fn handle(&self) -> FolderHandle {
        FolderHandle::open(&self.path("foreign")).unwrap()
    }

    fn assert_canaries_live(&self) {
        for canary in ["canary", "outside/canary"] {
            assert_eq!(
                std::fs::read_to_string(self.path(canary)).unwrap(),
                "secret"
            );
        }
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        // The standard library would recurse.
        remove_path(&self.path("foreign")).unwrap();
    }
}

fn make_pipe(path: &Path) {
    mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o666), 0).unwrap();
}

fn make_sparse(path: &Path) {
    std::fs::File::create(path)
        .unwrap()
        .set_len(1 << 40)
        .unwrap();
}

/// Makes folders within each other, deeper than any path reaches.
fn make_deep(top: &Path, depth: usize) {
    std::fs::create_dir_all(top).unwrap();
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut at: OwnedFd = openat(CWD, top, flags, Mode::empty()).unwrap();
    for _ in 1..depth {
        mkdirat(&at, "d", Mode::from_raw_mode(0o755)).unwrap();
        at = openat(&at, "d", flags, Mode::empty()).unwrap();
    }
}
