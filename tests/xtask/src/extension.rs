//! The extension for VS Code: its tools run on the provisioned Node.js, with what its lock names.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    provision,
    run::{self, Result, output, program, run},
};

/// Where tests find the extension as it is installed.
pub(crate) const VARIABLE: &str = "CLAUDECLUSTER_TEST_EXTENSION";

/// Everything that is checked without an editor: types, lints, format, unit tests, size, what is packed.
pub(crate) fn check() -> Result {
    install()?;
    for script in ["check", "lint", "test"] {
        run(&mut npm(&["run", "--silent", script])?)?;
    }
    Ok(())
}

/// Packs it and unpacks the package, as an editor does that installs it. Returns where.
pub(crate) fn unpacked() -> Result<PathBuf> {
    if let Some(path) = env::var_os(VARIABLE) {
        return Ok(path.into());
    }
    install()?;
    let out = run::target()?.join("vscode");
    if out.exists() {
        fs::remove_dir_all(&out)?;
    }
    fs::create_dir_all(&out)?;
    let mut package = npm(&["run", "--silent", "package", "--", "--out"])?;
    output(package.arg(&out))?;
    let packages = fs::read_dir(&out)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| {
            path.extension()
                .is_some_and(|extension| extension == "vsix")
        })
        .ok_or("no package was made")?;
    let mut unpack = program("python3", &["-m", "zipfile", "-e"]);
    output(unpack.arg(packages).arg(out.join("unpacked")))?;
    Ok(out.join("unpacked/extension"))
}

/// Makes the packages that people install, one with the server inside.
pub(crate) fn package(server: &Path) -> Result {
    install()?;
    let mut package = npm(&["run", "--silent", "package", "--", "--server"])?;
    run(package.arg(server).arg("--out").arg(run::target()?))
}

/// Brings what the lock names, where it is not there yet.
fn install() -> Result {
    let folder = folder();
    let lock = fs::read(folder.join("package-lock.json"))?;
    let done = folder.join("node_modules/.of-lock");
    if fs::read(&done).is_ok_and(|of| of == lock) {
        return Ok(());
    }
    // Without the scripts of the packages: none of them is needed.
    let mut ci = npm(&["ci", "--ignore-scripts", "--no-audit", "--no-fund"])?;
    run(ci.arg("--loglevel=error"))?;
    Ok(fs::write(done, lock)?)
}

fn folder() -> PathBuf {
    run::root().join("editors/vscode")
}

fn npm(args: &[&str]) -> Result<Command> {
    let mut npm = program("npm", args);
    let path = provision::first_on_path(&provision::node_folder()?)?;
    npm.current_dir(folder()).env("PATH", path);
    Ok(npm)
}
