//! Machines that offer less to sandboxes: without user namespaces, in a container, without Landlock, without overlays;
//! as root and as a user who owns nothing.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use claudecluster_e2e::{
    World,
    canaries::{Canaries, Damage},
    live::{plan_of, shell},
    machine::{Machine, TestUser},
};
use serde_json::Value;

/// What `doctor` says of the sandbox.
fn sandbox_check(world: &World) -> Value {
    let said = world.run(&["doctor", "--json"]);
    let mut checks = said.json().into_iter();
    checks.find(|check| check["name"] == "sandbox").unwrap()
}

#[test]
fn doctor_sees_what_a_machine_lacks() {
    for machine in Machine::ALL {
        for user in TestUser::available() {
            let mut world = World::new(&[("a.txt", "a\n")]);
            world.place(machine, *user);
            let check = sandbox_check(&world);
            let found = check["found"].as_str().unwrap();
            let privileged = user.is_root() && machine == Machine::NoUserNamespaces;
            let (overlay, landlock) = match machine {
                _ if privileged => (true, true),
                Machine::Whole => (true, true),
                Machine::NoUserNamespaces | Machine::Container | Machine::NoOverlay => {
                    (false, true)
                }
                Machine::NoLandlock => (true, false),
            };
            let context = format!("{machine:?} {user:?}: {check:#}");
            assert_eq!(found.starts_with("overlay"), overlay, "{context}");
            assert_eq!(found.contains("no Landlock"), !landlock, "{context}");
        }
    }
}

/// What a worker is kept in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fence {
    Namespaces,
    /// Landlock and a filter of system calls, because the user has said that it is enough.
    Landlock,
}

/// What keeps a worker in its place where as much is to be had.
fn fence(machine: Machine, user: TestUser) -> Fence {
    match machine {
        Machine::Container => Fence::Landlock,
        Machine::NoUserNamespaces if !user.is_root() => Fence::Landlock,
        _ => Fence::Namespaces,
    }
}

/// The kinds of tricks; those that only cost time are left to the hostile agent.
const TRICKS: &str = "kernel- process-signal process-trace process-read process-write process-compare process-take \
    process-open process-overwrite process-root process-inherited process-stays socket- file-read file-list file-change \
    file-hard-link file-leave file-poison";

/// What may succeed, since it stays inside or does no harm; canaries tell.
const HARMLESS: [&str; 6] = [
    "file-change-canary",
    "file-leave-in-temporary",
    "file-poison-home",
    "process-stays",
    "socket-listen",
    "socket-send-datagram",
];

/// What stays open without namespaces. `doctor` says so, and so does the page on security.
const OPEN_WITHOUT_NAMESPACES: [&str; 3] =
    ["socket-by-path", "socket-loopback", "socket-loopback-6"];

/// The tricks that worked, but those that may.
fn successes(report: &str, fence: Fence) -> Vec<&str> {
    let worked = report
        .lines()
        .filter_map(|line| line.strip_suffix(" worked"));
    let open = |trick: &&str| fence == Fence::Landlock && OPEN_WITHOUT_NAMESPACES.contains(trick);
    worked
        .filter(|trick| !HARMLESS.contains(trick) && !open(trick))
        .collect()
}

/// Runs the attacks in a world and returns what worked, and what was damaged.
fn attack(machine: Machine, user: TestUser) -> (Vec<String>, Vec<Damage>) {
    let fence = fence(machine, user);
    let mut world = World::new(&[("a.txt", "a\n")]);
    if fence == Fence::Landlock {
        world.configure("sandbox = \"copy\"\n");
    }
    world.place(machine, user);
    let canaries = Canaries::set(&world);
    let script = format!("{} > report.txt", canaries.attack(TRICKS));
    let plan = plan_of(&[shell("t", &script, &[])]);
    let said = world.run_plan(&plan, &["--apply"]);
    let error = world.goal("g1")["error"].clone();
    assert_eq!(said.status, 0, "{machine:?} {user:?}: {error:#} {said:#?}");
    let mut damage = canaries.damage();
    if fence == Fence::Landlock {
        damage.retain(|damage| {
            !matches!(
                damage,
                Damage::Attributes(_) | Damage::Connection | Damage::Datagram
            )
        });
    }
    let report = world.read("report.txt");
    assert!(report.lines().count() > 50, "{report}");
    let worked = successes(&report, fence).into_iter();
    (worked.map(str::to_owned).collect(), damage)
}

/// Runs the attacks on every machine that has this fence.
#[track_caller]
fn check(wanted: Fence) {
    let mut failed = Vec::new();
    for machine in Machine::ALL {
        for user in TestUser::available() {
            if fence(machine, *user) == wanted {
                let (worked, damage) = attack(machine, *user);
                if !worked.is_empty() || !damage.is_empty() {
                    failed.push((machine, *user, worked, damage));
                }
            }
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn attacks_fail_on_every_machine_with_namespaces() {
    check(Fence::Namespaces);
}

#[test]
fn attacks_fail_where_landlock_is_all_there_is() {
    check(Fence::Landlock);
}

#[test]
fn without_namespaces_nothing_runs_unless_you_say_so() {
    for machine in [Machine::Container, Machine::NoUserNamespaces] {
        for user in TestUser::available() {
            if fence(machine, *user) == Fence::Namespaces {
                continue;
            }
            let mut world = World::new(&[("a.txt", "a\n")]);
            world.place(machine, *user);
            let plan = plan_of(&[shell("t", "echo ran > a.txt", &[])]);
            let context = format!("{machine:?} {user:?}");
            let said = world.run_plan(&plan, &["--apply"]);
            assert_eq!(said.status, 1, "{context}: {said:#?}");
            assert_eq!(world.read("a.txt"), "a\n", "{context}");
            let view = world.goal("g1");
            let error = view["error"].to_string();
            for word in ["namespace", "sandbox", "copy"] {
                assert!(error.contains(word), "{context}, {word}: {view:#}");
            }
            let check = sandbox_check(&world);
            assert_eq!(check["state"], "missing", "{context}: {check:#}");
            // What a repository says is no permission.
            world.write(".claudecluster.toml", "sandbox = \"copy\"\n");
            world.own(&[&world.root()]);
            world.run_plan(&plan, &["--apply"]).expect(2);
            assert_eq!(world.read("a.txt"), "a\n", "{context}");
            std::fs::remove_file(world.path(".claudecluster.toml")).unwrap();
            // What you say is. What is open then is said.
            world.configure("sandbox = \"copy\"\n");
            world.own(&[&world.dir.path().join("config.toml")]);
            world.run_plan(&plan, &["--apply"]).expect(0);
            assert_eq!(world.read("a.txt"), "ran\n", "{context}");
            let shown = world.run(&["show", "g3"]).expect(0).stdout;
            assert!(shown.contains("Landlock"), "{context}: {shown}");
        }
    }
}
