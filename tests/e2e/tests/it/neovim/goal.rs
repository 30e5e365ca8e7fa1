//! The whole way in a real Neovim: a goal about unsaved text, planned and done by real Claude Code
//! sessions in parallel, and decided with code actions.

use claudecluster_e2e::World;

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
    when: {userMatches: '\(greet\)', text: 'typed 😀, in no file'}
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

#[test]
fn a_goal_from_unsaved_text_to_accepted_changes() {
    let mut world = World::new(&[
        (
            "greet.py",
            "def greet(name):\n    return 'hello ' + name\n\n\ndef wave():\n    return 'o/'\n",
        ),
        ("parse.py", "def parse(text):\n    return text.split(',')\n"),
        ("show.py", "def show(items):\n    print(items)\n"),
    ]);
    world.with_claude();
    let model = world.model(SCRIPT);
    // The daemon may have been started from somewhere else: keys and paths are the editor's.
    let mut elsewhere = world.command(&["daemon", "start"]);
    elsewhere
        .env_remove("ANTHROPIC_BASE_URL")
        .env_remove("ANTHROPIC_API_KEY");
    assert!(elsewhere.status().unwrap().success());

    let output = world.neovim("goal.lua", &[]);
    let requests: Vec<_> = model.turns().into_iter().map(|turn| turn.rule).collect();
    assert_eq!(output.status, 0, "{}\n{requests:?}", output.stderr);

    // What was saved at the end is what was typed and what was accepted.
    assert_eq!(
        world.read("greet.py"),
        "# typed 😀, in no file\ndef greet(name):\n    return 'good day ' + name\n\n\n\
         def wave():\n    return 'o/'\n# typed later\n"
    );
    assert!(world.read("parse.py").contains("f.strip()"));
    assert_eq!(
        world.read("show.py"),
        "def show(items):\n    print(items)\n"
    );
    assert!(!world.has("NOTES.md"));
    let view = world
        .run(&["show", "g1", "--json"])
        .expect(0)
        .json()
        .remove(0);
    assert_eq!(view["hunks"]["landed"], 2, "{view}");
    assert_eq!(view["hunks"]["rejected"], 1, "{view}");
    assert_eq!(view["spec"]["scope"]["kind"], "open");
    assert_eq!(view["spec"]["scope"]["selection"]["path"], "greet.py");
}
