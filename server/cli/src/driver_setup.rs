//! Builds the driver from the crates below it. It names these crates by the driver's own exports,
//! so that the dependencies between crates stay as they are.

use std::{ffi::OsString, path::Path, sync::Arc};

use claudecluster_driver::{
    Driver, DriverConfig, DriverSettings,
    store::Store,
    worker::{
        agent::{AgentInspection, AgentSetup, registry},
        sandbox,
        serve::{self, HiddenFolders},
    },
};
use claudecluster_protocol::{ErrorBody, goal::EnvVar, worker::SandboxChoice};

use crate::{
    config::ConfigSources,
    exit::{CommandExit, ErrorContext},
    folder_registry::FolderRegistry,
    home::{Home, private_tempdir},
};

pub(crate) use claudecluster_driver::worker::sandbox::SandboxProbe;

/// Opens the store of a state folder and starts a driver on it.
pub(crate) async fn start_driver(
    home: &Home,
    sources: ConfigSources,
    settings: DriverSettings,
    folders: FolderRegistry,
) -> Result<(Driver, Store), ErrorBody> {
    let dir = home
        .dir()
        .canonicalize()
        .context(format!("cannot use {}", home.dir().display()))?;
    let store = Store::open(&dir).map_err(ErrorBody::from)?;
    let own = sources.clone();
    let config = DriverConfig {
        home: dir,
        launcher: own_executable()?,
        settings,
        restrictions: Arc::new(move |workspace: &Path| sources.narrowing(workspace)),
        keep_host: Arc::new(move |host: &str| own.add_to_list("network.allow", host)),
        hidden: HiddenFolders::new(move || folders.list()),
    };
    Ok((Driver::start(config, store.clone()).await?, store))
}

/// Returns the path of this program, which has the hidden subcommands.
fn own_executable() -> Result<std::path::PathBuf, ErrorBody> {
    std::env::current_exe().context("cannot find the path of this program")
}

/// Runs the hidden subcommand that the arguments name, if they name one. No second thread may exist
/// before this call: one of the subcommands enters new namespaces.
pub(crate) fn run_hidden_command(mut args: impl Iterator<Item = OsString>) -> Option<i32> {
    match args.nth(1)?.to_str()? {
        "sandbox-exec" => Some(sandbox::exec_main(args)),
        serve::SUBCOMMAND => Some(serve::worker_main(args)),
        name => registry().run_subcommand(name),
    }
}

/// Tries a sandbox in a temporary folder, and returns its kind.
pub(crate) async fn probe_sandbox(
    home: &Home,
    preference: SandboxChoice,
) -> Result<SandboxProbe, ErrorBody> {
    let scratch =
        private_tempdir(home.dir()).context(format!("cannot write to {}", home.dir().display()))?;
    Ok(sandbox::probe(&own_executable()?, scratch.path(), preference).await)
}

/// Says by what each limit of a task holds on this machine.
pub(crate) fn describe_limits(settings: &DriverSettings) -> String {
    sandbox::describe_limits(&settings.limits.resources())
}

/// Inspects the installation of every agent that has one, preferred agents first. The variables
/// `env` come before those of this process.
pub(crate) async fn inspect_agents(
    settings: &DriverSettings,
    env: Vec<EnvVar>,
) -> Result<Vec<AgentInspection>, ErrorBody> {
    let (settings, launcher) = (settings.agent_settings(), own_executable()?);
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

/// Converts the exit status of a hidden subcommand to the exit code of the process.
pub(crate) fn process_exit_code(status: i32) -> std::process::ExitCode {
    u8::try_from(status).map_or(
        std::process::ExitCode::from(CommandExit::Failed as u8),
        Into::into,
    )
}
