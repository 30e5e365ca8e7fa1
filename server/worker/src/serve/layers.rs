//! From layers by name to folders.
//!
//! A layer that an attempt of this worker left is used as it is, with what version control ignores in it.
//! Any other is made from its manifest, once a goal, and holds exactly what the manifest says.

use std::{
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use claudecluster_protocol::{
    BlobId, ErrorBody, GoalId,
    worker::{LayerManifest, LayerRef},
};
use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::{ContentClient, FETCHES, place::WorkerPlace};
use crate::sandbox::{LayerFile, LayerState, write_layer};

/// Returns the folders of layers, in their order.
pub(crate) async fn resolve_layers(
    place: &WorkerPlace,
    goal: &GoalId,
    layers: &[LayerRef],
    contents: &ContentClient,
) -> Result<Vec<PathBuf>, ErrorBody> {
    let mut dirs = Vec::with_capacity(layers.len());
    for layer in layers {
        let own = layer.made_by.as_ref();
        let dir = match own.and_then(|maker| place.layer_of(goal, maker)) {
            Some(dir) => dir,
            None => make_from_manifest(place, goal, &layer.manifest, contents).await?,
        };
        // Two attempts that changed the same leave the same manifest. The upper one hides all of the other, and an
        // overlay refuses one folder twice.
        if !dirs.contains(&dir) {
            dirs.push(dir);
        }
    }
    Ok(dirs)
}

async fn make_from_manifest(
    place: &WorkerPlace,
    goal: &GoalId,
    id: &BlobId,
    contents: &ContentClient,
) -> Result<PathBuf, ErrorBody> {
    let dir = place.layers_dir(goal).join(id.as_str());
    if dir.is_dir() {
        return Ok(dir);
    }
    let manifest = fetch_content(contents, id).await?;
    let manifest = LayerManifest::from_bytes(&manifest)
        .map_err(|error| ErrorBody::internal(error.to_string()))?;
    let files: Vec<LayerFile> = stream::iter(manifest.0)
        .map(|(path, version)| async move {
            let state = match version {
                Some(version) => LayerState::Present {
                    bytes: fetch_content(contents, &version.blob).await?,
                    mode: version.mode,
                },
                None => LayerState::Deleted,
            };
            Ok::<_, ErrorBody>(LayerFile { path, state })
        })
        .buffered(FETCHES)
        .try_collect()
        .await?;
    let target = dir.clone();
    let written = tokio::task::spawn_blocking(move || write_whole_layer(&target, &files));
    written.await.unwrap_or_else(|_| {
        Err(ErrorBody::internal(
            "writing a layer failed for a reason of our own",
        ))
    })?;
    Ok(dir)
}

async fn fetch_content(contents: &ContentClient, id: &BlobId) -> Result<Bytes, ErrorBody> {
    let bytes = contents.get(id).await.ok_or_else(|| {
        ErrorBody::internal(format!("the artifact {id}, which a layer needs, is gone"))
    })?;
    if BlobId::of_bytes(&bytes) == *id {
        Ok(bytes)
    } else {
        Err(ErrorBody::internal(format!("the artifact {id} is damaged")))
    }
}

/// Writes a layer completely or not at all: two jobs may need the same one at the same time.
fn write_whole_layer(dir: &Path, files: &[LayerFile]) -> Result<(), ErrorBody> {
    let parent = dir.parent().unwrap_or(dir);
    let building = parent.join(format!(".building-{}", uuid::Uuid::new_v4().simple()));
    let refused = |error: String| {
        ErrorBody::environment(format!("cannot write a layer of the workspace: {error}"))
            .with_hint("free some space for the state folder")
    };
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(parent)
        .map_err(|error| refused(error.to_string()))?;
    write_layer(&building, files).map_err(|error| refused(error.to_string()))?;
    match std::fs::rename(&building, dir) {
        Ok(()) => Ok(()),
        Err(_) if dir.is_dir() => {
            claudecluster_files::remove_path(&building).map_err(|error| refused(error.to_string()))
        }
        Err(error) => Err(refused(error.to_string())),
    }
}
