//! The HTTP side.

use std::{
    convert::Infallible,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant, SystemTime},
};

use axum::{
    Router,
    body::Body,
    extract::{DefaultBodyLimit, Request as HttpRequest, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{any, get, post},
};
use bytes::Bytes;
use futures::{StreamExt, stream};
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    sync::{oneshot, watch},
};

use crate::{
    cache::PromptCache,
    engine,
    record::{Recorded, RecordedLogins, SECRET, SESSION},
    request::Request,
    script::{Failure, Rule, Script, Tokens},
    sse::Message,
};

/// A running server; it ends when dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<Infallible>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    script: Script,
    state: Mutex<Inner>,
    changed: Condvar,
    /// Names that [`Server::release`] was called with.
    released: watch::Sender<Vec<String>>,
    /// How many requests have come to each rule.
    waiting: Vec<watch::Sender<usize>>,
}

#[derive(Debug, Default)]
struct Inner {
    requests: Vec<Recorded>,
    used: Vec<u32>,
    cache: PromptCache,
}

impl Server {
    /// Starts a server on a free port.
    ///
    /// # Errors
    /// Where no socket or thread can be had.
    pub fn start(script: Script) -> io::Result<Self> {
        Self::start_on(script, 0)
    }

    /// Starts a server on `port` of 127.0.0.1; 0 is a free one.
    ///
    /// # Errors
    /// As [`Server::start`], and where the port is taken.
    pub fn start_on(script: Script, port: u16) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let rules = script.rules.len();
        let shared = Arc::new(Shared {
            script,
            state: Mutex::new(Inner {
                used: vec![0; rules],
                ..Inner::default()
            }),
            changed: Condvar::new(),
            released: watch::Sender::new(Vec::new()),
            waiting: (0..rules).map(|_| watch::Sender::new(0)).collect(),
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (stop, stopped) = oneshot::channel::<Infallible>();
        let app = router(Arc::clone(&shared));
        let thread = std::thread::Builder::new()
            .name("scripted-model".to_owned())
            .spawn(move || {
                runtime.block_on(async move {
                    let Ok(listener) = TcpListener::from_std(listener) else {
                        return;
                    };
                    tokio::select! {
                        _ = axum::serve(listener, app).into_future() => {}
                        _ = stopped => {}
                    }
                });
            })?;
        Ok(Self {
            address,
            shared,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// What `ANTHROPIC_BASE_URL` is to be set to.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Every request so far, oldest first.
    pub fn requests(&self) -> Vec<Recorded> {
        self.shared.lock().requests.clone()
    }

    /// The requests of main conversations so far: those that offer tools.
    pub fn turns(&self) -> Vec<Recorded> {
        let all = self.requests();
        all.into_iter().filter(Recorded::is_turn).collect()
    }

    /// Lets every request go that a rule holds under `name`, now and later.
    pub fn release(&self, name: &str) {
        self.shared
            .released
            .send_modify(|names| names.push(name.to_owned()));
    }

    /// Blocks until the records satisfy `enough`; false where that takes longer than `limit`.
    pub fn wait_until(&self, limit: Duration, enough: impl Fn(&[Recorded]) -> bool) -> bool {
        let end = Instant::now() + limit;
        let mut state = self.shared.lock();
        while !enough(&state.requests) {
            let Some(left) = end.checked_duration_since(Instant::now()) else {
                return false;
            };
            state = self
                .shared
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        true
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the server has already been reported on its own thread.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record(&self, request: Recorded) {
        self.lock().requests.push(request);
        self.changed.notify_all();
    }

    /// Waits for what the rule waits for.
    async fn pass(&self, index: usize, rule: &Rule) {
        if let Some(count) = rule.together {
            self.waiting[index].send_modify(|n| *n += 1);
            let mut waiting = self.waiting[index].subscribe();
            // The sender lives as long as `self`.
            let _ = waiting.wait_for(|n| *n >= count).await;
        }
        if let Some(name) = &rule.hold {
            let mut released = self.released.subscribe();
            let _ = released.wait_for(|names| names.contains(name)).await;
        }
    }
}

fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/v1/messages", post(messages))
        .route("/v1/messages/count_tokens", post(count_tokens))
        .route("/v1/models", get(models))
        .fallback(any(other))
        .layer(DefaultBodyLimit::disable())
        .with_state(shared)
}

/// The request's head as it is recorded.
fn head(request: &HttpRequest) -> Recorded {
    let headers = request.headers();
    let (logins, others) = headers
        .iter()
        .map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes());
            (name.to_string(), value.into_owned())
        })
        .partition(|(name, _)| SECRET.contains(&name.as_str()));
    Recorded {
        at: SystemTime::now(),
        method: request.method().to_string(),
        path: request.uri().to_string(),
        headers: others,
        logins: RecordedLogins(logins),
        session: session(headers),
        rule: None,
        body: Bytes::new(),
    }
}

fn session(headers: &HeaderMap) -> Option<String> {
    let value = SESSION.iter().find_map(|name| headers.get(*name))?;
    Some(value.to_str().ok()?.to_owned())
}

async fn body(request: HttpRequest) -> Bytes {
    axum::body::to_bytes(request.into_body(), usize::MAX)
        .await
        .unwrap_or_default()
}

async fn messages(State(shared): State<Arc<Shared>>, http: HttpRequest) -> Response {
    let mut record = head(&http);
    record.body = body(http).await;
    let json = match serde_json::from_slice::<Value>(&record.body) {
        Ok(json) => json,
        Err(error) => {
            shared.record(record);
            return failure(400, "invalid_request_error", &error.to_string(), None);
        }
    };
    let request = Request::new(json, record.session.clone());
    let (rule, number, input) = {
        let state = &mut *shared.lock();
        let rule = engine::choose(&shared.script, &mut state.used, &request);
        record.rule = rule.map(|i| shared.script.rules[i].name.clone());
        let failing = rule.is_some_and(|i| shared.script.rules[i].error.is_some());
        let input = if failing {
            Tokens::default()
        } else {
            state.cache.account(&request.body)
        };
        state.requests.push(record);
        (rule, state.requests.len(), input)
    };
    shared.changed.notify_all();

    let default = Rule::default();
    let chosen = rule.map_or(&default, |i| &shared.script.rules[i]);
    if let Some(index) = rule {
        shared.pass(index, chosen).await;
    }
    tokio::time::sleep(chosen.delay.unwrap_or(shared.script.defaults.delay)).await;
    if let Some(error) = &chosen.error {
        return scripted_failure(error);
    }
    let content = match rule {
        Some(_) => engine::render(chosen, &request),
        None => engine::fallback(&request),
    };
    let mut message = Message::new(format!("msg_{number:08}"), request.model(), content, input);
    if let Some(reason) = &chosen.stop_reason {
        message.stop_reason.clone_from(reason);
    }
    if let Some(usage) = chosen.usage {
        message.usage = usage;
    }
    if request.body["stream"] == true {
        streamed(&message, chosen, &shared.script)
    } else {
        axum::Json(message.body()).into_response()
    }
}

fn streamed(message: &Message, rule: &Rule, script: &Script) -> Response {
    let mut events = message.events(rule.chunk.unwrap_or(script.defaults.chunk));
    if let Some(bad) = rule.malformed.and_then(|index| events.get_mut(index)) {
        *bad = Bytes::from_static(b"event: content_block_delta\ndata: {\"type\": \"content_b\n\n");
    }
    let mut parts: Vec<io::Result<Bytes>> = events.into_iter().map(Ok).collect();
    if let Some(cut) = rule.cut {
        parts.truncate(cut);
        parts.push(Err(io::Error::other("the script cuts the stream here")));
    }
    let pause = rule.pause.unwrap_or(script.defaults.pause);
    let body = if pause.is_zero() && rule.cut.is_none() {
        // In one piece: nothing can be observed between the events, and 64 streams stay cheap.
        let whole: Vec<u8> = parts.into_iter().flatten().flatten().collect();
        Body::from(whole)
    } else {
        Body::from_stream(stream::iter(parts).then(move |part| async move {
            tokio::time::sleep(pause).await;
            part
        }))
    };
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream; charset=utf-8"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, body).into_response()
}

fn scripted_failure(error: &Failure) -> Response {
    let usual = match error.status {
        400 => "invalid_request_error",
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        529 => "overloaded_error",
        _ => "api_error",
    };
    let kind = error.r#type.as_deref().unwrap_or(usual);
    let message = error.message.as_deref().unwrap_or("scripted failure");
    failure(error.status, kind, message, error.retry_after)
}

fn failure(status: u16, kind: &str, message: &str, retry_after: Option<u64>) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = json!({"type": "error", "error": {"type": kind, "message": message}});
    let mut response = (status, axum::Json(body)).into_response();
    if let Some(seconds) = retry_after {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

async fn count_tokens(State(shared): State<Arc<Shared>>, http: HttpRequest) -> Response {
    let mut record = head(&http);
    record.body = body(http).await;
    let count = crate::cache::tokens(record.body.len());
    shared.record(record);
    axum::Json(json!({"input_tokens": count})).into_response()
}

async fn models(State(shared): State<Arc<Shared>>, http: HttpRequest) -> Response {
    shared.record(head(&http));
    let models = ["claude-opus-4-8", "claude-sonnet-5", "claude-haiku-4-5"].map(|id| {
        json!({"type": "model", "id": id, "display_name": id, "created_at": "2026-01-01T00:00:00Z"})
    });
    axum::Json(json!({"data": models, "has_more": false, "first_id": null, "last_id": null}))
        .into_response()
}

/// Whatever else an agent asks for; `HEAD /` is its check whether it is online.
async fn other(State(shared): State<Arc<Shared>>, http: HttpRequest) -> Response {
    let mut record = head(&http);
    let at_root = http.uri().path() == "/";
    record.body = body(http).await;
    shared.record(record);
    if at_root {
        StatusCode::OK.into_response()
    } else {
        failure(
            404,
            "not_found_error",
            "the scripted model has no such path",
            None,
        )
    }
}
