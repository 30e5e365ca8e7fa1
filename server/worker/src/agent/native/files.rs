//! The workspace's files, by paths that cannot leave it.
//!
//! Every path is opened beneath the root with `openat2` (R21): neither `..` nor a symbolic link nor
//! an absolute path leads outside. The sandbox is the boundary; this keeps mistakes inside it.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    os::fd::OwnedFd,
    path::{Component, Path, PathBuf},
};

use ignore::{WalkBuilder, overrides::OverrideBuilder};
use regex::RegexBuilder;
use rustix::{
    fs::{CWD, Mode, OFlags, ResolveFlags, mkdirat, openat, openat2},
    io::Errno,
};

/// The most of a file that is read for the model.
const MAX_READ: usize = 64 << 10;
/// The largest file that is edited or searched.
const MAX_FILE: u64 = 8 << 20;
/// Lines of one listing or search.
const MAX_LINES: usize = 400;
/// Characters of one line of a search.
const MAX_WIDTH: usize = 300;

/// The workspace's root.
#[derive(Debug)]
pub(super) struct WorkspaceRoot {
    path: PathBuf,
    folder: OwnedFd,
}

/// Why a file operation was refused, in words for the model.
pub(super) type FileRefusal = String;

impl WorkspaceRoot {
    pub(super) fn open(path: &Path) -> Result<Self, FileRefusal> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = openat(CWD, path, flags, Mode::empty())
            .map_err(|error| format!("cannot open {}: {error}", path.display()))?;
        Ok(Self {
            path: path.to_owned(),
            folder,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// `path` relative to the root. Models like to write absolute paths; those below the root are
    /// taken for what they mean.
    fn relative_path<'p>(&self, path: &'p str) -> Result<&'p Path, FileRefusal> {
        let path = Path::new(path);
        let relative = path.strip_prefix(&self.path).unwrap_or(path);
        let inside = relative
            .components()
            .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        if !inside {
            return Err(format!("{} is outside the workspace", path.display()));
        }
        Ok(if relative.as_os_str().is_empty() {
            Path::new(".")
        } else {
            relative
        })
    }

    fn open_beneath(&self, path: &Path, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        openat2(&self.folder, path, flags | OFlags::CLOEXEC, mode, resolve)
    }

    fn open_file(&self, path: &str) -> Result<File, FileRefusal> {
        let relative = self.relative_path(path)?;
        // Without waiting: a pipe without a writer would hold the session up.
        let file = self
            .open_beneath(relative, OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty())
            .map(File::from)
            .map_err(|error| describe_errno(path, error))?;
        let kind = file
            .metadata()
            .map_err(|error| format!("{path}: {error}"))?;
        if !kind.is_file() {
            return Err(format!("{path} is not a file"));
        }
        if kind.len() > MAX_FILE {
            return Err(format!("{path} is too large ({} bytes)", kind.len()));
        }
        Ok(file)
    }

    fn read_text(&self, path: &str) -> Result<String, FileRefusal> {
        let mut bytes = Vec::new();
        let file = self.open_file(path)?;
        file.take(MAX_FILE)
            .read_to_end(&mut bytes)
            .map_err(|error| format!("{path}: {error}"))?;
        String::from_utf8(bytes).map_err(|_| format!("{path} is not text"))
    }

    /// Lines `from` (counted from 1) to `from + count`.
    pub(super) fn read(
        &self,
        path: &str,
        from: usize,
        count: usize,
    ) -> Result<String, FileRefusal> {
        let text = self.read_text(path)?;
        let wanted = text.split_inclusive('\n').skip(from.max(1) - 1).take(count);
        let mut shown = String::new();
        for (line, number) in wanted.zip(from.max(1)..) {
            if shown.len() + line.len() > MAX_READ {
                shown.push_str(&format!("… (the rest from line {number} on is not shown)"));
                return Ok(shown);
            }
            shown.push_str(line);
        }
        Ok(shown)
    }

    /// Replaces the whole file; makes it and its folders where they are missing.
    pub(super) fn write(&self, path: &str, content: &str) -> Result<(), FileRefusal> {
        let relative = self.relative_path(path)?;
        if let Some(parent) = relative.parent().filter(|p| !p.as_os_str().is_empty()) {
            self.make_folders(parent)
                .map_err(|error| describe_errno(path, error))?;
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC;
        let file = self.open_beneath(relative, flags, Mode::from_raw_mode(0o666));
        let mut file = file
            .map(File::from)
            .map_err(|error| describe_errno(path, error))?;
        file.write_all(content.as_bytes())
            .map_err(|error| format!("{path}: {error}"))
    }

    fn make_folders(&self, path: &Path) -> Result<(), Errno> {
        let mut done = PathBuf::new();
        for part in path.components() {
            let parent = if done.as_os_str().is_empty() {
                Path::new(".")
            } else {
                &done
            };
            let flags = OFlags::PATH | OFlags::DIRECTORY;
            let folder = self.open_beneath(parent, flags, Mode::empty())?;
            match mkdirat(&folder, part.as_os_str(), Mode::from_raw_mode(0o777)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error),
            }
            done.push(part);
        }
        Ok(())
    }

    /// Replaces `old`, which must stand there exactly once, by `new`.
    pub(super) fn edit(&self, path: &str, old: &str, new: &str) -> Result<(), FileRefusal> {
        if old.is_empty() {
            return Err("`old` is empty; use `write` to make a file".to_owned());
        }
        let text = self.read_text(path)?;
        let mut found = text.match_indices(old);
        let Some((at, _)) = found.next() else {
            return Err(format!(
                "{path} does not contain `old`; read the file and copy it exactly"
            ));
        };
        if found.next().is_some() {
            return Err(format!(
                "{path} contains `old` more than once; include more of what surrounds it"
            ));
        }
        self.write(path, &[&text[..at], new, &text[at + old.len()..]].concat())
    }

    fn walk_files(&self, path: &str, glob: Option<&str>) -> Result<ignore::Walk, FileRefusal> {
        let relative = self.relative_path(path)?;
        self.open_beneath(relative, OFlags::PATH, Mode::empty())
            .map_err(|error| describe_errno(path, error))?;
        let mut only = OverrideBuilder::new(&self.path);
        if let Some(glob) = glob {
            only.add(glob).map_err(|error| error.to_string())?;
        }
        let only = only.build().map_err(|error| error.to_string())?;
        Ok(WalkBuilder::new(self.path.join(relative))
            .hidden(false)
            .require_git(false)
            .overrides(only)
            .filter_entry(|entry| entry.file_name() != ".git")
            .sort_by_file_name(std::ffi::OsStr::cmp)
            .build())
    }

    /// The files below `path` that version control does not ignore, one a line.
    pub(super) fn list(&self, path: &str, glob: Option<&str>) -> Result<String, FileRefusal> {
        let mut lines = BoundedListing::default();
        for entry in self.walk_files(path, glob)?.flatten() {
            if entry.file_type().is_some_and(|kind| !kind.is_dir())
                && !lines.push(&self.shown_path(entry.path()))
            {
                break;
            }
        }
        Ok(lines.end("no files"))
    }

    /// The lines that match `pattern`, as `path:line:text`.
    pub(super) fn search(
        &self,
        pattern: &str,
        path: &str,
        glob: Option<&str>,
    ) -> Result<String, FileRefusal> {
        let pattern = RegexBuilder::new(pattern)
            .size_limit(1 << 20)
            .build()
            .map_err(|error| error.to_string())?;
        let mut lines = BoundedListing::default();
        for entry in self.walk_files(path, glob)?.flatten() {
            if !entry.file_type().is_some_and(|kind| kind.is_file()) {
                continue;
            }
            let shown = self.shown_path(entry.path());
            // What cannot be read as text is not searched.
            let Ok(text) = self.read_text(&shown) else {
                continue;
            };
            for (line, number) in text.lines().zip(1..) {
                if pattern.is_match(line) {
                    let line = crate::agent::text::clip_text(line, MAX_WIDTH);
                    if !lines.push(&format!("{shown}:{number}:{line}")) {
                        return Ok(lines.end("no match"));
                    }
                }
            }
        }
        Ok(lines.end("no match"))
    }

    fn shown_path(&self, path: &Path) -> String {
        let relative = path.strip_prefix(&self.path).unwrap_or(path);
        relative.to_string_lossy().into_owned()
    }
}

fn describe_errno(path: &str, error: Errno) -> FileRefusal {
    match error {
        Errno::NOENT => format!("there is no {path}"),
        Errno::XDEV | Errno::LOOP => format!("{path} leads outside the workspace"),
        Errno::ISDIR => format!("{path} is a folder"),
        other => format!("{path}: {other}"),
    }
}

/// Output of bounded length.
#[derive(Default)]
struct BoundedListing {
    text: String,
    count: usize,
}

impl BoundedListing {
    /// False where there is no more room.
    fn push(&mut self, line: &str) -> bool {
        if self.count == MAX_LINES {
            self.text
                .push_str("… (more is not shown; narrow it down)\n");
            return false;
        }
        self.text.push_str(line);
        self.text.push('\n');
        self.count += 1;
        true
    }

    fn end(self, nothing: &str) -> String {
        if self.count == 0 {
            nothing.to_owned()
        } else {
            self.text
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> (tempfile::TempDir, WorkspaceRoot) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("root");
        std::fs::create_dir_all(path.join("src")).unwrap();
        std::fs::write(folder.path().join("outside.txt"), "secret").unwrap();
        std::fs::write(path.join("src/a.rs"), "one\ntwo\nthree\n").unwrap();
        let root = WorkspaceRoot::open(&path).unwrap();
        (folder, root)
    }

    #[test]
    fn nothing_leads_outside() {
        let (folder, root) = root();
        let outside = folder.path().join("outside.txt");
        std::os::unix::fs::symlink(&outside, root.path().join("link")).unwrap();
        std::os::unix::fs::symlink("..", root.path().join("up")).unwrap();
        for path in [
            "../outside.txt",
            "link",
            "up/outside.txt",
            "src/../../outside.txt",
        ] {
            assert!(root.read(path, 1, 10).is_err(), "{path}");
            assert!(root.write(path, "x").is_err(), "{path}");
        }
        assert!(root.read(outside.to_str().unwrap(), 1, 10).is_err());
        assert!(root.write("up/new/file", "x").is_err());
        assert!(root.list("up", None).is_err());
        assert_eq!(std::fs::read_to_string(outside).unwrap(), "secret");
        assert!(!folder.path().join("new").exists());
    }

    #[test]
    fn reads_a_part_and_absolute_paths_below_the_root() {
        let (_folder, root) = root();
        assert_eq!(root.read("src/a.rs", 2, 1).unwrap(), "two\n");
        let absolute = root.path().join("src/a.rs");
        assert_eq!(
            root.read(absolute.to_str().unwrap(), 3, 9).unwrap(),
            "three\n"
        );
        assert!(root.read("src", 1, 1).unwrap_err().contains("not a file"));
    }

    #[test]
    fn an_edit_is_exact_and_unique() {
        let (_folder, root) = root();
        root.edit("src/a.rs", "two", "2").unwrap();
        assert_eq!(root.read("src/a.rs", 1, 9).unwrap(), "one\n2\nthree\n");
        assert!(
            root.edit("src/a.rs", "two", "x")
                .unwrap_err()
                .contains("does not contain")
        );
        assert!(
            root.edit("src/a.rs", "e", "x")
                .unwrap_err()
                .contains("more than once")
        );
        assert!(root.edit("src/a.rs", "", "x").is_err());
    }

    #[test]
    fn lists_and_searches_what_is_not_ignored() {
        let (_folder, root) = root();
        root.write(".gitignore", "target\n").unwrap();
        root.write("target/x.rs", "two").unwrap();
        root.write("deep/er/b.txt", "no\ntwo\n").unwrap();
        assert_eq!(
            root.list(".", None).unwrap(),
            ".gitignore\ndeep/er/b.txt\nsrc/a.rs\n"
        );
        assert_eq!(root.list(".", Some("*.rs")).unwrap(), "src/a.rs\n");
        assert_eq!(
            root.search("^t.o$", ".", None).unwrap(),
            "deep/er/b.txt:2:two\nsrc/a.rs:2:two\n"
        );
        assert_eq!(root.search("zzz", ".", None).unwrap(), "no match");
        assert!(root.search("(", ".", None).is_err());
    }
}
