//! Six independent tasks through real Claude Code, against worktrees and `xargs`.

use std::{fs, path::Path};

use serde_json::{Value, json};

use crate::{
    options::Bench,
    output::Result,
    process,
    repo::{self, Shape, git},
    stats::{Samples, timed},
    table::{Row, Table, Target, Unit},
    world::World,
};

const TASKS: u32 = 6;

/// The same work, whether or not a structured report is asked for at the end.
const SCRIPT: &str = r"
rules:
  - name: ours
    when: {userMatches: 'Change unit (?<n>\d)', tools: [StructuredOutput]}
    turns:
      - - read: part-00/file-000{{n}}.txt
      - - edit: {path: 'part-00/file-000{{n}}.txt', old: 'line 3', new: 'line three'}
      - - structured: {status: done, summary: Changed.}
  - name: theirs
    when: {userMatches: 'Change unit (?<n>\d)'}
    turns:
      - - read: part-00/file-000{{n}}.txt
      - - edit: {path: 'part-00/file-000{{n}}.txt', old: 'line 3', new: 'line three'}
      - - text: Changed.
";

/// The fastest way by hand that works: worktrees that are made at the same time fail over each other's
/// half-written files, so they are made one after the other, and each session starts as soon as its own
/// is there. `setsid`, as in our sandboxes, because Linux shares out processors by session: six sessions
/// of ours would get six times what six in one get, as soon as anything else is running.
const BY_HAND: &str = r#"
for n in 0 1 2 3 4 5; do
  git worktree add -q --detach "$TREES/$n" && echo $n
done | xargs -P 6 -I{} sh -c '
  cd "$TREES/{}" && setsid -w "$CLAUDE" -p "Change unit {}" --permission-mode acceptEdits'
"#;

pub(crate) fn large(bench: &Bench, table: &mut Table) -> Result {
    compare(bench, table, bench.large, 0.5)
}

pub(crate) fn small(bench: &Bench, table: &mut Table) -> Result {
    compare(bench, table, Shape::SMALL, 1.1)
}

fn compare(bench: &Bench, table: &mut Table, shape: Shape, at_most: f64) -> Result {
    let root = repo::repository(&bench.dir, shape)?;
    let world = World::new(bench, &root, SCRIPT)?;
    world.daemon()?;
    let tasks: Vec<Value> = (0..TASKS)
        .map(|n| {
            let instructions = format!("Change unit {n}.");
            json!({"id": format!("t{n}"), "instructions": instructions, "agent": "claude-code"})
        })
        .collect();
    let (mut ours, mut theirs) = (Samples::default(), Samples::default());
    // The first round finds the program's file and its options; it does not count.
    for round in 0..=bench.rounds {
        process::settle()?;
        let (events, our_time) = timed(|| world.run_plan(&tasks))?;
        check_ours(&events)?;
        let trees = world.path("trees");
        process::settle()?;
        let (_, their_time) = timed(|| by_hand(bench, &world, &trees))?;
        check_theirs(&trees)?;
        fs::remove_dir_all(&trees)?;
        git(&root, &["worktree", "prune"])?;
        if round > 0 {
            ours.time(our_time);
            theirs.time(their_time);
        }
    }
    table.add(
        Row::new(
            format!("six Claude Code tasks, {shape}"),
            Unit::Millis,
            ours,
        )
        .against("worktrees and `claude -p` under `xargs -P 6`", theirs)
        .target(Target::Ratio(at_most)),
    );
    Ok(())
}

fn by_hand(bench: &Bench, world: &World, trees: &Path) -> Result {
    let config = world.path("claude-config");
    fs::create_dir_all(&config)?;
    fs::create_dir_all(trees)?;
    let said = process::output(
        world
            .program("sh")
            .args(["-c", BY_HAND])
            .env("TREES", trees)
            .env("CLAUDE", &bench.claude)
            .env("CLAUDE_CONFIG_DIR", config)
            // What our sessions get as well.
            .env("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1")
            .env("CLAUDE_CODE_DISABLE_AUTO_MEMORY", "1")
            .env("CLAUDE_CODE_DISABLE_BACKGROUND_TASKS", "1")
            .env("DISABLE_AUTOUPDATER", "1")
            .env("IS_SANDBOX", "1"),
    )?;
    match said.matches("Changed.").count() {
        6 => Ok(()),
        _ => Err(format!("not all six sessions did their work:\n{said}").into()),
    }
}

fn check_ours(events: &[Value]) -> Result {
    let outcome = events.last().cloned().unwrap_or_default();
    if outcome["state"] == "proposed" && outcome["hunks"]["pending"] == TASKS {
        return Ok(());
    }
    Err(format!("not all six sessions did their work: {outcome}").into())
}

fn check_theirs(trees: &Path) -> Result {
    for n in 0..TASKS {
        let file = trees.join(n.to_string()).join(Shape::SMALL.path(0, n));
        if !fs::read_to_string(&file)?.contains("line three") {
            return Err(format!("{} is not changed", file.display()).into());
        }
    }
    Ok(())
}
