//! Parts of the floors below that the command line wires together. It reaches them by the driver's
//! own exports, so that the arrows between crates stay as they are.

use std::{ffi::OsString, path::Path, sync::Arc};

use claudecluster_driver::{
    Driver, DriverConfig, Settings,
    store::Store,
    worker::{
        agent::{AgentInspection, AgentSetup, registry},
        sandbox, serve,
    },
};
use claudecluster_protocol::{ErrorBody, goal::EnvVar};

use crate::{
    config::Sources,
    failure::{Context, Exit},
    home::{Home, private_tempdir},
};

pub(crate) use claudecluster_driver::worker::sandbox::Probe;

/// Opens the store of a state folder and starts a driver on it.
pub(crate) async fn start_driver(
    home: &Home,
    sources: Sources,
    settings: Settings,
) -> Result<(Driver, Store), ErrorBody> {
    let dir = home
        .dir()
        .canonicalize()
        .context(format!("cannot use {}", home.dir().display()))?;
    let store = Store::open(&dir).map_err(ErrorBody::from)?;
    let config = DriverConfig {
        home: dir,
        launcher: launcher()?,
        settings,
        narrow: Arc::new(move |workspace: &Path| sources.narrowing(workspace)),
    };
    Ok((Driver::start(config, store.clone()).await?, store))
}

/// Our own program, which has the hidden subcommands.
fn launcher() -> Result<std::path::PathBuf, ErrorBody> {
    std::env::current_exe().context("cannot find this program's own file")
}

/// Runs a hidden subcommand, if that is what was asked for. Nothing may have made a second thread
/// before: one of them enters new namespaces.
pub(crate) fn hidden(mut args: impl Iterator<Item = OsString>) -> Option<i32> {
    match args.nth(1)?.to_str()? {
        "sandbox-exec" => Some(sandbox::exec_main(args)),
        serve::SUBCOMMAND => Some(serve::worker_main(args)),
        name => registry().run_subcommand(name),
    }
}

/// What sandboxes will be like. Tries it out in a folder that is removed again.
pub(crate) async fn probe_sandbox(home: &Home) -> Result<Probe, ErrorBody> {
    let scratch =
        private_tempdir(home.dir()).context(format!("cannot write in {}", home.dir().display()))?;
    Ok(sandbox::probe(&launcher()?, scratch.path()).await)
}

/// Looks at the installation of every agent that has one, preferred agents first, with the variables
/// `env` before those of this process.
pub(crate) async fn inspect_agents(
    settings: &Settings,
    env: Vec<EnvVar>,
) -> Result<Vec<AgentInspection>, ErrorBody> {
    let (settings, launcher) = (settings.agent_settings(), launcher()?);
    let inspected = tokio::task::spawn_blocking(move || {
        let setup = AgentSetup {
            settings: &settings,
            launcher: &launcher,
            env: &env,
        };
        registry()
            .iter()
            .filter_map(|agent| agent.inspect(&setup))
            .collect()
    });
    inspected
        .await
        .map_err(|error| ErrorBody::internal(error.to_string()))
}

/// The exit status of a hidden subcommand as the process's own.
pub(crate) fn exit_code(status: i32) -> std::process::ExitCode {
    u8::try_from(status).map_or(std::process::ExitCode::from(Exit::Failed as u8), Into::into)
}
