//! Foreign text on a terminal.

use super::is_hidden;

/// Escapes every character that could control a terminal or hide. Ends of lines and tabs stay.
///
/// ```
/// use claudecluster_core::display_text::terminal::escape_controls;
/// assert_eq!(escape_controls("a\u{1b}[31m\u{202e}\tb\r\n"), "a\\u{1b}[31m\\u{202e}\tb\\r\n");
/// ```
pub fn escape_controls(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        push_escaped(&mut out, c);
    }
    out
}

/// Escapes a text like [`escape_controls`], and leaves the styles in it: sequences of `ESC`, `[`, digits and
/// semicolons, and `m`, which choose colours and weights and nothing else.
pub fn escape_all_but_styles(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let style = style_length(rest);
        if style > 0 {
            out.push_str(&rest[..style]);
            rest = &rest[style..];
        } else {
            push_escaped(&mut out, c);
            rest = &rest[c.len_utf8()..];
        }
    }
    out
}

fn push_escaped(out: &mut String, c: char) {
    match c {
        '\n' | '\t' => out.push(c),
        c if is_hidden(c) => out.extend(c.escape_default()),
        c => out.push(c),
    }
}

/// Returns the number of bytes of the style that a text begins with, 0 if it does not begin with one.
fn style_length(text: &str) -> usize {
    let Some(parameters) = text.strip_prefix("\u{1b}[") else {
        return 0;
    };
    let length = parameters
        .bytes()
        .take_while(|byte| byte.is_ascii_digit() || *byte == b';')
        .count();
    match parameters.as_bytes().get(length) {
        Some(b'm') => "\u{1b}[".len() + length + 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_controls_or_hides() {
        let check = |text: &str, shown: &str| assert_eq!(escape_controls(text), shown, "{text:?}");
        check("plain \u{e9}\u{1f600}\t\n", "plain \u{e9}\u{1f600}\t\n");
        check("\u{1b}]0;x\u{7}", "\\u{1b}]0;x\\u{7}");
        check("a\rb\u{8}", "a\\rb\\u{8}");
        check("\u{9b}31m\u{85}", "\\u{9b}31m\\u{85}");
        check(
            "\u{202e}\u{2066}\u{200b}\u{feff}",
            "\\u{202e}\\u{2066}\\u{200b}\\u{feff}",
        );
        check("\u{2028}\u{e0041}\u{3164}", "\\u{2028}\\u{e0041}\\u{3164}");
    }

    #[test]
    fn only_styles_stay() {
        let check =
            |text: &str, shown: &str| assert_eq!(escape_all_but_styles(text), shown, "{text:?}");
        check("\u{1b}[1;31mred\u{1b}[0m", "\u{1b}[1;31mred\u{1b}[0m");
        check("\u{1b}[m", "\u{1b}[m");
        check("\u{1b}[2J\u{1b}", "\\u{1b}[2J\\u{1b}");
        check("\u{1b}[31\u{1b}[1m", "\\u{1b}[31\u{1b}[1m");
    }
}
