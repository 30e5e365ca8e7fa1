//! The floors of the house (docs/architecture.md): which crate may know which, and which outside
//! crates may be known where.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use super::workspace::{packages, root};

/// Who may depend on whom. Arrows point downward only; what is not written here is not allowed.
/// Dependencies that only tests have are free, apart from cycles, which cargo refuses.
const FLOORS: [(&str, &[&str]); 13] = [
    ("claudecluster-protocol", &[]),
    ("claudecluster-core", &["claudecluster-protocol"]),
    // It knows the kernel and nothing of ours.
    ("claudecluster-files", &[]),
    ("claudecluster-store", &["claudecluster-protocol"]),
    (
        "claudecluster-worker",
        &["claudecluster-files", "claudecluster-protocol"],
    ),
    (
        "claudecluster-driver",
        &[
            "claudecluster-core",
            "claudecluster-files",
            "claudecluster-protocol",
            "claudecluster-store",
            "claudecluster-worker",
        ],
    ),
    (
        "claudecluster-service",
        &["claudecluster-driver", "claudecluster-protocol"],
    ),
    (
        "claudecluster-lsp",
        // Core's text positions, which no other type could stand for.
        &[
            "claudecluster-core",
            "claudecluster-files",
            "claudecluster-protocol",
            "claudecluster-service",
        ],
    ),
    (
        "claudecluster",
        // The scripted model is part of the program: `claudecluster demo` runs on it.
        &[
            "claudecluster-driver",
            "claudecluster-files",
            "claudecluster-lsp",
            "claudecluster-model",
            "claudecluster-protocol",
            "claudecluster-service",
        ],
    ),
    // It stands for somebody else's server, so it knows nothing of ours.
    ("claudecluster-model", &[]),
    (
        "claudecluster-e2e",
        // From outside only: through the program, the protocol and the scripted model.
        &["claudecluster-model", "claudecluster-protocol"],
    ),
    (
        "claudecluster-bench",
        // It measures the parts too.
        &[
            "claudecluster-core",
            "claudecluster-driver",
            "claudecluster-model",
            "claudecluster-protocol",
            "claudecluster-store",
            "claudecluster-worker",
        ],
    ),
    ("xtask", &[]),
];

/// Outside crates that embody what only some of ours may know. All others may be used anywhere.
const ONLY_IN: [(&str, &[&str]); 15] = [
    // "Only lsp knows LSP, only the HTTP front knows HTTP, only core knows the graph."
    ("gen-lsp-types", &["claudecluster-lsp"]),
    ("tower-lsp-server", &["claudecluster-lsp"]),
    ("axum", &["claudecluster-model"]),
    ("reqwest", &["claudecluster-worker"]),
    ("rusqlite", &["claudecluster-store"]),
    ("landlock", &["claudecluster-worker"]),
    ("petgraph", &["claudecluster-core"]),
    ("ts-rs", &["claudecluster-protocol"]),
    ("crossterm", &["claudecluster"]),
    ("anstream", &["claudecluster", "claudecluster-bench"]),
    ("tracing-subscriber", &["claudecluster"]),
    ("toml_edit", &["claudecluster"]),
    ("clap_complete", &["claudecluster"]),
    (
        "clap",
        &[
            "claudecluster",
            "claudecluster-bench",
            "claudecluster-model",
        ],
    ),
    (
        "tokio",
        &[
            "claudecluster",
            "claudecluster-bench",
            "claudecluster-driver",
            "claudecluster-e2e",
            "claudecluster-files",
            "claudecluster-lsp",
            "claudecluster-model",
            "claudecluster-service",
            "claudecluster-store",
            "claudecluster-worker",
        ],
    ),
];

/// What the pure crates must not reach even through others: runtimes, sockets, databases, clocks.
const IMPURE: [&str; 12] = [
    "async-std",
    "chrono",
    "hyper",
    "libsqlite3-sys",
    "mio",
    "rand",
    "reqwest",
    "rusqlite",
    "rustix",
    "smol",
    "socket2",
    "tokio",
];
const PURE: [&str; 2] = ["claudecluster-core", "claudecluster-protocol"];

/// Every crate of the workspace with what its code, not its tests, depends on directly.
fn direct() -> BTreeMap<String, BTreeSet<String>> {
    packages()
        .into_iter()
        .map(|package| (package.name, package.dependencies))
        .collect()
}

/// Every outside package of the lock file with its dependencies, by name: several versions of one
/// package count as one, which can only find more.
fn locked() -> BTreeMap<String, BTreeSet<String>> {
    let lock = fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let mut packages: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in lock.split("[[package]]").skip(1) {
        let quoted = |line: &str| line.split('"').nth(1).unwrap().to_owned();
        let name = package
            .lines()
            .find(|line| line.starts_with("name = "))
            .map(quoted)
            .unwrap();
        let dependencies = package
            .lines()
            .filter(|line| line.starts_with(" \""))
            // `name` or `name version`.
            .map(|line| quoted(line).split(' ').next().unwrap().to_owned());
        packages.entry(name).or_default().extend(dependencies);
    }
    packages
}

#[test]
fn arrows_point_downward() {
    let found = direct();
    let floors: BTreeMap<_, _> = FLOORS.into_iter().collect();
    let names: BTreeSet<&str> = found.keys().map(String::as_str).collect();
    let known: BTreeSet<&str> = floors.keys().copied().collect();
    assert_eq!(names, known, "a crate has no floor: give it one above");
    for (name, dependencies) in &found {
        for dependency in dependencies
            .iter()
            .filter(|name| floors.contains_key(&***name))
        {
            assert!(
                floors[&**name].contains(&&**dependency),
                "{name} must not depend on {dependency}"
            );
        }
    }
}

#[test]
fn knowledge_stays_where_it_belongs() {
    for (name, dependencies) in direct() {
        for (outside, owners) in ONLY_IN {
            assert!(
                !dependencies.contains(outside) || owners.contains(&&*name),
                "{name} must not depend on {outside}, which is for {owners:?}"
            );
        }
    }
}

#[test]
fn the_pure_crates_reach_nothing_impure() {
    let direct = direct();
    let locked = locked();
    assert!(locked["tokio"].contains("pin-project-lite"), "{locked:?}");
    for name in PURE {
        let mut reached: BTreeMap<&str, &str> = BTreeMap::new();
        let mut todo: Vec<(&str, &str)> = direct[name].iter().map(|d| (&**d, name)).collect();
        while let Some((package, by)) = todo.pop() {
            if reached.contains_key(package) {
                continue;
            }
            reached.insert(package, by);
            // For ours the lock file would name what only tests need.
            let next = direct.get(package).or_else(|| locked.get(package));
            todo.extend(next.into_iter().flatten().map(|d| (&**d, package)));
        }
        for impure in IMPURE {
            assert!(
                !reached.contains_key(impure),
                "{name} reaches {impure} through {}",
                reached[impure]
            );
        }
    }
}

#[test]
fn the_pure_crate_has_its_own_lints_beside_the_shared_ones() {
    // Clippy reads one file only, so what all crates share is repeated there.
    let read = |path: &str| fs::read_to_string(root().join(path)).unwrap();
    let pure = read("server/core/clippy.toml");
    for line in read("clippy.toml")
        .lines()
        .filter(|line| !line.starts_with('#'))
    {
        assert!(
            pure.contains(line),
            "server/core/clippy.toml lacks {line:?}"
        );
    }
    assert!(pure.contains("disallowed-methods"));
}

/// Where the program puts the driver behind its service. Its commands know the daemon by the socket.
const COMPOSITION: [&str; 3] = ["daemon/mod.rs", "daemon/service.rs", "driver_setup.rs"];

#[test]
fn the_program_names_the_driver_only_where_it_is_put_together() {
    let folder = root().join("server/cli/src");
    let mut open = vec![folder.clone()];
    let mut found = BTreeSet::new();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(
                fs::read_dir(path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let mut words = text.split(|c: char| !c.is_alphanumeric() && c != '_');
        if words.any(|word| word == "Driver") {
            let inner = path.strip_prefix(&folder).unwrap();
            found.insert(inner.to_str().unwrap().to_owned());
        }
    }
    assert_eq!(found, COMPOSITION.map(str::to_owned).into());
}
