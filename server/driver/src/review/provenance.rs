//! Authors of a hunk, and their reasons.

use claudecluster_core::state::{FileEntry, Goal};
use claudecluster_protocol::change::Provenance;

/// Characters shown of an attempt's summary.
const SUMMARY_CHARS: usize = 300;

/// Returns all tasks that worked on a file, the last one first.
pub(crate) fn entry_provenance(goal: &Goal, entry: &FileEntry) -> Vec<Provenance> {
    let versions = entry.file.versions.iter().rev();
    versions
        .map(|version| with_summary(goal, &version.by))
        .collect()
}

/// Returns the request of the developer: the goal's prompt, or the goal text of its plan.
pub(crate) fn goal_prompt(goal: &Goal) -> String {
    match &goal.plan {
        Some(plan) if goal.spec.prompt.is_empty() => plan.goal.clone(),
        _ => goal.spec.prompt.clone(),
    }
}

/// Returns a provenance with the first sentences of its attempt's summary.
pub(crate) fn with_summary(goal: &Goal, by: &Provenance) -> Provenance {
    let attempts = goal.tasks.get(&by.task).map(|task| task.attempts.iter());
    let outcome = attempts
        .and_then(|mut attempts| attempts.find(|attempt| attempt.id == by.attempt))
        .and_then(|attempt| attempt.outcome.as_ref());
    Provenance {
        why: outcome.and_then(|outcome| first_sentences(&outcome.summary)),
        ..by.clone()
    }
}

/// Returns as many whole sentences as fit on one line; a part of the first if that is too long.
fn first_sentences(text: &str) -> Option<String> {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.is_empty() {
        return None;
    }
    let Some((end, _)) = text.char_indices().nth(SUMMARY_CHARS) else {
        return Some(text);
    };
    let shown = &text[..end];
    let sentence = shown.rfind(". ").map(|at| &shown[..=at]);
    Some(match (sentence, shown.rfind(' ')) {
        (Some(sentences), _) => sentences.to_owned(),
        (None, Some(word)) => format!("{}\u{2026}", &shown[..word]),
        (None, None) => format!("{shown}\u{2026}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_words_are_cut_at_a_sentence() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(first_sentences(text).as_deref(), expected, "{text:?}");
        };
        check("  \n", None);
        check(
            "Renamed it.\n\nAll tests pass.",
            Some("Renamed it. All tests pass."),
        );
        let long = format!("First thing. Second {}", "word ".repeat(100));
        check(&long, Some("First thing."));
        let long = "\u{e9}word ".repeat(100);
        let cut = first_sentences(&long).unwrap();
        assert!(
            cut.chars().count() <= SUMMARY_CHARS + 1 && cut.ends_with("word\u{2026}"),
            "{cut}"
        );
        let long = "x".repeat(400);
        assert_eq!(
            first_sentences(&long).unwrap().chars().count(),
            SUMMARY_CHARS + 1
        );
    }
}
