//! What a conflict can become.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a conflict becomes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum Resolution {
    /// What is there now stays.
    Mine,
    /// What is proposed takes its place.
    Theirs,
    /// What is there now, then what is proposed.
    Both,
    /// What is there now with what is proposed in it, word by word: the hunk's `merged`.
    Merged,
    /// Both between standard conflict markers, to be edited by hand.
    Markers,
    /// This text.
    Text {
        /// The lines that take the conflict's place.
        text: String,
    },
    /// A repair task that sees both intents finds the text.
    Repair,
}
