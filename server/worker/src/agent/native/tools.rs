//! The tools the model is offered, and what they do.

use std::time::Duration;

use claudecluster_protocol::Span;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{command, files::WorkspaceRoot};
use crate::agent::text::{clip_text, one_line};

/// A tool call's result, in words for the model.
pub(super) struct ToolResult {
    pub text: String,
    pub failed: bool,
    /// The output of a command, for watchers.
    pub output: Option<String>,
}

/// The bytes of a command's output that watchers see.
const WATCHED: usize = 2000;

/// The name of the tool that takes the structured answer.
pub(super) const ANSWER: &str = "answer";

/// The offered tools. Their text is part of the cached prefix: the same for every session that has
/// the same schema.
pub(super) fn offered_tools(schema: Option<&Value>) -> Vec<Value> {
    let tool = |name: &str, description: &str, properties: Value, required: &[&str]| {
        json!({"name": name, "description": description, "input_schema": {
            "type": "object", "properties": properties, "required": required}})
    };
    let path = json!({"type": "string", "description": "relative to the workspace"});
    let glob = json!({"type": "string", "description": "only files that match, such as *.rs"});
    let text = json!({"type": "string"});
    let number = json!({"type": "integer", "minimum": 1});
    let mut tools = vec![
        tool(
            "read",
            "Read a text file: `limit` lines (2000 by default) from line `offset` (1 by default).",
            json!({"path": path, "offset": number, "limit": number}),
            &["path"],
        ),
        tool(
            "write",
            "Write a whole file. Folders are made as needed. Prefer `edit` for files that exist.",
            json!({"path": path, "content": text}),
            &["path", "content"],
        ),
        tool(
            "edit",
            "Replace `old` by `new` in a file. `old` must be copied exactly and occur exactly once.",
            json!({"path": path, "old": text, "new": text}),
            &["path", "old", "new"],
        ),
        tool(
            "list",
            "List the files below a folder that version control does not ignore.",
            json!({"path": path, "glob": glob}),
            &[],
        ),
        tool(
            "search",
            "Search files for a regular expression, line by line.",
            json!({"pattern": text, "path": path, "glob": glob}),
            &["pattern"],
        ),
        tool(
            "run",
            "Run a shell command in the workspace, for `timeout` seconds at most (120 by default).",
            json!({"command": text, "timeout": number}),
            &["command"],
        ),
    ];
    if let Some(schema) = schema {
        tools.push(json!({"name": ANSWER, "input_schema": schema,
            "description": "Give the final answer, once, when everything is done."}));
    }
    tools
}

#[derive(Deserialize)]
struct ReadArguments {
    path: String,
    #[serde(default = "first_line")]
    offset: usize,
    #[serde(default = "usual_limit")]
    limit: usize,
}

fn first_line() -> usize {
    1
}

fn usual_limit() -> usize {
    2000
}

#[derive(Deserialize)]
struct WriteArguments {
    path: String,
    content: String,
}

#[derive(Deserialize)]
struct EditArguments {
    path: String,
    old: String,
    new: String,
}

#[derive(Deserialize)]
struct ListArguments {
    #[serde(default = "top_folder")]
    path: String,
    glob: Option<String>,
}

fn top_folder() -> String {
    ".".to_owned()
}

#[derive(Deserialize)]
struct SearchArguments {
    pattern: String,
    #[serde(default = "top_folder")]
    path: String,
    glob: Option<String>,
}

#[derive(Deserialize)]
struct RunArguments {
    command: String,
    #[serde(default = "two_minutes")]
    timeout: u64,
}

fn two_minutes() -> u64 {
    120
}

/// Carries out one call. A command takes `longest` at most.
pub(super) async fn call_tool(
    root: &WorkspaceRoot,
    name: &str,
    input: &Value,
    longest: Span,
) -> ToolResult {
    if name == "run" {
        return match parse_input::<RunArguments>(input) {
            Ok(run) => run_command(root, &run, longest).await,
            Err(refusal) => refused_call(refusal),
        };
    }
    match on_files(root, name, input) {
        Ok(text) => ToolResult {
            text,
            failed: false,
            output: None,
        },
        Err(refusal) => refused_call(refusal),
    }
}

fn on_files(root: &WorkspaceRoot, name: &str, input: &Value) -> Result<String, String> {
    match name {
        "read" => {
            let ReadArguments {
                path,
                offset,
                limit,
            } = parse_input(input)?;
            root.read(&path, offset, limit)
        }
        "write" => {
            let WriteArguments { path, content } = parse_input(input)?;
            root.write(&path, &content)
                .map(|()| format!("wrote {path}"))
        }
        "edit" => {
            let EditArguments { path, old, new } = parse_input(input)?;
            root.edit(&path, &old, &new)
                .map(|()| format!("edited {path}"))
        }
        "list" => {
            let ListArguments { path, glob } = parse_input(input)?;
            root.list(&path, glob.as_deref())
        }
        "search" => {
            let SearchArguments {
                pattern,
                path,
                glob,
            } = parse_input(input)?;
            root.search(&pattern, &path, glob.as_deref())
        }
        other => Err(format!("there is no tool {other}")),
    }
}

async fn run_command(root: &WorkspaceRoot, run: &RunArguments, longest: Span) -> ToolResult {
    let limit = Duration::from_secs(run.timeout.max(1)).min(longest.to_duration());
    let finished = command::run_script(&run.command, root.path(), limit).await;
    let output = clip_text(&finished.output, WATCHED);
    let nothing = finished.output.is_empty();
    ToolResult {
        text: if nothing {
            "(no output)".to_owned()
        } else {
            finished.output
        },
        failed: !finished.passed,
        output: (!nothing).then_some(output),
    }
}

fn parse_input<T: DeserializeOwned>(input: &Value) -> Result<T, String> {
    T::deserialize(input).map_err(|error| format!("bad input: {error}"))
}

fn refused_call(text: String) -> ToolResult {
    ToolResult {
        text,
        failed: true,
        output: None,
    }
}

/// The one argument of a call that people want to see.
pub(super) fn call_detail(input: &Value) -> String {
    let keys = ["path", "command", "pattern"];
    let found = keys.into_iter().find_map(|key| input[key].as_str());
    one_line(found.unwrap_or_default())
}

/// Names the fields an answer lacks, by the top level of the schema.
pub(super) fn missing_fields(schema: &Value, answer: &Value) -> Option<String> {
    let Some(fields) = answer.as_object() else {
        return Some("the answer must be an object".to_owned());
    };
    let required = schema["required"].as_array().into_iter().flatten();
    let missing: Vec<&str> = required
        .filter_map(Value::as_str)
        .filter(|name| !fields.contains_key(*name))
        .collect();
    (!missing.is_empty()).then(|| format!("the answer lacks: {}", missing.join(", ")))
}
