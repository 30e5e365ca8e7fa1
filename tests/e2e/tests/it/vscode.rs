//! The whole way in a real VS Code in a real browser: a goal from the palette, planned and done by real
//! Claude Code sessions in parallel, and decided in the text, the view and the diff editor.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking, and prints figures for people"
)]

use std::{
    fmt::Write,
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use claudecluster_e2e::{
    World,
    greetings::{FILES, rules},
    hosts::{REACH, hosts_world},
    part,
};
use claudecluster_model::Server;

/// A second goal, beside the one of the greetings.
const VALUES: &str = r#"
rules:
  - name: second plan
    when: {user: Plan this goal, userMatches: number the values, tools: [StructuredOutput]}
    turns:
      - - structured:
            status: done
            summary: One file, and a look at it.
            plan:
              tasks:
                - {id: values, title: Number them, instructions: Number the values, writes: [values.py]}
                - {id: users, title: Look who uses them, instructions: Read the others}
                - {id: report, title: Report, instructions: Say what is left, dependsOn: [values, users]}
  - name: values
    when: {userMatches: '\(values\)'}
    hold: second
    turns:
      - - run: awk '$1 == "value_5000" {$3 = "numbered"} 1' values.py > new.py && mv new.py values.py
      - - structured: {status: done, summary: Numbered them.}
  - name: looks
    when: {userMatches: '\((users|report)\)'}
    answer:
      - structured: {status: done, summary: Nothing is left.}
"#;

/// Drives the editor with a script of tests/e2e/vscode. Its pictures are kept below the target folder.
/// A line `release NAME` that it prints lets the model's answers of that name go.
fn drive(world: &World, model: &Server, script: &str) {
    drive_in(world, model, script, &world.root());
}

/// The same where something else than the folder of the world is opened.
fn drive_in(world: &World, model: &Server, script: &str, workspace: &Path) {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let shots = target().join("vscode-shots").join(script);
    let _ = fs::remove_dir_all(&shots);
    let node = part("CLAUDECLUSTER_TEST_VSCODE").join("bin/node");
    let mut command = Command::new(node);
    command
        .arg(here.join("vscode").join(script).with_extension("mjs"))
        .args([workspace, &world.dir.path().join("editor"), &shots])
        .current_dir(world.root())
        .env_clear()
        .envs(world.environment())
        .stdout(Stdio::piped());
    for name in ["VSCODE", "CHROMIUM", "EXTENSION"] {
        let variable = format!("CLAUDECLUSTER_TEST_{name}");
        command.env(&variable, part(&variable));
    }
    command.env("CLAUDECLUSTER_SERVER", part("CLAUDECLUSTER_BIN"));
    let mut child = command.spawn().unwrap();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        match line.strip_prefix("release ") {
            Some(name) => model.release(name),
            None => println!("{line}"),
        }
    }
    let status = child.wait().unwrap();
    assert!(status.success(), "{status}; pictures: {}", shots.display());
}

/// Cargo's folder, which holds this program.
fn target() -> PathBuf {
    let exe = std::env::current_exe().unwrap();
    let target = exe
        .ancestors()
        .find(|folder| folder.join("CACHEDIR.TAG").exists());
    target.unwrap().to_path_buf()
}

/// A file with so many lines that work on all of it at each key would be felt.
fn many_values() -> String {
    (0..10_000).fold(String::new(), |mut text, n| {
        writeln!(text, "value_{n} = {n}").unwrap();
        text
    })
}

#[test]
fn goals_from_the_palette_to_accepted_changes() {
    let values = many_values();
    let mut world = World::new(&[&FILES[..], &[("values.py", &values)]].concat());
    world.with_claude();
    // The workers go on once it has been seen that they work.
    let held = rules("typed, in no file").replace("times: 3\n", "times: 3\n    hold: workers\n");
    let model = world.model(&format!("{VALUES}{held}"));
    drive(&world, &model, "story");

    // What was saved at the end is what was typed and what was accepted.
    world.has_new_greetings("# typed, in no file", "# typed while nobody served");
    let numbered = values.replace("value_5000 = 5000", "value_5000 = numbered");
    assert_eq!(world.read("values.py"), numbered);
    let hunks = ["g1", "g2"].map(|goal| {
        let view = world.run(&["show", goal, "--json"]).expect(0).json();
        let hunks = &view[0]["hunks"];
        (hunks["landed"].clone(), hunks["rejected"].clone())
    });
    assert_eq!(hunks, [(2.into(), 1.into()), (1.into(), 0.into())]);
}

/// Two tasks that fetch the same page before they write.
const ASKING: &str = r"
rules:
  - name: plan
    when: {user: Plan this goal, tools: [StructuredOutput]}
    turns:
      - - structured:
            status: done
            summary: Two files.
            plan:
              tasks:
                - {id: one, title: One, instructions: Fetch it, writes: [one.txt]}
                - {id: two, title: Two, instructions: Fetch it, writes: [two.txt]}
  - name: task
    when: {userMatches: 'Work on one task of a goal: .* \((?<id>one|two)\)'}
    turns:
      - - tool: WebFetch
          input: {url: 'http://127.0.0.1:9/docs', prompt: what is it}
      - - write: {path: '{{id}}.txt', content: done}
      - - structured: {status: done, summary: 'did {{id}}'}
";

#[test]
fn a_question_of_two_workers_is_answered_once() {
    let mut world = World::new(&[("README.md", "a project\n")]);
    // The question is about the tool, not about the host that it would reach.
    world.with_claude_and("permissions.ask = [\"WebFetch\"]\nnetwork.mode = \"open\"\n");
    let model = world.model(ASKING);
    drive(&world, &model, "permission");
    let view = world.run(&["show", "g1", "--json"]).expect(0).json();
    assert_eq!(view[0]["permissionsWaiting"], 0, "{view:#?}");
    assert_eq!(view[0]["succeeded"], 2, "{view:#?}");
}

/// A task whose program reaches a host.
fn reaching() -> String {
    let run = serde_json::json!(REACH);
    format!(
        "
rules:
  - name: plan
    when: {{user: Plan this goal, tools: [StructuredOutput]}}
    turns:
      - - structured:
            status: done
            summary: One file.
            plan:
              tasks:
                - {{id: reach, title: Reach, instructions: Reach it, writes: [said]}}
  - name: task
    when: {{userMatches: '\\(reach\\)'}}
    turns:
      - - run: {run}
      - - structured: {{status: done, summary: Reached it.}}
"
    )
}

#[test]
fn a_host_is_allowed_for_always() {
    let mut world = hosts_world(&[("README.md", "a project\n")], |_| "hello".to_owned());
    world.with_claude();
    let model = world.model(&reaching());
    drive(&world, &model, "host");
    let config = fs::read_to_string(world.dir.path().join("config.toml")).unwrap();
    assert!(config.contains("allow = [\"host.example\"]"), "{config}");
}

const MENDING: &str = r#"
rules:
  - name: plan
    when: {user: Plan this goal, userMatches: Colon expected, tools: [StructuredOutput]}
    turns:
      - - structured:
            status: done
            summary: One file.
            plan:
              tasks:
                - {id: mend, title: Mend the file, instructions: Put the colon in, writes: [data.json]}
  - name: mend
    when: {userMatches: '\(mend\)'}
    turns:
      - - read: data.json
      - - edit: {path: data.json, old: '"a" 1', new: '"a": 1'}
      - - structured: {status: done, summary: Put the colon in.}
"#;

#[test]
fn a_problem_is_mended_by_a_plan_that_was_edited() {
    let mut world = World::new(&[("data.json", "{\n  \"a\" 1\n}\n")]);
    world.with_claude_and("approvePlans = true\n");
    let model = world.model(MENDING);
    drive(&world, &model, "plan");
    let view = world.run(&["show", "g1", "--json"]).expect(0).json();
    assert_eq!(view[0]["plan"]["tasks"][0]["pause"], true, "{view:#?}");
    assert_eq!(view[0]["hunks"]["landed"], 1, "{view:#?}");
}

/// What a task paints, and somebody else paints otherwise meanwhile. Two more tasks want different things
/// of one line, which no repair brings together before somebody asks for it.
const CONFLICTS: &str = r#"
rules:
  - name: plan
    when: {user: Plan this goal, tools: [StructuredOutput]}
    turns:
      - - structured:
            status: done
            summary: Four files.
            plan:
              tasks:
                - {id: paint, title: Paint it blue, instructions: Paint, writes: [paint.py, alone.py, old.py]}
                - {id: left, title: To the left, instructions: Go left}
                - {id: right, title: To the right, instructions: Go right}
  - name: in vain
    when: {user: Work on a repair}
    times: 1
    answer:
      - structured: {status: blocked, summary: They exclude each other.}
  - name: repair
    when: {user: Work on a repair}
    turns:
      - - read: paint.py
      - - edit: {path: paint.py, old: "return 'green'  # fourth", new: "return 'turquoise'  # fourth"}
      - - structured: {status: done, summary: Mixed both.}
  - name: paint
    when: {userMatches: 'Work on one task of a goal: .* \(paint\)'}
    hold: typed
    turns:
      - - run: sed -i -e s/red/blue/ -e "s/mix(a, b)/mix(a, b, 'blue')/" paint.py alone.py && rm old.py
      - - structured: {status: done, summary: Painted.}
  - name: shared
    when: {userMatches: 'Work on one task of a goal: .* \((?<id>left|right)\)'}
    turns:
      - - run: sed -i s/straight/{{id}}/ shared.py
      - - structured: {status: done, summary: 'Went {{id}}.'}
"#;

#[test]
fn conflicts_are_resolved_in_each_way() {
    let mut world = World::new(&[
        ("paint.py", PAINT),
        ("alone.py", "def alone():\n    return 'red'\n"),
        ("old.py", "OLD = 1\n"),
        ("shared.py", "def go():\n    return 'straight'\n"),
    ]);
    world.with_claude();
    let model = world.model(CONFLICTS);
    drive(&world, &model, "conflict");
    // What was taken back is still to be decided. How it fits is another matter: nothing was saved.
    let view = world.run(&["show", "g1", "--json"]).expect(0).json();
    let changes = view[0]["changes"].as_array().unwrap();
    assert!(
        changes.iter().any(|hunk| hunk["path"] == "alone.py"),
        "{view:#?}"
    );
}

/// A task that deletes a file once somebody has typed into it.
const DELETION: &str = r"
rules:
  - name: plan
    when: {user: Plan this goal, tools: [StructuredOutput]}
    turns:
      - - structured:
            status: done
            summary: One file.
            plan: {tasks: [{id: remove, title: Remove it, instructions: Remove it, writes: [old.py]}]}
  - name: remove
    when: {userMatches: '\(remove\)'}
    hold: typed
    turns:
      - - run: rm old.py
      - - structured: {status: done, summary: Nobody used it.}
";

#[test]
fn a_file_goes_with_what_was_never_saved_in_it() {
    let mut world = World::new(&[("old.py", "OLD = 1\n"), ("new.py", "NEW = 1\n")]);
    world.with_claude();
    let model = world.model(DELETION);
    drive(&world, &model, "deletion");
    assert_eq!(world.read("old.py"), "# never saved\nOLD = 1\n");
}

const PAINT: &str = "\
def first():
    return 'red'  # first


def second():
    return 'red'  # second


def merged(a, b):
    return mix(a, b)


def third():
    return 'red'  # third


def fourth():
    return 'red'  # fourth
";

/// A task that does its work when it is tried again, and one that waits.
const TOOLS: &str = r#"
rules:
  - name: plan tidy
    when: {user: Plan this goal, userMatches: tidy the api, tools: [StructuredOutput]}
    turns:
      - - structured:
            status: done
            summary: One file.
            plan: {tasks: [{id: tidy, title: Tidy up, instructions: Tidy, writes: [api.py]}]}
  - name: plan paint
    when: {user: Plan this goal, tools: [StructuredOutput]}
    turns:
      - - structured:
            status: done
            summary: One file.
            plan: {tasks: [{id: paint, title: Paint, instructions: Paint, writes: [main.py]}]}
  - name: in vain
    when: {userMatches: '\(tidy\)'}
    times: 1
    answer:
      - structured: {status: blocked, summary: There is no broom.}
  - name: paint
    when: {userMatches: '\(paint\)'}
    hold: paint
    turns:
      - - run: sed -i s/white/blue/ main.py
      - - structured: {status: done, summary: Painted.}
  - name: tidy
    when: {tools: [StructuredOutput]}
    turns:
      - - run: sed -i s/mess/tidy/ api.py
      - - structured: {status: done, summary: Tidied up.}
"#;

#[test]
fn two_repositories_in_one_window() {
    let mut world = World::new(&[("main.py", "COLOR = 'white'\n")]);
    world.with_claude_and("approvePlans = true\n");
    let model = world.model(TOOLS);
    // The second is open by a link, which its goals know nothing of.
    let real = world.dir.path().join("elsewhere/api");
    fs::create_dir_all(&real).unwrap();
    fs::write(real.join("api.py"), "def api():\n    return 'mess'\n").unwrap();
    let api = real.display().to_string();
    for args in [
        &["init", "-q"][..],
        &["add", "-A"],
        &["commit", "-q", "-m", "first"],
    ] {
        world.git(&[&["-C", &api], args].concat());
    }
    std::os::unix::fs::symlink(&real, world.dir.path().join("api")).unwrap();
    let both = world.dir.path().join("both.code-workspace");
    let folders = serde_json::json!([{"path": "project", "name": "web"}, {"path": "api"}]);
    fs::write(&both, serde_json::json!({"folders": folders}).to_string()).unwrap();
    drive_in(&world, &model, "tools", &both);

    let text = fs::read_to_string(real.join("api.py")).unwrap();
    assert_eq!(text, "def api():\n    return 'tidy'\n");
    assert_eq!(world.read("main.py"), "COLOR = 'white'\n");
}
