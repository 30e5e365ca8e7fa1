//! What a repository or a worker can leave for the daemon where it expects a file or a folder.

use std::{
    fs,
    os::unix::{fs::symlink, net::UnixListener},
    path::{Path, PathBuf},
    process::Command,
};

use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};

use crate::{World, machine::is_root};

/// The most memory that the daemon may have had, in kilobytes. It has some 60 MB when it starts.
const MOST_MEMORY: u64 = 700 << 10;

/// What is put in the place of a file or folder.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trap {
    /// A link to a file outside.
    LinkToFile,
    /// A link to a folder outside.
    LinkToFolder,
    /// A link to a device without an end.
    LinkToZero,
    /// A pipe that nobody writes to.
    Pipe,
    /// A file of a terabyte that has no blocks.
    Sparse,
    /// A folder.
    Folder,
    /// A regular file.
    File,
    /// A socket that nobody accepts on.
    Socket,
    /// A device without an end. Only root can make one.
    Device,
}

impl Trap {
    /// The traps that can be set here.
    pub fn available() -> Vec<Self> {
        let mut traps = vec![
            Self::LinkToFile,
            Self::LinkToFolder,
            Self::LinkToZero,
            Self::Pipe,
            Self::Sparse,
            Self::Folder,
            Self::File,
            Self::Socket,
        ];
        traps.extend(is_root().then_some(Self::Device));
        traps
    }

    /// Replaces whatever is at a path.
    pub fn set(self, at: &Path, outside: &Outside) {
        let _ = fs::remove_file(at);
        let _ = fs::remove_dir_all(at);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        let mode = Mode::from_raw_mode(0o644);
        match self {
            Self::LinkToFile => symlink(outside.folder.join("canary"), at).unwrap(),
            Self::LinkToFolder => symlink(&outside.folder, at).unwrap(),
            Self::LinkToZero => symlink("/dev/zero", at).unwrap(),
            Self::Pipe => mknodat(CWD, at, FileType::Fifo, mode, 0).unwrap(),
            Self::Sparse => fs::File::create(at).unwrap().set_len(1 << 40).unwrap(),
            Self::Folder => fs::create_dir(at).unwrap(),
            Self::File => fs::write(at, "no folder\n").unwrap(),
            Self::Socket => drop(UnixListener::bind(at).unwrap()),
            Self::Device => {
                mknodat(CWD, at, FileType::CharacterDevice, mode, makedev(1, 5)).unwrap();
            }
        }
    }
}

/// A folder outside with a canary that nobody may read into a goal, change, or add to.
pub struct Outside {
    /// The folder.
    pub folder: PathBuf,
}

/// What the canary holds.
pub const CANARY: &str = "CANARY-TEXT";

impl Outside {
    /// Makes the folder beside the workspace of a world.
    pub fn beside(world: &World) -> Self {
        Self::at(world.dir.path().canonicalize().unwrap().join("outside"))
    }

    /// Makes the folder.
    pub fn at(folder: PathBuf) -> Self {
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("canary"), format!("{CANARY}\n")).unwrap();
        Self { folder }
    }

    /// Checks that nothing came in or went out, that the daemon stayed small, and that it still stops.
    #[track_caller]
    pub fn assert_well(&self, world: &World, what: &str) {
        self.assert_untouched(what);
        let peak = peak_memory(world.daemon());
        assert!(peak < MOST_MEMORY, "{what}: the daemon had {peak} kB");
        world.run(&["daemon", "stop"]).expect(0);
    }

    /// Checks that nothing came in or went out.
    #[track_caller]
    pub fn assert_untouched(&self, what: &str) {
        let canary = fs::read_to_string(self.folder.join("canary")).unwrap();
        assert_eq!(canary, format!("{CANARY}\n"), "{what}");
        let entries = fs::read_dir(&self.folder).unwrap();
        let names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["canary"], "{what}");
    }
}

/// The most memory that a process has had so far, in kilobytes.
pub fn peak_memory(pid: u32) -> u64 {
    let memory = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let mut lines = memory.lines();
    let peak = lines.find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.unwrap().split_whitespace().next().unwrap();
    peak.parse().unwrap()
}

/// Copies a folder with everything in it.
pub fn copy_folder(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(copied.unwrap().success());
}

/// A shell function `deep FOLDER [PIECES]` that nests 200 folders for each piece, 20,000 if nothing is said. In pieces that are put into each other: the kernel
/// checks every folder above each new one.
pub const DEEP: &str = "deep() { ( mkdir -p \"$1\" && cd \"$1\" && p=$(printf 'd/%.0s' $(seq 199)) && \
    for i in $(seq ${2:-100}); do mkdir -p s/$p; if [ -e k ]; then mv -T k s/${p}d; fi; mv -T s k; done ) }";
