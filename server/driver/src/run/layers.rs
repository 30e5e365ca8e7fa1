//! Layers of a workspace view, by content: the files that a task sees instead of the workspace's own.
//!
//! A layer is a manifest here, not a folder. The executor makes a folder from it, or uses the folder that an
//! earlier attempt left.

use std::collections::HashMap;

use bytes::Bytes;
use claudecluster_core::state::Goal;
use claudecluster_protocol::{
    AttemptId, BlobId, ErrorBody, FileMode, RelPath, TaskId,
    change::FileVersion,
    worker::{LayerMaker, LayerManifest, LayerRef},
};
use claudecluster_worker::executor::ContentSource;

use crate::workspace::{content_store::ContentStore, snapshot};

/// The layers of one job, the one that wins first.
#[derive(Clone, Default)]
pub(crate) struct JobLayers {
    layers: Vec<LayerRef>,
    manifests: HashMap<BlobId, Bytes>,
}

impl JobLayers {
    /// Adds a layer below the others. `made_by` is the attempt that left it.
    pub(crate) fn push(&mut self, manifest: &LayerManifest, made_by: Option<LayerMaker>) {
        let bytes = Bytes::from(manifest.to_bytes());
        let manifest = BlobId::of_bytes(&bytes);
        self.manifests.insert(manifest.clone(), bytes);
        self.layers.push(LayerRef { manifest, made_by });
    }

    /// Adds a layer of recorded versions; a file without one is deleted in it. Nothing is added for none.
    pub(crate) fn push_versions(
        &mut self,
        files: impl IntoIterator<Item = (RelPath, Option<FileVersion>)>,
    ) {
        let manifest = LayerManifest(files.into_iter().collect());
        if !manifest.0.is_empty() {
            self.push(&manifest, None);
        }
    }

    /// Adds the layer with the unsaved buffers, if there were any when the goal started. Blocks.
    pub(crate) fn push_seed(
        &mut self,
        contents: &ContentStore,
        goal: &Goal,
    ) -> Result<(), ErrorBody> {
        if goal.unsaved.is_empty() {
            return Ok(());
        }
        let manifest = snapshot::load_goal_snapshot(contents.store(), goal.snapshot.as_ref())?;
        let unsaved = manifest.unsaved();
        self.push_versions(unsaved.map(|(path, version)| (path.clone(), Some(version.clone()))));
        Ok(())
    }

    /// Adds the layers of tasks that succeeded, the latest first. The folder that such a task left holds what
    /// version control ignores as well, so that what was built upstream need not be built again.
    pub(crate) fn push_upstream(&mut self, goal: &Goal, tasks: &[TaskId]) {
        for id in tasks.iter().rev() {
            let task = &goal.tasks[id];
            let changes = task.outcome().map(|outcome| outcome.changes.as_slice());
            let changes = changes.unwrap_or_default().iter();
            let files = changes.map(|change| (change.path.clone(), change.proposed.clone()));
            let made_by = task.attempts.last().map(|attempt| LayerMaker {
                task: id.clone(),
                attempt: attempt.id,
            });
            self.push(&LayerManifest(files.collect()), made_by);
        }
    }

    /// Returns the layers as a job names them.
    pub(crate) fn refs(&self) -> Vec<LayerRef> {
        self.layers.clone()
    }

    /// Returns the contents that a job with these layers may ask for.
    pub(crate) fn into_contents(self, contents: ContentStore) -> JobContents {
        JobContents {
            manifests: self.manifests,
            contents,
        }
    }
}

/// The contents that a job may ask for.
pub(crate) struct JobContents {
    manifests: HashMap<BlobId, Bytes>,
    contents: ContentStore,
}

impl ContentSource for JobContents {
    fn read(&self, id: &BlobId) -> Result<Option<Bytes>, ErrorBody> {
        if let Some(manifest) = self.manifests.get(id) {
            return Ok(Some(manifest.clone()));
        }
        let version = FileVersion {
            blob: id.clone(),
            mode: FileMode::Regular,
        };
        Ok(Some(self.contents.load(&version)?.bytes))
    }
}

/// Returns the tasks that an attempt builds on.
pub(crate) fn upstream_tasks(goal: &Goal, task: &TaskId, attempt: AttemptId) -> Vec<TaskId> {
    let started = goal.tasks[task].attempts.iter().find(|a| a.id == attempt);
    started.map(|a| a.upstream.clone()).unwrap_or_default()
}
