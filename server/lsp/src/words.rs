//! Words of others (names, messages, comments) as they are shown and passed on. They are input: whatever
//! they hold, they cannot end a line, steer a terminal, hide, reorder the text around them, or grow without
//! bound.

/// On one line, at most `longest` characters of it.
pub(crate) fn line(text: &str, longest: usize) -> String {
    // What would be cut anyway is not looked at: a message may have megabytes.
    let clean: String = text
        .chars()
        .take(longest.saturating_mul(16))
        .filter(|&c| !steers(c))
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let words = clean.split_whitespace().collect::<Vec<_>>().join(" ");
    if words.chars().count() <= longest {
        return words;
    }
    let cut: String = words.chars().take(longest.saturating_sub(1)).collect();
    format!("{}…", cut.trim_end())
}

/// On at most `most` lines of at most `longest` characters, without empty ones.
pub(crate) fn block(text: &str, most: usize, longest: usize) -> Vec<String> {
    text.split(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}'])
        .map(|one| line(one, longest))
        .filter(|line| !line.is_empty())
        .take(most)
        .collect()
}

/// As a message: some editors make links of Markdown in them, and run the commands these name.
pub(crate) fn unlinked(text: &str) -> String {
    text.replace("](", "] (")
}

/// Characters that cannot be seen and change how others are: they reorder them, or hide what is written
/// with them. The joiners that scripts and pictures need are not among them.
fn steers(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stay_on_their_line() {
        let check = |text: &str, expected: &str| assert_eq!(line(text, 20), expected, "{text:?}");
        check("  one\n two\t", "one two");
        check("a\u{1b}[31mb\u{0}c\u{7f}", "a [31mb c");
        check("gnp\u{202e}exe\u{2066}.\u{200b}x", "gnpexe.x");
        check("one\u{2028}two\u{85}three", "one two three");
        check("$(touch pwn) `id`", "$(touch pwn) `id`");
        check(&"ä".repeat(20), &"ä".repeat(20));
        check(&"ä".repeat(21), &format!("{}…", "ä".repeat(19)));
        check("eighteen letters x and more", "eighteen letters x…");
        check("\u{1f468}\u{200d}\u{1f469}", "\u{1f468}\u{200d}\u{1f469}");
        assert_eq!(line(&"x".repeat(1 << 20), 5), "xxxx…");
    }

    #[test]
    fn messages_have_no_links() {
        let check = |text: &str, expected: &str| assert_eq!(unlinked(text), expected);
        check("[run](command:x?y) it", "[run] (command:x?y) it");
        check("a[0] (b) c", "a[0] (b) c");
    }

    #[test]
    fn a_block_has_no_more_lines_than_asked_for() {
        let text = "one\r\n\n \u{202e}\ntwo\u{2029}three\nfour";
        assert_eq!(block(text, 3, 10), ["one", "two", "three"]);
        assert!(block("\n\n", 3, 10).is_empty());
    }
}
