//! The whole way in a real VS Code in a real browser: a goal from the palette, planned and done by real
//! Claude Code sessions in parallel, and decided in the text, the view and the diff editor.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use claudecluster_e2e::{World, part, said};

const SCRIPT: &str = r#"
rules:
  - name: plan
    when: {user: Plan this goal, tools: [StructuredOutput]}
    turns:
      - - read: greet.py
      - - structured:
            status: done
            summary: Three files.
            plan:
              tasks:
                - {id: greet, title: Greet politely, instructions: Change greet, writes: [greet.py]}
                - {id: parse, title: Strip fields, instructions: Change parse, writes: [parse.py]}
                - {id: show, title: Show lines, instructions: Change show, writes: [show.py]}
  - name: together
    when: {userMatches: 'Work on one task of a goal: .* \((greet|parse|show)\)', turn: 0}
    together: 3
    times: 3
    answer:
      - run: cat greet.py parse.py show.py
  - name: greet
    when: {userMatches: '\(greet\)', text: 'typed, in no file'}
    turns:
      - []
      - - edit: {path: greet.py, old: "'hello '", new: "'good day '"}
      - - structured: {status: done, summary: Greets politely now.}
  - name: parse
    when: {userMatches: '\(parse\)'}
    turns:
      - []
      - - read: parse.py
        - run: echo notes > NOTES.md
      - - edit: {path: parse.py, old: "text.split(',')", new: "[f.strip() for f in text.split(',')]"}
      - - structured: {status: done, summary: Strips fields now.}
  - name: show
    when: {userMatches: '\(show\)'}
    turns:
      - []
      - - read: show.py
      - - edit: {path: show.py, old: print(items), new: print(*items)}
      - - structured: {status: done, summary: Shows lines now.}
"#;

/// Drives the editor with a script of tests/e2e/vscode. Its pictures are kept below the target folder.
fn drive(world: &World, script: &str) {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let shots = target().join("vscode-shots").join(script);
    let _ = fs::remove_dir_all(&shots);
    let node = part("CLAUDECLUSTER_TEST_VSCODE").join("bin/node");
    let mut command = Command::new(node);
    command
        .arg(here.join("vscode").join(script).with_extension("mjs"))
        .args([&world.root(), &world.dir.path().join("editor"), &shots])
        .current_dir(world.root())
        .env_clear()
        .envs(world.environment());
    for name in ["VSCODE", "CHROMIUM", "EXTENSION"] {
        let variable = format!("CLAUDECLUSTER_TEST_{name}");
        command.env(&variable, part(&variable));
    }
    command.env("CLAUDECLUSTER_SERVER", part("CLAUDECLUSTER_BIN"));
    let output = said(&command.output().unwrap());
    let shots = shots.display();
    assert_eq!(output.status, 0, "{}\npictures: {shots}", output.stderr);
}

/// Cargo's folder, which holds this program.
fn target() -> PathBuf {
    let exe = std::env::current_exe().unwrap();
    let target = exe.ancestors().find(|folder| folder.join("CACHEDIR.TAG").exists());
    target.unwrap().to_path_buf()
}

#[test]
fn a_goal_from_the_palette_to_accepted_changes() {
    let mut world = World::new(&[
        (
            "greet.py",
            "def greet(name):\n    return 'hello ' + name\n\n\ndef wave():\n    return 'o/'\n",
        ),
        ("parse.py", "def parse(text):\n    return text.split(',')\n"),
        ("show.py", "def show(items):\n    print(items)\n"),
    ]);
    world.with_claude();
    let _model = world.model(SCRIPT);
    drive(&world, "story");
}
