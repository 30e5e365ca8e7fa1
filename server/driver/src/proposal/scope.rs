//! The scope of a goal, and the reasons for holding changes for review.

use std::collections::BTreeSet;

use claudecluster_core::{code_execution_paths, state::Goal};
use claudecluster_protocol::{
    ErrorBody, RelPath,
    change::HeldReason,
    goal::{GoalScope, GoalScopeKind},
};
use globset::{Glob, GlobSet, GlobSetBuilder};

/// Returns the reasons why a change of a file needs an explicit look.
pub(crate) fn held_reasons(goal: &Goal, path: &RelPath) -> Result<BTreeSet<HeldReason>, ErrorBody> {
    Ok(ScopeMatcher::new(&goal.spec.scope)?.held_reasons(path))
}

/// The paths that a goal is about.
pub(super) struct ScopeMatcher<'a> {
    scope: &'a GoalScope,
    globs: GlobSet,
}

impl<'a> ScopeMatcher<'a> {
    pub(super) fn new(scope: &'a GoalScope) -> Result<Self, ErrorBody> {
        Ok(Self {
            scope,
            globs: parse_globs(&scope.globs)?,
        })
    }

    pub(super) fn held_reasons(&self, path: &RelPath) -> BTreeSet<HeldReason> {
        let mut held = BTreeSet::new();
        if !self.contains(path) {
            held.insert(HeldReason::OutOfScope);
        }
        if code_execution_paths::is_code_execution_path(path.as_str()) {
            held.insert(HeldReason::SelfArming);
        }
        held
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
