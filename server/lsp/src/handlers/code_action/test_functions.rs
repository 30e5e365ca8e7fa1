//! A goal from the test that the user is in. Tests are told by how their first line looks in the common
//! languages, and where they end by how they are indented: what is laid out otherwise is not offered. Whether
//! a test fails nobody here knows.

use claudecluster_protocol::{editor::LineRange, goal::ScopeKind};

use super::goal_offer::{GoalOffer, OfferContext};
use crate::{documents::lines::ClientLines, plain_text};

/// Longer tests are not looked through.
const LONGEST_TEST: usize = 400;
/// So many lines of attributes, decorators and comments may stand above one.
const MOST_ABOVE: usize = 12;

struct TestFunction {
    name: String,
    lines: LineRange,
}

/// Offers to make the test on the first line of the request pass.
pub(super) fn offer_test(context: &OfferContext<'_>) -> Option<GoalOffer> {
    let language = TestLanguage::of(&context.extension())?;
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
        // What has to change is hardly in the file of the test.
        kind: ScopeKind::Workspace,
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
    Jvm,
    Ruby,
    Elixir,
}

impl TestLanguage {
    fn of(extension: &str) -> Option<Self> {
        Some(match extension {
            "rs" => Self::Rust,
            "py" => Self::Python,
            "js" | "jsx" | "mjs" | "cjs" | "ts" | "tsx" | "mts" | "cts" => Self::JavaScript,
            "go" => Self::Go,
            "java" | "kt" | "kts" | "groovy" => Self::Jvm,
            "rb" => Self::Ruby,
            "ex" | "exs" => Self::Elixir,
            _ => return None,
        })
    }

    /// Whether a line belongs to the test that begins below it.
    fn is_above(self, line: &str) -> bool {
        match self {
            Self::Rust => line.starts_with("#[") || line.starts_with("//"),
            Self::Python | Self::Elixir => line.starts_with('@') || line.starts_with('#'),
            Self::Jvm => line.starts_with('@') && !line.contains('{') || line.starts_with("//"),
            Self::JavaScript | Self::Go => line.starts_with("//"),
            Self::Ruby => line.starts_with('#'),
        }
    }
}

/// The test that a line is in: the nearest above that goes on to it.
fn find_test(language: TestLanguage, text: ClientLines<'_>, at: usize) -> Option<TestFunction> {
    // On its attributes the user is in a test that begins below.
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

/// Where what stands above a test begins.
fn first_line(language: TestLanguage, text: ClientLines<'_>, header: usize) -> usize {
    (header.saturating_sub(MOST_ABOVE)..header)
        .rev()
        .find(|&line| !language.is_above(text.get(line).trim()))
        .map_or(header.saturating_sub(MOST_ABOVE), |line| line + 1)
}

/// One past the last line of what begins at a line: it goes on as long as lines are indented deeper.
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
        // The end of a signature of several lines, or a brace on a line of its own.
        let opens = trimmed.starts_with('{')
            || trimmed.starts_with([')', ']']) && trimmed.ends_with(['{', ':']);
        if here && opens {
            end = at + 1;
            continue;
        }
        let closes = trimmed.starts_with(['}', ')', ']']) || first_word(trimmed) == "end";
        return if here && closes { at + 1 } else { end };
    }
    end
}

fn indent_width(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// The name of the test whose first line this is.
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
        TestLanguage::Jvm => {
            let bare = without_annotations(line);
            let marked =
                bare.len() < line.len() && is_jvm_test(line) || has_above(text, at, is_jvm_test);
            marked.then(|| jvm_function(bare)).flatten()
        }
        TestLanguage::Ruby => match line.strip_prefix("def ") {
            Some(rest) => {
                Some(first_identifier(rest).to_owned()).filter(|name| name.starts_with("test_"))
            }
            None => called_with(line, &["it", "test", "specify"]),
        },
        TestLanguage::Elixir => called_with(line, &["test"]),
    }
}

/// Whether one of the lines right above is such a line.
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

/// `#[test]`, `#[tokio::test(…)]`, `#[rstest]` and the like.
fn is_rust_test(attribute: &str) -> bool {
    let path = attribute.trim_start_matches("#[");
    let path = path.split(['(', ']', '=', ' ']).next().unwrap_or_default();
    let last = path.rsplit("::").next().unwrap_or_default();
    matches!(
        last,
        "test" | "rstest" | "test_case" | "quickcheck" | "wasm_bindgen_test"
    )
}

fn is_jvm_test(line: &str) -> bool {
    const TESTS: [&str; 4] = ["Test", "ParameterizedTest", "RepeatedTest", "TestFactory"];
    let mut annotations = line.split('@').skip(1);
    annotations.any(|annotation| {
        let path: &str = annotation
            .split(|c: char| !c.is_alphanumeric() && c != '.' && c != '_')
            .next()
            .unwrap_or_default();
        TESTS.contains(&path.rsplit('.').next().unwrap_or_default())
    })
}

/// What a line declares, without annotations before it.
fn without_annotations(mut line: &str) -> &str {
    while let Some(rest) = line.strip_prefix('@') {
        let rest = rest.trim_start_matches(|c: char| c.is_alphanumeric() || c == '.' || c == '_');
        let rest = match rest.strip_prefix('(').and_then(|rest| rest.split_once(')')) {
            Some((_, rest)) => rest,
            None => rest,
        };
        line = rest.trim_start();
    }
    line
}

fn jvm_function(line: &str) -> Option<String> {
    // Kotlin's names may have spaces.
    if let Some((_, rest)) = line.split_once("fun `") {
        return rest.split_once('`').map(|(name, _)| name.to_owned());
    }
    let (before, _) = line.split_once('(')?;
    let name = before.rsplit(char::is_whitespace).next()?;
    // A call is no declaration: something stands before a name that is declared.
    let declared = before.trim().contains(char::is_whitespace) && first_identifier(name) == name;
    (declared && !name.is_empty()).then(|| name.to_owned())
}

/// The string that a function is called with first: `it('…'`, `test.only("…"`, `test "…" do`.
fn called_with(line: &str, names: &[&str]) -> Option<String> {
    let name = first_identifier(line);
    let mut rest = line.get(name.len()..).filter(|_| names.contains(&name))?;
    while let Some(member) = rest.strip_prefix('.') {
        let member_name = first_identifier(member);
        rest = &member[member_name.len()..];
        if member_name == "each" {
            // Its own arguments come first.
            let (_, after) = rest.split_once(")(").or_else(|| rest.split_once("`("))?;
            return read_quoted(after);
        }
    }
    read_quoted(rest.trim_start().trim_start_matches('('))
}

/// The text between quotes that a text begins with.
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

/// The identifier that a text begins with.
fn first_identifier(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_');
    &text[..end.unwrap_or(text.len())]
}

fn first_word(text: &str) -> &str {
    first_identifier(text.trim_start())
}

#[cfg(test)]
mod tests {
    use ropey::Rope;

    use super::*;

    /// Looks where `^` stands, and compares the name with the first and the last line of the test.
    fn check(extension: &str, text: &str, expected: Option<(&str, &str, &str)>) {
        let at = text.lines().position(|line| line.contains('^')).unwrap();
        let rope = Rope::from_str(&text.replace('^', ""));
        let lines = ClientLines(&rope);
        let found = find_test(TestLanguage::of(extension).unwrap(), lines, at);
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
        check(
            "java",
            "  @Test\n  @Slow(1)\n  public void adds()\n  {\n    x();^\n  }\n",
            Some(("adds", "@Test", "}")),
        );
        check(
            "java",
            "  @Override\n  public void adds() {\n    x();^\n  }\n",
            None,
        );
        check(
            "kt",
            "@Test fun `adds numbers`() {\n    x()^\n}\n",
            Some(("adds numbers", "@Test fun `adds numbers`() {", "}")),
        );
        check(
            "kt",
            "@org.junit.Test\nfun adds() = runTest {\n    x()^\n}\n",
            Some(("adds", "@org.junit.Test", "}")),
        );
        check(
            "rb",
            "  test \"adds\" do\n    x^\n  end\n",
            Some(("adds", "test \"adds\" do", "end")),
        );
        check(
            "rb",
            "def test_adds\n  x^\nend\n",
            Some(("test_adds", "def test_adds", "end")),
        );
        check(
            "exs",
            "  @tag :slow\n  test \"adds\", %{a: a} do\n    x^\n  end\n",
            Some(("adds", "@tag :slow", "end")),
        );
    }

    #[test]
    fn names_are_input() {
        let text = "it('a\u{202e}b\u{1b}[2J $(touch pwn)', () => {\n  x^\n})\n";
        let rope = Rope::from_str(text);
        let found = find_test(TestLanguage::JavaScript, ClientLines(&rope), 1).unwrap();
        assert_eq!(found.name, "ab [2J $(touch pwn)");
    }
}
