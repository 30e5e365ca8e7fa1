//! The sockets that the machine's services bound to paths.
//!
//! A read-only mount does not keep programs from connecting to a socket. Two things do: an overlay, in
//! which a socket below is another file than the one its service listens on, and a cover.

use std::{
    ffi::OsStr,
    io,
    os::unix::{
        ffi::OsStrExt,
        fs::{FileTypeExt, MetadataExt},
    },
    path::{Path, PathBuf},
};

/// The column of `/proc/net/unix` that holds the path.
const PATH_COLUMN: usize = 7;

/// A socket that a program of the machine listens on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct HostSocket {
    path: PathBuf,
    /// The device and the inode.
    file: (u64, u64),
}

impl HostSocket {
    /// Returns the path of the socket.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns whether the path still leads to the socket, from where this process is now.
    pub(super) fn is_reachable(&self) -> bool {
        socket_file(&self.path) == Some(self.file)
    }
}

/// Lists the sockets of the machine that this process can see, sorted by path.
///
/// The kernel lists those of this process's network namespace, so this is called before another one is
/// entered. `/run` is left out, because the view has only chosen parts of it. A path that a program gave
/// relative to its own folder cannot be found.
pub(super) fn list_host_sockets() -> io::Result<Vec<HostSocket>> {
    let table = std::fs::read("/proc/self/net/unix")?;
    let found = socket_paths(&table).filter_map(|path| {
        let path = path.canonicalize().ok()?;
        let file = socket_file(&path)?;
        (!path.starts_with("/run")).then_some(HostSocket { path, file })
    });
    let mut found: Vec<HostSocket> = found.collect();
    found.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    found.dedup();
    Ok(found)
}

/// Returns the absolute paths in the kernel's table of sockets.
fn socket_paths(table: &[u8]) -> impl Iterator<Item = &Path> {
    table.split(|&byte| byte == b'\n').filter_map(|line| {
        let mut rest = line;
        for _ in 0..PATH_COLUMN {
            let start = rest.iter().position(|&byte| byte != b' ')?;
            let end = start + rest[start..].iter().position(|&byte| byte == b' ')?;
            rest = &rest[end..];
        }
        // One space, then the path as it is, with the spaces it may have.
        let path = rest.strip_prefix(b" ")?;
        (path.first() == Some(&b'/')).then(|| Path::new(OsStr::from_bytes(path)))
    })
}

fn socket_file(path: &Path) -> Option<(u64, u64)> {
    let meta = std::fs::symlink_metadata(path).ok()?;
    meta.file_type()
        .is_socket()
        .then(|| (meta.dev(), meta.ino()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixDatagram, UnixListener};

    use super::*;

    #[test]
    fn paths_are_read_with_their_spaces_and_nothing_else_is() {
        let table = b"Num       RefCount Protocol Flags    Type St Inode Path\n\
            0000000000000000: 00000002 00000000 00010000 0001 01 12345 /srv/a b.sock\n\
            0000000000000000: 00000003 00000000 00000000 0001 03 12346\n\
            0000000000000000: 00000002 00000000 00010000 0001 01    77 @/abstract\n\
            0000000000000000: 00000002 00000000 00010000 0001 01 12347 relative.sock\n\
            0000000000000000: 00000002 00000000 00000000 0002 01 12348 /srv/\xff\n";
        let paths: Vec<&Path> = socket_paths(table).collect();
        let odd = Path::new(OsStr::from_bytes(b"/srv/\xff"));
        assert_eq!(paths, [Path::new("/srv/a b.sock"), odd]);
    }

    #[test]
    fn sockets_of_every_kind_are_found_by_their_real_path() {
        let dir = tempfile::tempdir_in("/var/tmp").unwrap();
        let real = dir.path().canonicalize().unwrap();
        std::os::unix::fs::symlink(&real, real.join("link")).unwrap();
        let _stream = UnixListener::bind(real.join("link/stream sock")).unwrap();
        let _datagram = UnixDatagram::bind(real.join("datagram")).unwrap();
        drop(UnixListener::bind(real.join("dead")).unwrap());
        let found = list_host_sockets().unwrap();
        let ours = found
            .iter()
            .filter(|socket| socket.path().starts_with(&real));
        let names: Vec<_> = ours
            .clone()
            .map(|socket| socket.path().file_name())
            .collect();
        assert_eq!(
            names,
            [Some("datagram".as_ref()), Some("stream sock".as_ref())]
        );
        assert!(ours.clone().all(HostSocket::is_reachable));
        std::fs::remove_file(real.join("datagram")).unwrap();
        assert_eq!(ours.filter(|socket| socket.is_reachable()).count(), 1);
    }
}
