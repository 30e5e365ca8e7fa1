//! Git's ignore rules in a view: a `.gitignore` that the attempt changed counts as changed.

use std::{cell::Cell, ffi::OsStr, io, path::Path, rc::Rc};

use claudecluster_files::{FolderHandle, ForeignFileError, read_named_file};
use ignore::{
    Match,
    gitignore::{Gitignore, GitignoreBuilder},
};

use crate::sandbox::layer::{LayerStack, StackEntry};

/// The most bytes of a file of patterns. More say nothing: each becomes part of a program that takes a hundred times
/// its size.
const PATTERN_BYTES: u64 = 256 << 10;
/// The most bytes of all files of patterns that are in force in one walk.
const ALL_PATTERN_BYTES: usize = 1 << 20;

/// The rules of one folder, and of those above.
#[derive(Debug)]
pub(crate) struct IgnoreRules {
    own: Gitignore,
    above: Option<Rc<IgnoreRules>>,
    /// How many more bytes of patterns are read in this walk.
    room: Rc<Cell<usize>>,
}

impl IgnoreRules {
    /// The rules at the top of the workspace: the user's own, the repository's, those of folders
    /// between the repository's top and the workspace, and the workspace's own.
    pub(crate) fn of_workspace(workspace: &Path, view: &LayerStack) -> io::Result<Rc<Self>> {
        let (global, _) = Gitignore::global();
        let mut rules = Rc::new(Self {
            own: global,
            above: None,
            room: Rc::new(Cell::new(ALL_PATTERN_BYTES)),
        });
        let top = workspace.ancestors().find(|dir| dir.join(".git").exists());
        if let Some(top) = top {
            let exclude = read_named_file(&top.join(".git/info/exclude"), PATTERN_BYTES);
            rules = rules.with_patterns(top, exclude);
            let below: Vec<_> = workspace
                .ancestors()
                .skip(1)
                .take_while(|dir| dir.starts_with(top))
                .collect();
            for dir in below.into_iter().rev() {
                rules = rules.with_file(dir, &dir.join(".gitignore"));
            }
        }
        rules.with_folder(workspace, view)
    }

    /// Returns these rules with those of a folder inside.
    pub(crate) fn with_folder(
        self: &Rc<Self>,
        dir: &Path,
        view: &LayerStack,
    ) -> io::Result<Rc<Self>> {
        Ok(match view.child(OsStr::new(".gitignore"))? {
            // As git does, a link is not followed.
            StackEntry::File(file) => self.with_patterns(dir, file.read_file(PATTERN_BYTES)),
            _ => Rc::clone(self),
        })
    }

    fn with_file(self: &Rc<Self>, dir: &Path, file: &Path) -> Rc<Self> {
        let folder = file.parent().unwrap_or(dir);
        let name = file.file_name().unwrap_or(OsStr::new(".gitignore"));
        // As git does, a link is not followed.
        let read = FolderHandle::open(folder).and_then(|dir| dir.read_file(name, PATTERN_BYTES));
        self.with_patterns(dir, read)
    }

    /// Returns these rules with patterns for what is in `dir`.
    fn with_patterns(
        self: &Rc<Self>,
        dir: &Path,
        read: Result<Vec<u8>, ForeignFileError>,
    ) -> Rc<Self> {
        let mut builder = GitignoreBuilder::new(dir);
        // As git does: what cannot be read or understood says nothing.
        let patterns = read.unwrap_or_default();
        let Some(room) = self.room.get().checked_sub(patterns.len()) else {
            tracing::warn!(folder = %dir.display(), "there are too many ignore patterns; these are not read");
            return Rc::clone(self);
        };
        self.room.set(room);
        let patterns = patterns.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&patterns);
        for line in patterns.split(|&byte| byte == b'\n') {
            if let Ok(line) = std::str::from_utf8(line) {
                let _ = builder.add_line(None, line.strip_suffix('\r').unwrap_or(line));
            }
        }
        match builder.build() {
            Ok(own) if !own.is_empty() => Rc::new(Self {
                own,
                above: Some(Rc::clone(self)),
                room: Rc::clone(&self.room),
            }),
            _ => Rc::clone(self),
        }
    }

    /// Returns whether an absolute path is ignored by its own name. Its folders must be checked first.
    pub(crate) fn ignores(&self, path: &Path, is_dir: bool) -> bool {
        match self.own.matched(path, is_dir) {
            Match::Ignore(_) => true,
            Match::Whitelist(_) => false,
            Match::None => self
                .above
                .as_ref()
                .is_some_and(|above| above.ignores(path, is_dir)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use super::*;

    /// Returns the rules of a workspace with these files of patterns, each in a folder in the one before.
    fn rules_of(files: &[String]) -> (PathBuf, Rc<IgnoreRules>) {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().to_owned();
        let empty = LayerStack::new([dir.path()]).unwrap();
        let mut rules = IgnoreRules::of_workspace(&top, &empty).unwrap();
        let mut folder = top.clone();
        for patterns in files {
            fs::write(folder.join(".gitignore"), patterns).unwrap();
            let view = LayerStack::new([folder.as_path()]).unwrap();
            rules = rules.with_folder(&folder, &view).unwrap();
            folder.push("d");
            fs::create_dir(&folder).unwrap();
        }
        (top, rules)
    }

    #[test]
    fn patterns_without_end_are_not_read() {
        let file =
            |name: &str, bytes: usize| format!("{name}\n{}", "# padding\n".repeat(bytes / 10));
        let (top, rules) = rules_of(&[file("kept", 10)]);
        assert!(rules.ignores(&top.join("kept"), false));
        let (top, rules) = rules_of(&[file("large", 300 << 10)]);
        assert!(!rules.ignores(&top.join("large"), false));
        let files: Vec<String> = (0..8).map(|n| file(&format!("f{n}"), 200 << 10)).collect();
        let (top, rules) = rules_of(&files);
        let ignored = (0..8).filter(|n| {
            let below = "d/".repeat(*n);
            rules.ignores(&top.join(below).join(format!("f{n}")), false)
        });
        assert_eq!(ignored.collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    }
}
