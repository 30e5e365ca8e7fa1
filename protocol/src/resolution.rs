//! What a conflict can become.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Chooses the text of a conflict.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum Resolution {
    /// Keeps the current text.
    Mine,
    /// Takes the proposed text.
    Theirs,
    /// Takes the current text, then the proposed text.
    Both,
    /// Merges the proposed text into the current one word by word: the hunk's `merged`.
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
