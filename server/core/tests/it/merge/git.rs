//! Agreement with the real `git merge-file`.

use claudecluster_core::{
    diff::IndexedText,
    merge::{ThreeWayMerge, merge3},
};
use proptest::prelude::*;

use crate::support::{DISTINCT, Family, GitMerge, REPETITIVE, batched, family, git_merge_all};

/// Cases that go through one set of git processes.
const BATCH: usize = 24;

fn check_all(families: &[Family], check: impl Fn(&Family, &GitMerge)) {
    let cases: Vec<_> = families
        .iter()
        .map(|f| {
            (
                f.base.as_str(),
                f.variants[0].as_str(),
                f.variants[1].as_str(),
            )
        })
        .collect();
    for (family, git) in families.iter().zip(&git_merge_all(&cases)) {
        check(family, git);
    }
}

proptest! {
    #![proptest_config(batched(24, BATCH as u32))]

    /// Given the same two diffs, every merge comes out as git's, however ambiguous the text is.
    #[test]
    fn regions_are_gits(
        families in prop::collection::vec(
            prop_oneof![family(REPETITIVE, 0..14, 2), family(DISTINCT, 0..14, 2)],
            BATCH,
        )
    ) {
        check_all(&families, |family, git| {
            let (ours, theirs) = (&family.variants[0], &family.variants[1]);
            let merge = ThreeWayMerge::with_changes(
                IndexedText::new(family.base.as_str()),
                IndexedText::new(ours.as_str()),
                IndexedText::new(theirs.as_str()),
                &git.ours,
                git.theirs.clone(),
            );
            assert_eq!(merge.clean_text(), git.clean, "{family:#?}\n{git:#?}");
        });
    }

    /// With our own diffs.
    #[test]
    fn merges_are_gits(
        families in prop::collection::vec(
            prop_oneof![family(REPETITIVE, 0..40, 2), family(DISTINCT, 0..40, 2)],
            BATCH,
        )
    ) {
        check_all(&families, |family, git| {
            let merge = merge3(&family.base, &family.variants[0], &family.variants[1]);
            assert_eq!(merge.clean_text(), git.clean, "{family:#?}\n{git:#?}\n{merge:#?}");
        });
    }
}
