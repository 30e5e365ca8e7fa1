//! Tests that nobody compiles pass for ever: every file below `tests/` belongs to a program.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use super::{modules::Modules, workspace};

/// Every Rust file of a folder and of its subfolders.
fn rust_files(folder: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.insert(path);
            }
        }
    }
    found
}

#[test]
fn no_file_of_tests_is_forgotten() {
    let mut forgotten = Vec::new();
    for package in workspace::packages() {
        let mut files = rust_files(&package.folder.join("tests"));
        for target in package.targets {
            let modules = Modules::read(&target.root, &|path| fs::read_to_string(path).ok());
            for file in modules.files() {
                files.remove(file);
            }
        }
        forgotten.extend(files);
    }
    assert!(
        forgotten.is_empty(),
        "no `mod` line leads to {forgotten:#?}"
    );
}

#[test]
fn a_crate_has_one_program_of_integration_tests() {
    let more: Vec<String> = workspace::packages()
        .into_iter()
        .filter_map(|package| {
            let of_tests = package
                .targets
                .iter()
                .filter(|target| target.kind == "test");
            let roots: Vec<&Path> = of_tests.map(|target| &*target.root).collect();
            let expected = package.folder.join("tests/it/main.rs");
            (!roots.is_empty() && roots != [&*expected]).then(|| format!("{roots:?}"))
        })
        .collect();
    assert!(
        more.is_empty(),
        "each should be a module of tests/it: {more:#?}"
    );
}
