//! Measures ClaudeCluster against what one would use instead, and prints one table.
//!
//! Machines differ and are busy with other things, so the alternative is always measured in the same
//! run, round by round in turn. What counts is the median; the table shows the 90th percentile beside
//! it. `docs/benchmarks.md` says what each row is.

mod lsp;
mod options;
mod output;
mod process;
mod proposal;
mod repo;
mod sections;
mod stats;
mod table;
mod world;

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;

use crate::{
    options::Bench,
    output::{Result, print, say},
    repo::Shape,
    sections::SECTIONS,
    table::Table,
};

/// Measures ClaudeCluster against the alternatives.
#[derive(Debug, Parser)]
struct Args {
    /// What to measure; everything where nothing is named
    #[arg(value_name = "SECTION")]
    sections: Vec<String>,
    /// Few rounds and a small repository: shows that it works, not how fast it is
    #[arg(long)]
    quick: bool,
    /// How often what takes seconds is measured [default: 5, quick 1]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: Option<u32>,
    /// Files of the large repository [default: 80000, quick 8000]
    #[arg(long, value_parser = clap::value_parser!(u32).range(100..))]
    files: Option<u32>,
    /// Where the repositories are kept between runs and the work is done [default: in the temporary
    /// folder]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(3),
        Err(error) => {
            say(&format!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Gives whether every target was reached.
fn run(args: &Args) -> Result<bool> {
    let wanted = |name: &str| args.sections.is_empty() || args.sections.iter().any(|s| s == name);
    if let Some(unknown) = args
        .sections
        .iter()
        .find(|asked| SECTIONS.iter().all(|(name, _)| name != asked))
    {
        let names: Vec<_> = SECTIONS.iter().map(|(name, _)| *name).collect();
        return Err(format!(
            "there is no section {unknown}; there are {}",
            names.join(", ")
        )
        .into());
    }
    let dir = args
        .dir
        .clone()
        .unwrap_or_else(|| std::env::temp_dir().join("claudecluster-bench"));
    std::fs::create_dir_all(&dir)?;
    let files = args
        .files
        .unwrap_or(if args.quick { 8_000 } else { 80_000 });
    let bench = Bench {
        dir: dir.canonicalize()?,
        rounds: args.rounds.unwrap_or(if args.quick { 1 } else { 5 }),
        quick: args.quick,
        large: Shape::of_files(files),
        binary: part("CLAUDECLUSTER_BIN")?,
        claude: part("CLAUDECLUSTER_TEST_CLAUDE")?,
    };
    let mut table = Table::default();
    for (name, measure) in SECTIONS {
        if wanted(name) {
            say(&format!("measuring {name}"));
            measure(&bench, &mut table).map_err(|error| format!("{name}: {error}"))?;
        }
    }
    print(&table.to_string());
    Ok(table.all_reached())
}

/// The path of a part that `cargo xtask bench` provides.
fn part(variable: &str) -> Result<PathBuf> {
    let path = std::env::var_os(variable)
        .map(PathBuf::from)
        .ok_or_else(|| format!("{variable} is not set; run `cargo xtask bench`, which sets it"))?;
    Ok(path.canonicalize().map_err(|error| {
        let shown = path.display();
        format!("{variable} is {shown}, which cannot be used: {error}")
    })?)
}
