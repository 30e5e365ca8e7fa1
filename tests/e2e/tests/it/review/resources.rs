//! Files that come, go, move, change their mode or are no text: landed, undone and done again.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
};

use claudecluster_e2e::World;
use serde_json::Value;

use super::{numbered, ok, pending, propose};

const SCRIPT: &str = "echo new > made.txt; rm gone.txt; git mv old.txt deep/moved.txt || \
                      { mkdir -p deep; git mv old.txt deep/moved.txt; }; sed -i 's/^9$/nine/' deep/moved.txt; \
                      chmod +x run.sh; ln -sfn b.txt link; ln -s run.sh fresh; \
                      printf '\\000\\001new' > blob.bin; rm -f kind; ln -s a.txt kind";

fn world() -> World {
    let world = World::new(&[
        ("a.txt", "a\n"),
        ("b.txt", "b\n"),
        ("gone.txt", "gone\n"),
        ("old.txt", &numbered(20)),
        ("run.sh", "#!/bin/sh\n"),
        ("kind", "a file\n"),
    ]);
    symlink("a.txt", world.path("link")).unwrap();
    world.write("blob.bin", b"\0\x01old");
    world.git(&["add", "-A"]);
    world.git(&["commit", "-qm", "more"]);
    world
}

/// What is there, by name: content, mode and where links lead.
fn there(world: &World) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![world.root()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let meta = path.symlink_metadata().unwrap();
            let name = path
                .strip_prefix(world.root())
                .unwrap()
                .display()
                .to_string();
            if meta.is_dir() {
                // An empty folder is nothing to git, and nothing here.
                if name != ".git" {
                    open.push(path);
                }
            } else if meta.is_symlink() {
                found.push(format!(
                    "{name} -> {}",
                    fs::read_link(&path).unwrap().display()
                ));
            } else {
                let mode = meta.permissions().mode() & 0o111;
                let content = fs::read(&path).unwrap();
                found.push(format!("{name} {mode:o} {}", content.escape_ascii()));
            }
        }
    }
    found.sort();
    found
}

fn ids(hunks: &[Value]) -> Vec<String> {
    let id = |hunk: &Value| hunk["id"].as_str().unwrap().to_owned();
    hunks.iter().map(id).collect()
}

#[test]
fn every_kind_lands_and_goes_back_as_a_whole() {
    let world = world();
    let before = there(&world);
    let goal = propose(&world, &[("t", SCRIPT)]);
    assert_eq!(there(&world), before);
    ok(&world, &["accept", &goal], 0);
    let after = there(&world);
    for line in [
        "made.txt 0 new\\n",
        "run.sh 111 #!/bin/sh\\n",
        "link -> b.txt",
        "fresh -> run.sh",
        "blob.bin 0 \\x00\\x01new",
        "kind -> a.txt",
    ] {
        assert!(
            after.iter().any(|found| found == line),
            "{line}\n{after:#?}"
        );
    }
    assert!(!world.has("gone.txt") && !world.has("old.txt"));
    assert_eq!(
        world.read("deep/moved.txt"),
        numbered(20).replace("\n9\n", "\nnine\n")
    );
    for _ in 0..2 {
        ok(&world, &["undo", &goal], 0);
        assert_eq!(there(&world), before);
        ok(&world, &["redo", &goal], 0);
        assert_eq!(there(&world), after);
    }
}

#[test]
fn every_kind_lands_and_goes_back_hunk_by_hunk() {
    let world = world();
    let before = there(&world);
    let goal = propose(&world, &[("t", SCRIPT)]);
    let hunks = pending(&world, &goal);
    let kinds: Vec<&str> = hunks.iter().map(|h| h["kind"].as_str().unwrap()).collect();
    for kind in ["create", "delete", "rename", "mode", "modify"] {
        assert!(kinds.contains(&kind), "{kind}: {hunks:#?}");
    }
    let mut steps = vec![there(&world)];
    for hunk in ids(&hunks) {
        ok(&world, &["accept", &hunk], 0);
        assert_ne!(there(&world), *steps.last().unwrap(), "{hunk}: {hunks:#?}");
        steps.push(there(&world));
    }
    assert_eq!(world.goal(&goal)["state"], "landed");
    for hunk in ids(&hunks).iter().rev() {
        let landed = steps.pop().unwrap();
        ok(&world, &["undo", hunk], 0);
        assert_eq!(
            there(&world),
            *steps.last().unwrap(),
            "undo {hunk}: {hunks:#?}"
        );
        ok(&world, &["redo", hunk], 0);
        assert_eq!(there(&world), landed, "redo {hunk}: {hunks:#?}");
        ok(&world, &["undo", hunk], 0);
    }
    assert_eq!(there(&world), before);
}

#[test]
fn a_file_that_came_meanwhile_is_not_written_over() {
    let world = world();
    let goal = propose(&world, &[("t", SCRIPT)]);
    world.write("made.txt", "made by hand\n");
    world.write("gone.txt", "changed by hand\n");
    world.write("blob.bin", b"\0\x01by hand");
    fs::remove_file(world.path("link")).unwrap();
    let said = ok(&world, &["accept", &goal], 3);
    assert!(said.stdout.contains("4 conflicts left"), "{said:#?}");
    assert_eq!(world.read("made.txt"), "made by hand\n");
    assert_eq!(world.read("gone.txt"), "changed by hand\n");
    assert_eq!(fs::read(world.path("blob.bin")).unwrap(), b"\0\x01by hand");
    assert!(!world.has("link"));
    let conflicts = ok(&world, &["diff", &goal, "--conflicts"], 0).stdout;
    for part in [
        "made.txt new file",
        "gone.txt deleted",
        "blob.bin whole file",
    ] {
        assert!(conflicts.contains(part), "{part}\n{conflicts}");
    }
    // Each side can be had.
    for (path, way) in [
        ("made.txt", "--mine"),
        ("gone.txt", "--theirs"),
        ("blob.bin", "--theirs"),
    ] {
        let hunks = pending(&world, &goal);
        let hunk = hunks.iter().find(|hunk| hunk["path"] == path).unwrap();
        ok(&world, &["resolve", hunk["id"].as_str().unwrap(), way], 0);
    }
    assert_eq!(world.read("made.txt"), "made by hand\n");
    assert!(!world.has("gone.txt"));
    assert_eq!(fs::read(world.path("blob.bin")).unwrap(), b"\0\x01new");
}

#[test]
fn work_on_a_file_that_landed_is_kept_when_it_is_undone() {
    let world = world();
    let goal = propose(&world, &[("t", SCRIPT)]);
    ok(&world, &["accept", &goal], 0);
    world.write("made.txt", "new\nand more by hand\n");
    world.write("blob.bin", b"\0\x01edited since");
    let said = ok(&world, &["undo", &goal], 3);
    assert!(said.stdout.contains("2 hunks not undone"), "{said:#?}");
    assert_eq!(world.read("made.txt"), "new\nand more by hand\n");
    assert_eq!(
        fs::read(world.path("blob.bin")).unwrap(),
        b"\0\x01edited since"
    );
    assert_eq!(world.read("gone.txt"), "gone\n");
    assert_eq!(world.read("old.txt"), numbered(20));
    assert_eq!(
        fs::read_link(world.path("link")).unwrap().to_str(),
        Some("a.txt")
    );
    assert_eq!(world.read("kind"), "a file\n");
}
