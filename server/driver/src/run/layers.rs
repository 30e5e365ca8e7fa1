//! Layers of a workspace view: folders of files that a task sees instead of the workspace's own.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    sync::Arc,
};

use claudecluster_core::state::Goal;
use claudecluster_protocol::{AttemptId, ErrorBody, RelPath, TaskId, change::FileVersion};
use claudecluster_worker::{
    changes::FileContent,
    sandbox::{self, LayerFile, LayerState},
};

use crate::{
    blocking::run_blocking,
    run::running_goals::RunningGoals,
    workspace::{content_store::ContentStore, snapshot},
};

/// Writes and finds the layers of goals.
#[derive(Clone)]
pub(crate) struct GoalLayers {
    contents: ContentStore,
    running: RunningGoals,
}

impl GoalLayers {
    /// Returns the layers in the private folders of `running` goals.
    pub(crate) fn new(contents: ContentStore, running: RunningGoals) -> Self {
        Self { contents, running }
    }

    /// Returns the folder of a task's attempts and layers.
    pub(crate) fn task_dir(&self, goal: &Goal, task: &TaskId) -> PathBuf {
        let goal = self.running.goal_dir(&goal.id);
        goal.join("tasks").join(task.as_str())
    }

    /// Returns the layer with the unsaved buffers, and makes it on first use. Empty if everything was saved.
    pub(crate) async fn seed_layer(&self, goal: &Goal) -> Result<Vec<PathBuf>, ErrorBody> {
        if goal.unsaved.is_empty() {
            return Ok(Vec::new());
        }
        let dir = self.running.goal_dir(&goal.id).join("seed");
        let (contents, id, target) = (self.contents.clone(), goal.snapshot.clone(), dir.clone());
        run_blocking("writing the unsaved buffers", move || {
            if target.is_dir() {
                return Ok(());
            }
            let manifest = snapshot::load_goal_snapshot(contents.store(), id.as_ref())?;
            let files: Result<Vec<LayerFile>, ErrorBody> = manifest
                .unsaved()
                .map(|(path, version)| Ok(layer_file(path, Some(contents.load(version)?))))
                .collect();
            write_layer(&target, &files?)
        })
        .await?;
        Ok(vec![dir])
    }

    /// Returns the layers of tasks that succeeded, the latest first.
    pub(crate) async fn upstream_layers(
        &self,
        goal: &Arc<Goal>,
        tasks: &[TaskId],
    ) -> Result<Vec<PathBuf>, ErrorBody> {
        let (layers, goal, tasks) = (self.clone(), goal.clone(), tasks.to_vec());
        run_blocking("finding upstream layers", move || {
            tasks
                .iter()
                .rev()
                .map(|id| layers.upstream_layer(&goal, id))
                .collect()
        })
        .await
    }

    /// Returns the layer of a task that succeeded. It includes ignored files, so that builds need
    /// not be repeated. If it is gone, the recorded changes are written anew.
    fn upstream_layer(&self, goal: &Goal, task: &TaskId) -> Result<PathBuf, ErrorBody> {
        let dir = self.task_dir(goal, task);
        let attempt = goal.tasks[task]
            .attempts
            .last()
            .map(|a| a.id.to_string())
            .unwrap_or_default();
        let layer = dir.join(attempt).join("upper");
        if layer.is_dir() {
            return Ok(layer);
        }
        let again = dir.join("rebuilt");
        let changes = goal.tasks[task]
            .outcome()
            .map(|o| o.changes.clone())
            .unwrap_or_default();
        let files = changes
            .into_iter()
            .map(|change| (change.path, change.proposed));
        self.write_versions(&again, files)?;
        Ok(again)
    }

    /// Writes a layer of recorded versions; a file without one is deleted in it.
    pub(crate) fn write_versions(
        &self,
        dir: &Path,
        files: impl IntoIterator<Item = (RelPath, Option<FileVersion>)>,
    ) -> Result<(), ErrorBody> {
        let files: Result<Vec<LayerFile>, ErrorBody> = files
            .into_iter()
            .map(|(path, version)| {
                let content = self.contents.load_optional(version.as_ref())?;
                Ok(layer_file(&path, content))
            })
            .collect();
        write_layer(dir, &files?)
    }
}

/// Returns the tasks that an attempt builds on.
pub(crate) fn upstream_tasks(goal: &Goal, task: &TaskId, attempt: AttemptId) -> Vec<TaskId> {
    let started = goal.tasks[task].attempts.iter().find(|a| a.id == attempt);
    started.map(|a| a.upstream.clone()).unwrap_or_default()
}

/// Returns one file of a layer. FileContent `None` deletes the file in the layer.
pub(crate) fn layer_file(path: &RelPath, content: Option<FileContent>) -> LayerFile {
    let state = match content {
        Some(FileContent { bytes, mode }) => LayerState::Present { bytes, mode },
        None => LayerState::Deleted,
    };
    LayerFile {
        path: path.clone(),
        state,
    }
}

/// Writes a layer completely or not at all: two tasks may need the same one at the same time.
pub(crate) fn write_layer(dir: &Path, files: &[LayerFile]) -> Result<(), ErrorBody> {
    let parent = dir.parent().unwrap_or(dir);
    let building = parent.join(format!(".building-{}", uuid::Uuid::new_v4().simple()));
    let refused = |error: String| {
        ErrorBody::environment(format!("cannot write a layer of the workspace: {error}"))
            .hint("free some space for the state folder")
    };
    std::fs::create_dir_all(parent).map_err(|error| refused(error.to_string()))?;
    sandbox::write_layer(&building, files).map_err(|error| refused(error.to_string()))?;
    match std::fs::rename(&building, dir) {
        Ok(()) => Ok(()),
        Err(_) if dir.is_dir() => {
            std::fs::remove_dir_all(&building).map_err(|error| refused(error.to_string()))
        }
        Err(error) => Err(refused(error.to_string())),
    }
}

/// Deletes the files in a folder, except those named in `keep`.
pub(crate) async fn discard_files(dir: &Path, keep: &[&str]) {
    let dir = dir.to_owned();
    let keep: Vec<OsString> = keep.iter().map(OsString::from).collect();
    let done = run_blocking("tidying up", move || {
        let entries = std::fs::read_dir(&dir).into_iter().flatten().flatten();
        for entry in entries.filter(|entry| !keep.contains(&entry.file_name())) {
            let path = entry.path();
            let removed = match entry.file_type() {
                Ok(kind) if kind.is_dir() => std::fs::remove_dir_all(&path),
                _ => std::fs::remove_file(&path),
            };
            if let Err(error) = removed {
                tracing::warn!(path = %path.display(), %error, "cannot remove a leftover");
            }
        }
        Ok(())
    });
    if let Err(error) = done.await {
        tracing::warn!(%error, "cannot remove leftovers");
    }
}
