//! The fuzz targets, over the inputs that are kept: see CONTRIBUTING.md for the fuzzer itself.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    unreachable_pub,
    reason = "the tests of the pure crate may use the machine"
)]

#[path = "../../../../tests/fuzz/src/lib.rs"]
mod targets;

use std::{fs, path::Path};

#[test]
fn the_seeds_of_the_fuzzer_are_fine() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/seeds");
    let run = |name: &str, target: fn(&[u8])| {
        let files = fs::read_dir(seeds.join(name)).unwrap();
        let files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
        assert!(files.len() > 3, "{name} has {} seeds", files.len());
        for file in files {
            target(&fs::read(file).unwrap());
        }
    };
    run("display", targets::display);
    run("merge", targets::merge);
    run("plan", targets::plan);
    run("positions", targets::positions);
}
