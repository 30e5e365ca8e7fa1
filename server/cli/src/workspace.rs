//! Finds the workspace of a command, and the files in it that the user names.

use std::{
    env,
    path::{Component, Path, PathBuf},
};

use claudecluster_protocol::{
    ErrorBody, RelPath,
    goal::{GoalScope, GoalScopeKind},
};

use crate::exit::ErrorContext;

/// Returns the workspace: `named`, else the git repository around the current folder, else that
/// folder.
///
/// This function runs no program: a repository must not run code before the user trusts it.
pub(crate) fn find_workspace(named: Option<&Path>) -> Result<PathBuf, ErrorBody> {
    let start = match named {
        Some(dir) => dir.to_owned(),
        None => env::current_dir().map_err(|e| {
            ErrorBody::user(format!("cannot use the current folder: {e}"))
                .with_hint("change to an existing folder, or name one with --workspace")
        })?,
    };
    let dir = start.canonicalize().map_err(|e| {
        ErrorBody::user(format!(
            "cannot use {} as a workspace: {e}",
            start.display()
        ))
        .with_hint("pass an existing folder to --workspace")
    })?;
    if !dir.is_dir() {
        return Err(
            ErrorBody::user(format!("{} is not a folder", start.display()))
                .with_hint("pass the project folder to --workspace"),
        );
    }
    if dir.components().any(|part| part.as_os_str() == ".git") {
        return Err(ErrorBody::user(format!(
            "{} is inside a repository's .git folder",
            dir.display()
        ))
        .with_hint("change to the project folder, or name it with --workspace"));
    }
    if let Some(bare) = dir.ancestors().find(|dir| is_bare(dir)) {
        return Err(ErrorBody::user(format!(
            "{} is a bare repository: it has no files to work on",
            bare.display()
        ))
        .with_hint("clone it and run this command in the clone"));
    }
    let root = match named {
        Some(_) => dir,
        None => git_toplevel(&dir).unwrap_or(dir),
    };
    refuse_too_wide(&root)?;
    Ok(root)
}

/// Returns the closest folder at or above `dir` that git calls a work tree.
fn git_toplevel(dir: &Path) -> Option<PathBuf> {
    dir.ancestors()
        .find(|dir| dir.join(".git").exists())
        .map(Path::to_owned)
}

fn is_bare(dir: &Path) -> bool {
    !dir.join(".git").exists()
        && dir.join("HEAD").is_file()
        && dir.join("objects").is_dir()
        && dir.join("refs").is_dir()
}

fn refuse_too_wide(root: &Path) -> Result<(), ErrorBody> {
    let home = env::var_os("HOME").and_then(|home| Path::new(&home).canonicalize().ok());
    let what = if root.parent().is_none() {
        "the root of the file system"
    } else if home.as_deref() == Some(root) {
        "your home folder"
    } else {
        return Ok(());
    };
    Err(ErrorBody::user(format!(
        "the workspace cannot be {what} ({})",
        root.display()
    ))
    .with_hint("change to the project folder, or name it with --workspace"))
}

/// Converts a path of the user to a path inside the workspace. The file need not exist.
pub(crate) fn relative_path(root: &Path, given: &Path) -> Result<RelPath, ErrorBody> {
    let outside = || {
        ErrorBody::user(format!(
            "{} is outside the workspace {}",
            given.display(),
            root.display()
        ))
        .with_hint("name a file in the workspace")
    };
    let absolute = match given.is_absolute() {
        true => given.to_owned(),
        false => env::current_dir()
            .context("cannot find the current folder")?
            .join(given),
    };
    let mut lexical = PathBuf::new();
    for part in absolute.components() {
        match part {
            Component::ParentDir => {
                lexical.pop();
            }
            Component::CurDir => {}
            other => lexical.push(other),
        }
    }
    // The workspace is canonical; what the user typed may go through a symbolic link.
    let canonical = lexical
        .ancestors()
        .find_map(|dir| {
            let rest = lexical.strip_prefix(dir).ok()?;
            Some(dir.canonicalize().ok()?.join(rest))
        })
        .unwrap_or_else(|| lexical.clone());
    let inside = lexical
        .strip_prefix(root)
        .or_else(|_| canonical.strip_prefix(root))
        .map_err(|_| outside())?;
    RelPath::from_path(inside).map_err(|_| outside())
}

/// Converts the value of `accept --file` to the path of a hunk or file. The value is relative to
/// the workspace, as lists show it, or to the current folder.
pub(crate) fn listed_or_relative(root: &Path, given: &Path) -> Result<RelPath, ErrorBody> {
    let from_here = relative_path(root, given);
    match RelPath::from_path(given) {
        // Outside the workspace's folder only the listed form makes sense.
        Ok(listed) if from_here.is_err() || root.join(given).exists() => Ok(listed),
        _ => from_here,
    }
}

/// Converts the values of `--file` to a goal's scope.
pub(crate) fn goal_scope(root: &Path, given: &[String]) -> Result<GoalScope, ErrorBody> {
    if given.is_empty() {
        return Ok(GoalScope::default());
    }
    let mut scope = GoalScope {
        kind: GoalScopeKind::Files,
        ..GoalScope::default()
    };
    for text in given {
        let is_glob = text.contains(['*', '?', '[', '{']) && !Path::new(text).exists();
        if is_glob {
            scope
                .globs
                .push(relative_path(root, Path::new(text))?.as_str().to_owned());
            continue;
        }
        if root == Path::new(text).canonicalize().unwrap_or_default() {
            scope.globs.push("**".to_owned());
            continue;
        }
        let path = relative_path(root, Path::new(text))?;
        if root.join(path.to_path_buf()).is_dir() {
            scope.globs.push(format!("{}/**", path.as_str()));
        } else {
            scope.files.push(path);
        }
    }
    Ok(scope)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn names_become_places_in_the_workspace() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("src")).unwrap();
        let inside = |name: &str| root.join(name).to_string_lossy().into_owned();

        let found = goal_scope(&root, &[inside("src"), inside("new.rs"), inside("*.md")]).unwrap();
        assert_eq!(found.globs, ["src/**", "*.md"]);
        assert_eq!(found.files, [RelPath::new("new.rs").unwrap()]);

        let error = goal_scope(&root, &["/etc/passwd".to_owned()]).unwrap_err();
        assert!(error.message.contains("outside the workspace"), "{error}");
        let error = goal_scope(&root, &[inside("../x")]).unwrap_err();
        assert!(error.message.contains("outside the workspace"), "{error}");
    }

    #[test]
    fn folders_that_are_no_workspace_say_so() {
        let dir = tempfile::tempdir().unwrap();
        let bare = dir.path().join("bare.git");
        for folder in ["objects", "refs"] {
            fs::create_dir_all(bare.join(folder)).unwrap();
        }
        fs::write(bare.join("HEAD"), "ref: refs/heads/main\n").unwrap();
        for (path, part) in [
            (bare.join("refs"), "bare repository"),
            (bare.join("HEAD"), "is not a folder"),
            (PathBuf::from("/"), "the root of the file system"),
            (dir.path().join("none"), "as a workspace: "),
        ] {
            let error = find_workspace(Some(&path)).unwrap_err();
            assert!(error.message.contains(part), "{error}");
        }
    }
}
