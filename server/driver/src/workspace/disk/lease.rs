//! Leases: they show whether another program writes to a file, or wants to.

use std::{fs::File, os::fd::AsRawFd};

use super::WriteError;

/// Signal that announces a waiting writer; the same number on every architecture.
const F_SETSIG: libc::c_int = 10;

/// A kernel lease: a program that opens the file for writing waits until it is dropped.
pub(super) struct FileLease<'a> {
    file: &'a File,
    /// Not every file system has leases, and only a file's owner gets one.
    held: bool,
}

impl<'a> FileLease<'a> {
    /// Takes a lease on a file that is open for reading.
    ///
    /// # Errors
    ///
    /// [`WriteError::Changed`] if another program has it open for writing.
    pub(super) fn take(file: &'a File) -> Result<Self, WriteError> {
        // Somebody who wants to write is announced by a signal, which would end the process if it were
        // not one that is ignored.
        let quiet = lease_control(file, F_SETSIG, libc::SIGURG);
        let taken = quiet.and_then(|_| lease_control(file, libc::F_SETLEASE, libc::F_RDLCK));
        match taken {
            Ok(_) => Ok(Self { file, held: true }),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                Err(WriteError::Changed)
            }
            Err(_) => Ok(Self { file, held: false }),
        }
    }

    /// Returns whether a writer has been waiting since the lease was taken.
    pub(super) fn is_wanted(&self) -> bool {
        self.held && lease_control(self.file, libc::F_GETLEASE, 0).ok() != Some(libc::F_RDLCK)
    }
}

impl Drop for FileLease<'_> {
    fn drop(&mut self) {
        if self.held {
            // It ends with the descriptor in any case.
            let _ = lease_control(self.file, libc::F_SETLEASE, libc::F_UNLCK);
        }
    }
}

#[expect(unsafe_code, reason = "leases have no safe wrapper")]
fn lease_control(file: &File, command: libc::c_int, argument: libc::c_int) -> std::io::Result<i32> {
    // SAFETY: the descriptor is open, and none of the commands used takes a pointer.
    let answer = unsafe { libc::fcntl(file.as_raw_fd(), command, argument) };
    if answer < 0 {
        return Err(std::io::Error::last_os_error());
    }
    Ok(answer)
}
