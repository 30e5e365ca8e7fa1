//! The messages of a session, kept so that later sessions can start from them.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use claudecluster_files::{EntryKind, FolderHandle, ForeignFileError};
use serde_json::{Value, json};

use crate::agent::AgentHome;

/// The messages so far, as the API wants them.
#[derive(Debug, Default)]
pub(super) struct Conversation {
    messages: Vec<Value>,
}

impl Conversation {
    /// Loads the conversation of an earlier session.
    pub(super) fn load(home: &Path, session: &str) -> io::Result<Self> {
        let messages = serde_json::from_slice(&fs::read(conversation_file(home, session))?)?;
        Ok(Self { messages })
    }

    /// Keeps it under this session's id.
    pub(super) fn save(&self, home: &Path, session: &str) -> io::Result<()> {
        let path = conversation_file(home, session);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let temporary = path.with_extension("tmp");
        fs::write(&temporary, serde_json::to_vec(&self.messages)?)?;
        fs::rename(temporary, path)
    }

    /// The user says something. Two user messages in a row become one.
    pub(super) fn say(&mut self, text: &str) {
        self.add_user(vec![json!({"type": "text", "text": text})]);
    }

    /// Content of the user's side: words and tool results.
    pub(super) fn add_user(&mut self, mut blocks: Vec<Value>) {
        let last = self
            .messages
            .last_mut()
            .filter(|message| message["role"] == "user");
        match last.and_then(|message| message.get_mut("content")?.as_array_mut()) {
            Some(content) => content.append(&mut blocks),
            None => self
                .messages
                .push(json!({"role": "user", "content": blocks})),
        }
    }

    /// The assistant's message.
    pub(super) fn add_assistant(&mut self, message: Value) {
        self.messages.push(message);
    }

    /// The request's body. Marked for the prompt cache are the tools, the system prompt and the
    /// last block, so that every turn reads what the one before it wrote.
    pub(super) fn request(&mut self, head: &RequestHead<'_>) -> serde_json::Result<Vec<u8>> {
        let mark = || json!({"type": "ephemeral"});
        let mut tools = head.tools.to_vec();
        if let Some(last) = tools.last_mut() {
            last["cache_control"] = mark();
        }
        let last = self.last_block();
        if let Some(block) = last {
            block.insert("cache_control".to_owned(), mark());
        }
        let system = [json!({"type": "text", "text": head.system, "cache_control": mark()})];
        #[derive(serde::Serialize)]
        struct RequestBody<'a> {
            model: &'a str,
            max_tokens: u32,
            stream: bool,
            tools: &'a [Value],
            system: &'a [Value],
            messages: &'a [Value],
        }
        let body = serde_json::to_vec(&RequestBody {
            model: head.model,
            max_tokens: head.max_tokens,
            stream: true,
            tools: &tools,
            system: &system,
            messages: &self.messages,
        });
        if let Some(block) = self.last_block() {
            block.remove("cache_control");
        }
        body
    }

    fn last_block(&mut self) -> Option<&mut serde_json::Map<String, Value>> {
        let content = self
            .messages
            .last_mut()?
            .get_mut("content")?
            .as_array_mut()?;
        content.last_mut()?.as_object_mut()
    }
}

/// The parts of a request before its messages.
pub(super) struct RequestHead<'a> {
    pub model: &'a str,
    pub max_tokens: u32,
    pub tools: &'a [Value],
    pub system: &'a str,
}

/// The home of a session of the built-in agent: its conversation.
#[derive(Clone, Copy, Debug)]
pub(super) struct NativeHome;

impl AgentHome for NativeHome {
    fn fill(
        &self,
        _home: &FolderHandle,
        _keep: &FolderHandle,
        _needs_login: bool,
    ) -> Result<(), ForeignFileError> {
        Ok(())
    }

    fn list_session_files(
        &self,
        home: &FolderHandle,
        session: &str,
    ) -> Result<Vec<PathBuf>, ForeignFileError> {
        let path = conversation_file(Path::new(""), session);
        let is_file = home.kind(&path)? == Some(EntryKind::File);
        Ok(is_file.then_some(path).into_iter().collect())
    }
}

fn conversation_file(home: &Path, session: &str) -> PathBuf {
    // An id that came from elsewhere must not lead elsewhere.
    let name: String = session
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || *c == '-')
        .collect();
    home.join("native").join(format!("{name}.json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fork_continues_the_last_user_message() {
        let home = tempfile::tempdir().unwrap();
        let mut planner = Conversation::default();
        planner.say("plan");
        planner.add_assistant(
            json!({"role": "assistant", "content": [{"type": "tool_use", "id": "t"}]}),
        );
        planner.add_user(vec![json!({"type": "tool_result", "tool_use_id": "t"})]);
        planner.save(home.path(), "a").unwrap();
        let mut fork = Conversation::load(home.path(), "a").unwrap();
        fork.say("work");
        let roles: Vec<&Value> = fork.messages.iter().map(|m| &m["role"]).collect();
        assert_eq!(roles, ["user", "assistant", "user"]);
        assert_eq!(fork.messages[2]["content"][1]["text"], "work");
        let head = RequestHead {
            model: "m",
            max_tokens: 1,
            tools: &[],
            system: "s",
        };
        let body: Value = serde_json::from_slice(&fork.request(&head).unwrap()).unwrap();
        assert_eq!(
            body["messages"][2]["content"][1]["cache_control"]["type"],
            "ephemeral"
        );
        assert!(
            fork.messages[2]["content"][1]
                .get("cache_control")
                .is_none()
        );
    }
}
