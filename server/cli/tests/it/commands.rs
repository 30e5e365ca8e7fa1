//! The program as people and scripts meet it: arguments, configuration, output, exit statuses.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use expect_test::{Expect, expect};
use serde_json::Value;

use crate::support::{Said, User};

#[expect(
    clippy::needless_pass_by_value,
    reason = "expectations are written in place"
)]
fn check(said: Said, status: i32, expected: Expect) {
    expected.assert_eq(&format!("{}{}", said.out, said.err));
    assert_eq!(said.status, status);
}

#[test]
fn mistakes_are_told_in_one_line_with_a_hint() {
    let user = User::new();
    check(
        user.run(&["run"]),
        2,
        expect![[r#"
        claudecluster: the goal is empty (describe the change, as in: claudecluster run "add tests for the parser", or pass --plan FILE)
    "#]],
    );
    check(
        user.run(&["run", "  "]),
        2,
        expect![[r#"
        claudecluster: the goal is empty (describe the change, as in: claudecluster run "add tests for the parser", or pass --plan FILE)
    "#]],
    );
    check(
        user.run(&["run", "x", "--workspace", "/"]),
        2,
        expect![[r#"
        claudecluster: the workspace cannot be the root of the file system (/) (change to the project folder, or name it with --workspace)
    "#]],
    );
    check(
        user.run(&["run", "x", "--workspace", "none"]),
        2,
        expect![[r#"
            claudecluster: cannot use none as a workspace: No such file or directory (os error 2) (pass an existing folder to --workspace)
        "#]],
    );
    check(
        user.run(&["run", "x", "--plan", "none.json"]),
        2,
        expect![[r#"
            claudecluster: cannot read the plan none.json: No such file or directory (os error 2) (pass an existing file to --plan)
        "#]],
    );
    check(
        user.run(&["run", "x", "--file", "/etc/passwd"]),
        2,
        expect![[r#"
            claudecluster: /etc/passwd is outside the workspace ~/project (name a file in the workspace)
        "#]],
    );
    user.write(
        "p.yaml",
        "tasks:\n  - id: a\n    run: [\"true\"]\n    dependOn: []\n",
    );
    check(
        user.run(&["run", "--plan", "p.yaml"]),
        2,
        expect![[r#"
        claudecluster: p.yaml:4: `tasks[0].dependOn`: unknown field `dependOn`, expected one of `id`, `title`, `instructions`, `dependsOn`, `writes`, `agent`, `model`, `run`, `gates`, `timeout`, `retries`, `candidates`, `pause`, `env` (see "Plan files" in docs/guide.md for all keys)
    "#]],
    );
}

#[test]
fn the_home_folder_is_no_workspace() {
    let user = User::new();
    let mut command = user.command(&["run", "x"]);
    command.env("HOME", user.project());
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot be your home folder"));
}

#[test]
fn usage_errors_exit_with_2_and_give_json_where_asked() {
    let user = User::new();
    for args in [
        &["frobnicate"] as &[&str],
        &["run", "--budget", "-1", "x"],
        &["run", "--timeout", "soon", "x"],
        &["run", "--agent", "gpt", "x"],
        &["run", "--jobs", "0", "x"],
        &["run", "--plan-only", "--yes", "x"],
    ] {
        let said = user.run(args);
        assert_eq!(said.status, 2, "{args:?}");
        assert!(said.err.starts_with("error: "), "{}", said.err);
        let said = user.run(&[args, &["--json"]].concat());
        assert_eq!(said.status, 2, "{args:?}");
        let error: Value = serde_json::from_str(&said.out).unwrap();
        assert_eq!(error["error"]["kind"], "user", "{args:?}");
    }
}

#[test]
fn errors_are_json_where_asked() {
    let user = User::new();
    let said = user.run(&["run", "--json"]);
    let error: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(error["error"]["kind"], "user");
    assert_eq!(error["error"]["message"], "the goal is empty");
    assert!(
        error["error"]["hint"]
            .as_str()
            .unwrap()
            .contains("claudecluster run")
    );
    let said = user.run(&["show", "--json"]);
    let error: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(
        error["error"]["message"],
        "the following required arguments were not provided: <GOAL>"
    );
}

#[test]
fn configuration_mistakes_have_a_place() {
    let user = User::new();
    user.configure("maxParalel = 3\n[timeouts]\nattempt = 5\n");
    user.write(".claudecluster.toml", "agent = \"native\"\n");
    check(
        user.run(&["config", "check"]),
        2,
        expect![[r#"
            ~/config/claudecluster/config.toml:1: `maxParalel`: unknown setting (did you mean `maxParallel`?)
            ~/config/claudecluster/config.toml:3: `timeouts.attempt`: expected a duration such as "90s" or "10m", found 5
            ~/project/.claudecluster.toml:1: `agent`: a workspace file cannot set this (a workspace file can only lower limits, deny agents and tools, and require confirmation; set it in your own file instead (see: claudecluster config path))
        "#]],
    );
    check(
        user.run(&["config", "list"]),
        2,
        expect![[r#"
        claudecluster: ~/config/claudecluster/config.toml:1: `maxParalel`: unknown setting (did you mean `maxParallel`?)
    "#]],
    );
    check(
        user.run(&["daemon", "start"]),
        2,
        expect![[r#"
        claudecluster: ~/config/claudecluster/config.toml:1: `maxParalel`: unknown setting (did you mean `maxParallel`?)
    "#]],
    );
}

#[test]
fn settings_are_set_and_traced() {
    let user = User::new();
    check(
        user.run(&["config", "set", "maxParallel", "3"]),
        0,
        expect![[r#"
            maxParallel = 3  (~/config/claudecluster/config.toml)
        "#]],
    );
    check(
        user.run(&["config", "set", "maxParallel", "many"]),
        2,
        expect![[r#"
            claudecluster: `maxParallel`: expected a whole number from 1 to 1024, found "many"
        "#]],
    );
    check(
        user.run(&["config", "set", "maxparallel", "3"]),
        2,
        expect![[r#"
            claudecluster: unknown setting `maxparallel` (did you mean `maxParallel`?)
        "#]],
    );
    user.write(
        ".claudecluster.toml",
        "maxParallel = 2\n[limits]\nfiles = 5\n",
    );
    let mut command = user.command(&["config", "list", "--json"]);
    command.env("CLAUDECLUSTER_TIMEOUTS_GATE", "1m");
    let out = String::from_utf8(command.output().unwrap().stdout).unwrap();
    let find = |key: &str| -> Value {
        out.lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap())
            .find(|line| line["key"] == key)
            .unwrap()
    };
    assert_eq!(find("maxParallel")["value"], 2);
    assert!(
        find("maxParallel")["origin"]
            .as_str()
            .unwrap()
            .ends_with(".claudecluster.toml:1")
    );
    assert_eq!(find("limits.files")["value"], 5);
    assert_eq!(
        find("timeouts.gate")["origin"],
        "CLAUDECLUSTER_TIMEOUTS_GATE"
    );
    assert_eq!(find("retries")["origin"], "default");
    check(
        user.run(&["config", "get", "maxParallel"]),
        0,
        expect![[r#"
        2
    "#]],
    );
}

#[test]
fn the_schema_is_json() {
    let user = User::new();
    let schema: Value = serde_json::from_str(&user.run(&["config", "schema"]).out).unwrap();
    assert_eq!(schema["properties"]["maxParallel"]["type"], "integer");
}

#[test]
fn completions_know_the_commands() {
    let user = User::new();
    for shell in ["bash", "zsh", "fish"] {
        let said = user.run(&["completions", shell]);
        assert_eq!(said.status, 0);
        assert!(said.out.contains("accept"), "{shell}");
        assert!(!said.out.contains("sandbox-exec"), "{shell}");
    }
}

#[test]
fn a_doctor_names_what_is_missing() {
    let user = User::new();
    let mut command = user.command(&["doctor", "--json"]);
    command.env("PATH", "/nonexistent");
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    let checks: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let state = |name: &str| {
        let check = checks.iter().find(|check| check["name"] == name).unwrap();
        check["state"].as_str().unwrap().to_owned()
    };
    assert_eq!(state("git"), "missing");
    assert_eq!(state("agent"), "missing");
    assert_eq!(state("state folder"), "good");
    assert_eq!(state("daemon"), "good");
    for check in &checks {
        assert!(
            check["state"] == "good" || check["hint"].is_string(),
            "{check}"
        );
    }
}

/// A plan that needs no model: two files that depend on nothing, and one that joins them.
const PLAN: &str = r#"
goal: Make greetings
gates: ["grep -q 'hello world' both.txt"]
tasks:
  - id: one
    run: echo hello > one.txt
  - id: two
    run: echo world > two.txt
  - id: join
    run: echo $(cat one.txt two.txt) > both.txt
    dependsOn: [one, two]
"#;

#[test]
fn a_goal_from_plan_to_landing() {
    let user = User::new();
    user.write("p.yaml", PLAN);
    let said = user.run(&["run", "--plan", "p.yaml", "--quiet"]);
    assert_eq!(said.status, 0, "{said:?}");
    assert!(said.out.contains("by join"), "{}", said.out);
    assert!(!user.project().join("both.txt").exists());

    let diff = user.run(&["diff", "g1"]);
    assert!(diff.out.contains("+hello world\n"), "{}", diff.out);

    let goals = user.run(&["goals", "--json"]);
    let goal: Value = serde_json::from_str(&goals.out).unwrap();
    assert_eq!(goal["state"], "proposed");
    assert_eq!(goal["succeeded"], 3);

    let said = user.run(&["accept", "g1"]);
    assert_eq!(said.status, 0, "{said:?}");
    let both = std::fs::read_to_string(user.project().join("both.txt")).unwrap();
    assert_eq!(both, "hello world\n");

    let logs = user.run(&["logs", "g1", "join"]);
    assert!(logs.out.contains("done"), "{}", logs.out);
    assert_eq!(user.run(&["undo", "g1"]).status, 0);
    assert!(!user.project().join("both.txt").exists());
}

#[test]
fn json_ends_with_the_outcome() {
    let user = User::new();
    user.write("p.yaml", PLAN);
    let said = user.run(&["run", "--plan", "p.yaml", "--apply", "--json"]);
    assert_eq!(said.status, 0, "{said:?}");
    let lines: Vec<Value> = said
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines[0]["type"], "goalSubmitted");
    let outcome = lines.last().unwrap();
    assert_eq!(outcome["type"], "outcome");
    assert_eq!(outcome["state"], "landed");
    assert_eq!(outcome["hunks"]["landed"], 3);
    assert!(user.project().join("both.txt").exists());
}

#[test]
fn a_failed_goal_exits_with_1_and_keeps_what_there_is() {
    let user = User::new();
    user.write(
        "p.json",
        r#"{"goal": "x", "tasks": [{"id": "a", "run": "echo part > a.txt; exit 3", "retries": 0}]}"#,
    );
    let said = user.run(&["run", "--plan", "p.json"]);
    assert_eq!(said.status, 1, "{said:?}");
    assert!(said.out.contains("partial"), "{}", said.out);
}

#[test]
fn a_plan_that_is_only_planned_waits() {
    let user = User::new();
    user.write("p.yaml", PLAN);
    let said = user.run(&["run", "--plan", "p.yaml", "--plan-only", "--quiet"]);
    assert_eq!(said.status, 3, "{said:?}");
    assert!(said.out.contains("after one, two"), "{}", said.out);
    assert_eq!(user.run(&["approve", "g1"]).status, 0);
    assert_eq!(user.run(&["watch", "g1", "--quiet"]).status, 0);
}

#[test]
fn a_goal_that_is_under_way_is_started_again_and_said_so() {
    let user = User::new();
    user.write("p.yaml", PLAN);
    let run = |more: &[&str]| {
        let args = ["run", "--plan", "p.yaml", "--plan-only"];
        let said = user.run(&[&args, more].concat());
        assert_eq!(said.status, 3, "{said:?}");
        said
    };
    assert_eq!(run(&[]).err, "");
    let note = "claudecluster: g1 already has this goal and is still open; starting g2 anyway (watch g1 \
                instead: claudecluster watch g1; disable this warning: --again)\n";
    let said = run(&[]);
    assert_eq!(said.err, note);
    assert!(said.out.contains("g2"), "{}", said.out);
    for silent in ["--again", "--quiet"] {
        assert_eq!(run(&[silent]).err, "", "{silent}");
    }
    for goal in ["g1", "g2", "g3", "g4"] {
        assert_eq!(user.run(&["cancel", goal]).status, 0);
    }
    assert_eq!(run(&[]).err, "");
}

#[test]
fn time_runs_out_with_4() {
    let user = User::new();
    user.write(
        "p.json",
        r#"{"goal": "x", "tasks": [{"id": "a", "run": "sleep 600"}]}"#,
    );
    let said = user.run(&["run", "--plan", "p.json", "--timeout", "300ms"]);
    assert_eq!(said.status, 4, "{said:?}");
}

#[test]
fn unknown_goals_say_so() {
    let user = User::new();
    check(
        user.run(&["show", "g9"]),
        2,
        expect![[r#"
        claudecluster: there is no goal "g9" (list goals with: claudecluster goals)
    "#]],
    );
    check(
        user.run(&["goals"]),
        0,
        expect![[r#"
        No goals yet. Start one with: claudecluster run "…"
    "#]],
    );
}

#[test]
fn nobody_reading_is_no_error() {
    let user = User::new();
    let script = format!(
        "{} config schema | head -c 1",
        env!("CARGO_BIN_EXE_claudecluster")
    );
    let mut command = std::process::Command::new("sh");
    command
        .args(["-c", &script])
        .env("CLAUDECLUSTER_HOME", user.state());
    let output = command.output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

/// A file of the documentation.
fn document(name: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../docs")
        .join(name);
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn every_setting_is_documented_with_its_default() {
    let user = User::new();
    let text = document("configuration.md");
    for line in user.run(&["config", "list", "--json"]).out.lines() {
        let setting: Value = serde_json::from_str(line).unwrap();
        let key = setting["key"].as_str().unwrap();
        let row = text
            .lines()
            .find(|line| line.starts_with(&format!("| `{key}` |")))
            .unwrap_or_else(|| panic!("`{key}` is not in docs/configuration.md"));
        let default = match &setting["value"] {
            Value::Null => String::new(),
            value => format!("`{value}`"),
        };
        let documented = row.split('|').nth(2).unwrap().trim();
        assert_eq!(documented, default, "{key}");
    }
}

#[test]
fn every_command_and_option_of_run_is_documented() {
    let user = User::new();
    let text = document("guide.md");
    let help = user.run(&["--help"]).out;
    let commands = help.split("Commands:\n").nth(1).unwrap();
    for line in commands.lines().take_while(|line| !line.is_empty()) {
        let name = line.split_whitespace().next().unwrap();
        assert!(text.contains(&format!("`{name}")), "{name}");
    }
    for line in user.run(&["run", "--help"]).out.lines() {
        let Some(option) = line.split_whitespace().find(|word| word.starts_with("--")) else {
            continue;
        };
        let option = option.trim_end_matches(',');
        if option != "--help" && option != "--" && line.trim_start().starts_with('-') {
            assert!(text.contains(&format!("`{option}")), "{option}");
        }
    }
}
