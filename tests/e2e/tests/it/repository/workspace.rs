//! The crates of the workspace and their programs, as cargo knows them.

use std::{
    collections::BTreeSet,
    env,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

/// The top of the repository.
pub(super) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .unwrap()
}

/// A crate of the workspace.
#[derive(Debug)]
pub(super) struct Package {
    pub(super) name: String,
    /// The folder of its manifest.
    pub(super) folder: PathBuf,
    /// Crates that its code, not its tests, depends on directly.
    pub(super) dependencies: BTreeSet<String>,
    pub(super) targets: Vec<Target>,
}

/// A library or a program of a crate.
#[derive(Debug)]
pub(super) struct Target {
    /// `lib`, `bin`, `test`, `example` and so on.
    pub(super) kind: String,
    /// The file that cargo has compiled.
    pub(super) root: PathBuf,
}

/// Every crate of the workspace.
pub(super) fn packages() -> Vec<Package> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--offline", "--format-version=1"])
        .current_dir(root())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    packages.iter().map(package).collect()
}

fn package(package: &Value) -> Package {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let target = |target: &Value| Target {
        kind: text(&target["kind"][0]),
        root: PathBuf::from(text(&target["src_path"])),
    };
    let dependencies = package["dependencies"].as_array().unwrap().iter();
    Package {
        name: text(&package["name"]),
        folder: Path::new(&text(&package["manifest_path"]))
            .parent()
            .unwrap()
            .to_owned(),
        dependencies: dependencies
            .filter(|dependency| dependency["kind"] != "dev")
            .map(|dependency| text(&dependency["name"]))
            .collect(),
        targets: package["targets"]
            .as_array()
            .unwrap()
            .iter()
            .map(target)
            .collect(),
    }
}
