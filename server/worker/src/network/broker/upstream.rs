//! Connections from the broker to the provider.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use claudecluster_files::{ForeignFileError, read_named_file, run_with_deadline};
use http::{HeaderValue, Request, Response, Uri, header::PROXY_AUTHORIZATION};
use hyper::{
    body::Incoming,
    client::conn::http1::{SendRequest, handshake},
};
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use rustls_platform_verifier::Verifier;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::{Mutex, OnceCell},
    time::timeout,
};
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;

use super::{
    super::{
        dial::{DialError, Reached},
        host::HostName,
        ledger::{ConnectionCounts, TrafficLedger},
        relay::CountedStream,
        upstream::UpstreamProxy,
    },
    KeyBroker,
};

/// How long the provider may take to agree on encryption.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// The largest file of certificates, in bytes.
const CERTIFICATE_BYTES: u64 = 8 << 20;
/// How long reading certificates may take.
const CERTIFICATES_DEADLINE: Duration = Duration::from_secs(10);

/// Why a request has no answer.
#[derive(Debug)]
pub(super) enum SendFailure {
    /// The provider may not be reached.
    Denied(String),
    /// The provider was not reached, or has not answered.
    Unanswered(String),
}

/// The connection to the provider that belongs to one connection of a program. Opened when it is needed.
pub(super) struct ProviderConnection {
    broker: Arc<KeyBroker>,
    ledger: Arc<TrafficLedger>,
    /// Programs ask one thing after the other.
    link: Mutex<Option<ProviderLink>>,
}

struct ProviderLink {
    sender: SendRequest<Incoming>,
    proxy: Option<UpstreamProxy>,
    /// Counted when this is dropped, which is before the end of the program's connection has been waited for.
    _counts: ConnectionCounts,
    _driver: AbortOnDropHandle<()>,
}

impl ProviderConnection {
    pub(super) fn new(broker: Arc<KeyBroker>, ledger: Arc<TrafficLedger>) -> Self {
        Self {
            broker,
            ledger,
            link: Mutex::new(None),
        }
    }

    /// Sends a request whose headers are complete, and returns the head of the answer with the rest to come.
    pub(super) async fn send(
        &self,
        mut request: Request<Incoming>,
    ) -> Result<Response<Incoming>, SendFailure> {
        let mut link = self.link.lock().await;
        let mut opened = false;
        loop {
            let current = match link.take().filter(|link| !link.sender.is_closed()) {
                Some(current) => current,
                None => {
                    opened = true;
                    self.open().await?
                }
            };
            let current = link.insert(current);
            current.address(&self.broker, &mut request)?;
            match current.sender.try_send_request(request).await {
                Ok(response) => return Ok(response),
                Err(mut error) => {
                    *link = None;
                    // The provider has closed a connection that was kept, before any of the request was sent.
                    match error.take_message() {
                        Some(unsent) if !opened => request = unsent,
                        _ => return Err(self.unanswered(&error.into_error())),
                    }
                }
            }
        }
    }

    async fn open(&self) -> Result<ProviderLink, SendFailure> {
        let KeyBroker {
            provider, dialer, ..
        } = &*self.broker;
        let reached = dialer.reach(&provider.host, None, provider.is_plain).await;
        let (stream, proxy) = match reached {
            Ok(Reached::Host(stream)) => (stream, None),
            Ok(Reached::Proxy(stream, proxy)) => (stream, Some(proxy)),
            Err(DialError::Denied(why)) => return Err(SendFailure::Denied(why)),
            Err(DialError::Unresolved(why) | DialError::Unreachable(why)) => {
                return Err(SendFailure::Unanswered(why));
            }
        };
        let counts = self.ledger.open_connection(provider.host.clone());
        let stream = CountedStream {
            stream,
            read: counts.received.clone(),
            written: counts.sent.clone(),
        };
        let (sender, driver) = if provider.is_plain {
            speak_http(stream).await
        } else {
            let encrypted = self.broker.tls.encrypt(&provider.host.host, stream).await;
            let encrypted = encrypted.map_err(|error| self.unanswered(&error))?;
            speak_http(encrypted).await
        }
        .map_err(|error| self.unanswered(&error))?;
        Ok(ProviderLink {
            sender,
            proxy,
            _counts: counts,
            _driver: driver,
        })
    }

    fn unanswered(&self, error: &dyn std::error::Error) -> SendFailure {
        let mut words = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            words = format!("{words}: {cause}");
            source = cause.source();
        }
        SendFailure::Unanswered(format!(
            "no answer of {}: {words}",
            self.broker.provider.host
        ))
    }
}

impl ProviderLink {
    /// Names the host to a proxy that takes requests for it. Any other request stays as it is.
    fn address(
        &self,
        broker: &KeyBroker,
        request: &mut Request<Incoming>,
    ) -> Result<(), SendFailure> {
        let Some(proxy) = &self.proxy else {
            return Ok(());
        };
        let wrong = |error: &dyn std::error::Error| SendFailure::Unanswered(error.to_string());
        let path = request
            .uri()
            .path_and_query()
            .map_or("/", |path| path.as_str());
        let whole = format!("http://{}{path}", broker.provider.host);
        *request.uri_mut() = Uri::try_from(whole).map_err(|error| wrong(&error))?;
        if let Some(authorization) = &proxy.authorization {
            let mut value = HeaderValue::try_from(authorization).map_err(|error| wrong(&error))?;
            value.set_sensitive(true);
            request.headers_mut().insert(PROXY_AUTHORIZATION, value);
        }
        Ok(())
    }
}

async fn speak_http<S>(stream: S) -> hyper::Result<(SendRequest<Incoming>, AbortOnDropHandle<()>)>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    let driver = tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::trace!(%error, "a connection to a provider broke");
        }
    });
    Ok((sender, AbortOnDropHandle::new(driver)))
}

/// Encrypts connections to the provider.
#[derive(Debug)]
pub(super) struct ProviderTls {
    /// Files of certificates that the user trusts beside those of the system.
    files: Vec<PathBuf>,
    connector: OnceCell<Connector>,
}

struct Connector(TlsConnector);

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connector").finish_non_exhaustive()
    }
}

impl ProviderTls {
    pub(super) fn new(files: impl IntoIterator<Item = PathBuf>) -> Self {
        Self {
            files: files.into_iter().collect(),
            connector: OnceCell::new(),
        }
    }

    async fn encrypt(
        &self,
        host: &HostName,
        stream: CountedStream<TcpStream>,
    ) -> io::Result<tokio_rustls::client::TlsStream<CountedStream<TcpStream>>> {
        // Read when they are first needed: many jobs speak to a gateway without encryption.
        let connector = self
            .connector
            .get_or_try_init(|| self.make_connector())
            .await?;
        let name = match host {
            HostName::Name(name) => ServerName::try_from(name.clone()).map_err(io::Error::other)?,
            HostName::Address(address) => ServerName::from(*address),
        };
        timeout(HANDSHAKE, connector.0.connect(name, stream))
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    async fn make_connector(&self) -> io::Result<Connector> {
        let files = self.files.clone();
        let made = run_with_deadline(CERTIFICATES_DEADLINE, move || {
            let config = trusting_config(&files).map_err(io::Error::other)?;
            Ok::<_, ForeignFileError>(TlsConnector::from(Arc::new(config)))
        });
        made.await.map(Connector).map_err(io::Error::other)
    }
}

/// Trusts whom the system trusts, and the certificates in `files`. Blocks.
fn trusting_config(files: &[PathBuf]) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let extra = files
        .iter()
        .flat_map(|file| match read_named_file(file, CERTIFICATE_BYTES) {
            Ok(pem) => CertificateDer::pem_slice_iter(&pem)
                .filter_map(Result::ok)
                .collect(),
            Err(error) => {
                tracing::warn!(path = %file.display(), %error, "cannot read certificates");
                Vec::new()
            }
        });
    let verifier = Verifier::new_with_extra_roots(extra, provider.clone())?;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
