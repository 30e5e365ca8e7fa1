//! A scripted Messages API server on loopback.
//!
//! It plays the model for tests, for the benchmark and for the demo: real agents (Claude Code, the
//! built-in one) talk to it over HTTP as they would to the provider, and a script says what the
//! model answers. It records every request as it came.
//!
//! ```no_run
//! let script = claudecluster_model::Script::parse("rules: []")?;
//! let server = claudecluster_model::Server::start(script)?;
//! println!("ANTHROPIC_BASE_URL={}", server.url());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Scripts
//!
//! A script is a YAML file. Unknown keys are errors. Rules are tried from the top; the first that
//! matches answers.
//!
//! ```yaml
//! defaults:                 # for every rule that does not say otherwise
//!   chunk: 200              # characters in one streamed delta
//!   delay: 0ms              # before the first byte
//!   pause: 0ms              # between two streamed events
//! rules:
//!   - name: plan            # shows up in the records
//!     when:                 # all that is given must hold; nothing given matches everything
//!       user: Plan          # substring of the last thing the user said (tool results excluded)
//!       userMatches: 'Task: (?<id>\w+)'   # the same as a regular expression; captures fill {{id}}
//!       text: main.rs       # substring of any text in the conversation, tool results included
//!       textMatches: …      # the same as a regular expression
//!       toolResult: error   # substring of the last message's tool results
//!       system: You are     # substring of the system prompt
//!       tools: [Write]      # all of these are offered
//!       withoutTools: [Bash]# none of these is offered
//!       model: sonnet       # substring of the model's name
//!       turn: 0             # assistant messages since the user last said something
//!       side: false         # whether it is a request that offers no tools (a title, a summary)
//!     times: 2              # matches at most so often, then the next rules are tried
//!     turns:                # what to answer at turn 0, 1, 2, …; a turn is a list of blocks
//!       - - text: Let me look.
//!         - read: src/main.rs
//!       - - edit: {path: src/main.rs, old: foo, new: bar}
//!       - - structured: {summary: done}
//!   - name: overloaded
//!     when: {user: flaky}
//!     times: 2
//!     error: {status: 529, retryAfter: 1}
//! ```
//!
//! A rule has one of `turns`, `answer` (one turn, given whatever the turn) or `error`
//! (`{status, type?, message?, retryAfter?}`), and optionally `delay`, `pause`, `chunk`, `usage`
//! (`{input, output, cacheRead, cacheWrite}` instead of the computed numbers), `stopReason`, `cut: N`
//! (the connection breaks after N streamed events), `malformed: N` (the Nth event is not JSON),
//! `hold: NAME` (nothing is answered before [`Server::release`]) and `together: N` (nothing is
//! answered before N requests wait at this rule: proves that they run in parallel).
//! A rule with `turns` does not match once they are used up.
//!
//! A block is one of:
//!
//! | block | becomes |
//! |---|---|
//! | `text: …` | words |
//! | `thinking: …` | a thinking block |
//! | `tool: NAME` with `input: {…}` | a call of that tool, as it stands |
//! | `read: PATH` | `Read` of Claude Code or `read` of the built-in agent, whichever is offered |
//! | `write: {path, content}` | `Write` or `write` |
//! | `edit: {path, old, new}` | `Edit` or `edit` |
//! | `run: COMMAND` | `Bash` or `run` |
//! | `structured: {…}` | `StructuredOutput` or `answer` |
//!
//! In all strings `{{cwd}}` is the working directory that the system prompt names, `{{session}}` the
//! session id, `{{model}}` the model, and `{{1}}` or `{{name}}` what the rule's expressions captured.
//! Paths of the portable blocks are relative to the workspace; Claude Code gets them absolute.
//!
//! Where no rule matches, the answer is sensible: side requests get a short text or the smallest
//! JSON their schema allows, a request that wants a structured answer gets the smallest one, and
//! everything else gets "Done."
//!
//! The usage numbers follow the provider's rules for prompt caching: what stands before a
//! `cache_control` mark is written to the cache and read by every later request that starts alike.

mod cache;
mod engine;
mod record;
mod request;
mod script;
mod server;
mod sse;

pub use record::{Recorded, RecordedLogins, common_prefix};
pub use script::{
    Block, Defaults, EditFile, Expression, Failure, Rule, Script, ScriptError, Tokens, When,
    WriteFile,
};
pub use server::Server;
