//! Machines that offer less than this one, and users without rights.

use std::{fs, os::unix::fs::MetadataExt};

/// What a machine offers to sandboxes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Machine {
    /// All that this kernel has.
    Whole,
    /// No user namespaces, as some distributions are set up. Root has the other namespaces.
    NoUserNamespaces,
    /// A container: no namespaces, no mounts, few capabilities.
    Container,
    /// A kernel without Landlock.
    NoLandlock,
    /// A kernel that cannot mount overlays.
    NoOverlay,
}

impl Machine {
    /// All machines.
    pub const ALL: [Self; 5] = [
        Self::Whole,
        Self::NoUserNamespaces,
        Self::Container,
        Self::NoLandlock,
        Self::NoOverlay,
    ];

    /// The name on the command line of `claudecluster-restricted`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::NoUserNamespaces => "no-user-namespaces",
            Self::Container => "container",
            Self::NoLandlock => "no-landlock",
            Self::NoOverlay => "no-overlay",
        }
    }
}

/// Who runs the product in a test.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TestUser {
    /// Whoever runs the tests: root on some machines.
    Own,
    /// The user who owns nothing. Only root can become that one.
    Nobody,
}

impl TestUser {
    /// The users as whom tests can run here.
    pub fn available() -> &'static [Self] {
        if is_root() {
            &[Self::Own, Self::Nobody]
        } else {
            &[Self::Own]
        }
    }

    /// Whether this user is root.
    pub fn is_root(self) -> bool {
        self == Self::Own && is_root()
    }
}

/// Whether the tests run as root.
pub fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}
