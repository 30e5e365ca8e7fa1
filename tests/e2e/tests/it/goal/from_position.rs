//! From a problem in a real Neovim to an accepted change: what a checker reports becomes a goal by a code
//! action, while the text moves, and is not started twice.

use claudecluster_e2e::World;

const SCRIPT: &str = r#"
rules:
  - name: plan
    when:
      userMatches: '(?s)Plan this goal.*> Fix in greet\.py: no such word: \(checker E999\)\n> `retrun`\n.*lines 3 to 3 of greet\.py'
      tools: [StructuredOutput]
    turns:
      - - structured:
            status: done
            summary: One file.
            plan:
              tasks:
                - {id: spell, title: Spell it right, instructions: Correct the word, writes: [greet.py]}
  - name: spell
    when: {userMatches: '\(spell\)'}
    turns:
      - - read: greet.py
      - - edit: {path: greet.py, old: retrun, new: return}
      - - structured: {status: done, summary: It is spelled right now.}
"#;

#[test]
fn a_problem_becomes_an_accepted_change() {
    let mut world = World::new(&[(
        "greet.py",
        "def greet(name):\n    retrun 'hello ' + name\n\n\ndef wave():\n    pirnt('o/')\n",
    )]);
    world.with_claude();
    let model = world.model(SCRIPT);
    let output = world.neovim("where.lua", &[]);
    let requests: Vec<_> = model.turns().into_iter().map(|turn| turn.rule).collect();
    assert_eq!(output.status, 0, "{}\n{requests:?}", output.stderr);
    assert_eq!(
        world.read("greet.py"),
        "# new\ndef greet(name):\n    return 'hello ' + name\n\n\ndef wave():\n    pirnt('o/')\n"
    );
    let view = world
        .run(&["show", "g1", "--json"])
        .expect(0)
        .json()
        .remove(0);
    let scope = &view["spec"]["scope"];
    assert_eq!(scope["kind"], "files", "{view}");
    assert_eq!(scope["selection"]["startLine"], 2, "{view}");
}
