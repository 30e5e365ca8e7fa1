//! What a job's session is started with: its variables without the login, and the way to the network.

use std::{
    ffi::OsString,
    io,
    net::{Ipv4Addr, TcpListener},
    sync::Arc,
};

use claudecluster_protocol::{
    ErrorBody, StopReason,
    goal::EnvVar,
    network::NetworkMode,
    worker::{JobEnv, WorkerJob},
};

use super::place::{NotPrepared, WorkerPlace};
use crate::{
    agent::{ProviderLogin, SessionChannels, registry},
    network::{DoorSetup, KeyBroker, ProviderHosts, TaskDoor, UpstreamProxies, is_proxy_variable},
    sandbox::NetworkDoor,
};

/// The session of a job, ready to be started. A job without one has a door at most.
pub(super) struct JobSession {
    /// The variables of the session. No key or token that a broker can add is among them.
    pub(super) env: Vec<(OsString, OsString)>,
    /// Serves the network of the job, or at least its broker.
    pub(super) door: Option<Arc<TaskDoor>>,
    /// Whether the broker has the session's login.
    brokered: bool,
}

impl JobSession {
    /// Takes the login out of the variables of a job's session, and makes the job's door with a broker of it. Call it
    /// within the runtime that serves them.
    pub(super) fn prepare(
        place: &WorkerPlace,
        job: &WorkerJob,
        channels: &SessionChannels,
    ) -> Result<Self, NotPrepared> {
        let mut variables = job.session_env.clone();
        let login = job.session.as_ref().and_then(|task| {
            let agent = registry().get(task.agent);
            agent.take_login(place.agents(), &mut variables.0)
        });
        let upstream = upstream_proxies(job);
        let broker = login
            .as_ref()
            .map(|login| make_broker(login, &job.session_env, &upstream))
            .transpose()?;
        let brokered = broker.is_some();
        let is_open = job.network.mode == NetworkMode::Open;
        let mut env = os_env(job, &variables);
        if is_open && !brokered {
            return Ok(Self {
                env,
                door: None,
                brokered,
            });
        }
        let addresses = match (&job.session, &login) {
            (None, _) => Vec::new(),
            (Some(_), Some(login)) => login.direct.clone(),
            (Some(task), None) => {
                let agent = registry().get(task.agent);
                agent.provider_addresses(&variables.0)
            }
        };
        let door = Arc::new(TaskDoor::new(DoorSetup {
            policy: &job.network,
            provider: ProviderHosts::read(&addresses),
            upstream,
            broker,
            channels,
        }));
        if let Some(mut port) = door.broker_port() {
            if is_open {
                port = listen_here(&door, port)?;
                reach_directly(&mut env);
            }
            env.extend(door.broker_variables(port));
        }
        Ok(Self {
            env,
            door: Some(door),
            brokered,
        })
    }

    /// Returns the door for the sandbox; `None` where the network is open to its programs.
    pub(super) fn sandbox_door(&self, job: &WorkerJob) -> Option<Arc<dyn NetworkDoor>> {
        let door = self.door.clone()?;
        (job.network.mode != NetworkMode::Open).then_some(door)
    }

    /// Returns whether the session needs a login of its own.
    pub(super) fn needs_login(&self) -> bool {
        !self.brokered
    }
}

fn make_broker(
    login: &ProviderLogin,
    variables: &JobEnv,
    upstream: &UpstreamProxies,
) -> Result<KeyBroker, NotPrepared> {
    let get = |name: &str| variables.get(name).map(str::to_owned);
    // Without a broker the session would have to have the login.
    KeyBroker::new(login, get, upstream).map_err(|words| NotPrepared {
        stop: StopReason::SpawnFailed,
        words,
    })
}

/// Returns the proxies of the user's environment.
fn upstream_proxies(job: &WorkerJob) -> UpstreamProxies {
    let (session, gates) = (&job.session_env, &job.gate_env);
    UpstreamProxies::from_variables(|name| {
        let given = session.get(name).or_else(|| gates.get(name));
        given
            .map(str::to_owned)
            .or_else(|| std::env::var(name).ok())
    })
}

/// Serves the broker on a free port of the machine's loopback address, for a session that shares it.
fn listen_here(door: &TaskDoor, port: u16) -> Result<u16, ErrorBody> {
    let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| Ok((listener.local_addr()?.port(), listener)));
    let (free, listener) = bound.map_err(|error: io::Error| {
        ErrorBody::environment(format!("cannot listen on the loopback address: {error}"))
    })?;
    door.listen(port, listener);
    Ok(free)
}

/// Keeps the user's proxies from being asked for the loopback address.
fn reach_directly(env: &mut Vec<(OsString, OsString)>) {
    for name in ["no_proxy", "NO_PROXY"] {
        let before = env.iter().rposition(|(known, _)| known == name);
        let before = before.map(|at| env.remove(at).1).unwrap_or_default();
        let mut hosts = OsString::from("127.0.0.1");
        if !before.is_empty() {
            hosts.push(",");
            hosts.push(before);
        }
        env.push((name.into(), hosts));
    }
}

/// Returns variables of a job as its programs get them. Where the network has a door, the user's own proxies are
/// reached by the door.
pub(super) fn os_env(job: &WorkerJob, env: &JobEnv) -> Vec<(OsString, OsString)> {
    let is_open = job.network.mode == NetworkMode::Open;
    let passes = |var: &&EnvVar| is_open || !is_proxy_variable(&var.name);
    let pairs = env.0.iter().filter(passes);
    pairs
        .map(|var| (var.name.clone().into(), var.value.clone().into()))
        .collect()
}
