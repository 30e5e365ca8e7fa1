//! Who is at the other end of the socket.
//!
//! The socket's mode keeps other users out. A worker's sandbox runs as the same user, so the daemon
//! also refuses processes that live in other namespaces than its own.

use tokio::net::UnixStream;

/// The reason why the daemon does not talk to a process.
#[derive(Debug, thiserror::Error)]
pub(super) enum PeerRefusal {
    #[error("it belongs to another user (uid {0})")]
    OtherUser(u32),
    #[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "no namespaces"))]
    #[error("it runs in another {0} namespace, such as a sandbox or a container")]
    OtherNamespace(&'static str),
    #[error("the system does not say who it is: {0}")]
    Unknown(#[from] std::io::Error),
}

/// Checks that the process which connected is one of the same user, outside every sandbox.
pub(super) fn check_peer(stream: &UnixStream) -> Result<(), PeerRefusal> {
    let own = rustix::process::geteuid().as_raw();
    let peer = stream.peer_cred()?;
    if peer.uid() != own {
        return Err(PeerRefusal::OtherUser(peer.uid()));
    }
    #[cfg(target_os = "linux")]
    namespaces::check_namespaces(stream, peer.pid())?;
    Ok(())
}

#[cfg(target_os = "linux")]
mod namespaces {
    use std::{
        fs, io,
        os::{
            fd::{AsRawFd, FromRawFd, OwnedFd},
            unix::fs::MetadataExt,
        },
        path::Path,
    };

    use rustix::{
        event::{PollFd, PollFlags, Timespec, poll},
        io::Errno,
        process::{Pid, PidfdFlags, pidfd_open},
    };
    use tokio::net::UnixStream;

    use super::PeerRefusal;

    /// The namespaces that a sandbox has of its own, by their names in `/proc` and in words.
    const NAMESPACES: [(&str, &str); 3] = [("mnt", "mount"), ("pid", "process"), ("user", "user")];

    /// Refuses a process that is in another namespace than this one.
    ///
    /// The number of a process that has ended may be given to another one, so the process is held by
    /// a handle while its namespaces are read.
    pub(super) fn check_namespaces(
        stream: &UnixStream,
        pid: Option<i32>,
    ) -> Result<(), PeerRefusal> {
        // The number is 0 if this namespace of processes does not contain it.
        let Some(pid) = pid.and_then(Pid::from_raw) else {
            return Err(PeerRefusal::OtherNamespace("process"));
        };
        let handle = match peer_handle(stream) {
            Ok(handle) => handle,
            // Before Linux 6.5. The handle of the number is as good unless the process has ended.
            Err(error) if error.raw_os_error() == Some(libc::ENOPROTOOPT) => {
                pidfd_open(pid, PidfdFlags::empty()).map_err(io::Error::from)?
            }
            Err(error) => return Err(error.into()),
        };
        let folder = Path::new("/proc").join(pid.as_raw_pid().to_string());
        for (name, words) in NAMESPACES {
            if namespace_id(&folder, name)? != namespace_id(Path::new("/proc/self"), name)? {
                return Err(PeerRefusal::OtherNamespace(words));
            }
        }
        if has_ended(&handle)? {
            return Err(io::Error::from(Errno::SRCH).into());
        }
        Ok(())
    }

    /// Returns the identity of a process's namespace.
    fn namespace_id(process: &Path, name: &str) -> io::Result<(u64, u64)> {
        let meta = fs::metadata(process.join("ns").join(name))?;
        Ok((meta.dev(), meta.ino()))
    }

    fn has_ended(handle: &OwnedFd) -> io::Result<bool> {
        let mut polled = [PollFd::new(handle, PollFlags::IN)];
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        Ok(poll(&mut polled, Some(&now))? > 0)
    }

    /// Returns a handle of the process that connected.
    #[expect(unsafe_code, reason = "no safe binding of this socket option exists")]
    fn peer_handle(stream: &UnixStream) -> io::Result<OwnedFd> {
        let mut handle: libc::c_int = -1;
        let mut size = size_of::<libc::c_int>() as libc::socklen_t;
        // SAFETY: the descriptor is open while `stream` is borrowed, and the kernel writes at most
        // `size` bytes, which is the size of `handle`.
        let result = unsafe {
            libc::getsockopt(
                stream.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEERPIDFD,
                (&raw mut handle).cast(),
                &raw mut size,
            )
        };
        if result != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the call succeeded, so `handle` is a new descriptor that nothing else owns.
        Ok(unsafe { OwnedFd::from_raw_fd(handle) })
    }
}
