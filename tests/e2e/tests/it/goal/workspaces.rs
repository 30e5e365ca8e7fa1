//! Workspaces that are not the usual one: large, odd, half-readable, or part of something else.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt, PermissionsExt},
    process::Command,
};

use claudecluster_e2e::{
    World,
    live::{plan_of, shell},
};
use serde_json::Value;

fn one(script: &str) -> Value {
    plan_of(&[shell("t", script, &[])])
}

#[test]
fn submodules_and_nested_repositories() {
    let world = World::new(&[("a.txt", "a\n")]);
    let library = world.dir.path().join("library");
    fs::create_dir(&library).unwrap();
    fs::write(library.join("lib.txt"), "lib\n").unwrap();
    for args in [
        &["init", "-q", "-b", "main"][..],
        &["add", "-A"],
        &[
            "-c",
            "user.name=T",
            "-c",
            "user.email=t@example.com",
            "commit",
            "-qm",
            "lib",
        ],
    ] {
        let status = Command::new("git")
            .args(args)
            .current_dir(&library)
            .status();
        assert!(status.unwrap().success());
    }
    let from = library.display().to_string();
    world.git(&[
        "-c",
        "protocol.file.allow=always",
        "submodule",
        "add",
        "-q",
        &from,
        "sub",
    ]);
    world.git(&["commit", "-qm", "submodule"]);
    fs::create_dir(world.path("nested")).unwrap();
    let init = Command::new("git")
        .args(["init", "-q"])
        .current_dir(world.path("nested"))
        .status();
    assert!(init.unwrap().success());
    world.write("nested/n.txt", "n\n");
    let heads = || {
        (
            world.read(".git/modules/sub/HEAD"),
            world.read("nested/.git/HEAD"),
        )
    };
    let before = heads();
    let script = "echo LIB > sub/lib.txt; echo N > nested/n.txt; echo new > sub/new.txt; \
                  rm -rf nested/.git; echo evil > sub/.git";
    world.run_plan(&one(script), &["--apply"]).expect(0);
    assert_eq!(world.read("sub/lib.txt"), "LIB\n");
    assert_eq!(world.read("sub/new.txt"), "new\n");
    assert_eq!(world.read("nested/n.txt"), "N\n");
    assert_eq!(heads(), before);
    assert!(world.read("sub/.git").starts_with("gitdir: "));
}

#[test]
fn a_detached_head_in_the_middle_of_a_merge() {
    let world = World::new(&[("a.txt", "1\n2\n3\n")]);
    world.git(&["checkout", "-q", "-b", "other"]);
    world.write("a.txt", "1\nother\n3\n");
    world.git(&["commit", "-qam", "other"]);
    world.git(&["checkout", "-q", "--detach", "main"]);
    world.write("a.txt", "1\nmine\n3\n");
    world.git(&["commit", "-qam", "mine"]);
    let merge = Command::new("git")
        .args([
            "-c",
            "user.name=T",
            "-c",
            "user.email=t@example.com",
            "merge",
            "-q",
            "other",
        ])
        .current_dir(world.root())
        .output()
        .unwrap();
    assert!(!merge.status.success(), "a conflict");
    let script = "grep -q '<<<<<<<' a.txt && printf '1\\nboth\\n3\\n' > a.txt";
    world.run_plan(&one(script), &["--apply"]).expect(0);
    assert_eq!(world.read("a.txt"), "1\nboth\n3\n");
    assert!(
        world.has(".git/MERGE_HEAD"),
        "the merge is still the developer's"
    );
    let unmerged = world.git(&["ls-files", "-u"]);
    assert_eq!(unmerged.lines().count(), 3, "{unmerged}");
}

#[test]
fn a_linked_work_tree_is_a_workspace() {
    let world = World::new(&[("a.txt", "a\n"), ("deep/b.txt", "b\n")]);
    let linked = world.dir.path().join("linked");
    let linked = linked.to_str().unwrap();
    world.git(&["worktree", "add", "-q", linked, "-b", "side"]);
    fs::write(format!("{linked}/a.txt"), "dirty\n").unwrap();
    let plan = one("echo more >> a.txt; echo B > deep/b.txt; git status --short > status.txt");
    world
        .run_plan(&plan, &["--apply", "--workspace", linked])
        .expect(0);
    let read = |name: &str| fs::read_to_string(format!("{linked}/{name}")).unwrap();
    assert_eq!(read("a.txt"), "dirty\nmore\n");
    assert_eq!(read("deep/b.txt"), "B\n");
    assert!(read("status.txt").contains("a.txt"), "git works inside");
    assert_eq!(
        world.read("a.txt"),
        "a\n",
        "the main work tree is another one"
    );
}

#[test]
fn a_large_file_and_thousands_of_untracked_ones() {
    let world = World::new(&[("a.txt", "a\n")]);
    let big = fs::File::create(world.path("big.bin")).unwrap();
    io::copy(&mut io::Read::take(io::repeat(7), 200 << 20), &mut &big).unwrap();
    for n in 0..5_000 {
        world.write(format!("many/{}/f{n}.txt", n % 50), "untracked\n");
    }
    let script = "test $(stat -c %s big.bin) = 209715200; test $(find many -type f | wc -l) = 5000; \
                  echo b > a.txt; echo changed > many/1/f1.txt; rm many/2/f2.txt; \
                  for n in 4943 4993; do echo late > many/43/f$n.txt; done";
    let said = world
        .run_plan(&one(&format!("set -e; {script}")), &["--apply"])
        .expect(0);
    assert_eq!(world.read("a.txt"), "b\n");
    assert_eq!(world.read("many/1/f1.txt"), "changed\n", "{said:#?}");
    assert_eq!(world.read("many/43/f4993.txt"), "late\n");
    assert!(!world.has("many/2/f2.txt"));
    // Neither is copied: a view costs what is changed.
    let mut stored = 0;
    let mut open = vec![world.home()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            // The daemon may be clearing up the goal's folders meanwhile.
            match entry.metadata() {
                Ok(meta) if meta.is_dir() => open.push(entry.path()),
                Ok(meta) => stored += meta.blocks() * 512,
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::NotFound, "{error}"),
            }
        }
    }
    assert!(stored < 50 << 20, "{stored} bytes in the state folder");
}

#[test]
fn line_endings_stay_what_they_were() {
    let world = World::new(&[
        ("crlf.txt", "1\r\n2\r\n3\r\n"),
        ("mixed.txt", "1\r\n2\n3\r\n"),
    ]);
    // As many editors of agents do: everything written anew with plain newlines.
    let script = "printf '1\\ntwo\\n3\\n' > crlf.txt; sed -i 's/^2$/two/' mixed.txt";
    let said = world.run_plan(&one(script), &["--apply"]).expect(0);
    assert_eq!(world.read("crlf.txt"), "1\r\ntwo\r\n3\r\n");
    assert_eq!(world.read("mixed.txt"), "1\r\ntwo\n3\r\n");
    assert_eq!(said.outcome()["hunks"]["landed"], 2, "one line each");
}

#[test]
fn line_endings_change_where_that_is_the_change() {
    let world = World::new(&[
        ("run.sh", "#!/bin/sh\r\necho fine\r\n"),
        ("some.txt", "1\r\n2\r\n3\r\n"),
        ("data.txt", "10%\r20%\r\n"),
    ]);
    let script = "sed -i 's/\\r$//' run.sh; chmod +x run.sh; sed -i '2s/\\r$//' some.txt";
    let mut plan = one(script);
    plan["gates"] = serde_json::json!(["./run.sh"]);
    let said = world.run_plan(&plan, &["--apply"]).expect(0);
    assert_eq!(said.outcome()["state"], "landed", "{said:#?}");
    assert_eq!(world.read("run.sh"), "#!/bin/sh\necho fine\n");
    assert_eq!(world.read("some.txt"), "1\r\n2\n3\r\n");
    assert_eq!(world.read("data.txt"), "10%\r20%\r\n");
    let ran = std::process::Command::new(world.path("run.sh"))
        .output()
        .unwrap();
    assert!(ran.status.success(), "{ran:?}");
}

#[test]
fn what_cannot_be_read_is_no_obstacle() {
    let mut world = World::new(&[
        ("a.txt", "a\n"),
        ("secret.txt", "s\n"),
        ("closed/x.txt", "x\n"),
    ]);
    let set = |path: &str, mode: u32| {
        fs::set_permissions(world.path(path), fs::Permissions::from_mode(mode)).unwrap();
    };
    set("secret.txt", 0o000);
    set("closed", 0o000);
    fs::create_dir(world.path("untracked")).unwrap();
    set("untracked", 0o000);
    // Root reads everything, so somebody else has to be there.
    world.give_to_nobody();
    let said = world.run_plan(
        &one("cat secret.txt && exit 9; echo b > a.txt"),
        &["--apply"],
    );
    let said = said.expect(0);
    assert_eq!(world.read("a.txt"), "b\n", "{said:#?}");
    let mode = |path: &str| fs::metadata(world.path(path)).unwrap().mode() & 0o777;
    assert_eq!((mode("secret.txt"), mode("closed")), (0, 0));
    // Nobody knows what a file in its place would replace: it is left out, and named.
    let replace = one("rm -f secret.txt; echo new > secret.txt");
    let said = world.run_plan(&replace, &["--apply"]);
    assert_eq!(mode("secret.txt"), 0, "{said:#?}");
    let show = world.run(&["show", "g2"]).expect(0).stdout;
    assert!(show.contains("secret.txt is left out"), "{show}");
    world.run(&["daemon", "stop", "--force"]).expect(0);
}
