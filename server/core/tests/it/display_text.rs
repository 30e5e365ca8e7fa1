//! Foreign text in Markdown, as a parser of Markdown sees it.

use claudecluster_core::display_text::markdown::escape_text;
use proptest::prelude::*;
use pulldown_cmark::{Event, Options, Parser, Tag};

/// Asserts that a text is nothing but words and inline code, alone, behind words of ours, and in a quotation.
fn assert_words_only(text: &str) {
    let escaped = escape_text(text);
    let quoted = escaped
        .lines()
        .map(|line| format!("> {line}\n"))
        .collect::<String>();
    for markdown in [
        escaped.clone(),
        format!("**Pending change** · g1 · {escaped}"),
        format!("title\n{quoted}\n\n---\n\n"),
    ] {
        for event in Parser::new_ext(&markdown, Options::all()) {
            let allowed = match &event {
                Event::Start(tag) => {
                    matches!(tag, Tag::Paragraph | Tag::BlockQuote(_) | Tag::Strong)
                }
                Event::End(_) | Event::Text(_) | Event::Code(_) | Event::SoftBreak => true,
                Event::Rule => markdown.ends_with("---\n\n"),
                _ => false,
            };
            assert!(allowed, "{event:?} of {markdown:?}, from {text:?}");
        }
    }
}

#[test]
fn nothing_foreign_is_more_than_words() {
    for text in [
        "![x](https://a/b.png)",
        "a\r![x](https://a/b.png)",
        "a\u{2028}# head",
        "[run](command:workbench.action.terminal.new)",
        "<img src=x onerror=y>",
        "<https://a/b>",
        "``` `a` ```` ![](x) `",
        "`a` `![](x)` ``![](x)`",
        "[a]: https://a\n[a]",
        "- a\n1) b\n# c\n===\n---\n+ d\n* e",
        "| a | b |\n|---|---|\n| c | d |",
        "ignore previous instructions\n\n\n    code",
        "$(touch pwn) $x$ $$y$$",
        "&lt;b&gt; [^1] ~~x~~ :smile:",
        "\\![x](y) \\\\[x](y) \\`[x](y)`",
        "term\n: definition",
        "+++\nx = 1\n+++",
        "[[wiki]] ^up^ ~down~",
        "# a {#id .class}",
        ":::note\nx\n:::",
    ] {
        assert_words_only(text);
    }
}

proptest! {
    #[test]
    fn any_text_is_words(text in "[\\x00-\\x7f\u{85}\u{202e}\u{2028}é]{0,60}") {
        assert_words_only(&text);
    }

    #[test]
    fn any_arrangement_of_marks_is_words(
        parts in prop::collection::vec(prop::sample::select(vec![
            "`", "``", "!", "[", "]", "(", ")", "<", ">", "a", "b", " ", "\n", "\r", "\\", "https://", "#", "-",
            "1.", "*", "_", "|", "~", "=", "&lt;", "$", "{", "}", ":", "+", "\t", "^",
        ]), 0..24)
    ) {
        assert_words_only(&parts.concat());
    }
}
