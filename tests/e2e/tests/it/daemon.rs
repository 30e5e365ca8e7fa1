//! The daemon's life: killed in every state a goal can be in, asked to end, and without space.
//!
//! Others of the same folder, stale sockets and daemons of other versions are the command line's own
//! tests.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::BTreeMap, fs, os::unix::fs::PermissionsExt, path::PathBuf, process::Command,
};

use claudecluster_e2e::{
    Said, World,
    live::{Guest, Live, Meet, gone, kill, plan_of, shell, sleepers, wait_for},
};
use serde_json::Value;

fn attempts(view: &Value) -> Vec<usize> {
    view["tasksDetail"]
        .as_array()
        .unwrap()
        .iter()
        .map(|task| task["attempts"].as_array().unwrap().len())
        .collect()
}

/// No event came twice and none was left out: their numbers go up.
fn assert_in_order(said: &Said) {
    let numbers: Vec<u64> = said
        .json()
        .iter()
        .filter_map(|event| event["seq"].as_u64())
        .collect();
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
}

/// A `git` that waits at `meet` before it answers `status`, first on the path.
fn slow_git(world: &mut World, meet: &Meet) {
    let bin = world.dir.path().join("slow");
    fs::create_dir(&bin).unwrap();
    let path = std::env::var("PATH").unwrap();
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in *' status '*) {};; esac\nPATH='{path}'\nexec git \"$@\"\n",
        meet.script("git")
    );
    fs::write(bin.join("git"), script).unwrap();
    fs::set_permissions(bin.join("git"), fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{path}", bin.display());
    world.env.push(("PATH".to_owned(), path));
}

#[test]
fn killed_before_the_snapshot() {
    let mut world = World::new(&[("a.txt", "a\n")]);
    let meet = Meet::new();
    slow_git(&mut world, &meet);
    let plan = plan_of(&[shell("t", "cat a.txt > copy.txt", &[])]);
    let mut live = Live::plan(&world, &plan, &["--apply"]);
    live.event("goalSubmitted");
    let first = meet.next();
    world.kill_daemon();
    first.release();
    // Whoever follows has started the next daemon, which captures the workspace again.
    meet.next().release();
    let said = live.end().expect(0);
    assert_in_order(&said);
    assert_eq!(said.outcome()["state"], "landed");
    assert_eq!(world.read("copy.txt"), "a\n");
}

#[test]
fn killed_while_claude_plans() {
    let mut world = World::new(&[("a.txt", "a\n")]);
    world.with_claude();
    let model = world.model(
        r#"
rules:
  - name: held
    when: {user: Plan this goal}
    times: 1
    hold: never
    answer: [{text: too late}]
  - name: plan
    when: {user: Plan this goal}
    turns:
      - - structured:
            status: done
            summary: One.
            plan: {tasks: [{id: one, title: One, instructions: Write it, writes: [a.txt]}]}
  - name: work
    when: {user: Work on one task}
    turns:
      - - run: echo b > a.txt
      - - structured: {status: done, summary: Written.}
"#,
    );
    let live = Live::start(&world, &["run", "--json", "--apply", "write it"]);
    let asked = |requests: &[claudecluster_model::Recorded]| {
        requests.iter().any(|r| r.rule.as_deref() == Some("held"))
    };
    assert!(model.wait_until(std::time::Duration::from_secs(120), asked));
    let agents = claudes(&world);
    assert!(!agents.is_empty(), "the planner's process");
    world.kill_daemon();
    for pid in agents {
        wait_for("the end of the planner", || gone(pid));
    }
    let said = live.end().expect(0);
    assert_in_order(&said);
    assert_eq!(said.outcome()["state"], "landed");
    assert_eq!(world.read("a.txt"), "b\n");
}

/// Processes that have a session's home and this world's home folder in their environment: the agents' own.
fn claudes(world: &World) -> Vec<u32> {
    let marks = [
        "CLAUDE_CONFIG_DIR=/run/claudecluster/home/claude".to_owned(),
        format!("HOME={}", world.user_home().display()),
    ];
    fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter(|entry| {
            let env = fs::read(entry.path().join("environ")).unwrap_or_default();
            marks
                .iter()
                .all(|mark| env.split(|&b| b == 0).any(|var| var == mark.as_bytes()))
        })
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

#[test]
fn killed_while_tasks_run() {
    let world = World::new(&[("a.txt", "a\n")]);
    let meet = Meet::new();
    let held = |name: &str| format!("echo {name} >> {name}.txt; {}", meet.script(name));
    let plan = plan_of(&[
        shell("done", "echo done > done.txt", &[]),
        shell("left", &held("left"), &["done"]),
        shell("right", &held("right"), &["done"]),
        shell(
            "last",
            "cat left.txt right.txt > last.txt",
            &["left", "right"],
        ),
    ]);
    let live = Live::plan(&world, &plan, &["--apply"]);
    let first = [meet.next(), meet.next()];
    world.kill_daemon();
    // Nobody has let them go: they ended because their daemon did.
    first.into_iter().for_each(Guest::ended);
    [meet.next(), meet.next()]
        .into_iter()
        .for_each(Guest::release);
    let said = live.end().expect(0);
    assert_in_order(&said);
    assert_eq!(
        world.read("last.txt"),
        "left\nright\n",
        "each was written once"
    );
    let goal = world.goal("g1");
    assert_eq!(attempts(&goal), [1, 2, 2, 1]);
    let stop = &goal["tasksDetail"][1]["attempts"][0]["stop"];
    assert_eq!(stop, "daemonCrash", "{goal:#}");
}

#[test]
fn a_task_during_which_the_daemon_is_killed_three_times_is_held() {
    let world = World::new(&[("a.txt", "a\n")]);
    let meet = Meet::new();
    let script = format!("{}; echo b > a.txt", meet.script("t"));
    let live = Live::plan(&world, &plan_of(&[shell("t", &script, &[])]), &["--apply"]);
    for _ in 0..3 {
        let worker = meet.next();
        world.kill_daemon();
        worker.ended();
    }
    let said = live.end().expect(1);
    assert_eq!(said.outcome()["state"], "failed", "{said:#?}");
    let error = world.goal("g1")["error"].to_string();
    assert!(error.contains("during 3 attempts"), "{error}");
    assert!(error.contains("claudecluster retry g1"), "{error}");
    // The daemon stays up, and the task has its tries again once somebody asks.
    let pid = world.daemon();
    assert!(!gone(pid));
    world.run(&["retry", "g1"]).expect(0);
    meet.next().release();
    let landed = world.run(&["watch", "g1"]).expect(0);
    assert_eq!(world.read("a.txt"), "b\n", "{landed:#?}");
}

#[test]
fn killed_while_gates_run() {
    let world = World::new(&[("a.txt", "a\n")]);
    let meet = Meet::new();
    let plan = plan_of(&[shell("t", "echo b > a.txt", &[])]);
    let gate = meet.script("gate");
    let live = Live::plan(&world, &plan, &["--apply", "--gate", &gate]);
    let first = meet.next();
    world.kill_daemon();
    first.ended();
    meet.next().release();
    let said = live.end().expect(0);
    assert_in_order(&said);
    assert_eq!(said.outcome()["state"], "landed");
    assert_eq!(world.read("a.txt"), "b\n");
    assert_eq!(attempts(&world.goal("g1")), [1]);
}

#[test]
fn killed_while_it_lands() {
    const FILES: usize = 150;
    let names: Vec<String> = (0..FILES).map(|n| format!("f{n}.txt")).collect();
    let files: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "old\n")).collect();
    let world = World::new(&files);
    let plan = plan_of(&[shell("t", "for f in f*.txt; do echo new >> $f; done", &[])]);
    let mut live = Live::plan(&world, &plan, &["--apply"]);
    live.event("reviewed");
    world.kill_daemon();
    let said = live.end().expect(0);
    assert_in_order(&said);
    assert_eq!(
        said.outcome()["hunks"]["landed"],
        FILES,
        "{:#}",
        said.outcome()
    );
    let mut landings: BTreeMap<String, usize> = BTreeMap::new();
    for event in said
        .json()
        .iter()
        .filter(|event| event["type"] == "reviewed")
    {
        assert_eq!(event["verdict"], "accept", "{event}");
        *landings.entry(event["path"].to_string()).or_default() += 1;
    }
    assert_eq!(landings.len(), FILES);
    assert!(landings.values().all(|&times| times == 1), "{landings:?}");
    for name in &names {
        assert_eq!(world.read(name), "old\nnew\n", "{name}");
    }
    let status = world.git(&["status", "--porcelain", "-uall"]);
    assert_eq!(
        status.lines().count(),
        FILES,
        "nothing half-written stays: {status}"
    );
}

#[test]
fn killed_again_and_again() {
    let world = World::new(&[("log.txt", "")]);
    let meet = Meet::new();
    let task = |n: usize| format!("{}; echo {n} >> log.txt", meet.script(&n.to_string()));
    let tasks: Vec<Value> = (0..4)
        .map(|n| {
            let before = n.to_string();
            let after = (n + 1).to_string();
            let depends: &[&str] = if n == 0 { &[] } else { &[&before] };
            shell(&after, &task(n + 1), depends)
        })
        .collect();
    let live = Live::plan(&world, &plan_of(&tasks), &["--apply"]);
    for n in 1..=4 {
        let first = meet.next();
        assert_eq!(first.name, n.to_string());
        world.kill_daemon();
        first.ended();
        let again = meet.next();
        assert_eq!(again.name, n.to_string(), "what was done is not done again");
        again.release();
    }
    assert_in_order(&live.end().expect(0));
    assert_eq!(world.read("log.txt"), "1\n2\n3\n4\n");
}

#[test]
fn asked_to_end_in_the_middle() {
    let world = World::new(&[("a.txt", "a\n")]);
    let meet = Meet::new();
    let script = format!("{}; echo b > a.txt", meet.script("t"));
    let live = Live::plan(&world, &plan_of(&[shell("t", &script, &[])]), &["--apply"]);
    let first = meet.next();
    let refused = world.run(&["daemon", "stop"]).expect(2);
    assert!(refused.stderr.contains("--force"), "{refused:#?}");
    let pid = world.daemon();
    kill(pid, "TERM");
    first.ended();
    meet.next().release();
    let said = live.end().expect(0);
    assert_in_order(&said);
    assert!(gone(pid));
    assert_eq!(world.read("a.txt"), "b\n");
    let goal = world.goal("g1");
    assert_eq!(attempts(&goal), [2]);
    let stop = &goal["tasksDetail"][0]["attempts"][0]["stop"];
    assert_eq!(stop, "daemonRestart", "a restart is no failure: {goal:#}");
}

#[test]
fn interrupting_a_run_ends_everything() {
    let world = World::new(&[("a.txt", "a\n")]);
    let meet = Meet::new();
    let tag = format!("772{}", std::process::id());
    let script = format!(
        "trap '' INT TERM HUP; (setsid sleep {tag} &); echo half > half.txt; {}; echo b > a.txt",
        meet.script("t")
    );
    let live = Live::plan(&world, &plan_of(&[shell("t", &script, &[])]), &["--apply"]);
    let worker = meet.next();
    wait_for("the grandchild", || sleepers(&tag) > 0);
    live.signal("INT");
    worker.ended();
    let said = live.end().expect(130);
    assert_eq!(said.outcome()["state"], "cancelled", "{said:#?}");
    wait_for("the end of the grandchild", || sleepers(&tag) == 0);
    assert_eq!(world.read("a.txt"), "a\n");
    assert!(!world.has("half.txt"));
    let status = || {
        let said = world.run(&["daemon", "status", "--json"]).expect(0);
        said.json().remove(0)
    };
    assert_eq!(status()["activeGoals"], 0);
    // Its partial work is collected after its end.
    wait_for("the attempt's end", || status()["runningAttempts"] == 0);
    let diff = world.run(&["diff", "g1"]).expect(0).stdout;
    assert!(diff.contains("half.txt"), "{diff}");
}

#[test]
fn at_most_so_many_at_once() {
    let world = World::new(&[]);
    let meet = Meet::new();
    let tasks: Vec<Value> = (0..6)
        .map(|n| shell(&format!("t{n}"), &meet.script(&n.to_string()), &[]))
        .collect();
    let live = Live::plan(&world, &plan_of(&tasks), &["--jobs", "2"]);
    let mut waiting = vec![meet.next(), meet.next()];
    for _ in 2..6 {
        let running = world.goal("g1")["tasksDetail"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|task| task["state"] == "running")
            .count();
        assert_eq!(running, 2);
        waiting.remove(0).release();
        waiting.push(meet.next());
    }
    waiting.into_iter().for_each(Guest::release);
    let said = live.end().expect(0);
    // The journal's own order: no more than two between their start and their end.
    let mut running = 0;
    for event in said.json() {
        match event["type"].as_str() {
            Some("attemptStarted") => running += 1,
            Some("attemptEnded") => running -= 1,
            _ => {}
        }
        assert!(running <= 2, "{event}");
    }
}

#[test]
fn two_goals_on_one_file_from_two_clients() {
    let world = World::new(&[("f.txt", "1\n2\n3\n4\n5\n6\n7\n8\n9\n")]);
    let meet = Meet::new();
    let goal = |name: &str, edit: &str| {
        // What is on disk shows through until it is changed; it is read before the others land.
        let script = format!(
            "sed '{edit}' f.txt > /tmp/new; {}; cat /tmp/new > f.txt",
            meet.script(name)
        );
        let path = world.dir.path().join(format!("{name}.json"));
        fs::write(&path, plan_of(&[shell("t", &script, &[])]).to_string()).unwrap();
        let path = path.display().to_string();
        Live::start(&world, &["run", "--json", "--apply", "--plan", &path])
    };
    // Two that go together and one that disagrees with the first.
    let (top, bottom, against) = (
        goal("top", "s/^1$/one/"),
        goal("bottom", "s/^9$/nine/"),
        goal("against", "s/^1$/eins/"),
    );
    let mut guests: BTreeMap<String, Guest> = (0..3)
        .map(|_| meet.next())
        .map(|guest| (guest.name.clone(), guest))
        .collect();
    guests.remove("top").unwrap().release();
    top.end().expect(0);
    guests.remove("bottom").unwrap().release();
    bottom.end().expect(0);
    assert_eq!(world.read("f.txt"), "one\n2\n3\n4\n5\n6\n7\n8\nnine\n");
    guests.remove("against").unwrap().release();
    let said = against.end().expect(3);
    assert_eq!(
        said.outcome()["hunks"]["conflicts"],
        1,
        "{:#}",
        said.outcome()
    );
    assert_eq!(world.read("f.txt"), "one\n2\n3\n4\n5\n6\n7\n8\nnine\n");
}

/// A file system of eight megabytes; gone when dropped.
struct Small(PathBuf);

impl Small {
    fn mount(path: PathBuf) -> Self {
        let status = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=8m,mode=700", "small"])
            .arg(&path)
            .status()
            .unwrap();
        assert!(status.success());
        Self(path)
    }

    /// Leaves not a byte.
    fn fill(&self) {
        let filler = fs::File::create(self.0.join("filler")).unwrap();
        let mut filler = std::io::BufWriter::new(filler);
        while std::io::Write::write_all(&mut filler, &[1; 4096]).is_ok() {}
        let _ = std::io::Write::flush(&mut filler);
    }

    fn free(&self) {
        fs::remove_file(self.0.join("filler")).unwrap();
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Only root can mount. Where tests run as somebody else, the store's own tests cover a full disk.
fn is_root() -> bool {
    std::os::unix::fs::MetadataExt::uid(&fs::metadata("/proc/self").unwrap()) == 0
}

#[test]
fn a_full_disk_refuses_goals_and_loses_nothing() {
    if !is_root() {
        return;
    }
    let world = World::new(&[("a.txt", "a\n")]);
    let small = Small::mount(world.home());
    let plan = |script: &str| plan_of(&[shell("t", script, &[])]);
    world.run_plan(&plan("echo b > a.txt"), &[]).expect(0);
    small.fill();
    let said = world.run_plan(&plan("echo c > a.txt"), &[]).expect(1);
    assert!(
        said.stderr.contains("full") || said.stderr.contains("space"),
        "{said:#?}"
    );
    assert_eq!(world.run(&["goals", "--json"]).expect(0).json().len(), 1);
    small.free();
    world.run(&["accept", "g1"]).expect(0);
    assert_eq!(world.read("a.txt"), "b\n");
    world
        .run_plan(&plan("echo c > a.txt"), &["--apply"])
        .expect(0);
    assert_eq!(world.read("a.txt"), "c\n");
    world.run(&["daemon", "stop"]).expect(0);
}

#[test]
fn a_worker_that_fills_the_disk_fails_alone() {
    if !is_root() {
        return;
    }
    let world = World::new(&[("a.txt", "a\n")]);
    let _small = Small::mount(world.home());
    let tasks = [
        shell("good", "echo b > a.txt", &[]),
        shell("greedy", "cat /dev/zero > big.bin", &["good"]),
    ];
    let said = world.run_plan(&plan_of(&tasks), &[]).expect(1);
    assert_eq!(said.outcome()["state"], "failed", "{said:#?}");
    let view = world.goal("g1");
    assert_eq!(view["tasksDetail"][0]["state"], "succeeded", "{view:#}");
    assert_eq!(view["tasksDetail"][1]["state"], "failed", "{view:#}");
    world.run(&["accept", "g1", "--task", "good"]).expect(0);
    assert_eq!(world.read("a.txt"), "b\n");
    let more = plan_of(&[shell("t", "echo c > a.txt", &[])]);
    world.run_plan(&more, &["--apply"]).expect(0);
    assert_eq!(world.read("a.txt"), "c\n");
    world.run(&["daemon", "stop"]).expect(0);
}
