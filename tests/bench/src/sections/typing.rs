//! What somebody notices who types in a file with much to review.

use std::{fmt::Write, fs, time::Duration};

use serde_json::{Value, json};

use crate::{
    lsp::Editor,
    options::Bench,
    output::Result,
    repo::{self, Shape},
    stats::{Samples, timed},
    table::{Row, Table, Target, Unit, Value as Of},
    world::World,
};

const LINES: usize = 10_000;
const HUNKS: usize = 100;
/// Has the daemon log how long each message kept the one behind it waiting.
const LOG: &str = "info,claudecluster_lsp::transport=trace";
/// Faster than anybody types, and not so fast that nothing else gets to run.
const PAUSE: Duration = Duration::from_millis(5);

pub(crate) fn measure(bench: &Bench, table: &mut Table) -> Result {
    let root = repo::repository(&bench.dir, Shape::SMALL)?;
    let world = World::logging(bench, &root, "rules: []", LOG)?;
    let file = root.join("typing.txt");
    let text = (0..LINES).fold(String::new(), |mut text, n| {
        let _ = writeln!(text, "line {n} of a file that somebody types in");
        text
    });
    fs::write(&file, &text)?;
    // One line in a hundred, not the first, where the typing is.
    let step = LINES / HUNKS;
    let script = format!("sed -i '{}~{step}s/somebody/nobody/' typing.txt", step / 2);
    let task = json!({"id": "edit", "title": "Edit", "run": script});
    let args = world.plan(&[task])?;
    let (mut editor, _) = Editor::start(&world)?;
    let uri = format!("file://{}", file.display());
    let document =
        json!({"textDocument": {"uri": uri, "languageId": "text", "version": 1, "text": text}});
    editor.notify("textDocument/didOpen", &document)?;
    let count = if bench.quick { 200 } else { 2_000 };
    let mut version = 1;
    let quiet = keys(&mut editor, &uri, &mut version, count)?;
    world.run(&args.each_ref().map(String::as_str))?;
    let told = pending(&mut editor, &uri, &mut version, count / 10)?;
    let busy = keys(&mut editor, &uri, &mut version, count)?;
    editor.end()?;
    fs::remove_file(&file)?;
    let handled = handled(&world.log()?, count, count / 10)?;
    table.add(
        Row::new(
            format!("`didChange` handled p99, {HUNKS} pending hunks"),
            Unit::Millis,
            handled,
        )
        .by(Of::P99)
        .against("round trip, nothing pending", quiet.clone())
        .target(Target::AtMost(1.0)),
    );
    table.add(
        Row::new(
            format!("`didChange` and a reply, {HUNKS} pending hunks"),
            Unit::Millis,
            busy,
        )
        .against("nothing pending", quiet),
    );
    let row = format!("`claudecluster/pending` after a key, {HUNKS} hunks");
    table.add(Row::new(row, Unit::Millis, told).by(Of::P99));
    Ok(())
}

fn key(editor: &mut Editor, uri: &str, version: &mut i64) -> Result {
    *version += 1;
    let place = json!({"line": 2, "character": 0});
    let typed = json!({
        "textDocument": {"uri": uri, "version": version},
        "contentChanges": [{"range": {"start": place, "end": place}, "text": "x"}],
    });
    editor.notify("textDocument/didChange", &typed)
}

/// How long a key takes, with a request behind it whose answer needs no work.
fn keys(editor: &mut Editor, uri: &str, version: &mut i64, count: usize) -> Result<Samples> {
    let nothing = json!({"textDocument": {"uri": "file:///not/open"}});
    let mut times = Samples::default();
    for _ in 0..count {
        let (_, time) = timed(|| -> Result<Value> {
            key(editor, uri, version)?;
            editor.request("textDocument/codeLens", &nothing)
        })?;
        times.time(time);
        std::thread::sleep(PAUSE);
    }
    Ok(times)
}

/// How long after a key its hunks are told.
fn pending(editor: &mut Editor, uri: &str, version: &mut i64, count: usize) -> Result<Samples> {
    let mut times = Samples::default();
    for _ in 0..count {
        let (hunks, time) = timed(|| -> Result<usize> {
            key(editor, uri, version)?;
            loop {
                let told = editor.told("claudecluster/pending")?;
                if told["version"] == *version {
                    return Ok(told["hunks"].as_array().map_or(0, Vec::len));
                }
            }
        })?;
        if hunks != HUNKS {
            return Err(format!("{hunks} hunks are pending, not {HUNKS}").into());
        }
        times.time(time);
        std::thread::sleep(PAUSE);
    }
    Ok(times)
}

/// How long the daemon was busy with each key of [`keys`] while hunks were pending, as it says itself: from
/// when the key's bytes had been read from its socket to when its text was up to date, all that follows from
/// it had been set going, and the next message could be looked at. What comes before, the pipe and the
/// daemon waking up, is in the round trip alone.
fn handled(log: &str, keys: usize, told: usize) -> Result<Samples> {
    let keyed = log
        .lines()
        .filter(|line| line.contains("method=\"textDocument/didChange\""))
        .filter_map(|line| line.rsplit_once("nanos=")?.1.parse::<u64>().ok());
    let nanos: Vec<_> = keyed.collect();
    if nanos.len() != 2 * keys + told {
        let found = nanos.len();
        return Err(format!(
            "the daemon has logged {found} keys, not {}",
            2 * keys + told
        )
        .into());
    }
    let mut times = Samples::default();
    for &nanos in &nanos[keys + told..] {
        times.time(Duration::from_nanos(nanos));
    }
    Ok(times)
}
