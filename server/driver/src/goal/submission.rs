//! A goal as it was submitted, checked and completed: its workspace, scope, selection and defaults.

use std::path::{Path, PathBuf};

use claudecluster_protocol::{ErrorBody, GoalSpec, RelPath, goal::GoalScopeKind};

use crate::{
    config::DriverConfig,
    goal::selection_anchor::anchor_selection,
    proposal::scope::parse_globs,
    run::agents,
    workspace::{disk, editor_registry::EditorRegistry, git},
};

/// Checks a goal and fills in defaults from the configuration and the open documents. Blocks on the
/// disk.
pub(crate) fn check_goal(
    config: &DriverConfig,
    editors: &EditorRegistry,
    mut spec: GoalSpec,
) -> Result<GoalSpec, ErrorBody> {
    let root = workspace_root(&config.home, &spec.workspace)?;
    spec.workspace = root.to_str().map(str::to_owned).ok_or_else(|| {
        ErrorBody::user(format!("the path {} is not UTF-8", root.display()))
            .with_hint("move the project to a folder whose path is valid UTF-8")
    })?;
    parse_globs(&spec.scope.globs)?;
    if spec.scope.kind == GoalScopeKind::Open && spec.scope.files.is_empty() {
        let open = editors.documents(&root);
        let inside = open
            .iter()
            .filter_map(|doc| doc.path.strip_prefix(&root).ok());
        spec.scope.files = inside
            .filter_map(|path| RelPath::from_path(path).ok())
            .collect();
        spec.scope.files.sort();
    }
    anchor_selection(editors, &root, &mut spec);
    agents::resolve_defaults(config, &mut spec)?;
    Ok(spec)
}

/// Returns the canonical workspace root. An error says why nothing can work there.
fn workspace_root(home: &Path, path: &str) -> Result<PathBuf, ErrorBody> {
    let given = Path::new(path);
    if !given.is_absolute() {
        return Err(ErrorBody::user(format!(
            "the workspace {path:?} is not an absolute path"
        )));
    }
    let refused = |error: std::io::Error| {
        ErrorBody::user(format!("cannot use {path} as a workspace: {error}"))
            .with_hint("change to the project folder, or name it with --workspace")
    };
    let root = given.canonicalize().map_err(refused)?;
    disk::readable_dir(&root).map_err(refused)?;
    if root.parent().is_none() {
        return Err(refused(std::io::Error::other(
            "it is the root of the file system",
        )));
    }
    if home.starts_with(&root) || root.starts_with(home) {
        return Err(ErrorBody::user(format!(
            "the workspace {} and the state folder {} overlap",
            root.display(),
            home.display()
        ))
        .with_hint("set CLAUDECLUSTER_HOME to a folder outside the workspace"));
    }
    // Refuses what git knows not to be a work tree.
    git::find_repository(&root)?;
    Ok(root)
}
