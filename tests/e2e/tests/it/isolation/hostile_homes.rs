//! Sessions of the real Claude Code that make their home hostile: forked, retried, cancelled, and met again by a daemon
//! that was killed.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;

use claudecluster_e2e::{
    World,
    live::{Live, Meet},
    traps::{CANARY, DEEP, Outside},
};
use claudecluster_model::Server;
use serde_json::{Value, json};

/// What a session does to its home; each name is a task.
const HARM: &str = r#"
home=$(dirname "${CLAUDE_CONFIG_DIR:?}")
each() { for f in "$CLAUDE_CONFIG_DIR"/projects/*/*.jsonl; do rm -rf "$f"; "$@" "$f"; done; }
harm() {
  case $1 in
    link) each ln -s OUTSIDE/canary ;;
    zero) each ln -s /dev/zero ;;
    pipe) each mkfifo; rm -f "$CLAUDE_CONFIG_DIR/.credentials.json"; mkfifo "$CLAUDE_CONFIG_DIR/.credentials.json" ;;
    sparse) each truncate -s 60G ;;
    folder) each mkdir ;;
    elsewhere) rm -rf "$CLAUDE_CONFIG_DIR/projects"; ln -s OUTSIDE "$CLAUDE_CONFIG_DIR/projects" ;;
    deep) deep "$CLAUDE_CONFIG_DIR/deep" 15 ;;
    closed) mkdir -p "$home/a/b"; echo x > "$home/a/b/c"; chattr +i "$home/a/b/c" 2>/dev/null; chmod 000 "$home/a/b" "$home/a" "$home"/*/* ;;
  esac
}
"#;

/// Those that a session survives.
const KINDS: [&str; 7] = [
    "link",
    "zero",
    "sparse",
    "folder",
    "elsewhere",
    "deep",
    "closed",
];

fn script(last: &str) -> String {
    format!(
        r#"
rules:
  - name: work
    when: {{userMatches: 'Work on one task of a goal: .* \((?<id>\w+)\)'}}
    turns:
      - - run: |
            . ./harm.sh; echo new > {{{{id}}}}.txt; harm {{{{id}}}}; {last}
      - - structured: {{status: done, summary: Done.}}
  - name: repair
    when: {{user: Work on a repair}}
    turns:
      - - run: 'echo better > better.txt'
      - - structured: {{status: done, summary: Repaired.}}
"#
    )
}

fn world(last: &str, silence: &str) -> (World, Outside, Server) {
    let mut world = World::new(&[("a.txt", "a\n")]);
    // A session that waits for its own pipe is its own affair.
    let settings = format!(
        "timeouts.exit = \"2s\"
timeouts.silence = \"{silence}\"
retries = 0
"
    );
    world.with_claude_and(&settings);
    let outside = Outside::beside(&world);
    let harm = HARM.replace("OUTSIDE", outside.folder.to_str().unwrap());
    world.write("harm.sh", format!("{DEEP}\n{harm}"));
    let model = world.model(&script(last));
    (world, outside, model)
}

fn plan(kinds: &[&str]) -> Value {
    let task =
        |id: &&str| json!({"id": id, "title": id, "instructions": "Do it", "agent": "claude-code"});
    json!({"goal": "test", "tasks": kinds.iter().map(task).collect::<Vec<_>>()})
}

/// The homes that are left in the state folder.
fn homes(world: &World) -> Vec<String> {
    let goals = world.home().join("goals");
    let found = std::process::Command::new("find")
        .arg(goals)
        .args(["-maxdepth", "5", "-name", "home"])
        .output()
        .unwrap();
    let found = String::from_utf8(found.stdout).unwrap();
    found.lines().map(str::to_owned).collect()
}

#[test]
fn a_hostile_home_is_forked_retried_and_removed_like_any_other() {
    let (world, outside, model) = world("true", "10s");
    let said = world.run_plan(&plan(&KINDS), &[]);
    let text = format!("{said:#?}");
    assert!(said.outcome()["state"].is_string(), "{text}");
    assert!(!text.contains("panicked"), "{text}");
    outside.assert_untouched(&text);
    assert_eq!(homes(&world), [""; 0], "{text}");
    // A reason sends the work back to the session that did it; a session that is lost is started anew.
    world.run(&["reject", "g1", "--reason", "better, please"]);
    let watched = world.run(&["watch", "g1", "--json"]);
    assert!(!format!("{watched:?}").contains("panicked"), "{watched:#?}");
    world.run(&["retry", "g1"]);
    world.run(&["watch", "g1", "--json"]);
    world.run(&["accept", "g1"]);
    outside.assert_untouched(&text);
    let turns = model.turns();
    let repaired = |rule: &Option<String>| rule.as_deref() == Some("repair");
    assert!(
        turns.iter().any(|turn| repaired(&turn.rule)),
        "{watched:#?}"
    );
    for turn in turns {
        assert!(!String::from_utf8_lossy(&turn.body).contains(CANARY));
    }
    assert_eq!(homes(&world), [""; 0], "{text}");
    outside.assert_well(&world, "at the end");
}

#[test]
fn a_hostile_home_outlives_neither_a_killed_daemon_nor_a_cancel() {
    let meet = Meet::new();
    let (world, outside, _model) = world(&meet.script("planted"), "5m");
    let kinds = ["pipe", "closed", "deep", "elsewhere"];
    let mut live = Live::plan(&world, &plan(&kinds), &[]);
    live.event("attemptStarted");
    let guests = kinds.map(|_| meet.next());
    world.kill_daemon();
    drop(live);
    for guest in guests {
        guest.ended();
    }
    // Whoever starts next finds it all, and the goal goes on.
    world.run(&["daemon", "start"]).expect(0);
    let guests = kinds.map(|_| meet.next());
    world.run(&["cancel", "g1"]).expect(0);
    for guest in guests {
        guest.ended();
    }
    world.run(&["watch", "g1", "--json"]);
    outside.assert_untouched("after the cancel");
    assert_eq!(homes(&world), [""; 0]);
    // And what a goal leaves while the daemon stops, the next start removes.
    let live = Live::plan(&world, &plan(&kinds), &[]);
    let guests = kinds.map(|_| meet.next());
    world.run(&["daemon", "stop", "--force"]).expect(0);
    for guest in guests {
        guest.ended();
    }
    drop(live);
    world.run(&["daemon", "start"]).expect(0);
    world.run(&["cancel", "g2"]);
    world.run(&["watch", "g2", "--json"]);
    assert_eq!(homes(&world), [""; 0]);
    outside.assert_well(&world, "at the end");
    assert!(fs::metadata(world.home()).unwrap().is_dir());
}
