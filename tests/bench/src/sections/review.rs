//! How long pending hunks take to be right again after a keystroke.

use std::{fmt::Write as _, fs, path::Path, process::Command};

use claudecluster_core::review::{FileReview, LiveReview};
use claudecluster_driver::store::Store;

use crate::{
    options::Bench,
    output::Result,
    process, proposal,
    stats::{Samples, timed},
    table::{Row, Table, Target, Unit, Value},
};

const LINES: u32 = 10_000;
const HUNKS: usize = 100;

pub(crate) fn measure(bench: &Bench, table: &mut Table) -> Result {
    let (base, proposed) = texts();
    let dir = tempfile::Builder::new()
        .prefix("review-")
        .tempdir_in(&bench.dir)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()?;
    let files = [("file.rs".to_owned(), base.as_str(), proposed.as_str())];
    let driver = runtime.block_on(proposal::driver(dir.path(), &files, Store::in_memory()))?;
    let file = dir.path().join("work/file.rs");

    let mut live = LiveReview::new(base.as_str(), proposed.as_str());
    let mut current = base.clone();
    let [mut keys, mut views, mut fresh, mut git] = [const { Samples::new() }; 4];
    let count = if bench.quick { 200 } else { 2_000 };
    let mut seed = 1u64;
    for n in 0..count {
        type_somewhere(&mut current, &mut seed);
        let (hunks, time) =
            timed(|| Ok::<_, std::fmt::Error>(live.update(&current).hunks().len()))?;
        keys.time(time);
        let (shown, time) = timed(|| Ok::<_, std::fmt::Error>(driver.hunks_in(&file, &current)))?;
        views.time(time);
        let (review, time) = timed(|| {
            let review = FileReview::new(&base, &current, &proposed);
            Ok::<_, std::fmt::Error>(review.hunks().to_vec())
        })?;
        fresh.time(time);
        if review != live.review().hunks() || hunks != HUNKS || shown.len() != HUNKS {
            return Err(format!("{hunks} and {} of {HUNKS} hunks", shown.len()).into());
        }
        if n % 40 == 0 {
            git.time(merge_file(dir.path(), [&current, &base, &proposed])?);
        }
    }
    let what = format!("hunks after a keystroke, {LINES} lines, {HUNKS} hunks");
    table.add(
        Row::new(what, Unit::Millis, keys)
            .by(Value::P99)
            .against("all of it again", fresh.clone())
            .target(Target::AtMost(2.0)),
    );
    table.add(
        Row::new(
            "the same from the driver, as an editor gets them",
            Unit::Millis,
            views,
        )
        .by(Value::P99)
        .against("all of it again", fresh.clone())
        .target(Target::AtMost(2.0)),
    );
    table.add(
        Row::new(
            "three-way merge of the same, from nothing",
            Unit::Millis,
            fresh,
        )
        .against("`git merge-file`", git)
        .target(Target::AtMost(3.0)),
    );
    Ok(())
}

/// A file, and the same with changed, added and removed lines spread over it.
fn texts() -> (String, String) {
    let (mut base, mut proposed) = (String::new(), String::new());
    for n in 0..LINES {
        let line = match n % 7 {
            0 => "}\n".to_owned(),
            1 => "\n".to_owned(),
            _ => format!("    let value_{n} = compute(&state, {}, \"x\");\n", n * 31),
        };
        base.push_str(&line);
        match (n % 100 == 50, n / 100 % 3) {
            (false, _) => proposed.push_str(&line),
            (true, 0) => {
                // Writing to a string cannot fail.
                let _ = writeln!(proposed, "    changed_{n}();");
            }
            (true, 1) => {
                let _ = write!(proposed, "{line}    added_{n}();\n    more();\n");
            }
            (true, _) => {}
        }
    }
    (base, proposed)
}

/// A character at a place that chance picks, always the same ones, in no line that a hunk touches.
fn type_somewhere(text: &mut String, seed: &mut u64) {
    loop {
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let at = (*seed >> 33) as usize % text.len();
        let line = text.as_bytes()[..at]
            .iter()
            .filter(|&&b| b == b'\n')
            .count();
        if !(48..53).contains(&(line % 100)) {
            text.insert(at, 'x');
            return;
        }
    }
}

/// What a merge takes git, the writing of the files not counted.
fn merge_file(dir: &Path, texts: [&str; 3]) -> Result<std::time::Duration> {
    for (name, text) in ["ours", "base", "theirs"].into_iter().zip(texts) {
        fs::write(dir.join(name), text)?;
    }
    let mut command = Command::new("git");
    command
        .current_dir(dir)
        .args(["merge-file", "-p", "ours", "base", "theirs"]);
    Ok(timed(|| process::output(&mut command))?.1)
}
