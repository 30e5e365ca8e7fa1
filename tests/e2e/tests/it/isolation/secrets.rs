//! Secrets that a worker comes across: people see that there was one, and not which.

use std::fs;

use claudecluster_e2e::{
    World,
    live::{Live, plan_of, shell},
};

/// Put together here, so that no file of the project has a key.
fn key() -> String {
    ["ghp", "_kR7xQ2mZ9aLw4TnB8cVy1HsD5fGj3PuEo6iK"].concat()
}

#[test]
fn what_looks_like_a_secret_is_masked_in_all_that_is_shown() {
    let key = key();
    let world = World::new(&[("fixture.txt", &format!("{key}\n")), ("a.txt", "a\n")]);
    let plan = plan_of(&[shell("t", "cat fixture.txt; echo b > a.txt", &[])]);
    let said = world
        .run_plan(&plan, &["--gate", "echo the gate; cat fixture.txt"])
        .expect(0);
    let mut shown = vec![("run", said.stdout)];
    for args in [
        &["show", "g1"][..],
        &["show", "g1", "--json"],
        &["logs", "g1", "t"],
        &["logs", "g1", "t", "--raw"],
        &["watch", "g1", "--json"],
    ] {
        shown.push((args[0], world.run(args).expect(0).stdout));
    }
    let files = world.path("../artifacts");
    let folder = files.display().to_string();
    world
        .run(&["artifacts", "g1", "--download", &folder])
        .expect(0);
    for entry in fs::read_dir(files.join("t/transcript")).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        shown.push(("artifact", text));
    }
    world.run(&["daemon", "stop", "--force"]).expect(0);
    for entry in fs::read_dir(world.home().join("logs")).unwrap() {
        shown.push(("log", fs::read_to_string(entry.unwrap().path()).unwrap()));
    }
    for (what, text) in &shown {
        assert!(!text.contains(&key), "{what}: {text}");
    }
    let all: String = shown.iter().map(|(_, text)| text.as_str()).collect();
    assert!(all.contains("ghp_…[hidden]"), "{all}");
    assert!(all.contains("the gate"), "{all}");
    assert!(shown.iter().any(|(what, _)| *what == "artifact"));
}

#[test]
fn secrets_in_prompts_plans_errors_and_requests_are_masked_where_they_are_shown() {
    let key = key();
    let mut world = World::new(&[("a.txt", "a\n")]);
    world.with_claude_and("permissions.ask = [\"WebFetch\"]\n");
    let model = world.model(&format!(
        r#"
rules:
  - when: {{user: Plan this goal}}
    turns:
      - - structured:
            status: done
            summary: "The key is {key}."
            plan: {{tasks: [{{id: t, title: "Use {key}", instructions: "Fetch with {key}", writes: [a.txt]}}]}}
  - when: {{user: Work on one task}}
    turns:
      - - tool: WebFetch
          input: {{url: "http://x.example/?k={key}", prompt: read}}
      - - structured: {{status: done, summary: "Used {key}."}}
"#
    ));
    let prompt = format!("log in with {key}");
    let mut live = Live::start(&world, &["run", "--json", &prompt]);
    let asked = live.event("permissionAsked");
    let request = asked["request"]["id"].as_str().unwrap();
    let mut shown = Vec::new();
    for args in [
        &["permissions"][..],
        &["permissions", "--json"],
        &["goals"],
        &["goals", "--json"],
        &["show", "g1"],
        &["show", "g1", "--json"],
        &["logs", "g1"],
        &["logs", "g1", "--raw"],
    ] {
        let said = world.run(args).expect(0);
        shown.push((args.join(" "), said.stdout + &said.stderr));
    }
    let wrong = world.run(&["show", &key]);
    shown.push(("an error".to_owned(), wrong.stdout + &wrong.stderr));
    let wrong = world.run(&["show", &key, "--json"]);
    shown.push(("an error as JSON".to_owned(), wrong.stdout + &wrong.stderr));
    world.run(&["deny", request]).expect(0);
    let ended = live.end();
    shown.push(("run".to_owned(), ended.stdout + &ended.stderr));
    for (what, text) in &shown {
        assert!(!text.contains(&key), "{what}: {text}");
        assert!(
            text.contains("ghp_…[hidden]") || what.starts_with("logs"),
            "{what}: {text}"
        );
    }
    // The agents got what was said.
    let bodies: Vec<_> = model.turns().iter().map(|turn| turn.body.clone()).collect();
    let first = String::from_utf8_lossy(&bodies[0]);
    assert!(first.contains(&key), "{first}");
    // A plan that is taken up again elsewhere is the one that was made.
    let plan = world.run(&["plan", "g1"]).expect(0).stdout;
    assert!(plan.contains(&key), "{plan}");
}

#[test]
fn a_change_that_adds_a_secret_waits_for_a_look_and_lands_as_it_is() {
    let key = key();
    let world = World::new(&[("fixture.txt", &format!("{key}\n")), ("a.txt", "a\n")]);
    let script = "cat fixture.txt > copy.txt; echo more >> fixture.txt; echo b > a.txt";
    world
        .run_plan(&plan_of(&[shell("t", script, &[])]), &["--apply"])
        .expect(3);
    // A key that was there before is no news.
    assert_eq!(world.read("fixture.txt"), format!("{key}\nmore\n"));
    assert_eq!(world.read("a.txt"), "b\n");
    assert!(!world.has("copy.txt"));
    let show = world.run(&["show", "g1"]).expect(0).stdout;
    assert!(show.contains("adds what looks like a secret"), "{show}");
    world.run(&["accept", "g1", "--task", "t"]).expect(3);
    assert!(!world.has("copy.txt"));
    world.run(&["accept", "g1", "--file", "copy.txt"]).expect(0);
    assert_eq!(world.read("copy.txt"), format!("{key}\n"));
}
