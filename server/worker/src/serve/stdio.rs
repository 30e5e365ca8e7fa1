//! A worker on its standard streams: the hidden subcommand `worker`.

use std::{ffi::OsString, os::unix::fs::DirBuilderExt as _, path::PathBuf, sync::Arc};

use super::{WorkerPlace, serve};
use crate::{agent::AgentSettings, link::over_lines};

/// The body of the hidden subcommand `worker`, given the arguments after it; gives the exit status.
///
/// `--state DIR` is the folder for everything the worker keeps. `--hide DIR` hides a folder from jobs, and
/// `--claude PROGRAM` names Claude Code.
pub fn worker_main(args: impl Iterator<Item = OsString>) -> i32 {
    match read_args(args).and_then(serve_stdio) {
        Ok(()) => 0,
        Err(words) => {
            let _ = std::io::Write::write_all(
                &mut std::io::stderr(),
                format!("worker: {words}\n").as_bytes(),
            );
            1
        }
    }
}

fn read_args(mut args: impl Iterator<Item = OsString>) -> Result<WorkerPlace, String> {
    let (mut state, mut hidden, mut agents) = (None, Vec::new(), AgentSettings::default());
    while let Some(name) = args.next() {
        let value = args.next().map(PathBuf::from);
        let value = value.ok_or_else(|| format!("{} needs a value", name.display()))?;
        match name.to_str() {
            Some("--state") => state = Some(value),
            Some("--hide") => hidden.push(value),
            Some("--claude") => agents.claude.program = Some(value),
            _ => return Err(format!("{} is not an option", name.display())),
        }
    }
    let state = state.ok_or("--state DIR is missing")?;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&state)
        .and_then(|()| state.canonicalize())
        .map_err(|error| format!("cannot use {}: {error}", state.display()))
        .and_then(|state| {
            let launcher = std::env::current_exe()
                .map_err(|error| format!("cannot find this program's own file: {error}"))?;
            let place = WorkerPlace::new(state, launcher).with_agents(agents);
            Ok(hidden.into_iter().fold(place, WorkerPlace::hide))
        })
}

fn serve_stdio(place: WorkerPlace) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start the runtime: {error}"))?;
    let served = runtime.block_on(async {
        let (link, mut tasks) = over_lines(tokio::io::stdin(), tokio::io::stdout());
        let served = serve(link, Arc::new(place)).await;
        tasks.written().await;
        served
    });
    // A thread may be blocked reading standard input for ever; the process ends without it.
    runtime.shutdown_background();
    served.map_err(|error| error.to_string())
}
