//! Claude Code's messages, and the state of a session that they change.

use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
};

use claudecluster_protocol::{
    Span, StopReason, Timestamp, event::AgentEvent, goal::AgentUsage,
    permission::PermissionDecision,
};
use serde_json::{Value, json};

use super::{
    policy::{self, ToolPolicy, ToolRule},
    result::{ClaudeResult, stop_by_status, usage_difference},
};
use crate::agent::{
    AgentReport, AgentTask, ForkInheritance, QuestionReply, ToolRequest, is_model_name,
    line_session::{
        LineEffects, LineProtocol, ProtocolQuestion, QuestionAnswer, SessionControl, SessionExit,
    },
    permission, prices,
    text::{TextPieces, one_line},
};

/// The most questions of one session. Nobody answers more, and each is journaled.
const MOST_QUESTIONS: u64 = 1_000;
/// The most bytes of what a tool is to do that somebody is asked about.
const MOST_ASKED_BYTES: usize = 1 << 20;

/// The most bytes of the id of a tool use.
const MOST_ID_BYTES: usize = 200;

pub(super) struct ClaudeProtocol<'a> {
    task: &'a AgentTask,
    root: PathBuf,
    policy: ToolPolicy,
    before: AgentUsage,
    words: TextPieces,
    /// Whether it has said that it has begun.
    begun: bool,
    model: Option<String>,
    /// Summed up while it works: exact in tokens, estimated in cost.
    running: AgentUsage,
    outcome: Option<ClaudeResult>,
    retry_after: Option<Span>,
    /// The `error` of the last assistant message that had one.
    hint: Option<String>,
    /// Lines that were no messages.
    garbled: u32,
    /// The open permission questions, by number.
    open: HashMap<u64, PendingToolUse>,
    questions: u64,
    /// Tool uses that somebody denied or did not decide: the model was told to do without.
    done_without: HashSet<String>,
}

/// A tool use that Claude asked for and waits for.
struct PendingToolUse {
    /// The id of the request, as Claude sent it.
    id: Value,
    tool: String,
    tool_use: Option<String>,
    input: Value,
}

impl<'a> ClaudeProtocol<'a> {
    pub(super) fn new(
        task: &'a AgentTask,
        root: &Path,
        policy: ToolPolicy,
        before: AgentUsage,
    ) -> Self {
        Self {
            task,
            root: root.to_owned(),
            policy,
            before,
            words: TextPieces::default(),
            begun: false,
            model: task.model.clone(),
            running: AgentUsage::default(),
            outcome: None,
            retry_after: None,
            hint: None,
            garbled: 0,
            open: HashMap::new(),
            questions: 0,
            done_without: HashSet::new(),
        }
    }

    /// Returns the report of the session.
    pub(super) fn into_report(self, ended: &SessionExit) -> AgentReport {
        // The id is the one we gave. What the stream says is a program's word.
        let session = ended.spoke.then(|| self.task.session.clone());
        let model = self.model.filter(|model| is_model_name(model));
        let Some(outcome) = self.outcome else {
            let (mut stop, mut summary) = ended.without_result("Claude Code", &self.task.limits);
            if stop == StopReason::Crashed && self.garbled > 0 {
                stop = StopReason::BrokenStream;
            }
            if stop == StopReason::Auth {
                summary = AUTH.to_owned();
            }
            return AgentReport {
                stop: Some(stop),
                summary,
                usage: self.running,
                session,
                retry_after: self.retry_after,
                ..AgentReport::default()
            };
        };
        // A result that came while it was being stopped still says what it cost.
        let stop = ended.stop.or(outcome.stop);
        let usage = AgentUsage {
            turns: self.running.turns,
            ..match outcome.totals {
                Some(totals) => usage_difference(totals, self.before, outcome.own),
                None => self.running,
            }
        };
        let mut summary = outcome.words;
        if stop == Some(StopReason::Auth) {
            summary = format!("{AUTH} ({summary})");
        } else if summary.is_empty() && stop.is_some() {
            summary = ended.without_result("Claude Code", &self.task.limits).1;
        }
        AgentReport {
            stop,
            summary,
            answer: outcome.answer,
            usage,
            session,
            inheritance: ForkInheritance {
                totals: outcome.totals.unwrap_or_default(),
                model,
            },
            retry_after: self.retry_after,
        }
    }

    fn handle_message(&mut self, message: &Value) -> LineEffects {
        let main = message["parent_tool_use_id"].is_null();
        match message["type"].as_str() {
            Some("stream_event") => LineEffects {
                events: self.handle_stream_event(&message["event"], main),
                ..LineEffects::default()
            },
            Some("assistant") => LineEffects {
                events: self.handle_assistant(message),
                ..LineEffects::default()
            },
            Some("control_request") => self.handle_request(message),
            Some("control_cancel_request") => self.withdraw_request(&message["request_id"]),
            Some("system") => self.handle_system(message),
            Some("rate_limit_event") => self.handle_rate_limit(&message["rate_limit_info"]),
            Some("result") => self.handle_result(message),
            _ => LineEffects::default(),
        }
    }

    fn handle_stream_event(&mut self, event: &Value, main: bool) -> Vec<AgentEvent> {
        match event["type"].as_str() {
            Some("content_block_delta") if main => {
                let text = event["delta"]["text"].as_str().unwrap_or_default();
                self.words.push(text).into_iter().collect()
            }
            Some("content_block_stop") => self.words.flush().into_iter().collect(),
            Some("message_delta") => {
                self.count_usage(&event["usage"]);
                vec![AgentEvent::Spent {
                    usage: self.running,
                }]
            }
            _ => Vec::new(),
        }
    }

    /// Adds one model turn's usage.
    fn count_usage(&mut self, usage: &Value) {
        let model = self.model.as_deref().unwrap_or_default();
        let turn = prices::usage_of_turn(model, |part| usage[part].as_u64());
        self.running = self.running.saturating_add(turn);
    }

    fn handle_assistant(&mut self, message: &Value) -> Vec<AgentEvent> {
        if let Some(error) = message["error"].as_str() {
            self.hint = Some(one_line(error));
        }
        let blocks = message["message"]["content"].as_array();
        let mut events: Vec<AgentEvent> = self.words.flush().into_iter().collect();
        for block in blocks
            .into_iter()
            .flatten()
            .filter(|b| b["type"] == "tool_use")
        {
            let name = block["name"].as_str().unwrap_or_default();
            events.push(AgentEvent::Tool {
                name: name.to_owned(),
                detail: self.tool_detail(&block["input"]),
            });
        }
        events
    }

    /// The one argument of a tool call that people want to see.
    fn tool_detail(&self, input: &Value) -> String {
        let keys = [
            "file_path",
            "notebook_path",
            "command",
            "pattern",
            "path",
            "url",
            "query",
            "description",
        ];
        let found = keys.into_iter().find_map(|key| input[key].as_str());
        let text = found.unwrap_or_default();
        let within = Path::new(text).strip_prefix(&self.root);
        one_line(within.ok().and_then(Path::to_str).unwrap_or(text))
    }

    /// A request that Claude waits for an answer to. It has no deadline of its own, so every one
    /// is answered, also those we do not know.
    fn handle_request(&mut self, message: &Value) -> LineEffects {
        let id = &message["request_id"];
        let request = &message["request"];
        if request["subtype"] != "can_use_tool" {
            let answer = json!({"type": "control_response", "response": {
                "subtype": "error", "request_id": id, "error": "not supported by this host"}});
            return LineEffects {
                send: vec![answer.to_string()],
                ..LineEffects::default()
            };
        }
        let call = PendingToolUse {
            id: id.clone(),
            tool: request["tool_name"].as_str().unwrap_or_default().to_owned(),
            tool_use: request["tool_use_id"].as_str().map(str::to_owned),
            input: request["input"].clone(),
        };
        match self.policy.rule(&call.tool) {
            ToolRule::Allow => allow_use(&call),
            ToolRule::Ask => self.ask_permission(call),
            ToolRule::Deny => {
                let tool = &call.tool;
                let words = format!("{tool} is not available in this session; do without it.");
                self.deny_use(&call, &words)
            }
        }
    }

    fn ask_permission(&mut self, call: PendingToolUse) -> LineEffects {
        let input = permission::canonical_json(&call.input);
        if self.questions >= MOST_QUESTIONS || input.len() > MOST_ASKED_BYTES {
            let words = format!(
                "The developer is not asked about this use of {}: too much was asked already, or it is too long \
                 to be read. Do without it.",
                call.tool
            );
            return self.deny_use(&call, &words);
        }
        self.questions += 1;
        let request = ToolRequest {
            tool: call.tool.clone(),
            detail: permission::input_detail(&call.input),
            kind: policy::kind_of_tool(&call.tool),
            input,
        };
        self.open.insert(self.questions, call);
        LineEffects {
            questions: vec![ProtocolQuestion {
                number: self.questions,
                request,
            }],
            ..LineEffects::default()
        }
    }

    /// Claude does not wait for the answer to a request any more.
    fn withdraw_request(&mut self, id: &Value) -> LineEffects {
        let of = |open: &HashMap<u64, PendingToolUse>| {
            Some(*open.iter().find(|(_, call)| call.id == *id)?.0)
        };
        let number = of(&self.open);
        self.open.retain(|open, _| Some(*open) != number);
        LineEffects {
            withdrawn: number.into_iter().collect(),
            ..LineEffects::default()
        }
    }

    fn deny_use(&self, call: &PendingToolUse, words: &str) -> LineEffects {
        let what = format!("{} {}", call.tool, self.tool_detail(&call.input));
        let what = what.trim().to_owned();
        let denial = json!({"behavior": "deny", "message": words, "interrupt": false});
        LineEffects {
            send: vec![response(call, &denial)],
            events: vec![AgentEvent::Denied { what }],
            ..LineEffects::default()
        }
    }

    fn handle_system(&mut self, message: &Value) -> LineEffects {
        match message["subtype"].as_str() {
            Some("init") => self.handle_init(message),
            Some("api_retry") => self.handle_retry(message),
            Some("permission_denied") => {
                let what = message["tool_name"].as_str().unwrap_or("a tool").to_owned();
                LineEffects {
                    events: vec![AgentEvent::Denied { what }],
                    ..LineEffects::default()
                }
            }
            _ => LineEffects::default(),
        }
    }

    /// Comes with every turn; news only the first time.
    fn handle_init(&mut self, message: &Value) -> LineEffects {
        if self.begun {
            return LineEffects::default();
        }
        self.begun = true;
        let model = message["model"].as_str().map(str::to_owned);
        self.model = model.or_else(|| self.model.take());
        LineEffects {
            events: vec![AgentEvent::Started {
                session: Some(self.task.session.clone()),
                model: self.model.clone(),
            }],
            ..LineEffects::default()
        }
    }

    fn handle_retry(&mut self, message: &Value) -> LineEffects {
        let status = message["error_status"].as_u64();
        if stop_by_status(status) == Some(StopReason::Auth) {
            // It would try ten times, with growing delays, what cannot succeed.
            return LineEffects {
                next: SessionControl::Abort(StopReason::Auth),
                ..LineEffects::default()
            };
        }
        if !matches!(status, Some(429 | 503 | 529)) {
            return LineEffects::default();
        }
        let wait = message["retry_delay_ms"]
            .as_f64()
            .map(|ms| Span(ms.max(0.0) as u64));
        LineEffects {
            events: vec![AgentEvent::RateLimited { wait }],
            ..LineEffects::default()
        }
    }

    /// The limit of a subscription. Only a rejection means waiting.
    fn handle_rate_limit(&mut self, info: &Value) -> LineEffects {
        if info["status"] != "rejected" {
            return LineEffects::default();
        }
        let reset = info["resetsAt"]
            .as_u64()
            .map(|s| Timestamp(s.saturating_mul(1000)));
        let wait = reset.map(|at| at.span_since(now()));
        self.retry_after = wait;
        LineEffects {
            events: vec![AgentEvent::RateLimited { wait }],
            ..LineEffects::default()
        }
    }

    /// The first result counts; a second one would be about something we did not ask.
    fn handle_result(&mut self, message: &Value) -> LineEffects {
        if self.outcome.is_some() {
            return LineEffects::default();
        }
        let wants_answer = self.task.schema.is_some();
        let done_without = |tool_use: &str| self.done_without.contains(tool_use);
        let mut outcome =
            ClaudeResult::read(message, wants_answer, self.hint.as_deref(), &done_without);
        if self.retry_after.is_some() && outcome.stop == Some(StopReason::Crashed) {
            outcome.stop = Some(StopReason::Overloaded);
        }
        let usage = AgentUsage {
            turns: self.running.turns,
            ..outcome.totals.map_or(self.running, |totals| {
                usage_difference(totals, self.before, outcome.own)
            })
        };
        self.outcome = Some(outcome);
        let mut events: Vec<AgentEvent> = self.words.flush().into_iter().collect();
        events.push(AgentEvent::Spent { usage });
        LineEffects {
            events,
            next: SessionControl::Finished,
            ..LineEffects::default()
        }
    }
}

const AUTH: &str = "the provider rejected the API key or login: set ANTHROPIC_API_KEY, or log in with \
                    `claude` and `/login`";

impl LineProtocol for ClaudeProtocol<'_> {
    fn opening_lines(&mut self) -> Vec<String> {
        let initialize = json!({"type": "control_request", "request_id": "initialize",
            "request": {"subtype": "initialize"}});
        // Two blocks: only the last is searched for commands and mentions (see the module's head).
        let content = json!([
            {"type": "text", "text": self.task.prompt},
            {"type": "text", "text": "Begin."},
        ]);
        let turn = json!({"type": "user", "message": {"role": "user", "content": content},
            "parent_tool_use_id": null, "session_id": "", "client_composed": true});
        vec![initialize.to_string(), turn.to_string()]
    }

    fn receive_line(&mut self, line: &[u8]) -> LineEffects {
        if line.trim_ascii().is_empty() {
            return LineEffects::default();
        }
        // Invalid UTF-8 spoils one string, not the message.
        match serde_json::from_str::<Value>(&String::from_utf8_lossy(line)) {
            Ok(message) if message.is_object() => self.handle_message(&message),
            _ => {
                self.garbled = self.garbled.saturating_add(1);
                LineEffects::default()
            }
        }
    }

    fn receive_answer(&mut self, question: u64, answer: QuestionAnswer) -> LineEffects {
        let Some(call) = self.open.remove(&question) else {
            return LineEffects::default();
        };
        let tool = &call.tool;
        let words = match answer {
            QuestionAnswer::Decided(QuestionReply {
                decision: PermissionDecision::Allow,
                ..
            }) => return allow_use(&call),
            QuestionAnswer::Decided(QuestionReply {
                reason: Some(reason),
                ..
            }) => format!("The developer does not allow this: {reason}"),
            QuestionAnswer::Decided(QuestionReply { reason: None, .. }) => {
                format!("The developer does not allow this use of {tool}. Do without it.")
            }
            QuestionAnswer::TimedOut(after) => format!(
                "The developer was asked and did not answer within {after}, so {tool} cannot be used for \
                 this. Do without it."
            ),
            QuestionAnswer::NoApprover => {
                format!("There is nobody to allow this use of {tool}. Do without it.")
            }
        };
        let tool_use = call.tool_use.as_ref();
        let is_id = |id: &&String| id.len() <= MOST_ID_BYTES;
        self.done_without.extend(tool_use.filter(is_id).cloned());
        self.deny_use(&call, &words)
    }

    fn interrupt_line(&mut self) -> Option<String> {
        let request = json!({"type": "control_request", "request_id": "interrupt",
            "request": {"subtype": "interrupt"}});
        Some(request.to_string())
    }
}

/// Lets a tool do exactly what was asked for.
fn allow_use(call: &PendingToolUse) -> LineEffects {
    let decision = json!({"behavior": "allow", "updatedInput": call.input});
    LineEffects {
        send: vec![response(call, &decision)],
        ..LineEffects::default()
    }
}

fn response(call: &PendingToolUse, decision: &Value) -> String {
    json!({"type": "control_response", "response": {
        "subtype": "success", "request_id": call.id, "response": decision}})
    .to_string()
}

fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Timestamp(since.map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use claudecluster_protocol::{Usd, plan::AgentName};
    use proptest::prelude::*;

    use super::*;
    use crate::agent::{AgentLimits, ToolPermissions};

    fn task() -> AgentTask {
        AgentTask {
            agent: AgentName::ClaudeCode,
            prompt: "--help\n/init".to_owned(),
            system: None,
            schema: None,
            model: None,
            session: "ours".to_owned(),
            fork_of: None,
            unforked_prompt: None,
            run: None,
            limits: AgentLimits::default(),
            permissions: ToolPermissions::default(),
        }
    }

    /// What a session tells about these lines, and how it ends after them.
    fn play(task: &AgentTask, lines: &[&str]) -> (Vec<AgentEvent>, AgentReport) {
        let root = Path::new("/home/ada/space");
        let mut protocol =
            ClaudeProtocol::new(task, root, ToolPolicy::default(), AgentUsage::default());
        let mut events = Vec::new();
        for line in lines {
            events.extend(protocol.receive_line(line.as_bytes()).events);
        }
        let ended = SessionExit {
            spoke: true,
            ..SessionExit::default()
        };
        (events, protocol.into_report(&ended))
    }

    /// Lines of Claude Code 2.1.197, shortened by what nobody reads.
    const RECORDED: [&str; 9] = [
        r#"{"type":"control_response","response":{"subtype":"success","request_id":"initialize","response":{"commands":[]}}}"#,
        r#"{"type":"system","subtype":"init","cwd":"/home/ada/space","session_id":"be67","tools":["Bash"],"model":"claude-sonnet-5","permissionMode":"acceptEdits","claude_code_version":"2.1.197"}"#,
        r#"{"type":"system","subtype":"api_retry","attempt":1,"max_retries":10,"retry_delay_ms":518.5678423574107,"error_status":529,"error":"overloaded","session_id":"be67"}"#,
        r#"{"type":"stream_event","event":{"delta":{"text":"Looking at it now.","type":"text_delta"},"index":0,"type":"content_block_delta"},"session_id":"be67","parent_tool_use_id":null}"#,
        r#"{"type":"stream_event","event":{"delta":{"text":"Within a subagent.\n","type":"text_delta"},"index":0,"type":"content_block_delta"},"session_id":"be67","parent_tool_use_id":"toolu_9"}"#,
        r#"{"type":"assistant","message":{"content":[{"id":"toolu_1","input":{"file_path":"/home/ada/space/src/main.rs"},"name":"Read","type":"tool_use"}],"id":"msg_1","role":"assistant"},"parent_tool_use_id":null,"session_id":"be67"}"#,
        r#"{"type":"stream_event","event":{"delta":{"stop_reason":"tool_use"},"type":"message_delta","usage":{"cache_creation_input_tokens":20000,"cache_read_input_tokens":0,"input_tokens":1000,"output_tokens":10}},"session_id":"be67","parent_tool_use_id":null}"#,
        r#"{"type":"user","message":{"role":"user","content":[{"tool_use_id":"toolu_1","type":"tool_result","content":"x"}]},"parent_tool_use_id":null,"session_id":"be67"}"#,
        r#"{"type":"result","subtype":"success","is_error":false,"api_error_status":null,"num_turns":5,"result":"done","session_id":"be67","total_cost_usd":0.25,"usage":{"input_tokens":1000,"output_tokens":10,"cache_creation_input_tokens":20000,"cache_read_input_tokens":0},"modelUsage":{"claude-sonnet-5":{"inputTokens":1000,"outputTokens":10,"cacheReadInputTokens":0,"cacheCreationInputTokens":20000,"costUSD":0.24},"claude-haiku-4-5":{"inputTokens":7,"outputTokens":3,"cacheReadInputTokens":0,"cacheCreationInputTokens":0,"costUSD":0.01}},"permission_denials":[],"terminal_reason":"completed"}"#,
    ];

    #[test]
    fn a_recorded_session() {
        let (events, report) = play(&task(), &RECORDED);
        let running = AgentUsage {
            input_tokens: 1000,
            output_tokens: 10,
            cache_write_tokens: 20_000,
            cost_usd: Usd::from_dollars(0.078_15),
            turns: 1,
            ..AgentUsage::default()
        };
        let usage = AgentUsage {
            input_tokens: 1007,
            output_tokens: 13,
            cost_usd: Usd::from_dollars(0.25),
            ..running
        };
        let expected = [
            AgentEvent::Started {
                session: Some("ours".to_owned()),
                model: Some("claude-sonnet-5".to_owned()),
            },
            AgentEvent::RateLimited {
                wait: Some(Span(518)),
            },
            AgentEvent::Text {
                text: "Looking at it now.".to_owned(),
            },
            AgentEvent::Tool {
                name: "Read".to_owned(),
                detail: "src/main.rs".to_owned(),
            },
            AgentEvent::Spent { usage: running },
            AgentEvent::Spent { usage },
        ];
        assert_eq!(events, expected);
        assert_eq!((report.stop, report.summary.as_str()), (None, "done"));
        assert_eq!(report.usage, usage);
        assert_eq!(
            report.session.as_deref(),
            Some("ours"),
            "not what the stream says"
        );
        let model = report.inheritance.model.as_deref();
        assert_eq!(model, Some("claude-sonnet-5"));
    }

    #[test]
    fn what_forks_are_started_with_is_no_word_of_the_stream() {
        let init =
            r#"{"type":"system","subtype":"init","session_id":"--help","model":"$(touch x)\n"}"#;
        let (_, report) = play(&task(), &[init, RECORDED[8]]);
        assert_eq!(report.session.as_deref(), Some("ours"));
        assert_eq!(report.inheritance.model, None);
    }

    #[test]
    fn without_its_result_a_session_still_has_a_cost() {
        let (_, report) = play(&task(), &RECORDED[..8]);
        assert_eq!(report.stop, Some(StopReason::Crashed));
        assert_eq!(report.usage.cache_write_tokens, 20_000);
        assert!(report.usage.cost_usd > Usd::ZERO);
    }

    #[test]
    fn the_prompt_is_never_in_the_block_that_is_searched() {
        let task = task();
        let mut protocol = ClaudeProtocol::new(
            &task,
            Path::new("/"),
            ToolPolicy::default(),
            AgentUsage::default(),
        );
        let turn: Value = serde_json::from_str(&protocol.opening_lines()[1]).unwrap();
        let blocks = turn["message"]["content"].as_array().unwrap();
        assert_eq!(blocks[0]["text"], task.prompt);
        assert_eq!(blocks.last().unwrap()["text"], "Begin.");
        assert_eq!(turn["client_composed"], true);
    }

    proptest! {
        /// Whatever a line is, the session goes on or ends in a class; nothing panics.
        #[test]
        fn any_bytes_are_survived(lines in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 0..8)) {
            let task = task();
            let mut protocol =
                ClaudeProtocol::new(&task, Path::new("/"), ToolPolicy::default(), AgentUsage::default());
            for line in &lines {
                protocol.receive_line(line);
            }
            prop_assert!(protocol.into_report(&SessionExit::default()).stop.is_some());
        }

        /// Recorded lines with any of their values replaced by another kind of value.
        #[test]
        fn values_of_the_wrong_kind_are_survived(which in 0..RECORDED.len(), at in 0usize..40, put in 0usize..5) {
            let mut message: Value = serde_json::from_str(RECORDED[which]).unwrap();
            let wrong = [json!(null), json!(-1.5e300), json!("x"), json!([{}]), json!({"a": []})];
            let mut left = at;
            replace(&mut message, &mut left, &wrong[put]);
            let line = message.to_string();
            let (_, report) = play(&task(), &[RECORDED[1], &line, RECORDED[8]]);
            prop_assert!(which == 8 || report.stop.is_none(), "{line}: {report:?}");
        }
    }

    /// Replaces the value that is `left` steps into `value`.
    fn replace(value: &mut Value, left: &mut usize, by: &Value) {
        if *left == 0 {
            value.clone_from(by);
        }
        *left = left.wrapping_sub(1);
        match value {
            Value::Object(map) => map.values_mut().for_each(|v| replace(v, left, by)),
            Value::Array(items) => items.iter_mut().for_each(|v| replace(v, left, by)),
            _ => {}
        }
    }
}
