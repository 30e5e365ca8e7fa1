use std::{
    ffi::OsStr,
    fs::Permissions,
    os::unix::fs::{PermissionsExt as _, symlink},
};

use claudecluster_files::remove_path;

use super::{Ground, make_deep, make_pipe};

#[test]
fn a_tree_deeper_than_any_path_and_than_any_stack_is_removed() {
    let ground = Ground::new();
    make_deep(&ground.foreign("deep"), 20_000);
    // As small a stack as a thread can have: nothing recurses.
    let path = ground.foreign("deep");
    let removing = std::thread::Builder::new()
        .stack_size(64 << 10)
        .spawn(move || remove_path(&path));
    removing.unwrap().join().unwrap().unwrap();
    assert!(!ground.foreign("deep").exists());
    assert_eq!(std::fs::read_dir(ground.foreign("")).unwrap().count(), 1);
}

#[test]
fn a_tree_is_removed_without_what_its_links_lead_to() {
    let ground = Ground::new();
    symlink(ground.path("outside"), ground.foreign("sub/folder")).unwrap();
    symlink(ground.path("canary"), ground.foreign("sub/file")).unwrap();
    make_pipe(&ground.foreign("sub/pipe"));
    remove_path(&ground.foreign("sub")).unwrap();
    assert!(!ground.foreign("sub").exists());
    symlink(ground.path("outside"), ground.foreign("top")).unwrap();
    remove_path(&ground.foreign("top")).unwrap();
    assert!(ground.foreign("top").symlink_metadata().is_err());
    ground.assert_canaries_live();
}

#[test]
fn folders_that_cannot_be_entered_are_removed_with_what_is_in_them() {
    let ground = Ground::new();
    std::fs::create_dir_all(ground.foreign("sub/a/b/c")).unwrap();
    std::fs::write(ground.foreign("sub/a/b/x"), "").unwrap();
    for closed in ["sub/a/b", "sub/a", "sub"] {
        std::fs::set_permissions(ground.foreign(closed), Permissions::from_mode(0o0)).unwrap();
    }
    remove_path(&ground.foreign("sub")).unwrap();
    assert!(!ground.foreign("sub").exists());
}

#[test]
fn a_wide_tree_is_removed_whole() {
    let ground = Ground::new();
    for number in 0..3_000 {
        let folder = ground.foreign("sub").join(number.to_string());
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("x"), "").unwrap();
    }
    remove_path(&ground.foreign("sub")).unwrap();
    assert!(!ground.foreign("sub").exists());
}

#[test]
fn a_folder_is_cleared_of_all_but_what_is_kept() {
    let ground = Ground::new();
    std::fs::write(ground.foreign("kept"), "").unwrap();
    std::fs::write(ground.foreign("gone"), "").unwrap();
    ground.handle().clear(&[OsStr::new("kept")]).unwrap();
    let left: Vec<_> = ground.handle().entries(10).unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].name, "kept");
}

#[test]
fn what_is_not_there_needs_no_removal() {
    let ground = Ground::new();
    remove_path(&ground.foreign("none")).unwrap();
    remove_path(&ground.foreign("none/none")).unwrap();
}

#[tokio::test]
async fn what_is_discarded_loses_its_name_and_goes() {
    let ground = Ground::new();
    std::fs::create_dir_all(ground.foreign("a/b/c")).unwrap();
    std::fs::write(ground.foreign("a/b/file"), "x").unwrap();
    symlink(ground.path("outside"), ground.foreign("link")).unwrap();
    let paths = ["a", "link", "none"].map(|name| ground.foreign(name));
    claudecluster_files::discard_paths(paths.to_vec())
        .await
        .unwrap();
    let left = ground.handle().entries(10).unwrap();
    assert!(left.len() == 1 && left[0].name == "sub", "{left:?}");
    ground.assert_canaries_live();
}
