//! The files in which plans of goals are opened.
//!
//! A file is written once and never again: from then on it is its reader's, who may have changed it, on
//! the disk or in an editor that has not saved it. Another plan of the same goal gets another file. Beside
//! each lies what was written into it, so that it is known what its reader was shown.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use claudecluster_protocol::{ErrorBody, GoalId, Plan};

/// What the files end in.
pub(super) const ENDING: &str = ".plan.json";

/// Where it is kept what was written.
const SHOWN: &str = "shown";

/// The file with a plan, which is written if there is none yet.
pub(super) fn find_or_write(
    folder: &Path,
    goal: &GoalId,
    plan: &Plan,
) -> Result<PathBuf, ErrorBody> {
    let failed = |e: io::Error| {
        ErrorBody::environment(format!("cannot write a plan to {}: {e}", folder.display()))
            .hint("check the free disk space and the permissions of the state folder")
    };
    let shown = folder.join(SHOWN);
    private_folder(&shown).map_err(failed)?;
    let mut text = serde_json::to_string_pretty(plan)
        .map_err(|e| ErrorBody::internal(format!("cannot encode the plan: {e}")))?;
    text.push('\n');
    for n in 1u32.. {
        let name = match n {
            1 => format!("{goal}{ENDING}"),
            _ => format!("{goal}.{n}{ENDING}"),
        };
        let (path, shown) = (folder.join(&name), shown.join(&name));
        match fs::read_to_string(&shown) {
            Ok(before) if before == text => {
                // Whoever has thrown it away and asks again gets it again.
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

/// The plan that was written into a file.
pub(super) fn shown(path: &Path) -> Result<Plan, ErrorBody> {
    let kept = path
        .parent()
        .zip(path.file_name())
        .map(|(folder, name)| folder.join(SHOWN).join(name));
    let unknown = || {
        ErrorBody::stale(format!(
            "cannot tell which plan {} was written from",
            path.display()
        ))
        .hint("open the goal's plan again")
    };
    let text = fs::read_to_string(kept.ok_or_else(unknown)?).map_err(|_| unknown())?;
    serde_json::from_str(&text).map_err(|_| unknown())
}

/// Removes the files of goals that are done, where they are as they were written: what somebody has
/// changed is theirs to remove.
pub(super) fn tidy(folder: &Path, is_done: impl Fn(&GoalId) -> bool) -> io::Result<()> {
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
        if untouched && is_done(&GoalId::new(goal)) {
            let _ = fs::remove_file(&path);
            fs::remove_file(&shown)?;
        }
    }
    Ok(())
}

fn private_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(folder)
}

/// Writes a private file that is not there yet, whole or not at all.
fn write_once(path: &Path, text: &str) -> io::Result<()> {
    // Two editors may ask at once; one daemon owns the folder.
    static TURN: AtomicU32 = AtomicU32::new(0);
    if path.symlink_metadata().is_ok() {
        return Ok(());
    }
    let turn = TURN.fetch_add(1, Ordering::Relaxed);
    let temporary = path.with_extension(format!("{turn}.new"));
    // What a daemon that died left.
    let _ = fs::remove_file(&temporary);
    let written = private_file(&temporary).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        // Unlike a rename it takes the place of nothing.
        fs::hard_link(&temporary, path)
    });
    let _ = fs::remove_file(&temporary);
    match written {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

fn private_file(path: &Path) -> io::Result<fs::File> {
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
    fn a_file_is_its_readers_once_it_is_written() {
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
        assert_eq!(shown(&path).unwrap(), plan("a"));

        fs::write(&path, "mine").unwrap();
        assert_eq!(write("a").0, "g1.plan.json");
        let (other, other_path) = write("b");
        assert_eq!(other, "g1.2.plan.json");
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
        assert_eq!(shown(&path).unwrap(), plan("a"));
        assert_eq!(shown(&other_path).unwrap(), plan("b"));

        fs::remove_file(&path).unwrap();
        assert_eq!(write("a").0, "g1.plan.json");
        assert!(fs::read_to_string(&path).unwrap().contains("\"id\": \"a\""));
        assert!(shown(&folder.join("g9.plan.json")).is_err());
    }

    #[test]
    fn files_of_goals_that_are_done_go_and_what_was_changed_stays() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("plans");
        tidy(&folder, |_| true).unwrap();
        let write = |goal: &str| {
            find_or_write(&folder, &GoalId::new(goal), &plan("a")).unwrap();
        };
        ["g1", "g2", "g3"].into_iter().for_each(write);
        fs::write(folder.join("g2.plan.json"), "mine").unwrap();
        tidy(&folder, |goal| goal.as_str() != "g3").unwrap();
        for (goal, stays) in [("g1", false), ("g2", true), ("g3", true)] {
            let path = folder.join(format!("{goal}{ENDING}"));
            assert_eq!(path.exists(), stays, "{goal}");
            assert_eq!(shown(&path).is_ok(), stays, "{goal}");
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
