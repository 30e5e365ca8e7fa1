//! Goals from the test that contains the cursor.
//!
//! There is no parser: a test is recognized by its first line, and its end by its indentation. A test
//! with another layout gets no offer. Whether a test fails is unknown, so the goal runs it first.

use claudecluster_core::display_text::line as plain_text;
use claudecluster_protocol::{editor::LineRange, goal::GoalScopeKind};

use super::goal_offer::{GoalOffer, OfferContext};
use crate::documents::lines::ClientLines;

/// The most lines of one test.
const LONGEST_TEST: usize = 400;
/// The most lines of attributes, decorators and comments above a test.
const MOST_ABOVE: usize = 12;

struct TestFunction {
    name: String,
    lines: LineRange,
}

/// Offers to make the test on the first line of the request pass.
pub(super) fn offer_test(context: &OfferContext<'_>) -> Option<GoalOffer> {
    let language = TestLanguage::from_extension(&context.extension())?;
    let test = find_test(language, context.text(), context.lines.start_line as usize)?;
    let file = context.file_name();
    Some(GoalOffer {
        verb: "Make this test pass with ClaudeCluster".into(),
        prompt: format!(
            "Make the test \"{}\" in {file} pass. Run it first: if it passes as it is, change nothing and \
             say so. What it tests is to stay as it is.",
            test.name
        ),
        about: test.name,
        // The code to change is rarely in the file of the test.
        kind: GoalScopeKind::Workspace,
        range: Some(test.lines),
        fixes: None,
    })
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum TestLanguage {
    Rust,
    Python,
    JavaScript,
    Go,
}

impl TestLanguage {
    fn from_extension(extension: &str) -> Option<Self> {
        Some(match extension {
            "rs" => Self::Rust,
            "py" => Self::Python,
            "js" | "jsx" | "mjs" | "cjs" | "ts" | "tsx" | "mts" | "cts" => Self::JavaScript,
            "go" => Self::Go,
            _ => return None,
        })
    }

    /// Whether a line is an attribute, a decorator or a comment of the test below it.
    fn is_above(self, line: &str) -> bool {
        match self {
            Self::Rust => line.starts_with("#[") || line.starts_with("//"),
            Self::Python => line.starts_with('@') || line.starts_with('#'),
            Self::JavaScript | Self::Go => line.starts_with("//"),
        }
    }
}

/// Finds the test that contains a line: the nearest one above that reaches the line.
fn find_test(language: TestLanguage, text: ClientLines<'_>, at: usize) -> Option<TestFunction> {
    // A cursor on attributes is in the test below them.
    let below = (at..text.len().min(at + MOST_ABOVE))
        .find(|&line| !language.is_above(text.get(line).trim()))?;
    let top = below.saturating_sub(LONGEST_TEST);
    (top..=below).rev().find_map(|line| {
        let name = test_name(language, text, line)?;
        let (first, end) = (first_line(language, text, line), end_line(text, line));
        Some((first <= at && at < end).then(|| TestFunction {
            name: plain_text::to_line(&name, 200),
            lines: text.range(first, end),
        }))
    })?
}

/// Returns the first line of a test, including its attributes and comments.
fn first_line(language: TestLanguage, text: ClientLines<'_>, header: usize) -> usize {
    (header.saturating_sub(MOST_ABOVE)..header)
        .rev()
        .find(|&line| !language.is_above(text.get(line).trim()))
        .map_or(header.saturating_sub(MOST_ABOVE), |line| line + 1)
}

/// Returns one past the last line of a test, which extends as long as lines are indented deeper.
fn end_line(text: ClientLines<'_>, header: usize) -> usize {
    let depth = indent_width(&text.get(header));
    let mut end = header + 1;
    for at in header + 1..text.len().min(header + LONGEST_TEST) {
        let line = text.get(at);
        let trimmed = line.trim();
        if trimmed.is_empty() {
            continue;
        }
        if indent_width(&line) > depth {
            end = at + 1;
            continue;
        }
        let here = indent_width(&line) == depth;
        // The end of a signature of several lines, or an opening brace on a line of its own.
        let opens = trimmed.starts_with('{')
            || trimmed.starts_with([')', ']']) && trimmed.ends_with(['{', ':']);
        if here && opens {
            end = at + 1;
            continue;
        }
        let closes = trimmed.starts_with(['}', ')', ']']);
        return if here && closes { at + 1 } else { end };
    }
    end
}

fn indent_width(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// Returns the name of the test that a line declares.
fn test_name(language: TestLanguage, text: ClientLines<'_>, at: usize) -> Option<String> {
    let line = text.get(at);
    let line = line.trim();
    match language {
        TestLanguage::Rust => {
            let name = rust_function(line)?;
            has_above(text, at, |line| {
                line.starts_with("#[") && is_rust_test(line)
            })
            .then(|| name.to_owned())
        }
        TestLanguage::Python => {
            let line = line.strip_prefix("async ").unwrap_or(line);
            let name = first_identifier(line.strip_prefix("def ")?.trim_start());
            name.starts_with("test").then(|| name.to_owned())
        }
        TestLanguage::JavaScript => called_with(line, &["it", "test"]),
        TestLanguage::Go => {
            let name = first_identifier(line.strip_prefix("func ")?);
            let rest = name.strip_prefix("Test")?;
            (!rest.starts_with(char::is_lowercase)).then(|| name.to_owned())
        }
    }
}

/// Whether an attribute or comment directly above a line satisfies a condition.
fn has_above(text: ClientLines<'_>, at: usize, wanted: impl Fn(&str) -> bool) -> bool {
    (at.saturating_sub(MOST_ABOVE)..at)
        .rev()
        .map(|line| text.get(line))
        .take_while(|line| line.trim().starts_with(['#', '@', '/']))
        .any(|line| wanted(line.trim()))
}

fn rust_function(line: &str) -> Option<&str> {
    let mut words = line.split_whitespace();
    words
        .find(|word| !matches!(*word, "pub" | "async" | "unsafe" | "const"))
        .filter(|word| *word == "fn")?;
    Some(first_identifier(words.next()?)).filter(|name| !name.is_empty())
}

/// Whether an attribute marks a test, such as `#[test]`, `#[tokio::test(…)]` or `#[rstest]`.
fn is_rust_test(attribute: &str) -> bool {
    let path = attribute.trim_start_matches("#[");
    let path = path.split(['(', ']', '=', ' ']).next().unwrap_or_default();
    let last = path.rsplit("::").next().unwrap_or_default();
    matches!(
        last,
        "test" | "rstest" | "test_case" | "quickcheck" | "wasm_bindgen_test"
    )
}

/// Returns the first argument of a call, if it is a string: `it('…'`, `test.only("…"`.
fn called_with(line: &str, names: &[&str]) -> Option<String> {
    let name = first_identifier(line);
    let mut rest = line.get(name.len()..).filter(|_| names.contains(&name))?;
    while let Some(member) = rest.strip_prefix('.') {
        let member_name = first_identifier(member);
        rest = &member[member_name.len()..];
        if member_name == "each" {
            // The first call has the cases, the second the name.
            let (_, after) = rest.split_once(")(").or_else(|| rest.split_once("`("))?;
            return read_quoted(after);
        }
    }
    read_quoted(rest.trim_start().trim_start_matches('('))
}

/// Reads the quoted text at the start of a text.
fn read_quoted(text: &str) -> Option<String> {
    let text = text.trim_start();
    let quote = text
        .chars()
        .next()
        .filter(|c| matches!(c, '"' | '\'' | '`'))?;
    let mut name = String::new();
    let mut escaped = false;
    for c in text.chars().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => {
                escaped = true;
                continue;
            }
            c if c == quote => return Some(name).filter(|name| !name.trim().is_empty()),
            _ => {}
        }
        name.push(c);
    }
    None
}

/// Returns the identifier at the start of a text.
fn first_identifier(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_');
    &text[..end.unwrap_or(text.len())]
}

#[cfg(test)]
mod tests {
    use ropey::Rope;

    use super::*;

    /// Compares the name, the first and the last line of the test at the `^`.
    fn check(extension: &str, text: &str, expected: Option<(&str, &str, &str)>) {
        let at = text.lines().position(|line| line.contains('^')).unwrap();
        let rope = Rope::from_str(&text.replace('^', ""));
        let lines = ClientLines(&rope);
        let found = find_test(TestLanguage::from_extension(extension).unwrap(), lines, at);
        let found = found.map(|test| {
            let line = |at: u32| lines.get(at as usize).trim().to_owned();
            (
                test.name,
                line(test.lines.start_line),
                line(test.lines.end_line - 1),
            )
        });
        let expected = expected
            .map(|(name, first, last)| (name.to_owned(), first.to_owned(), last.to_owned()));
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn tests_of_rust() {
        let text = "#[test]\nfn one() {\n    assert!(x);^\n}\n\nfn other() {}\n";
        check("rs", text, Some(("one", "#[test]", "}")));
        let text = "    /// Words.\n    #[tokio::test(flavor = \"x\")]^\n    #[cfg(unix)]\n    async fn two(\n        a: u8,\n    ) {\n        b();\n    }\n";
        check("rs", text, Some(("two", "/// Words.", "}")));
        let text = "#[test]\nfn one() {\n    a();\n\n    b();\n}^\n";
        check("rs", text, Some(("one", "#[test]", "}")));
        check(
            "rs",
            "#[test]\nfn one() {\n}\n\nfn other() {\n    x();^\n}\n",
            None,
        );
        check("rs", "#[cfg(test)]\nfn one() {\n    x();^\n}\n", None);
        check(
            "rs",
            "#[rstest]\n#[case(1)]\nfn three(^#[case] n: u8) {\n}\n",
            Some(("three", "#[rstest]", "}")),
        );
        check("rs", "^", None);
    }

    #[test]
    fn tests_of_other_languages() {
        let text = "class A:\n    @mark\n    async def test_one(self):\n        x = 1\n\n        y^ = 2\n\n    def helper(self):\n        pass\n";
        check("py", text, Some(("test_one", "@mark", "y = 2")));
        check(
            "py",
            "def testing():\n    pass\n\ndef helper():\n    pass^\n",
            None,
        );
        let text = "describe('a', () => {\n  it('does \\'it\\'', async () => {\n    x()^\n  })\n  it.only(`b`, f)\n})\n";
        check(
            "ts",
            text,
            Some(("does 'it'", "it('does \\'it\\'', async () => {", "})")),
        );
        check(
            "js",
            "test.each([1, 2])('of %d', (n) => {\n  x^\n})\n",
            Some(("of %d", "test.each([1, 2])('of %d', (n) => {", "})")),
        );
        check(
            "js",
            "  it.skip(\"b\", ^f)\n})\n",
            Some(("b", "it.skip(\"b\", f)", "it.skip(\"b\", f)")),
        );
        check("js", "describe('a', () => {^\n  it('b', f)\n})\n", None);
        check("js", "it(name, () => {\n  x^\n})\n", None);
        check(
            "go",
            "func TestOne(t *testing.T) {\n\tx()^\n}\n",
            Some(("TestOne", "func TestOne(t *testing.T) {", "}")),
        );
        check("go", "func Testify() {\n\tx()^\n}\n", None);
    }

    #[test]
    fn names_are_sanitized() {
        let text = "it('a\u{202e}b\u{1b}[2J $(touch pwn)', () => {\n  x^\n})\n";
        let rope = Rope::from_str(text);
        let found = find_test(TestLanguage::JavaScript, ClientLines(&rope), 1).unwrap();
        assert_eq!(found.name, "ab [2J $(touch pwn)");
    }
}
