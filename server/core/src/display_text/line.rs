//! Foreign text in the titles and messages of editors.
//!
//! Sanitized text cannot end a line, control a terminal, hide or reorder the text around it, or grow
//! without bound. What looks like a secret is masked.

use super::is_hidden;
use crate::secrets::SecretMask;

/// Sanitizes a message of several lines: hidden characters go, and Markdown links are defused.
pub fn to_message(text: &str) -> String {
    let ends = SecretMask::default()
        .mask(text)
        .replace("\r\n", "\n")
        .replace(['\r', '\u{85}', '\u{2028}', '\u{2029}'], "\n");
    let clean: String = ends
        .chars()
        .filter(|&c| c == '\n' || c.is_control() || !is_invisible_control(c))
        .map(|c| if c.is_control() && c != '\n' { ' ' } else { c })
        .collect();
    without_links(&clean)
}

/// Sanitizes a text to one line of at most `longest` characters.
pub fn to_line(text: &str, longest: usize) -> String {
    // Text that would be cut anyway is not read: a message may have megabytes.
    let clean: String = text
        .chars()
        .take(longest.saturating_mul(16))
        .filter(|&c| !is_invisible_control(c))
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let clean = SecretMask::default().mask(&clean);
    let words = clean.split_whitespace().collect::<Vec<_>>().join(" ");
    if words.chars().count() <= longest {
        return words;
    }
    let cut: String = words.chars().take(longest.saturating_sub(1)).collect();
    format!("{}…", cut.trim_end())
}

/// Sanitizes a text to at most `most` lines of at most `longest` characters, without empty lines.
pub fn to_lines(text: &str, most: usize, longest: usize) -> Vec<String> {
    text.split(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}'])
        .map(|line| to_line(line, longest))
        .filter(|line| !line.is_empty())
        .take(most)
        .collect()
}

/// Defuses Markdown links, for messages: some editors render them and run the commands they name.
pub fn without_links(text: &str) -> String {
    text.replace("](", "] (")
}

/// Whether a character is invisible and reorders or hides the characters around it.
///
/// The joiners that scripts and emoji need are not included.
fn is_invisible_control(c: char) -> bool {
    is_hidden(c)
        && !c.is_control()
        && !matches!(c, '\u{200c}' | '\u{200d}' | '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sanitized_text_is_one_line() {
        let check =
            |text: &str, expected: &str| assert_eq!(to_line(text, 20), expected, "{text:?}");
        check("  one\n two\t", "one two");
        check("a\u{1b}[31mb\u{0}c\u{7f}", "a [31mb c");
        check("gnp\u{202e}exe\u{2066}.\u{200b}x", "gnpexe.x");
        check("one\u{2028}two\u{85}three", "one two three");
        check("$(touch pwn) `id`", "$(touch pwn) `id`");
        check(&"ä".repeat(20), &"ä".repeat(20));
        check(&"ä".repeat(21), &format!("{}…", "ä".repeat(19)));
        check("eighteen letters x and more", "eighteen letters x…");
        check("\u{1f468}\u{200d}\u{1f469}", "\u{1f468}\u{200d}\u{1f469}");
        assert_eq!(to_line(&"x".repeat(1 << 20), 5), "xxxx…");
    }

    #[test]
    fn messages_have_no_links() {
        let check = |text: &str, expected: &str| assert_eq!(without_links(text), expected);
        check("[run](command:x?y) it", "[run] (command:x?y) it");
        check("a[0] (b) c", "a[0] (b) c");
    }

    #[test]
    fn a_message_keeps_its_lines_and_nothing_hidden() {
        let check = |text: &str, expected: &str| assert_eq!(to_message(text), expected);
        check("one\r\ntwo\rthree", "one\ntwo\nthree");
        check("a\u{202e}b\u{1b}[2J", "ab [2J");
        check("[run](command:x)", "[run] (command:x)");
    }

    #[test]
    fn a_text_has_at_most_the_requested_lines() {
        let text = "one\r\n\n \u{202e}\ntwo\u{2029}three\nfour";
        assert_eq!(to_lines(text, 3, 10), ["one", "two", "three"]);
        assert!(to_lines("\n\n", 3, 10).is_empty());
    }
}
