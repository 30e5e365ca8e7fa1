//! Finds symbolic links that lead out of the workspace.

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::{Component, Path, PathBuf},
};

use crate::sandbox::layer::{LayerStack, StackEntry};

/// The most links one path may pass through, as in the kernel.
const MOST_LINKS: u32 = 40;

/// Returns whether the link at `path` with that target leads out of the workspace, directly or through other
/// links of the view. A link that leads nowhere leads nowhere outside.
pub(super) fn leads_outside(
    view: &LayerStack,
    workspace: &Path,
    path: &Path,
    target: &[u8],
) -> bool {
    let mut at: PathBuf = path.parent().unwrap_or(Path::new("")).into();
    // What is still to be walked, next part last.
    let mut ahead = Vec::new();
    let mut links = 0;
    if !follow_target(
        workspace,
        &mut at,
        &mut ahead,
        Path::new(OsStr::from_bytes(target)),
    ) {
        return true;
    }
    while let Some(part) = ahead.pop() {
        if part == ".." {
            if !at.pop() {
                return true;
            }
            continue;
        }
        at.push(part);
        let Ok(StackEntry::Symlink(real)) = view.at(&at) else {
            continue;
        };
        links += 1;
        let Ok(next) = real.read_link() else {
            continue;
        };
        at.pop();
        if links > MOST_LINKS {
            return false;
        }
        if !follow_target(workspace, &mut at, &mut ahead, Path::new(&next)) {
            return true;
        }
    }
    false
}

/// Adds a link's target to the remaining path; returns `false` if the target is outside.
fn follow_target(
    workspace: &Path,
    at: &mut PathBuf,
    ahead: &mut Vec<std::ffi::OsString>,
    target: &Path,
) -> bool {
    let relative = if target.is_absolute() {
        *at = PathBuf::new();
        let Ok(relative) = target.strip_prefix(workspace) else {
            return false;
        };
        relative
    } else {
        target
    };
    let parts = relative
        .components()
        .rev()
        .filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir));
    ahead.extend(parts.map(|part| part.as_os_str().to_owned()));
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_out_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path();
        std::fs::create_dir_all(top.join("a/b")).unwrap();
        let link = |name: &str, target: &str| {
            std::os::unix::fs::symlink(target, top.join(name)).unwrap();
        };
        link("out", "/etc");
        link("a/up", "..");
        link("loop", "loop");
        let view = LayerStack::new([top]).unwrap();
        let check = |path: &str, target: &str, expected: bool| {
            let target = target.replace("TOP", &top.display().to_string());
            let found = leads_outside(&view, top, Path::new(path), target.as_bytes());
            assert_eq!(found, expected, "{path} -> {target}");
        };
        check("l", "a/b", false);
        check("l", "..", true);
        check("a/l", "..", false);
        check("a/l", "../..", true);
        check("a/b/l", "../../x/../nowhere", false);
        check("l", "/etc/passwd", true);
        check("l", "TOP/a", false);
        check("l", "TOP/../x", true);
        check("l", "TOPPING", true);
        check("l", "out/passwd", true);
        check("l", "a/up/a", false);
        check("l", "a/up/../x", true);
        check("l", "loop/x", false);
        check("l", "", false);
    }
}
