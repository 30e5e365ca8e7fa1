//! Files of a workspace, read and written while others read and write them.

use std::{
    io::Write as _,
    os::unix::fs::{MetadataExt, PermissionsExt},
    sync::atomic::{AtomicBool, Ordering},
};

use super::*;

fn text(text: &str) -> FileContent {
    FileContent {
        bytes: text.as_bytes().to_vec().into(),
        mode: FileMode::Regular,
    }
}

fn rel(path: &str) -> RelPath {
    RelPath::new(path).unwrap()
}

#[test]
fn a_file_is_replaced_only_while_it_is_what_it_was() {
    let root = tempfile::tempdir().unwrap();
    let path = rel("a/b/c.txt");
    replace_file(root.path(), &path, None, Some(&text("one"))).unwrap();
    assert_eq!(
        read_file(root.path(), &path).unwrap().unwrap().0,
        text("one")
    );
    let stale = replace_file(root.path(), &path, Some(&text("zero")), Some(&text("two")));
    assert!(matches!(stale, Err(WriteError::Changed)), "{stale:?}");
    assert!(matches!(
        replace_file(root.path(), &path, None, None),
        Err(WriteError::Changed)
    ));
    replace_file(root.path(), &path, Some(&text("one")), None).unwrap();
    assert!(read_file(root.path(), &path).unwrap().is_none());
    let left: Vec<_> = fs::read_dir(root.path().join("a/b")).unwrap().collect();
    assert!(left.is_empty(), "no temporary file is left: {left:?}");
}

#[test]
fn modes_are_kept_and_changed() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("run.sh");
    fs::write(&file, "one").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    let run = FileContent {
        mode: FileMode::Executable,
        ..text("two")
    };
    replace_file(root.path(), &rel("run.sh"), Some(&text("one")), Some(&run)).unwrap();
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o750
    );
    replace_file(
        root.path(),
        &rel("run.sh"),
        Some(&run),
        Some(&text("three")),
    )
    .unwrap();
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o640
    );
}

#[test]
fn nothing_is_read_or_written_outside() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret"), "s").unwrap();
    let root = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(outside.path(), root.path().join("out")).unwrap();
    let path = rel("out/secret");
    assert!(read_file(root.path(), &path).unwrap().is_none());
    let written = replace_file(root.path(), &rel("out/new"), None, Some(&text("x")));
    assert!(matches!(written, Err(WriteError::Linked)), "{written:?}");
    assert!(!outside.path().join("new").exists());
    for target in ["/etc/passwd", "../..", "a/../../../x"] {
        let link = FileContent {
            mode: FileMode::Symlink,
            ..text(target)
        };
        let made = replace_file(root.path(), &rel("d/link"), None, Some(&link));
        assert!(
            matches!(made, Err(WriteError::LinkOutside)),
            "{target}: {made:?}"
        );
    }
    let link = FileContent {
        mode: FileMode::Symlink,
        ..text("../run.sh")
    };
    replace_file(root.path(), &rel("d/link"), None, Some(&link)).unwrap();
    assert_eq!(
        read_file(root.path(), &rel("d/link")).unwrap().unwrap().0,
        link
    );
}

#[test]
fn no_folder_that_is_a_link_is_followed() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("real")).unwrap();
    fs::write(root.path().join("real/x"), "two").unwrap();
    std::os::unix::fs::symlink("real", root.path().join("alias")).unwrap();
    assert!(read_file(root.path(), &rel("alias/x")).unwrap().is_none());
    assert_eq!(file_stamp(root.path(), &rel("alias/x")).unwrap(), None);
    for (path, before) in [("alias/x", None), ("alias/new/x", None)] {
        let written = replace_file(root.path(), &rel(path), before, Some(&text("three")));
        assert!(matches!(written, Err(WriteError::Linked)), "{written:?}");
    }
    let deleted = replace_file(root.path(), &rel("alias/x"), Some(&text("two")), None);
    assert!(matches!(deleted, Err(WriteError::Changed)), "{deleted:?}");
    let real = fs::read_to_string(root.path().join("real/x"));
    assert_eq!(real.unwrap(), "two");
    assert_eq!(names(&root.path().join("real")), ["x"]);
}

fn write(path: &str, before: Option<&str>, after: Option<&str>) -> FileWrite {
    FileWrite {
        path: rel(path),
        before: before.map(text),
        after: after.map(text),
        needs: None,
    }
}

/// What lies in a folder, without folders.
fn names(root: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn each_of_many_files_is_written_or_not_on_its_own() {
    let root = tempfile::tempdir().unwrap();
    let mut writes: Vec<FileWrite> = (0..600)
        .map(|i| write(&format!("d{}/f{i}", i % 7), Some("old"), Some("new")))
        .collect();
    for write in &writes {
        let path = root.path().join(write.path.as_str());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "old").unwrap();
    }
    fs::write(root.path().join("d3/f3"), "mine").unwrap();
    writes.push(write("fresh/a", None, Some("a")));
    writes.push(write("d0/f0", None, Some("taken")));
    writes.push(FileWrite {
        needs: Some(3),
        ..write("d1/f1", Some("new"), None)
    });
    writes.push(FileWrite {
        needs: Some(600),
        ..write("d2/f2", Some("new"), None)
    });
    let done = replace_files(root.path(), &writes);
    for (index, result) in done.iter().enumerate() {
        let as_expected = match index {
            3 | 601 => matches!(result, Err(WriteError::Changed)),
            602 => matches!(result, Err(WriteError::Apart)),
            _ => result.is_ok(),
        };
        assert!(as_expected, "{index}: {result:?}");
    }
    let content = |path: &str| fs::read_to_string(root.path().join(path)).ok();
    assert_eq!(content("d3/f3").as_deref(), Some("mine"));
    assert_eq!(content("d1/f1").as_deref(), Some("new"));
    assert_eq!(content("d2/f2"), None);
    assert_eq!(content("fresh/a").as_deref(), Some("a"));
    let left = names(&root.path().join("d3"));
    assert!(left.iter().all(|name| name.starts_with('f')), "{left:?}");
}

#[test]
fn what_is_no_file_is_neither_read_nor_replaced() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("dir")).unwrap();
    rustix::fs::mkfifoat(
        rustix::fs::CWD,
        root.path().join("pipe"),
        Mode::from_raw_mode(0o600),
    )
    .unwrap();
    for (path, what) in [("dir", "a folder"), ("pipe", "a pipe")] {
        let found = read_file(root.path(), &rel(path));
        match path {
            // A path at which there is no file, and may be one later.
            "dir" => assert_eq!(found.unwrap(), None),
            _ => assert!(
                matches!(found, Err(WriteError::NoFile(is)) if is == what),
                "{found:?}"
            ),
        }
        for before in [None, Some(text("old"))] {
            let done = replace_file(root.path(), &rel(path), before.as_ref(), Some(&text("new")));
            assert!(
                matches!(done, Err(WriteError::NoFile(is)) if is == what),
                "{done:?}"
            );
        }
    }
    assert_eq!(names(root.path()), ["dir", "pipe"]);
}

#[test]
fn a_folder_that_is_gone_is_not_made_again_for_a_file_that_was_in_it() {
    let root = tempfile::tempdir().unwrap();
    let path = rel("gone/x");
    let done = replace_file(root.path(), &path, Some(&text("old")), Some(&text("new")));
    assert!(matches!(done, Err(WriteError::Changed)), "{done:?}");
    assert!(names(root.path()).is_empty());
}

#[test]
fn bytes_are_bytes() {
    let root = tempfile::tempdir().unwrap();
    let texts: [&[u8]; 5] = [
        b"\xef\xbb\xbfbom\r\n",
        b"\xff\xfeu\0t\0f\0",
        b"caf\xe9\n",
        b"lone\rcr\r",
        b"",
    ];
    let path = rel("x");
    let mut before = None;
    for bytes in texts {
        let after = FileContent {
            bytes: bytes.to_vec().into(),
            mode: FileMode::Regular,
        };
        replace_file(root.path(), &path, before.as_ref(), Some(&after)).unwrap();
        assert_eq!(fs::read(root.path().join("x")).unwrap(), bytes);
        before = Some(after);
    }
}

#[test]
fn owner_mode_and_attributes_go_over_to_the_new_file() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("x");
    fs::write(&file, "old").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o444)).unwrap();
    // Not every file system has attributes, and only root may give a file away.
    let named = rustix::fs::setxattr(&file, "user.note", b"kept", rustix::fs::XattrFlags::empty());
    let given = std::os::unix::fs::chown(&file, Some(4321), Some(4322));
    replace_file(
        root.path(),
        &rel("x"),
        Some(&text("old")),
        Some(&text("new")),
    )
    .unwrap();
    let meta = fs::metadata(&file).unwrap();
    assert_eq!(meta.permissions().mode() & 0o777, 0o444);
    if given.is_ok() {
        assert_eq!((meta.uid(), meta.gid()), (4321, 4322));
    }
    if named.is_ok() {
        let mut value = [0; 16];
        let length = rustix::fs::getxattr(&file, "user.note", &mut value).unwrap();
        assert_eq!(&value[..length], b"kept");
    }
}

#[test]
fn another_name_of_a_file_keeps_the_old_text() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("x"), "old").unwrap();
    fs::hard_link(root.path().join("x"), root.path().join("y")).unwrap();
    replace_file(
        root.path(),
        &rel("x"),
        Some(&text("old")),
        Some(&text("new")),
    )
    .unwrap();
    assert_eq!(fs::read_to_string(root.path().join("y")).unwrap(), "old");
}

/// Returns a program that writes to the file all the time, anew and at its end, and landings between them:
/// every line it ever wrote is there.
#[test]
fn whoever_writes_meanwhile_loses_nothing() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("x");
    fs::write(&file, "0\n").unwrap();
    let done = AtomicBool::new(false);
    let (written, landed) = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut written = 0_u32;
            while !done.load(Ordering::Relaxed) {
                written += 1;
                // Their line is added to whatever is there, as an editor does that rereads first.
                let mut lines = fs::read_to_string(&file).unwrap();
                lines.push_str(&format!("{written}\n"));
                if written.is_multiple_of(2) {
                    fs::write(&file, lines).unwrap();
                } else {
                    let mut append = fs::OpenOptions::new().append(true).open(&file).unwrap();
                    append.write_all(format!("{written}\n").as_bytes()).unwrap();
                }
                std::thread::yield_now();
            }
            written
        });
        let (mut landed, mut tries) = (0_u32, 0_u32);
        while landed < 10 && tries < 2_000 {
            tries += 1;
            let before = read_file(root.path(), &rel("x")).unwrap().unwrap().0;
            let after = FileContent {
                bytes: before.bytes.clone(),
                mode: FileMode::Regular,
            };
            let marked = [format!("landed {landed}\n").as_bytes(), &after.bytes[..]].concat();
            let after = FileContent {
                bytes: marked.into(),
                ..after
            };
            match replace_file(root.path(), &rel("x"), Some(&before), Some(&after)) {
                Ok(()) => landed += 1,
                Err(WriteError::Changed) => {}
                Err(error) => panic!("{error}"),
            }
        }
        done.store(true, Ordering::Relaxed);
        (writer.join().unwrap(), landed)
    });
    let text = fs::read_to_string(&file).unwrap();
    let lines: std::collections::HashSet<&str> = text.lines().collect();
    let lost: Vec<u32> = (0..=written)
        .filter(|line| !lines.contains(line.to_string().as_str()))
        .collect();
    assert!(lost.is_empty(), "of {written} lines: {lost:?}");
    assert!(landed > 0);
    assert_eq!(names(root.path()), ["x"]);
}

#[test]
fn what_a_crash_left_goes_and_what_somebody_wrote_stays() {
    let root = tempfile::tempdir().unwrap();
    let aside = |name: &str, text: &str| {
        let name = format!("{}{name}", write::ASIDE);
        fs::write(root.path().join(&name), text).unwrap();
        name
    };
    for (name, text) in [
        ("new", "two"),
        ("old", "one"),
        ("half", "tw"),
        ("empty", ""),
    ] {
        aside(name, text);
    }
    let kept = [aside("more", "two and more"), aside("other", "three")];
    let known = [&text("one"), &text("two")];
    clear_leftovers(root.path(), &rel("a.txt"), &known).unwrap();
    let entries = fs::read_dir(root.path()).unwrap();
    let mut left: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left, kept);
}

/// Everything beneath a folder: files with their text, links with their target, empty folders.
fn tree(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![root.to_owned()];
    while let Some(folder) = open.pop() {
        let entries: Vec<_> = fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        let name = |path: &Path| path.strip_prefix(root).unwrap().display().to_string();
        if entries.is_empty() {
            found.push(format!("{}/", name(&folder)));
        }
        for path in entries {
            match fs::symlink_metadata(&path).unwrap().file_type() {
                kind if kind.is_dir() => open.push(path),
                kind if kind.is_symlink() => {
                    let target = fs::read_link(&path).unwrap();
                    found.push(format!("{} -> {}", name(&path), target.display()));
                }
                _ => {
                    let text = fs::read_to_string(&path).unwrap();
                    found.push(format!("{}={text}", name(&path)));
                }
            }
        }
    }
    found.sort();
    found
}

fn link(path: &str, before: Option<&str>, after: Option<&str>) -> FileWrite {
    let link = |target: &str| FileContent {
        mode: FileMode::Symlink,
        ..text(target)
    };
    FileWrite {
        path: rel(path),
        before: before.map(link),
        after: after.map(link),
        needs: None,
    }
}

/// Makes the writes in each order, and then takes them back.
#[track_caller]
fn check_kinds(make: impl Fn(&Path), writes: &[FileWrite], expected: &[&str]) {
    let mut orders = vec![writes.to_vec(), writes.to_vec()];
    orders[1].reverse();
    for writes in orders {
        let root = tempfile::tempdir().unwrap();
        make(root.path());
        let before = tree(root.path());
        let done = replace_files(root.path(), &writes);
        assert!(done.iter().all(Result::is_ok), "{done:?}");
        assert_eq!(tree(root.path()), expected);
        let back: Vec<FileWrite> = writes
            .iter()
            .map(|write| FileWrite {
                before: write.after.clone(),
                after: write.before.clone(),
                ..write.clone()
            })
            .collect();
        let done = replace_files(root.path(), &back);
        assert!(done.iter().all(Result::is_ok), "{done:?}");
        assert_eq!(tree(root.path()), before);
    }
}

#[test]
fn a_link_that_becomes_a_folder_leaves_what_it_led_to() {
    let make = |root: &Path| {
        fs::create_dir(root.join("v2")).unwrap();
        fs::write(root.join("v2/x"), "two").unwrap();
        std::os::unix::fs::symlink("v2", root.join("latest")).unwrap();
    };
    let writes = [
        write("latest/x", None, Some("three")),
        write("latest/deep/y", None, Some("y")),
        link("latest", Some("v2"), None),
    ];
    check_kinds(
        make,
        &writes,
        &["latest/deep/y=y", "latest/x=three", "v2/x=two"],
    );
}

#[test]
fn files_and_folders_take_each_others_place() {
    let file = |root: &Path| fs::write(root.join("a"), "a").unwrap();
    let writes = [write("a/b/c", None, Some("c")), write("a", Some("a"), None)];
    check_kinds(file, &writes, &["a/b/c=c"]);
    let folder = |root: &Path| {
        fs::create_dir_all(root.join("a/b/c")).unwrap();
        fs::write(root.join("a/b/c/d"), "d").unwrap();
        fs::write(root.join("a/e"), "e").unwrap();
    };
    let writes = [
        write("a/b/c/d", Some("d"), None),
        write("a", None, Some("file")),
        write("a/e", Some("e"), None),
    ];
    check_kinds(folder, &writes, &["a=file"]);
    let writes = [
        link("a", None, Some("elsewhere")),
        write("a/e", Some("e"), None),
        write("a/b/c/d", Some("d"), None),
    ];
    check_kinds(folder, &writes, &["a -> elsewhere"]);
}

#[test]
fn a_folder_that_becomes_the_file_it_held_and_the_other_way_round() {
    // As `git mv` would have it: the old place of a renamed file waits for the new one.
    for (from, to) in [("a/a", "a"), ("a", "a/a")] {
        let root = tempfile::tempdir().unwrap();
        replace_file(root.path(), &rel(from), None, Some(&text("text"))).unwrap();
        let writes = [
            write(to, None, Some("text")),
            FileWrite {
                needs: Some(0),
                ..write(from, Some("text"), None)
            },
        ];
        let done = replace_files(root.path(), &writes);
        assert!(done.iter().all(Result::is_ok), "{done:?}");
        assert_eq!(tree(root.path()), [format!("{to}=text")]);
    }
}

#[test]
fn what_takes_each_others_place_is_written_whole_or_not_at_all() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("a"), "a").unwrap();
    let outside = link("a/c", None, Some("../../.."));
    let writes = [
        write("a/b", None, Some("b")),
        outside,
        write("a", Some("a"), None),
        write("other", None, Some("other")),
    ];
    let done = replace_files(root.path(), &writes);
    assert!(matches!(done[0], Err(WriteError::Together(_))), "{done:?}");
    assert!(matches!(done[1], Err(WriteError::LinkOutside)), "{done:?}");
    assert!(matches!(done[2], Err(WriteError::Together(_))), "{done:?}");
    assert!(done[3].is_ok(), "{done:?}");
    assert_eq!(tree(root.path()), ["a=a", "other=other"]);

    // Somebody's own file keeps the folder.
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("a")).unwrap();
    fs::write(root.path().join("a/b"), "b").unwrap();
    fs::write(root.path().join("a/mine"), "mine").unwrap();
    let writes = [
        write("a", None, Some("file")),
        write("a/b", Some("b"), None),
    ];
    let done = replace_files(root.path(), &writes);
    assert!(
        matches!(done[0], Err(WriteError::NoFile("a folder"))),
        "{done:?}"
    );
    assert!(
        matches!(&done[1], Err(WriteError::Together(path)) if *path == rel("a")),
        "{done:?}"
    );
    assert_eq!(tree(root.path()), ["a/b=b", "a/mine=mine"]);
}
