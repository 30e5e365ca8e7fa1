//! The folders and mounts of the machine that a view treats differently from the rest.

use std::{
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use super::{
    mount_table::unescape_path,
    overlay::{OverlayFolders, clone_tree, open_folder},
    supervise::{NamedStep, StepError},
    view::{SandboxView, ViewBacking},
};

/// The parts of `/run` that programs need: name resolution, and the programs of some systems.
/// The rest are sockets of services that act with the user's rights outside the sandbox.
const RUN_KEEPS: [&str; 4] = [
    "/run/resolvconf",
    "/run/current-system",
    "/run/wrappers",
    "/run/opengl-driver",
];

/// Those with services that look up names, which programs without a network must not reach: a name can carry
/// what was read here.
const RUN_RESOLVERS: [&str; 2] = ["/run/systemd/resolve", "/run/nscd"];

/// Variables that name package caches, which programs write while they work.
const CACHES: [&str; 3] = ["CARGO_HOME", "GOPATH", "GRADLE_USER_HOME"];

/// A folder whose writes are discarded with the view.
pub(super) struct DiscardedFolder {
    pub(super) target: PathBuf,
    pub(super) lower: OwnedFd,
    pub(super) own: OverlayFolders,
    /// The upper folder of a temporary folder as a mount, used if no overlay can be made. Other folders
    /// then stay read-only.
    pub(super) plain: Option<OwnedFd>,
}

/// A mount below a folder that is about to be covered by an overlay, which would not show it.
pub(super) struct NestedMount {
    pub(super) target: PathBuf,
    pub(super) tree: OwnedFd,
    /// Inside the workspace: what makes an overlay of its own.
    pub(super) layers: Option<(Vec<OwnedFd>, OverlayFolders)>,
}

/// Lists the folders whose writes are discarded with the view:
///
/// - the home folder and the package caches outside of it, so that tools can lock and fill them and
///   nothing leaks out;
/// - the temporary folders, so that files the user names in a prompt can be read and parallel workers do
///   not see each other.
pub(super) fn discarded_folders(
    view: &SandboxView,
    workspace: &Path,
) -> Result<Vec<DiscardedFolder>, StepError> {
    let mut candidates = vec![
        ("tmp".to_owned(), Some("/tmp".into()), true),
        ("vartmp".to_owned(), Some("/var/tmp".into()), true),
        (
            "home".to_owned(),
            view.home.clone().map(PathBuf::from),
            false,
        ),
    ];
    for variable in CACHES {
        let path = std::env::var_os(variable).map(PathBuf::from);
        candidates.push((variable.to_lowercase(), path, false));
    }
    let mut discards: Vec<DiscardedFolder> = Vec::new();
    for (name, path, temporary) in candidates {
        let Some(target) = path.and_then(|path| path.canonicalize().ok()) else {
            continue;
        };
        let covered = target.starts_with(workspace)
            || target == Path::new("/")
            || discards
                .iter()
                .any(|d| target.starts_with(&d.target) && !temporary && name != "home");
        let Ok(lower) = open_folder(&target) else {
            continue;
        };
        if covered || discards.iter().any(|d| d.target == target) {
            continue;
        }
        let upper = view.scratch(&name);
        let own = OverlayFolders::make(view, &upper, &name)?;
        if !temporary {
            // Some programs refuse a home folder that others may enter.
            let like =
                |meta: std::fs::Metadata| std::fs::set_permissions(&upper, meta.permissions());
            std::fs::metadata(&target)
                .and_then(like)
                .step(|| format!("create a cover for {}", target.display()))?;
        }
        let plain = if temporary {
            Some(clone_tree(&upper, false)?)
        } else {
            None
        };
        discards.push(DiscardedFolder {
            target,
            lower,
            own,
            plain,
        });
    }
    Ok(discards)
}

/// Lists the mounts below the folders that will be covered. A user namespace locks them in place; then an overlay over
/// the workspace is impossible where it has any, and those elsewhere stay as they are.
pub(super) fn nested_mounts(
    view: &SandboxView,
    workspace: &Path,
    discards: &[DiscardedFolder],
    privileged: bool,
) -> Result<Vec<NestedMount>, StepError> {
    let overlay = matches!(view.backing, ViewBacking::Overlay(_));
    let mut nested = Vec::new();
    for target in mount_points()? {
        let below = |top: &Path| target != top && target.starts_with(top);
        let in_workspace = below(workspace);
        if in_workspace && overlay && !privileged {
            let why = format!("{} is a separate mount", target.display());
            return Err(io::Error::other(why)).step(|| {
                "only root can create an overlay over a workspace that contains mounts".into()
            });
        }
        // What is mounted in the workspace is in the copy already.
        let covered = if in_workspace {
            overlay
        } else {
            discards.iter().any(|discard| below(&discard.target))
        };
        if !covered || !privileged {
            continue;
        }
        // A mount that cannot be cloned, such as a broken network share, is left out.
        if let Ok(tree) = clone_tree(&target, false) {
            let layers = nested_layers(view, &target, nested.len()).filter(|_| in_workspace);
            nested.push(NestedMount {
                target,
                tree,
                layers,
            });
        }
    }
    Ok(nested)
}

/// Opens the parts of `/run` that the view keeps; `closed` says that it has no network.
pub(super) fn kept_run_places(closed: bool) -> Vec<(PathBuf, OwnedFd)> {
    let mut places: Vec<PathBuf> = RUN_KEEPS.into_iter().map(PathBuf::from).collect();
    if !closed {
        places.extend(RUN_RESOLVERS.into_iter().map(PathBuf::from));
    }
    places.extend(Path::new("/etc/resolv.conf").canonicalize());
    if let Some(path) = std::env::var_os("PATH") {
        places.extend(std::env::split_paths(&path));
    }
    places.retain(|place| place.starts_with("/run") && place.exists());
    places.sort_unstable();
    // A folder brings what is below it.
    places.dedup_by(|later, kept| later.starts_with(&*kept));
    let opened = places.into_iter().map(|place| {
        let tree = clone_tree(&place, true).ok()?;
        Some((place, tree))
    });
    opened.flatten().collect()
}

/// Lists the mount points of the machine, outermost first.
fn mount_points() -> Result<Vec<PathBuf>, StepError> {
    let table = std::fs::read("/proc/self/mountinfo").step(|| "read the table of mounts".into())?;
    let mut points: Vec<PathBuf> = table
        .split(|&b| b == b'\n')
        .filter_map(|line| line.split(|&b| b == b' ').nth(4))
        .map(unescape_path)
        .collect();
    points.sort_unstable();
    points.dedup();
    Ok(points)
}

/// The layers of an overlay over a mount inside the workspace. What is written there belongs to the same
/// layer as everything else. `None` where it has to stay read-only.
fn nested_layers(
    view: &SandboxView,
    target: &Path,
    number: usize,
) -> Option<(Vec<OwnedFd>, OverlayFolders)> {
    let ViewBacking::Overlay(lowers) = &view.backing else {
        return None;
    };
    let below = target.strip_prefix(Path::new(&view.workspace)).ok()?;
    let mut stack: Vec<_> = lowers
        .iter()
        .filter_map(|l| open_folder(&Path::new(l).join(below)).ok())
        .collect();
    stack.push(open_folder(target).ok()?);
    let upper = nested_upper(view, below).ok()?;
    let own = OverlayFolders::make(view, &upper, &format!("nested{number}")).ok()?;
    Some((stack, own))
}

/// A folder in the attempt's layer, and its parents, with the modes of those they will cover.
fn nested_upper(view: &SandboxView, below: &Path) -> io::Result<PathBuf> {
    let (mut real, mut upper) = (PathBuf::from(&view.workspace), view.upper());
    for part in below.components() {
        real.push(part);
        upper.push(part);
        let meta = std::fs::metadata(&real)?;
        match std::fs::create_dir(&upper) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            made => {
                made?;
                std::fs::set_permissions(&upper, meta.permissions())?;
            }
        }
    }
    Ok(upper)
}
