//! The folders of all daemons of a user, so that each daemon hides those of the others from its workers.
//!
//! An entry is a link to a folder, in a private folder at a place that depends on the user alone. Entries
//! stay when a daemon ends, because its journal stays; they go when the folder is gone.

use std::{
    collections::BTreeSet,
    fs::{self, DirBuilder},
    hash::{DefaultHasher, Hash, Hasher},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, symlink},
    path::{Path, PathBuf},
};

/// Finds and records the folders of a user's daemons.
#[derive(Clone, Debug)]
pub(crate) struct FolderRegistry {
    /// The folders with the entries. Each has all entries: the first goes with the user's last session,
    /// the second with the machine's start.
    places: Vec<PathBuf>,
}

impl FolderRegistry {
    /// Uses the places of the current user. They do not depend on the environment, which differs between
    /// a desktop, a terminal on another machine, and a timer.
    pub(crate) fn of_user() -> Self {
        let uid = rustix::process::geteuid().as_raw();
        let runtime = PathBuf::from(format!("/run/user/{uid}"));
        let runtime = runtime.is_dir().then(|| runtime.join("claudecluster"));
        let temporary = PathBuf::from(format!("/tmp/claudecluster-{uid}"));
        Self {
            places: runtime.into_iter().chain([temporary]).collect(),
        }
    }

    /// Records a folder. A place that cannot be used is logged.
    pub(crate) fn register(&self, folder: &Path) {
        for place in &self.places {
            if let Err(error) = register_in(place, folder) {
                let place = place.display();
                tracing::warn!(%place, %error, "other daemons cannot hide this one's folders");
            }
        }
    }

    /// Lists the folders that exist, with those of this registry, and forgets the others.
    pub(crate) fn list(&self) -> Vec<PathBuf> {
        let mut found = BTreeSet::new();
        for place in self
            .places
            .iter()
            .filter(|place| check_private(place).is_ok())
        {
            found.extend(place.canonicalize());
            for entry in fs::read_dir(place).into_iter().flatten().flatten() {
                let entry = entry.path();
                match entry.canonicalize() {
                    Ok(folder) if folder.is_dir() => {
                        found.insert(folder);
                    }
                    Err(e) if e.kind() == io::ErrorKind::NotFound => {
                        let _ = fs::remove_file(&entry);
                    }
                    _ => {}
                }
            }
        }
        found.into_iter().collect()
    }
}

fn register_in(place: &Path, folder: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(place) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
        _ => check_private(place)?,
    }
    let folder = folder.canonicalize()?;
    let mut hasher = DefaultHasher::new();
    folder.hash(&mut hasher);
    let entry = place.join(format!("{:016x}", hasher.finish()));
    match symlink(&folder, &entry) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

/// Refuses a folder that somebody else made at this place, or may write.
fn check_private(place: &Path) -> io::Result<()> {
    let meta = fs::symlink_metadata(place)?;
    let own = rustix::process::geteuid().as_raw();
    if meta.is_dir() && meta.uid() == own && meta.mode() & 0o077 == 0 {
        return Ok(());
    }
    Err(io::Error::other("it is not a private folder of this user"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn folders_are_known_as_long_as_they_exist() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let places = vec![root.join("missing/place"), root.join("place")];
        let registry = FolderRegistry { places };
        let [one, two] = ["one", "two"].map(|name| root.join(name));
        for folder in [&one, &two] {
            fs::create_dir(folder).unwrap();
            registry.register(folder);
            registry.register(folder);
        }
        let place = root.join("place");
        assert_eq!(registry.list(), [one.clone(), place.clone(), two.clone()]);
        fs::remove_dir(&two).unwrap();
        assert_eq!(registry.list(), [one, place.clone()]);
        assert_eq!(fs::read_dir(place).unwrap().count(), 1);
    }

    #[test]
    fn a_place_of_somebody_else_is_not_used() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let place = root.join("place");
        fs::create_dir(&place).unwrap();
        fs::set_permissions(&place, fs::Permissions::from_mode(0o777)).unwrap();
        let link = root.join("link");
        fs::create_dir(root.join("private")).unwrap();
        fs::set_permissions(root.join("private"), fs::Permissions::from_mode(0o700)).unwrap();
        symlink(root.join("private"), &link).unwrap();
        for place in [place, link] {
            assert!(register_in(&place, &root).is_err(), "{place:?}");
            symlink(&root, place.join("planted")).unwrap();
            assert!(
                FolderRegistry {
                    places: vec![place]
                }
                .list()
                .is_empty()
            );
        }
    }
}
