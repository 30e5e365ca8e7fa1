//! Snapshots of a workspace: the base of every merge that a goal proposes.
//!
//! Taking one costs about a `git status`, not a copy. It records the index as it is, and the
//! content of files that the index does not know: open buffers, dirty files, small untracked files.
//! Any other file is looked up when it matters:
//!
//! - If its change time lies before the snapshot, its current content is the base.
//! - Else the recorded index names its object.
//! - A file that is neither has no known base. A change to it becomes a conflict, never a guess.

mod untracked;

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use claudecluster_files::FolderHandle;
use claudecluster_protocol::{BlobId, ErrorBody, FileMode, RelPath, change::FileVersion};
use claudecluster_store::Store;
use claudecluster_worker::changes::FileContent;
use serde::{Deserialize, Serialize};

use crate::workspace::{
    content_store::{load_content, save_content},
    disk,
    editor::OpenDocument,
    git::{self, GitRepository},
};

/// Change times are as coarse as the kernel's clock tick. A file that changed this close to the
/// snapshot may have changed after it.
const TICK_NANOS: i128 = 20_000_000;

/// A recorded snapshot. Stored as an artifact; the events name it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SnapshotManifest {
    /// Nanoseconds since the epoch when capturing began.
    taken_at: i128,
    /// The recorded index; `None` without git.
    index: Option<BlobId>,
    /// Captured files; `None` if the file did not exist.
    captured: BTreeMap<RelPath, Option<FileVersion>>,
    /// Open buffers whose text was not on disk.
    pub(crate) unsaved: Vec<RelPath>,
}

/// The content of a file at the time of the snapshot.
#[derive(Clone, Debug)]
pub(crate) enum RecordedBase {
    /// The content is known; `None` if there was no file.
    Known(Option<FileContent>),
    /// The file has changed since, and its earlier content is unknown.
    Unknown,
}

/// Captures a workspace.
pub(crate) fn take_snapshot(
    store: &Store,
    workspace: &Path,
    open: &[OpenDocument],
) -> Result<(SnapshotManifest, BlobId), ErrorBody> {
    let taken_at = now_nanos();
    let repository = git::find_repository(workspace)?;
    let mut captured = BTreeMap::new();
    let mut index = None;
    if let Some(repository) = &repository {
        // The index first: what is staged after it was read shows in the status as well.
        index = match git::read_index(&repository.index) {
            Ok(bytes) => bytes.map(|bytes| put_blob(store, &bytes)).transpose()?,
            Err(error) => return Err(io_error("read", &repository.index, &error.into())),
        };
        capture_status(store, workspace, repository, &mut captured)?;
    }
    let unsaved = capture_documents(store, workspace, open, &mut captured)?;
    let manifest = SnapshotManifest {
        taken_at,
        index,
        captured,
        unsaved,
    };
    let bytes = serde_json::to_vec(&manifest)
        .map_err(|error| ErrorBody::internal(format!("cannot encode the snapshot: {error}")))?;
    let id = put_blob(store, &bytes)?;
    Ok((manifest, id))
}

/// Returns a snapshot that was taken earlier.
pub(crate) fn load_snapshot(store: &Store, id: &BlobId) -> Result<SnapshotManifest, ErrorBody> {
    let bytes = store
        .get_blob(id)
        .map_err(ErrorBody::from)?
        .ok_or_else(|| {
            ErrorBody::internal(format!("the snapshot {id} no longer exists"))
                .with_hint("start the goal again")
        })?;
    serde_json::from_slice(&bytes)
        .map_err(|error| ErrorBody::internal(format!("the snapshot {id} is damaged: {error}")))
}

/// Loads the snapshot of a goal.
pub(crate) fn load_goal_snapshot(
    store: &Store,
    id: Option<&BlobId>,
) -> Result<SnapshotManifest, ErrorBody> {
    let id = id.ok_or_else(|| ErrorBody::internal("the goal has no snapshot"))?;
    load_snapshot(store, id)
}

impl SnapshotManifest {
    /// Returns how many files it holds the content of.
    pub(crate) fn len(&self) -> u32 {
        u32::try_from(self.captured.len()).unwrap_or(u32::MAX)
    }

    /// Returns the captured text of the unsaved buffers.
    pub(crate) fn unsaved(&self) -> impl Iterator<Item = (&RelPath, &FileVersion)> {
        self.unsaved
            .iter()
            .filter_map(|path| Some((path, self.captured.get(path)?.as_ref()?)))
    }

    /// Returns the content of `path` when the snapshot was taken.
    pub(crate) fn base_of(
        &self,
        store: &Store,
        workspace: &Path,
        path: &RelPath,
    ) -> Result<RecordedBase, ErrorBody> {
        if let Some(version) = self.captured.get(path) {
            return Ok(RecordedBase::Known(match version {
                Some(version) => Some(load_content(store, version)?),
                None => None,
            }));
        }
        let (on_disk, changed_at) = match disk::read_file(workspace, path) {
            Ok(found) => found.map_or((None, None), |(content, at)| (Some(content), Some(at))),
            // What cannot be read cannot be known.
            Err(_) => return Ok(RecordedBase::Unknown),
        };
        if changed_at.is_some_and(|at| at + TICK_NANOS < self.taken_at) {
            return Ok(RecordedBase::Known(on_disk));
        }
        self.staged_base(store, workspace, path, on_disk.is_none())
    }

    /// Returns the recorded index's content of a file that has changed, appeared or gone since.
    fn staged_base(
        &self,
        store: &Store,
        workspace: &Path,
        path: &RelPath,
        absent_now: bool,
    ) -> Result<RecordedBase, ErrorBody> {
        let absent = || {
            if absent_now {
                RecordedBase::Known(None)
            } else {
                RecordedBase::Unknown
            }
        };
        let (Some(index), Some(repository)) = (&self.index, git::find_repository(workspace)?)
        else {
            return Ok(absent());
        };
        let file = IndexFile::new(store, index)?;
        let Some((object, mode)) = repository.staged(workspace, file.path(), path)? else {
            // Untracked then. If it is not there now either, it was not there: small untracked files are
            // captured, and deleting a large one while a task creates it is told apart by nobody.
            return Ok(absent());
        };
        let bytes = git::read_object(workspace, &object)?;
        Ok(RecordedBase::Known(Some(FileContent {
            bytes: bytes.into(),
            mode,
        })))
    }
}

/// The recorded index as a file git can read.
enum IndexFile {
    Stored(PathBuf),
    Temporary(PathBuf),
}

impl IndexFile {
    fn new(store: &Store, index: &BlobId) -> Result<Self, ErrorBody> {
        if let Some(path) = store.blob_path(index) {
            return Ok(Self::Stored(path));
        }
        let bytes = store
            .get_blob(index)
            .map_err(ErrorBody::from)?
            .unwrap_or_default();
        // The machine's temporary folder is everybody's; a store in memory has no other.
        let folder = store
            .scratch_folder()
            .map_or_else(std::env::temp_dir, Path::to_owned);
        let name = format!("claudecluster-index-{}", uuid::Uuid::new_v4());
        let path = folder.join(&name);
        FolderHandle::open(&folder)
            .and_then(|folder| folder.create_private(&name, &bytes))
            .map_err(|error| io_error("write", &path, &error.into()))?;
        Ok(Self::Temporary(path))
    }

    fn path(&self) -> &Path {
        match self {
            Self::Stored(path) | Self::Temporary(path) => path,
        }
    }
}

impl Drop for IndexFile {
    fn drop(&mut self) {
        if let Self::Temporary(path) = self {
            // A leftover is harmless: it is private, and removed at the next start.
            let _ = fs::remove_file(path);
        }
    }
}

/// Captures the files that git calls changed or untracked.
fn capture_status(
    store: &Store,
    workspace: &Path,
    repository: &GitRepository,
    captured: &mut BTreeMap<RelPath, Option<FileVersion>>,
) -> Result<(), ErrorBody> {
    let args = [
        "status",
        "--porcelain=v2",
        "-z",
        "--no-renames",
        "--untracked-files=normal",
        "--ignore-submodules=all",
        "--",
        ".",
    ];
    let out = git::status(workspace, &args)?;
    let mut untracked = Vec::new();
    for entry in out.split(|&b| b == 0) {
        // `1 XY sub mH mI mW hH hI path`, `u XY sub m1 m2 m3 mW h1 h2 h3 path`, `? path`.
        let skip = match entry.first() {
            Some(b'1') => 8,
            Some(b'u') => 10,
            Some(b'?') => 1,
            _ => continue,
        };
        let Some(path) = entry.splitn(skip + 1, |&b| b == b' ').nth(skip) else {
            continue;
        };
        let Some(path) = repository.relative(path) else {
            continue;
        };
        if entry[0] == b'?' {
            untracked.push(path);
        } else if let Some(version) = capture_file(store, workspace, &path, u64::MAX)? {
            captured.insert(path, version);
        }
    }
    untracked::capture_untracked(store, workspace, untracked, captured)
}

/// Returns the version of a file on disk; `Some(None)` if there is none, `None` if it is too large
/// or cannot be read.
fn capture_file(
    store: &Store,
    workspace: &Path,
    path: &RelPath,
    limit: u64,
) -> Result<Option<Option<FileVersion>>, ErrorBody> {
    let meta = fs::symlink_metadata(workspace.join(path.to_path_buf()));
    if meta.is_ok_and(|meta| meta.size() > limit.min(disk::MOST_FILE_BYTES)) {
        return Ok(None);
    }
    match disk::read_file(workspace, path) {
        Ok(Some((content, _))) => Ok(Some(Some(save_content(store, &content)?))),
        Ok(None) => Ok(Some(None)),
        Err(_) => Ok(None),
    }
}

/// Captures open documents as their editors show them. Returns those with unsaved text.
fn capture_documents(
    store: &Store,
    workspace: &Path,
    open: &[OpenDocument],
    captured: &mut BTreeMap<RelPath, Option<FileVersion>>,
) -> Result<Vec<RelPath>, ErrorBody> {
    let mut unsaved = Vec::new();
    for document in open {
        let Ok(relative) = document.path.strip_prefix(workspace) else {
            continue;
        };
        let Ok(path) = RelPath::from_path(relative) else {
            continue;
        };
        let on_disk = disk::read_file(workspace, &path)
            .ok()
            .flatten()
            .map(|(content, _)| content);
        // A file that is not UTF-8 is shown converted: its buffer says nothing about its bytes.
        if on_disk
            .as_ref()
            .is_some_and(|c| std::str::from_utf8(&c.bytes).is_err())
        {
            continue;
        }
        let mode = on_disk
            .as_ref()
            .map_or(FileMode::Regular, |content| content.mode);
        if mode == FileMode::Symlink {
            continue;
        }
        let text = document.text.to_string();
        if on_disk.is_none_or(|content| content.bytes != text.as_bytes()) {
            unsaved.push(path.clone());
        }
        let blob = put_blob(store, text.as_bytes())?;
        captured.insert(path, Some(FileVersion { blob, mode }));
    }
    unsaved.sort();
    unsaved.dedup();
    Ok(unsaved)
}

fn put_blob(store: &Store, bytes: &[u8]) -> Result<BlobId, ErrorBody> {
    store.put_blob(bytes).map_err(ErrorBody::from)
}

fn now_nanos() -> i128 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| i128::try_from(d.as_nanos()).unwrap_or(i128::MAX))
}

fn io_error(what: &str, path: &Path, error: &io::Error) -> ErrorBody {
    ErrorBody::environment(format!("cannot {what} {}: {error}", path.display()))
        .with_hint("check that the file is readable and that there is free space")
}

#[cfg(test)]
mod tests {
    use ropey::Rope;

    use super::*;

    /// A small repository with one commit.
    struct TestRepository {
        dir: tempfile::TempDir,
        store: Store,
    }

    impl TestRepository {
        fn new() -> Self {
            let repo = Self {
                dir: tempfile::tempdir().unwrap(),
                store: Store::in_memory(),
            };
            repo.git(&["init", "-q"]);
            for (path, text) in [("a.txt", "a\n"), ("b.txt", "b\n"), ("d/c.txt", "c\n")] {
                repo.write(path, text);
            }
            repo.write(".gitignore", "ignored\n");
            repo.git(&["add", "."]);
            repo.git(&["commit", "-qm", "first"]);
            repo
        }

        fn root(&self) -> &Path {
            self.dir.path()
        }

        fn git(&self, args: &[&str]) {
            let who = ["-c", "user.name=t", "-c", "user.email=t@example.com"];
            git::run_git(self.root(), &[&who, args].concat()).unwrap();
        }

        fn write(&self, path: &str, text: &str) {
            let path = self.root().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }

        fn take_snapshot(&self, open: &[OpenDocument]) -> SnapshotManifest {
            let (_, id) = take_snapshot(&self.store, self.root(), open).unwrap();
            load_snapshot(&self.store, &id).unwrap()
        }

        /// Returns the text a file had; `None` where there was none, an error where nobody knows.
        fn base(&self, manifest: &SnapshotManifest, path: &str) -> Result<Option<String>, ()> {
            let path = RelPath::new(path).unwrap();
            match manifest.base_of(&self.store, self.root(), &path).unwrap() {
                RecordedBase::Known(content) => {
                    Ok(content.map(|c| String::from_utf8(c.bytes.to_vec()).unwrap()))
                }
                RecordedBase::Unknown => Err(()),
            }
        }
    }

    fn some(text: &str) -> Result<Option<String>, ()> {
        Ok(Some(text.to_owned()))
    }

    #[test]
    fn every_base_is_known_whatever_happens_afterwards() {
        let repo = TestRepository::new();
        repo.write("b.txt", "dirty\n");
        repo.write("new/small.txt", "untracked\n");
        fs::remove_file(repo.root().join("d/c.txt")).unwrap();
        let buffer = OpenDocument {
            edited: None,
            path: repo.root().join("a.txt"),
            version: 7,
            text: Rope::from_str("typed\n"),
        };
        let manifest = repo.take_snapshot(&[buffer]);
        assert_eq!(manifest.unsaved, [RelPath::new("a.txt").unwrap()]);
        for (path, text) in [
            ("a.txt", "x"),
            ("b.txt", "x"),
            ("new/small.txt", "x"),
            ("d/c.txt", "x"),
        ] {
            repo.write(path, text);
        }
        assert_eq!(repo.base(&manifest, "a.txt"), some("typed\n"));
        assert_eq!(repo.base(&manifest, "b.txt"), some("dirty\n"));
        assert_eq!(repo.base(&manifest, "new/small.txt"), some("untracked\n"));
        assert_eq!(repo.base(&manifest, "d/c.txt"), Ok(None));
        assert_eq!(repo.base(&manifest, "nowhere.txt"), Ok(None));
    }

    #[test]
    fn clean_files_are_known_by_the_recorded_index() {
        let repo = TestRepository::new();
        let manifest = repo.take_snapshot(&[]);
        repo.write("a.txt", "changed since\n");
        fs::remove_file(repo.root().join("b.txt")).unwrap();
        repo.git(&["add", "-A"]);
        repo.git(&["commit", "-qm", "second"]);
        assert_eq!(repo.base(&manifest, "a.txt"), some("a\n"));
        assert_eq!(repo.base(&manifest, "b.txt"), some("b\n"));
        assert_eq!(repo.base(&manifest, "d/c.txt"), some("c\n"));
    }

    #[test]
    fn what_nobody_knows_is_not_guessed() {
        let repo = TestRepository::new();
        repo.write("ignored", "old\n");
        let manifest = repo.take_snapshot(&[]);
        std::thread::sleep(std::time::Duration::from_millis(30));
        repo.write("ignored", "changed since\n");
        assert_eq!(repo.base(&manifest, "ignored"), Err(()));
    }

    #[test]
    fn taking_a_snapshot_changes_nothing() {
        let repo = TestRepository::new();
        repo.write("b.txt", "dirty\n");
        let index = || {
            let meta = fs::metadata(repo.root().join(".git/index")).unwrap();
            (
                meta.modified().unwrap(),
                fs::read(repo.root().join(".git/index")).unwrap(),
            )
        };
        let before = index();
        repo.take_snapshot(&[]);
        assert_eq!(index(), before);
    }

    #[test]
    fn workspaces_come_in_many_forms() {
        let repo = TestRepository::new();
        // Without git.
        let plain = tempfile::tempdir().unwrap();
        fs::write(plain.path().join("x"), "x").unwrap();
        take_snapshot(&repo.store, plain.path(), &[]).unwrap();
        // A folder inside a repository: its paths are its own.
        repo.write("d/c.txt", "dirty\n");
        let (manifest, _) = take_snapshot(&repo.store, &repo.root().join("d"), &[]).unwrap();
        assert!(
            manifest
                .captured
                .contains_key(&RelPath::new("c.txt").unwrap()),
            "{manifest:?}"
        );
        // Before the first commit, and on no branch.
        let unborn = tempfile::tempdir().unwrap();
        git::run_git(unborn.path(), &["init", "-q"]).unwrap();
        take_snapshot(&repo.store, unborn.path(), &[]).unwrap();
        repo.git(&["checkout", "-q", "--detach"]);
        repo.take_snapshot(&[]);
        // Bare, and git's own folder: nothing to work on.
        let bare = tempfile::tempdir().unwrap();
        git::run_git(bare.path(), &["init", "-q", "--bare"]).unwrap();
        for root in [bare.path(), &repo.root().join(".git")] {
            let error = take_snapshot(&repo.store, root, &[]).unwrap_err();
            assert!(error.message.contains("bare repository"), "{error:?}");
        }
        // A damaged repository is an error, not a folder without git.
        fs::write(repo.root().join(".git/HEAD"), "nonsense").unwrap();
        take_snapshot(&repo.store, repo.root(), &[]).unwrap_err();
    }

    #[test]
    fn what_lies_untracked_neither_delays_nor_fills_a_snapshot() {
        use rustix::fs::{CWD, FileType, Mode, OFlags, mkdirat, mknodat, openat};
        let repo = TestRepository::new();
        let root = repo.root();
        fs::create_dir_all(root.join("new/deep")).unwrap();
        mknodat(
            CWD,
            root.join("new/pipe"),
            FileType::Fifo,
            Mode::from_raw_mode(0o644),
            0,
        )
        .unwrap();
        std::os::unix::fs::symlink("/dev/zero", root.join("new/zero")).unwrap();
        fs::File::create(root.join("new/sparse"))
            .unwrap()
            .set_len(1 << 40)
            .unwrap();
        // A tracked one too.
        fs::File::create(root.join("a.txt"))
            .unwrap()
            .set_len(1 << 40)
            .unwrap();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut at = openat(CWD, root.join("new/deep"), flags, Mode::empty()).unwrap();
        for _ in 0..5_000 {
            mkdirat(&at, "d", Mode::from_raw_mode(0o755)).unwrap();
            at = openat(&at, "d", flags, Mode::empty()).unwrap();
        }
        repo.write("new/file", "text");
        let manifest = repo.take_snapshot(&[]);
        let captured: Vec<_> = manifest.captured.keys().map(ToString::to_string).collect();
        // A link is recorded as a link.
        assert_eq!(captured, ["new/file", "new/zero"]);
        claudecluster_files::remove_path(&root.join("new")).unwrap();
    }

    #[test]
    fn an_index_that_is_a_link_is_not_recorded() {
        let repo = TestRepository::new();
        let index = repo.root().join(".git/index");
        let outside = tempfile::tempdir().unwrap();
        let canary = outside.path().join("canary");
        fs::copy(&index, &canary).unwrap();
        fs::remove_file(&index).unwrap();
        std::os::unix::fs::symlink(&canary, &index).unwrap();
        let refused = take_snapshot(&repo.store, repo.root(), &[]).unwrap_err();
        assert!(
            refused.message.contains("index is a symbolic link"),
            "{}",
            refused.message
        );
        assert!(refused.hint.is_some());
    }

    #[test]
    fn a_repository_runs_nothing() {
        let repo = TestRepository::new();
        let canary = repo.root().join("canary");
        let program = format!("touch {}", canary.display());
        repo.git(&["config", "core.fsmonitor", &program]);
        repo.git(&["config", "core.hooksPath", "hooks"]);
        repo.git(&["config", "alias.status", &format!("!{program}")]);
        repo.write("b.txt", "dirty\n");
        repo.take_snapshot(&[]);
        assert!(!canary.exists());
    }
}
