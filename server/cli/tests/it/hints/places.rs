//! The places that name commands: each test has them printed, and runs what they name.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::Stdio,
};

use serde_json::{Value, json};

use super::{
    commands::{commands_in, shape},
    world::{Printed, World},
};

fn task(id: &str, script: &str) -> Value {
    json!({"id": id, "run": script, "retries": 0})
}

#[test]
fn a_waiting_plan() {
    let mut world = World::new();
    let tasks = json!([task("a", "echo a > a.txt")]);
    let waiting = |goal| world.run_tasks(goal, &tasks, &["--plan-only"]);
    let one = waiting("one");
    let unchanged = world.follow(&one, "plan {} --edit", &[3]);
    let started = world.follow(&unchanged, "approve {}", &[0]);
    world.follow(&started, "watch {}", &[0]);
    world.follow(&waiting("two"), "approve {}", &[0]);
    let cancelled = world.follow(&waiting("three"), "cancel {}", &[0]);
    world.follow(&cancelled, "diff {}", &[0]);

    // What was written is kept, under a name that the shell has to be told apart.
    let four = waiting("four");
    world.edit_with("echo nonsense > \"$1\"");
    let kept = world.follow(&four, "plan {} --edit", &[2]);
    let words = commands_in(&kept.text).pop().unwrap();
    fs::write(
        words.last().unwrap(),
        r#"{"tasks": [{"id": "b", "run": "true"}]}"#,
    )
    .unwrap();
    world.follow(&kept, "approve {} --plan {}", &[0]);
}

#[test]
fn a_paused_task() {
    let world = World::new();
    let mut paused = task("a", "echo a > a.txt");
    paused["pause"] = json!(true);
    let tasks = json!([paused]);
    let waiting = world.run_tasks("one", &tasks, &[]);
    let started = world.follow(&waiting, "approve {} --task {}", &[0]);
    world.follow(&started, "watch {}", &[0]);
    world.follow(&world.run_tasks("two", &tasks, &[]), "cancel {}", &[0]);
}

#[test]
fn a_proposal() {
    let world = World::new();
    let tasks = json!([task("a", "echo a > a.txt")]);
    let one = world.run_tasks("one", &tasks, &[]);
    world.follow(&one, "diff {}", &[0]);
    world.follow(&one, "accept {}", &[0]);
    let tasks = json!([task("a", "echo b > b.txt")]);
    world.follow(&world.run_tasks("two", &tasks, &[]), "reject {}", &[0]);
    let applied = world.run_tasks("three", &tasks, &["--apply"]);
    world.follow(&applied, "undo {}", &[0]);
}

#[test]
fn a_goal_that_is_open_already() {
    let world = World::new();
    let tasks = json!([task("a", "true")]);
    world.run_tasks("one", &tasks, &["--plan-only"]);
    let again = world.run_tasks("one", &tasks, &["--plan-only"]);
    world.follow(&again, "watch {}", &[3]);
}

#[test]
fn held_changes() {
    let world = World::new();
    let tasks = json!([task("a", "echo a > a.txt; echo b > 'b c.txt'")]);
    world.user.write("a.txt", "old\n");
    world.run_tasks("one", &tasks, &["--file", "a.txt"]);
    let accepted = world.run(&["accept", "g1"]);
    assert_eq!(accepted.status, 3, "{accepted:#?}");
    let diff = world.run(&["diff", "g1"]);
    world.follow(&accepted, "show {}", &[0]);
    world.follow(&accepted, "accept {} --file {}", &[0]);

    world.run_tasks(
        "two",
        &json!([task("a", "echo d > 'd e.txt'")]),
        &["--file", "a.txt"],
    );
    assert!(commands_in(&diff.text).len() == 1, "{diff:#?}");
    let diff = world.run(&["diff", "g2"]);
    world.follow(&diff, "accept {} --file {}", &[0]);
}

#[test]
fn conflicts() {
    let mut world = World::new();
    world.user.write("f.txt", "1\n2\n3\n4\n5\n6\n7\n8\n9\n");
    let change = |text: &str| {
        let lines = [2, 5, 8].map(|n| format!("s/^{n}$/{text} {n}/"));
        format!("sed -i '{}' f.txt", lines.join(";"))
    };
    let tasks = json!([task("a", &change("one")), task("b", &change("two"))]);
    let proposed = world.run_tasks("one", &tasks, &[]);
    let listed = world.follow(&proposed, "diff {} --conflicts", &[0]);
    let accepted = world.run(&["accept", "g1"]);
    world.follow(&accepted, "diff {} --conflicts", &[0]);
    world.follow(&world.run(&["diff", "g1"]), "diff {} --conflicts", &[0]);
    let hunks: Vec<String> = commands_in(&listed.text)
        .into_iter()
        .map(|words| words[1].clone())
        .collect();
    let [_, one, two] = &hunks[..] else {
        panic!("{listed:#?}");
    };

    // With nothing written, and with a marker left.
    let unchanged = world.run(&["resolve", one, "--edit"]);
    world.follow(&unchanged, "resolve {} --markers", &[0]);
    world.edit_with("echo more >> \"$1\"");
    let left = world.run(&["resolve", two, "--edit"]);
    let kept = commands_in(&left.text).pop().unwrap().pop().unwrap();
    fs::write(kept, "both\n").unwrap();
    world.follow(&left, "resolve {} --text {}", &[0]);

    let gone = world.run(&["resolve", two, "--edit"]);
    world.follow(&gone, "diff {} --conflicts", &[0]);
    world.follow(&listed, "resolve {} {}", &[0]);

    // Of what has been typed meanwhile, and named.
    world.user.write("g.txt", "1\n");
    world.run_tasks("two", &json!([task("a", "echo 2 > g.txt")]), &[]);
    world.user.write("g.txt", "3\n");
    let left = world.run(&["accept", "g2"]);
    let hunk = commands_in(&left.text).pop().unwrap()[1].clone();
    world.follow(&world.run(&["accept", &hunk]), "resolve {} {}", &[0]);
}

#[test]
fn hunks_that_do_not_conflict() {
    let world = World::new();
    world.run_tasks("one", &json!([task("a", "echo a > a.txt")]), &[]);
    let goal: Value = serde_json::from_str(&world.run(&["show", "g1", "--json"]).text).unwrap();
    let hunk = goal["changes"][0]["id"].as_str().unwrap();
    let clean = world.run(&["resolve", hunk, "--edit"]);
    world.follow(&clean, "accept {}", &[0]);
}

#[test]
fn an_undo_that_leaves_something() {
    let world = World::new();
    world.user.write("a.txt", "1\n");
    let applied = world.run_tasks("one", &json!([task("a", "echo 2 > a.txt")]), &["--apply"]);
    assert_eq!(applied.status, 0, "{applied:#?}");
    world.user.write("a.txt", "3\n");
    let undone = world.run(&["undo", "g1"]);
    assert_eq!(undone.status, 3, "{undone:#?}");
    world.follow(&undone, "show {}", &[0]);
}

#[test]
fn tasks_that_fail() {
    let world = World::new();
    let failed = world.run_tasks("one", &json!([task("a", "echo half > a.txt; false")]), &[]);
    world.follow(&failed, "logs {}", &[0]);
    world.follow(&failed, "diff {}", &[0]);
    world.follow(&world.run(&["retry", "g1", "none"]), "show {}", &[0]);
    let again = world.run(&["retry", "g1"]);
    world.follow(&again, "watch {}", &[1]);

    let mut slow = task("a", "sleep 600");
    slow["timeout"] = json!("1s");
    let late = world.run_tasks("two", &json!([slow]), &[]);
    world.follow(&late, "logs {}", &[0]);
    world.follow(&late, "retry {}", &[0]);
    world.run(&["cancel", "g2"]);

    let outside = json!([task("a", "ln -s /etc/passwd link")]);
    world.follow(&world.run_tasks("four", &outside, &[]), "logs {}", &[0]);

    let over = world.run_tasks(
        "five",
        &json!([task("a", "sleep 600")]),
        &["--timeout", "1s"],
    );
    world.follow(&over, "diff {}", &[0]);
    let gated = world.run_tasks(
        "six",
        &json!([task("a", "echo b > b.txt")]),
        &["--gate", "false"],
    );
    world.follow(&gated, "show {}", &[0]);
    world.follow(&gated, "diff {}", &[0]);
}

#[test]
fn providers_that_fail() {
    for (error, wanted, more) in [
        ("error: {status: 401}", "retry {}", &[] as &[&str]),
        ("error: {status: 529, retryAfter: 0}", "retry {}", &[]),
        (
            "usage: {input: 1000, output: 1000000}, answer: [{run: 'echo a > a.txt'}]",
            "diff {}",
            &["--budget", "1"],
        ),
    ] {
        let rule = format!("rules:\n  - {{name: bad, when: {{user: Work on one task}}, {error}}}");
        let script = claudecluster_model::Script::parse(&rule).unwrap();
        let server = claudecluster_model::Server::start(script).unwrap();
        let mut world = World::new();
        world.env.push(("ANTHROPIC_BASE_URL", server.url()));
        world.env.push(("ANTHROPIC_API_KEY", "test-key".to_owned()));
        let task = json!({
            "id": "t", "title": "Write it", "instructions": "Write b into a.txt",
            "agent": "native", "retries": 0,
        });
        let failed = world.run_tasks("one", &json!([task]), more);
        world.follow(&failed, wanted, &[0]);
        world.run(&["cancel", "g1"]);
    }
}

#[test]
fn permissions() {
    let agent = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .join("worker/tests/it/agent/faulty-agent.sh");
    let mut world = World::new();
    world.env.push(("FAULT", "asks".to_owned()));
    world.user.configure(&format!(
        "claude.program = {agent:?}\npermissions.ask = [\"WebFetch\"]\nenv.pass = [\"FAULT\"]\n"
    ));
    let task = json!({
        "id": "t", "title": "Ask", "instructions": "Ask", "agent": "claude-code", "retries": 0,
    });
    let ask = |goal: &str| {
        let file = world.user.project().with_file_name("ask.json");
        fs::write(&file, json!({"goal": goal, "tasks": [task]}).to_string()).unwrap();
        let mut command = world
            .user
            .command(&["run", "--plan", file.to_str().unwrap()]);
        command.envs(world.env.iter().map(|(name, value)| (name, value)));
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut lines = lines.map_while(Result::ok);
        let text = lines.find(|line| line.contains("claudecluster allow"));
        let printed = Printed {
            text: text.unwrap(),
            status: 0,
        };
        // The rest is read, so that it can end.
        (
            printed,
            std::thread::spawn(move || {
                lines.for_each(drop);
                child.wait().unwrap();
            }),
        )
    };
    let (asked, one) = ask("one");
    world.follow(&asked, "allow {}", &[0]);
    one.join().unwrap();
    let (_, two) = ask("two");
    world.follow(&world.run(&["permissions"]), "allow {} []", &[0]);
    two.join().unwrap();
    let (_, three) = ask("three");
    world.follow(&world.run(&["permissions"]), "deny {} []", &[0]);
    three.join().unwrap();
    let (_, four) = ask("four");
    let refused = world.run(&["allow", "p4", "--always"]);
    world.follow(&refused, "allow {} --goal", &[0]);
    four.join().unwrap();
    let (_, five) = ask("five");
    world.run_as("deny {} --goal", &["p5"], &[0]);
    five.join().unwrap();
}

#[test]
fn hosts_that_are_denied() {
    let world = World::new();
    let script = "p=${HTTPS_PROXY#http://}; bash -c \"exec 3<>/dev/tcp/${p%:*}/${p#*:}; \
                  printf 'CONNECT host.example:443 HTTP/1.1\\r\\n\\r\\n' >&3; cat <&3\"";
    world.run_tasks("one", &json!([task("a", script)]), &[]);
    // What the program was told, and what is shown of it.
    for printed in [world.run(&["logs", "g1"]), world.run(&["show", "g1"])] {
        let added = world.follow(&printed, "config add network.allow {}", &[0]);
        assert!(added.text.contains("host.example"), "{added:?}");
    }
    // What is this machine's own is handed in by its port.
    world.run_as("config add {} {}", &["network.loopback", "5432"], &[0]);
}

#[test]
fn limits_that_are_exceeded() {
    let world = World::new();
    world.user.configure("limits.diskBytes = 1048576\n");
    let big = json!([task("a", "head -c 4000000 /dev/urandom > big")]);
    world.run_tasks("one", &big, &[]);
    let shown = world.run(&["show", "g1"]);
    assert!(
        shown.text.contains("config set limits.diskBytes 2097152"),
        "{shown:?}"
    );
    world.run_as("config set {} {}", &["limits.diskBytes", "2097152"], &[0]);
    world.follow(&shown, "logs {}", &[0]);
    world.follow(&shown, "daemon stop", &[0]);
    world.follow(&shown, "retry {}", &[0]);
}

#[test]
fn what_is_not_there() {
    let world = World::new();
    world.follow(&world.run(&["goals"]), "run {}", &[0, 1]);
    world.follow(&world.run(&["run"]), "run {}", &[0, 1]);
    world.follow(&world.run(&["show", "g9"]), "goals", &[0]);
    world.follow(
        &world.run(&["resolve", "nonsense", "--mine"]),
        "goals",
        &[0],
    );
    world.follow(&world.run(&["allow", "p9"]), "permissions", &[0]);

    let tasks = |file: &str| json!([task("a", &format!("echo a > {file}"))]);
    world.run_tasks("one", &tasks("a.txt"), &[]);
    world.run_tasks("two", &tasks("b.txt"), &[]);
    world.run_tasks("three", &tasks("c.txt"), &["--plan-only"]);
    world.run_as("show {}", &["g1"], &[0]);
    world.follow(
        &world.run(&["plan", "g1", "--edit"]),
        "run --plan-only {}",
        &[0, 1, 3],
    );
    world.follow(&world.run(&["accept", "g3"]), "show {}", &[0]);
    world.follow(&world.run(&["accept", "g1.0000000000"]), "diff {}", &[0]);
    world.follow(
        &world.run(&["accept", "g1", "--hunk", "g2.0000000000"]),
        "diff {}",
        &[0],
    );
    world.follow(&world.run(&["undo", "g1.0000000000"]), "show {}", &[0]);
    world.follow(
        &world.run(&["resolve", "g1.0000000000", "--repair"]),
        "diff {}",
        &[0],
    );
    world.follow(&world.run(&["cancel", "g1"]), "reject {}", &[0]);
    world.follow(&world.run(&["redo", "g2"]), "accept {}", &[0]);
}

#[test]
fn words_that_are_not_merged() {
    let world = World::new();
    world.user.configure("review.mergeWords = \"off\"\n");
    world.user.write("f.txt", "one and then some more two\n");
    let change = |to: &str| format!("sed -i 's/{to}/{to}{to}/' f.txt");
    let tasks = json!([task("a", &change("one")), task("b", &change("two"))]);
    world.run_tasks("one", &tasks, &[]);
    let listed = world.run(&["diff", "g1", "--conflicts"]);
    let hunk = commands_in(&listed.text)[0][1].clone();
    let off = world.run(&["resolve", &hunk, "--merged"]);
    world.follow(&off, "config set review.mergeWords suggest", &[0]);
    world.follow(&off, "daemon stop", &[0]);
    let merged = world.run(&["resolve", &hunk, "--merged"]);
    assert_eq!(merged.status, 0, "{merged:#?}");
}

#[test]
fn agents_that_may_not_run() {
    let mut world = World::new();
    world.env.push(("ANTHROPIC_API_KEY", "test-key".to_owned()));
    world
        .user
        .configure("denyAgents = [\"native\"]\nclaude.program = \"/nonexistent\"\n");
    let denied = world.run(&["run", "x", "--agent", "native"]);
    world.follow(&denied, "config list", &[0]);
    let absent = world.run(&["run", "x", "--agent", "claude-code"]);
    let words = commands_in(&absent.text);
    let wanted = "config set claude.program {}";
    assert_eq!(
        words.iter().map(|words| shape(words)).collect::<Vec<_>>(),
        [wanted]
    );
    world.run_as(wanted, &["/bin/sh"], &[0]);
}

#[test]
fn configuration() {
    let mut world = World::new();
    world.follow(&world.run(&["config", "get", "zebra"]), "config list", &[0]);
    world.follow(
        &world.run(&["config", "set", "zebra", "1"]),
        "config list",
        &[0],
    );
    world
        .user
        .write(".claudecluster.toml", "agent = \"native\"\n");
    world.follow(&world.run(&["config", "check"]), "config path", &[0]);
    fs::remove_file(world.user.project().join(".claudecluster.toml")).unwrap();

    world.run(&["config", "edit"]);
    let text = fs::read_to_string(world.user.config()).unwrap();
    world.follow(&Printed { text, status: 0 }, "config list", &[0]);
    world
        .env
        .push(("CLAUDECLUSTER_MAX_PARALLEL", "2".to_owned()));
    world.run_as("config set {} {}", &["maxParallel", "3"], &[0]);
    let overridden = world.run(&["config", "set", "maxParallel", "3"]);
    world.follow(&overridden, "config list", &[0]);

    world.user.configure("maxParallel = = 3\n");
    let broken = world.run(&["config", "set", "maxParallel", "3"]);
    world.follow(&world.run(&["doctor"]), "config check", &[2]);
    world.edit_with("echo 'maxParallel = 2' > \"$1\"");
    world.follow(&broken, "config edit", &[0]);
}

#[test]
fn the_demo() {
    let world = World::new();
    let refused = world.run(&["demo", "--agent", "command"]);
    let played = world.follow(&refused, "demo --agent {}", &[0]);
    world.follow(&played, "doctor", &[0, 1]);
    world.follow(&played, "run {}", &[0, 1]);
}

/// Hints that a front, a fault or another version prints which is not to be had here: their commands run in the
/// state that they are for.
#[test]
fn places_without_a_front_here() {
    let world = World::new();
    let tasks = json!([task("a", "echo a > a.txt")]);
    world.run_tasks("one", &tasks, &[]);
    world.run_as("artifacts {}", &["g1"], &[0]);
    world.run_as("diff {}", &["g1"], &[0]);
    world.run_as("plan {}", &["g1"], &[0]);
    world.run_as("show {}", &["g1"], &[0]);
    world.run_as("watch {}", &["g1"], &[0]);
    world.run_as("accept {}", &["g1"], &[0]);
    world.run_as("run {}", &["add tests for the parser"], &[1]);
    world.run_as("doctor", &[], &[0, 1]);
    world.run_as("daemon status", &[], &[0]);
    let file = world.user.project().with_file_name("plan.json");
    world.run_as("run --plan {}", &[file.to_str().unwrap()], &[0]);
    world.run_tasks("failed", &json!([task("a", "false")]), &[]);
    world.run_as("retry {}", &["g3"], &[0]);
    world.run_tasks("waiting", &tasks, &["--plan-only"]);
    world.run_as("cancel {}", &["g4"], &[0]);
    world.run_as("daemon stop", &[], &[0, 2]);
    world.run_as("daemon stop --force", &[], &[0]);
    world.run_as("config set sandbox copy", &[], &[0]);
}
