//! How long it takes to accept everything of a goal that changes many files.

use std::{fs, path::Path, process::Command, time::Duration};

use claudecluster_driver::{Driver, store::Store};
use claudecluster_protocol::{api::Decision, event::Verdict};

use crate::{
    options::Bench,
    output::Result,
    process, proposal,
    stats::{Samples, timed},
    table::{Row, Table, Target, Unit},
};

const FILES: usize = 1_000;

pub(crate) fn measure(bench: &Bench, table: &mut Table) -> Result {
    let dir = tempfile::Builder::new()
        .prefix("landing-")
        .tempdir_in(&bench.dir)?;
    let (base, proposed) = texts();
    let names = (0..FILES).map(|n| format!("file-{n:04}.rs"));
    let files: Vec<(String, &str, &str)> = names
        .map(|name| (name, base.as_str(), proposed.as_str()))
        .collect();
    // As many threads as the daemon has, and its journal on the disk.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let work = dir.path().join("work");
    fs::create_dir(dir.path().join("state"))?;
    let (store, patch) = {
        let _inside = runtime.enter();
        (
            Store::open(&dir.path().join("state"))?,
            dir.path().join("all.patch"),
        )
    };
    let driver = runtime.block_on(proposal::driver(dir.path(), &files, store))?;
    fs::write(&patch, diff(&work, &base, &proposed)?)?;
    let [mut accepts, mut undos, mut redos, mut git] = [const { Samples::new() }; 4];
    for _ in 0..bench.rounds.max(1) {
        let steps = [
            (Verdict::Accept, &proposed, Some(&mut accepts)),
            (Verdict::Undo, &base, Some(&mut undos)),
            (Verdict::Redo, &proposed, Some(&mut redos)),
            (Verdict::Undo, &base, None),
        ];
        for (verdict, expected, samples) in steps {
            process::settle()?;
            let time = decide(&runtime, &driver, verdict)?;
            check(&work, expected)?;
            if let Some(samples) = samples {
                samples.time(time);
            }
        }
        process::settle()?;
        git.time(apply(&work, &patch, false)?);
        check(&work, &proposed)?;
        apply(&work, &patch, true)?;
    }
    runtime.block_on(driver.shutdown());
    let what = format!("accept all, {FILES} files of 300 lines, 3 hunks each");
    table.add(
        Row::new(what, Unit::Millis, accepts)
            .against("`git apply`, nothing durable", git)
            .target(Target::AtMost(1_000.0)),
    );
    table.add(Row::new("undo all of it", Unit::Millis, undos));
    table.add(Row::new("redo all of it", Unit::Millis, redos));
    Ok(())
}

/// A file, and the same with three changes.
fn texts() -> (String, String) {
    let line = |n: usize| format!("    let value_{n} = compute(&state, {n});\n");
    let base: String = (0..300).map(line).collect();
    let proposed = (0..300)
        .map(|n| match n {
            40 => format!("{}    added();\n", line(n)),
            150 => "    changed();\n".to_owned(),
            260 => String::new(),
            n => line(n),
        })
        .collect();
    (base, proposed)
}

fn decide(
    runtime: &tokio::runtime::Runtime,
    driver: &Driver,
    verdict: Verdict,
) -> Result<Duration> {
    let decision = Decision::new(proposal::goal(), verdict);
    let (report, time) =
        timed(|| runtime.block_on(driver.decide(decision))).map_err(|error| error.to_string())?;
    if report.decided as usize != 3 * FILES {
        return Err(format!("{} of {} hunks decided", report.decided, 3 * FILES).into());
    }
    Ok(time)
}

/// The patch of one file, for all of them.
fn diff(work: &Path, base: &str, proposed: &str) -> Result<String> {
    let dir = work.with_file_name("texts");
    fs::create_dir(&dir)?;
    fs::write(dir.join("base"), base)?;
    fs::write(dir.join("proposed"), proposed)?;
    let output = Command::new("git")
        .current_dir(&dir)
        .args(["diff", "--no-index", "--no-color", "base", "proposed"])
        .output()?;
    // It ends with 1 where there are differences.
    let patch = String::from_utf8(output.stdout)?;
    let hunks = patch.find("@@").ok_or("git sees no difference")?;
    let one = |n: usize| {
        let name = format!("file-{n:04}.rs");
        format!("--- a/{name}\n+++ b/{name}\n{}", &patch[hunks..])
    };
    Ok((0..FILES).map(one).collect())
}

fn apply(work: &Path, patch: &Path, back: bool) -> Result<Duration> {
    let mut command = Command::new("git");
    command.current_dir(work).arg("apply").arg(patch);
    if back {
        command.arg("--reverse");
    }
    Ok(timed(|| process::output(&mut command))?.1)
}

/// Every file has this text.
fn check(work: &Path, text: &str) -> Result {
    for n in 0..FILES {
        let name = format!("file-{n:04}.rs");
        if fs::read_to_string(work.join(&name))? != text {
            return Err(format!("{name} is not what it was to become").into());
        }
    }
    Ok(())
}
