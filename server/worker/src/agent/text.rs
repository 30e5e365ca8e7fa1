//! Shortens and gathers text for people who watch a session.

use claudecluster_protocol::event::AgentEvent;
use serde_json::Value;

/// At most this many bytes of an argument are shown.
const DETAIL: usize = 200;
/// At most this many bytes of the words of one event are shown.
const WORDS: usize = 64 << 10;
/// At most this many bytes of a name are shown.
const NAME: usize = 200;
/// Streamed words are passed on in pieces of about this many bytes.
const PIECE: usize = 160;

/// Gathers streamed text into pieces of the size of an event.
#[derive(Debug, Default)]
pub(crate) struct TextPieces {
    pending: String,
}

impl TextPieces {
    /// Adds text; returns an event if there is enough of it.
    pub(crate) fn push(&mut self, text: &str) -> Option<AgentEvent> {
        self.pending.push_str(text);
        let enough = self.pending.len() >= PIECE || self.pending.ends_with('\n');
        if enough { self.flush() } else { None }
    }

    /// Returns the remaining text, at the end of a block.
    pub(crate) fn flush(&mut self) -> Option<AgentEvent> {
        let text = std::mem::take(&mut self.pending);
        (!text.trim().is_empty()).then_some(AgentEvent::Text { text })
    }
}

/// Returns the first non-empty line of `text`, with a bounded length.
pub(crate) fn one_line(text: &str) -> String {
    let line = text.lines().find(|line| !line.trim().is_empty());
    clip_text(line.unwrap_or_default().trim(), DETAIL)
}

/// Cuts the texts of an event. A program can write megabytes into one, and events wait for those who watch.
pub(crate) fn clip_event(mut event: AgentEvent) -> AgentEvent {
    let clip = |text: &mut String, most: usize| {
        if text.len() > most {
            *text = clip_text(text, most);
        }
    };
    match &mut event {
        AgentEvent::Started { session, model } => {
            for name in [session, model].into_iter().flatten() {
                clip(name, NAME);
            }
        }
        AgentEvent::Tool { name, detail } => {
            clip(name, NAME);
            clip(detail, WORDS);
        }
        AgentEvent::Text { text } | AgentEvent::Output { text } => clip(text, WORDS),
        AgentEvent::Denied { what } => clip(what, WORDS),
        AgentEvent::Connection { .. }
        | AgentEvent::RateLimited { .. }
        | AgentEvent::Spent { .. } => {}
    }
    event
}

/// Cuts the closing words of a session, which are journaled: its summary, and that of its answer.
pub(crate) fn clip_summaries(summary: &mut String, answer: Option<&mut Value>) {
    let answered = match answer.and_then(|answer| answer.get_mut("summary")) {
        Some(Value::String(words)) => Some(words),
        _ => None,
    };
    for words in answered.into_iter().chain([summary]) {
        if words.len() > WORDS {
            *words = clip_text(words, WORDS);
        }
    }
}

/// Cuts `text` to at most `most` bytes, at a character boundary.
pub(crate) fn clip_text(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let end = (0..=most)
        .rev()
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or(0);
    format!("{}…", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_come_in_pieces() {
        let mut words = TextPieces::default();
        assert_eq!(words.push("Hel"), None);
        let text = "Hello\n".to_owned();
        assert_eq!(words.push("lo\n"), Some(AgentEvent::Text { text }));
        assert_eq!(words.flush(), None);
    }

    #[test]
    fn words_without_end_are_cut() {
        let long = "ä".repeat(1 << 20);
        let is_cut = |text: &str| text.len() <= WORDS + "…".len() && text.ends_with('…');
        let event = clip_event(AgentEvent::Text { text: long.clone() });
        assert!(matches!(&event, AgentEvent::Text { text } if is_cut(text)));
        let (name, detail) = (long.clone(), "short".to_owned());
        let event = clip_event(AgentEvent::Tool { name, detail });
        let short = |name: &str, detail: &str| name.len() < 2 * NAME && detail == "short";
        assert!(matches!(&event, AgentEvent::Tool { name, detail } if short(name, detail)));
        let mut summary = long.clone();
        let mut answer = serde_json::json!({"summary": long, "status": "done"});
        clip_summaries(&mut summary, Some(&mut answer));
        assert!(is_cut(&summary) && is_cut(answer["summary"].as_str().unwrap()));
        assert_eq!(answer["status"], "done");
    }

    #[test]
    fn details_are_short_and_whole() {
        assert_eq!(one_line("\n  cargo test  \nmore"), "cargo test");
        assert_eq!(clip_text("äöü", 3), "ä…");
    }
}
