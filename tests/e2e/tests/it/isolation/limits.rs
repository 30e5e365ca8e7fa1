//! A task that takes too much of the machine is ended and says why; what runs beside it goes on.
//!
//! Every attack is bounded: where a limit failed, the machine would live.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use claudecluster_e2e::{
    World,
    live::{Live, Meet, plan_of, shell},
    machine::{Machine, TestUser},
};
use serde_json::Value;

const SETTINGS: &str =
    "[limits]\nprocesses = 128\nmemoryBytes = 268435456\nopenFiles = 1024\ndiskBytes = 8388608\n";

/// What a task does, and the limit that ends it.
const ATTACKS: [(&str, &str, &str); 5] = [
    (
        "forks",
        "perl -e 'fork for 1..9; sleep 60'",
        "limits.processes (128)",
    ),
    (
        "memory",
        "perl -e 'for (1..50) { $p = fork; last unless $p } $x = \"x\" x (10_000_000 + $$ % 2); sleep 60'",
        "limits.memoryBytes (256 MiB)",
    ),
    (
        "small files",
        "i=0; while [ $i -lt 20000 ]; do echo x > ${TMPDIR:-/tmp}/f$i; i=$((i+1)); done; sleep 60",
        "limits.diskBytes (8 MiB)",
    ),
    (
        "removed file",
        "exec 3> f; rm f; head -c 20M /dev/zero >&3; sleep 60",
        "limits.diskBytes (8 MiB)",
    ),
    (
        "open files",
        "perl -e 'for (1..20) { $p = fork; last unless $p } open($f[$_], q(/dev/null)) for 1..90; sleep 60'",
        "limits.openFiles (1024)",
    ),
];

fn task<'a>(view: &'a Value, id: &str) -> &'a Value {
    let mut tasks = view["tasksDetail"].as_array().unwrap().iter();
    tasks.find(|task| task["id"] == id).unwrap()
}

fn last_attempt(task: &Value) -> &Value {
    task["attempts"].as_array().unwrap().last().unwrap()
}

/// Runs every attack in a goal of its own beside a task that ends only after it.
fn check(machine: Machine, user: TestUser) {
    let namespaces = match machine {
        Machine::Container => false,
        Machine::NoUserNamespaces => user.is_root(),
        _ => true,
    };
    let mut world = World::new(&[("a.txt", "a\n")]);
    let copy = if namespaces {
        ""
    } else {
        "sandbox = \"copy\"\n"
    };
    world.configure(&format!("{copy}{SETTINGS}"));
    world.place(machine, user);
    let meet = Meet::new();
    for (number, (name, script, limit)) in ATTACKS.into_iter().enumerate() {
        let context = format!("{name} on {machine:?} as {user:?}");
        // Without namespaces the place cannot be reached; the tasks still start together.
        let wait = if namespaces {
            meet.script("calm")
        } else {
            "true".to_owned()
        };
        let calm = format!("{wait}; echo {number} > calm.txt");
        let plan = plan_of(&[shell("attack", script, &[]), shell("calm", &calm, &[])]);
        let mut live = Live::plan(&world, &plan, &[]);
        let guest = namespaces.then(|| meet.next());
        live.until(|event| event["type"] == "attemptEnded" && event["taskId"] == "attack");
        if let Some(guest) = guest {
            guest.release();
        }
        let said = live.end();
        assert_eq!(said.status, 1, "{context}: {said:#?}");
        let goal = format!("g{}", number + 1);
        let view = world.goal(&goal);
        let attacked = task(&view, "attack");
        let attempt = last_attempt(attacked);
        assert_eq!(attempt["stop"], "resourceLimit", "{context}: {attempt:#}");
        let summary = attempt["summary"].as_str().unwrap();
        let told = format!("the task used more than {limit}");
        assert!(summary.starts_with(&told), "{context}: {summary}");
        assert!(
            summary.contains("claudecluster config set limits."),
            "{context}: {summary}"
        );
        assert_eq!(
            attacked["attempts"].as_array().unwrap().len(),
            1,
            "{context}: tried again"
        );
        let calm = last_attempt(task(&view, "calm"));
        assert_eq!(calm["stop"], Value::Null, "{context}: {calm:#}");
        let shown = world.run(&["show", &goal]).expect(0).stdout;
        assert!(shown.contains(&told), "{context}: {shown}");
    }
    // The daemon lives, and what only seems large or long is none of these limits' business.
    let script = "truncate -s 1T ${TMPDIR:-/tmp}/sparse; head -c 4M /dev/zero | tr '\\0' x; echo done > a.txt";
    let plan = plan_of(&[shell("t", script, &[])]);
    let said = world.run_plan(&plan, &["--apply"]);
    assert_eq!(said.status, 0, "{machine:?} {user:?}: {said:#?}");
    assert_eq!(world.read("a.txt"), "done\n");
}

#[test]
fn tasks_that_take_too_much_are_ended_and_others_are_not() {
    for user in TestUser::available() {
        check(Machine::Whole, *user);
    }
}

#[test]
fn tasks_that_take_too_much_are_ended_on_machines_that_offer_less() {
    for machine in Machine::ALL
        .into_iter()
        .filter(|machine| *machine != Machine::Whole)
    {
        for user in TestUser::available() {
            check(machine, *user);
        }
    }
}

#[test]
fn doctor_says_by_what_each_limit_holds() {
    for user in TestUser::available() {
        let mut world = World::new(&[("a.txt", "a\n")]);
        world.configure(SETTINGS);
        world.place(Machine::Whole, *user);
        let said = world.run(&["doctor", "--json"]);
        let mut checks = said.json().into_iter();
        let check = checks.find(|check| check["name"] == "limits").unwrap();
        let found = check["found"].as_str().unwrap();
        for limit in [
            "memory 256 MiB",
            "processes 128",
            "open files 1024",
            "disk space 8 MiB",
        ] {
            assert!(found.contains(limit), "{limit}: {found}");
        }
        assert!(found.contains("measured: "), "{found}");
        assert!(found.contains("cgroup"), "{found}");
    }
}
