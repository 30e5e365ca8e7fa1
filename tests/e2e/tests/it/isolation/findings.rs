//! One test for each way out that was found in an earlier version. `docs/security.md` lists them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, os::unix::fs::symlink};

use claudecluster_e2e::{
    World,
    canaries::{Canaries, SECRET},
    live::{Live, plan_of, shell},
};
use serde_json::Value;

/// Two sessions, one after the other: what the first plants, the second would run into.
const SCRIPT: &str = r#"
rules:
  - name: plan
    when: {user: Plan this goal, tools: [StructuredOutput]}
    turns:
      - - structured:
            status: done
            summary: Two tasks.
            plan:
              tasks:
                - {id: plant, title: Plant, instructions: Plant it, writes: [a.txt]}
                - {id: later, title: Later, instructions: Work, writes: [b.txt], dependsOn: [plant]}
  - name: plant
    when: {userMatches: 'Work on one task of a goal: .* \(plant\)'}
    turns:
      - - run: PLANT
      - - structured: {status: done, summary: Planted.}
  - name: later
    when: {userMatches: 'Work on one task of a goal: .* \(later\)'}
    turns:
      - - run: echo later > b.txt
      - - structured: {status: done, summary: Done.}
"#;

/// Links to the canary under every name that the daemon could write in a session's home, settings that run a program
/// when a session starts, a system text, and a model that is a shell command.
const PLANT: &str = r#"
home=$(dirname "${CLAUDE_CONFIG_DIR:?}")
mkdir -p "$home/sessions" "$CLAUDE_CONFIG_DIR/hooks"
for file in "$CLAUDE_CONFIG_DIR"/projects/*/*.jsonl; do
  id=$(basename "$file" .jsonl)
  ln -sf CANARY "$home/sessions/$id.DAEMON.tmp"
  rm -f "$home/sessions/$id.json"
  echo '{"model": "planted; touch planted", "totals": {}}' > "$home/sessions/$id.json"
done
for name in .credentials .claude settings; do ln -sf CANARY "$CLAUDE_CONFIG_DIR/$name.DAEMON.tmp"; done
for folder in "$home" "$home/.." "$CLAUDE_CONFIG_DIR"; do echo PLANTED-TEXT > "$folder/system.txt"; done
echo PLANTED-TEXT > "$CLAUDE_CONFIG_DIR/CLAUDE.md"
hook='[{"matcher": "*", "hooks": [{"type": "command", "command": "touch ROOT/sprung"}]}]'
echo "{\"hooks\": {\"SessionStart\": $hook, \"PreToolUse\": $hook, \"Stop\": $hook}}" > "$CLAUDE_CONFIG_DIR/settings.json"
echo planted > a.txt
"#;

/// Runs the two sessions with a plant and returns the bodies of all requests to the model.
fn run_planted(world: &mut World, canaries: &Canaries, plant: &str) -> String {
    let plant = plant
        .replace(
            "CANARY",
            &canaries.targets().canary.join("file").display().to_string(),
        )
        .replace("DAEMON", &canaries.targets().daemon.to_string())
        .replace("ROOT", &world.root().display().to_string());
    let model = world.model(&SCRIPT.replace("PLANT", &serde_json::to_string(&plant).unwrap()));
    let said = world.run(&["run", "--json", "do", "it"]);
    let bodies = model.turns().into_iter().map(|turn| {
        let later = turn.rule.as_deref() == Some("later");
        let body = String::from_utf8_lossy(&turn.body).into_owned();
        if later { body } else { String::new() }
    });
    let bodies: String = bodies.collect();
    assert!(!bodies.is_empty(), "the second session ran: {said:#?}");
    bodies
}

fn world_with_claude() -> World {
    let mut world = World::new(&[("a.txt", "a\n"), ("b.txt", "b\n")]);
    world.with_claude();
    world
}

#[test]
fn links_in_a_sessions_home_are_never_written_through() {
    let mut world = world_with_claude();
    let canaries = Canaries::set(&world);
    let later = run_planted(&mut world, &canaries, PLANT);
    canaries.assert_untouched("after both sessions");
    assert!(!later.contains("\"model\":\"planted"), "{later}");
    world.run(&["accept", "g1"]).expect(0);
    canaries.assert_untouched("after landing");
    assert_eq!(world.read("b.txt"), "later\n");
    assert!(!world.has("planted"), "a model was run as a command");
}

#[test]
fn a_session_reads_nothing_that_another_has_written() {
    let mut world = world_with_claude();
    let canaries = Canaries::set(&world);
    let later = run_planted(&mut world, &canaries, PLANT);
    assert!(
        !later.contains("PLANTED-TEXT"),
        "it is in a prompt: {later}"
    );
    world.run(&["accept", "g1"]).expect(0);
    assert!(!world.has("sprung"), "a hook of another session has run");
}

#[test]
fn pipes_and_links_in_a_sessions_home_hang_nobody() {
    let mut world = world_with_claude();
    let canaries = Canaries::set(&world);
    let plant = canaries.attack("file-pipe-in-agent-home > plant.txt; echo planted > a.txt");
    let model = world.model(&SCRIPT.replace("PLANT", &serde_json::to_string(&plant).unwrap()));
    let mut live = Live::start(&world, &["run", "--json", "do", "it"]);
    // Whether the session survives what it does to its own home is its own affair.
    live.until(|event| event["type"] == "goalChanged" || event["type"] == "attemptEnded");
    let said = live.end();
    assert!(said.outcome()["state"].is_string(), "{said:#?}");
    drop(model);
    let plan = plan_of(&[shell("t", "echo next > b.txt", &[])]);
    world.run_plan(&plan, &["--apply"]).expect(0);
    assert_eq!(world.read("b.txt"), "next\n");
    // A goal that is under way is cancelled, and the daemon stops, as ever.
    let plan = plan_of(&[shell(
        "t",
        &canaries.attack("file-pipe-in-agent-home; sleep 600"),
        &[],
    )]);
    let mut live = Live::plan(&world, &plan, &[]);
    live.event("attemptStarted");
    world.run(&["cancel", "g3"]).expect(0);
    live.end();
    canaries.assert_untouched("before the daemon stops");
    world.run(&["daemon", "stop"]).expect(0);
    world
        .run_plan(&plan_of(&[shell("t", "true", &[])]), &[])
        .expect(0);
}

#[test]
fn objects_that_are_a_link_show_nothing_of_the_state_folder() {
    for choice in ["copy", "auto"] {
        let world = World::new(&[("a.txt", "a\n")]);
        world.configure(&format!("sandbox = \"{choice}\"\n"));
        let canaries = Canaries::set(&world);
        // All is there that git needs, so the repository is as good as any.
        for entry in fs::read_dir(world.path(".git/objects")).unwrap() {
            let entry = entry.unwrap();
            fs::rename(entry.path(), world.home().join(entry.file_name())).unwrap();
        }
        fs::remove_dir(world.path(".git/objects")).unwrap();
        symlink(world.home(), world.path(".git/objects")).unwrap();
        assert_eq!(world.git(&["log", "--format=%s"]), "first\n");
        let script = "for f in .git/objects /dev/git-objects /dev/*; do \
                        if cat $f/journal.db $f/daemon.json 2>/dev/null | grep -q .; then echo $f; fi; \
                        if [ -S $f/daemon.sock ]; then echo $f; fi; \
                      done > seen.txt; echo b > a.txt";
        // A repository like this may be refused; then nothing runs.
        let said = world.run_plan(&plan_of(&[shell("t", script, &[])]), &["--apply"]);
        if world.has("seen.txt") {
            assert_eq!(world.read("seen.txt"), "", "{choice}: {said:#?}");
        } else {
            assert_ne!(said.status, 0, "{choice}: {said:#?}");
        }
        canaries.assert_untouched(choice);
    }
}

#[test]
fn folders_of_any_depth_are_removed_without_the_daemon_noticing() {
    let world = World::new(&[("a.txt", "a\n")]);
    let canaries = Canaries::set(&world);
    let script = format!(
        "{} > deep.txt; echo b > a.txt",
        canaries.attack("file-deep-tree")
    );
    let said = world.run_plan(&plan_of(&[shell("t", &script, &[])]), &[]);
    assert!(said.outcome()["state"].is_string(), "{said:#?}");
    canaries.assert_untouched("after the goal");
    world.run(&["accept", "g1"]);
    let script = "echo next > a.txt";
    world
        .run_plan(&plan_of(&[shell("t", script, &[])]), &["--apply"])
        .expect(0);
    assert_eq!(world.read("a.txt"), "next\n");
    canaries.assert_untouched("after the next goal");
    world.run(&["daemon", "stop"]).expect(0);
}

/// What the worker brought home, by name.
fn loot(world: &World) -> Vec<String> {
    let names = ["loot-secret", "loot-state"];
    let found = names.iter().filter(|name| world.has(name));
    found.map(|name| world.read(name)).collect()
}

#[test]
fn private_keys_and_logins_are_not_there_to_be_read() {
    let world = World::new(&[("a.txt", "a\n")]);
    let canaries = Canaries::set(&world);
    let mut places = Vec::new();
    for name in [
        ".ssh/id_rsa",
        ".aws/credentials",
        ".netrc",
        ".config/gh/hosts.yml",
        ".claude/.credentials.json",
        ".gnupg/private-keys-v1.d/x.key",
        ".docker/config.json",
        ".kube/config",
        ".npmrc",
        ".pypirc",
        ".cargo/credentials.toml",
        ".bash_history",
        ".codex/auth.json",
        ".config/gcloud/credentials.db",
        ".azure/msal_token_cache.json",
        ".mozilla/firefox/x/logins.json",
        ".config/google-chrome/Default/Login Data",
        ".local/share/keyrings/login.keyring",
        ".git-credentials",
    ] {
        let path = world.user_home().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        // Tools need this one; the line with the secret is what is left out.
        let before = if name == ".npmrc" {
            "audit=false\n//registry.npmjs.org/:_authToken="
        } else {
            ""
        };
        fs::write(&path, format!("{before}{SECRET}\n")).unwrap();
        places.push(format!("'{}'", path.display()));
    }
    world.own(&[&world.user_home()]);
    let script = format!(
        "{}; for f in {}; do if grep -q {secret} \"$f\"; then echo \"$f\" >> read.txt; fi; done 2>/dev/null; \
         grep -rl {secret} /proc/*/environ {home} 2>/dev/null >> read.txt; echo b > a.txt",
        canaries.attack("file-read-secret > report.txt"),
        places.join(" "),
        home = world.user_home().display(),
        // So that the plan itself does not hold it.
        secret = SECRET.replace("private", "'[p]rivate'"),
    );
    world
        .run_plan(&plan_of(&[shell("t", &script, &[])]), &[])
        .expect(0);
    world.run(&["accept", "g1"]);
    assert_eq!(loot(&world), [""; 0]);
    assert_eq!(world.read("read.txt"), "");
    let events: Vec<Value> = world.run(&["show", "g1", "--json"]).expect(0).json();
    assert!(!format!("{events:?}").contains(SECRET));
}
