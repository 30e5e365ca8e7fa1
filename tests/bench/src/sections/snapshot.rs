//! What a goal starts from, against `git status`.

use std::fs;

use serde_json::{Value, json};

use crate::{
    options::Bench,
    output::Result,
    process,
    repo::{self, git_command},
    stats::{Samples, timed},
    table::{Row, Table, Target, Unit},
    world::World,
};

pub(crate) fn measure(bench: &Bench, table: &mut Table) -> Result {
    let root = repo::repository(&bench.dir, bench.large)?;
    for n in 0..10 {
        let path = root.join(bench.large.path(n % bench.large.folders, n * 3));
        let text = fs::read_to_string(&path)?;
        fs::write(&path, format!("{text}dirty\n"))?;
    }
    for n in 0..3 {
        fs::write(root.join(format!("untracked-{n}.txt")), "new\n")?;
    }
    let world = World::new(bench, &root, "rules: []")?;
    world.daemon()?;
    let (mut ours, mut status) = (Samples::default(), Samples::default());
    for _ in 0..bench.rounds * bench.often() / 2 + 1 {
        let (_, time) =
            timed(|| process::output(&mut git_command(&root, &["status", "--porcelain"])))?;
        status.time(time);
        let events = world.run_plan(&[json!({"id": "t", "run": "true"})])?;
        let at = |kind: &str| {
            let event = events.iter().find(|event| event["type"] == kind);
            event
                .and_then(|event: &Value| event["at"].as_f64())
                .ok_or_else(|| format!("no {kind} among {events:?}"))
        };
        // Both are times of the journal: the difference holds one durable write beside the snapshot.
        ours.push(at("snapshotTaken")? - at("goalSubmitted")?);
    }
    drop(world);
    repo::reset(&root)?;
    table.add(
        Row::new(format!("snapshot, {}", bench.large), Unit::Millis, ours)
            .against("`git status`", status)
            .target(Target::Ratio(1.3)),
    );
    Ok(())
}
