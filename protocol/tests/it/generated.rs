//! What is generated from the types is in step with them, and so is their document.

use std::{collections::BTreeMap, fs, path::Path};

use claudecluster_protocol::{
    Plan,
    editor::{command, method},
    export,
    plan::plan_schema,
};

fn folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn generated_files_are_fresh() {
    let expected: BTreeMap<String, String> = export::generated_files()
        .into_iter()
        .map(|file| (file.name, file.content))
        .collect();
    let found: BTreeMap<String, String> = fs::read_dir(folder().join("generated"))
        .expect("run `cargo xtask codegen`")
        .map(|entry| {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            (name, fs::read_to_string(entry.path()).unwrap())
        })
        .collect();
    let names = expected.keys().chain(found.keys());
    let mut stale: Vec<&String> = names
        .filter(|name| expected.get(*name) != found.get(*name))
        .collect();
    stale.dedup();
    assert!(
        stale.is_empty(),
        "stale in protocol/generated: {stale:?}; run `cargo xtask codegen` and commit the result"
    );
}

#[test]
fn no_two_types_share_a_name_in_typescript() {
    let files = export::generated_files();
    let typescript = &files.last().unwrap().content;
    let mut names: Vec<&str> = typescript
        .lines()
        .filter_map(|line| line.strip_prefix("export type "))
        .filter_map(|line| line.split([' ', '=', '<']).next())
        .collect();
    let all = names.len();
    assert!(all > 40, "{names:?}");
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all);
}

#[test]
fn the_plan_schema_says_what_the_reader_demands() {
    let schema = plan_schema();
    // Unknown keys are errors for the reader, so an editor has to mark them.
    assert_eq!(schema["additionalProperties"], false, "{schema:#}");
    let task = &schema["$defs"]["TaskSpec"];
    assert_eq!(task["additionalProperties"], false);
    assert_eq!(task["required"], serde_json::json!(["id"]));
    // Every key that is written is one that the schema knows.
    let written = serde_json::to_value(Plan {
        goal: "g".into(),
        gates: vec![claudecluster_protocol::plan::Command::Shell("true".into())],
        max_parallel: Some(1),
        budget_usd: Some(claudecluster_protocol::Usd::from_dollars(1.0)),
        tasks: Vec::new(),
    })
    .unwrap();
    for key in written.as_object().unwrap().keys() {
        assert!(schema["properties"].get(key).is_some(), "{key}");
    }
}

#[test]
fn every_name_is_documented() {
    let document = fs::read_to_string(folder().join("../docs/protocol.md")).unwrap();
    let methods = [
        method::EVENT,
        method::CHANGES,
        method::CONTENT,
        method::PENDING,
    ];
    for name in command::ALL.into_iter().chain(methods) {
        assert!(
            document.contains(&format!("`{name}`")),
            "docs/protocol.md does not name `{name}`"
        );
    }
    for file in export::generated_files() {
        assert!(
            document.contains(&format!("`{}`", file.name)),
            "docs/protocol.md does not name `{}`",
            file.name
        );
    }
}
