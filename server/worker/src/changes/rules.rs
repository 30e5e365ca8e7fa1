//! Git's ignore rules in a view: a `.gitignore` that the attempt changed counts as changed.

use std::{ffi::OsStr, io, path::Path, rc::Rc};

use claudecluster_files::{FolderHandle, ForeignFileError, read_named_file};
use ignore::{
    Match,
    gitignore::{Gitignore, GitignoreBuilder},
};

use crate::sandbox::layer::{LayerStack, StackEntry};

/// The most bytes of a file of patterns.
const PATTERN_BYTES: u64 = 4 << 20;

/// The rules of one folder, and of those above.
#[derive(Debug)]
pub(crate) struct IgnoreRules {
    own: Gitignore,
    above: Option<Rc<IgnoreRules>>,
}

impl IgnoreRules {
    /// The rules at the top of the workspace: the user's own, the repository's, those of folders
    /// between the repository's top and the workspace, and the workspace's own.
    pub(crate) fn of_workspace(workspace: &Path, view: &LayerStack) -> io::Result<Rc<Self>> {
        let (global, _) = Gitignore::global();
        let mut rules = Rc::new(Self {
            own: global,
            above: None,
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
