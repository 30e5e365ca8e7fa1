use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

use super::{Ground, make_pipe};

#[test]
fn a_private_file_replaces_what_has_its_name_and_follows_nothing() {
    let ground = Ground::new();
    let check = |name: &str| {
        ground.handle().write_private(name, b"new").unwrap();
        let meta = ground.foreign(name).symlink_metadata().unwrap();
        assert!(meta.is_file());
        assert_eq!(meta.mode() & 0o777, 0o600);
        assert_eq!(std::fs::read(ground.foreign(name)).unwrap(), b"new");
        ground.assert_canaries_live();
    };
    check("fresh");
    check("fresh");
    symlink(ground.path("canary"), ground.foreign("link")).unwrap();
    check("link");
    make_pipe(&ground.foreign("sub/pipe"));
    check("sub/pipe");
    // Nothing is left beside them.
    assert_eq!(ground.handle().entries(10).unwrap().len(), 3);
}

#[test]
fn no_file_is_written_through_a_link_to_a_folder() {
    let ground = Ground::new();
    symlink(ground.path("outside"), ground.foreign("way")).unwrap();
    ground
        .handle()
        .write_private("way/canary", b"new")
        .unwrap_err();
    ground
        .handle()
        .create_private("way/new", b"new")
        .unwrap_err();
    ground.handle().make_folder("way/new").unwrap_err();
    ground.assert_canaries_live();
    assert!(!ground.path("outside/new").exists());
}

#[test]
fn a_file_is_created_only_where_nothing_has_its_name() {
    let ground = Ground::new();
    ground.handle().create_private("x", b"new").unwrap();
    let refused = ground.handle().create_private("x", b"newer").unwrap_err();
    assert!(refused.to_string().contains("exists"), "{refused}");
    symlink(ground.path("nowhere"), ground.foreign("dangling")).unwrap();
    ground
        .handle()
        .create_private("dangling", b"new")
        .unwrap_err();
    assert!(!ground.path("nowhere").exists());
}

#[test]
fn a_file_is_copied_from_one_folder_to_another() {
    let ground = Ground::new();
    std::fs::write(ground.foreign("sub/x"), "text").unwrap();
    let sub = ground.handle().open_folder("sub").unwrap();
    let keep = ground.handle().make_folder("keep").unwrap();
    keep.copy_file_from(&sub, "x", "y", 4).unwrap();
    assert_eq!(std::fs::read(ground.foreign("keep/y")).unwrap(), b"text");
    keep.copy_file_from(&sub, "x", "y", 3).unwrap_err();
    symlink(ground.path("canary"), ground.foreign("sub/link")).unwrap();
    keep.copy_file_from(&sub, "link", "y", 100).unwrap_err();
}

#[test]
fn an_entry_is_moved_beneath_both_folders_and_keeps_its_mode() {
    let ground = Ground::new();
    let home = ground.handle();
    let target = home.make_folder("target").unwrap();
    std::fs::create_dir_all(ground.foreign("closed/inner")).unwrap();
    let closed = std::fs::Permissions::from_mode(0o500);
    std::fs::set_permissions(ground.foreign("closed"), closed).unwrap();
    home.move_entry("closed", &target, "moved").unwrap();
    let meta = ground.foreign("target/moved").symlink_metadata().unwrap();
    assert_eq!(meta.mode() & 0o777, 0o500);
    assert!(ground.foreign("target/moved/inner").is_dir());
    // Neither from nor to what a link leads to.
    symlink(ground.path("outside"), ground.foreign("way")).unwrap();
    home.move_entry("way/canary", &target, "x").unwrap_err();
    std::fs::write(ground.foreign("file"), "x").unwrap();
    home.move_entry("file", &home, "way/file").unwrap_err();
    home.create_link("way/link", "x".as_ref()).unwrap_err();
    home.create_file("way/new", 0o600).unwrap_err();
    ground.assert_canaries_live();
    let open = std::fs::Permissions::from_mode(0o700);
    std::fs::set_permissions(ground.foreign("target/moved"), open).unwrap();
}
