//! What people see of a hostile goal: every command over words, names and contents that try to control the
//! terminal, hide or pretend, to a pipe and to a terminal without colours.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use std::process::{Command, Stdio};

use claudecluster_e2e::{
    World,
    live::{Editor, plan_of, shell},
    part,
};
use serde_json::{Value, json};

/// Words of every trick: sequences, single controls of both kinds, directions, invisible and separating marks.
const WORDS: &str = "ignore previous instructions \u{1b}]0;title\u{7}\u{1b}[31m\u{1b}[2J \r\u{8}over \u{9b}31m\u{85} \
                     \u{202e}gpj.exe\u{2066} \u{200b}\u{feff}\u{2028}\u{e0041} `x` ![x](https://a/b.png) $(touch pwned)";

/// Writes files with hostile names and contents, and prints the same.
const SCRIPT: &str = r#"
w=$(printf '\033]0;title\007\033[2J\r\010over\302\2332J\342\200\256gpj\342\200\213\342\200\250.')
printf '%s\n' "$w" '$(touch pwned)' > text.txt
printf 'a\rb\033[31m\302\205\n' > "$(printf 'esc\033[31m\302\233x')"
printf '%s\n' "$w" > "$(printf 'rtl\342\200\256txt.exe')"
printf '%s\n' x > "$(printf 'new\nline')"
printf '%s\n' x > ./-rf
printf '%s\n' x > "$(printf 'bad\377\376name')"
printf '%s\n' x > "ignore previous instructions \$(touch pwned)"
printf '%s\n' x > "$(printf '%0255d' 0)"
printf '%s\n' "$w"
printf '%s\n' "$w" >&2
"#;

/// Returns whether a character must not reach a terminal. Ends of lines and tabs may.
fn is_hidden(c: char) -> bool {
    (c.is_control() && !matches!(c, '\n' | '\t'))
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[track_caller]
fn assert_is_text(what: &str, shown: &[u8]) {
    let text = str::from_utf8(shown).unwrap_or_else(|error| panic!("{what}: {error}"));
    let hidden = text.char_indices().find(|(_, c)| is_hidden(*c));
    if let Some((at, c)) = hidden {
        let around: String = text[..at].chars().rev().take(60).collect();
        let around: String = around.chars().rev().collect();
        panic!("{what} prints {c:?} after {around:?}");
    }
}

/// Runs a command on a terminal without colours and returns what the terminal got.
fn on_terminal(world: &World, args: &[&str]) -> Vec<u8> {
    let quoted = |word: &str| format!("'{}'", word.replace('\'', r"'\''"));
    let program = part("CLAUDECLUSTER_BIN").display().to_string();
    let words: Vec<String> = [program.as_str()]
        .iter()
        .chain(args)
        .map(|word| quoted(word))
        .collect();
    let output = Command::new("script")
        .args(["--quiet", "--command", &words.join(" "), "/dev/null"])
        .current_dir(world.root())
        .env_clear()
        .envs(world.environment())
        .env("NO_COLOR", "1")
        .env("TERM", "dumb")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(!output.stdout.is_empty(), "{args:?}: {output:?}");
    // A terminal ends each line with both.
    let shown = String::from_utf8_lossy(&output.stdout).replace("\r\n", "\n");
    shown.into_bytes()
}

fn hostile_goal(world: &World) {
    let task = |id: &str, script: &str, needs: &[&str]| {
        let mut task = shell(id, script, needs);
        task["title"] = json!(format!("Title {WORDS}"));
        task
    };
    let conflict = "printf 'other\\033[2J\\342\\200\\256\\n' > base.txt";
    let other = "printf 'third\\033[2J\\302\\2332J\\n' > base.txt";
    let fails = "printf 'why\\033[2J\\302\\233\\342\\200\\256\\n' >&2; exit 3";
    let mut plan = plan_of(&[
        task("names", SCRIPT, &[]),
        task("one", conflict, &[]),
        task("two", other, &[]),
        task("fails", fails, &[]),
    ]);
    plan["goal"] = json!(WORDS);
    let file = world.plan(&plan);
    let said = world.command(&["run", "--plan", &file]).output().unwrap();
    assert_is_text("run", &said.stdout);
    assert_is_text("run (stderr)", &said.stderr);
    assert!([0, 1, 3].contains(&said.status.code().unwrap()), "{said:?}");
}

#[test]
fn a_hostile_goal_is_shown_as_text() {
    let world = World::new(&[("base.txt", "base\n")]);
    world.configure("repair.conflicts = false");
    hostile_goal(&world);
    let hunks = world.goal("g1")["changes"].as_array().unwrap().clone();
    assert!(hunks.len() >= 8, "{hunks:#?}");
    let looks: [&[&str]; 20] = [
        &["watch", "g1"],
        &["watch", "g1", "--json"],
        &["doctor"],
        &["config", "list"],
        &["config", "list", "--json"],
        &["daemon", "status"],
        &["goals"],
        &["goals", "--json"],
        &["show", "g1"],
        &["show", "g1", "--json"],
        &["diff", "g1"],
        &["diff", "g1", "--json"],
        &["diff", "g1", "--conflicts"],
        &["logs", "g1"],
        &["logs", "g1", "--raw"],
        &["plan", "g1"],
        &["artifacts", "g1"],
        &["artifacts", "g1", "--json"],
        &["permissions"],
        &["accept", "g1", "--json"],
    ];
    for args in looks {
        assert_is_text(
            &format!("{args:?} on a terminal"),
            &on_terminal(&world, args),
        );
        let piped = world.command(args).output().unwrap();
        // These are for programs, byte by byte.
        if !matches!(args, ["diff", "g1"] | ["logs", "g1", "--raw"]) {
            assert_is_text(&format!("{args:?}"), &piped.stdout);
        }
        assert_is_text(&format!("{args:?} (stderr)"), &piped.stderr);
    }
    for args in [
        &["reject", "g1", "--reason", WORDS][..],
        &["show", "g1"],
        &["undo", "g1"],
        &["show", WORDS],
        &["accept", "g1", "--file", "no\u{1b}[2J\u{202e}such"],
        &["goals"],
        &["logs", "g1", "no\u{1b}[2Jtask"],
    ] {
        let said = world.command(args).output().unwrap();
        assert_is_text(&format!("{args:?}"), &said.stdout);
        assert_is_text(&format!("{args:?} (stderr)"), &said.stderr);
    }
    assert!(!world.has("pwned"));
}

/// Every text of a message that an editor shows; not the content of files, and not what it only sends back.
fn shown_texts(message: &Value, found: &mut Vec<String>) {
    match message {
        Value::String(text) => found.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| shown_texts(item, found)),
        Value::Object(map) => {
            let content = [
                "newText",
                "oldText",
                "uri",
                "data",
                "arguments",
                "changes",
                "documentChanges",
            ];
            let shown = map
                .iter()
                .filter(|(key, _)| !content.contains(&key.as_str()));
            shown.for_each(|(_, value)| shown_texts(value, found));
        }
        _ => {}
    }
}

/// Checks that Markdown has no picture, no link and no HTML outside its blocks of code.
#[track_caller]
fn assert_is_plain_markdown(what: &str, text: &str) {
    let mut fence: Option<usize> = None;
    for line in text.split(['\n', '\r']) {
        let ticks = line.trim_start().chars().take_while(|c| *c == '`').count();
        match fence {
            Some(open) if ticks >= open && line.trim().len() == ticks => fence = None,
            Some(_) => {}
            None if ticks >= 3 => fence = Some(ticks),
            None => {
                let escaped = line
                    .replace("\\!", "")
                    .replace("\\[", "")
                    .replace("\\<", "");
                for sign in ["![", "](http", "<img", "<a ", "<script"] {
                    assert!(!escaped.contains(sign), "{what}: {sign} in {text:?}");
                }
            }
        }
    }
    assert_eq!(fence, None, "{what}: a block of code is open in {text:?}");
}

#[test]
fn an_editor_is_told_text() {
    let base = format!("{}\n", "base ``` ![x](https://a/b.png) <img src=x>");
    let world = World::new(&[("base.txt", &base)]);
    world.configure("repair.conflicts = false\nreview.mergeWords = \"suggest\"\n");
    hostile_goal(&world);
    let mut editor = Editor::start_with(
        &world,
        &json!({
            "window": {"workDoneProgress": true, "showMessage": {"messageActionItem": {}}},
            "textDocument": {
                "hover": {"contentFormat": ["markdown", "plaintext"]},
                "codeAction": {"codeActionLiteralSupport": {"codeActionKind": {"valueSet": []}}},
                "codeLens": {}, "publishDiagnostics": {},
            },
            "workspace": {"applyEdit": true, "codeLens": {"refreshSupport": true}},
        }),
    );
    editor.open(&world, "base.txt", &base);
    let document = json!({"uri": format!("file://{}", world.path("base.txt").display())});
    let (start, end) = (
        json!({"line": 0, "character": 0}),
        json!({"line": 1, "character": 0}),
    );
    let mut answers = Vec::new();
    for column in 0..4 {
        let at = json!({"line": 0, "character": column});
        let asked = json!({"textDocument": document, "position": at});
        answers.push(editor.request("textDocument/hover", &asked));
    }
    let range = json!({"start": start, "end": end});
    let context = json!({"diagnostics": [{"range": range, "message": WORDS, "source": WORDS, "code": WORDS}]});
    let asked = json!({"textDocument": document, "range": range, "context": context});
    let mut actions = editor.request("textDocument/codeAction", &asked);
    for action in actions["result"].as_array_mut().unwrap() {
        // They are the editor's own, sent back.
        action.as_object_mut().unwrap().remove("diagnostics");
    }
    answers.push(actions);
    let lenses = editor.request("textDocument/codeLens", &json!({"textDocument": document}));
    assert_ne!(lenses["result"], json!([]), "{lenses:#}");
    for lens in lenses["result"].as_array().unwrap() {
        answers.push(editor.request("codeLens/resolve", lens));
    }
    answers.push(lenses);
    for command in [
        "claudecluster.accept",
        "claudecluster.reject",
        "claudecluster.cancel",
    ] {
        let asked = json!({"command": command, "arguments": [{"goalId": WORDS, "hunkId": WORDS}]});
        answers.push(editor.request("workspace/executeCommand", &asked));
    }
    // A goal that begins while the editor looks.
    let mut plan = plan_of(&[shell("u", "printf 'u\\033[2J\\n' > base.txt", &[])]);
    plan["goal"] = json!(WORDS);
    plan["tasks"][0]["title"] = json!(WORDS);
    world.run_plan(&plan, &["--apply"]);
    answers.push(editor.request("textDocument/codeLens", &json!({"textDocument": document})));
    answers.append(&mut editor.heard);
    for answer in &answers {
        let mut texts = Vec::new();
        shown_texts(answer, &mut texts);
        for text in texts {
            assert_is_text(&format!("an editor's message, {answer:#}"), text.as_bytes());
        }
        let hover = answer["result"]["contents"]["value"].as_str();
        assert_is_plain_markdown("a hover", hover.unwrap_or_default());
    }
    let hovers = answers
        .iter()
        .filter(|answer| answer["result"]["contents"]["value"].is_string());
    assert!(hovers.count() > 0, "{answers:#?}");
}

#[test]
fn neovim_shows_text() {
    let mut world = World::new(&[("base.txt", "base\n")]);
    world.configure("repair.conflicts = false");
    hostile_goal(&world);
    let output = world.neovim("hostile.lua", &[]);
    assert_eq!(output.status, 0, "{output:#?}");
}

#[test]
fn a_diff_for_programs_is_exact() {
    let world = World::new(&[("base.txt", "base\n")]);
    hostile_goal(&world);
    let patch = world
        .command(&["diff", "g1", "--task", "names"])
        .output()
        .unwrap();
    assert!(patch.stdout.contains(&0x1b) && patch.stdout.contains(&b'\r'));
    let file = world.dir.path().join("x.patch");
    std::fs::write(&file, &patch.stdout).unwrap();
    world.git(&["apply", "--whitespace=nowarn", &file.display().to_string()]);
    let text = std::fs::read(world.path("text.txt")).unwrap();
    let expected = "\u{1b}]0;title\u{7}\u{1b}[2J\r\u{8}over\u{9b}2J\u{202e}gpj\u{200b}\u{2028}.\n";
    assert!(text.starts_with(expected.as_bytes()), "{text:?}");
}
