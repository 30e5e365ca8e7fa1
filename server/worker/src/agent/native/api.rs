//! Requests to the Messages API, with the patience that overload wants and none for a wrong key.

use std::time::Duration;

use claudecluster_protocol::{Span, StopReason, event::AgentEvent};
use futures::StreamExt as _;
use reqwest::{Client, Response, StatusCode, header::RETRY_AFTER};

use super::sse::{StreamError, StreamedMessage};

const DEFAULT_URL: &str = "https://api.anthropic.com";
/// Tries of one request.
const TRIES: u32 = 8;
/// The first wait; it doubles with every try.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// The longest wait. Where the provider asks for more, the session ends and says so.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// From one byte to the next.
const SILENCE: Duration = Duration::from_secs(180);

/// Why there is no answer.
#[derive(Debug)]
pub(super) struct RequestFailure {
    pub stop: StopReason,
    pub words: String,
    pub retry_after: Option<Span>,
}

/// One try's failure.
enum FailedTry {
    /// Trying again may help; after `wait` where the provider says so.
    Again {
        failure: RequestFailure,
        wait: Option<Duration>,
    },
    Never(RequestFailure),
}

/// The provider.
pub(super) struct MessagesApi {
    client: Client,
    url: String,
    key: Option<String>,
    token: Option<String>,
    session: String,
}

impl MessagesApi {
    /// From the environment: `ANTHROPIC_BASE_URL`, and `ANTHROPIC_API_KEY` or `ANTHROPIC_AUTH_TOKEN`.
    pub(super) fn from_env(session: &str) -> Result<Self, RequestFailure> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let base = variable("ANTHROPIC_BASE_URL").unwrap_or_else(|| DEFAULT_URL.to_owned());
        let base = base.trim_end_matches('/').to_owned();
        let client = build_client(base.starts_with("http://")).map_err(|error| RequestFailure {
            stop: StopReason::Resources,
            words: format!("cannot set up the connection to {base}: {error}"),
            retry_after: None,
        })?;
        let api = Self {
            client,
            url: format!("{base}/v1/messages"),
            key: variable("ANTHROPIC_API_KEY"),
            token: variable("ANTHROPIC_AUTH_TOKEN"),
            session: session.to_owned(),
        };
        if api.key.is_none() && api.token.is_none() {
            return Err(RequestFailure {
                stop: StopReason::Auth,
                words: "no API key: set ANTHROPIC_API_KEY".to_owned(),
                retry_after: None,
            });
        }
        Ok(api)
    }

    /// Sends `body` until there is a whole answer. `tell` gets rate limits and words.
    pub(super) async fn send(
        &self,
        body: &[u8],
        tell: &mut dyn FnMut(ResponseNotice<'_>),
    ) -> Result<StreamedMessage, RequestFailure> {
        let mut pause = FIRST_WAIT;
        let mut tries = 1;
        loop {
            let (mut failure, wait) = match self.send_once(body, tell).await {
                Ok(message) => return Ok(message),
                Err(FailedTry::Never(failure)) => return Err(failure),
                Err(FailedTry::Again { failure, wait }) => (failure, wait),
            };
            tell(ResponseNotice::Discarded);
            let wait = wait.unwrap_or_else(|| jittered_pause(pause));
            if tries == TRIES || wait > LONGEST_WAIT {
                failure.retry_after = Some(to_span(wait));
                return Err(failure);
            }
            if failure.stop == StopReason::Overloaded {
                let wait = Some(to_span(wait));
                tell(ResponseNotice::Event(AgentEvent::RateLimited { wait }));
            }
            tokio::time::sleep(wait).await;
            pause = (pause * 2).min(LONGEST_WAIT / 2);
            tries += 1;
        }
    }

    async fn send_once(
        &self,
        body: &[u8],
        tell: &mut dyn FnMut(ResponseNotice<'_>),
    ) -> Result<StreamedMessage, FailedTry> {
        let mut request = self
            .client
            .post(&self.url)
            .header("content-type", "application/json")
            .header("anthropic-version", "2023-06-01")
            .header("x-claudecluster-session-id", &self.session)
            .body(body.to_vec());
        if let Some(key) = &self.key {
            request = request.header("x-api-key", key);
        }
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        let response = request
            .send()
            .await
            .map_err(|error| broken_stream(&describe_error(&error)))?;
        if !response.status().is_success() {
            return Err(refused_response(response).await);
        }
        let mut message = StreamedMessage::default();
        let mut stream = response.bytes_stream();
        while let Some(part) = stream.next().await {
            let part = part.map_err(|error| broken_stream(&describe_error(&error)))?;
            message
                .feed(&part, &mut |text| tell(ResponseNotice::Words(text)))
                .map_err(|error| stream_failure(&error))?;
        }
        message.end().map_err(|error| stream_failure(&error))?;
        Ok(message)
    }
}

/// A part of an answer that is being received.
pub(super) enum ResponseNotice<'a> {
    /// Words of the answer.
    Words(&'a str),
    /// The words so far belong to an answer that is asked for again.
    Discarded,
    /// Something to tell.
    Event(AgentEvent),
}

fn build_client(plain: bool) -> Result<Client, reqwest::Error> {
    let builder = Client::builder()
        .connect_timeout(Duration::from_secs(30))
        .read_timeout(SILENCE)
        .user_agent(concat!("claudecluster/", env!("CARGO_PKG_VERSION")));
    // The process-wide choice; a second session in one process finds it made.
    let _ = rustls::crypto::ring::default_provider().install_default();
    if !plain {
        return builder.build();
    }
    // A plain URL needs no certificates, and loading the system's takes megabytes.
    let nobody = rustls::ClientConfig::builder()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    builder.tls_backend_preconfigured(nobody).build()
}

fn broken_stream(words: &str) -> FailedTry {
    FailedTry::Again {
        failure: RequestFailure {
            stop: StopReason::BrokenStream,
            words: words.to_owned(),
            retry_after: None,
        },
        wait: None,
    }
}

fn stream_failure(error: &StreamError) -> FailedTry {
    let overloaded = matches!(error, StreamError::Provider { kind, .. }
        if kind == "overloaded_error" || kind == "rate_limit_error");
    let stop = if overloaded {
        StopReason::Overloaded
    } else {
        StopReason::BrokenStream
    };
    FailedTry::Again {
        failure: RequestFailure {
            stop,
            words: error.to_string(),
            retry_after: None,
        },
        wait: None,
    }
}

async fn refused_response(response: Response) -> FailedTry {
    let status = response.status();
    let wait = response
        .headers()
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.parse().ok())
        .map(Duration::from_secs);
    let body = response.bytes().await.unwrap_or_default();
    let json: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    let said = json["error"]["message"].as_str().unwrap_or_default();
    let failure = |stop, words| RequestFailure {
        stop,
        words,
        retry_after: None,
    };
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => FailedTry::Never(failure(
            StopReason::Auth,
            format!(
                "the provider rejected the API key ({status}); check ANTHROPIC_API_KEY ({said})"
            ),
        )),
        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => FailedTry::Again {
            failure: failure(StopReason::Overloaded, format!("{status}: {said}")),
            wait,
        },
        _ if status.is_server_error() => FailedTry::Again {
            failure: failure(StopReason::Overloaded, format!("{status}: {said}")),
            wait,
        },
        _ => FailedTry::Never(failure(
            StopReason::Refused,
            format!("the provider rejected the request ({status}): {said}"),
        )),
    }
}

/// The error and its causes; the outermost alone only says that something failed.
fn describe_error(error: &reqwest::Error) -> String {
    let mut words = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        words = format!("{words}: {cause}");
        source = cause.source();
    }
    words
}

/// Between half and all of `pause`, so that sessions that failed together do not return together.
fn jittered_pause(pause: Duration) -> Duration {
    let random = uuid::Uuid::new_v4().as_u128() % 1000;
    let part = u32::try_from(random).unwrap_or_default();
    pause / 2 + pause / 2 * part / 1000
}

fn to_span(wait: Duration) -> Span {
    Span(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX))
}
