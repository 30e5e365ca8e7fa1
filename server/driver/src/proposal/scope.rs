//! Which files a goal is about, and which changes need an explicit look.

use std::collections::BTreeSet;

use claudecluster_core::{lifecycle::Goal, selfarming};
use claudecluster_protocol::{
    ErrorBody, RelPath,
    change::HeldReason,
    goal::{Scope, ScopeKind},
};
use globset::{Glob, GlobSet, GlobSetBuilder};

/// Why a goal's change of a file needs an explicit look, whoever made it.
pub(crate) fn held_reasons(goal: &Goal, path: &RelPath) -> Result<BTreeSet<HeldReason>, ErrorBody> {
    Ok(GoalScope::new(&goal.spec.scope)?.held_reasons(path))
}

/// Which paths a goal is about.
pub(super) struct GoalScope<'a> {
    scope: &'a Scope,
    globs: GlobSet,
}

impl<'a> GoalScope<'a> {
    pub(super) fn new(scope: &'a Scope) -> Result<Self, ErrorBody> {
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
        if selfarming::is_self_arming(path.as_str()) {
            held.insert(HeldReason::SelfArming);
        }
        held
    }

    fn contains(&self, path: &RelPath) -> bool {
        match self.scope.kind {
            ScopeKind::Workspace => true,
            ScopeKind::Open | ScopeKind::Files => {
                self.scope.files.iter().any(|file| path.is_within(file))
                    || self.globs.is_match(path.as_str())
            }
        }
    }
}

/// A set of globs; an error names the one that is wrong.
pub(crate) fn parse_globs(patterns: &[String]) -> Result<GlobSet, ErrorBody> {
    let wrong = |pattern: &str, error: globset::Error| {
        ErrorBody::user(format!("invalid glob {pattern:?}: {error}"))
            .hint("use a glob such as `src/**/*.rs`")
    };
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        set.add(Glob::new(pattern).map_err(|error| wrong(pattern, error))?);
    }
    set.build()
        .map_err(|error| wrong(&patterns.join(", "), error))
}
