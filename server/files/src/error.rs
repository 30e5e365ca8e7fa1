//! Why a file of somebody else's was not read, written, walked or removed.

use std::{io, time::Duration};

use rustix::io::Errno;

use crate::kind::EntryKind;

/// Why a file of somebody else's was not read, written, walked or removed.
#[derive(Debug, thiserror::Error)]
pub enum ForeignFileError {
    /// The operating system refused.
    #[error("{0}")]
    Io(io::Error),
    /// A link or `..` stands in the way, and nothing here follows them.
    #[error("a symbolic link or `..` is on the way to it")]
    Link,
    /// It is something other than a regular file.
    #[error("it is {0}, not a regular file")]
    NotRegular(EntryKind),
    /// The file has more bytes than may be read.
    #[error("it has more than {limit} bytes, the most that is read")]
    TooLarge {
        /// The limit, in bytes.
        limit: u64,
    },
    /// Folders are nested deeper than may be walked.
    #[error("its folders are nested more than {limit} deep, the most that is walked")]
    TooDeep {
        /// The limit, in folders.
        limit: usize,
    },
    /// There are more entries than may be walked.
    #[error("it holds more than {limit} entries, the most that are walked")]
    TooMany {
        /// The limit, in entries.
        limit: usize,
    },
    /// The files together have more bytes than may be walked.
    #[error("its files have more than {limit} bytes together, the most that are walked")]
    TooMuch {
        /// The limit, in bytes.
        limit: u64,
    },
    /// The file system did not answer in time.
    #[error("the file system did not answer within {} s", .0.as_secs())]
    TooSlow(Duration),
}

impl ForeignFileError {
    /// Returns whether there is no such file or folder.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Io(error) if error.kind() == io::ErrorKind::NotFound)
    }

    /// Returns whether a limit was exceeded.
    pub fn is_limit(&self) -> bool {
        matches!(
            self,
            Self::TooLarge { .. }
                | Self::TooDeep { .. }
                | Self::TooMany { .. }
                | Self::TooMuch { .. }
        )
    }
}

impl From<Errno> for ForeignFileError {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::LOOP | Errno::XDEV => Self::Link,
            errno => Self::Io(errno.into()),
        }
    }
}

impl From<io::Error> for ForeignFileError {
    fn from(error: io::Error) -> Self {
        match Errno::from_io_error(&error) {
            Some(errno) => errno.into(),
            None => Self::Io(error),
        }
    }
}

impl From<ForeignFileError> for io::Error {
    fn from(error: ForeignFileError) -> Self {
        match error {
            ForeignFileError::Io(error) => error,
            other if other.is_limit() => Self::new(io::ErrorKind::FileTooLarge, other),
            ForeignFileError::TooSlow(_) => Self::new(io::ErrorKind::TimedOut, error),
            other => Self::new(io::ErrorKind::InvalidInput, other),
        }
    }
}
