//! The tasks themselves, one function each.

use std::{env, path::PathBuf};

use crate::{
    commits, extension, homonyms, provision,
    run::{self, Result, answers, cargo, program, run},
};

/// The folder of git hooks, from the top of the repository.
const HOOKS: &str = ".github/hooks";

/// Runs every test against the real parts.
pub(crate) fn test(args: &[String]) -> Result {
    let parts = provision::all()?;
    // All at once, so that every crate is compiled with one set of features and not twice.
    run(&mut cargo(&["build", "--workspace", "--bins", "--tests"]))?;
    let binary = built("debug")?;
    let unpacked = extension::unpacked()?;
    let nextest = answers(&mut cargo(&["nextest", "--version"]));
    // The same random cases every time: what a change breaks, and not what nobody has seen before.
    // `prove` is for looking further.
    let seed = env::var(SEED).unwrap_or_else(|_| "1".to_owned());
    let with_everything = |mut command| {
        parts
            .tell(&mut command)
            .env("CLAUDECLUSTER_BIN", &binary)
            .env(extension::VARIABLE, &unpacked)
            .env(SEED, &seed);
        run(command.args(args))
    };
    if args.is_empty() {
        extension::check()?;
    }
    if !nextest {
        return with_everything(cargo(&["test", "--workspace"]));
    }
    if args.is_empty() {
        // What nextest does not run. First, so that its count closes the output.
        run(&mut cargo(&["test", "--workspace", "--doc", "--quiet"]))?;
    }
    with_everything(cargo(&["nextest", "run", "--workspace"]))
}

/// Where properties take their random cases from.
const SEED: &str = "PROPTEST_RNG_SEED";

/// How many random cases each property gets where `PROPTEST_CASES` does not say.
const CASES: &str = "10000";

/// Runs the properties of merging and landing for long, with optimisation.
pub(crate) fn prove() -> Result {
    let cases = env::var("PROPTEST_CASES").unwrap_or_else(|_| CASES.to_owned());
    // Not with nextest, whose limit on the time of one test is meant for shorter runs.
    let of_core = ["test", "--release", "-p", "claudecluster-core", "--tests"];
    run(cargo(&of_core).env("PROPTEST_CASES", &cases))?;
    let package = ["test", "--release", "-p", "claudecluster-driver"];
    run(cargo(&package)
        .args(["--test", "it", "model::"])
        .env("PROPTEST_CASES", &cases))
}

/// Prints the measured comparisons.
pub(crate) fn bench(args: &[String]) -> Result {
    let parts = provision::all()?;
    let packages = ["-p", "claudecluster", "-p", "claudecluster-bench"];
    run(cargo(&["build", "--release"]).args(packages))?;
    let mut command = program(built("release")?.with_file_name("claudecluster-bench"), &[]);
    parts
        .tell(&mut command)
        .env("CLAUDECLUSTER_BIN", built("release")?);
    run(command.args(args))
}

/// Makes the packages of the extension for VS Code.
pub(crate) fn extension() -> Result {
    run(&mut cargo(&["build", "--release", "-p", "claudecluster"]))?;
    extension::package(&built("release")?)
}

/// Where cargo put the product's program.
fn built(profile: &str) -> Result<PathBuf> {
    let path = run::target()?.join(profile).join("claudecluster");
    if path.is_file() {
        Ok(path)
    } else {
        Err(format!("{} is missing after the build", path.display()).into())
    }
}

/// Writes what is generated from the protocol's types.
pub(crate) fn codegen() -> Result {
    run(&mut cargo(&[
        "run",
        "--quiet",
        "-p",
        "claudecluster-protocol",
        "--example",
        "codegen",
    ]))
}

/// Makes git check commit messages of this clone.
pub(crate) fn hooks() -> Result {
    run(&mut program("git", &["config", "core.hooksPath", HOOKS]))
}

/// Checks the form of the Neovim plugin, which `stylua .` in its folder puts right, and its types.
pub(crate) fn lua() -> Result {
    let folder = run::root().join("editors/neovim");
    run(program(provision::stylua()?, &["--check", "."]).current_dir(&folder))?;
    let mut types = program(provision::emmylua()?, &["--warnings-as-errors", "."]);
    // What the plugin's settings for it name as a library: editors have it in their environment, too.
    types.env("VIMRUNTIME", provision::neovim_runtime()?);
    run(types.current_dir(folder))
}

/// Everything that CI checks; the quick parts first, the tests last.
pub(crate) fn ci() -> Result {
    run(&mut cargo(&["fmt", "--all", "--check"]))?;
    commits::check_range(None)?;
    homonyms::check()?;
    workflows()?;
    lua()?;
    let clippy = ["clippy", "--workspace", "--all-targets", "--quiet"];
    run(cargo(&clippy).args(["--", "-D", "warnings"]))?;
    // Only what drives the targets: the targets themselves are run by a test of the core.
    let fuzz = [
        "check",
        "--quiet",
        "--manifest-path",
        "tests/fuzz/Cargo.toml",
    ];
    run(cargo(&fuzz).args(["--no-default-features", "--target-dir", "target/fuzz"]))?;
    run(cargo(&["doc", "--workspace", "--no-deps", "--quiet"]).env("RUSTDOCFLAGS", "-Dwarnings"))?;
    // Stale generated files are a failing test of the protocol crate.
    test(&[])
}

/// Checks the files that describe CI.
pub(crate) fn workflows() -> Result {
    let actionlint = provision::actionlint()?;
    let folder = run::root().join(".github/workflows");
    // Without the linters of embedded scripts, which would be used where they happen to be installed.
    let mut command = program(actionlint, &["-no-color", "-shellcheck=", "-pyflakes="]);
    for entry in std::fs::read_dir(folder)? {
        command.arg(entry?.path());
    }
    run(&mut command)
}
