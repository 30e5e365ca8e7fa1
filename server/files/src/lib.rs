//! Files in folders that somebody else writes: a workspace, the layer an attempt left, an agent's home.
//!
//! What lies there is input. A file may be a link to a secret, a pipe that nobody writes to, a device
//! without an end, a sparse file of a terabyte, or a folder nested 20,000 deep. So everything here
//!
//! - is opened beneath the handle of a folder, through no link ([`FolderHandle`]);
//! - is a regular file when it is read, is read without waiting, and has a limit;
//! - walks, measures and removes iteratively, with few descriptors, within [`WalkLimits`];
//! - is written under a random name that did not exist, and renamed.
//!
//! A file system can still be slow or hang by itself. [`run_with_deadline`] keeps that off the threads that
//! answer people.

mod blocking;
mod error;
mod folder;
mod kind;
mod measure;
mod open;
mod remove;
mod walk;
mod write;

pub use self::{
    blocking::{discard_paths, run_with_deadline},
    error::ForeignFileError,
    folder::{FolderEntry, FolderHandle, open_regular_file, read_named_file, read_open_file},
    kind::EntryKind,
    measure::measure_disk_use,
    open::open_folder_beneath,
    remove::{LEAVING, remove_path},
    walk::{WalkLimits, WalkStep, WalkedEntry},
};
