//! Files that make tools run code: editor settings, hooks, package manager configuration, agent
//! instructions. A change to one of them is held until it is named, or shown with a mark.
//!
//! The comparison is deliberately generous. File systems fold case, normalise Unicode, ignore
//! invisible characters, drop trailing dots and spaces, and offer short names; a path that *could*
//! be one of these files on some of them counts, wherever in the workspace it is. Saying yes too
//! often costs one look, saying no too often runs somebody else's code.

mod table;

use std::sync::LazyLock;

use unicode_normalization::UnicodeNormalization;

pub use table::{CODE_EXECUTION_RULES, CodeExecutionRule, CodeExecutionVerdict};

/// Says why a part of a bare repository is held.
pub const BARE_REPOSITORY: &str = "git takes a folder with HEAD, objects and refs for a repository, and runs what its configuration names";

/// The name that every git repository has, folded.
const HEAD: &str = "head";

/// The names beside it that make or configure a repository, folded.
const REPOSITORY_PARTS: [&str; 10] = [
    "objects",
    "refs",
    "packed-refs",
    "commondir",
    "config",
    "config.worktree",
    "hooks",
    "info",
    "modules",
    "worktrees",
];

/// The names of each pattern, with its rule, in the order of the table.
static PATTERNS: LazyLock<Vec<(Vec<&'static str>, &'static CodeExecutionRule)>> =
    LazyLock::new(|| {
        let names = |pattern: &'static str| pattern.split('/').collect();
        CODE_EXECUTION_RULES
            .iter()
            .flat_map(|rule| rule.files.split_whitespace().map(move |p| (names(p), rule)))
            .collect()
    });

/// Returns the rule for a path, the one that holds if there are several. The path is relative to a workspace
/// and `/`-separated; a file counts if it could be one of these on some file system.
pub fn find_code_execution_rule(path: &str) -> Option<&'static CodeExecutionRule> {
    let parts = fold_path(path);
    let mut patterns = PATTERNS.iter();
    let found = patterns.find(|(pattern, _)| matches_path(pattern, &parts));
    found.map(|(_, rule)| *rule)
}

/// Returns whether a change to a path is held because tools could run the file.
///
/// ```
/// use claudecluster_core::code_execution_paths::is_code_execution_path;
/// assert!(is_code_execution_path("web/.VSCode/tasks.json"));
/// assert!(!is_code_execution_path("src/vscode.rs"));
/// ```
pub fn is_code_execution_path(path: &str) -> bool {
    let held = |rule: &CodeExecutionRule| rule.verdict == CodeExecutionVerdict::Held;
    find_code_execution_rule(path).is_some_and(held) || is_repository_head(path)
}

/// Returns why tools could run a file, for people: the program and the occasion.
pub fn describe_execution(path: &str) -> Option<&'static str> {
    let head = || is_repository_head(path).then_some(BARE_REPOSITORY);
    find_code_execution_rule(path)
        .map(|rule| rule.runs)
        .or_else(head)
}

/// Returns whether a file makes the folder that it is in a bare repository, as soon as the other parts are there.
/// No folder becomes one without such a file, in whatever order and by however many goals its parts land.
fn is_repository_head(path: &str) -> bool {
    fold_path(path).last().is_some_and(|name| name == HEAD)
}

/// Returns the paths of files named `HEAD` whose presence would make a path a part of a repository. Whoever lands
/// the path looks whether one of them exists.
///
/// ```
/// use claudecluster_core::code_execution_paths::repository_heads;
/// assert_eq!(repository_heads("a/objects/x"), ["a/HEAD"]);
/// assert!(repository_heads("a/b/x").is_empty());
/// ```
pub fn repository_heads(path: &str) -> Vec<String> {
    let parts: Vec<&str> = path.split('/').collect();
    let is_part = |part: &str| REPOSITORY_PARTS.contains(&fold_path_part(part).as_str());
    parts
        .iter()
        .enumerate()
        .filter(|(_, part)| is_part(part))
        .map(|(at, _)| [&parts[..at], &["HEAD"]].concat().join("/"))
        .collect()
}

/// Folds a path into its parts, without empty ones.
pub fn fold_path(path: &str) -> Vec<String> {
    path.split(['/', '\\'])
        .map(fold_path_part)
        .filter(|part| !part.is_empty())
        .collect()
}

fn matches_path(names: &[&str], parts: &[String]) -> bool {
    parts.windows(names.len()).any(|window| {
        window
            .iter()
            .zip(names)
            .all(|(part, name)| matches_part(name, part))
    })
}

fn matches_part(name: &str, part: &str) -> bool {
    if let Some(start) = name.strip_suffix('*') {
        return part.starts_with(start) || is_short_name(part, start);
    }
    let Some(end) = name.strip_prefix('*') else {
        return part == name || is_short_name(part, name);
    };
    // What the short name of a name with any beginning is cannot be told, but its extension's first three
    // letters stay.
    part.ends_with(end)
        || part.rsplit_once('.').is_some_and(|(stem, ext)| {
            is_numbered(stem) && end.len() > 4 && end.get(1..4) == Some(ext)
        })
}

/// Folds a part of a path as the most forgiving file system compares parts.
fn fold_path_part(part: &str) -> String {
    if part.is_ascii() {
        return strip_ignored_ends(&part.to_ascii_lowercase());
    }
    let folded: String = part
        .chars()
        .filter(|&c| !is_ignorable(c))
        .nfkc()
        .flat_map(char::to_lowercase)
        .nfkc()
        .filter(|&c| !is_ignorable(c))
        .collect();
    strip_ignored_ends(&folded)
}

fn strip_ignored_ends(folded: &str) -> String {
    // NTFS: what follows a colon names a stream of the file.
    let name = folded.split(':').next().unwrap_or_default();
    name.trim_end_matches(['.', ' '])
        .trim_start_matches(' ')
        .to_owned()
}

/// Returns whether HFS+ ignores a character when it compares names.
fn is_ignorable(c: char) -> bool {
    matches!(
        c,
        '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}' | '\u{feff}'
    )
}

/// Returns whether `part` could be the short (8.3) name NTFS gives to `name`: up to six of its
/// letters, or two and four digits of a hash, then `~` and a number, then up to three letters of
/// extension.
fn is_short_name(part: &str, name: &str) -> bool {
    let stem = part.split('.').next().unwrap_or_default();
    let Some((head, _)) = stem.split_once('~').filter(|_| is_numbered(stem)) else {
        return false;
    };
    // A leading dot is not part of the short name; an extension is cut off.
    let long = name.trim_start_matches('.');
    let long = long.split('.').next().unwrap_or_default();
    let letters: String = long.chars().filter(|c| !c.is_whitespace()).collect();
    let plain = letters.get(..letters.len().min(6)) == Some(head);
    let hashed = head.len() == 6
        && letters.get(..2) == head.get(..2)
        && head
            .get(2..)
            .is_some_and(|rest| rest.chars().all(|c| c.is_ascii_hexdigit()));
    plain || hashed
}

/// Returns whether a name ends in `~` and digits.
fn is_numbered(stem: &str) -> bool {
    stem.rsplit_once('~')
        .is_some_and(|(_, number)| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::{
        CODE_EXECUTION_RULES, CodeExecutionVerdict, find_code_execution_rule,
        is_code_execution_path, repository_heads,
    };

    #[test]
    fn files_that_make_tools_run_code() {
        let yes = [
            ".vscode/settings.json",
            "packages/web/.VSCODE/tasks.json",
            ".idea/workspace.xml",
            ".cursor/mcp.json",
            ".zed/tasks.json",
            ".claude/settings.json",
            ".mcp.json",
            ".git/hooks/pre-commit",
            "vendor/x/.git",
            ".gitmodules",
            "a/.gitattributes",
            ".husky/pre-push",
            ".githooks/x",
            ".envrc",
            ".npmrc",
            ".yarnrc",
            ".yarnrc.yml",
            ".cargo/config",
            ".cargo/config.toml",
            "crates/a/.cargo/config.toml",
            "rust-toolchain",
            "rust-toolchain.toml",
            "my.code-workspace",
            ".devcontainer/devcontainer.json",
            ".devcontainer.json",
            ".github/workflows/ci.yml",
            ".GitHub/Workflows/ci.yml",
            "CLAUDE.md",
            "src/Claude.MD",
            "AGENTS.md",
            "GEMINI.md",
            ".cursorrules",
            ".github/copilot-instructions.md",
            ".nvim.lua",
            ".exrc",
            ".dir-locals.el",
            ".yarn/releases/yarn-4.cjs",
            ".yarn/plugins/x.cjs",
            ".pnp.cjs",
            "bunfig.toml",
            ".mvn/wrapper/maven-wrapper.properties",
            ".bundle/config",
            ".luarc.json",
            ".lazy.lua",
            ".gdbinit",
            ".Rprofile",
            ".tool-versions",
            "mise.toml",
            ".bazelrc",
            "gradle/wrapper/gradle-wrapper.jar",
            ".circleci/config.yml",
            "Jenkinsfile",
            "ci/Jenkinsfile.nightly",
            "azure-pipelines.yml",
            "pip.conf",
            "uv.toml",
            "lib/sitecustomize.py",
            "lib/x.pth",
            "tests/fixtures/repo.git/HEAD",
            "a/Head",
        ];
        for path in yes {
            assert!(is_code_execution_path(path), "{path:?}");
        }
    }

    #[test]
    fn names_that_some_file_system_takes_for_such_a_file() {
        let yes = [
            // Trailing dots and spaces, streams, separators of Windows.
            ".git./config",
            ".git /config",
            ".git . ./config",
            ".git::$INDEX_ALLOCATION/config",
            ".gitmodules:x",
            "a\\.vscode\\tasks.json",
            // Short names.
            "git~1/config",
            "GIT~1",
            "VSCODE~1/tasks.json",
            "gitmod~1",
            "GITMOD~4",
            "gi7eba~1",
            "gi7eba~12",
            "CLAUDE~1.MD",
            "agents~1.md",
            "MYWORK~1.COD",
            "yarnrc~1.yml",
            "RUST-T~1.TOM",
            ".github/workfl~1/x.yml",
            "github~1/workfl~1/x.yml",
            // Unicode: full-width, long s, Kelvin sign, compatibility letters, decomposed.
            "\u{ff0e}git/config",
            ".\u{ff47}\u{ff49}\u{ff54}/config",
            ".hu\u{017f}ky/x",
            ".hus\u{212a}y/x",
            "\u{2024}vscode/x",
            // Invisible characters.
            ".g\u{200c}it/config",
            "\u{feff}.git/config",
            ".gi\u{200d}t/config",
            ".vs\u{202e}code/x",
            ".g\u{206a}it",
        ];
        for path in yes {
            assert!(is_code_execution_path(path), "{path:?}");
        }
    }

    #[test]
    fn ordinary_files() {
        let no = [
            "",
            "src/main.rs",
            "src/git.rs",
            "git",
            "git/config",
            "vscode/settings.json",
            ".gitignore",
            ".github/ISSUE_TEMPLATE.md",
            "workflows/ci.yml",
            ".cargo/credentials-example.md",
            "config.toml",
            "Cargo.toml",
            "docs/claude.md.txt",
            "backup~1.rs",
            "file~",
            "notes~a/git.md",
            "a.code",
            "toolchain.toml",
            "caf\u{e9}/main.rs",
            "src/components/head/index.tsx",
            "objects/cube.rs",
            "refs/links.md",
            "HEADER",
            "yarn/releases/x",
            // Marked, not held.
            "build.rs",
            "package.json",
        ];
        for path in no {
            assert!(!is_code_execution_path(path), "{path:?}");
        }
    }

    #[test]
    fn files_that_ordinary_work_changes_are_marked() {
        let yes = [
            "build.rs",
            "crates/a/build.rs",
            "tests/conftest.py",
            "setup.py",
            "eslint.config.mjs",
            ".eslintrc.json",
            "package.json",
            "Makefile",
            "rules.mk",
            ".env",
            ".env.local",
            "Dockerfile",
        ];
        for path in yes {
            let rule = find_code_execution_rule(path).unwrap();
            assert_eq!(rule.verdict, CodeExecutionVerdict::Marked, "{path:?}");
        }
        for path in [
            "src/build.rs.txt",
            "my-package.json",
            "environment",
            ".environment",
            "a.key",
        ] {
            assert!(find_code_execution_rule(path).is_none(), "{path:?}");
        }
    }

    #[test]
    fn parts_of_repositories_are_known_by_the_head_beside_them() {
        let check =
            |path: &str, heads: &[&str]| assert_eq!(repository_heads(path), heads, "{path}");
        check("objects/pack/x", &["HEAD"]);
        check("a/b.git/config", &["a/b.git/HEAD"]);
        check("a/Refs/hooks/x", &["a/HEAD", "a/Refs/HEAD"]);
        check("a/commondir", &["a/HEAD"]);
        check("src/main.rs", &[]);
    }

    #[test]
    fn every_pattern_stands_once_and_matches_itself() {
        let mut seen = std::collections::BTreeSet::new();
        for rule in CODE_EXECUTION_RULES {
            for pattern in rule.files.split_whitespace() {
                assert!(seen.insert(pattern), "{pattern} stands twice");
                assert_eq!(pattern, pattern.to_lowercase());
                let example = pattern.replace('*', "x");
                let found = find_code_execution_rule(&format!("some/folder/{example}"));
                assert_eq!(
                    found.map(|rule| rule.verdict),
                    Some(rule.verdict),
                    "{pattern}"
                );
            }
        }
        let held = |rule: &&super::CodeExecutionRule| rule.verdict == CodeExecutionVerdict::Held;
        let first_marked = CODE_EXECUTION_RULES.iter().position(|rule| !held(&rule));
        let last_held = CODE_EXECUTION_RULES.iter().rposition(|rule| held(&rule));
        assert!(last_held < first_marked);
    }
}
