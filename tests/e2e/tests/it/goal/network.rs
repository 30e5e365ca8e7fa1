//! Hosts of the network that no list names: denied where nobody is there, asked about where an editor is.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use claudecluster_e2e::{
    World,
    hosts::{REACH, hosts_world},
    live::{Editor, Live, plan_of, shell},
};
use serde_json::{Value, json};

/// A world in which every host says hello.
fn world() -> World {
    hosts_world(&[("README.md", "a project\n")], |_| "hello".to_owned())
}

fn hosts(world: &World, goal: &str) -> Vec<Value> {
    let shown = world.goal(goal);
    shown["network"].as_array().cloned().unwrap_or_default()
}

#[test]
fn a_host_is_denied_where_nobody_can_be_asked() {
    let world = world();
    let plan = plan_of(&[shell("reach", REACH, &[])]);
    world.run_plan(&plan, &[]).expect(0);
    let (host, port) = ("host.example", 443);
    let expected = json!([{
        "host": host, "port": port, "allowed": 0, "denied": 1, "sent": 0, "received": 0
    }]);
    assert_eq!(json!(hosts(&world, "g1")), expected);
    let shown = world.run(&["show", "g1"]).expect(0).stdout;
    assert!(
        shown.contains("Network: denied host.example:443 (1 time)"),
        "{shown}"
    );
    assert!(
        shown.contains("claudecluster config add network.allow host.example\n"),
        "{shown}"
    );
    // What was denied outlives the daemon.
    world.kill_daemon();
    assert_eq!(json!(hosts(&world, "g1")), expected);
    // The command of the hint works, for the next daemon.
    world.run(&["daemon", "stop"]).expect(0);
    world
        .run(&["config", "add", "network.allow", "host.example"])
        .expect(0);
    world.run_plan(&plan, &[]).expect(0);
    assert_eq!(hosts(&world, "g2")[0]["allowed"], 1);
}

#[test]
fn a_host_is_asked_about_and_allowed_for_always() {
    let world = world();
    world.configure("# mine\nnetwork = \"ask\"\n");
    let _editor = Editor::start(&world);
    let plan = plan_of(&[shell("one", REACH, &[]), shell("two", REACH, &[])]);
    let mut goal = Live::plan(&world, &plan, &[]);
    let event = goal.until(|event| {
        let tasks = event["request"]["taskIds"].as_array().map_or(0, Vec::len);
        event["type"] == "permissionAsked" && tasks == 2
    });
    let request = &event["request"];
    assert_eq!(
        (&request["tool"], &request["kind"], &request["detail"]),
        (
            &json!("Network"),
            &json!("network"),
            &json!("host.example:443 — tool/1")
        )
    );
    let id = request["id"].as_str().unwrap();
    let listed = world.run(&["permissions"]).expect(0).stdout;
    assert!(listed.contains("[--task|--goal|--always]"), "{listed}");
    world.run(&["allow", id, "--always"]).expect(0);
    goal.end().expect(0);
    assert_eq!(hosts(&world, "g1")[0]["allowed"], 2);
    let diff = world.run(&["diff", "g1"]).expect(0).stdout;
    assert!(diff.contains("+hello"), "{diff}");
    let config = std::fs::read_to_string(world.dir.path().join("config.toml")).unwrap();
    assert_eq!(
        config,
        "# mine\nnetwork = { mode = \"ask\", allow = [\"host.example\"] }\n"
    );
    // Another goal of the same daemon does not ask again.
    let said = world
        .run_plan(&plan_of(&[shell("three", REACH, &[])]), &[])
        .expect(0);
    assert!(!said.stdout.contains("permissionAsked"), "{said:#?}");
    assert_eq!(hosts(&world, "g2")[0]["allowed"], 1);
}

#[test]
fn a_denial_reaches_the_program_and_the_next_task() {
    let world = world();
    let _editor = Editor::start(&world);
    let plan = plan_of(&[shell("one", REACH, &[]), shell("two", REACH, &["one"])]);
    let mut goal = Live::plan(&world, &plan, &[]);
    let event = goal.event("permissionAsked");
    let id = event["request"]["id"].as_str().unwrap();
    world
        .run(&["deny", id, "--goal", "--reason", "not today"])
        .expect(0);
    let said = goal.end().expect(0);
    let asked = said
        .json()
        .iter()
        .filter(|event| event["type"] == "permissionAsked")
        .count();
    assert_eq!(asked, 1);
    assert_eq!(hosts(&world, "g1")[0]["denied"], 2);
    let diff = world.run(&["diff", "g1"]).expect(0).stdout;
    assert!(
        diff.contains("host.example:443 is not allowed: not today"),
        "{diff}"
    );
}

#[test]
fn what_allows_each_denied_host_is_shown() {
    let world = world();
    let reach = |host: &str| REACH.replace("host.example:443", host);
    let script = ["localhost:5432", "b.example:8443", "169.254.169.254:80"].map(reach);
    let plan = plan_of(&[shell("reach", &script.join("; "), &[])]);
    world.run_plan(&plan, &[]).expect(0);
    let shown = world.run(&["show", "g1"]).expect(0).stdout;
    let commands: Vec<&str> = shown
        .lines()
        .filter_map(|line| line.split_once("claudecluster config add "))
        .map(|(_, words)| words)
        .collect();
    assert_eq!(
        commands,
        [
            "network.allow 169.254.169.254",
            "network.allow b.example:8443",
            "network.loopback 5432"
        ],
        "{shown}"
    );
    for command in commands {
        let words: Vec<&str> = command.split(' ').collect();
        world
            .run(&[&["config", "add"], words.as_slice()].concat())
            .expect(0);
    }
    // The daemon's settings are those that it started with.
    let logs = world.run(&["logs", "g1", "reach"]).expect(0).stdout;
    assert!(logs.contains("b.example:8443 (denied)"), "{logs}");
}

#[test]
fn nobody_is_asked_with_yes() {
    let world = world();
    let _editor = Editor::start(&world);
    let plan = plan_of(&[shell("one", REACH, &[])]);
    let said = world.run_plan(&plan, &["--yes"]).expect(0);
    assert!(!said.stdout.contains("permissionAsked"), "{said:#?}");
    assert_eq!(hosts(&world, "g1")[0]["denied"], 1);
}

#[test]
fn an_open_network_has_no_door() {
    let world = world();
    world.configure("network = \"open\"\n");
    let script = "test \"$HTTPS_PROXY\" = \"$1\" || echo \"$HTTPS_PROXY\" >proxy";
    world
        .run_plan(&plan_of(&[shell("one", script, &[])]), &[])
        .expect(0);
    let proxy = world
        .env
        .iter()
        .find(|(name, _)| name == "HTTPS_PROXY")
        .unwrap();
    let diff = world.run(&["diff", "g1"]).expect(0).stdout;
    assert!(diff.contains(&format!("+{}", proxy.1)), "{diff}");
    assert_eq!(hosts(&world, "g1"), Vec::<Value>::new());
}

/// Answers every question of a goal in the same way; returns how many there were.
fn answer_all(world: &World, goal: &mut Live, answer: &[&str]) -> usize {
    let mut asked = 0;
    loop {
        let event = goal.until(|event| {
            event["type"] == "outcome"
                || (event["type"] == "permissionAsked" && !event["request"]["id"].is_null())
        });
        if event["type"] == "outcome" {
            return asked;
        }
        asked += 1;
        let id = event["request"]["id"].as_str().unwrap();
        world.run(&[&["allow", id], answer].concat()).expect(0);
    }
}

#[test]
fn an_answer_lasts_as_long_as_it_says() {
    // The first task succeeds at its second attempt.
    let again = format!("{REACH}; ! grep -q 'hello 0' said");
    for (answer, in_goal, in_next) in [
        (&[][..], 3, 1),
        (&["--task"], 2, 1),
        (&["--goal"], 1, 1),
        (&["--always"], 1, 0),
    ] {
        let world = hosts_world(&[], |number| format!("hello {number}"));
        let _editor = Editor::start(&world);
        let mut one = shell("one", &again, &[]);
        one["retries"] = json!(1);
        let plan = plan_of(&[one, shell("two", REACH, &["one"])]);
        let mut goal = Live::plan(&world, &plan, &[]);
        assert_eq!(answer_all(&world, &mut goal, answer), in_goal, "{answer:?}");
        goal.end().expect(0);
        let mut next = Live::plan(&world, &plan_of(&[shell("three", REACH, &[])]), &[]);
        assert_eq!(answer_all(&world, &mut next, answer), in_next, "{answer:?}");
        next.end().expect(0);
    }
}

#[test]
fn a_question_is_asked_again_after_a_restart() {
    let world = world();
    let editor = Editor::start(&world);
    let plan = plan_of(&[shell("one", REACH, &[])]);
    let mut goal = Live::plan(&world, &plan, &[]);
    let event = goal.event("permissionAsked");
    let before = event["request"]["id"].as_str().unwrap().to_owned();
    world.kill_daemon();
    drop(editor);
    let _editor = Editor::start(&world);
    let mut watched = Live::start(&world, &["watch", "g1", "--json"]);
    let event = watched.until(|event| {
        event["type"] == "permissionAsked" && event["request"]["id"] != json!(before)
    });
    let late = world.run(&["allow", &before]);
    assert_eq!(late.status, 1, "{late:#?}");
    assert!(late.stderr.contains("is no longer open"), "{late:#?}");
    let id = event["request"]["id"].as_str().unwrap();
    world.run(&["allow", id]).expect(0);
    watched.end().expect(0);
    assert_eq!(hosts(&world, "g1")[0]["allowed"], 1);
}

#[test]
fn a_host_that_two_goals_ask_about_is_kept_once() {
    let world = world();
    world.configure("# mine\n[network]\n# hosts of ours\nallow = [\"a.example\"] # so far\n");
    let _editor = Editor::start(&world);
    let plan = plan_of(&[shell("one", REACH, &[])]);
    let mut goals = [0, 1].map(|_| Live::plan(&world, &plan, &[]));
    let ids = goals.each_mut().map(|goal| {
        let event = goal.event("permissionAsked");
        event["request"]["id"].as_str().unwrap().to_owned()
    });
    let answers = ids.each_ref().map(|id| {
        let mut allow = world.command(&["allow", id, "--always"]);
        allow.spawn().unwrap()
    });
    for mut answer in answers {
        assert!(answer.wait().unwrap().success());
    }
    for goal in goals {
        goal.end().expect(0);
    }
    let config = std::fs::read_to_string(world.dir.path().join("config.toml")).unwrap();
    assert_eq!(
        config,
        "# mine\n[network]\n# hosts of ours\nallow = [\"a.example\", \"host.example\"] # so far\n"
    );
}
