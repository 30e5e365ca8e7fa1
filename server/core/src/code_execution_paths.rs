//! Files that make tools run code: editor settings, hooks, package manager configuration, agent
//! instructions. A change to one of them never lands without being named.
//!
//! The comparison is deliberately generous. File systems fold case, normalise Unicode, ignore
//! invisible characters, drop trailing dots and spaces, and offer short names; a path that *could*
//! be one of these files on some of them counts, wherever in the workspace it is. Saying yes too
//! often costs one look, saying no too often runs somebody else's code.

use unicode_normalization::UnicodeNormalization;

/// Compares a pattern with a part of a path.
#[derive(Clone, Copy)]
enum PathPartPattern {
    Is(&'static str),
    StartsWith(&'static str),
    EndsWith(&'static str),
}

use PathPartPattern::{EndsWith, Is, StartsWith};

/// Consecutive parts of a path; everything beneath them counts too. All in lower case.
const PATTERNS: &[&[PathPartPattern]] = &[
    // Version control.
    &[Is(".git")],
    &[Is(".gitmodules")],
    &[Is(".gitattributes")],
    &[Is(".gitconfig")],
    &[Is(".hg")],
    &[Is(".jj")],
    &[Is(".husky")],
    &[Is(".githooks")],
    &[Is(".pre-commit-config.yaml")],
    &[StartsWith("lefthook.")],
    &[StartsWith(".lefthook")],
    // Editors.
    &[Is(".vscode")],
    &[EndsWith(".code-workspace")],
    &[Is(".idea")],
    &[Is(".zed")],
    &[Is(".helix")],
    &[Is(".exrc")],
    &[Is(".nvimrc")],
    &[Is(".nvim.lua")],
    &[Is(".vimrc")],
    &[Is(".lvimrc")],
    &[Is(".dir-locals.el")],
    &[Is(".dir-locals-2.el")],
    &[EndsWith(".sublime-project")],
    &[Is(".devcontainer")],
    &[Is(".devcontainer.json")],
    // Shells, tool chains and package managers.
    &[Is(".envrc")],
    &[StartsWith(".mise")],
    &[StartsWith("mise.")],
    &[Is(".npmrc")],
    &[StartsWith(".yarnrc")],
    &[Is(".pnpmfile.cjs")],
    &[Is(".cargo"), StartsWith("config")],
    &[StartsWith("rust-toolchain")],
    // Agents and their instructions.
    &[Is(".claude")],
    &[Is(".claude.json")],
    &[Is("claude.md")],
    &[Is("claude.local.md")],
    &[Is("agents.md")],
    &[Is("agents.override.md")],
    &[Is("agent.md")],
    &[Is("gemini.md")],
    &[Is(".gemini")],
    &[Is(".codex")],
    &[Is(".opencode")],
    &[Is(".mcp.json")],
    &[Is(".cursor")],
    &[Is(".cursorrules")],
    &[Is(".windsurf")],
    &[Is(".windsurfrules")],
    &[Is(".clinerules")],
    &[Is(".roo")],
    &[Is(".roorules")],
    &[Is(".continue")],
    &[Is(".kiro")],
    &[StartsWith(".aider.conf")],
    &[Is(".github"), Is("copilot-instructions.md")],
    &[Is(".github"), Is("instructions")],
    &[Is(".claudecluster")],
    &[StartsWith(".claudecluster.")],
    // What runs on a forge as soon as it is pushed.
    &[Is(".github"), Is("workflows")],
    &[Is(".github"), Is("actions")],
    &[Is(".gitlab-ci.yml")],
    &[Is(".forgejo"), Is("workflows")],
    &[Is(".gitea"), Is("workflows")],
];

/// Returns whether a path names a file that makes tools run code. The path is relative to a
/// workspace and `/`-separated; a file counts if it could do so on some file system.
///
/// ```
/// use claudecluster_core::code_execution_paths::is_code_execution_path;
/// assert!(is_code_execution_path("web/.VSCode/tasks.json"));
/// assert!(!is_code_execution_path("src/vscode.rs"));
/// ```
pub fn is_code_execution_path(path: &str) -> bool {
    let parts: Vec<String> = path
        .split(['/', '\\'])
        .map(fold_path_part)
        .filter(|part| !part.is_empty())
        .collect();
    PATTERNS.iter().any(|pattern| {
        parts.windows(pattern.len()).any(|window| {
            window
                .iter()
                .zip(*pattern)
                .all(|(part, pattern)| pattern.matches_part(part))
        })
    })
}

impl PathPartPattern {
    fn matches_part(self, part: &str) -> bool {
        match self {
            Is(name) => part == name || is_short_name(part, name),
            StartsWith(start) => part.starts_with(start) || is_short_name(part, start),
            // What the short name of a name with any beginning is cannot be told, but its
            // extension's first three letters stay.
            EndsWith(end) => {
                part.ends_with(end)
                    || part
                        .rsplit_once('.')
                        .is_some_and(|(stem, ext)| is_numbered(stem) && end.get(1..4) == Some(ext))
            }
        }
    }
}

/// Folds a part of a path as the most forgiving file system compares parts.
fn fold_path_part(part: &str) -> String {
    let folded: String = part
        .chars()
        .filter(|&c| !is_ignorable(c))
        .nfkc()
        .flat_map(char::to_lowercase)
        .nfkc()
        .filter(|&c| !is_ignorable(c))
        .collect();
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
    use super::is_code_execution_path;

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
        ];
        for path in no {
            assert!(!is_code_execution_path(path), "{path:?}");
        }
    }
}
