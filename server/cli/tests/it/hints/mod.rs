//! Every command that a hint or a message names is one that works in the state it is printed in.
//!
//! [`SITES`] has a row for each place in the sources that names a `claudecluster …` command, and the test that
//! runs it. A new place fails [`every_place_that_names_a_command_has_a_test`] until it has a row and a test.
//! Places are known by the shape of their command, never by their words.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod commands;
mod places;
mod world;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use commands::{commands_in, literals, shape};

/// The shape of a command, and for each place that names it the test that runs it. `{}` stands for a value or
/// for one of several options, `[]` for what may be left out.
const SITES: &[(&str, &[&str])] = &[
    (
        "accept {}",
        &[
            "a_proposal",
            "what_is_not_there",
            "hunks_that_do_not_conflict",
            "places_without_a_front_here",
        ],
    ),
    ("accept {} --file {}", &["held_changes", "held_changes"]),
    ("allow {}", &["permissions"]),
    ("allow {} --goal", &["permissions"]),
    ("allow {} []", &["permissions"]),
    ("approve {}", &["a_waiting_plan", "a_waiting_plan"]),
    ("approve {} --plan {}", &["a_waiting_plan"]),
    ("approve {} --task {}", &["a_paused_task"]),
    ("artifacts {}", &["places_without_a_front_here"]),
    (
        "cancel {}",
        &[
            "a_waiting_plan",
            "a_paused_task",
            "places_without_a_front_here",
        ],
    ),
    (
        "config add {} {}",
        &["hosts_that_are_denied", "hosts_that_are_denied"],
    ),
    ("config check", &["configuration"]),
    ("config edit", &["configuration"]),
    (
        "config list",
        &[
            "configuration",
            "configuration",
            "configuration",
            "agents_that_may_not_run",
        ],
    ),
    ("config path", &["configuration"]),
    ("config set claude.program {}", &["agents_that_may_not_run"]),
    (
        "config set {} {}",
        &["configuration", "limits_that_are_exceeded"],
    ),
    (
        "config set review.mergeWords suggest",
        &["words_that_are_not_merged"],
    ),
    ("config set sandbox copy", &["places_without_a_front_here"]),
    (
        "daemon stop",
        &[
            "limits_that_are_exceeded",
            "words_that_are_not_merged",
            "places_without_a_front_here",
            "places_without_a_front_here",
            "places_without_a_front_here",
            "places_without_a_front_here",
            "places_without_a_front_here",
            "places_without_a_front_here",
            "places_without_a_front_here",
            "places_without_a_front_here",
            "places_without_a_front_here",
        ],
    ),
    ("daemon stop --force", &["places_without_a_front_here"]),
    ("daemon status", &["places_without_a_front_here"]),
    ("demo --agent {}", &["the_demo"]),
    ("deny {} --goal", &["permissions"]),
    ("deny {} []", &["permissions"]),
    (
        "diff {}",
        &[
            "a_proposal",
            "a_waiting_plan",
            "tasks_that_fail",
            "tasks_that_fail",
            "tasks_that_fail",
            "providers_that_fail",
            "what_is_not_there",
            "what_is_not_there",
            "what_is_not_there",
            "places_without_a_front_here",
            "places_without_a_front_here",
            "places_without_a_front_here",
        ],
    ),
    (
        "diff {} --conflicts",
        &["conflicts", "conflicts", "conflicts", "conflicts"],
    ),
    (
        "doctor",
        &[
            "the_demo",
            "places_without_a_front_here",
            "places_without_a_front_here",
            "places_without_a_front_here",
            "places_without_a_front_here",
            "places_without_a_front_here",
            "places_without_a_front_here",
            "places_without_a_front_here",
        ],
    ),
    ("goals", &["what_is_not_there", "what_is_not_there"]),
    (
        "logs {}",
        &[
            "limits_that_are_exceeded",
            "tasks_that_fail",
            "tasks_that_fail",
            "tasks_that_fail",
        ],
    ),
    ("permissions", &["what_is_not_there"]),
    ("plan {}", &["places_without_a_front_here"]),
    ("plan {} --edit", &["a_waiting_plan"]),
    ("reject {}", &["a_proposal", "what_is_not_there"]),
    ("resolve {} --markers", &["conflicts"]),
    ("resolve {} --text {}", &["conflicts"]),
    ("resolve {} {}", &["conflicts"]),
    (
        "retry {}",
        &[
            "limits_that_are_exceeded",
            "tasks_that_fail",
            "providers_that_fail",
            "providers_that_fail",
            "places_without_a_front_here",
            "places_without_a_front_here",
            "places_without_a_front_here",
        ],
    ),
    ("run --plan {}", &["places_without_a_front_here"]),
    ("run --plan-only {}", &["what_is_not_there"]),
    (
        "run {}",
        &[
            "what_is_not_there",
            "what_is_not_there",
            "the_demo",
            "places_without_a_front_here",
        ],
    ),
    (
        "show {}",
        &[
            "held_changes",
            "an_undo_that_leaves_something",
            "tasks_that_fail",
            "what_is_not_there",
            "what_is_not_there",
            "what_is_not_there",
            "what_is_not_there",
            "places_without_a_front_here",
            "places_without_a_front_here",
        ],
    ),
    ("undo {}", &["a_proposal"]),
    (
        "watch {}",
        &[
            "a_waiting_plan",
            "a_paused_task",
            "tasks_that_fail",
            "a_goal_that_is_open_already",
            "places_without_a_front_here",
            "places_without_a_front_here",
        ],
    ),
];

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ext| ext == "rs") && !path.ends_with("tests.rs") {
            found.push(path);
        }
    }
}

#[test]
fn every_place_that_names_a_command_has_a_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut files = Vec::new();
    for crate_dir in fs::read_dir(root).unwrap() {
        sources(&crate_dir.unwrap().path().join("src"), &mut files);
    }
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in files {
        for literal in literals(&fs::read_to_string(&file).unwrap()) {
            for words in commands_in(&literal) {
                let place = file.strip_prefix(root).unwrap().display().to_string();
                places.entry(shape(&words)).or_default().push(place);
            }
        }
    }
    let tests = include_str!("places.rs");
    let body = |name: &str| {
        let start = tests.find(&format!("\nfn {name}()"));
        let tail = &tests[start.unwrap_or_else(|| panic!("there is no test {name}")) + 1..];
        tail.split("\n#[test]").next().unwrap()
    };
    let mut expected: BTreeMap<&str, usize> = BTreeMap::new();
    for (shape, names) in SITES {
        assert!(
            expected.insert(shape, names.len()).is_none(),
            "{shape} twice"
        );
        for name in *names {
            let runs = body(name).contains(&format!("\"{shape}\""));
            assert!(runs, "the test {name} does not run `{shape}`");
        }
    }
    places.retain(|shape, places| expected.remove(&**shape) != Some(places.len()));
    assert_eq!(
        places,
        BTreeMap::new(),
        "places, where there are others than rows"
    );
    assert_eq!(expected, BTreeMap::new(), "named nowhere");
}
