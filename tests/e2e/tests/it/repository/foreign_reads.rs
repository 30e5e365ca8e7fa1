//! What reads or removes files that somebody else can write does so through `server/files`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use super::{modules::Modules, workspace::root};

/// Calls that follow links, wait for pipes, read without end or recurse.
const RAW: [[&str; 2]; 7] = [
    ["fs", "read"],
    ["fs", "read_to_string"],
    ["fs", "read_dir"],
    ["fs", "copy"],
    ["fs", "remove_dir_all"],
    ["File", "open"],
    ["OpenOptions", "new"],
];

/// The crates that touch what a workspace, a layer or an agent's home holds.
const CRATES: [(&str, &str); 5] = [
    ("server/driver", "src/lib.rs"),
    ("server/worker", "src/lib.rs"),
    ("server/store", "src/lib.rs"),
    ("server/lsp", "src/lib.rs"),
    ("server/cli", "src/main.rs"),
];

/// Files that make such calls all the same, each with why that is safe.
const ALLOWED: &[(&str, &str)] = &[
    (
        "server/cli/src/client/start.rs",
        "the log of the daemon, in the state folder",
    ),
    ("server/cli/src/commands/daemon.rs", "/dev/null"),
    (
        "server/cli/src/commands/plan.rs",
        "a plan that the user edits, in the state folder",
    ),
    (
        "server/cli/src/daemon/daily_log.rs",
        "the log, in the state folder",
    ),
    (
        "server/cli/src/daemon/mod.rs",
        "diffs for editors, in the state folder",
    ),
    (
        "server/cli/src/folder_registry.rs",
        "names of state folders, in a private folder of the user",
    ),
    ("server/cli/src/home.rs", "the state folder"),
    (
        "server/driver/src/workspace/disk/mod.rs",
        "whether a folder can be listed, without its entries",
    ),
    (
        "server/lsp/src/handlers/diff.rs",
        "diffs for editors, in the state folder",
    ),
    (
        "server/lsp/src/plan/candidates.rs",
        "names in a folder, for completion",
    ),
    (
        "server/lsp/src/plan/files.rs",
        "plans for editors, in the state folder",
    ),
    ("server/store/src/artifacts.rs", "the state folder"),
    ("server/store/src/home.rs", "the state folder"),
    (
        "server/worker/src/agent/claude_code/detect.rs",
        "what was asked of the program, in the state folder",
    ),
    (
        "server/worker/src/agent/native/conversation.rs",
        "runs inside the sandbox, with its rights",
    ),
    (
        "server/worker/src/sandbox/confine.rs",
        "runs in the launcher, names in folders on the way to what is barred",
    ),
    (
        "server/worker/src/sandbox/covers.rs",
        "runs in the launcher, on files of the user and on its own",
    ),
    (
        "server/worker/src/sandbox/groups.rs",
        "groups of the kernel, which workers cannot write",
    ),
    (
        "server/worker/src/sandbox/groups/place.rs",
        "groups of the kernel, which workers cannot write",
    ),
    ("server/worker/src/sandbox/host_sockets.rs", "/proc"),
    (
        "server/worker/src/sandbox/layer.rs",
        "a new file of a layer that no worker sees yet",
    ),
    ("server/worker/src/sandbox/mount_policy.rs", "/proc"),
    ("server/worker/src/sandbox/processes.rs", "/proc"),
    ("server/worker/src/sandbox/remedy.rs", "/proc"),
    (
        "server/worker/src/sandbox/secrets.rs",
        "names in folders of the user",
    ),
    (
        "server/worker/src/serve/homes.rs",
        "names of attempts, in the daemon's own folder",
    ),
];

#[test]
fn foreign_files_are_read_and_removed_by_the_one_helper() {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (folder, top) in CRATES {
        let folder = root().join(folder);
        let read = |path: &std::path::Path| fs::read_to_string(path).ok();
        for module in Modules::read(&folder.join(top), &read).0.values() {
            let raw = module.paths.iter().filter(|path| {
                RAW.iter()
                    .any(|raw| path.ends_with(&raw.map(str::to_owned)))
            });
            let file = module.file.strip_prefix(root()).unwrap();
            for path in raw {
                let calls = found.entry(file.display().to_string()).or_default();
                calls.insert(path.join("::"));
            }
        }
    }
    let allowed: BTreeSet<&str> = ALLOWED.iter().map(|(file, _)| *file).collect();
    let there: BTreeSet<&str> = found.keys().map(String::as_str).collect();
    let new: Vec<_> = found
        .iter()
        .filter(|(file, _)| !allowed.contains(&***file))
        .collect();
    assert!(
        new.is_empty(),
        "read and remove through claudecluster_files, or say above why this is no foreign file: {new:#?}"
    );
    let old: Vec<_> = allowed.difference(&there).collect();
    assert!(old.is_empty(), "no longer needed above: {old:?}");
}
