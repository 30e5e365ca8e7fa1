//! Estimates the cost of tokens.
//!
//! List prices in US dollars for a million tokens. Claude Code reports its own cost at the end of a
//! session and that number is used; the table serves running totals and the built-in agent. A model
//! that is not listed costs 0: no number is better than an invented one.

use claudecluster_protocol::{Usd, goal::AgentUsage};

/// Part of the model's name, and the price of a million tokens sent and received. The first that
/// matches counts.
const PRICES: [(&str, f64, f64); 10] = [
    ("opus-5-5", 4.0, 20.0),
    ("opus-4-1", 15.0, 75.0),
    ("opus-4-0", 15.0, 75.0),
    ("opus-4-2025", 15.0, 75.0),
    ("3-opus", 15.0, 75.0),
    ("opus", 5.0, 25.0),
    ("sonnet", 3.0, 15.0),
    ("3-5-haiku", 0.8, 4.0),
    ("3-haiku", 0.25, 1.25),
    ("haiku", 1.0, 5.0),
];
/// Reading from the prompt cache, in parts of the price of sending.
const CACHE_READ: f64 = 0.1;
/// Writing to the prompt cache for five minutes, in parts of the price of sending.
const CACHE_WRITE: f64 = 1.25;

/// Returns the usage of one turn. `tokens` looks up a counter by its name in the Messages API.
pub(crate) fn usage_of_turn(model: &str, tokens: impl Fn(&str) -> Option<u64>) -> AgentUsage {
    let tokens = |name| tokens(name).unwrap_or_default();
    let mut usage = AgentUsage {
        input_tokens: tokens("input_tokens"),
        output_tokens: tokens("output_tokens"),
        cache_read_tokens: tokens("cache_read_input_tokens"),
        cache_write_tokens: tokens("cache_creation_input_tokens"),
        turns: 1,
        ..AgentUsage::default()
    };
    usage.cost_usd = cost_of_usage(model, &usage);
    usage
}

/// Returns the cost of `usage` with `model`.
fn cost_of_usage(model: &str, usage: &AgentUsage) -> Usd {
    let Some((_, sent, received)) = PRICES.iter().find(|(name, ..)| model.contains(name)) else {
        return Usd::ZERO;
    };
    let input = usage.input_tokens as f64
        + usage.cache_read_tokens as f64 * CACHE_READ
        + usage.cache_write_tokens as f64 * CACHE_WRITE;
    Usd::from_dollars((input * sent + usage.output_tokens as f64 * received) / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_models_have_a_price_and_others_none() {
        let usage = AgentUsage {
            input_tokens: 1_000_000,
            output_tokens: 1_000_000,
            cache_read_tokens: 1_000_000,
            cache_write_tokens: 1_000_000,
            ..AgentUsage::default()
        };
        assert_eq!(
            cost_of_usage("claude-sonnet-5", &usage),
            Usd::from_dollars(22.05)
        );
        assert_eq!(
            cost_of_usage("claude-opus-4-8[1m]", &usage),
            Usd::from_dollars(36.75)
        );
        assert_eq!(cost_of_usage("gpt-x", &usage), Usd::ZERO);
    }
}
