//! The editor front of the daemon: one Language Server Protocol connection for each editor.
//!
//! Architecture invariant: this crate is the only one that knows the Language Server Protocol.
//! Differences between editors are resolved once, at `initialize`, into
//! `session::capabilities::EditorCapabilities`; no other module reads what the client sent.
//!
//! Architecture invariant: document changes are applied before anything is awaited, and a request takes
//! its snapshot of the text in the same first step. The transport runs that step in the order of the
//! wire, so a request sees exactly the text its sender saw. Comparing texts and reading proposals comes
//! after that step, on another thread (`EditorSession::query`).
//!
//! Architecture invariant: no request waits for the client, and no request does long work. Commands
//! check their arguments and reply; progress, messages and events report the rest.

mod background;
mod blocking;
mod commands;
mod config;
mod documents;
mod editor;
mod failure;
mod handlers;
mod hunks;
mod phrases;
mod plan;
mod private_files;
pub mod proxy;
mod question;
mod server;
mod session;
mod transport;
mod uri;
mod workspace_edit;

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use claudecluster_protocol::ErrorBody;
use claudecluster_service::{EditorService, Service, ServiceClient};
use tokio::io::{AsyncRead, AsyncWrite};
use tracing::{Instrument, field, info_span};

use crate::{background::decisions, session::SessionGuard, transport::client_process};
pub use crate::{config::LspConfig, transport::ExitStatus};

/// Removes the plan documents of finished goals, unless they were edited.
///
/// Call it only when a daemon starts: later, an editor may have any of the documents open.
///
/// # Errors
///
/// The goals cannot be listed, or the folder cannot be read or written.
pub async fn tidy_plans<S: Service + ?Sized>(
    service: &ServiceClient<S>,
    folder: &Path,
) -> Result<(), ErrorBody> {
    plan::remove_finished(service, folder).await
}

/// Serves one editor until it says `exit`, disconnects, or its process ends.
///
/// Dropping the future ends the connection.
pub async fn serve<R, W>(
    reader: R,
    writer: W,
    service: Arc<dyn EditorService>,
    config: LspConfig,
) -> ExitStatus
where
    R: AsyncRead + Send + Unpin,
    W: AsyncWrite + Send + Unpin + 'static,
{
    // Numbers connections in the log, within one run of the daemon.
    static CONNECTIONS: AtomicU64 = AtomicU64::new(1);
    let number = CONNECTIONS.fetch_add(1, Ordering::Relaxed);
    let span = info_span!("connection", number, client = field::Empty);
    serve_connection(reader, writer, service, config)
        .instrument(span)
        .await
}

async fn serve_connection<R, W>(
    reader: R,
    writer: W,
    editor_service: Arc<dyn EditorService>,
    config: LspConfig,
) -> ExitStatus
where
    R: AsyncRead + Send + Unpin,
    W: AsyncWrite + Send + Unpin + 'static,
{
    let limit = config.max_message_bytes;
    let (service, socket, session, receiver) = server::build_service(editor_service, config);
    // Detaches from the driver however this ends: the driver holds the session, and the session holds
    // the driver.
    let guard = SessionGuard(session);
    let session = &guard.0;
    tokio::spawn(decisions::run(session.clone(), receiver).in_current_span());
    let client_exit = async {
        let process = *session.client_process.wait().await;
        client_process::wait_for_exit(process).await;
    };
    let streams = (reader, writer);
    let client = (socket, session.notify_queue.clone());
    let end = transport::run_connection(streams, service, client, client_exit, limit).await;
    tracing::debug!(?end, "editor connection ended");
    match end {
        transport::ConnectionEnd::Exit {
            after_shutdown: true,
        } => ExitStatus::Clean,
        _ => ExitStatus::Unclean,
    }
}
