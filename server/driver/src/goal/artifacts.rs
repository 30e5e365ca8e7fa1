//! The artifacts of a goal: its snapshot, transcripts and proposed files.

use claudecluster_core::state::Goal;
use claudecluster_protocol::{BlobId, api::GoalArtifact};
use claudecluster_store::Store;

/// Lists the artifacts of a goal.
pub(crate) fn list_artifacts(store: &Store, goal: &Goal) -> Vec<GoalArtifact> {
    let mut found = Vec::new();
    let mut add = |id: &BlobId, name: String, kind: &str, task| {
        let bytes = store.blob_len(id).ok().flatten();
        found.push(GoalArtifact {
            id: id.clone(),
            name,
            kind: kind.to_owned(),
            task_id: task,
            bytes,
        });
    };
    if let Some(snapshot) = &goal.snapshot {
        add(
            snapshot,
            format!("{}-snapshot.json", goal.id),
            "snapshot",
            None,
        );
    }
    for (i, transcript) in goal.plan_transcripts.iter().enumerate() {
        let name = format!("{}-plan-{}.jsonl", goal.id, i + 1);
        add(transcript, name, "transcript", None);
    }
    for (id, task) in &goal.tasks {
        for attempt in &task.attempts {
            let outcome = attempt.outcome.as_ref();
            if let Some(transcript) = outcome.and_then(|outcome| outcome.transcript.as_ref()) {
                let name = format!("{}-{id}-{}.jsonl", goal.id, attempt.id);
                add(transcript, name, "transcript", Some(id.clone()));
            }
        }
    }
    for entry in goal.files.iter().filter(|entry| !entry.is_alternative()) {
        if let Some(version) = &entry.file.proposed {
            add(
                &version.blob,
                entry.file.path.as_str().to_owned(),
                "file",
                None,
            );
        }
    }
    found
}
