//! The closing `result` message: what it means, and what the session cost.

use claudecluster_protocol::{StopReason, Usd, goal::AgentUsage};
use serde_json::Value;

/// A session's result, classified.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct ClaudeResult {
    /// `None` for success.
    pub stop: Option<StopReason>,
    /// The closing words.
    pub words: String,
    /// The structured answer.
    pub answer: Option<Value>,
    /// The agent's running totals, from some releases on with its ancestors'; `None` where it
    /// reports none.
    pub totals: Option<AgentUsage>,
    /// The usage of the session's own main loop, without its subagents.
    pub own: AgentUsage,
}

impl ClaudeResult {
    /// Reads a `result` message. `wants_answer`: a schema was given. `hint`: the class of the last
    /// API error, as an assistant message named it. `done_without`: whether the model was told to do
    /// without a tool use; what it denied by itself, or the policy did, means that something is missing.
    pub(super) fn read(
        message: &Value,
        wants_answer: bool,
        hint: Option<&str>,
        done_without: &dyn Fn(&str) -> bool,
    ) -> Self {
        let answer = Some(&message["structured_output"])
            .filter(|v| !v.is_null())
            .cloned();
        let words = answer
            .as_ref()
            .and_then(|answer| answer["summary"].as_str())
            .or_else(|| message["result"].as_str())
            .or_else(|| message["errors"][0].as_str())
            .unwrap_or_default()
            .to_owned();
        Self {
            stop: stop_of_result(message, hint, done_without).or_else(|| {
                (wants_answer && answer.is_none()).then_some(StopReason::InvalidAnswer)
            }),
            words,
            answer,
            totals: read_totals(message),
            own: read_own_usage(message),
        }
    }
}

fn stop_of_result(
    message: &Value,
    hint: Option<&str>,
    done_without: &dyn Fn(&str) -> bool,
) -> Option<StopReason> {
    match message["subtype"].as_str() {
        Some("error_max_turns") => return Some(StopReason::TurnLimit),
        Some("error_max_budget_usd") => return Some(StopReason::Budget),
        Some("error_max_structured_output_retries") => return Some(StopReason::InvalidAnswer),
        Some("success") if message["is_error"] != true => {
            let mut denied = message["permission_denials"]
                .as_array()
                .into_iter()
                .flatten();
            return denied
                .any(|one| !one["tool_use_id"].as_str().is_some_and(done_without))
                .then_some(StopReason::PermissionDenied);
        }
        _ => {}
    }
    let failed = message["is_error"] == true
        || message["subtype"]
            .as_str()
            .is_none_or(|kind| kind.starts_with("error"));
    failed.then(|| {
        stop_by_status(message["api_error_status"].as_u64())
            .or_else(|| stop_by_error(hint?))
            .unwrap_or(StopReason::Crashed)
    })
}

/// Maps an HTTP status of the provider to the stop reason of a session.
pub(super) fn stop_by_status(status: Option<u64>) -> Option<StopReason> {
    match status? {
        401 | 403 => Some(StopReason::Auth),
        429 | 500..=599 => Some(StopReason::Overloaded),
        // The request itself is refused; sending it again changes nothing.
        400..=499 => Some(StopReason::Refused),
        _ => None,
    }
}

/// Maps an assistant message's `error` to a stop reason.
fn stop_by_error(name: &str) -> Option<StopReason> {
    match name {
        "authentication_failed" | "oauth_org_not_allowed" | "billing_error" => {
            Some(StopReason::Auth)
        }
        "rate_limit" | "overloaded" | "server_error" => Some(StopReason::Overloaded),
        "invalid_request" | "model_not_found" => Some(StopReason::Refused),
        _ => None,
    }
}

fn read_totals(message: &Value) -> Option<AgentUsage> {
    let models = message["modelUsage"].as_object()?;
    let sum = |key: &str| -> u64 {
        models
            .values()
            .filter_map(|usage| usage[key].as_u64())
            // Programs inside can write to the stream: no sum of theirs may overflow.
            .fold(0, u64::saturating_add)
    };
    Some(AgentUsage {
        input_tokens: sum("inputTokens"),
        output_tokens: sum("outputTokens"),
        cache_read_tokens: sum("cacheReadInputTokens"),
        cache_write_tokens: sum("cacheCreationInputTokens"),
        cost_usd: Usd::from_dollars(message["total_cost_usd"].as_f64().unwrap_or_default()),
        turns: 0,
    })
}

fn read_own_usage(message: &Value) -> AgentUsage {
    let tokens = |key: &str| message["usage"][key].as_u64().unwrap_or_default();
    AgentUsage {
        input_tokens: tokens("input_tokens"),
        output_tokens: tokens("output_tokens"),
        cache_read_tokens: tokens("cache_read_input_tokens"),
        cache_write_tokens: tokens("cache_creation_input_tokens"),
        ..AgentUsage::default()
    }
}

/// Returns the usage of a session alone, given its totals `after` and its parent's totals `before`.
///
/// Some releases carry the parent's totals on into a fork (2.1.330), others start anew (2.1.197), and
/// none says which. It is told by the main loop's own usage, which is never carried on: what is left
/// after taking the parent's totals away cannot be less than that.
pub(super) fn usage_difference(
    after: AgentUsage,
    before: AgentUsage,
    own: AgentUsage,
) -> AgentUsage {
    let carried = after.input_tokens >= before.input_tokens.saturating_add(own.input_tokens)
        && after.output_tokens >= before.output_tokens.saturating_add(own.output_tokens)
        && after.cache_read_tokens
            >= before
                .cache_read_tokens
                .saturating_add(own.cache_read_tokens)
        && after.cache_write_tokens
            >= before
                .cache_write_tokens
                .saturating_add(own.cache_write_tokens)
        && after.cost_usd >= before.cost_usd;
    if !carried {
        return after;
    }
    AgentUsage {
        input_tokens: after.input_tokens - before.input_tokens,
        output_tokens: after.output_tokens - before.output_tokens,
        cache_read_tokens: after.cache_read_tokens - before.cache_read_tokens,
        cache_write_tokens: after.cache_write_tokens - before.cache_write_tokens,
        cost_usd: after.cost_usd.saturating_sub(before.cost_usd),
        turns: after.turns,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(message: &Value, hint: Option<&str>, expected: Option<StopReason>) {
        let done_without = |tool_use: &str| tool_use == "ours";
        let stop = ClaudeResult::read(message, false, hint, &done_without).stop;
        assert_eq!(stop, expected, "{message}");
    }

    #[test]
    fn results_have_their_class() {
        use StopReason::{
            Auth, Budget, Crashed, InvalidAnswer, Overloaded, PermissionDenied, Refused, TurnLimit,
        };
        check(
            &json!({"subtype": "success", "is_error": false}),
            None,
            None,
        );
        check(
            &json!({"subtype": "success", "permission_denials": []}),
            None,
            None,
        );
        let denied = json!({"subtype": "success", "permission_denials": [{"tool_name": "x"}]});
        check(&denied, None, Some(PermissionDenied));
        let denied = |uses: &[&str]| {
            let uses = uses.iter().map(|tool_use| json!({"tool_use_id": tool_use}));
            json!({"subtype": "success", "permission_denials": uses.collect::<Vec<_>>()})
        };
        check(&denied(&["ours"]), None, None);
        check(&denied(&["ours", "theirs"]), None, Some(PermissionDenied));
        let failed = |status: Value| json!({"subtype": "success", "is_error": true, "api_error_status": status});
        check(&failed(json!(401)), None, Some(Auth));
        check(&failed(json!(403)), None, Some(Auth));
        check(&failed(json!(529)), None, Some(Overloaded));
        check(&failed(json!(400)), None, Some(Refused));
        check(
            &failed(json!(null)),
            Some("authentication_failed"),
            Some(Auth),
        );
        check(&failed(json!(null)), None, Some(Crashed));
        check(
            &json!({"subtype": "error_max_turns"}),
            None,
            Some(TurnLimit),
        );
        check(
            &json!({"subtype": "error_max_budget_usd"}),
            None,
            Some(Budget),
        );
        let retries = json!({"subtype": "error_max_structured_output_retries"});
        check(&retries, None, Some(InvalidAnswer));
        check(
            &json!({"subtype": "error_during_execution"}),
            None,
            Some(Crashed),
        );
        check(
            &json!({"subtype": "error_of_tomorrow"}),
            None,
            Some(Crashed),
        );
        check(&json!({"subtype": "success_of_tomorrow"}), None, None);
        check(&json!({}), None, Some(Crashed));
    }

    #[test]
    fn a_schema_wants_an_answer() {
        let message = json!({"subtype": "success", "result": "words"});
        let outcome = ClaudeResult::read(&message, true, None, &|_| false);
        assert_eq!(outcome.stop, Some(StopReason::InvalidAnswer));
        let message =
            json!({"subtype": "success", "result": "{}", "structured_output": {"summary": "s"}});
        let outcome = ClaudeResult::read(&message, true, None, &|_| false);
        assert_eq!((outcome.stop, outcome.words.as_str()), (None, "s"));
    }

    #[test]
    fn forks_cost_the_difference() {
        let usage = |tokens, micros| AgentUsage {
            input_tokens: tokens,
            cost_usd: Usd::from_micros(micros),
            ..AgentUsage::default()
        };
        let own = usage(6, 0);
        assert_eq!(
            usage_difference(usage(10, 50), usage(4, 20), own),
            usage(6, 30)
        );
        // Not carried on: more than the parent's, but not more than the parent's and its own.
        assert_eq!(
            usage_difference(usage(6, 30), usage(4, 20), own),
            usage(6, 30)
        );
        assert_eq!(
            usage_difference(usage(6, 10), usage(9, 20), own),
            usage(6, 10)
        );
    }
}
