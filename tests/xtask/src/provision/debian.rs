//! What only the system's packages have, installed where the machine is made for this.

use std::{path::Path, process::Command};

use crate::run::{self, Result, answers, output, program};

/// Sees that there is a terminal for programs to run in.
pub(super) fn terminal() -> Result {
    let there = || answers(&mut program("tmux", &["-V"]));
    if !there() && may_install() {
        install(&["tmux"])?;
    }
    if there() {
        return Ok(());
    }
    Err("there is no tmux, in which tests run Neovim (Debian: `sudo apt-get install tmux`)".into())
}

/// Whether this is Debian or made from it, and everything here is ours to change.
pub(super) fn may_install() -> bool {
    Path::new("/etc/debian_version").exists()
        && output(&mut program("id", &["-u"])).is_ok_and(|id| id.trim() == "0")
        && answers(&mut program("apt-get", &["--version"]))
}

pub(super) fn install(packages: &[&str]) -> Result {
    run::run(&mut apt(&["update"]))?;
    run::run(apt(&["install", "-y", "--no-install-recommends"]).args(packages))
}

fn apt(args: &[&str]) -> Command {
    let mut apt = program("apt-get", &["-q"]);
    apt.args(args).env("DEBIAN_FRONTEND", "noninteractive");
    apt
}
