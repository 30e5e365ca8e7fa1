//! Files of a workspace, read and written while others read and write them.

use super::*;

fn text(text: &str) -> Content {
    Content {
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
    replace(root.path(), &path, None, Some(&text("one"))).unwrap();
    assert_eq!(read(root.path(), &path).unwrap().unwrap().0, text("one"));
    let stale = replace(root.path(), &path, Some(&text("zero")), Some(&text("two")));
    assert!(matches!(stale, Err(WriteError::Changed)), "{stale:?}");
    assert!(matches!(
        replace(root.path(), &path, None, None),
        Err(WriteError::Changed)
    ));
    replace(root.path(), &path, Some(&text("one")), None).unwrap();
    assert!(read(root.path(), &path).unwrap().is_none());
    let left: Vec<_> = fs::read_dir(root.path().join("a/b")).unwrap().collect();
    assert!(left.is_empty(), "no temporary file is left: {left:?}");
}

#[test]
fn modes_are_kept_and_changed() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("run.sh");
    fs::write(&file, "one").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    let run = Content {
        mode: FileMode::Executable,
        ..text("two")
    };
    replace(root.path(), &rel("run.sh"), Some(&text("one")), Some(&run)).unwrap();
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o750
    );
    replace(
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
    assert!(matches!(read(root.path(), &path), Err(WriteError::Outside)));
    let written = replace(root.path(), &rel("out/new"), None, Some(&text("x")));
    assert!(matches!(written, Err(WriteError::Outside)), "{written:?}");
    assert!(!outside.path().join("new").exists());
    for target in ["/etc/passwd", "../..", "a/../../../x"] {
        let link = Content {
            mode: FileMode::Symlink,
            ..text(target)
        };
        let made = replace(root.path(), &rel("d/link"), None, Some(&link));
        assert!(
            matches!(made, Err(WriteError::LinkOutside)),
            "{target}: {made:?}"
        );
    }
    let link = Content {
        mode: FileMode::Symlink,
        ..text("../run.sh")
    };
    replace(root.path(), &rel("d/link"), None, Some(&link)).unwrap();
    assert_eq!(read(root.path(), &rel("d/link")).unwrap().unwrap().0, link);
}

#[test]
fn folders_that_are_links_inside_the_workspace_are_followed() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("real")).unwrap();
    std::os::unix::fs::symlink("real", root.path().join("alias")).unwrap();
    replace(root.path(), &rel("alias/new/x"), None, Some(&text("x"))).unwrap();
    assert_eq!(
        fs::read_to_string(root.path().join("real/new/x")).unwrap(),
        "x"
    );
}
