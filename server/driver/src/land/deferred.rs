//! Hunks that wait because somebody types there. They land when the typing has stopped or moved on,
//! or stay pending if it goes on for too long.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use claudecluster_protocol::{RelPath, Span, api::Decision};
use futures::{StreamExt, stream::FuturesUnordered};
use tokio::time::Instant;

use super::{decision::DecisionRunner, decision_epoch::DecisionEpochs};
use crate::workspace::{editor_registry::EditorRegistry, typing};

/// The longest that hunks wait for somebody to stop typing there.
const LONGEST: Duration = Duration::from_secs(30);

/// Lands the waiting hunks of these files once they can, unless a later decision supersedes them.
pub(super) async fn land_deferred(
    decisions: DecisionRunner,
    epochs: DecisionEpochs,
    decision: Decision,
    mut files: Vec<RelPath>,
    epoch: u64,
) {
    let deadline = Instant::now() + LONGEST;
    while Instant::now() < deadline {
        wait_for_pause(&decisions, &decision, &files, deadline).await;
        if !epochs.is_current(&decision.goal_id, epoch) {
            return;
        }
        files = match decisions.run_decision(&decision, Some(&files)).await {
            Ok((_, waiting)) if waiting.is_empty() => return,
            Ok((_, waiting)) => waiting,
            Err(error) => {
                tracing::warn!(%error, "cannot apply changes that waited for typing to stop");
                return;
            }
        };
    }
    tracing::info!("hunks stay pending: the typing there does not stop");
}

/// Waits until the typing in one of the files has stopped, or gone somewhere else.
async fn wait_for_pause(
    decisions: &DecisionRunner,
    decision: &Decision,
    files: &[RelPath],
    deadline: Instant,
) {
    let Ok(goal) = decisions.goals.goal(&decision.goal_id) else {
        return;
    };
    let root = Path::new(&goal.spec.workspace);
    let pause = decisions.config.settings.review.typing_pause;
    let mut paused: FuturesUnordered<_> = files
        .iter()
        .map(|file| typing_moved_on(&decisions.editors, root.join(file.to_path_buf()), pause))
        .collect();
    // Too late is as good: the caller looks at the clock.
    let _ = tokio::time::timeout_at(deadline, paused.next()).await;
}

async fn typing_moved_on(editors: &EditorRegistry, path: PathBuf, pause: Span) {
    let Some(lines) = typing::typed_lines(editors, &path, pause) else {
        return;
    };
    while let Some((editor, document)) = editors.document(&path) {
        let edited = document.edited.as_ref();
        let same = edited.filter(|edited| typing::meet(&edited.lines, &lines));
        let Some(left) = same.and_then(|edited| typing::remaining_pause(edited, pause)) else {
            return;
        };
        let left = Span(u64::try_from(left.as_millis()).unwrap_or(0) + 1);
        // Whether something came or the time ran out: looked at above.
        let _ = editor.changed(&path, document.version, left).await;
    }
}
