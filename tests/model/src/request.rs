//! A request as a script sees it.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

/// The parts of a Messages API request that rules look at.
#[derive(Debug, Default)]
pub(crate) struct Request {
    /// The request as it came.
    pub body: Value,
    /// All system text, including messages of the role `system`.
    pub system: String,
    /// The names of the offered tools.
    pub tools: Vec<String>,
    /// The last thing the user said.
    pub user: String,
    /// Every text of the conversation, one after the other.
    pub text: String,
    /// The tool results of the last message.
    pub tool_result: String,
    /// Assistant messages since the user last said something.
    pub turn: usize,
    /// From the request's header.
    pub session: Option<String>,
}

/// How agents name the working directory in their prompts.
static CWD: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?im)^[\s*-]*(?:primary )?working directory: *(\S.*?)\s*$")
        .unwrap_or_else(|_| unreachable!())
});

impl Request {
    pub(crate) fn new(body: Value, session: Option<String>) -> Self {
        let mut request = Self {
            session,
            system: texts(&body["system"]),
            tools: names(&body["tools"]),
            ..Self::default()
        };
        for message in list(&body["messages"]) {
            request.add(message);
        }
        request.body = body;
        request
    }

    fn add(&mut self, message: &Value) {
        let content = &message["content"];
        match message["role"].as_str() {
            Some("assistant") => {
                self.turn += 1;
                self.tool_result.clear();
                push(&mut self.text, &texts(content));
            }
            Some("system") => push(&mut self.system, &texts(content)),
            _ => {
                let results = tool_results(content);
                let said = said(content);
                push(&mut self.text, &results);
                push(&mut self.text, &texts(content));
                self.tool_result = results;
                if !said.is_empty() {
                    self.user = said;
                    self.turn = 0;
                }
            }
        }
    }

    /// Whether it is none of the main conversation: a title, a summary, a quota check.
    pub(crate) fn is_side(&self) -> bool {
        self.tools.is_empty()
    }

    pub(crate) fn offers(&self, tool: &str) -> bool {
        self.tools.iter().any(|name| name == tool)
    }

    pub(crate) fn model(&self) -> &str {
        self.body["model"].as_str().unwrap_or_default()
    }

    /// The working directory the agent's prompt names.
    pub(crate) fn cwd(&self) -> Option<&str> {
        [&self.system, &self.text]
            .into_iter()
            .find_map(|text| Some(CWD.captures(text)?.get(1)?.as_str()))
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn names(tools: &Value) -> Vec<String> {
    list(tools)
        .iter()
        .filter_map(|tool| Some(tool["name"].as_str()?.to_owned()))
        .collect()
}

fn push(all: &mut String, more: &str) {
    if !more.is_empty() {
        all.push_str(more);
        if !more.ends_with('\n') {
            all.push('\n');
        }
    }
}

/// All text blocks of a content, which may also be one string.
fn texts(content: &Value) -> String {
    if let Some(text) = content.as_str() {
        return text.to_owned();
    }
    let mut all = String::new();
    for block in list(content) {
        push(&mut all, block["text"].as_str().unwrap_or_default());
    }
    all
}

/// What the user said: text that is neither a tool's result nor an agent's own reminder.
fn said(content: &Value) -> String {
    if let Some(text) = content.as_str() {
        return if is_reminder(text) {
            String::new()
        } else {
            text.to_owned()
        };
    }
    let mut all = String::new();
    for block in list(content) {
        let text = block["text"].as_str().unwrap_or_default();
        if !is_reminder(text) {
            push(&mut all, text);
        }
    }
    all
}

fn is_reminder(text: &str) -> bool {
    text.trim_start().starts_with("<system-reminder>")
}

fn tool_results(content: &Value) -> String {
    let mut all = String::new();
    for block in list(content) {
        if block["type"] == "tool_result" {
            push(&mut all, &texts(&block["content"]));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn reads_a_conversation() {
        let request = Request::new(
            json!({
                "system": [{"type": "text", "text": "You help.\n - Primary working directory: /a b/c\nX"}],
                "tools": [{"name": "Read"}],
                "messages": [
                    {"role": "user", "content": "first"},
                    {"role": "assistant", "content": [{"type": "text", "text": "one"}]},
                    {"role": "user", "content": [
                        {"type": "text", "text": "<system-reminder>x</system-reminder>"},
                        {"type": "text", "text": "second"}]},
                    {"role": "assistant", "content": [{"type": "tool_use", "name": "Read", "input": {}}]},
                    {"role": "user", "content": [
                        {"type": "tool_result", "content": [{"type": "text", "text": "file"}]},
                        {"type": "text", "text": "<system-reminder>y</system-reminder>"}]},
                ],
            }),
            None,
        );
        assert_eq!(request.cwd(), Some("/a b/c"));
        assert_eq!(request.user, "second\n");
        assert_eq!(request.turn, 1);
        assert_eq!(request.tool_result, "file\n");
        assert!(request.offers("Read") && !request.is_side());
    }
}
