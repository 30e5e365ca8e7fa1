//! The heart: whichever way a view is made, the change set is what a look at everything would find.

#![allow(
    clippy::unwrap_used,
    reason = "a failed step is a failed test, helpers included"
)]

use std::{
    collections::BTreeMap,
    fs,
    os::unix::{ffi::OsStrExt, fs::PermissionsExt},
    path::{Path, PathBuf},
};

use claudecluster_protocol::FileMode;
use claudecluster_worker::{
    changes::{ChangeSet, CollectedChange},
    sandbox::{Sandbox, SandboxChoice},
};
use proptest::prelude::*;

use crate::support::{self, Fixture, ok};

/// Something a program does. Names are indices into [`NAMES`].
#[derive(Clone, Debug)]
enum Op {
    Write(usize, u8),
    Append(usize),
    Touch(usize),
    Remove(usize),
    Move(usize, usize),
    MakeDir(usize),
    Link(usize, usize),
    Executable(usize),
}

/// Few enough that operations meet; some are inside others.
const NAMES: [&str; 12] = [
    "a",
    "b",
    "d",
    "d/x",
    "d/y",
    "d/e",
    "d/e/z",
    "f",
    "f/x",
    "d/odd \\n, :name",
    "skip/x",
    "x.log",
];

impl Op {
    /// What does it. A step that cannot be done is no step, in every view alike.
    fn script(&self) -> String {
        let name = |index: &usize| format!("\"$(printf './{}')\"", NAMES[*index]);
        match self {
            Op::Write(at, text) => format!("printf 'text {text}\\nmore\\n' > {}", name(at)),
            Op::Append(at) => format!("[ -f {0} ] && echo again >> {0}", name(at)),
            Op::Touch(at) => format!("[ -f {0} ] && touch {0}", name(at)),
            Op::Remove(at) => format!("rm -rf {}", name(at)),
            Op::Move(from, to) => format!("mv -T {} {}", name(from), name(to)),
            Op::MakeDir(at) => format!("mkdir -p {}", name(at)),
            Op::Link(to, at) => format!("ln -s {} {}", name(to), name(at)),
            Op::Executable(at) => format!("[ -f {0} ] && [ ! -L {0} ] && chmod +x {0}", name(at)),
        }
    }
}

fn op() -> impl Strategy<Value = Op> {
    let name = 0..NAMES.len();
    prop_oneof![
        4 => (name.clone(), 0..3u8).prop_map(|(at, text)| Op::Write(at, text)),
        1 => name.clone().prop_map(Op::Append),
        1 => name.clone().prop_map(Op::Touch),
        3 => name.clone().prop_map(Op::Remove),
        3 => (name.clone(), name.clone()).prop_map(|(from, to)| Op::Move(from, to)),
        2 => name.clone().prop_map(Op::MakeDir),
        1 => (name.clone(), name.clone()).prop_map(|(to, at)| Op::Link(to, at)),
        1 => name.prop_map(Op::Executable),
    ]
}

type Tree = BTreeMap<PathBuf, (Vec<u8>, FileMode)>;

/// Every file and link below a folder that is not ignored.
fn look(dir: &Path, below: &Path, tree: &mut Tree) {
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let (real, path) = (entry.path(), below.join(entry.file_name()));
        let meta = fs::symlink_metadata(&real).unwrap();
        if path == Path::new("skip") && meta.is_dir()
            || path.extension().is_some_and(|e| e == "log")
        {
            continue;
        }
        if meta.is_dir() {
            look(&real, &path, tree);
        } else if meta.is_symlink() {
            let target = fs::read_link(&real)
                .unwrap()
                .as_os_str()
                .as_bytes()
                .to_vec();
            tree.insert(path, (target, FileMode::Symlink));
        } else {
            let executable = meta.permissions().mode() & 0o100 != 0;
            let mode = if executable {
                FileMode::Executable
            } else {
                FileMode::Regular
            };
            tree.insert(path, (fs::read(&real).unwrap(), mode));
        }
    }
}

/// Puts a change set on top of a tree.
fn apply(tree: &mut Tree, set: &ChangeSet) {
    assert_eq!(set.refused, []);
    for CollectedChange {
        path,
        from,
        before,
        after,
    } in &set.changes
    {
        let old = from.as_ref().unwrap_or(path).to_path_buf();
        let was = if after.is_some() && from.is_none() {
            tree.get(&old).cloned()
        } else {
            tree.remove(&old)
        };
        let before = before.as_ref().map(|c| (c.bytes.to_vec(), c.mode));
        assert_eq!(was, before, "before of {path}");
        assert_ne!(
            before.as_ref(),
            after
                .as_ref()
                .map(|c| (c.bytes.to_vec(), c.mode))
                .as_ref()
                .filter(|_| from.is_none()),
            "{path} did not change"
        );
    }
    for change in &set.changes {
        if let Some(after) = &change.after {
            tree.insert(
                change.path.to_path_buf(),
                (after.bytes.to_vec(), after.mode),
            );
        }
    }
}

async fn prepare(
    fixture: &Fixture,
    name: &str,
    kind: SandboxChoice,
    lowers: &[PathBuf],
) -> Sandbox {
    let mut spec = fixture.spec(name, kind);
    spec.lowers = lowers.to_vec();
    Sandbox::prepare(spec).await.unwrap()
}

/// Runs the steps of two tasks, the second on top of the first, in views of one kind. Gives the files
/// there in the end, and both change sets.
async fn play(fixture: &Fixture, kind: SandboxChoice, tasks: [&str; 2]) -> (Tree, [ChangeSet; 2]) {
    let mut lowers: Vec<PathBuf> = Vec::new();
    let mut sets = Vec::new();
    let mut seen = Tree::new();
    for (number, script) in tasks.into_iter().enumerate() {
        let sandbox = prepare(fixture, &format!("{kind:?}{number}"), kind, &lowers).await;
        ok(&sandbox, script).await;
        // What the program itself sees in the end, copied out of the view as it is.
        let out = fixture.state.join(format!("seen-{kind:?}{number}"));
        let home = fixture.state.join(format!("{kind:?}{number}"));
        let tar = support::sh(&sandbox, "tar -c --exclude=.git .").await;
        // 1 stands for "changed as we read it", which an overlay's folders seem to do when their
        // listing is first cached.
        assert!(
            matches!(tar.status.code(), Some(0 | 1)),
            "{}",
            String::from_utf8_lossy(&tar.stderr)
        );
        fs::create_dir(&out).unwrap();
        let archive = home.join("seen.tar");
        fs::write(&archive, &tar.stdout).unwrap();
        let unpack = std::process::Command::new("tar")
            .arg("-xf")
            .arg(&archive)
            .arg("-C")
            .arg(&out)
            .status();
        assert!(unpack.unwrap().success());
        seen = Tree::new();
        look(&out, Path::new(""), &mut seen);
        let layer = sandbox.finish().await.unwrap();
        sets.push(fixture.changes(&layer.dir, &lowers));
        lowers.insert(0, layer.dir);
    }
    (seen, sets.try_into().unwrap())
}

fn check(first: &[Op], second: &[Op]) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let script = |ops: &[Op]| {
        let mut lines: Vec<String> = ops
            .iter()
            .map(|op| format!("{{ {}; }} 2>/dev/null", op.script()))
            .collect();
        lines.push("true".into());
        lines.join("\n")
    };
    let scripts = [script(first), script(second)];
    let fixture = Fixture::new(&[
        (".gitignore", "skip/\n*.log\n"),
        ("a", "text 0\nmore\n"),
        ("d/x", "text 1\nmore\n"),
        ("d/e/z", "text 2\nmore\n"),
        ("skip/x", "not looked at"),
        ("x.log", "not looked at"),
    ]);
    let mut start = Tree::new();
    look(&fixture.workspace, Path::new(""), &mut start);
    let mut results = Vec::new();
    for kind in [SandboxChoice::Overlay, SandboxChoice::Copy] {
        let (seen, sets) = runtime.block_on(play(&fixture, kind, [&scripts[0], &scripts[1]]));
        let mut folded = start.clone();
        apply(&mut folded, &sets[0]);
        apply(&mut folded, &sets[1]);
        assert_eq!(folded, seen, "{kind:?}\n{scripts:?}\n{sets:?}");
        results.push(sets);
    }
    assert_eq!(results[0], results[1], "{scripts:?}");
    let mut now = Tree::new();
    look(&fixture.workspace, Path::new(""), &mut now);
    assert_eq!(now, start, "the workspace changed");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_view_gives_the_changes_a_full_look_finds(
        first in prop::collection::vec(op(), 0..12),
        second in prop::collection::vec(op(), 0..8),
    ) {
        check(&first, &second);
    }
}

/// Sequences that random ones rarely hit.
#[test]
fn known_traps() {
    use Op::{Link, MakeDir, Move, Remove, Write};
    const A: usize = 0;
    const D: usize = 2;
    const D_X: usize = 3;
    const D_E: usize = 5;
    const D_E_Z: usize = 6;
    const F: usize = 7;
    // A folder made anew hides what was below it, also deeper down.
    check(&[Remove(D), MakeDir(D_E)], &[Write(D_E_Z, 1)]);
    check(&[Remove(D), Write(D, 0)], &[Remove(D), MakeDir(D_E)]);
    check(&[Remove(D)], &[MakeDir(D), Write(D_X, 1)]);
    // There and back again is no change.
    check(&[Move(D, F), Move(F, D)], &[Remove(A), Write(A, 0)]);
    check(
        &[Link(A, D_X), Remove(D_X), Link(A, D_X)],
        &[Remove(D_X), MakeDir(D_X)],
    );
}
