//! The script: its types, reading it, and what is checked before it is used.

use std::{collections::HashSet, path::Path, sync::LazyLock, time::Duration};

use regex::Regex;
use serde::{Deserialize, Deserializer, de};
use serde_json::Value;

/// What the model answers to what. See the crate's documentation for the file format.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Script {
    /// For every rule that does not say otherwise.
    pub defaults: Defaults,
    /// Tried from the top; the first that matches answers.
    pub rules: Vec<Rule>,
}

/// Pace of answers where a rule says nothing.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Defaults {
    /// Characters in one streamed delta.
    pub chunk: usize,
    /// Before the first byte.
    #[serde(deserialize_with = "duration")]
    pub delay: Duration,
    /// Between two streamed events.
    #[serde(deserialize_with = "duration")]
    pub pause: Duration,
}

impl Default for Defaults {
    fn default() -> Self {
        Self {
            chunk: 200,
            delay: Duration::ZERO,
            pause: Duration::ZERO,
        }
    }
}

/// One rule: when it applies, and what it answers.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Rule {
    /// Shows up in the records.
    pub name: String,
    /// When it applies.
    pub when: When,
    /// It matches at most so often.
    pub times: Option<u32>,
    /// What to answer at turn 0, 1, 2, …
    pub turns: Option<Vec<Vec<Block>>>,
    /// What to answer at any turn.
    pub answer: Option<Vec<Block>>,
    /// Answer with an HTTP error.
    pub error: Option<Failure>,
    /// Before the first byte.
    #[serde(deserialize_with = "some_duration")]
    pub delay: Option<Duration>,
    /// Between two streamed events.
    #[serde(deserialize_with = "some_duration")]
    pub pause: Option<Duration>,
    /// Characters in one streamed delta.
    pub chunk: Option<usize>,
    /// Token counts instead of the computed ones.
    pub usage: Option<Tokens>,
    /// Instead of `tool_use` or `end_turn`.
    pub stop_reason: Option<String>,
    /// The connection breaks after so many streamed events.
    pub cut: Option<usize>,
    /// This streamed event, counted from 0, is not JSON.
    pub malformed: Option<usize>,
    /// Nothing is answered before this name is released.
    pub hold: Option<String>,
    /// Nothing is answered before so many requests wait at this rule.
    pub together: Option<usize>,
}

/// Conditions; all that are given must hold.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct When {
    /// Substring of the last thing the user said.
    pub user: Option<String>,
    /// Expression for the last thing the user said.
    pub user_matches: Option<Expression>,
    /// Substring of any text in the conversation.
    pub text: Option<String>,
    /// Expression for any text in the conversation.
    pub text_matches: Option<Expression>,
    /// Substring of the last message's tool results.
    pub tool_result: Option<String>,
    /// Substring of the system prompt.
    pub system: Option<String>,
    /// All of these tools are offered.
    pub tools: Vec<String>,
    /// None of these tools is offered.
    pub without_tools: Vec<String>,
    /// Substring of the model's name.
    pub model: Option<String>,
    /// Assistant messages since the user last said something.
    pub turn: Option<usize>,
    /// Whether it is a side request: one that offers no tools.
    pub side: bool,
}

/// A regular expression in a script.
#[derive(Clone, Debug)]
pub struct Expression(pub(crate) Regex);

impl<'de> Deserialize<'de> for Expression {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        Regex::new(&text).map(Self).map_err(de::Error::custom)
    }
}

/// One content block of an answer. Exactly one of its kinds is given.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Block {
    /// Words.
    pub text: Option<String>,
    /// A thinking block.
    pub thinking: Option<String>,
    /// A call of this tool, with `input` as it stands.
    pub tool: Option<String>,
    /// The input of `tool`.
    pub input: Option<Value>,
    /// Read this file.
    pub read: Option<String>,
    /// Write a file.
    pub write: Option<WriteFile>,
    /// Edit a file.
    pub edit: Option<EditFile>,
    /// Run this command.
    pub run: Option<String>,
    /// The structured answer.
    pub structured: Option<Value>,
}

/// A file to write.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WriteFile {
    /// Relative to the workspace.
    pub path: String,
    /// The whole new content.
    pub content: String,
}

/// A replacement in a file.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EditFile {
    /// Relative to the workspace.
    pub path: String,
    /// What stands there now.
    pub old: String,
    /// What shall stand there.
    pub new: String,
}

/// An HTTP error as the provider sends it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Failure {
    /// The status.
    pub status: u16,
    /// The error's type; by default what the provider uses for the status.
    pub r#type: Option<String>,
    /// The words.
    pub message: Option<String>,
    /// Seconds for the `retry-after` header.
    pub retry_after: Option<u64>,
}

/// Token counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Tokens {
    /// Sent, and in no cache.
    pub input: u64,
    /// Received.
    pub output: u64,
    /// Sent, and read from the cache.
    pub cache_read: u64,
    /// Sent, and written to the cache.
    pub cache_write: u64,
}

/// Why a script cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// The file cannot be read.
    #[error("cannot read the script: {0}")]
    Read(#[from] std::io::Error),
    /// The text is not a script.
    #[error("not a script: {0}")]
    Parse(String),
    /// A rule contradicts itself.
    #[error("rule {rule}: {problem}")]
    Rule {
        /// Its name, or its number from 0.
        rule: String,
        /// What is wrong.
        problem: String,
    },
}

impl Script {
    /// Reads a script's text.
    ///
    /// # Errors
    /// Unknown keys, values of the wrong type, rules that contradict themselves.
    pub fn parse(text: &str) -> Result<Self, ScriptError> {
        let script: Self =
            serde_saphyr::from_str(text).map_err(|e| ScriptError::Parse(e.to_string()))?;
        for (index, rule) in script.rules.iter().enumerate() {
            rule.check().map_err(|problem| ScriptError::Rule {
                rule: if rule.name.is_empty() {
                    index.to_string()
                } else {
                    rule.name.clone()
                },
                problem,
            })?;
        }
        Ok(script)
    }

    /// Reads a script file.
    ///
    /// # Errors
    /// As [`Script::parse`], and where the file cannot be read.
    pub fn load(path: &Path) -> Result<Self, ScriptError> {
        Self::parse(&std::fs::read_to_string(path)?)
    }
}

impl Rule {
    fn check(&self) -> Result<(), String> {
        let given = [
            self.turns.is_some(),
            self.answer.is_some(),
            self.error.is_some(),
        ];
        if given.into_iter().filter(|g| *g).count() != 1 {
            return Err("needs exactly one of `turns`, `answer` and `error`".to_owned());
        }
        if self.chunk == Some(0) {
            return Err("`chunk` must be at least 1".to_owned());
        }
        let known = self.variables();
        let blocks = self.turns.iter().flatten().flatten();
        for block in blocks.chain(self.answer.iter().flatten()) {
            block.check(&known)?;
        }
        Ok(())
    }

    /// The names that templates of this rule may use.
    fn variables(&self) -> HashSet<String> {
        let mut known: HashSet<String> = ["cwd", "session", "model"].map(str::to_owned).into();
        let expressions = [&self.when.user_matches, &self.when.text_matches];
        for expression in expressions.into_iter().flatten() {
            for (index, name) in expression.0.capture_names().enumerate() {
                known.insert(index.to_string());
                known.extend(name.map(str::to_owned));
            }
        }
        known
    }

    /// The blocks to answer with at `turn`; `None` once the turns are used up.
    pub(crate) fn blocks(&self, turn: usize) -> Option<&[Block]> {
        match &self.turns {
            Some(turns) => turns.get(turn).map(Vec::as_slice),
            None => Some(self.answer.as_deref().unwrap_or_default()),
        }
    }
}

/// A variable in a template.
pub(crate) static VARIABLE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\{\{\s*(\w+)\s*\}\}").unwrap_or_else(|_| unreachable!()));

impl Block {
    fn check(&self, known: &HashSet<String>) -> Result<(), String> {
        let given = [
            self.text.is_some(),
            self.thinking.is_some(),
            self.tool.is_some(),
            self.read.is_some(),
            self.write.is_some(),
            self.edit.is_some(),
            self.run.is_some(),
            self.structured.is_some(),
        ];
        if given.into_iter().filter(|g| *g).count() != 1 {
            return Err("a block needs exactly one kind".to_owned());
        }
        if self.input.is_some() && self.tool.is_none() {
            return Err("`input` belongs to `tool`".to_owned());
        }
        let text = format!("{self:?}");
        for found in VARIABLE.captures_iter(&text) {
            if !known.contains(&found[1]) {
                return Err(format!("nothing gives {{{{{}}}}} a value", &found[1]));
            }
        }
        Ok(())
    }
}

fn duration<'de, D: Deserializer<'de>>(d: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(d)?;
    humantime::parse_duration(&text)
        .map_err(|e| de::Error::custom(format!("{text:?} is not a duration: {e}")))
}

fn some_duration<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Duration>, D::Error> {
    duration(d).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, problem: &str) {
        let error = Script::parse(text).unwrap_err().to_string();
        assert!(error.contains(problem), "{error}");
    }

    #[test]
    fn mistakes_name_themselves() {
        check("rulez: []", "rulez");
        check("rules: [{answer: [], whn: {}}]", "whn");
        check("rules: [{name: x}]", "rule x: needs exactly one of");
        check("rules: [{answer: [{text: a, run: b}]}]", "exactly one kind");
        check("rules: [{answer: [{text: 'hello {{who}}'}]}]", "{{who}}");
        check(
            "rules: [{when: {userMatches: '('}, answer: []}]",
            "unclosed",
        );
        check("rules: [{delay: soon, answer: []}]", "soon");
    }

    #[test]
    fn captures_are_variables() {
        let script = Script::parse(
            r"rules: [{when: {userMatches: 'Task (?<id>\w+)'}, answer: [{text: '{{id}} {{0}} {{cwd}}'}]}]",
        );
        assert_eq!(script.unwrap().rules.len(), 1);
    }
}
