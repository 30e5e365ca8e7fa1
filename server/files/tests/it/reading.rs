use std::{os::unix::fs::symlink, time::Duration};

use claudecluster_files::{EntryKind, ForeignFileError, read_named_file, run_with_deadline};

use super::{Ground, make_pipe, make_sparse};

/// What reading says of an entry, whose content must be "content" where it is read.
fn check(make: impl FnOnce(&Ground), path: &str, expected: &str) {
    let ground = Ground::new();
    make(&ground);
    let read = ground.handle().read_file(path, 100);
    let told = read.map_or_else(
        |error| error.to_string(),
        |bytes| String::from_utf8(bytes).unwrap(),
    );
    assert_eq!(told, expected);
    ground.assert_canaries_live();
}

#[test]
fn a_regular_file_is_read_and_nothing_else() {
    let write = |ground: &Ground| std::fs::write(ground.foreign("sub/x"), "content").unwrap();
    check(write, "sub/x", "content");
    let link = "a symbolic link or `..` is on the way to it";
    check(write, "../canary", link);
    check(write, "/etc/hostname", link);
    check(write, "sub/../sub/x", link);
    check(|_| {}, "sub/x", "No such file or directory (os error 2)");
    check(|_| {}, "sub", "it is a folder, not a regular file");
    check(
        |ground| symlink(ground.path("canary"), ground.foreign("x")).unwrap(),
        "x",
        "it is a symbolic link, not a regular file",
    );
    check(
        |ground| symlink(ground.path("outside"), ground.foreign("way")).unwrap(),
        "way/canary",
        link,
    );
    check(
        |ground| symlink("/dev/zero", ground.foreign("x")).unwrap(),
        "x",
        "it is a symbolic link, not a regular file",
    );
    check(
        |ground| make_pipe(&ground.foreign("x")),
        "x",
        "it is a pipe, not a regular file",
    );
    check(
        |ground| drop(std::os::unix::net::UnixListener::bind(ground.foreign("x")).unwrap()),
        "x",
        "it is a socket, not a regular file",
    );
    check(
        |ground| make_sparse(&ground.foreign("x")),
        "x",
        "it has more than 100 bytes, the most that is read",
    );
}

#[test]
fn a_file_of_the_limit_is_read_and_one_byte_more_is_not() {
    let ground = Ground::new();
    std::fs::write(ground.foreign("x"), [7; 10]).unwrap();
    assert_eq!(ground.handle().read_file("x", 10).unwrap(), [7; 10]);
    let refused = ground.handle().read_file("x", 9).unwrap_err();
    assert!(refused.is_limit(), "{refused}");
}

#[test]
fn a_file_of_the_kernel_that_says_it_is_empty_still_has_a_limit() {
    let refused = read_named_file("/proc/self/maps".as_ref(), 10).unwrap_err();
    assert!(refused.is_limit(), "{refused}");
}

#[test]
fn a_file_a_person_names_may_be_a_link_but_not_a_device() {
    let ground = Ground::new();
    symlink(ground.path("canary"), ground.foreign("x")).unwrap();
    assert_eq!(
        read_named_file(&ground.foreign("x"), 10).unwrap(),
        b"secret"
    );
    symlink("/dev/zero", ground.foreign("zero")).unwrap();
    let refused = read_named_file(&ground.foreign("zero"), 10).unwrap_err();
    assert!(
        matches!(refused, ForeignFileError::NotRegular(EntryKind::Device)),
        "{refused}"
    );
    make_pipe(&ground.foreign("pipe"));
    let refused = read_named_file(&ground.foreign("pipe"), 10).unwrap_err();
    assert!(
        matches!(refused, ForeignFileError::NotRegular(EntryKind::Pipe)),
        "{refused}"
    );
}

#[test]
fn a_folder_lists_no_more_entries_than_the_limit() {
    let ground = Ground::new();
    std::fs::write(ground.foreign("x"), "").unwrap();
    assert_eq!(ground.handle().entries(2).unwrap().len(), 2);
    let refused = ground.handle().entries(1).unwrap_err();
    assert!(matches!(refused, ForeignFileError::TooMany { limit: 1 }));
}

#[tokio::test]
async fn work_that_never_ends_is_given_up_at_its_deadline() {
    let (kept, never) = std::sync::mpsc::channel::<()>();
    let waiting = run_with_deadline(Duration::from_millis(1), move || {
        never.recv().ok();
        Ok::<_, ForeignFileError>(())
    });
    let refused = waiting.await.unwrap_err();
    assert!(matches!(refused, ForeignFileError::TooSlow(_)), "{refused}");
    drop(kept);
}

#[tokio::test]
async fn work_that_panics_is_an_error() {
    let work = || -> Result<(), ForeignFileError> { panic!("on purpose") };
    run_with_deadline(Duration::from_mins(1), work)
        .await
        .unwrap_err();
}
