//! What an editor notices: how fast the server is there, and how fast it answers while others work.

use std::{process::Stdio, time::Duration};

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

/// Sessions that stream while an editor asks.
const STREAMS: usize = 16;

/// Twenty words a second from each for as long as it takes.
fn stream() -> String {
    let text = "word ".repeat(20_000);
    format!(
        "rules:\n  - {{name: stream, chunk: 5, pause: 20ms, answer: [{{text: '{}'}}]}}\n",
        text.trim()
    )
}

pub(crate) fn initialize(bench: &Bench, table: &mut Table) -> Result {
    let root = repo::repository(&bench.dir, Shape::SMALL)?;
    let world = World::new(bench, &root, "rules: []")?;
    let (mut warm, mut cold) = (Samples::default(), Samples::default());
    for _ in 0..bench.rounds * bench.often() {
        let (editor, time) = Editor::start(&world)?;
        cold.time(time);
        editor.end()?;
        let (editor, time) = Editor::start(&world)?;
        warm.time(time);
        editor.end()?;
        world.stop()?;
    }
    let idle = Samples::one(world.daemon()?.rss()?);
    table.add(Row::new("`initialize`, daemon up", Unit::Millis, warm).target(Target::AtMost(50.0)));
    table.add(Row::new("`initialize`, cold", Unit::Millis, cold).target(Target::AtMost(200.0)));
    table.add(Row::new("daemon idle, RSS", Unit::Megabytes, idle).target(Target::AtMost(40.0)));
    Ok(())
}

pub(crate) fn latency(bench: &Bench, table: &mut Table) -> Result {
    let root = repo::repository(&bench.dir, Shape::SMALL)?;
    let world = World::new(bench, &root, &stream())?;
    let daemon = world.daemon()?;
    let (mut editor, _) = Editor::start(&world)?;
    let path = root.join(Shape::SMALL.path(0, 0));
    let uri = format!("file://{}", path.display());
    let text = std::fs::read_to_string(&path)?;
    let document =
        json!({"textDocument": {"uri": uri, "languageId": "text", "version": 1, "text": text}});
    editor.notify("textDocument/didOpen", &document)?;
    let count = if bench.quick { 200 } else { 2_000 };
    let mut version = 1;
    let quiet = ask(&mut editor, &uri, &mut version, count)?;

    let tasks: Vec<Value> = (0..STREAMS)
        .map(|n| json!({"id": format!("t{n}"), "instructions": "Talk.", "agent": "native"}))
        .collect();
    let args = world.plan(&tasks)?;
    let mut run = world
        .command(&args.each_ref().map(String::as_str))
        .stdout(Stdio::null())
        .spawn()?;
    let all_stream = |records: &[claudecluster_model::Recorded]| records.len() >= STREAMS;
    let started = world.model.wait_until(Duration::from_secs(60), all_stream);
    let busy = ask(&mut editor, &uri, &mut version, count)?;
    let streaming = crate::process::descendants(daemon.pid)
        .iter()
        .filter(|process| process.is("agent-native"))
        .count();
    editor.end()?;
    let rss = daemon.rss()?;
    world.run(&["cancel", "g1"])?;
    run.wait()?;
    if !started || streaming != STREAMS {
        return Err(format!("{streaming} sessions were streaming, not {STREAMS}").into());
    }
    table.add(
        Row::new(
            format!("request p99, {STREAMS} `native` streams"),
            Unit::Millis,
            busy,
        )
        .by(Of::P99)
        .against("nothing running", quiet)
        .target(Target::AtMost(5.0)),
    );
    let loaded = format!("daemon with {STREAMS} `native` streams, RSS");
    table.add(Row::new(loaded, Unit::Megabytes, Samples::one(rss)));
    Ok(())
}

/// Asks what editors ask while somebody types.
fn ask(editor: &mut Editor, uri: &str, version: &mut i32, count: usize) -> Result<Samples> {
    let mut times = Samples::default();
    let place = json!({"line": 2, "character": 0});
    let action = json!({
        "textDocument": {"uri": uri},
        "range": {"start": place, "end": place},
        "context": {"diagnostics": []},
    });
    let lens = json!({"textDocument": {"uri": uri}});
    let list = json!({"command": "claudecluster.goal.list", "arguments": []});
    for n in 0..count {
        *version += 1;
        let change = json!({"range": {"start": place, "end": place}, "text": "x"});
        let typed = json!({
            "textDocument": {"uri": uri, "version": version},
            "contentChanges": [change],
        });
        editor.notify("textDocument/didChange", &typed)?;
        let (method, params) = match n % 3 {
            0 => ("textDocument/codeAction", &action),
            1 => ("textDocument/codeLens", &lens),
            _ => ("workspace/executeCommand", &list),
        };
        let (_, time) = timed(|| editor.request(method, params))?;
        times.time(time);
        // Faster than anybody types, and not so fast that nothing else gets to run.
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(times)
}
