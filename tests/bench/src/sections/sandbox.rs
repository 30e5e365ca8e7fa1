//! A view of the workspace to work in, and what comes out of it, against a git worktree.

use std::{fs, path::Path, sync::Arc, time::Duration};

use claudecluster_worker::{
    changes::{self, ChangeLimits, TrackedFiles, ViewBase},
    launch::{ProgramLauncher, argv},
    sandbox::{ResourceGroups, Sandbox, SandboxChoice, SandboxSpec},
};

use crate::{
    options::Bench,
    output::Result,
    process,
    repo::{self, git, git_command},
    stats::{Samples, timed},
    table::{Row, Table, Target, Unit},
};

/// How many files are edited.
const EDITED: u32 = 10;

pub(crate) fn measure(bench: &Bench, table: &mut Table) -> Result {
    let root = repo::repository(&bench.dir, bench.large)?;
    let work = tempfile::Builder::new()
        .prefix("sandboxes-")
        .tempdir_in(&bench.dir)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (mut ready, mut collected) = (Samples::default(), Samples::default());
    let (mut added, mut diffed) = (Samples::default(), Samples::default());
    let (edit, groups) = (edits(bench), ResourceGroups::open());
    for round in 0..bench.rounds {
        let tree = work.path().join(format!("worktree-{round}"));
        let shown = tree.display().to_string();
        process::settle()?;
        let add = ["worktree", "add", "-q", "--detach", &shown];
        let (_, time) = timed(|| git(&root, &add))?;
        added.time(time);
        process::output(
            std::process::Command::new("sh")
                .args(["-c", &edit])
                .current_dir(&tree),
        )?;
        process::settle()?;
        for _ in 0..bench.often() {
            let (_, time) = timed(|| diff(&tree))?;
            diffed.time(time);
        }
        fs::remove_dir_all(&tree)?;
        git(&root, &["worktree", "prune"])?;
        process::settle()?;
        for number in 0..bench.often() {
            let layer = work.path().join(format!("layer-{round}-{number}"));
            let (one, other) = runtime.block_on(sandbox(bench, &groups, (&root, &layer), &edit))?;
            ready.time(one);
            collected.time(other);
        }
    }
    table.add(
        Row::new(
            format!("sandbox ready, {}", bench.large),
            Unit::Millis,
            ready,
        )
        .against("`git worktree add`", added)
        .target(Target::AtMost(30.0))
        .target(Target::Faster(100.0)),
    );
    table.add(
        Row::new(
            format!("change set of {EDITED} files"),
            Unit::Millis,
            collected,
        )
        .against("`git status`, `git diff` in the worktree", diffed)
        .target(Target::AtMost(20.0)),
    );
    Ok(())
}

/// A script that edits files all over the repository.
fn edits(bench: &Bench) -> String {
    let mut script = "set -e\n".to_owned();
    for n in 0..EDITED {
        let path = bench.large.path(n % bench.large.folders, n * 7);
        script.push_str(&format!("echo edited >> {path}\n"));
    }
    script
}

fn diff(tree: &Path) -> Result {
    process::output(&mut git_command(tree, &["status", "--porcelain"]))?;
    let text = process::output(&mut git_command(tree, &["diff", "HEAD"]))?;
    match text.matches("+edited").count() {
        count if count == EDITED as usize => Ok(()),
        count => Err(format!("{count} edits are in the diff").into()),
    }
}

/// From nothing to the end of the first command; then, after some work, from there to a change set.
async fn sandbox(
    bench: &Bench,
    groups: &Arc<ResourceGroups>,
    (root, layer): (&Path, &Path),
    edit: &str,
) -> Result<(Duration, Duration)> {
    let spec = SandboxSpec {
        preference: SandboxChoice::Overlay,
        groups: Some(groups.clone()),
        ..SandboxSpec::new(
            root.to_path_buf(),
            layer.to_path_buf(),
            bench.binary.clone(),
        )
    };
    let start = std::time::Instant::now();
    let sandbox = Sandbox::prepare(spec).await?;
    run(&sandbox, &["true"]).await?;
    let ready = start.elapsed();
    run(&sandbox, &["sh", "-c", edit]).await?;
    let start = std::time::Instant::now();
    let finished = sandbox.finish().await?;
    let base = ViewBase {
        workspace: root.to_path_buf(),
        lowers: Vec::new(),
        tracked: TrackedFiles::default(),
    };
    let set = changes::collect_changes(&finished.dir, &base, &ChangeLimits::default())?;
    let collected = start.elapsed();
    if set.changes.len() != EDITED as usize {
        return Err(format!("the change set has {} files", set.changes.len()).into());
    }
    Ok((ready, collected))
}

async fn run(sandbox: &Sandbox, words: &[&str]) -> Result {
    let output = sandbox
        .command(&argv(words.iter().copied()), &sandbox.base_env())
        .output()
        .await?;
    if output.status.success() {
        return Ok(());
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    Err(format!("{words:?} in the sandbox: {}: {errors}", output.status).into())
}
