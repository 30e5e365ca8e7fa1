//! `claudecluster artifacts`

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use claudecluster_protocol::{ErrorBody, api::GoalArtifact};
use claudecluster_service::TypedCalls;

use super::CommandContext;
use crate::{
    cli::ArtifactsArgs,
    client::DaemonClient,
    exit::{CommandExit, CommandResult, ErrorContext as _},
    ui::text::{self, DIM, PLAIN, StyledLine},
};

pub(super) async fn run_artifacts(
    cx: &mut CommandContext,
    args: ArtifactsArgs,
) -> CommandResult<CommandExit> {
    let client = cx.client()?;
    let artifacts = client.artifacts(&args.goal).await?;
    if let Some(dir) = &args.download {
        for artifact in artifacts.iter().filter(|artifact| artifact.bytes.is_some()) {
            let path = download_artifact(&client, artifact, dir).await?;
            if !cx.ui.quiet && !cx.ui.json {
                cx.ui
                    .line(text::escape_controls(&path.display().to_string()))?;
            }
        }
    } else if !cx.ui.json {
        for artifact in &artifacts {
            cx.ui.line(artifact_line(artifact).styled())?;
        }
    }
    if cx.ui.json {
        for artifact in &artifacts {
            cx.ui.json(artifact)?;
        }
    }
    Ok(CommandExit::Done)
}

async fn download_artifact(
    client: &DaemonClient,
    artifact: &GoalArtifact,
    dir: &Path,
) -> Result<PathBuf, ErrorBody> {
    let bytes = client.blob(&artifact.id).await?;
    let path = dir.join(artifact_path(artifact));
    let parent = path.parent().unwrap_or(dir);
    fs::create_dir_all(parent).context(format!("cannot create {}", parent.display()))?;
    let failed = format!("cannot write {}", path.display());
    // A whole file or none, and through no link that lies there.
    let write = || -> std::io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(parent)?;
        file.write_all(&bytes)?;
        file.persist(&path)?;
        Ok(())
    };
    write().context(failed)?;
    Ok(path)
}

/// Returns the file for an artifact: in its task's folder, under a name that cannot leave it.
fn artifact_path(artifact: &GoalArtifact) -> PathBuf {
    let plain = |name: &str| -> String {
        let name: String = name
            .chars()
            .map(|c| if c == '/' || c.is_control() { '_' } else { c })
            .collect();
        match name.as_str() {
            "" | "." | ".." => "_".to_owned(),
            _ => name,
        }
    };
    let kind = plain(&artifact.kind);
    let id: String = artifact.id.as_str().chars().take(8).collect();
    let name = plain(&format!("{}-{}", plain(&id), artifact.name));
    match &artifact.task_id {
        Some(task) => PathBuf::from(plain(task.as_str())).join(kind).join(name),
        None => PathBuf::from(kind).join(name),
    }
}

fn artifact_line(artifact: &GoalArtifact) -> StyledLine {
    let id: String = artifact.id.as_str().chars().take(12).collect();
    let size = artifact.bytes.map_or("gone".to_owned(), text::size_text);
    let task = artifact.task_id.as_ref().map_or("", |task| task.as_str());
    StyledLine::new()
        .add(DIM, format!("{id}  "))
        .add(PLAIN, format!("{:<11} {size:>10}  ", artifact.kind))
        .add(DIM, format!("{task:<16} "))
        .add(PLAIN, &artifact.name)
}

#[cfg(test)]
mod tests {
    use claudecluster_protocol::BlobId;

    use super::*;

    #[test]
    fn names_do_not_leave_the_folder() {
        let artifact = GoalArtifact {
            id: BlobId::new("0123456789"),
            name: "../../etc/passwd".to_owned(),
            kind: "..".to_owned(),
            task_id: Some("a/b".into()),
            bytes: Some(1),
        };
        assert_eq!(
            artifact_path(&artifact),
            Path::new("a_b/_/01234567-.._.._etc_passwd")
        );
    }
}
