//! The page about security says which test holds each promise. Those tests are there, and no test of isolation is
//! missing from the page.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use super::workspace::{Package, packages, root};

/// Every Rust file below a folder.
fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                found.push(path);
            }
        }
    }
    found
}

/// The names of the test functions in a file, with the modules inside the file left out.
fn tests_in(text: &str) -> Vec<&str> {
    let mut tests = Vec::new();
    let mut marked = false;
    for line in text.lines().map(str::trim_start) {
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            marked = true;
        } else if let Some((_, rest)) = line.split_once("fn ").filter(|_| marked) {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
            tests.push(&rest[..end.unwrap_or(rest.len())]);
            marked = false;
        }
    }
    tests
}

/// The tests of a crate as the page names them: the crate's folder, the file's modules, the function.
fn tests_of(package: &Package) -> BTreeSet<String> {
    let crate_name = package.folder.file_name().unwrap().to_str().unwrap();
    let mut names = BTreeSet::new();
    for below in ["src", "tests/it"] {
        let folder = package.folder.join(below);
        for file in rust_files(&folder) {
            let text = fs::read_to_string(&file).unwrap();
            let inner = file.strip_prefix(&folder).unwrap().with_extension("");
            let modules = inner.iter().map(|part| part.to_str().unwrap());
            let modules: Vec<&str> = modules.filter(|part| *part != "mod").collect();
            for test in tests_in(&text) {
                names.insert(format!("{crate_name}::{}::{test}", modules.join("::")));
            }
        }
    }
    names
}

/// The tests that the page names, between backquotes.
fn named(page: &str) -> BTreeSet<String> {
    let word = |text: &str| {
        let mut parts = text.split("::");
        let plain = |part: &str| part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        text.contains("::") && parts.all(|part| !part.is_empty() && plain(part))
    };
    let quoted = page.split('`').skip(1).step_by(2);
    quoted
        .filter(|text| word(text))
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_promise_names_a_test_and_every_test_of_isolation_a_promise() {
    let page = fs::read_to_string(root().join("docs/security.md")).unwrap();
    let named = named(&page);
    assert!(named.len() > 30, "{named:?}");
    let there: BTreeSet<String> = packages().iter().flat_map(tests_of).collect();
    let missing: Vec<&String> = named.difference(&there).collect();
    assert!(missing.is_empty(), "these tests do not exist: {missing:#?}");
    let isolation = there
        .iter()
        .filter(|name| name.starts_with("e2e::isolation::"));
    let unnamed: Vec<&String> = isolation.filter(|name| !named.contains(*name)).collect();
    assert!(
        unnamed.is_empty(),
        "docs/security.md does not name {unnamed:#?}"
    );
}

#[test]
fn every_finding_and_every_requirement_has_its_row() {
    let page = fs::read_to_string(root().join("docs/security.md")).unwrap();
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| ")).collect();
    let findings = (1..=14).map(|n| format!("S{n}"));
    for id in findings.chain((1..=25).map(|n| format!("R{n}"))) {
        let row = rows
            .iter()
            .find(|row| row.starts_with(&format!("| {id} |")));
        let row = row.unwrap_or_else(|| panic!("{id} has no row"));
        let tested = named(row).iter().any(|name| name.contains("::"));
        let later = row.contains("no HTTP front yet");
        assert!(
            tested != later,
            "{id} has neither a test nor a reason: {row}"
        );
    }
}
