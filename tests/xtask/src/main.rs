//! What contributors and CI run. `cargo xtask` lists it.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line tool for contributors"
)]

mod commits;
mod extension;
mod homonyms;
mod provision;
mod run;
mod tasks;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask TASK

  provision          bring the real parts that tests run against into a cache folder
  test [ARG…]        provision, build, run every test; ARGs go to the test runner
  prove              the properties of merging and landing, 10,000 random cases each
  bench [ARG…]       provision, build with optimisation, print the measured comparisons
  extension          make the packages of the VS Code extension, one with the server inside
  codegen            write JSON Schema and TypeScript from the protocol's types
  ci                 everything that CI checks
  lua                check the form and the types of the Neovim plugin
  workflows          check the files that describe CI, with actionlint
  homonyms           check that a type name stands for one thing
  hooks              check commit messages of this clone when they are written
  commits [RANGE]    check the messages of commits; without RANGE the newest 30
  commit-msg FILE    check the message in FILE, as the hook does
";

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let task = args.next().unwrap_or_default();
    let rest: Vec<String> = args.collect();
    let result = match task.as_str() {
        "provision" => provision::all().map(drop),
        "test" => tasks::test(&rest),
        "prove" => tasks::prove(),
        "bench" => tasks::bench(&rest),
        "extension" => tasks::extension(),
        "codegen" => tasks::codegen(),
        "ci" => tasks::ci(),
        "lua" => tasks::lua(),
        "workflows" => tasks::workflows(),
        "homonyms" => homonyms::check(),
        "hooks" => tasks::hooks(),
        "commits" => commits::check_range(rest.first().map(String::as_str)),
        "commit-msg" => commits::check_file(rest.first().map(String::as_str)),
        "" | "help" | "-h" | "--help" => {
            print!("{USAGE}");
            Ok(())
        }
        other => {
            eprint!("error: there is no task {other:?}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
