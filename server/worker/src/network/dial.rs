//! Reaching an allowed host: its name is resolved once, and exactly the address that was judged is connected to.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, lookup_host},
    time::timeout,
};

use super::{
    host::{HostName, HostPort},
    questions::{HostQuestions, HostSubject},
    rules::{HostVerdict, NetworkRules},
    upstream::{UpstreamProxies, UpstreamProxy},
};

/// How long a name server may take.
const RESOLVE: Duration = Duration::from_secs(10);
/// How long one address may take.
const CONNECT: Duration = Duration::from_secs(10);
/// The addresses of one host that are tried.
const TRIED: usize = 4;
/// The longest answer of an upstream proxy.
const ANSWER_BYTES: usize = 16 << 10;

/// Why a host was not reached.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum DialError {
    /// It may not be reached.
    Denied(String),
    /// Its name leads nowhere.
    Unresolved(String),
    /// Nothing there takes the connection.
    Unreachable(String),
}

/// What is reached.
pub(super) enum Reached {
    /// The host.
    Host(TcpStream),
    /// A proxy that takes requests for the host in absolute form.
    Proxy(TcpStream, UpstreamProxy),
}

/// Reaches hosts for one job.
#[derive(Debug)]
pub(super) struct HostDialer {
    pub(super) rules: NetworkRules,
    pub(super) questions: HostQuestions,
    pub(super) upstream: UpstreamProxies,
}

impl HostDialer {
    /// Decides whether a host may be reached. Waits where somebody has to be asked.
    pub(super) async fn decide(
        &self,
        target: &HostPort,
        program: Option<&str>,
    ) -> Result<(), DialError> {
        match self.rules.judge_host(target) {
            HostVerdict::Allowed => Ok(()),
            HostVerdict::Denied(why) => Err(DialError::Denied(why)),
            HostVerdict::Ask => self.ask(target, None, program).await,
        }
    }

    async fn ask(
        &self,
        target: &HostPort,
        address: Option<IpAddr>,
        program: Option<&str>,
    ) -> Result<(), DialError> {
        let subject = HostSubject {
            target: target.clone(),
            address,
        };
        let answer = self.questions.ask_about(&subject, program).await;
        answer.map_err(|why| DialError::Denied(format!("{target} is not allowed: {why}")))
    }

    /// Reaches a host that [`Self::decide`] has allowed. `plain_http` says that the program speaks HTTP without
    /// encryption.
    pub(super) async fn reach(
        &self,
        target: &HostPort,
        program: Option<&str>,
        plain_http: bool,
    ) -> Result<Reached, DialError> {
        match self.upstream.proxy_for(target, plain_http) {
            Some(Ok(proxy)) => self.reach_through(proxy, target, program, plain_http).await,
            Some(Err(why)) => Err(DialError::Unreachable(why.clone())),
            None => {
                let addresses = resolve(target).await?;
                let allowed = self.allowed_addresses(target, &addresses, program).await?;
                connect_first(target, &allowed).await.map(Reached::Host)
            }
        }
    }

    /// Returns the addresses that may be connected to.
    async fn allowed_addresses(
        &self,
        target: &HostPort,
        addresses: &[IpAddr],
        program: Option<&str>,
    ) -> Result<Vec<IpAddr>, DialError> {
        let mut allowed = Vec::new();
        let (mut asked, mut denied) = (None, None);
        for address in addresses {
            match self.rules.judge_address(target, *address) {
                HostVerdict::Allowed => allowed.push(*address),
                HostVerdict::Ask => asked = asked.or(Some(*address)),
                HostVerdict::Denied(why) => denied = denied.or(Some(why)),
            }
        }
        // An address of a private network that a program names itself has been asked about as the host.
        let is_named = matches!(target.host, HostName::Address(_));
        match (allowed.is_empty(), asked, denied) {
            (true, Some(address), _) if is_named => Ok(vec![address]),
            (true, Some(address), _) => {
                self.ask(target, Some(address), program).await?;
                Ok(vec![address])
            }
            (true, None, denied) => Err(DialError::Denied(
                denied.unwrap_or_else(|| format!("{target} has no address")),
            )),
            (false, ..) => Ok(allowed),
        }
    }

    /// Reaches a host through the proxy of the user's environment. Names are resolved there; what this machine
    /// knows about them is checked all the same.
    async fn reach_through(
        &self,
        proxy: &UpstreamProxy,
        target: &HostPort,
        program: Option<&str>,
        plain_http: bool,
    ) -> Result<Reached, DialError> {
        if let Ok(addresses) = resolve(target).await {
            self.allowed_addresses(target, &addresses, program).await?;
        }
        // The user's own environment names it, so it is not judged.
        let addresses = resolve(&proxy.host).await?;
        let mut stream = connect_first(&proxy.host, &addresses).await?;
        if plain_http {
            return Ok(Reached::Proxy(stream, proxy.clone()));
        }
        let asked = timeout(CONNECT, open_tunnel(&mut stream, proxy, target)).await;
        let asked = asked.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        asked.map_err(|error| {
            DialError::Unreachable(format!(
                "the proxy {} does not reach {target}: {error}",
                proxy.host
            ))
        })?;
        Ok(Reached::Host(stream))
    }
}

/// Resolves the name of a host.
async fn resolve(target: &HostPort) -> Result<Vec<IpAddr>, DialError> {
    let name = match &target.host {
        HostName::Address(address) => return Ok(vec![*address]),
        HostName::Name(name) => name,
    };
    let failed = |why: String| DialError::Unresolved(format!("cannot resolve {name}: {why}"));
    let found = timeout(RESOLVE, lookup_host((name.as_str(), target.port))).await;
    let found = found
        .map_err(|_| failed("the name server does not answer".to_owned()))?
        .map_err(|error| failed(error.to_string()))?;
    Ok(found.map(|address| address.ip()).collect())
}

async fn connect_first(target: &HostPort, addresses: &[IpAddr]) -> Result<TcpStream, DialError> {
    let mut last = "it has no address".to_owned();
    for address in addresses.iter().take(TRIED) {
        let connecting = TcpStream::connect(SocketAddr::new(*address, target.port));
        match timeout(CONNECT, connecting).await {
            Ok(Ok(stream)) => {
                // Delays small messages otherwise; where it cannot be set they are delayed.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(error)) => last = error.to_string(),
            Err(_) => last = "it does not answer".to_owned(),
        }
    }
    Err(DialError::Unreachable(format!(
        "cannot reach {target}: {last}"
    )))
}

/// Has a proxy open a tunnel. Nothing after its answer is read.
async fn open_tunnel(
    stream: &mut TcpStream,
    proxy: &UpstreamProxy,
    target: &HostPort,
) -> io::Result<()> {
    let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
    if let Some(authorization) = &proxy.authorization {
        request.push_str(&format!("Proxy-Authorization: {authorization}\r\n"));
    }
    request.push_str("\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        // The host may speak first: whatever follows the answer is its own.
        answer.push(stream.read_u8().await?);
        if answer.len() > ANSWER_BYTES {
            return Err(io::Error::other("its answer is too long"));
        }
    }
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    let parsed = response.parse(&answer).map_err(io::Error::other)?;
    match response.code {
        Some(200..=299) if parsed.is_complete() => Ok(()),
        Some(code) => Err(io::Error::other(format!("it answers with {code}"))),
        None => Err(io::Error::other("its answer cannot be read")),
    }
}
