//! Untrusted text in Markdown.

/// Escapes text of agents and goals so that Markdown shows its words only.
///
/// Links, images and HTML are defused, because an editor might load or run them. Code between single
/// backticks stays code.
pub(crate) fn escape_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (n, line) in text.trim().lines().enumerate() {
        if n > 0 {
            out.push('\n');
        }
        // An indented line would be rendered as code.
        escape_line(&mut out, line.trim());
    }
    out
}

fn escape_line(out: &mut String, line: &str) {
    let mut rest = line;
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

fn escape_words(out: &mut String, words: &str) {
    let mut before = None;
    for (at, character) in words.char_indices() {
        // Many editors make a link of `https://…` without any markup around it.
        let scheme = character == ':' && words[at..].starts_with("://");
        // An underscore within a word marks nothing, and names are full of them.
        let within = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        let name = character == '_' && within(before) && within(words[at + 1..].chars().next());
        before = Some(character);
        let special = matches!(
            character,
            '\\' | '*' | '_' | '[' | ']' | '<' | '>' | '!' | '|' | '#' | '~' | '&'
        );
        if (special && !name) || scheme {
            out.push('\\');
        }
        out.push(character);
    }
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
    }
}
