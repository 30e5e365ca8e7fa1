//! Every command that a hint or a message names is one that works in the state it is printed in.
//!
//! [`SITES`] has a row for each place in the sources that names a `claudecluster …` command, and the test that
//! runs it. A new place fails [`every_place_that_names_a_command_has_a_test`] until it has a row and a test.
//! Places are known by the shape of their command, never by their words.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Output, Stdio},
};

use serde_json::{Value, json};

use crate::support::User;

/// The shape of a command, and for each place that names it the test that runs it. `{}` stands for a value or
/// for one of several options, `[]` for what may be left out.
const SITES: &[(&str, &[&str])] = &[
    (
        "accept {}",
        &[
            "a_proposal",
            "what_is_not_there",
            "hunks_that_do_not_conflict",
        ],
    ),
    ("accept {} --file {}", &["held_changes", "held_changes"]),
    ("allow {}", &["permissions"]),
    ("allow {} []", &["permissions"]),
    ("approve {}", &["a_waiting_plan", "a_waiting_plan"]),
    ("approve {} --plan {}", &["a_waiting_plan"]),
    ("approve {} --task {}", &["a_paused_task"]),
    ("artifacts {}", &["places_without_a_front_here"]),
    (
        "cancel {}",
        &[
            "a_waiting_plan",
            "a_paused_task",
            "places_without_a_front_here",
        ],
    ),
    ("config check", &["configuration"]),
    ("config edit", &["configuration"]),
    (
        "config list",
        &[
            "configuration",
            "configuration",
            "configuration",
            "agents_that_may_not_run",
        ],
    ),
    ("config path", &["configuration"]),
    ("config set claude.program {}", &["agents_that_may_not_run"]),
    (
        "config set review.mergeWords suggest",
        &["words_that_are_not_merged"],
    ),
    (
        "daemon stop",
        &[
            "words_that_are_not_merged",
            "places_without_a_front_here",
            "places_without_a_front_here",
            "places_without_a_front_here",
            "places_without_a_front_here",
            "places_without_a_front_here",
            "places_without_a_front_here",
            "places_without_a_front_here",
            "places_without_a_front_here",
        ],
    ),
    ("daemon stop --force", &["places_without_a_front_here"]),
    ("daemon status", &["places_without_a_front_here"]),
    ("demo --agent native", &["the_demo", "the_demo"]),
    ("deny {} []", &["permissions"]),
    (
        "diff {}",
        &[
            "a_proposal",
            "a_waiting_plan",
            "tasks_that_fail",
            "tasks_that_fail",
            "tasks_that_fail",
            "providers_that_fail",
            "what_is_not_there",
            "what_is_not_there",
            "what_is_not_there",
            "places_without_a_front_here",
            "places_without_a_front_here",
        ],
    ),
    (
        "diff {} --conflicts",
        &["conflicts", "conflicts", "conflicts", "conflicts"],
    ),
    (
        "doctor",
        &[
            "the_demo",
            "places_without_a_front_here",
            "places_without_a_front_here",
            "places_without_a_front_here",
            "places_without_a_front_here",
            "places_without_a_front_here",
            "places_without_a_front_here",
        ],
    ),
    ("goals", &["what_is_not_there", "what_is_not_there"]),
    (
        "logs {}",
        &["tasks_that_fail", "tasks_that_fail", "tasks_that_fail"],
    ),
    ("permissions", &["what_is_not_there"]),
    ("plan {}", &["places_without_a_front_here"]),
    ("plan {} --edit", &["a_waiting_plan"]),
    ("reject {}", &["a_proposal", "what_is_not_there"]),
    ("resolve {} --markers", &["conflicts"]),
    ("resolve {} --text {}", &["conflicts"]),
    ("resolve {} {}", &["conflicts"]),
    (
        "retry {}",
        &[
            "tasks_that_fail",
            "providers_that_fail",
            "providers_that_fail",
            "places_without_a_front_here",
            "places_without_a_front_here",
        ],
    ),
    ("run --plan {}", &["places_without_a_front_here"]),
    ("run --plan-only {}", &["what_is_not_there"]),
    (
        "run {}",
        &[
            "what_is_not_there",
            "what_is_not_there",
            "the_demo",
            "places_without_a_front_here",
        ],
    ),
    (
        "show {}",
        &[
            "held_changes",
            "an_undo_that_leaves_something",
            "tasks_that_fail",
            "what_is_not_there",
            "what_is_not_there",
            "what_is_not_there",
            "what_is_not_there",
            "places_without_a_front_here",
            "places_without_a_front_here",
        ],
    ),
    ("undo {}", &["a_proposal"]),
    (
        "watch {}",
        &[
            "a_waiting_plan",
            "a_paused_task",
            "tasks_that_fail",
            "a_goal_that_is_open_already",
            "places_without_a_front_here",
            "places_without_a_front_here",
        ],
    ),
];

const SUBCOMMANDS: &[&str] = &[
    "accept",
    "allow",
    "approve",
    "artifacts",
    "cancel",
    "completions",
    "config",
    "daemon",
    "demo",
    "deny",
    "diff",
    "doctor",
    "goals",
    "logs",
    "lsp",
    "permissions",
    "plan",
    "redo",
    "reject",
    "resolve",
    "retry",
    "run",
    "show",
    "undo",
    "watch",
];

/// Options whose next word is a value.
const WITH_VALUE: &[&str] = &["--file", "--plan", "--reason", "--task", "--text", "--hunk"];

/// The words of each `claudecluster …` command that a text names.
fn commands_in(text: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for (at, name) in text.match_indices("claudecluster ") {
        let words = words_of(&text[at + name.len()..]);
        if words
            .first()
            .is_some_and(|first| SUBCOMMANDS.contains(&&**first))
        {
            found.push(words);
        }
    }
    found
}

/// The words of a command up to where prose begins.
fn words_of(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut rest = text;
    loop {
        let quote = rest.chars().next().filter(|c| ['"', '\''].contains(c));
        let (word, ends) = if let Some(quote) = quote {
            let Some(end) = rest[1..].find(quote) else {
                break;
            };
            let word = &rest[1..=end];
            rest = &rest[end + 2..];
            (format!("\"{word}"), !rest.starts_with(' '))
        } else {
            let bracket = rest.starts_with('[').then(|| rest.find(']')).flatten();
            let end = bracket
                .map(|end| end + 1)
                .or_else(|| rest.find([' ', '\n']));
            let (word, after) = rest.split_at(end.unwrap_or(rest.len()));
            rest = after;
            let plain = word.trim_end_matches([';', ',', ')', '`', ':', '.']);
            (plain.to_owned(), plain != word)
        };
        if !belongs(&words, &word) {
            break;
        }
        words.push(word);
        match rest.strip_prefix(' ') {
            Some(more) if !ends && !more.starts_with(' ') => rest = more,
            _ => break,
        }
    }
    words
}

/// Whether a word goes on a command, and is not the prose behind it.
fn belongs(before: &[String], word: &str) -> bool {
    let group = |name: &str| before.first().is_some_and(|first| first == name);
    let id = |word: &str| {
        let mut parts = word.splitn(2, '.');
        let head = parts.next().unwrap_or_default();
        head.len() > 1
            && head.starts_with(['g', 'p'])
            && head[1..].chars().all(|c| c.is_ascii_digit())
    };
    let placeholder = |word: &str| word.len() > 1 && word.chars().all(|c| c.is_ascii_uppercase());
    match before {
        [] => true,
        [_] if group("daemon") || group("config") => word.chars().all(|c| c.is_ascii_lowercase()),
        [config, set] if config == "config" && set == "set" => true,
        [config, set, _] if config == "config" && set == "set" => true,
        [.., last] if WITH_VALUE.contains(&&**last) || last == "--agent" => true,
        _ => {
            word.starts_with(['-', '[', '{', '"'])
                || id(word)
                || placeholder(word) && !word.is_empty()
        }
    }
}

/// The shape of a command: values and choices are `{}`, what may be left out is `[]`.
fn shape(words: &[String]) -> String {
    let mut shape: Vec<&str> = Vec::new();
    for (at, word) in words.iter().enumerate() {
        let value = at > 0 && WITH_VALUE.contains(&&*words[at - 1]);
        let config = words[0] == "config";
        let upper = word.chars().all(|c| c.is_ascii_uppercase());
        shape.push(match word {
            _ if at == 0 => word,
            _ if value || upper || word.starts_with(['{', '"']) => "{}",
            _ if word.starts_with('[') => "[]",
            _ if word.starts_with('-') && word.contains('|') => "{}",
            _ if config || words[0] == "daemon" || words[0] == "demo" => word,
            _ if word.starts_with('-') => word,
            _ => "{}",
        });
    }
    shape.join(" ")
}

/// The string literals of a source file, without its tests.
fn literals(source: &str) -> Vec<String> {
    let source = source.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let mut found = Vec::new();
    let mut rest = source;
    while let Some(at) = rest.find(['"', '/', '\'']) {
        let tail = &rest[at..];
        if tail.starts_with("//") {
            rest = tail.find('\n').map_or("", |end| &tail[end..]);
        } else if let Some(tail) = tail.strip_prefix("'\"'") {
            rest = tail;
        } else if tail.starts_with('"') && rest[..at].ends_with("r#") {
            let end = tail.find("\"#").unwrap();
            found.push(tail[1..end].to_owned());
            rest = &tail[end + 2..];
        } else if let Some(tail) = tail.strip_prefix('"') {
            let mut literal = String::new();
            let mut chars = tail.char_indices();
            let mut end = tail.len();
            while let Some((i, c)) = chars.next() {
                match c {
                    '"' => {
                        end = i + 1;
                        break;
                    }
                    '\\' => match chars.next() {
                        // A line that goes on without its indentation.
                        Some((_, '\n')) => {
                            while chars.as_str().starts_with([' ', '\n']) {
                                chars.next();
                            }
                        }
                        Some((_, 'n')) => literal.push('\n'),
                        Some((_, other)) => literal.push(other),
                        None => break,
                    },
                    c => literal.push(c),
                }
            }
            found.push(literal);
            rest = &tail[end..];
        } else {
            rest = &tail[1..];
        }
    }
    found
}

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ext| ext == "rs") && !path.ends_with("tests.rs") {
            found.push(path);
        }
    }
}

#[test]
fn every_place_that_names_a_command_has_a_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut files = Vec::new();
    for crate_dir in fs::read_dir(root).unwrap() {
        sources(&crate_dir.unwrap().path().join("src"), &mut files);
    }
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in files {
        for literal in literals(&fs::read_to_string(&file).unwrap()) {
            for words in commands_in(&literal) {
                let place = file.strip_prefix(root).unwrap().display().to_string();
                places.entry(shape(&words)).or_default().push(place);
            }
        }
    }
    let tests = include_str!("hints.rs");
    let body = |name: &str| {
        let start = tests.find(&format!("\nfn {name}()"));
        let tail = &tests[start.unwrap_or_else(|| panic!("there is no test {name}")) + 1..];
        tail.split("\n#[test]").next().unwrap()
    };
    let mut expected: BTreeMap<&str, usize> = BTreeMap::new();
    for (shape, names) in SITES {
        assert!(
            expected.insert(shape, names.len()).is_none(),
            "{shape} twice"
        );
        for name in *names {
            let runs = body(name).contains(&format!("\"{shape}\""));
            assert!(runs, "the test {name} does not run `{shape}`");
        }
    }
    places.retain(|shape, places| expected.remove(&**shape) != Some(places.len()));
    assert_eq!(
        places,
        BTreeMap::new(),
        "places, where there are others than rows"
    );
    assert_eq!(expected, BTreeMap::new(), "named nowhere");
}

/// A user, and what has been printed to them.
struct World {
    user: User,
    env: Vec<(&'static str, String)>,
}

/// What a command printed, on both streams, and its exit status.
#[derive(Debug)]
struct Printed {
    text: String,
    status: i32,
}

impl World {
    fn new() -> Self {
        Self {
            user: User::new(),
            env: vec![("EDITOR", "true".to_owned())],
        }
    }

    fn run(&self, args: &[&str]) -> Printed {
        let mut command = self.user.command(args);
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        printed(&command.output().unwrap())
    }

    /// Runs a plan with these tasks, as a goal of its own.
    fn run_tasks(&self, goal: &str, tasks: &Value, more: &[&str]) -> Printed {
        self.run_plan(
            &json!({"goal": goal, "tasks": tasks, "maxParallel": 1}),
            more,
        )
    }

    fn run_plan(&self, plan: &Value, more: &[&str]) -> Printed {
        let file = self.user.project().with_file_name("plan.json");
        fs::write(&file, plan.to_string()).unwrap();
        self.run(&[&["run", "--plan", file.to_str().unwrap()], more].concat())
    }

    /// Runs the command of this shape that was printed, and returns what it printed. Of several options the first
    /// counts; the others, and what may be left out, have to be understood.
    #[track_caller]
    fn follow(&self, printed: &Printed, wanted: &str, statuses: &[i32]) -> Printed {
        let commands = commands_in(&printed.text);
        let words = commands.iter().find(|words| shape(words) == wanted);
        let words = words.unwrap_or_else(|| panic!("no `{wanted}` in {printed:#?}: {commands:?}"));
        let mut ways = ways(words).into_iter();
        let done = self.run_words(&ways.next().unwrap());
        let text = &done.text;
        assert!(
            statuses.contains(&done.status),
            "{words:?} ended with {}: {text}",
            done.status
        );
        for way in ways {
            let other = self.run_words(&way);
            assert!(!other.text.starts_with("error:"), "{way:?}: {}", other.text);
        }
        done
    }

    /// Runs a command in the state that its hint is for, where the hint itself is not to be had from here.
    #[track_caller]
    fn run_as(&self, wanted: &str, values: &[&str], statuses: &[i32]) {
        let mut values = values.iter();
        let words: Vec<&str> = wanted
            .split(' ')
            .map(|word| {
                if word == "{}" {
                    values.next().unwrap()
                } else {
                    word
                }
            })
            .collect();
        let done = self.run(&words);
        assert!(statuses.contains(&done.status), "{words:?}: {done:#?}");
    }

    /// Makes a script the user's editor; the file is its first argument.
    fn edit_with(&mut self, script: &str) {
        let editor = self.user.project().with_file_name("editor.sh");
        fs::write(&editor, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&editor, fs::Permissions::from_mode(0o755)).unwrap();
        self.env.retain(|(name, _)| *name != "EDITOR");
        self.env.push(("EDITOR", editor.display().to_string()));
    }

    fn run_words(&self, words: &[String]) -> Printed {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        self.run(&words)
    }
}

fn printed(output: &Output) -> Printed {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Printed {
        text: text(&output.stdout) + &text(&output.stderr),
        status: output.status.code().unwrap_or(-1),
    }
}

/// The commands that one with options to choose from stands for.
fn ways(words: &[String]) -> Vec<Vec<String>> {
    let mut ways: Vec<Vec<String>> = vec![Vec::new()];
    for word in words {
        let inner = word
            .strip_prefix('[')
            .and_then(|word| word.strip_suffix(']'));
        let options: Vec<Vec<String>> = match inner {
            Some(inner) => {
                let mut options = vec![Vec::new()];
                options.extend(
                    inner
                        .split('|')
                        .map(|option| option.split(' ').map(str::to_owned).collect::<Vec<_>>()),
                );
                options
            }
            None if word.starts_with('-') => word
                .split('|')
                .map(|option| vec![option.to_owned()])
                .collect(),
            None => vec![vec![word.strip_prefix('"').unwrap_or(word).to_owned()]],
        };
        ways = options
            .iter()
            .flat_map(|option| {
                ways.iter()
                    .map(move |way| [way.as_slice(), option.as_slice()].concat())
            })
            .collect();
    }
    ways
}

fn task(id: &str, script: &str) -> Value {
    json!({"id": id, "run": script, "retries": 0})
}

#[test]
fn a_waiting_plan() {
    let mut world = World::new();
    let tasks = json!([task("a", "echo a > a.txt")]);
    let waiting = |goal| world.run_tasks(goal, &tasks, &["--plan-only"]);
    let one = waiting("one");
    let unchanged = world.follow(&one, "plan {} --edit", &[3]);
    let started = world.follow(&unchanged, "approve {}", &[0]);
    world.follow(&started, "watch {}", &[0]);
    world.follow(&waiting("two"), "approve {}", &[0]);
    let cancelled = world.follow(&waiting("three"), "cancel {}", &[0]);
    world.follow(&cancelled, "diff {}", &[0]);

    // What was written is kept, under a name that the shell has to be told apart.
    let four = waiting("four");
    world.edit_with("echo nonsense > \"$1\"");
    let kept = world.follow(&four, "plan {} --edit", &[2]);
    let words = commands_in(&kept.text).pop().unwrap();
    fs::write(
        words.last().unwrap(),
        r#"{"tasks": [{"id": "b", "run": "true"}]}"#,
    )
    .unwrap();
    world.follow(&kept, "approve {} --plan {}", &[0]);
}

#[test]
fn a_paused_task() {
    let world = World::new();
    let mut paused = task("a", "echo a > a.txt");
    paused["pause"] = json!(true);
    let tasks = json!([paused]);
    let waiting = world.run_tasks("one", &tasks, &[]);
    let started = world.follow(&waiting, "approve {} --task {}", &[0]);
    world.follow(&started, "watch {}", &[0]);
    world.follow(&world.run_tasks("two", &tasks, &[]), "cancel {}", &[0]);
}

#[test]
fn a_proposal() {
    let world = World::new();
    let tasks = json!([task("a", "echo a > a.txt")]);
    let one = world.run_tasks("one", &tasks, &[]);
    world.follow(&one, "diff {}", &[0]);
    world.follow(&one, "accept {}", &[0]);
    let tasks = json!([task("a", "echo b > b.txt")]);
    world.follow(&world.run_tasks("two", &tasks, &[]), "reject {}", &[0]);
    let applied = world.run_tasks("three", &tasks, &["--apply"]);
    world.follow(&applied, "undo {}", &[0]);
}

#[test]
fn a_goal_that_is_open_already() {
    let world = World::new();
    let tasks = json!([task("a", "true")]);
    world.run_tasks("one", &tasks, &["--plan-only"]);
    let again = world.run_tasks("one", &tasks, &["--plan-only"]);
    world.follow(&again, "watch {}", &[3]);
}

#[test]
fn held_changes() {
    let world = World::new();
    let tasks = json!([task("a", "echo a > a.txt; echo b > 'b c.txt'")]);
    world.user.write("a.txt", "old\n");
    world.run_tasks("one", &tasks, &["--file", "a.txt"]);
    let accepted = world.run(&["accept", "g1"]);
    assert_eq!(accepted.status, 3, "{accepted:#?}");
    let diff = world.run(&["diff", "g1"]);
    world.follow(&accepted, "show {}", &[0]);
    world.follow(&accepted, "accept {} --file {}", &[0]);

    world.run_tasks(
        "two",
        &json!([task("a", "echo d > 'd e.txt'")]),
        &["--file", "a.txt"],
    );
    assert!(commands_in(&diff.text).len() == 1, "{diff:#?}");
    let diff = world.run(&["diff", "g2"]);
    world.follow(&diff, "accept {} --file {}", &[0]);
}

#[test]
fn conflicts() {
    let mut world = World::new();
    world.user.write("f.txt", "1\n2\n3\n4\n5\n6\n7\n8\n9\n");
    let change = |text: &str| {
        let lines = [2, 5, 8].map(|n| format!("s/^{n}$/{text} {n}/"));
        format!("sed -i '{}' f.txt", lines.join(";"))
    };
    let tasks = json!([task("a", &change("one")), task("b", &change("two"))]);
    let proposed = world.run_tasks("one", &tasks, &[]);
    let listed = world.follow(&proposed, "diff {} --conflicts", &[0]);
    let accepted = world.run(&["accept", "g1"]);
    world.follow(&accepted, "diff {} --conflicts", &[0]);
    world.follow(&world.run(&["diff", "g1"]), "diff {} --conflicts", &[0]);
    let hunks: Vec<String> = commands_in(&listed.text)
        .into_iter()
        .map(|words| words[1].clone())
        .collect();
    let [_, one, two] = &hunks[..] else {
        panic!("{listed:#?}");
    };

    // With nothing written, and with a marker left.
    let unchanged = world.run(&["resolve", one, "--edit"]);
    world.follow(&unchanged, "resolve {} --markers", &[0]);
    world.edit_with("echo more >> \"$1\"");
    let left = world.run(&["resolve", two, "--edit"]);
    let kept = commands_in(&left.text).pop().unwrap().pop().unwrap();
    fs::write(kept, "both\n").unwrap();
    world.follow(&left, "resolve {} --text {}", &[0]);

    let gone = world.run(&["resolve", two, "--edit"]);
    world.follow(&gone, "diff {} --conflicts", &[0]);
    world.follow(&listed, "resolve {} {}", &[0]);

    // Of what has been typed meanwhile, and named.
    world.user.write("g.txt", "1\n");
    world.run_tasks("two", &json!([task("a", "echo 2 > g.txt")]), &[]);
    world.user.write("g.txt", "3\n");
    let left = world.run(&["accept", "g2"]);
    let hunk = commands_in(&left.text).pop().unwrap()[1].clone();
    world.follow(&world.run(&["accept", &hunk]), "resolve {} {}", &[0]);
}

#[test]
fn hunks_that_do_not_conflict() {
    let world = World::new();
    world.run_tasks("one", &json!([task("a", "echo a > a.txt")]), &[]);
    let goal: Value = serde_json::from_str(&world.run(&["show", "g1", "--json"]).text).unwrap();
    let hunk = goal["changes"][0]["id"].as_str().unwrap();
    let clean = world.run(&["resolve", hunk, "--edit"]);
    world.follow(&clean, "accept {}", &[0]);
}

#[test]
fn an_undo_that_leaves_something() {
    let world = World::new();
    world.user.write("a.txt", "1\n");
    world.run_tasks("one", &json!([task("a", "echo 2 > a.txt")]), &["--apply"]);
    world.user.write("a.txt", "3\n");
    let undone = world.run(&["undo", "g1"]);
    assert_eq!(undone.status, 3, "{undone:#?}");
    world.follow(&undone, "show {}", &[0]);
}

#[test]
fn tasks_that_fail() {
    let world = World::new();
    let failed = world.run_tasks("one", &json!([task("a", "echo half > a.txt; false")]), &[]);
    world.follow(&failed, "logs {}", &[0]);
    world.follow(&failed, "diff {}", &[0]);
    world.follow(&world.run(&["retry", "g1", "none"]), "show {}", &[0]);
    let again = world.run(&["retry", "g1"]);
    world.follow(&again, "watch {}", &[1]);

    let mut slow = task("a", "sleep 600");
    slow["timeout"] = json!("1s");
    let late = world.run_tasks("two", &json!([slow]), &[]);
    world.follow(&late, "logs {}", &[0]);
    world.follow(&late, "retry {}", &[0]);
    world.run(&["cancel", "g2"]);

    let outside = json!([task("a", "ln -s /etc/passwd link")]);
    world.follow(&world.run_tasks("four", &outside, &[]), "logs {}", &[0]);

    let over = world.run_tasks(
        "five",
        &json!([task("a", "sleep 600")]),
        &["--timeout", "1s"],
    );
    world.follow(&over, "diff {}", &[0]);
    let gated = world.run_tasks(
        "six",
        &json!([task("a", "echo b > b.txt")]),
        &["--gate", "false"],
    );
    world.follow(&gated, "show {}", &[0]);
    world.follow(&gated, "diff {}", &[0]);
}

#[test]
fn providers_that_fail() {
    for (error, wanted, more) in [
        ("error: {status: 401}", "retry {}", &[] as &[&str]),
        ("error: {status: 529, retryAfter: 0}", "retry {}", &[]),
        (
            "usage: {input: 1000, output: 1000000}, answer: [{run: 'echo a > a.txt'}]",
            "diff {}",
            &["--budget", "1"],
        ),
    ] {
        let rule = format!("rules:\n  - {{name: bad, when: {{user: Work on one task}}, {error}}}");
        let script = claudecluster_model::Script::parse(&rule).unwrap();
        let server = claudecluster_model::Server::start(script).unwrap();
        let mut world = World::new();
        world.env.push(("ANTHROPIC_BASE_URL", server.url()));
        world.env.push(("ANTHROPIC_API_KEY", "test-key".to_owned()));
        let task = json!({
            "id": "t", "title": "Write it", "instructions": "Write b into a.txt",
            "agent": "native", "retries": 0,
        });
        let failed = world.run_tasks("one", &json!([task]), more);
        world.follow(&failed, wanted, &[0]);
        world.run(&["cancel", "g1"]);
    }
}

#[test]
fn permissions() {
    let agent = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .join("worker/tests/it/agent/faulty-agent.sh");
    let mut world = World::new();
    world.env.push(("FAULT", "asks".to_owned()));
    world.user.configure(&format!(
        "claude.program = {agent:?}\npermissions.ask = [\"WebFetch\"]\nenv.pass = [\"FAULT\"]\n"
    ));
    let task = json!({
        "id": "t", "title": "Ask", "instructions": "Ask", "agent": "claude-code", "retries": 0,
    });
    let ask = |goal: &str| {
        let file = world.user.project().with_file_name("ask.json");
        fs::write(&file, json!({"goal": goal, "tasks": [task]}).to_string()).unwrap();
        let mut command = world
            .user
            .command(&["run", "--plan", file.to_str().unwrap()]);
        command.envs(world.env.iter().map(|(name, value)| (name, value)));
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut lines = lines.map_while(Result::ok);
        let text = lines.find(|line| line.contains("claudecluster allow"));
        let printed = Printed {
            text: text.unwrap(),
            status: 0,
        };
        // The rest is read, so that it can end.
        (
            printed,
            std::thread::spawn(move || {
                lines.for_each(drop);
                child.wait().unwrap();
            }),
        )
    };
    let (asked, one) = ask("one");
    world.follow(&asked, "allow {}", &[0]);
    one.join().unwrap();
    let (_, two) = ask("two");
    world.follow(&world.run(&["permissions"]), "allow {} []", &[0]);
    two.join().unwrap();
    let (_, three) = ask("three");
    world.follow(&world.run(&["permissions"]), "deny {} []", &[0]);
    three.join().unwrap();
}

#[test]
fn what_is_not_there() {
    let world = World::new();
    world.follow(&world.run(&["goals"]), "run {}", &[0, 1]);
    world.follow(&world.run(&["run"]), "run {}", &[0, 1]);
    world.follow(&world.run(&["show", "g9"]), "goals", &[0]);
    world.follow(
        &world.run(&["resolve", "nonsense", "--mine"]),
        "goals",
        &[0],
    );
    world.follow(&world.run(&["allow", "p9"]), "permissions", &[0]);

    let tasks = |file: &str| json!([task("a", &format!("echo a > {file}"))]);
    world.run_tasks("one", &tasks("a.txt"), &[]);
    world.run_tasks("two", &tasks("b.txt"), &[]);
    world.run_tasks("three", &tasks("c.txt"), &["--plan-only"]);
    world.run_as("show {}", &["g1"], &[0]);
    world.follow(
        &world.run(&["plan", "g1", "--edit"]),
        "run --plan-only {}",
        &[0, 1, 3],
    );
    world.follow(&world.run(&["accept", "g3"]), "show {}", &[0]);
    world.follow(&world.run(&["accept", "g1.0000000000"]), "diff {}", &[0]);
    world.follow(
        &world.run(&["accept", "g1", "--hunk", "g2.0000000000"]),
        "diff {}",
        &[0],
    );
    world.follow(&world.run(&["undo", "g1.0000000000"]), "show {}", &[0]);
    world.follow(
        &world.run(&["resolve", "g1.0000000000", "--repair"]),
        "diff {}",
        &[0],
    );
    world.follow(&world.run(&["cancel", "g1"]), "reject {}", &[0]);
    world.follow(&world.run(&["redo", "g2"]), "accept {}", &[0]);
}

#[test]
fn words_that_are_not_merged() {
    let world = World::new();
    world.user.configure("review.mergeWords = \"off\"\n");
    world.user.write("f.txt", "one and then some more two\n");
    let change = |to: &str| format!("sed -i 's/{to}/{to}{to}/' f.txt");
    let tasks = json!([task("a", &change("one")), task("b", &change("two"))]);
    world.run_tasks("one", &tasks, &[]);
    let listed = world.run(&["diff", "g1", "--conflicts"]);
    let hunk = commands_in(&listed.text)[0][1].clone();
    let off = world.run(&["resolve", &hunk, "--merged"]);
    world.follow(&off, "config set review.mergeWords suggest", &[0]);
    world.follow(&off, "daemon stop", &[0]);
    let merged = world.run(&["resolve", &hunk, "--merged"]);
    assert_eq!(merged.status, 0, "{merged:#?}");
}

#[test]
fn agents_that_may_not_run() {
    let mut world = World::new();
    world.env.push(("ANTHROPIC_API_KEY", "test-key".to_owned()));
    world
        .user
        .configure("denyAgents = [\"native\"]\nclaude.program = \"/nonexistent\"\n");
    let denied = world.run(&["run", "x", "--agent", "native"]);
    world.follow(&denied, "config list", &[0]);
    let absent = world.run(&["run", "x", "--agent", "claude-code"]);
    let words = commands_in(&absent.text);
    let wanted = "config set claude.program {}";
    assert_eq!(
        words.iter().map(|words| shape(words)).collect::<Vec<_>>(),
        [wanted]
    );
    world.run_as(wanted, &["/bin/sh"], &[0]);
}

#[test]
fn configuration() {
    let mut world = World::new();
    world.follow(&world.run(&["config", "get", "zebra"]), "config list", &[0]);
    world.follow(
        &world.run(&["config", "set", "zebra", "1"]),
        "config list",
        &[0],
    );
    world
        .user
        .write(".claudecluster.toml", "agent = \"native\"\n");
    world.follow(&world.run(&["config", "check"]), "config path", &[0]);
    fs::remove_file(world.user.project().join(".claudecluster.toml")).unwrap();

    world.run(&["config", "edit"]);
    let text = fs::read_to_string(world.user.config()).unwrap();
    world.follow(&Printed { text, status: 0 }, "config list", &[0]);
    world
        .env
        .push(("CLAUDECLUSTER_MAX_PARALLEL", "2".to_owned()));
    let overridden = world.run(&["config", "set", "maxParallel", "3"]);
    world.follow(&overridden, "config list", &[0]);

    world.user.configure("maxParallel = = 3\n");
    let broken = world.run(&["config", "set", "maxParallel", "3"]);
    world.follow(&world.run(&["doctor"]), "config check", &[2]);
    world.edit_with("echo 'maxParallel = 2' > \"$1\"");
    world.follow(&broken, "config edit", &[0]);
}

#[test]
fn the_demo() {
    let world = World::new();
    let refused = world.run(&["demo", "--agent", "command"]);
    let played = world.follow(&refused, "demo --agent native", &[0]);
    world.follow(&played, "doctor", &[0, 1]);
    world.follow(&played, "run {}", &[0, 1]);
}

/// Hints that a front, a fault or another version prints which is not to be had here: their commands run in the
/// state that they are for.
#[test]
fn places_without_a_front_here() {
    let world = World::new();
    let tasks = json!([task("a", "echo a > a.txt")]);
    world.run_tasks("one", &tasks, &[]);
    world.run_as("artifacts {}", &["g1"], &[0]);
    world.run_as("diff {}", &["g1"], &[0]);
    world.run_as("plan {}", &["g1"], &[0]);
    world.run_as("show {}", &["g1"], &[0]);
    world.run_as("watch {}", &["g1"], &[0]);
    world.run_as("run {}", &["add tests for the parser"], &[1]);
    world.run_as("doctor", &[], &[0, 1]);
    world.run_as("daemon status", &[], &[0]);
    let file = world.user.project().with_file_name("plan.json");
    world.run_as("run --plan {}", &[file.to_str().unwrap()], &[0]);
    world.run_tasks("failed", &json!([task("a", "false")]), &[]);
    world.run_as("retry {}", &["g3"], &[0]);
    world.run_tasks("waiting", &tasks, &["--plan-only"]);
    world.run_as("cancel {}", &["g4"], &[0]);
    world.run_as("daemon stop", &[], &[0, 2]);
    world.run_as("daemon stop --force", &[], &[0]);
}
