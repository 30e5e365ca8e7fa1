//! Foreign text in Markdown.

use super::is_hidden;
use crate::secrets::SecretMask;

/// Escapes text of agents and goals so that Markdown shows its words only, with an end of line wherever any
/// editor sees one.
///
/// Links, images, HTML, headings, lists and tables are defused, because an editor might load or run what they
/// name, or show them as words of ours. Code between single backticks stays code. Hidden characters are shown as
/// escapes. The lines can be put behind a `>`. What looks like a secret is masked.
pub fn escape_text(text: &str) -> String {
    let text = SecretMask::default().mask(text);
    let mut out = String::with_capacity(text.len());
    for line in text.trim().split(is_line_end) {
        // An indented line would be rendered as code, and empty ones end a quotation.
        let line = show_hidden(line);
        let line = line.trim();
        if line.is_empty() {
            continue;
        }
        if !out.is_empty() {
            out.push('\n');
        }
        escape_line(&mut out, line);
    }
    out
}

/// Returns whether an editor could see the end of a line here.
fn is_line_end(c: char) -> bool {
    matches!(
        c,
        '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}'
    )
}

fn show_hidden(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    for c in line.chars() {
        match c {
            '\t' => out.push(' '),
            c if is_hidden(c) => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    out
}

fn escape_line(out: &mut String, line: &str) {
    let mut rest = escape_block_mark(out, line);
    while let Some(at) = rest.find('`') {
        let (before, tail) = rest.split_at(at);
        escape_words(out, before);
        let inner = &tail[1..];
        let code = inner.find('`').map(|end| &inner[..end]);
        // Runs of several backticks are escaped: they would start another kind of code.
        let single = |code: &&str| !code.is_empty() && !inner[code.len() + 1..].starts_with('`');
        match code.filter(single) {
            Some(code) => {
                out.push('`');
                out.push_str(code);
                out.push('`');
                rest = &inner[code.len() + 1..];
            }
            None => {
                let run = tail.len() - tail.trim_start_matches('`').len();
                (0..run).for_each(|_| out.push_str("\\`"));
                rest = &tail[run..];
            }
        }
    }
    escape_words(out, rest);
}

/// Writes what begins a line and would begin a list, a heading or a rule, and returns the rest.
fn escape_block_mark<'a>(out: &mut String, line: &'a str) -> &'a str {
    if line.starts_with(['-', '+', '=', ':']) {
        out.push('\\');
        out.push_str(&line[..1]);
        return &line[1..];
    }
    let digits = line.bytes().take_while(u8::is_ascii_digit).count();
    if digits > 0 && line[digits..].starts_with(['.', ')']) {
        out.push_str(&line[..digits]);
        out.push('\\');
        out.push_str(&line[digits..=digits]);
        return &line[digits + 1..];
    }
    line
}

fn escape_words(out: &mut String, words: &str) {
    let mut before = None;
    for (at, character) in words.char_indices() {
        // Many editors make a link of `https://…` without any markup around it.
        let scheme = character == ':' && words[at..].starts_with("://");
        let www = character == '.' && ends_with_www(&words[..at]);
        // An underscore within a word marks nothing, and names are full of them.
        let within = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        let name = character == '_' && within(before) && within(words[at + 1..].chars().next());
        before = Some(character);
        let special = matches!(
            character,
            '\\' | '*'
                | '_'
                | '['
                | ']'
                | '<'
                | '>'
                | '!'
                | '|'
                | '#'
                | '~'
                | '&'
                | '@'
                | '$'
                | '{'
                | '^'
        );
        if (special && !name) || scheme || www {
            out.push('\\');
        }
        out.push(character);
    }
}

fn ends_with_www(words: &str) -> bool {
    let start = words.len().saturating_sub(3);
    words
        .get(start..)
        .is_some_and(|end| end.eq_ignore_ascii_case("www"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_words_and_inline_code_are_rendered() {
        let check =
            |given: &str, expected: &str| assert_eq!(escape_text(given), expected, "{given}");
        check(" Uses `a[0]` in a.rs.\n", "Uses `a[0]` in a.rs.");
        check("snake_case _x_ *x*", r"snake_case \_x\_ \*x\*");
        check("![](http://a/b.png)", r"\!\[\](http\://a/b.png)");
        check("<img src=x> &amp;", r"\<img src=x\> \&amp;");
        check("```sh\nrm\n```", "\\`\\`\\`sh\nrm\n\\`\\`\\`");
        check("a `b", "a \\`b");
        check("``a`` `b`", "\\`\\`a\\`\\` `b`");
        check(r"\`[a](b)`", r"\\`[a](b)`");
        check("    indented", "indented");
        // An end of line that Markdown knows and a loop over lines does not.
        check("a\r![](http://a/b.png)", "a\n\\!\\[\\](http\\://a/b.png)");
        check("a\u{2028}b\r\nc\n\n\nd", "a\nb\nc\nd");
        check("- a\n1. b\n=== c\n+ d", "\\- a\n1\\. b\n\\=== c\n\\+ d");
        check("a\u{202e}b", "a\\\\u\\{202e}b");
        check("www.a.b x@y.z", "www\\.a.b x\\@y.z");
        check("[a](command:x)", "\\[a\\](command:x)");
    }
}
