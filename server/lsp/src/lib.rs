//! The editor front of the daemon: one Language Server Protocol connection per editor.
//!
//! Architecture invariant: this crate is the only one that knows LSP. What editors differ in is
//! resolved once, at `initialize`, into `client::Capabilities`; nothing else looks at what the
//! client sent.
//!
//! Architecture invariant: document changes are applied before anything is awaited, and a request
//! takes its snapshot of the text in the same first step. The transport runs that step in the order
//! of the wire, so a request sees exactly the text its sender saw. What takes time, comparing texts
//! and reading proposals, comes after it and on a thread of its own (`Session::ask`).
//!
//! Architecture invariant: no request waits for the client, and none does long work. Commands check
//! their arguments and answer; what follows is told by progress, messages and events.

mod anchor;
mod aside;
pub mod backend;
mod client;
mod config;
mod documents;
mod edit;
mod failure;
mod frame;
mod handlers;
mod hunks;
mod leaving;
mod markup;
mod parent;
mod pending;
mod permission;
pub mod pipe;
mod plan;
mod progress;
mod publish;
mod question;
mod server;
mod session;
mod settings;
mod stale;
mod transport;
mod typed;
mod uri;
mod watch;
mod words;

use std::{io, path::Path, sync::Arc};

use claudecluster_driver::Driver;
use tokio::io::{AsyncRead, AsyncWrite};

pub use crate::{backend::Backend, config::LspConfig, transport::ExitStatus};

/// Speaks with one editor until it says `exit`, goes away, or its process dies.
///
/// Dropping the future ends the connection.
pub async fn serve<R, W>(reader: R, writer: W, driver: Driver, config: LspConfig) -> ExitStatus
where
    R: AsyncRead + Send + Unpin,
    W: AsyncWrite + Send + Unpin + 'static,
{
    serve_with(reader, writer, Arc::new(driver), config).await
}

/// Removes the plan documents of goals that are done, unless somebody has changed them. For the start of a
/// daemon: an editor may have any of them open later. Blocks on the disk.
///
/// # Errors
///
/// The folder cannot be read or written.
pub fn tidy_plans(driver: &Driver, folder: &Path) -> io::Result<()> {
    plan::tidy(driver, folder)
}

/// [`serve`] for anything that can do what a driver does.
pub async fn serve_with<R, W>(
    reader: R,
    writer: W,
    backend: Arc<dyn Backend>,
    config: LspConfig,
) -> ExitStatus
where
    R: AsyncRead + Send + Unpin,
    W: AsyncWrite + Send + Unpin + 'static,
{
    let limit = config.max_message_bytes;
    let (service, socket, session, parent) = server::build(backend, config);
    // Detaches from the driver however this ends: it holds the session, and the session holds it.
    let session = session::Open(session);
    let streams = (reader, writer);
    let client = (socket, session.0.aside.clone());
    let status = transport::run(streams, service, client, parent, limit).await;
    let clean = session.0.shutdown_received();
    match status {
        transport::Ended::Exit if clean => ExitStatus::Clean,
        ended => {
            tracing::debug!(?ended, clean, "editor connection ended");
            ExitStatus::Unclean
        }
    }
}
