//! Texts and the findings about them.

use super::super::{
    candidates::find_candidates, edits::apply_splices, fixes::list_fixes,
    refactor::list_refactorings,
};
use super::*;

/// Lists the findings: severity, code, marked text, message, and marked text of related places.
fn list_findings(text: &str, context: &PlanContext) -> Vec<String> {
    let checked = check_plan(text.to_owned(), context);
    let tell = |problem: &PlanFinding| {
        let related: Vec<_> = problem
            .related
            .iter()
            .map(|one| format!("{} {}", &text[one.range.clone()], one.message))
            .collect();
        let related = if related.is_empty() {
            String::new()
        } else {
            format!(" [{}]", related.join(", "))
        };
        format!(
            "{:?} {} {}: {}{related}",
            problem.kind.severity(),
            problem.kind.code(),
            &text[problem.range.clone()],
            problem.message
        )
    };
    checked.findings.iter().map(tell).collect()
}

#[track_caller]
fn check_text(text: &str, expected: &[&str]) {
    let context = PlanContext {
        root: None,
        has_gates: true,
    };
    assert_eq!(list_findings(text, &context), expected, "{text}");
}

#[test]
fn a_valid_plan_has_no_findings() {
    check_text(r#"{"tasks": [{"id": "a", "run": ["true"]}]}"#, &[]);
}

#[test]
fn every_wrong_key_and_value_is_reported() {
    check_text(
        r#"{"gola": "x", "tasks": [
            {"id": "a", "instrutions": "x", "timeout": "soon", "agent": "gpt"},
            {"instructions": "x", "dependsOn": [1, "a"], "zzzzzzzzzzz": 1},
            7,
            {"id": "a\u0020b", "run": {"x": 1}, "id": "c"}
        ]}"#,
        &[
            "Error unknown-key \"gola\": unknown key `gola`; did you mean `goal`?",
            "Error unknown-key \"instrutions\": unknown key `instrutions`; did you mean `instructions`?",
            "Error wrong-value \"soon\": `timeout`: \"soon\" is not a duration such as \"90s\" or \"10m\": expected number at 0",
            "Error wrong-value \"gpt\": `agent`: unknown variant `gpt`, expected one of `claude-code`, `native`, `command`",
            "Error missing-key {: missing key `id`",
            "Error wrong-value 1: invalid type: integer `1`, expected a string",
            "Error unknown-key \"zzzzzzzzzzz\": unknown key `zzzzzzzzzzz`; the keys are `id`, `title`, `instructions`, `dependsOn`, `writes`, `agent`, `model`, `run`, `gates`, `timeout`, `retries`, `candidates`, `pause`, `env`",
            "Error wrong-value 7: invalid type: integer `7`, expected a task",
            "Error wrong-value \"run\": `run`: a command is a list of strings, or one string for the shell",
            "Error duplicate-key \"id\": duplicate key `id`",
        ],
    );
}

#[test]
fn violated_rules_are_reported_at_their_places() {
    check_text(
        r#"{"tasks": [
            {"id": "a", "instructions": "x", "dependsOn": ["b"]},
            {"id": "b", "instructions": "x", "dependsOn": ["a", "aa"]},
            {"id": "b"}
        ]}"#,
        &[
            "Error cycle \"b\": circular dependency: a → b → a [\"a\" b depends on a]",
            "Error cycle \"a\": circular dependency: a → b → a [\"b\" and this task depends on it]",
            "Error unknown-dependency \"aa\": there is no task \"aa\"; did you mean \"a\"?",
            "Error duplicate-id \"b\": duplicate task id \"b\", also used by tasks[1] [\"b\" the first task with this id]",
            "Error missing-instructions \"b\": describe the task in `instructions`",
        ],
    );
    check_text(
        r#"{"tasks": [
            {"id": "a", "run": "x", "writes": ["src/*.rs", "/etc/passwd"]},
            {"id": "b", "run": "x", "agent": "native", "writes": ["src/a.rs"], "candidates": 2}
        ]}"#,
        &[
            "Error outside-workspace \"/etc/passwd\": \"/etc/passwd\" is absolute; use a path relative to the workspace",
            "Error unused-command \"x\": `run` needs the agent `command`, but this task uses `native`",
            "Warning overlap \"src/a.rs\": a and b may write src/a.rs in any order; no dependency orders them [\"src/*.rs\" a also writes here]",
            "Error out-of-range 2: only 1 is supported",
        ],
    );
}

#[test]
fn invalid_json_is_reported_and_read_as_far_as_possible() {
    check_text(
        "{\"tasks\": [{\"id\": \"a\", \"run\": \"x\", \"dependsOn\": [\"a\"],}]}",
        &[
            "Error self-dependency \"a\": \"a\" depends on itself",
            "Error trailing-comma ,: not JSON: trailing commas are not allowed",
        ],
    );
    check_text("[]", &["Error wrong-value [: expected an object"]);
    check_text(
        "{\"tasks\": [",
        &["Error not-json [: not JSON: unterminated array"],
    );
}

#[test]
fn missing_paths_and_missing_gates_are_hints() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("src")).unwrap();
    let context = PlanContext {
        root: Some(folder.path().to_owned()),
        has_gates: false,
    };
    let text =
        r#"{"tasks": [{"id": "a", "run": "x", "writes": ["src/", "new.rs", "no*", "../x"]}]}"#;
    assert_eq!(
        list_findings(text, &context),
        [
            "Hint no-gates {: no gates: neither the plan nor its tasks check the result",
            "Hint missing-path \"new.rs\": new.rs does not exist; the task may create it",
            "Error outside-workspace \"../x\": \"../x\" has an empty, \".\" or \"..\" part; use a plain path relative to the workspace",
        ]
    );
}

/// In every incomplete text, findings have a range, fixes can be applied, and completions replace text.
#[test]
fn incomplete_texts_are_handled() {
    let whole = "{\r\n\t\"goal\": \"ü😀\", // why\n\"gates\": [\"make\", 'x'], \"tasks\": [\n{\"id\": \"a\\u00fc\", \
                 \"instructions\": \"Do. It.\", \"dependsOn\": [\"b\", \"é\",], \"agent\": \"gpt\"},\r\n{\"id\": \"b\" \
                 \"dependsOn\": [\"a\"], \"run\": {}, \"timeout\": \"x\", \"env\": {\"PATH\": 1}, \"pause\": true}]}";
    let cut = whole.char_indices().map(|(at, _)| whole[..at].to_owned());
    let without = whole.char_indices().map(|(at, c)| {
        let rest = &whole[at + c.len_utf8()..];
        format!("{}{rest}", &whole[..at])
    });
    for text in cut.chain(without) {
        let checked = check_plan(text.clone(), &PlanContext::default());
        for problem in &checked.findings {
            assert!(
                text.get(problem.range.clone()).is_some(),
                "{text}: {problem:?}"
            );
            for fix in list_fixes(&checked, problem) {
                apply_splices(&text, fix.splices);
            }
        }
        for index in 0..3 {
            for offer in list_refactorings(&checked, index) {
                let _ = offer.edit.map(|splices| apply_splices(&text, splices));
            }
        }
        let offsets = text.char_indices().map(|(at, _)| at).chain([text.len()]);
        for offset in offsets.filter(|offset| offset % 7 == 0) {
            let (range, _) = find_candidates(&text, offset, true, None);
            assert!(text.get(range.clone()).is_some(), "{text}: {range:?}");
        }
    }
}
