//! What a session costs in memory.

use std::{process::Stdio, time::Duration};

use serde_json::{Value, json};

use crate::{
    options::Bench,
    output::Result,
    process::{Process, descendants},
    repo::{self, Shape},
    stats::Samples,
    table::{Row, Table, Target, Unit},
    world::World,
};

/// `native` sessions at once.
const SESSIONS: usize = 64;

/// Every session waits in the middle of its work: it has read a file and asks what is next.
const SCRIPT: &str = "
rules:
  - {name: begin, when: {turn: 0}, answer: [{read: part-00/file-0001.txt}]}
  - {name: held, hold: done, answer: [{structured: {status: done, summary: Nothing.}}]}
";

pub(crate) fn measure(bench: &Bench, table: &mut Table) -> Result {
    let native = held(bench, "native", SESSIONS, |process| {
        process.is("agent-native")
    })?;
    let claude = held(bench, "claude-code", 2, |process| {
        let program = process.argv.first().map(String::as_str);
        program == bench.claude.to_str()
    })?;
    table.add(
        Row::new(
            format!("`native` session, one of {SESSIONS}, RSS"),
            Unit::Megabytes,
            native.rss,
        )
        .against("a Claude Code session", claude.rss)
        .target(Target::AtMost(12.0)),
    );
    table.add(
        Row::new(
            "the same with its sandbox's processes, PSS",
            Unit::Megabytes,
            native.whole,
        )
        .against("a Claude Code session", claude.whole),
    );
    table.add(Row::new(
        format!("daemon with {SESSIONS} sessions, RSS"),
        Unit::Megabytes,
        native.daemon,
    ));
    Ok(())
}

/// What was measured while sessions were held.
struct Held {
    /// Of the agents' processes.
    rss: Samples,
    /// Of everything below the daemon, divided by the number of sessions.
    whole: Samples,
    daemon: Samples,
}

fn held(
    bench: &Bench,
    agent: &str,
    count: usize,
    is_agent: impl Fn(&Process) -> bool,
) -> Result<Held> {
    let root = repo::repository(&bench.dir, Shape::SMALL)?;
    let world = World::new(bench, &root, SCRIPT)?;
    let daemon = world.daemon()?;
    let tasks: Vec<Value> = (0..count)
        .map(|n| json!({"id": format!("t{n}"), "instructions": "Wait.", "agent": agent}))
        .collect();
    let args = world.plan(&tasks)?;
    let mut run = world
        .command(&args.each_ref().map(String::as_str))
        .stdout(Stdio::null())
        .spawn()?;
    let all_wait = world.model.wait_until(Duration::from_secs(120), |records| {
        let held = |r: &&claudecluster_model::Recorded| r.rule.as_deref() == Some("held");
        records.iter().filter(held).count() >= count
    });
    let processes = descendants(daemon.pid);
    let mut rss = Samples::default();
    for process in processes.iter().filter(|process| is_agent(process)) {
        rss.push(process.rss()?);
    }
    let whole: Result<Vec<f64>> = processes.iter().map(Process::pss).collect();
    let held = Held {
        whole: Samples::one(whole?.iter().sum::<f64>() / count as f64),
        daemon: Samples::one(daemon.rss()?),
        rss,
    };
    world.model.release("done");
    let status = run.wait()?;
    if !all_wait || held.rss.len() != count || !status.success() {
        let found = held.rss.len();
        return Err(format!("{found} of {count} sessions were there; the goal: {status}").into());
    }
    Ok(held)
}
