//! Secrets of the user, and system calls that programs cannot make.

#![allow(
    clippy::unwrap_used,
    reason = "a failed step is a failed test, helpers included"
)]

use std::{fs, path::PathBuf};

use claudecluster_worker::{
    launch::argv,
    sandbox::{Sandbox, SandboxChoice},
};

use crate::support::{self, Fixture, ok, runs_inside, sh};

/// The words that start a program as a user without privileges.
pub(super) fn plain_user() -> &'static [&'static str] {
    if rustix::process::geteuid().is_root() {
        &[
            "setpriv",
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
        ]
    } else {
        &["env"]
    }
}

const CANARY: &str = "canary-7f3a";

/// Fills the home folder of this test, which is a new one, with secrets. Gives the ones to look for.
fn fill_home() -> PathBuf {
    let home = PathBuf::from(std::env::var_os("HOME").unwrap());
    let write = |path: &str, text: &str| {
        let path = home.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    for path in [
        ".ssh/id_ed25519",
        ".ssh/known_hosts",
        ".aws/credentials",
        ".config/gh/hosts.yml",
        ".cargo/credentials.toml",
        ".claude/.credentials.json",
        ".codex/auth.json",
        ".mozilla/firefox/cookies",
        ".local/share/keyrings/login",
        ".bash_history",
        "dotfiles/netrc",
        "keys/own",
    ] {
        write(path, CANARY);
    }
    write(
        ".npmrc",
        &format!("registry=https://r/\n//r/:_authToken={CANARY}\n"),
    );
    write(".gitconfig", "[user]\nname = visible\n");
    std::os::unix::fs::symlink(home.join("dotfiles/netrc"), home.join(".netrc")).unwrap();
    home
}

async fn check_secrets() {
    let home = fill_home();
    let fixture = Fixture::new(&[]);
    for kind in [SandboxChoice::Overlay, SandboxChoice::Copy] {
        let mut spec = fixture.spec(&format!("{kind:?}"), kind);
        let sandbox = Sandbox::prepare(spec.clone()).await.unwrap();
        let search = "grep -rl canary ~ | sed \"s,$HOME/,,\"; cat ~/.npmrc ~/.gitconfig; \
                      rm -rf ~/.ssh ~/.netrc; mv ~/.aws ~/x; cat ~/.ssh/* ~/x/*; true";
        let said = ok(&sandbox, search).await;
        let own = "keys/own\nregistry=https://r/\n[user]\nname = visible\n";
        assert_eq!(said, own, "{kind:?}");
        assert!(
            !sh(&sandbox, "cat /etc/shadow | grep .")
                .await
                .status
                .success()
        );
        sandbox.finish().await.unwrap();
        spec.fences.secrets.hide = vec!["~/keys".to_owned()];
        spec.fences.secrets.show = vec!["~/.ssh/known_hosts".to_owned(), "~/.aws".to_owned()];
        let sandbox = Sandbox::prepare(spec).await.unwrap();
        let said = ok(&sandbox, "cd ~; grep -rl canary . | sort; ls -A keys").await;
        assert_eq!(said, "./.aws/credentials\n./.ssh/known_hosts\n", "{kind:?}");
        sandbox.finish().await.unwrap();
    }
    assert_eq!(fs::read_to_string(home.join(".netrc")).unwrap(), CANARY);
}

#[tokio::test]
async fn secrets_of_the_user_are_not_readable() {
    let name = "secrets_of_the_user_are_not_readable";
    if runs_inside(module_path!(), name, &["env"]) {
        check_secrets().await;
    }
}

#[tokio::test]
async fn secrets_of_a_plain_user_are_not_readable() {
    let name = "secrets_of_a_plain_user_are_not_readable";
    if runs_inside(module_path!(), name, plain_user()) {
        check_secrets().await;
    }
}

async fn check_calls() {
    let fixture = Fixture::new(&[]);
    // The programs of a sandbox cannot write the folder of the launcher, but they can run it.
    let sandbox = fixture.overlay("layer").await;
    let words = [support::launcher().into_os_string(), "make-calls".into()];
    let output = support::run(&sandbox, &argv(words)).await;
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}");
    let count = said.lines().count();
    assert_eq!(count, 32, "{said}");
    for line in said.lines() {
        let (name, number) = line.split_once(' ').unwrap();
        let expected = match name {
            "io_uring_setup" | "clone3" | "fsopen" | "open_tree" | "x32-getpid" => libc::ENOSYS,
            "socket-route" | "socket-unix" | "socket-udp" | "socket-tcp6" | "personality-query" => {
                0
            }
            name if name.starts_with("socket") => libc::EAFNOSUPPORT,
            _ => libc::EPERM,
        };
        assert_eq!(number, expected.to_string(), "{name}");
    }
    sandbox.finish().await.unwrap();
}

#[tokio::test]
async fn calls_that_reach_out_are_denied() {
    check_calls().await;
}

#[tokio::test]
async fn calls_of_a_plain_user_that_reach_out_are_denied() {
    let name = "calls_of_a_plain_user_that_reach_out_are_denied";
    if runs_inside(module_path!(), name, plain_user()) {
        check_calls().await;
    }
}

async fn check_limits() {
    let fixture = Fixture::new(&[]);
    let mut spec = fixture.spec("limited", SandboxChoice::Overlay);
    spec.fences.limits.open_files = 100;
    let limited = Sandbox::prepare(spec).await.unwrap();
    let other = fixture.overlay("other").await;
    assert_eq!(
        ok(&limited, "ulimit -n; ulimit -Hn; ulimit -c").await,
        "100\n100\n0\n"
    );
    // The machine ends these first when it is out of memory; the others are as they were.
    assert_eq!(ok(&other, "cat /proc/self/oom_score_adj").await, "700\n");
    let many = "for i in $(seq 100); do sleep 0.01 & done; wait; echo fine";
    assert_eq!(ok(&other, many).await, "fine\n");
    assert_eq!(ok(&limited, "echo fine").await, "fine\n");
}

#[tokio::test]
async fn a_task_cannot_take_the_whole_machine() {
    check_limits().await;
}

#[tokio::test]
async fn a_task_of_a_plain_user_cannot_take_the_whole_machine() {
    let name = "a_task_of_a_plain_user_cannot_take_the_whole_machine";
    if runs_inside(module_path!(), name, plain_user()) {
        check_limits().await;
    }
}
