//! The daemon's log: the lines about a goal are found by the goal's id.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;

use crate::support::User;

const PLAN: &str = r#"{"goal": "x", "tasks": [{"id": "a", "run": "echo new > a.txt"}]}"#;

impl User {
    /// Returns the lines of the daemon's log. The daemon has to be stopped: it writes the log with a delay.
    pub(crate) fn log_lines(&self) -> Vec<String> {
        let files = fs::read_dir(self.state().join("logs")).unwrap();
        let mut files: Vec<_> = files.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
            .iter()
            .filter(|file| file.extension().is_some_and(|end| end == "log"))
            .filter(|file| {
                file.file_name()
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .starts_with("daemon.")
            })
            .flat_map(|file| {
                let text = fs::read_to_string(file).unwrap();
                text.lines().map(str::to_owned).collect::<Vec<_>>()
            })
            .collect()
    }

    /// Runs a command with a daemon that logs the lines of a filter.
    #[track_caller]
    fn run_logged(&self, filter: &str, args: &[&str]) {
        let mut command = self.command(args);
        let output = command.env("CLAUDECLUSTER_LOG", filter).output().unwrap();
        assert!(output.status.success(), "{args:?}: {output:?}");
    }
}

/// Returns the lines that carry all of these parts.
fn lines_with<'a>(lines: &[&'a str], parts: &[&str]) -> Vec<&'a str> {
    let has_all = |line: &&&str| parts.iter().all(|part| line.contains(part));
    lines.iter().filter(has_all).copied().collect()
}

#[test]
fn every_step_of_a_goal_is_found_by_its_id() {
    let user = User::new();
    user.write("a.txt", "old\n");
    user.write("plan.json", PLAN);
    user.run_logged("debug", &["run", "--plan", "plan.json", "--quiet"]);
    user.run_logged("debug", &["accept", "g1", "--quiet"]);
    user.run_logged("debug", &["daemon", "stop"]);

    let lines = user.log_lines();
    let of_goal: Vec<&str> = lines
        .iter()
        .map(String::as_str)
        .filter(|line| line.contains("goal=g1"))
        .collect();
    for (step, parts) in [
        ("submission", &["a goal is submitted"][..]),
        ("snapshot", &[r#"effect{name="snapshot" goal=g1}"#]),
        (
            "start of the attempt",
            &[r#"effect{name="attempt" goal=g1 task=a attempt=1}"#],
        ),
        ("session", &["task=a attempt=1", "the sandbox is ready"]),
        (
            "end of the attempt",
            &[r#"input{name="attempt" goal=g1 task=a attempt=1}"#],
        ),
        ("merge", &[r#"effect{name="merge" goal=g1}"#]),
        (
            "decision",
            &["decision{goal=g1", "verdict=Accept", "decided=1"],
        ),
        (
            "landing",
            &["decision{goal=g1", "path=a.txt", "landed=true"],
        ),
        (
            "record of the landing",
            &[r#"input{name="landing" goal=g1}"#],
        ),
    ] {
        let found = lines_with(&of_goal, parts);
        assert!(!found.is_empty(), "no line about the {step} in {lines:#?}");
    }
}

#[test]
fn no_line_about_work_of_a_goal_lacks_its_id() {
    let user = User::new();
    user.write("plan.json", PLAN);
    user.run_logged("debug", &["run", "--plan", "plan.json", "--quiet"]);
    user.run_logged("debug", &["accept", "g1", "--quiet"]);
    user.run_logged("debug", &["daemon", "stop"]);

    let lines = user.log_lines();
    let nameless: Vec<_> = lines
        .iter()
        .filter(|line| {
            line.contains("claudecluster_driver") || line.contains("claudecluster_worker")
        })
        .filter(|line| !line.contains("goal=g1"))
        .collect();
    // A daemon recovers and wakes for all goals at once.
    let for_all = [r#"input{name="recover"}"#, r#"input{name="tick"}"#];
    let unexpected: Vec<_> = nameless
        .iter()
        .filter(|line| !for_all.iter().any(|span| line.contains(span)))
        .collect();
    assert!(unexpected.is_empty(), "{unexpected:#?}");
}

#[test]
fn a_filter_that_hides_most_lines_keeps_the_id_in_the_others() {
    let user = User::new();
    user.write("plan.json", PLAN);
    let filter = "error,claudecluster_driver::land=debug";
    user.run_logged(filter, &["run", "--plan", "plan.json", "--quiet"]);
    user.run_logged(filter, &["accept", "g1", "--quiet"]);
    user.run_logged(filter, &["daemon", "stop"]);

    let lines = user.log_lines();
    assert!(!lines.is_empty());
    let nameless: Vec<_> = lines
        .iter()
        .filter(|line| !line.contains("goal=g1"))
        .collect();
    assert!(nameless.is_empty(), "{nameless:#?}");
}

/// Lists what lies below a folder, with the modes.
fn modes_below(dir: &std::path::Path, found: &mut Vec<(std::path::PathBuf, u32)>) {
    use std::os::unix::fs::MetadataExt as _;

    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let meta = fs::symlink_metadata(&path).unwrap();
        found.push((path.clone(), meta.mode() & 0o7777));
        if meta.is_dir() {
            modes_below(&path, found);
        }
    }
}

#[test]
fn nothing_in_the_state_folder_is_for_others_whatever_the_umask() {
    let user = User::new();
    user.write("p.json", PLAN);
    let mut command = std::process::Command::new("sh");
    let claudecluster = user.command(&[]);
    command
        .args(["-c", "umask 000; \"$0\" run --plan p.json --json"])
        .arg(claudecluster.get_program())
        .env_clear()
        .envs(
            claudecluster
                .get_envs()
                .filter_map(|(key, value)| Some((key, value?))),
        )
        .current_dir(user.project());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let mut found = Vec::new();
    modes_below(&user.state(), &mut found);
    // The daemon stays up, with everything that it has open.
    for name in [
        "daemon.json",
        "daemon.sock",
        "journal.db",
        "journal.db-wal",
        "logs",
        "lock",
    ] {
        let path = user.state().join(name);
        assert!(
            found.iter().any(|(found, _)| *found == path),
            "{name}: {found:#?}"
        );
    }
    let open: Vec<_> = found.iter().filter(|(_, mode)| mode & 0o077 != 0).collect();
    // Views of the workspace keep its modes, in folders that nobody else can enter.
    let goals = user.state().join("goals");
    let (views, open): (Vec<_>, Vec<_>) = open.into_iter().partition(|(path, _)| {
        let below = path.strip_prefix(&goals).ok();
        below.is_some_and(|below| {
            below.components().any(|part| {
                ["upper", "layers"]
                    .iter()
                    .any(|name| part.as_os_str() == *name)
            })
        })
    });
    assert!(open.is_empty(), "{open:#?}");
    for (view, _) in views {
        let private = view
            .ancestors()
            .skip(1)
            .take_while(|dir| dir.starts_with(&goals));
        let enclosed = private.filter_map(|dir| found.iter().find(|(path, _)| path == dir));
        assert!(
            enclosed.clone().any(|(_, mode)| mode & 0o077 == 0),
            "{view:?}"
        );
    }
}
