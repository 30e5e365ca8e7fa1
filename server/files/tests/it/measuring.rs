use std::{fs, io::Write as _, os::unix::fs::symlink};

use claudecluster_files::measure_disk_use;

use super::{Ground, make_deep, make_sparse};

fn measure(ground: &Ground, most: u64) -> u64 {
    measure_disk_use(&[ground.foreign("")], most).unwrap()
}

#[test]
fn blocks_count_and_lengths_do_not() {
    let ground = Ground::new();
    let before = measure(&ground, u64::MAX);
    make_sparse(&ground.foreign("sparse"));
    symlink("/", ground.foreign("link")).unwrap();
    let sparse = measure(&ground, u64::MAX) - before;
    assert!(sparse <= 64 << 10, "{sparse}");
    let mut file = fs::File::create(ground.foreign("full")).unwrap();
    file.write_all(&vec![7; 1 << 20]).unwrap();
    file.sync_all().unwrap();
    for name in ["a", "b", "c"] {
        fs::hard_link(ground.foreign("full"), ground.foreign(name)).unwrap();
    }
    let full = measure(&ground, u64::MAX) - before - sparse;
    assert!((1 << 20..3 << 19).contains(&full), "{full}");
}

#[test]
fn files_without_content_count_too() {
    let ground = Ground::new();
    let before = measure(&ground, u64::MAX);
    for number in 0..1000 {
        fs::write(ground.foreign(&format!("f{number}")), "").unwrap();
    }
    assert!(measure(&ground, u64::MAX) - before >= 1000 * 4096);
}

#[test]
fn depth_hides_nothing() {
    let ground = Ground::new();
    make_deep(&ground.foreign("deep"), 20_000);
    assert!(measure(&ground, u64::MAX) >= 20_000 * 4096);
}

#[test]
fn a_measure_ends_where_it_is_more_than_is_asked_for() {
    let ground = Ground::new();
    for number in 0..100 {
        fs::write(ground.foreign(&format!("f{number}")), "").unwrap();
    }
    let measured = measure(&ground, 10 * 4096);
    assert!((10 * 4096..20 * 4096).contains(&measured), "{measured}");
    let none: [&str; 0] = [];
    assert_eq!(measure_disk_use(&none, 0).unwrap(), 0);
    assert_eq!(measure_disk_use(&[ground.path("absent")], 0).unwrap(), 0);
}
