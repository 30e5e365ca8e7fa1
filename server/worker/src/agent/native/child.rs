//! The half that runs inside the sandbox.

use std::io::{BufRead as _, Write as _};

use claudecluster_protocol::{StopReason, event::AgentEvent, goal::AgentUsage};
use serde_json::{Value, json};

use super::{
    api::{MessagesApi, RequestFailure, ResponseNotice},
    conversation::{Conversation, RequestHead},
    files::WorkspaceRoot,
    lines::{NativeLine, NativeReport, NativeTask},
    tools,
};
use crate::agent::{prices, text::TextPieces};

/// The model of tasks that name none.
const DEFAULT_MODEL: &str = "claude-sonnet-5";
/// The most tokens of one answer.
const MAX_TOKENS: u32 = 16_000;
/// The number of times the model is reminded of fields it left out.
const REMINDERS: u32 = 3;

/// Runs the agent: reads one task from standard input, writes events and one report to standard
/// output, both as JSON lines. Returns the process's exit status.
///
/// One thread, no caches: many of these run at once.
pub(super) fn native_main() -> i32 {
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line);
    let task: NativeTask = match read.map(|_| serde_json::from_str(&line)) {
        Ok(Ok(task)) => task,
        Ok(Err(error)) => return write_error(&format!("not a task: {error}")),
        Err(error) => return write_error(&format!("cannot read the task: {error}")),
    };
    drop(line);
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return write_error(&format!("cannot start: {error}")),
    };
    let report = runtime.block_on(run_task(task));
    let failed = report.stop.is_some();
    write_line(&NativeLine::Report(report));
    i32::from(failed)
}

fn write_error(words: &str) -> i32 {
    // Standard error is where the other half looks for the reason; if it is closed nobody does.
    let _ = writeln!(std::io::stderr(), "{words}");
    2
}

fn write_line(line: &NativeLine) {
    let mut out = std::io::stdout().lock();
    let written = serde_json::to_writer(&mut out, line)
        .map_err(std::io::Error::from)
        .and_then(|()| out.write_all(b"\n"))
        .and_then(|()| out.flush());
    if written.is_err() {
        // The daemon is gone; working on would spend money on a result nobody takes.
        std::process::exit(3);
    }
}

fn emit_event(event: AgentEvent) {
    write_line(&NativeLine::Event(event));
}

async fn run_task(task: NativeTask) -> NativeReport {
    let refuse = |stop, summary| NativeReport {
        stop: Some(stop),
        summary,
        ..NativeReport::default()
    };
    let root = match WorkspaceRoot::open(&task.root) {
        Ok(root) => root,
        Err(words) => return refuse(StopReason::Resources, words),
    };
    let mut conversation = match task.fork_of.as_deref() {
        None => Conversation::default(),
        Some(parent) => match Conversation::load(&task.home, parent) {
            Ok(conversation) => conversation,
            Err(error) => {
                let words = format!("the session {parent} cannot be continued: {error}");
                return refuse(StopReason::Crashed, words);
            }
        },
    };
    conversation.say(&task.prompt);
    emit_event(AgentEvent::Started {
        session: Some(task.session.clone()),
        model: Some(
            task.model
                .clone()
                .unwrap_or_else(|| DEFAULT_MODEL.to_owned()),
        ),
    });
    let api = match MessagesApi::from_env(&task.session) {
        Ok(api) => api,
        Err(failure) => return refuse(failure.stop, failure.words),
    };
    let mut session = NativeSession {
        tools: tools::offered_tools(task.schema.as_ref()),
        system: system_text(&task),
        task,
        root,
        api,
        conversation,
        usage: AgentUsage::default(),
        reminders: 0,
        said: String::new(),
    };
    let end = session.run().await;
    // What is lost without it is only the way to continue.
    if let Err(error) = session.save() {
        write_error(&format!("the conversation could not be kept: {error}"));
    }
    session.report(end)
}

fn system_text(task: &NativeTask) -> String {
    let mut text = format!(
        "You are a software engineer working on a task in a code workspace, alone: nobody answers \
         questions. Look before you change anything, change only what the task needs, and check \
         your work by running what the project offers for that. Paths are relative to the \
         workspace.\n\nWorking directory: {}\n",
        task.root.display()
    );
    if task.schema.is_some() {
        text.push_str("\nWhen everything is done, call the tool `answer` once.\n");
    }
    if let Some(more) = &task.system {
        text.push('\n');
        text.push_str(more);
        text.push('\n');
    }
    text
}

/// The end of a conversation.
enum ConversationEnd {
    Done { answer: Option<Value> },
    Stopped { stop: StopReason, words: String },
    Failed(RequestFailure),
}

struct NativeSession {
    task: NativeTask,
    root: WorkspaceRoot,
    api: MessagesApi,
    system: String,
    tools: Vec<Value>,
    conversation: Conversation,
    usage: AgentUsage,
    reminders: u32,
    /// The last words of the model.
    said: String,
}

impl NativeSession {
    fn model(&self) -> &str {
        self.task.model.as_deref().unwrap_or(DEFAULT_MODEL)
    }

    fn save(&self) -> std::io::Result<()> {
        self.conversation.save(&self.task.home, &self.task.session)
    }

    async fn run(&mut self) -> ConversationEnd {
        loop {
            if self.usage.turns >= self.task.max_turns {
                let words = format!("reached the limit of {} turns", self.task.max_turns);
                return stopped(StopReason::TurnLimit, words);
            }
            if let Some(budget) = self
                .task
                .budget
                .filter(|budget| self.usage.cost_usd >= *budget)
            {
                return stopped(
                    StopReason::Budget,
                    format!("reached the cost limit of {budget}"),
                );
            }
            match self.turn().await {
                // Kept after every turn: a session that is killed can be continued.
                Ok(None) => drop(self.save()),
                Ok(Some(end)) => return end,
                Err(failure) => return ConversationEnd::Failed(failure),
            }
        }
    }

    /// One answer of the model and what it asks for. `None` to go on.
    async fn turn(&mut self) -> Result<Option<ConversationEnd>, RequestFailure> {
        let head = RequestHead {
            model: self.task.model.as_deref().unwrap_or(DEFAULT_MODEL),
            max_tokens: MAX_TOKENS,
            tools: &self.tools,
            system: &self.system,
        };
        let body = self
            .conversation
            .request(&head)
            .map_err(|error| RequestFailure {
                stop: StopReason::Crashed,
                words: error.to_string(),
                retry_after: None,
            })?;
        let mut words = TextPieces::default();
        let mut hear = |heard: ResponseNotice<'_>| match heard {
            ResponseNotice::Words(text) => words.push(text).into_iter().for_each(emit_event),
            ResponseNotice::Discarded => drop(words.flush()),
            ResponseNotice::Event(event) => emit_event(event),
        };
        let mut message = self.api.send(&body, &mut hear).await?;
        words.flush().into_iter().for_each(emit_event);
        self.count(&message.usage);
        let stop_reason = std::mem::take(&mut message.stop_reason);
        let message = message.take();
        self.said = text_of(&message);
        let calls: Vec<Value> = calls_of(&message);
        self.conversation.add_assistant(message);
        if calls.is_empty() {
            return Ok(self.without_calls(&stop_reason));
        }
        let answer = self.run_tool_calls(&calls).await;
        Ok(answer.map(|answer| ConversationEnd::Done {
            answer: Some(answer),
        }))
    }

    fn count(&mut self, usage: &serde_json::Map<String, Value>) {
        let turn = prices::usage_of_turn(self.model(), |part| usage.get(part)?.as_u64());
        self.usage = self.usage.saturating_add(turn);
        emit_event(AgentEvent::Spent { usage: self.usage });
    }

    /// The model said something and asked for nothing.
    fn without_calls(&mut self, stop_reason: &str) -> Option<ConversationEnd> {
        if stop_reason == "refusal" {
            return Some(stopped(StopReason::Refused, self.said.clone()));
        }
        let reminder = if stop_reason == "max_tokens" {
            "Your answer was cut off. Go on, in smaller steps."
        } else if stop_reason == "pause_turn" {
            "Go on."
        } else if self.task.schema.is_some() {
            "Call the tool `answer` now."
        } else {
            return Some(ConversationEnd::Done { answer: None });
        };
        self.remind(reminder)
    }

    fn remind(&mut self, words: &str) -> Option<ConversationEnd> {
        if self.reminders == REMINDERS {
            let words = format!("the agent gave no usable answer: {words}");
            return Some(stopped(StopReason::InvalidAnswer, words));
        }
        self.reminders += 1;
        self.conversation.say(words);
        None
    }

    /// Does what the model asks for, in its order. Some where the answer was among it.
    async fn run_tool_calls(&mut self, calls: &[Value]) -> Option<Value> {
        let mut results = Vec::new();
        let mut answer = None;
        for call in calls {
            let name = call["name"].as_str().unwrap_or_default();
            let input = &call["input"];
            emit_event(AgentEvent::Tool {
                name: name.to_owned(),
                detail: tools::call_detail(input),
            });
            let (text, failed) = match &self.task.schema {
                Some(schema) if name == tools::ANSWER => match tools::missing_fields(schema, input)
                {
                    Some(lack) => (lack, true),
                    None => {
                        answer = Some(input.clone());
                        ("recorded".to_owned(), false)
                    }
                },
                _ => self.call(name, input).await,
            };
            results.push(json!({"type": "tool_result", "tool_use_id": call["id"],
                "content": text, "is_error": failed}));
        }
        self.conversation.add_user(results);
        answer
    }

    async fn call(&self, name: &str, input: &Value) -> (String, bool) {
        let outcome = tools::call_tool(&self.root, name, input, self.task.longest_command).await;
        if let Some(text) = outcome.output {
            emit_event(AgentEvent::Output { text });
        }
        (outcome.text, outcome.failed)
    }

    fn report(self, end: ConversationEnd) -> NativeReport {
        let report = NativeReport {
            usage: self.usage,
            ..NativeReport::default()
        };
        match end {
            ConversationEnd::Done { answer } => {
                let summary = answer
                    .as_ref()
                    .and_then(|answer| answer["summary"].as_str());
                NativeReport {
                    summary: summary.map_or(self.said, str::to_owned),
                    answer,
                    ..report
                }
            }
            ConversationEnd::Stopped { stop, words } => NativeReport {
                stop: Some(stop),
                summary: words,
                ..report
            },
            ConversationEnd::Failed(failure) => NativeReport {
                stop: Some(failure.stop),
                summary: failure.words,
                retry_after: failure.retry_after,
                ..report
            },
        }
    }
}

fn stopped(stop: StopReason, words: String) -> ConversationEnd {
    ConversationEnd::Stopped { stop, words }
}

fn text_of(message: &Value) -> String {
    let blocks = message["content"].as_array().into_iter().flatten();
    let texts: Vec<&str> = blocks.filter_map(|block| block["text"].as_str()).collect();
    texts.join("\n")
}

fn calls_of(message: &Value) -> Vec<Value> {
    let blocks = message["content"].as_array().into_iter().flatten();
    blocks
        .filter(|block| block["type"] == "tool_use")
        .cloned()
        .collect()
}
