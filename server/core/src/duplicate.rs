//! Whether a goal is one that is under way already.

use claudecluster_protocol::{
    GoalSpec,
    goal::{GoalScope, GoalScopeKind},
};

use crate::state::{ClusterState, Goal};

/// Returns an unsettled goal that asks for the same: the same words in the same place of the same
/// workspace, with the same plan where one comes along. The oldest, if there are several.
///
/// What else goals can say (agent, model, limits, gates) is how they are done, not what is done.
pub fn find_duplicate<'a>(state: &'a ClusterState, spec: &GoalSpec) -> Option<&'a Goal> {
    let words = split_words(&spec.prompt);
    let mut goals = state.goals.values().map(AsRef::as_ref);
    goals.find(|goal| {
        let other = &goal.spec;
        !goal.state.is_terminal()
            && other.workspace == spec.workspace
            && other.plan == spec.plan
            && self::split_words(&other.prompt) == words
            && is_same_place(&other.scope, &spec.scope)
    })
}

/// Splits a prompt into words in lower case.
fn split_words(prompt: &str) -> Vec<String> {
    let prompt = prompt.trim_end_matches(|c: char| c.is_whitespace() || c == '.');
    prompt.split_whitespace().map(str::to_lowercase).collect()
}

/// Returns whether two scopes name the same place. The list of open documents changes all the time
/// and makes no other place.
fn is_same_place(one: &GoalScope, other: &GoalScope) -> bool {
    let files = one.kind != GoalScopeKind::Files || {
        let both = [one, other].map(|scope| (sorted_refs(&scope.files), sorted_refs(&scope.globs)));
        both[0] == both[1]
    };
    one.kind == other.kind && is_same_selection(one, other) && files
}

/// Returns whether two scopes select the same lines. Lines move, so the selected text counts more
/// than line numbers, where the text is known.
fn is_same_selection(one: &GoalScope, other: &GoalScope) -> bool {
    match (&one.selection, &other.selection) {
        (Some(one), Some(other)) => {
            one.path == other.path
                && match (&one.text, &other.text) {
                    (Some(one), Some(other)) => one == other,
                    _ => (one.start_line, one.end_line) == (other.start_line, other.end_line),
                }
        }
        (None, None) => true,
        _ => false,
    }
}

fn sorted_refs<T: Ord>(items: &[T]) -> Vec<&T> {
    let mut items: Vec<_> = items.iter().collect();
    items.sort();
    items
}

#[cfg(test)]
mod tests {
    use claudecluster_protocol::{
        BlobId, EventBody, GoalId, GoalState, Plan, RelPath, TaskSpec, Timestamp,
        goal::{GoalSelection, SelectedText},
    };

    use super::*;

    fn spec(prompt: &str) -> GoalSpec {
        GoalSpec::new("/w", prompt)
    }

    fn path(path: &str) -> RelPath {
        RelPath::new(path).unwrap()
    }

    fn at(prompt: &str, file: &str, start_line: u32) -> GoalSpec {
        let selection = GoalSelection {
            path: path(file),
            start_line,
            end_line: start_line + 1,
            text: None,
        };
        with(prompt, |spec| spec.scope.selection = Some(selection))
    }

    /// At a line that reads so, with so many like it above.
    fn reads(start_line: u32, text: &str, above: u32) -> GoalSpec {
        let mut spec = at("fix it", "a", start_line);
        if let Some(selection) = &mut spec.scope.selection {
            let hash = BlobId::new(text);
            selection.text = Some(SelectedText { hash, above });
        }
        spec
    }

    fn with(prompt: &str, change: impl FnOnce(&mut GoalSpec)) -> GoalSpec {
        let mut spec = spec(prompt);
        change(&mut spec);
        spec
    }

    fn files(names: &[&str]) -> GoalSpec {
        with("fix it", |spec| {
            spec.scope.kind = GoalScopeKind::Files;
            spec.scope.files = names.iter().map(|name| path(name)).collect();
        })
    }

    fn open(names: &[&str]) -> GoalSpec {
        let mut spec = files(names);
        spec.scope.kind = GoalScopeKind::Open;
        spec
    }

    fn planned(instructions: &str) -> GoalSpec {
        with("", |spec| {
            spec.plan = Some(Plan {
                tasks: vec![TaskSpec::new("a", instructions)],
                ..Plan::default()
            });
        })
    }

    /// A state with goal `g1`.
    fn state(spec: GoalSpec, now: GoalState) -> ClusterState {
        let mut state = ClusterState::default();
        let id = GoalId::new("g1");
        let spec = Box::new(spec);
        state.apply_event(&id, Timestamp(1), &EventBody::GoalSubmitted { spec });
        let changed = EventBody::GoalChanged {
            state: now,
            error: None,
        };
        state.apply_event(&id, Timestamp(2), &changed);
        state
    }

    #[test]
    fn the_same_words_in_the_same_place_are_the_same_goal() {
        let check = |first: GoalSpec, second: GoalSpec, same: bool| {
            let state = state(first.clone(), GoalState::Running);
            let found = find_duplicate(&state, &second).map(|goal| goal.id.as_str());
            assert_eq!(found, same.then_some("g1"), "{first:#?} {second:#?}");
        };
        check(spec("fix it"), spec("fix it"), true);
        check(spec("fix it"), spec("  Fix\n it. "), true);
        check(spec("fix it"), spec("fix them"), false);
        check(spec("fix it"), spec("fixit"), false);
        let elsewhere = with("fix it", |spec| spec.workspace = "/v".into());
        check(spec("fix it"), elsewhere, false);
        check(at("fix it", "a", 1), at("fix it", "a", 1), true);
        check(at("fix it", "a", 1), at("fix it", "a", 2), false);
        check(at("fix it", "a", 1), at("fix it", "b", 1), false);
        check(at("fix it", "a", 1), spec("fix it"), false);
        check(reads(1, "x", 0), reads(4, "x", 0), true);
        check(reads(1, "x", 0), reads(1, "y", 0), false);
        check(reads(1, "x", 0), reads(4, "x", 1), false);
        // A goal of before its text was known.
        check(reads(1, "x", 0), at("fix it", "a", 1), true);
        check(at("fix it", "a", 1), reads(2, "x", 0), false);
        check(files(&["a", "b"]), files(&["b", "a"]), true);
        check(files(&["a", "b"]), files(&["a"]), false);
        check(files(&["a"]), open(&["a"]), false);
        check(open(&["a"]), open(&["a", "b"]), true);
        check(planned("x"), planned("x"), true);
        check(planned("x"), planned("y"), false);
        check(planned("x"), spec(""), false);
        let otherwise = with("fix it", |spec| spec.jobs = Some(1));
        check(spec("fix it"), otherwise, true);
    }

    #[test]
    fn what_is_settled_may_be_wanted_again() {
        let check = |now: GoalState, same: bool| {
            let state = state(spec("fix it"), now);
            assert_eq!(
                find_duplicate(&state, &spec("fix it")).is_some(),
                same,
                "{now:?}"
            );
        };
        check(GoalState::Submitted, true);
        check(GoalState::AwaitingApproval, true);
        check(GoalState::Gating, true);
        check(GoalState::Proposed, true);
        check(GoalState::Landed, false);
        check(GoalState::Rejected, false);
        check(GoalState::Failed, false);
        check(GoalState::Cancelled, false);
    }
}
