//! Patches are what the real `git apply` makes the new files of.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the tests of the pure crate may use the machine"
)]
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up fails")]

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    process::Stdio,
};

use claudecluster_core::patch::{PatchFile, PatchFilePair, readable_patch, unified_patch};
use claudecluster_protocol::{FileMode, RelPath};
use proptest::prelude::*;

use crate::support::{DISTINCT, REPETITIVE, batched, family, git};

type Version = (FileMode, Vec<u8>);

/// One file of a change set: its old and its new version.
#[derive(Clone, Debug)]
struct Case {
    old: Option<Version>,
    new: Option<Version>,
    rename: bool,
}

/// Names that have to be told from options, commands, other names and each other.
const NAMES: [&[u8]; 10] = [
    b"plain.txt",
    b"with space",
    b"trailing ",
    b"-rf",
    b"$(touch pwn)`id`;",
    b"quote\"back\\slash",
    b"line\nbreak\ttab\r",
    "na\u{ef}ve/\u{1f600}.txt".as_bytes(),
    b"not\xff\xfeutf8",
    b"deep/er/file b/x",
];

fn case() -> impl Strategy<Value = Case> {
    let mode = || prop_oneof![3 => Just(FileMode::Regular), 1 => Just(FileMode::Executable)];
    let texts = prop_oneof![family(REPETITIVE, 0..30, 1), family(DISTINCT, 0..40, 1)];
    let file = (texts, mode(), mode(), 0..12u8, any::<bool>());
    file.prop_map(|(texts, old_mode, new_mode, shape, rename)| {
        let old = (old_mode, texts.base.into_bytes());
        let new = (new_mode, texts.variants[0].clone().into_bytes());
        let link = |n: u8| (FileMode::Symlink, format!("target/{n}").into_bytes());
        let (old, new) = match shape {
            0 | 1 => (None, Some(new)),
            2 | 3 => (Some(old), None),
            4 => (Some(old), Some(link(1))),
            5 => (Some(link(1)), Some(new)),
            6 => (Some(link(1)), Some(link(2))),
            7 => (Some((old_mode, old.1.clone())), Some((new_mode, old.1))),
            _ => (Some(old), Some(new)),
        };
        let rename = rename && old.is_some() && new.is_some();
        Case { old, new, rename }
    })
}

fn write(root: &Path, path: &RelPath, (mode, content): &Version) {
    let path = root.join(path.to_path_buf());
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    if *mode == FileMode::Symlink {
        symlink(std::str::from_utf8(content).unwrap(), path).unwrap();
        return;
    }
    fs::write(&path, content).unwrap();
    let bits = if *mode == FileMode::Executable {
        0o755
    } else {
        0o644
    };
    fs::set_permissions(&path, fs::Permissions::from_mode(bits)).unwrap();
}

fn read(root: &Path, dir: &Path, found: &mut BTreeMap<RelPath, Version>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let meta = fs::symlink_metadata(&path).unwrap();
        if meta.is_dir() {
            read(root, &path, found);
            continue;
        }
        let name = RelPath::from_path(path.strip_prefix(root).unwrap()).unwrap();
        let version = if meta.is_symlink() {
            let target = fs::read_link(&path).unwrap();
            (
                FileMode::Symlink,
                target.to_str().unwrap().as_bytes().to_vec(),
            )
        } else if meta.permissions().mode() & 0o100 != 0 {
            (FileMode::Executable, fs::read(&path).unwrap())
        } else {
            (FileMode::Regular, fs::read(&path).unwrap())
        };
        found.insert(name, version);
    }
}

/// Has git apply a patch.
fn apply(root: &Path, options: &[&str], diff: &str) {
    let mut child = git(root)
        .args(["apply", "--whitespace=nowarn"])
        .args(options)
        .arg("-")
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(diff.as_bytes()).unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}\n{diff}");
}

fn check(files: &[(RelPath, RelPath, Case)]) {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    let mut expected = BTreeMap::new();
    for (from, to, case) in files {
        if let Some(old) = &case.old {
            write(root, from, old);
        }
        if let Some(new) = &case.new {
            expected.insert(to.clone(), new.clone());
        }
    }
    fn at(version: &Version) -> PatchFile<'_> {
        PatchFile {
            mode: version.0,
            content: &version.1,
        }
    }
    let pairs: Vec<PatchFilePair<'_>> = files
        .iter()
        .map(|(from, to, case)| PatchFilePair {
            path: to,
            from: (from != to).then_some(from),
            old: case.old.as_ref().map(at),
            new: case.new.as_ref().map(at),
        })
        .collect();
    let patch = unified_patch(&pairs);
    assert!(patch.omitted.is_empty(), "{:?}", patch.omitted);
    if !patch.diff.is_empty() {
        apply(root, &[], &patch.diff);
    }
    let mut found = BTreeMap::new();
    read(root, root, &mut found);
    assert_eq!(found, expected, "{}", patch.diff);
}

proptest! {
    #![proptest_config(batched(60, NAMES.len() as u32))]

    #[test]
    fn git_apply_makes_the_new_files(
        cases in prop::collection::vec(case(), NAMES.len()),
        shift in 0..NAMES.len(),
    ) {
        let name = |at: usize| RelPath::from_bytes(NAMES[at % NAMES.len()]).unwrap();
        let files: Vec<_> = cases
            .into_iter()
            .enumerate()
            .map(|(at, case)| {
                let to = name(at + shift);
                let from = if case.rename {
                    RelPath::new(format!("old of {}", to.as_str())).unwrap()
                } else {
                    to.clone()
                };
                (from, to, case)
            })
            .collect();
        check(&files);
    }
}

#[test]
fn content_that_is_no_text_is_named() {
    let path = RelPath::new("image.png").unwrap();
    let at = |content: &'static [u8]| {
        Some(PatchFile {
            mode: FileMode::Regular,
            content,
        })
    };
    for (old, new) in [
        (at(b"a\0b"), at(b"text")),
        (at(b"text"), at(b"\xff\xfe")),
        (None, at(b"\0")),
        (at(b"\0"), None),
    ] {
        let patch = unified_patch(&[PatchFilePair {
            path: &path,
            from: None,
            old,
            new,
        }]);
        assert_eq!(patch.diff, "");
        assert_eq!(patch.omitted, ["image.png: the content is not text"]);
    }
    // What does not touch the content needs no text.
    let executable = Some(PatchFile {
        mode: FileMode::Executable,
        content: b"\0",
    });
    let patch = unified_patch(&[PatchFilePair {
        path: &path,
        from: None,
        old: at(b"\0"),
        new: executable,
    }]);
    assert_eq!(
        patch.diff,
        "diff --git a/image.png b/image.png\nold mode 100644\nnew mode 100755\n",
    );
    assert!(patch.omitted.is_empty());
}

/// What one change looks like: names as git writes them, modes, context, and the end of the file.
#[test]
fn headers_and_hunks_look_like_gits() {
    let at = |mode, content| Some(PatchFile { mode, content });
    let check = |from: &str, path: &str, old, new, expected: &str| {
        let (path, from) = (RelPath::new(path).unwrap(), RelPath::new(from).unwrap());
        let from = (from != path).then_some(&from);
        let pair = PatchFilePair {
            path: &path,
            from,
            old,
            new,
        };
        assert_eq!(readable_patch(&[pair]).diff, expected);
    };
    check(
        "a b",
        "a b",
        at(FileMode::Regular, b"1\n2\n3\n4\n5\n6\n7\n8\n9"),
        at(FileMode::Executable, b"1\n2\n3\n4\nV\n6\n7\n8\n9"),
        "diff --git a/a b b/a b\nold mode 100644\nnew mode 100755\n--- a/a b\t\n+++ b/a b\t\n\
         @@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+V\n 6\n 7\n 8\n",
    );
    check(
        "\u{e9}\"",
        "new",
        at(FileMode::Regular, b"1\n2\n"),
        at(FileMode::Regular, b"1\n2"),
        "diff --git \"a/\\303\\251\\\"\" b/new\nsimilarity index 50%\n\
         rename from \"\\303\\251\\\"\"\nrename to new\n--- \"a/\\303\\251\\\"\"\n+++ b/new\n\
         @@ -1,2 +1,2 @@\n 1\n-2\n+2\n\\ No newline at end of file\n",
    );
    check(
        "link",
        "link",
        None,
        at(FileMode::Symlink, b"to"),
        "diff --git a/link b/link\nnew file mode 120000\n--- /dev/null\n+++ b/link\n\
         @@ -0,0 +1,1 @@\n+to\n\\ No newline at end of file\n",
    );
    check(
        "same",
        "same",
        at(FileMode::Regular, b"x"),
        at(FileMode::Regular, b"x"),
        "",
    );
}

#[test]
fn git_merges_a_patch_where_the_files_have_changed_since() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    let run = |args: &[&str]| assert!(git(root).args(args).status().unwrap().success());
    let numbers = |changed: &str| {
        let lines = (1..=20).map(|n| format!("{n}\n")).collect::<String>();
        lines.replace("\n10\n", &format!("\n{changed}\n"))
    };
    run(&["init", "-q"]);
    for (path, text) in [
        ("stays", numbers("10")),
        ("moves", numbers("10")),
        ("goes", "g\n".into()),
    ] {
        fs::write(root.join(path), text).unwrap();
    }
    run(&["add", "."]);
    let who = [
        "-c",
        "user.name=t",
        "-c",
        "user.email=t@example.com",
        "commit",
        "-qm",
    ];
    run(&[&who[..], &["first"]].concat());
    let rel = |path| RelPath::new(path).unwrap();
    let (stays, moves, moved, goes) = (rel("stays"), rel("moves"), rel("moved"), rel("goes"));
    let (old, new) = (numbers("10"), numbers("ten"));
    fn at(mode: FileMode, text: &str) -> Option<PatchFile<'_>> {
        let content = text.as_bytes();
        Some(PatchFile { mode, content })
    }
    let pair = |path, from, old, new| PatchFilePair {
        path,
        from,
        old,
        new,
    };
    let (plain, program) = (FileMode::Regular, FileMode::Executable);
    let patch = unified_patch(&[
        pair(&stays, None, at(plain, &old), at(program, &new)),
        pair(&moved, Some(&moves), at(plain, &old), at(plain, &new)),
        pair(&goes, None, at(plain, "g\n"), None),
    ]);
    // Where the context of the patch is, so that it does not apply as it is.
    for path in ["stays", "moves"] {
        fs::write(root.join(path), old.replace("\n8\n", "\neight\n")).unwrap();
    }
    run(&[&who[..], &["second", "-a"]].concat());
    apply(root, &["--3way"], &patch.diff);
    let merged = new.replace("\n8\n", "\neight\n");
    for path in ["stays", "moved"] {
        assert_eq!(
            fs::read_to_string(root.join(path)).unwrap(),
            merged,
            "{path}"
        );
    }
    let mode = fs::metadata(root.join("stays"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o100, 0o100);
    assert!(!root.join("moves").exists() && !root.join("goes").exists());
}
