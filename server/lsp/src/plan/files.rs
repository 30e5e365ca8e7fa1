//! The files of opened plans of goals.
//!
//! A file is written once: from then on it belongs to the user, who may have edited it on disk or in an
//! editor that has not saved it. A later plan of the same goal gets another file. A copy beside each
//! file keeps the original text, which is the plan that the user was shown.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use claudecluster_protocol::{ErrorBody, GoalId, Plan};

use crate::private_files::create_private_folder;

/// The ending of the files.
pub(super) const GOAL_ENDING: &str = ".plan.json";

/// The folder of the copies that keep the original texts.
const SHOWN: &str = "shown";

/// Returns the file of a plan. Writes the file if there is none yet.
pub(super) fn find_or_write(
    folder: &Path,
    goal: &GoalId,
    plan: &Plan,
) -> Result<PathBuf, ErrorBody> {
    let failed = |e: io::Error| {
        ErrorBody::environment(format!("cannot write a plan to {}: {e}", folder.display()))
            .with_hint("check the free disk space and the permissions of the state folder")
    };
    let shown = folder.join(SHOWN);
    create_private_folder(&shown).map_err(failed)?;
    let mut text = serde_json::to_string_pretty(plan)
        .map_err(|e| ErrorBody::internal(format!("cannot encode the plan: {e}")))?;
    text.push('\n');
    for n in 1u32.. {
        let name = match n {
            1 => format!("{goal}{GOAL_ENDING}"),
            _ => format!("{goal}.{n}{GOAL_ENDING}"),
        };
        let (path, shown) = (folder.join(&name), shown.join(&name));
        match fs::read_to_string(&shown) {
            Ok(before) if before == text => {
                // A file that the user has deleted is written again.
                write_once(&path, &text).map_err(failed)?;
                return Ok(path);
            }
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                write_once(&shown, &text).map_err(failed)?;
                write_once(&path, &text).map_err(failed)?;
                return Ok(path);
            }
            Err(e) => return Err(failed(e)),
        }
    }
    Err(ErrorBody::internal("no free file name for the plan"))
}

/// Reads the plan that a file was written with.
pub(super) fn read_shown(path: &Path) -> Result<Plan, ErrorBody> {
    let kept = path
        .parent()
        .zip(path.file_name())
        .map(|(folder, name)| folder.join(SHOWN).join(name));
    let unknown = || {
        ErrorBody::stale(format!(
            "cannot tell which plan {} was written from",
            path.display()
        ))
        .with_hint("open the goal's plan again")
    };
    let text = fs::read_to_string(kept.ok_or_else(unknown)?).map_err(|_| unknown())?;
    serde_json::from_str(&text).map_err(|_| unknown())
}

/// Removes the files of finished goals that still have their original text.
pub(super) fn remove_unedited(
    folder: &Path,
    is_finished: impl Fn(&GoalId) -> bool,
) -> io::Result<()> {
    let written = match fs::read_dir(folder.join(SHOWN)) {
        Ok(written) => written,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(e),
    };
    for entry in written {
        let shown = entry?.path();
        let Some(name) = shown.file_name().and_then(|name| name.to_str()) else {
            continue;
        };
        let goal = name.split('.').next().unwrap_or_default();
        let path = folder.join(name);
        let untouched = match fs::read(&path) {
            Ok(text) => fs::read(&shown)? == text,
            Err(e) => e.kind() == io::ErrorKind::NotFound,
        };
        if untouched && is_finished(&GoalId::new(goal)) {
            let _ = fs::remove_file(&path);
            fs::remove_file(&shown)?;
        }
    }
    Ok(())
}

/// Writes a private file that does not exist yet, as a whole or not at all.
fn write_once(path: &Path, text: &str) -> io::Result<()> {
    // Two editors may open a plan at once; one daemon owns the folder.
    static TURN: AtomicU32 = AtomicU32::new(0);
    if path.symlink_metadata().is_ok() {
        return Ok(());
    }
    let turn = TURN.fetch_add(1, Ordering::Relaxed);
    let temporary = path.with_extension(format!("{turn}.new"));
    // A daemon that crashed may have left the file.
    let _ = fs::remove_file(&temporary);
    let written = create_private_file(&temporary).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        // Unlike a rename, a hard link replaces no file.
        fs::hard_link(&temporary, path)
    });
    let _ = fs::remove_file(&temporary);
    match written {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

fn create_private_file(path: &Path) -> io::Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.write(true).create_new(true).open(path)
}

#[cfg(test)]
mod tests {
    use claudecluster_protocol::TaskSpec;

    use super::*;

    fn plan(task: &str) -> Plan {
        Plan {
            tasks: vec![TaskSpec::new(task, "do it")],
            ..Plan::default()
        }
    }

    #[test]
    fn a_file_is_written_once() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("plans");
        let goal = GoalId::new("g1");
        let write = |task: &str| {
            let path = find_or_write(&folder, &goal, &plan(task)).unwrap();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, path)
        };
        let (name, path) = write("a");
        assert_eq!(name, "g1.plan.json");
        assert_eq!(read_shown(&path).unwrap(), plan("a"));

        fs::write(&path, "mine").unwrap();
        assert_eq!(write("a").0, "g1.plan.json");
        let (other, other_path) = write("b");
        assert_eq!(other, "g1.2.plan.json");
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
        assert_eq!(read_shown(&path).unwrap(), plan("a"));
        assert_eq!(read_shown(&other_path).unwrap(), plan("b"));

        fs::remove_file(&path).unwrap();
        assert_eq!(write("a").0, "g1.plan.json");
        assert!(fs::read_to_string(&path).unwrap().contains("\"id\": \"a\""));
        assert!(read_shown(&folder.join("g9.plan.json")).is_err());
    }

    #[test]
    fn unedited_files_of_finished_goals_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("plans");
        remove_unedited(&folder, |_| true).unwrap();
        let write = |goal: &str| {
            find_or_write(&folder, &GoalId::new(goal), &plan("a")).unwrap();
        };
        ["g1", "g2", "g3"].into_iter().for_each(write);
        fs::write(folder.join("g2.plan.json"), "mine").unwrap();
        remove_unedited(&folder, |goal| goal.as_str() != "g3").unwrap();
        for (goal, stays) in [("g1", false), ("g2", true), ("g3", true)] {
            let path = folder.join(format!("{goal}{GOAL_ENDING}"));
            assert_eq!(path.exists(), stays, "{goal}");
            assert_eq!(read_shown(&path).is_ok(), stays, "{goal}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn files_are_private_and_links_are_not_followed() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let plans = folder.path().join("plans");
        fs::create_dir(&plans).unwrap();
        let target = folder.path().join("target");
        std::os::unix::fs::symlink(&target, plans.join("g1.plan.json")).unwrap();
        find_or_write(&plans, &GoalId::new("g1"), &plan("a")).unwrap();
        assert!(!target.exists());
        let path = find_or_write(&plans, &GoalId::new("g2"), &plan("a")).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(&plans.join(SHOWN)), 0o700);
    }
}
