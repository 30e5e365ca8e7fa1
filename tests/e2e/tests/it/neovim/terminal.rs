//! The plugin as somebody sees it: Neovim in a real terminal, keys typed into it, the screen looked at. The
//! sessions are real Claude Code.

use claudecluster_e2e::{World, neovim::plugin, part, terminal::Terminal};

const SCRIPT: &str = r#"
rules:
  - name: plan
    when: {user: Plan this goal, tools: [StructuredOutput]}
    turns:
      - - read: greet.txt
      - - structured:
            status: done
            summary: Two files.
            plan:
              tasks:
                - {id: greet, title: Greet politely, instructions: Change greet, writes: [greet.txt]}
                - {id: parse, title: Strip fields, instructions: Change parse, writes: [parse.txt]}
  - name: greet
    when: {userMatches: '\(greet\)'}
    turns:
      - - read: greet.txt
      - - edit: {path: greet.txt, old: hello, new: good day}
      - - structured: {status: done, summary: Greets politely now.}
  - name: parse
    when: {userMatches: '\(parse\)'}
    turns:
      - - read: parse.txt
      - - edit: {path: parse.txt, old: fields, new: stripped fields}
      - - structured: {status: done, summary: Strips fields now.}
"#;

/// A Neovim with a file open.
fn neovim(world: &World, name: &str, file: &str, command: &str) -> Terminal {
    let program = part("CLAUDECLUSTER_TEST_NVIM").display().to_string();
    let plugin = format!("set hidden rtp^={}", plugin().display());
    let enable = "lua require('claudecluster').setup({ settings = { scope = 'workspace' } })";
    let status = "set statusline=%f\\ [%{v:lua.require'claudecluster'.status()}]";
    let args = [
        program.as_str(),
        "--clean",
        "-i",
        "NONE",
        "-n",
        "--cmd",
        &plugin,
        "--cmd",
        enable,
        "--cmd",
        status,
        file,
        command,
    ];
    Terminal::start(world, name, (100, 34), &args)
}

#[test]
fn a_goal_is_stated_followed_and_reviewed_on_the_screen() {
    let mut world = World::new(&[
        ("greet.txt", "one\nhello\nthree\n"),
        ("parse.txt", "a\nfields\nc\n"),
    ]);
    world.with_claude();
    world.with_program_on_path();
    let _model = world.model(SCRIPT);
    // The first command comes before the server has started.
    let first = neovim(&world, "first", "greet.txt", "+ClaudeCluster goals");
    first.shows(&["No goals yet", "g? lists the keys"]);
    first.press(&["q"]);
    // Two on one workspace.
    let second = neovim(&world, "second", "parse.txt", "+ClaudeCluster goals");
    second.shows(&["No goals yet"]);
    second.press(&["q"]);

    // The goal is written in a window of its own.
    first.command("ClaudeCluster goal");
    first.shows(&["Goal for the workspace.  :w starts it, :q! discards it."]);
    first.type_in("make it nicer");
    first.press(&["Enter"]);
    first.type_in("in both files");
    first.press(&["Escape"]);
    first.command("w");
    first.shows(&["g1 proposes changes to 2 files"]);

    // What is pending is in the text of both, with who proposes it, and in the status line.
    first.shows(&["good day  Greet politely (g1)", "greet.txt [2 pending]"]);
    second.shows(&[
        "stripped fields  Strip fields (g1)",
        "parse.txt [2 pending]",
    ]);

    // Typing beside it leaves it where it belongs.
    first.type_in("Oabove");
    first.press(&["Escape"]);
    let screen = first.shows(&["above", "good day  Greet politely (g1)"]);
    let lines: Vec<&str> = screen.lines().take(5).map(str::trim).collect();
    let expected = [
        "above",
        "one",
        "~ hello",
        "good day  Greet politely (g1)",
        "three",
    ];
    assert_eq!(lines, expected, "{screen}");

    // The goals, and an accept from there.
    first.command("ClaudeCluster goals");
    first.shows(&[
        "◆ g1   proposed   make it nicer in both files   2/2 tasks · 2 pending",
        "✓ succeeded  greet  Greet politely",
        "~ 3       good day",
        "~ 2       stripped fields",
    ]);
    first.type_in("/good day");
    first.press(&["Enter"]);
    first.type_in("a");
    first.shows(&["ClaudeCluster g1: greet.txt", "1 pending"]);
    let lines: Vec<String> = first
        .screen()
        .lines()
        .take(4)
        .map(|line| line.trim().to_owned())
        .collect();
    assert_eq!(lines, ["above", "one", "good day", "three"]);

    // The editor's undo in the file, and the goals follow.
    first.press(&["C-w", "k"]);
    first.type_in("u");
    first.shows(&["~ hello", "good day  Greet politely (g1)", "2 pending"]);
    first.press(&["C-r"]);
    first.shows(&["1 pending"]);

    // The other Neovim decides the rest; this one sees the end of the goal.
    second.command("%ClaudeCluster accept");
    second.shows(&["stripped fields", "parse.txt []"]);
    first.shows(&["✓ g1   applied    make it nicer in both files"]);
    for terminal in [&first, &second] {
        terminal.command("wall");
    }
    first.shows(&["greet.txt\" 4L"]);
    second.shows(&["parse.txt\" 3L"]);
    assert_eq!(world.read("greet.txt"), "above\none\ngood day\nthree\n");
    assert_eq!(world.read("parse.txt"), "a\nstripped fields\nc\n");
}
