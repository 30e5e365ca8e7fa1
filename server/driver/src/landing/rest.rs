//! What is left of a decision because somebody types there: it lands when the typing has stopped or
//! moved on, or stays pending when it goes on for too long.

use std::{sync::Arc, time::Duration};

use claudecluster_protocol::{RelPath, Span, api::Decision};
use futures::{StreamExt, stream::FuturesUnordered};
use tokio::time::Instant;

use super::carry_out;
use crate::{shared::Shared, typing};

/// The longest that hunks wait for somebody to stop typing there.
const LONGEST: Duration = Duration::from_secs(30);

/// Lands what waits in these files once it can, unless a later decision overrules it.
pub(super) fn land(shared: &Arc<Shared>, decision: Decision, files: Vec<RelPath>, turn: u64) {
    let shared = shared.clone();
    tokio::spawn(async move {
        let deadline = Instant::now() + LONGEST;
        let mut files = files;
        while Instant::now() < deadline {
            pause(&shared, &decision, &files, deadline).await;
            if !shared.stands(&decision.goal_id, turn) {
                return;
            }
            files = match carry_out(&shared, &decision, Some(&files)).await {
                Ok((_, waiting)) if waiting.is_empty() => return,
                Ok((_, waiting)) => waiting,
                Err(error) => {
                    tracing::warn!(goal = %decision.goal_id, %error, "cannot apply changes that waited for typing to stop");
                    return;
                }
            };
        }
        tracing::info!(goal = %decision.goal_id, "hunks stay pending: the typing there does not stop");
    });
}

/// Until the typing in one of the files has stopped, or gone somewhere else.
async fn pause(shared: &Arc<Shared>, decision: &Decision, files: &[RelPath], deadline: Instant) {
    let Ok(goal) = shared.goal(&decision.goal_id) else {
        return;
    };
    let root = std::path::Path::new(&goal.spec.workspace);
    let mut moved: FuturesUnordered<_> = files
        .iter()
        .map(|file| moved_on(shared, root.join(file.to_path_buf())))
        .collect();
    // Too late is as good: the caller looks at the clock.
    let _ = tokio::time::timeout_at(deadline, moved.next()).await;
}

async fn moved_on(shared: &Arc<Shared>, path: std::path::PathBuf) {
    let Some(lines) = typing::lines(shared, &path) else {
        return;
    };
    while let Some((editor, document)) = shared.document(&path) {
        let edited = document.edited.as_ref();
        let same = edited.filter(|edited| typing::meet(&edited.lines, &lines));
        let Some(left) = same.and_then(|edited| typing::left(shared, edited)) else {
            return;
        };
        let left = Span(u64::try_from(left.as_millis()).unwrap_or(0) + 1);
        // Whether something came or the time ran out: looked at above.
        let _ = editor.changed(&path, document.version, left).await;
    }
}
