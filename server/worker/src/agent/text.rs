//! Shortens and gathers text for people who watch a session.

use claudecluster_protocol::event::AgentEvent;

/// At most this many bytes of an argument are shown.
const DETAIL: usize = 200;
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
    fn details_are_short_and_whole() {
        assert_eq!(one_line("\n  cargo test  \nmore"), "cargo test");
        assert_eq!(clip_text("äöü", 3), "ä…");
    }
}
