//! Limits of a task: its programs together are held to them, and what is ended says why.
//!
//! Every attack is bounded: where a limit failed, the machine would live.

#![allow(
    clippy::unwrap_used,
    reason = "a failed step is a failed test, helpers included"
)]

use std::process::Stdio;

use claudecluster_protocol::worker::ResourceLimits;
use claudecluster_worker::{
    launch::{ProgramLauncher as _, argv},
    sandbox::{ResourceGroups, Sandbox, SandboxChoice},
};

use super::fences::plain_user;
use crate::support::{Fixture, runs_inside, sh};

/// Small enough to be exceeded soon, large enough for a shell.
fn small() -> ResourceLimits {
    ResourceLimits {
        processes: 64,
        memory_bytes: Some(200 << 20),
        open_files: 1024,
        disk_bytes: Some(4 << 20),
    }
}

/// Ends when it is ended; bounded all the same.
const STAY: &str = "sleep 20";

/// 50 processes that have 10 MB each.
const MEMORY: &str =
    "for i in $(seq 50); do { head -c 10M /dev/zero; sleep 20; } | tail -c 10M & done; wait";

/// At most 512 processes, which live on where they cannot start another.
const FORKS: &str = "perl -e 'fork for 1..9; sleep 20'";

struct Attack {
    name: &'static str,
    script: String,
    limits: ResourceLimits,
    /// The start of what the user is told; empty where nothing is exceeded.
    told: &'static str,
}

fn attacks() -> Vec<Attack> {
    let attack = |name, script: &str, told| Attack {
        name,
        script: script.to_owned(),
        limits: small(),
        told,
    };
    let disk = "the task used more than limits.diskBytes (4 MiB)";
    let files = format!("i=0; while [ $i -lt 20000 ]; do echo x > f$i; i=$((i+1)); done; {STAY}");
    let unlinked = format!("exec 3> f; rm f; head -c 20M /dev/zero >&3; {STAY}");
    vec![
        attack("files", &files, disk),
        attack(
            "temporary",
            &format!("head -c 20M /dev/zero > /tmp/f; {STAY}"),
            disk,
        ),
        attack("unlinked", &unlinked, disk),
        attack(
            "ended before it is measured",
            "head -c 20M /dev/zero > f",
            disk,
        ),
        attack("sparse", "truncate -s 1T f; truncate -s 1T /tmp/f", ""),
        Attack {
            limits: ResourceLimits {
                processes: 400,
                open_files: 4096,
                ..small()
            },
            ..attack(
                "memory",
                MEMORY,
                "the task used more than limits.memoryBytes (200 MiB); if it needs more, run: \
                 claudecluster config set limits.memoryBytes 419430400",
            )
        },
        attack(
            "processes",
            FORKS,
            "the task used more than limits.processes (64)",
        ),
        Attack {
            limits: ResourceLimits {
                open_files: 64,
                ..small()
            },
            ..attack(
                "open files",
                &format!("for i in $(seq 40); do sleep 20 & done; {STAY}"),
                "the task used more than limits.openFiles (64)",
            )
        },
    ]
}

/// Runs every attack in a sandbox beside one whose program must not be harmed.
async fn check(kind: SandboxChoice, with_groups: bool) {
    let fixture = Fixture::new(&[("a.txt", "a\n")]);
    let groups = with_groups.then(ResourceGroups::open);
    let calm = Sandbox::prepare(fixture.spec("calm", kind)).await.unwrap();
    let mut neighbour = calm
        .command(&argv(["cat"]), &calm.base_env())
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    for Attack {
        name,
        script,
        limits,
        told,
    } in attacks()
    {
        let context = format!("{name} in {kind:?}, groups {with_groups}");
        let mut spec = fixture.spec(name, kind);
        spec.fences.limits = limits;
        spec.groups.clone_from(&groups);
        // `copy` is what a user has to say where there are no namespaces.
        let sandbox = Sandbox::prepare(spec).await.unwrap();
        let output = sh(&sandbox, &script).await;
        let said = sandbox.breach().await.map(|breach| breach.to_string());
        let said = said.unwrap_or_default();
        assert_eq!(
            said.is_empty(),
            told.is_empty(),
            "{context}: {said}\n{:?}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(said.starts_with(told), "{context}: {said}");
        sandbox.finish().await.unwrap();
    }
    drop(neighbour.stdin.take());
    assert!(neighbour.wait().await.unwrap().success());
    calm.finish().await.unwrap();
}

async fn check_all() {
    for kind in [SandboxChoice::Overlay, SandboxChoice::Copy] {
        for with_groups in [true, false] {
            check(kind, with_groups).await;
        }
    }
}

#[tokio::test]
async fn a_task_is_held_to_its_limits() {
    check_all().await;
}

#[tokio::test]
async fn a_task_of_a_plain_user_is_held_to_its_limits() {
    let test = "a_task_of_a_plain_user_is_held_to_its_limits";
    if runs_inside(module_path!(), test, plain_user()) {
        check_all().await;
    }
}

#[tokio::test]
async fn programs_can_neither_leave_nor_loosen_their_group() {
    let groups = ResourceGroups::open();
    let fixture = Fixture::new(&[]);
    let mut spec = fixture.spec("layer", SandboxChoice::Auto);
    spec.fences.limits = small();
    spec.groups = Some(groups);
    let sandbox = Sandbox::prepare(spec).await.unwrap();
    let script = "for f in $(find /sys/fs/cgroup -name cgroup.procs -o -name tasks -o -name memory.limit_in_bytes \
                  -o -name memory.max -o -name pids.max 2>/dev/null); do (echo 0 > $f) 2>/dev/null && echo $f; done; \
                  mkdir /sys/fs/cgroup/x /sys/fs/cgroup/*/x 2>/dev/null && echo made; \
                  mkdir m; mount -t cgroup2 none m 2>/dev/null && echo mounted; true";
    let output = sh(&sandbox, script).await;
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "");
    let status = output.status;
    assert!(status.success(), "{status}");
    assert_eq!(sandbox.breach().await, None);
}
