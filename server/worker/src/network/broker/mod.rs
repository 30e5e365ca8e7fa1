//! The broker of a job's login: adds the key or token to the session's requests, so that the session never has it.
//!
//! A port inside takes plain HTTP. Each request goes on to the provider's base URL, with the placeholder that the
//! session was given replaced by the real key or token. The placeholder is new for each job, and a request
//! without it is refused, so it also says that a request comes from the job.
//!
//! Architecture invariants:
//! - The login goes to the host of the base URL and to no other, whatever a request says. No redirect is followed.
//! - Only what the agent has named may be asked ([`ProviderLogin::paths`]).
//! - Nothing is held back: bodies pass as they come, in both directions.

mod forward;
mod headers;
mod paths;
mod upstream;

use std::{ffi::OsString, io, sync::Arc, time::Duration};

use claudecluster_protocol::{
    goal::EnvVar,
    network::{NetworkMode, NetworkPolicy},
};
use http::HeaderValue;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use url::Url;

use self::{
    headers::LoginHeaders,
    paths::AskedPaths,
    upstream::{ProviderConnection, ProviderTls},
};
use super::{
    dial::HostDialer, host::HostPort, ledger::TrafficLedger, provider::ProviderHosts,
    questions::HostQuestions, rules::NetworkRules, upstream::UpstreamProxies,
};
use crate::agent::{ProviderLogin, SessionClocks};

/// Variables with files of certificates that the user trusts beside those of the system.
const CERTIFICATES: [&str; 2] = ["NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE"];

/// Adds the login of one job to the requests of its session.
#[derive(Debug)]
pub struct KeyBroker {
    provider: ProviderBase,
    login: LoginHeaders,
    paths: AskedPaths,
    dialer: HostDialer,
    tls: ProviderTls,
    address_variable: &'static str,
    variables: Vec<EnvVar>,
}

/// Where requests go.
#[derive(Clone, Debug)]
struct ProviderBase {
    host: HostPort,
    /// Whether it is spoken to without encryption.
    is_plain: bool,
    /// The value of `Host`.
    authority: HeaderValue,
    /// The path of the base URL, without a slash at its end.
    path: String,
}

impl KeyBroker {
    /// Makes the broker of a login. `get` returns variables of the session; `upstream` are the proxies of the user's
    /// environment.
    ///
    /// # Errors
    ///
    /// Says what is wrong with the base URL, or with a key.
    pub fn new(
        login: &ProviderLogin,
        get: impl Fn(&str) -> Option<String>,
        upstream: &UpstreamProxies,
    ) -> Result<Self, String> {
        let name = login.address_variable;
        let provider = ProviderBase::read(&login.base_url)
            .map_err(|why| format!("the provider's address cannot be used ({name}): {why}"))?;
        let named = ProviderHosts::read(std::slice::from_ref(&login.base_url));
        let is_own = !named.loopback.is_empty();
        let policy = NetworkPolicy {
            mode: NetworkMode::Closed,
            loopback: named.loopback,
            ..NetworkPolicy::default()
        };
        Ok(Self {
            login: LoginHeaders::new(login)?,
            paths: AskedPaths::new(&provider.path, login.paths),
            dialer: HostDialer {
                rules: NetworkRules::new(&policy, &named.rules),
                // Nobody is asked.
                questions: HostQuestions::new(
                    None,
                    SessionClocks::default(),
                    Duration::ZERO,
                    CancellationToken::new(),
                ),
                // A proxy does not lead back to this machine.
                upstream: if is_own {
                    UpstreamProxies::default()
                } else {
                    upstream.clone()
                },
            },
            tls: ProviderTls::new(
                CERTIFICATES
                    .iter()
                    .filter_map(|name| get(name))
                    .map(Into::into),
            ),
            address_variable: name,
            variables: login.variables.clone(),
            provider,
        })
    }

    /// Returns the variables of the session: where the broker is, and the placeholders.
    pub fn variables(&self, port: u16) -> Vec<(OsString, OsString)> {
        let address = format!("http://127.0.0.1:{port}{}", self.provider.path);
        let own = self.variables.iter();
        let own = own.map(|var| (var.name.clone().into(), var.value.clone().into()));
        let placeholders = self.login.placeholders();
        let placeholders = placeholders.map(|(name, value)| (name.into(), value.into()));
        [(self.address_variable.into(), address.into())]
            .into_iter()
            .chain(placeholders)
            .chain(own)
            .collect()
    }

    /// Serves one connection of a program to its end.
    pub(super) async fn serve(
        self: &Arc<Self>,
        program: TcpStream,
        ledger: &Arc<TrafficLedger>,
    ) -> io::Result<()> {
        // A connection to the provider for each of a program: what belongs together stays together, and ends together.
        let connection = ProviderConnection::new(self.clone(), ledger.clone());
        let service = service_fn(|request| forward::forward_request(self, &connection, request));
        http1::Builder::new()
            .serve_connection(TokioIo::new(program), service)
            .await
            .map_err(io::Error::other)
    }
}

impl ProviderBase {
    fn read(base_url: &str) -> Result<Self, String> {
        let url = Url::parse(base_url).map_err(|error| error.to_string())?;
        let is_plain = match url.scheme() {
            "https" => false,
            "http" => true,
            other => return Err(format!("`{other}` is neither https nor http")),
        };
        let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
            return Err("it names no host".to_owned());
        };
        let authority = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        Ok(Self {
            host: HostPort {
                host: super::host::HostName::parse(host)?,
                port,
            },
            is_plain,
            authority: HeaderValue::try_from(authority).map_err(|error| error.to_string())?,
            path: url.path().trim_end_matches('/').to_owned(),
        })
    }
}
