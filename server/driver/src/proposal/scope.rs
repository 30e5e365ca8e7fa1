//! The scope of a goal, and the reasons for holding changes for review.

use std::{collections::BTreeSet, path::PathBuf};

use claudecluster_core::{code_execution_paths, state::Goal};
use claudecluster_protocol::{
    ErrorBody, RelPath,
    change::HeldReason,
    goal::{GoalScope, GoalScopeKind},
};
use globset::{Glob, GlobSet, GlobSetBuilder};
use ignore::gitignore::{Gitignore, GitignoreBuilder};

use super::file_merge::FileMergeRules;

/// Returns the reasons why a change of a file needs an explicit look.
pub(crate) fn held_reasons(
    rules: &FileMergeRules,
    goal: &Goal,
    path: &RelPath,
) -> Result<BTreeSet<HeldReason>, ErrorBody> {
    Ok(HoldMatcher::new(rules, goal)?.held_reasons(path))
}

/// Decides which of a goal's changes need an explicit look.
pub(super) struct HoldMatcher<'a> {
    scope: ScopeMatcher<'a>,
    listed: Gitignore,
    root: PathBuf,
}

impl<'a> HoldMatcher<'a> {
    pub(super) fn new(rules: &FileMergeRules, goal: &'a Goal) -> Result<Self, ErrorBody> {
        let workspace = &goal.spec.workspace;
        let settings = rules
            .config
            .workspace_settings(workspace)
            .unwrap_or_else(|error| {
                // The work is done; a file that became unreadable meanwhile must not lose it.
                tracing::warn!(%error, goal = %goal.id, "the workspace's settings are ignored");
                rules.config.settings.clone()
            });
        Ok(Self {
            scope: ScopeMatcher::new(&goal.spec.scope)?,
            listed: parse_hold_patterns(&settings.review.hold)?,
            root: PathBuf::from(workspace),
        })
    }

    pub(super) fn held_reasons(&self, path: &RelPath) -> BTreeSet<HeldReason> {
        let mut held = BTreeSet::new();
        if !self.scope.contains(path) {
            held.insert(HeldReason::OutOfScope);
        }
        let path = path.as_str();
        if code_execution_paths::is_code_execution_path(path) || self.is_beside_head(path) {
            held.insert(HeldReason::SelfArming);
        }
        if is_listed(&self.listed, path) {
            held.insert(HeldReason::Listed);
        }
        held
    }

    /// Returns whether the file would be a part of a repository because of a `HEAD` that is there already.
    fn is_beside_head(&self, path: &str) -> bool {
        let exists = |head: &String| self.root.join(head).symlink_metadata().is_ok();
        code_execution_paths::repository_heads(path)
            .iter()
            .any(exists)
    }
}

/// Parses the patterns of `review.hold`, which have the form of a `.gitignore`; an error names the one that is
/// wrong.
fn parse_hold_patterns(patterns: &[String]) -> Result<Gitignore, ErrorBody> {
    let wrong = |pattern: &str, error: &ignore::Error| {
        ErrorBody::config(format!(
            "the setting `review.hold` has an invalid pattern {pattern:?}: {error}"
        ))
        .with_hint("use patterns as in a .gitignore, such as `*.sql` or `/deploy/`")
    };
    let mut builder = GitignoreBuilder::new("");
    builder
        .case_insensitive(true)
        .map_err(|error| wrong("", &error))?;
    for pattern in patterns {
        builder
            .add_line(None, pattern)
            .map_err(|error| wrong(pattern, &error))?;
    }
    builder
        .build()
        .map_err(|error| wrong(&patterns.join(", "), &error))
}

/// Checks a pattern of `review.hold`.
///
/// # Errors
///
/// It is not a pattern as in a `.gitignore`.
pub fn check_hold_pattern(pattern: &str) -> Result<(), String> {
    match parse_hold_patterns(&[pattern.to_owned()]) {
        Ok(_) => Ok(()),
        Err(error) => Err(error.message),
    }
}

/// Returns whether a pattern names the file or a folder that it is in, as the most forgiving file system compares
/// names.
fn is_listed(listed: &Gitignore, path: &str) -> bool {
    let folded = code_execution_paths::fold_path(path).join("/");
    [path, folded.as_str()]
        .into_iter()
        .any(|path| !path.is_empty() && listed.matched_path_or_any_parents(path, false).is_ignore())
}

/// The paths that a goal is about.
struct ScopeMatcher<'a> {
    scope: &'a GoalScope,
    globs: GlobSet,
}

impl<'a> ScopeMatcher<'a> {
    fn new(scope: &'a GoalScope) -> Result<Self, ErrorBody> {
        Ok(Self {
            scope,
            globs: parse_globs(&scope.globs)?,
        })
    }

    fn contains(&self, path: &RelPath) -> bool {
        match self.scope.kind {
            GoalScopeKind::Workspace => true,
            GoalScopeKind::Open | GoalScopeKind::Files => {
                self.scope.files.iter().any(|file| path.is_within(file))
                    || self.globs.is_match(path.as_str())
            }
        }
    }
}

/// Parses a set of globs; an error names the one that is wrong.
pub(crate) fn parse_globs(patterns: &[String]) -> Result<GlobSet, ErrorBody> {
    let wrong = |pattern: &str, error: globset::Error| {
        ErrorBody::user(format!("invalid glob {pattern:?}: {error}"))
            .with_hint("use a glob such as `src/**/*.rs`")
    };
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        set.add(Glob::new(pattern).map_err(|error| wrong(pattern, error))?);
    }
    set.build()
        .map_err(|error| wrong(&patterns.join(", "), error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listed_files_are_held_as_a_gitignore_names_them() {
        let patterns = ["*.sql", "/deploy/", "!deploy/notes.md"].map(str::to_owned);
        let listed = parse_hold_patterns(&patterns).unwrap();
        for path in [
            "a/b.sql",
            "A/B.SQL",
            "deploy/x",
            "Deploy/a/x",
            "b.sql ",
            "b.s\u{200d}ql",
        ] {
            assert!(is_listed(&listed, path), "{path:?}");
        }
        for path in ["a.rs", "src/deploy/x", "deploy.rs"] {
            assert!(!is_listed(&listed, path), "{path:?}");
        }
        let error = parse_hold_patterns(&["[z-a]".to_owned()]).unwrap_err();
        assert!(error.message.contains("[z-a]"), "{error:?}");
    }
}
