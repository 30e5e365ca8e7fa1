//! What counts as a change, checked on layers written by hand.

#![allow(
    clippy::unwrap_used,
    reason = "a failed step is a failed test, helpers included"
)]

use std::{
    fs,
    os::unix::{fs::PermissionsExt, net::UnixListener},
    path::Path,
};

use claudecluster_protocol::{FileMode, RelPath};
use claudecluster_worker::{
    changes::{self, ChangeLimits, ChangeSet, TrackedFiles, ViewBase},
    sandbox::{LayerFile, LayerState, write_layer},
};

use crate::support::Fixture;

/// A layer from lines such as `a=text`, `a` (deleted), `a*=text` (executable), `a@=target` (link).
fn layer(dir: &Path, lines: &[&str]) {
    let files: Vec<LayerFile> = lines
        .iter()
        .map(|line| {
            let (path, text) = line.split_once('=').unwrap_or((line, ""));
            let (path, mode) = match path.split_at(path.len() - 1) {
                (path, "*") => (path, FileMode::Executable),
                (path, "@") => (path, FileMode::Symlink),
                _ => (path, FileMode::Regular),
            };
            let bytes = text.as_bytes().to_vec().into();
            let state = if line.contains('=') {
                LayerState::Present { bytes, mode }
            } else {
                LayerState::Deleted
            };
            LayerFile {
                path: RelPath::new(path).unwrap(),
                state,
            }
        })
        .collect();
    write_layer(dir, &files).unwrap();
}

fn collect(fixture: &Fixture, upper: &Path, tracked: &[&str], limits: &ChangeLimits) -> ChangeSet {
    let base = ViewBase {
        workspace: fixture.workspace.clone(),
        lowers: Vec::new(),
        tracked: TrackedFiles::new(tracked.iter().map(|path| RelPath::new(*path).unwrap())),
    };
    changes::collect_changes(upper, &base, limits).unwrap()
}

/// One line a change: `+a`, `-a`, `~a`, `a>b`; refused ones as `!a`.
fn summary(set: &ChangeSet) -> Vec<String> {
    let mut lines: Vec<String> = set
        .changes
        .iter()
        .map(
            |change| match (&change.from, &change.before, &change.after) {
                (Some(from), ..) => format!("{from}>{}", change.path),
                (None, None, _) => format!("+{}", change.path),
                (None, _, None) => format!("-{}", change.path),
                (None, Some(_), Some(_)) => format!("~{}", change.path),
            },
        )
        .collect();
    lines.extend(
        set.refused
            .iter()
            .map(|refused| format!("!{}", refused.path)),
    );
    lines
}

fn check(files: &[(&str, &str)], tracked: &[&str], written: &[&str], expected: &[&str]) {
    let fixture = Fixture::new(files);
    let upper = fixture.state.join("upper");
    layer(&upper, written);
    let set = collect(&fixture, &upper, tracked, &ChangeLimits::default());
    assert_eq!(summary(&set), expected, "{files:?} {written:?}");
}

#[test]
fn every_kind_of_change_is_told() {
    let files = [("a", "1\n"), ("b", "2\n"), ("d/x", "3\n"), ("d/y", "4\n")];
    check(&files, &[], &["a=1\n", "b=3\n"], &["~b"]);
    check(&files, &[], &["a*=1\n"], &["~a"]);
    check(&files, &[], &["a", "d"], &["-a", "-d/x", "-d/y"]);
    check(&files, &[], &["a", "e/a=1\n"], &["a>e/a"]);
    check(&files, &[], &["d=file"], &["+d", "-d/x", "-d/y"]);
    check(&files, &[], &["a/in=new"], &["-a", "+a/in"]);
    check(&files, &[], &["a@=b"], &["~a"]);
    check(
        &files,
        &[],
        &["l@=/etc", "m@=d/x", "d/n@=../.."],
        &["+m", "!d/n", "!l"],
    );
    check(&files, &[], &["nothing", "d/nothing"], &[]);
    check(
        &files,
        &[],
        &[".git/config=x", "d/.git/HEAD=x", "d/z=x"],
        &["+d/z"],
    );
}

#[test]
fn what_git_ignores_does_not_count_unless_tracked() {
    let files = [
        (".gitignore", "out/\n*.log\n!keep.log\n"),
        ("out/a", "1"),
        ("out/b", "2"),
        ("d/.gitignore", "gen\n"),
        ("d/gen", "3"),
        ("d/src", "4"),
    ];
    check(
        &files,
        &[],
        &["out/a=x", "x.log=x", "keep.log=x", "d/gen=x"],
        &["+keep.log"],
    );
    check(
        &files,
        &["out/a"],
        &["out/a=x", "out/b=x", "out/new=x"],
        &["~out/a"],
    );
    check(&files, &["out/a"], &["out"], &["-out/a"]);
    check(&files, &[], &["out"], &[]);
    // The rules of a folder that went away still say what in it did not count.
    check(&files, &[], &["d"], &["-d/.gitignore", "-d/src"]);
    // The attempt's own rules count.
    check(
        &files,
        &[],
        &[".gitignore=new\n", "new=x", "out/a=x"],
        &["~.gitignore", "~out/a"],
    );
}

#[test]
fn nothing_is_left_out_silently() {
    let fixture = Fixture::new(&[("a", "old"), ("big", "123456789")]);
    let upper = fixture.state.join("upper");
    layer(
        &upper,
        &["a=1234", "b=1234", "big", "c=1", "d=1", "huge=123456789"],
    );
    let _socket = UnixListener::bind(upper.join("socket")).unwrap();
    let limits = ChangeLimits {
        file_bytes: 8,
        total_bytes: 9,
        files: 3,
        refusals: 3,
    };
    let set = collect(&fixture, &upper, &[], &limits);
    assert_eq!(summary(&set), ["~a", "+b", "+c", "!big", "!d", "!huge"]);
    assert_eq!(set.refused_more, 1);
    let reasons: Vec<String> = set.refused.iter().map(|r| r.reason.to_string()).collect();
    assert_eq!(
        reasons,
        [
            "it has 9 bytes; the limit is 8",
            "the change set would exceed its limit of 3 files",
            "it has 9 bytes; the limit is 8",
        ]
    );
    let total = ChangeLimits {
        files: 9,
        refusals: 9,
        ..limits
    };
    let set = collect(&fixture, &upper, &[], &total);
    assert_eq!(
        summary(&set),
        ["~a", "+b", "+c", "!big", "!d", "!huge", "!socket"]
    );
    assert!(
        set.refused
            .iter()
            .any(|r| r.reason.to_string() == "it is a socket, not a file")
    );
}

#[test]
fn git_may_refresh_its_index() {
    let check = |path: &str, expected: bool| {
        let fixture = Fixture::new(&[]);
        let upper = fixture.state.join("upper");
        layer(&upper, &[&format!("{path}=x")]);
        let set = collect(&fixture, &upper, &[], &ChangeLimits::default());
        assert_eq!(
            (set.touched_git, summary(&set)),
            (expected, vec![]),
            "{path}"
        );
    };
    check(".git/index", false);
    check(".git/hooks/pre-commit", true);
    check("sub/.git/hooks/pre-commit", false);
}

#[test]
fn the_mask_of_the_daemon_does_not_reach_layers() {
    let dir = tempfile::tempdir().unwrap();
    layer(dir.path(), &["run*=x"]);
    let mode = fs::metadata(dir.path().join("run"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o755);
}
