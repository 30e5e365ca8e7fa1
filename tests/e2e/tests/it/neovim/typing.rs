//! Landing while somebody types, in real Neovims: every typed character stays, every hunk lands once, an
//! accept is one undo step, and nothing is saved by anybody but the user.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

use claudecluster_e2e::World;
use serde_json::Value;

#[expect(clippy::print_stderr, reason = "figures for whoever looks")]
fn say(text: &str) {
    eprintln!("{text}");
}

/// Four functions with lines for everybody: the user's slots, the sessions' lines, and the ticks of smaller
/// goals, with lines between them that nobody changes.
fn work(ticks: usize) -> String {
    let mut text = String::new();
    for k in 1..=4 {
        let mut lines = vec![
            format!("start{k} = x + 1"),
            format!("# slot {k}a:"),
            format!("middle{k} = start{k} * 2"),
            format!("limit{k} = 100"),
            format!("# slot {k}c:"),
        ];
        lines.extend((k..=ticks).step_by(4).map(|n| format!("tick{n} = 0")));
        text.push_str(&format!("def f{k}(x):\n"));
        for (n, line) in lines.iter().enumerate() {
            text.push_str(&format!("    {line}\n    \"kept {k}.{n}\"\n"));
        }
        text.push_str(&format!("    return start{k} + middle{k} + limit{k}\n\n\n"));
    }
    text
}

/// The sessions begin together, and end one after the other.
fn script() -> String {
    let mut tasks = String::new();
    let mut rules = String::new();
    for k in 1..=4 {
        tasks.push_str(&format!(
            "                - {{id: f{k}, title: Better f{k}, instructions: Change f{k}}}\n"
        ));
        rules.push_str(&format!(
            r#"
  - name: f{k}
    when: {{userMatches: 'Work on one task of a goal: .* \(f{k}\)'}}
    delay: {k}s
    turns:
      - []
      - - edit: {{path: work.txt, old: "    start{k} = x + 1\n", new: "    start{k} = x + {k}0\n    first{k} = start{k}\n"}}
        - edit: {{path: work.txt, old: "middle{k} = start{k} * 2", new: "middle{k} = 7"}}
        - edit: {{path: work.txt, old: "limit{k} = 100", new: "limit{k} = 2{k}0"}}
      - - structured: {{status: done, summary: Better.}}
"#
        ));
    }
    format!(
        r#"
rules:
  - name: plan
    when: {{user: Plan this goal, tools: [StructuredOutput]}}
    turns:
      - - read: work.txt
      - - structured:
            status: done
            summary: Four functions.
            plan:
              tasks:
{tasks}
  - name: together
    when: {{userMatches: 'Work on one task of a goal: .* \((f\d)\)', turn: 0}}
    together: 4
    times: 4
    answer:
      - read: work.txt
{rules}
"#
    )
}

/// How long the typing goes on.
fn seconds() -> usize {
    std::env::var("CLAUDECLUSTER_TYPING_SECONDS")
        .map_or(60, |n| n.parse().expect("a number of seconds"))
}

#[test]
fn a_minute_of_typing_while_four_sessions_change_the_same_functions() {
    let seconds = seconds();
    // More than can be done in that time.
    let text = work(seconds / 2);
    let mut world = World::new(&[("work.txt", &text)]);
    world.with_claude();
    let model = world.model(&script());
    let said = world.neovim("typing.lua", &[&seconds.to_string()]);
    let requests: Vec<_> = model.turns().into_iter().map(|turn| turn.rule).collect();
    assert_eq!(said.status, 0, "{said:#?}\n{requests:?}");
    let figures: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(
        world.read("work.txt"),
        format!("{}\n", figures["text"].as_str().unwrap()),
        "what was saved at the end is what was typed and what was accepted"
    );
    let hunks = &world.goal("g1")["hunks"];
    assert_eq!(
        (&hunks["landed"], &hunks["rejected"]),
        (&10.into(), &2.into())
    );
    for (n, landed) in figures["landed"].as_array().unwrap().iter().enumerate() {
        let hunks = &world.goal(&format!("g{}", n + 2))["hunks"];
        assert_eq!(&hunks["landed"], landed, "{hunks}");
    }
    say(&format!(
        "{} keys in {} s, {} landings, {} asked for again, the slowest after {} s",
        figures["keys"],
        figures["seconds"],
        figures["landings"],
        figures["pressedAgain"],
        figures["slowest"]
    ));
}

/// Nine lines in one file, and a case of `neovim/modes.lua`.
fn check_mode(case: &str) {
    let text: String = (1..=9).map(|n| format!("a{n}\n")).collect();
    let mut world = World::new(&[("f.txt", &text)]);
    let said = world.neovim("modes.lua", &[case]);
    assert_eq!(said.status, 0, "{said:#?}");
    assert_eq!(world.read("f.txt"), text, "nothing was saved");
}

#[test]
fn a_landing_while_completions_are_offered() {
    check_mode("completion");
}

#[test]
fn a_landing_at_the_line_that_is_typed() {
    check_mode("at_the_line");
}

#[test]
fn a_landing_at_the_line_that_is_typed_without_a_rest() {
    check_mode("at_the_line_without_a_rest");
}

#[test]
fn a_landing_during_a_block_insert() {
    check_mode("block_insert");
}

#[test]
fn a_landing_beside_a_selection() {
    check_mode("selection");
}

#[test]
fn a_landing_between_macros() {
    check_mode("macro");
}

/// Files with `AAA` in them, which a goal makes `bbb` while they are open.
fn check_files(how: &str, files: &[(&str, Vec<u8>)]) {
    let mut world = World::without_git(&[]);
    for (name, bytes) in files {
        world.write(name, bytes);
    }
    for args in [
        &["init", "-q", "-b", "main"][..],
        &["add", "-A"],
        &["commit", "-qm", "first"],
    ] {
        world.git(args);
    }
    let names: Vec<&str> = files.iter().map(|(name, _)| *name).collect();
    let said = world.neovim("files.lua", &[&[how], &names[..]].concat());
    assert_eq!(said.status, 0, "{said:#?}");
    for (name, before) in files {
        let at = before.windows(3).position(|part| part == b"AAA").unwrap();
        let after = [&before[..at], b"bbb", &before[at + 3..]].concat();
        let found = std::fs::read(world.path(name)).unwrap();
        assert!(found == after, "{name}: {} bytes", found.len());
    }
}

#[test]
fn files_of_every_kind() {
    let long: String = (0..50_000).map(|n| format!("line {n}\n")).collect();
    let minified = "function(a){return a+1};".repeat(42_000);
    let middle = |text: &str| {
        let half = text.len() / 2 - 3;
        [&text[..half], "AAA", &text[half..]].concat().into_bytes()
    };
    let wide = "😀 one\u{2028}still one\ne\u{301} 👩‍👩‍👧 AAA 😀\nlast 😀\n";
    check_files(
        "open",
        &[
            ("dos.txt", b"one\r\ntwo AAA\r\nthree\r\n".to_vec()),
            ("wide.txt", wide.into()),
            ("no-newline.txt", b"one\ntwo\nthree AAA".to_vec()),
            ("dos-no-newline.txt", b"one\r\ntwo\r\nthree AAA".to_vec()),
            ("mark.txt", b"\xef\xbb\xbfone\nAAA\n".to_vec()),
            ("long.txt", middle(&long)),
            ("line.js", middle(&minified)),
        ],
    );
}

#[test]
fn a_file_that_is_shown_converted_lands_once_it_is_closed() {
    let latin = b"gr\xfc\xdfe\nAAA \xe9t\xe9\nend\n".to_vec();
    check_files("closed", &[("latin.txt", latin)]);
}

#[test]
fn a_file_whose_lines_neovim_counts_in_its_own_way_lands_once_it_is_closed() {
    let returns = b"one\rstill one\ntwo\nAAA\nfour\n".to_vec();
    check_files("closed", &[("returns.txt", returns)]);
}
