//! Chooses the rule that answers a request, and fills in its templates.

use std::collections::HashMap;

use regex::{Captures, Regex};
use serde_json::{Map, Value, json};

use crate::{
    request::Request,
    script::{Block, Expression, Rule, Script, VARIABLE},
};

/// An answer's content block, ready to be sent.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Content {
    Text(String),
    Thinking(String),
    Tool { name: String, input: Value },
}

/// The first rule that matches; counts its use.
pub(crate) fn choose(script: &Script, used: &mut [u32], request: &Request) -> Option<usize> {
    let index = (0..script.rules.len()).find(|&i| {
        let rule = &script.rules[i];
        rule.times.is_none_or(|times| used[i] < times) && matches(rule, request)
    })?;
    used[index] += 1;
    Some(index)
}

fn matches(rule: &Rule, request: &Request) -> bool {
    let when = &rule.when;
    let within = |part: &Option<String>, all: &str| part.as_ref().is_none_or(|p| all.contains(p));
    let found =
        |part: &Option<Expression>, all: &str| part.as_ref().is_none_or(|e| e.0.is_match(all));
    when.side == request.is_side()
        && when.turn.is_none_or(|turn| turn == request.turn)
        && (rule.error.is_some() || rule.blocks(request.turn).is_some())
        && within(&when.user, &request.user)
        && within(&when.text, &request.text)
        && within(&when.system, &request.system)
        && within(&when.tool_result, &request.tool_result)
        && within(&when.model, request.model())
        && when.tools.iter().all(|tool| request.offers(tool))
        && !when.without_tools.iter().any(|tool| request.offers(tool))
        && found(&when.user_matches, &request.user)
        && found(&when.text_matches, &request.text)
}

/// What `rule` says to `request`.
pub(crate) fn render(rule: &Rule, request: &Request) -> Vec<Content> {
    let variables = variables(rule, request);
    rule.blocks(request.turn)
        .unwrap_or_default()
        .iter()
        .map(|block| content(block, request, &variables))
        .collect()
}

fn variables(rule: &Rule, request: &Request) -> HashMap<String, String> {
    let mut all = HashMap::from([
        ("cwd".to_owned(), request.cwd().unwrap_or(".").to_owned()),
        (
            "session".to_owned(),
            request.session.clone().unwrap_or_default(),
        ),
        ("model".to_owned(), request.model().to_owned()),
    ]);
    let expressions = [
        (&rule.when.text_matches, &request.text),
        (&rule.when.user_matches, &request.user),
    ];
    for (expression, text) in expressions {
        let Some(Expression(regex)) = expression else {
            continue;
        };
        if let Some(captures) = regex.captures(text) {
            add_captures(&mut all, regex, &captures);
        }
    }
    all
}

fn add_captures(all: &mut HashMap<String, String>, regex: &Regex, captures: &Captures<'_>) {
    for (index, name) in regex.capture_names().enumerate() {
        let value = captures.get(index).map_or("", |m| m.as_str());
        all.insert(index.to_string(), value.to_owned());
        if let Some(name) = name {
            all.insert(name.to_owned(), value.to_owned());
        }
    }
}

fn content(block: &Block, request: &Request, variables: &HashMap<String, String>) -> Content {
    let fill = |text: &str| fill(text, variables);
    let tool = |name: &str, input: Value| Content::Tool {
        name: name.to_owned(),
        input,
    };
    let path = |path: &str| absolute(request, &fill(path));
    if let Some(text) = &block.text {
        Content::Text(fill(text))
    } else if let Some(text) = &block.thinking {
        Content::Thinking(fill(text))
    } else if let Some(file) = &block.read {
        if request.offers("read") {
            tool("read", json!({"path": fill(file)}))
        } else {
            tool("Read", json!({"file_path": path(file)}))
        }
    } else if let Some(file) = &block.write {
        let content = fill(&file.content);
        if request.offers("write") {
            tool(
                "write",
                json!({"path": fill(&file.path), "content": content}),
            )
        } else {
            tool(
                "Write",
                json!({"file_path": path(&file.path), "content": content}),
            )
        }
    } else if let Some(file) = &block.edit {
        let (old, new) = (fill(&file.old), fill(&file.new));
        if request.offers("edit") {
            tool(
                "edit",
                json!({"path": fill(&file.path), "old": old, "new": new}),
            )
        } else {
            let path = path(&file.path);
            tool(
                "Edit",
                json!({"file_path": path, "old_string": old, "new_string": new}),
            )
        }
    } else if let Some(command) = &block.run {
        let name = if request.offers("run") { "run" } else { "Bash" };
        tool(name, json!({"command": fill(command)}))
    } else if let Some(answer) = &block.structured {
        let name = structured_tool(request).unwrap_or("StructuredOutput");
        tool(name, fill_value(answer, variables))
    } else {
        let input = block.input.clone().unwrap_or_else(|| json!({}));
        tool(
            &fill(block.tool.as_deref().unwrap_or_default()),
            fill_value(&input, variables),
        )
    }
}

fn absolute(request: &Request, path: &str) -> String {
    match request.cwd() {
        Some(cwd) if !path.starts_with('/') => format!("{}/{path}", cwd.trim_end_matches('/')),
        _ => path.to_owned(),
    }
}

fn fill(text: &str, variables: &HashMap<String, String>) -> String {
    VARIABLE
        .replace_all(text, |found: &Captures<'_>| {
            variables.get(&found[1]).cloned().unwrap_or_default()
        })
        .into_owned()
}

fn fill_value(value: &Value, variables: &HashMap<String, String>) -> Value {
    match value {
        Value::String(text) => Value::String(fill(text, variables)),
        Value::Array(items) => items.iter().map(|v| fill_value(v, variables)).collect(),
        Value::Object(map) => map
            .iter()
            .map(|(key, v)| (key.clone(), fill_value(v, variables)))
            .collect::<Map<_, _>>()
            .into(),
        other => other.clone(),
    }
}

fn structured_tool(request: &Request) -> Option<&'static str> {
    ["StructuredOutput", "answer"]
        .into_iter()
        .find(|tool| request.offers(tool))
}

/// What is said where no rule matches.
pub(crate) fn fallback(request: &Request) -> Vec<Content> {
    let format = &request.body["output_config"]["format"];
    let schema = [&format["schema"], &request.body["output_format"]["schema"]]
        .into_iter()
        .find(|schema| schema.is_object());
    if let Some(schema) = schema {
        return vec![Content::Text(smallest(schema).to_string())];
    }
    if request.is_side() {
        return vec![Content::Text("Scripted session".to_owned())];
    }
    let wanted = structured_tool(request).filter(|_| request.turn == 0);
    if let Some(name) = wanted {
        let tools = request.body["tools"].as_array();
        let tool = tools.and_then(|tools| tools.iter().find(|tool| tool["name"] == name));
        let input = tool.map_or_else(|| json!({}), |tool| smallest(&tool["input_schema"]));
        return vec![Content::Tool {
            name: name.to_owned(),
            input,
        }];
    }
    vec![Content::Text("Done.".to_owned())]
}

/// The smallest value that a plain JSON Schema allows; references are not followed.
fn smallest(schema: &Value) -> Value {
    if let Some(first) = schema["enum"].as_array().and_then(|all| all.first()) {
        return first.clone();
    }
    if !schema["const"].is_null() {
        return schema["const"].clone();
    }
    let kind = match &schema["type"] {
        Value::Array(kinds) => kinds.first().and_then(Value::as_str),
        kind => kind.as_str(),
    };
    match kind {
        Some("string") => json!("scripted"),
        Some("integer" | "number") => schema.get("minimum").cloned().unwrap_or(json!(0)),
        Some("boolean") => json!(false),
        Some("array") => json!([]),
        Some("null") => Value::Null,
        _ => {
            let required = schema["required"].as_array().cloned().unwrap_or_default();
            let fields = required.iter().filter_map(Value::as_str);
            fields
                .map(|name| (name.to_owned(), smallest(&schema["properties"][name])))
                .collect::<Map<_, _>>()
                .into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(body: Value) -> Request {
        Request::new(body, Some("s1".to_owned()))
    }

    fn check(script: &str, body: Value, expected: &[Content]) {
        let script = Script::parse(script).unwrap();
        let request = ask(body);
        let mut used = vec![0; script.rules.len()];
        let rule = choose(&script, &mut used, &request).expect("a rule matches");
        assert_eq!(render(&script.rules[rule], &request), expected);
    }

    #[test]
    fn portable_blocks_speak_each_agents_language() {
        let script = r"
rules:
  - when: {userMatches: 'task (?<id>\w+)'}
    turns:
      - - edit: {path: 'src/{{id}}.rs', old: a, new: '{{1}}'}
";
        let messages = json!([{"role": "user", "content": "do task parse"}]);
        check(
            script,
            json!({"system": "Working directory: /w", "messages": messages, "tools": [{"name": "Edit"}]}),
            &[Content::Tool {
                name: "Edit".to_owned(),
                input: json!({"file_path": "/w/src/parse.rs", "old_string": "a", "new_string": "parse"}),
            }],
        );
        check(
            script,
            json!({"system": "Working directory: /w", "messages": messages, "tools": [{"name": "edit"}]}),
            &[Content::Tool {
                name: "edit".to_owned(),
                input: json!({"path": "src/parse.rs", "old": "a", "new": "parse"}),
            }],
        );
    }

    #[test]
    fn rules_are_used_up() {
        let script =
            Script::parse("rules: [{times: 1, answer: [{text: a}]}, {turns: [[{text: b}]]}]")
                .unwrap();
        let mut used = [0, 0];
        let first =
            json!({"tools": [{"name": "x"}], "messages": [{"role": "user", "content": "u"}]});
        let second = json!({"tools": [{"name": "x"}], "messages": [
            {"role": "user", "content": "u"}, {"role": "assistant", "content": "b"}]});
        assert_eq!(choose(&script, &mut used, &ask(first.clone())), Some(0));
        assert_eq!(choose(&script, &mut used, &ask(first)), Some(1));
        assert_eq!(choose(&script, &mut used, &ask(second)), None);
        let side = json!({"messages": [{"role": "user", "content": "u"}]});
        assert_eq!(choose(&script, &mut used, &ask(side)), None);
    }

    #[test]
    fn without_a_rule_the_answer_fits_the_schema() {
        let schema = json!({"type": "object", "required": ["title", "n"],
            "properties": {"title": {"type": "string"}, "n": {"type": "integer", "minimum": 2}}});
        let body = json!({"messages": [{"role": "user", "content": "u"}],
            "tools": [{"name": "answer", "input_schema": schema}]});
        let expected = Content::Tool {
            name: "answer".to_owned(),
            input: json!({"title": "scripted", "n": 2}),
        };
        assert_eq!(fallback(&ask(body)), [expected]);
    }
}
