//! One proposal from the changes of a goal's tasks, and repair tasks for their conflicts.

pub(crate) mod file_merge;
pub(crate) mod fold;
pub(crate) mod repair_tasks;
pub(crate) mod scope;
pub(crate) mod secret_scan;

use claudecluster_core::{state::Goal, step::MergedProposal};
use claudecluster_protocol::ErrorBody;

use self::file_merge::FileMergeRules;

/// Builds the proposal of a goal whose tasks have all ended, with a repair for each dispute.
pub(crate) fn build_proposal(
    rules: &FileMergeRules,
    goal: &Goal,
) -> Result<MergedProposal, ErrorBody> {
    let folded = fold::fold_goal(rules, goal)?;
    let repairs = folded
        .disputes
        .into_iter()
        .enumerate()
        .filter_map(|(n, (of, files))| repair_tasks::repair_of_dispute(goal, n, of, files))
        .collect();
    Ok(MergedProposal {
        files: folded.files,
        repairs,
    })
}
