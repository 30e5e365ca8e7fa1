//! The control socket between the daemon and the launcher of one program.
//!
//! The launcher inherits its end at a fixed descriptor number, so its command line says nothing but
//! the program. The description of the view goes in as an open anonymous file; what exists only inside
//! comes out as descriptors: listeners of a network namespace, and the init process. The end of file
//! tells the launcher that the daemon has ended.

use std::{
    fs::File,
    io::{self, IoSlice, IoSliceMut, Write},
    mem::MaybeUninit,
    net::TcpListener,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::FileExt,
    },
    sync::Arc,
};

use command_fds::{CommandFdExt, FdMapping};
use rustix::{
    fs::{MemfdFlags, memfd_create},
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
        SendAncillaryMessage, SendFlags, Shutdown, SocketFlags, SocketType, recvmsg, sendmsg,
        shutdown, socketpair,
    },
    process::{PidfdFlags, getpid, pidfd_open},
};
use serde::{Deserialize, Serialize};
use tokio::io::{Interest, unix::AsyncFd};

use super::{breach::LimitKind, guard::LimitGuard, network::NetworkDoor, sys, view::SandboxView};

/// The descriptor at which the launcher finds its end.
pub(super) const LAUNCHER_END: i32 = 3;

/// The bytes of the longest message.
const LONGEST: usize = 256;

/// A message from inside the view. Each carries one descriptor.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
enum InsideMessage {
    /// A listener on this port of the loopback interface inside.
    Listener(u16),
    /// The init process: everything in the view has ended when it has.
    Init,
    /// The init process, about to end: its program has left more processes than the task may have.
    TooManyProcesses,
}

/// The launcher's end.
pub(super) struct LauncherSocket(OwnedFd);

impl LauncherSocket {
    /// Takes over the inherited descriptor.
    pub(super) fn inherited() -> io::Result<Self> {
        sys::take_socket(LAUNCHER_END).map(Self)
    }

    /// Receives the description of the view, which was sent before this process started.
    pub(super) fn receive_view(&self) -> io::Result<SandboxView> {
        let (_, descriptor) = receive_message(&self.0, RecvFlags::empty())?
            .ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        let file = File::from(descriptor);
        let length = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
        let mut text = vec![0; length];
        file.read_exact_at(&mut text, 0)?;
        Ok(serde_json::from_slice(&text)?)
    }

    /// Hands a listener inside to the daemon.
    pub(super) fn send_listener(&self, port: u16, listener: TcpListener) -> io::Result<()> {
        self.send(InsideMessage::Listener(port), &listener.into())
    }

    /// Makes this process known to the daemon as the init.
    pub(super) fn send_init(&self) -> io::Result<()> {
        let own = pidfd_open(getpid(), PidfdFlags::empty())?;
        self.send(InsideMessage::Init, &own)
    }

    /// Tells the daemon that a program has ended that has left too many processes.
    pub(super) fn send_excess(&self) -> io::Result<()> {
        let own = pidfd_open(getpid(), PidfdFlags::empty())?;
        self.send(InsideMessage::TooManyProcesses, &own)
    }

    fn send(&self, message: InsideMessage, descriptor: &OwnedFd) -> io::Result<()> {
        send_message(&self.0, &serde_json::to_vec(&message)?, descriptor)
    }

    /// Returns the descriptor that has an event when the daemon ends; the daemon says nothing else
    /// after the description of the view.
    pub(super) fn descriptor(&self) -> &OwnedFd {
        &self.0
    }
}

/// The daemon's end.
#[derive(Debug)]
pub(super) struct DaemonSocket(AsyncFd<OwnedFd>);

/// Gives `command` a control socket with the description of a view in it. Must be called in a runtime.
pub(super) fn attach_socket(
    command: &mut tokio::process::Command,
    view: &SandboxView,
) -> io::Result<DaemonSocket> {
    let (own, inherited) = socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )?;
    let mut file = File::from(memfd_create("view", MemfdFlags::CLOEXEC)?);
    file.write_all(&serde_json::to_vec(view)?)?;
    send_message(&own, b"{}", &file.into())?;
    let mapping = FdMapping {
        parent_fd: inherited,
        child_fd: LAUNCHER_END,
    };
    command
        .fd_mappings(vec![mapping])
        .map_err(io::Error::other)?;
    sys::watch_descriptor(own, Interest::READABLE).map(DaemonSocket)
}

impl DaemonSocket {
    /// Serves the program until nothing in its view runs any more, or until it could not be started. Ends it where it
    /// exceeds a limit of its task.
    pub(super) async fn serve(self, door: Option<Arc<dyn NetworkDoor>>, guard: Arc<LimitGuard>) {
        let mut listeners = Vec::new();
        let served = self.serve_until_end(door.as_deref(), &guard, &mut listeners);
        if let Err(error) = served.await {
            tracing::warn!(%error, "cannot follow a program in a sandbox");
        }
        // The network namespace lives as long as a socket in it. Whoever accepts gets an error now.
        for listener in listeners {
            let _ = shutdown(&listener, Shutdown::Read);
        }
    }

    async fn serve_until_end(
        &self,
        door: Option<&dyn NetworkDoor>,
        guard: &Arc<LimitGuard>,
        listeners: &mut Vec<OwnedFd>,
    ) -> io::Result<()> {
        let mut init: Option<AsyncFd<OwnedFd>> = None;
        loop {
            let received = match &init {
                None => self.receive().await?,
                Some(process) => tokio::select! {
                    ended = wait_for(Some(process)) => return ended,
                    received = self.receive() => received?,
                    breach = guard.wait_for_breach(process.get_ref()) => {
                        tracing::warn!(%breach, "a program is ended");
                        guard.end_group();
                        // The launcher takes it for the daemon's end, and ends everything.
                        shutdown(self.0.get_ref(), Shutdown::Both)?;
                        return wait_for(Some(process)).await;
                    }
                },
            };
            match (received, door) {
                (None, _) => return wait_for(init.as_ref()).await,
                (Some((InsideMessage::Init, process)), _) => {
                    init = Some(sys::watch_descriptor(process, Interest::READABLE)?);
                }
                (Some((InsideMessage::Listener(port), listener)), Some(door)) => {
                    listeners.push(listener.try_clone()?);
                    door.listen(port, listener.into());
                }
                (Some((InsideMessage::Listener(_), _)), None) => {}
                (Some((InsideMessage::TooManyProcesses, _)), _) => {
                    guard.record(LimitKind::Processes);
                }
            }
        }
    }

    /// Receives the next message; `None` when the launcher has ended.
    async fn receive(&self) -> io::Result<Option<(InsideMessage, OwnedFd)>> {
        let receive = |socket: &OwnedFd| receive_message(socket, RecvFlags::DONTWAIT);
        let received = self.0.async_io(Interest::READABLE, receive).await?;
        let parse = |(text, descriptor): (Vec<u8>, OwnedFd)| {
            Ok((serde_json::from_slice(&text)?, descriptor))
        };
        received.map(parse).transpose()
    }
}

/// Waits for the end of a process; at once where there is none.
async fn wait_for(process: Option<&AsyncFd<OwnedFd>>) -> io::Result<()> {
    match process {
        Some(process) => process.readable().await.map(drop),
        None => Ok(()),
    }
}

fn send_message(socket: &OwnedFd, text: &[u8], descriptor: &OwnedFd) -> io::Result<()> {
    let descriptors = [descriptor.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
    sendmsg(
        socket,
        &[IoSlice::new(text)],
        &mut ancillary,
        SendFlags::NOSIGNAL,
    )?;
    Ok(())
}

/// Receives a message with its descriptor; `None` at the end of file.
fn receive_message(socket: &OwnedFd, flags: RecvFlags) -> io::Result<Option<(Vec<u8>, OwnedFd)>> {
    let mut text = [0; LONGEST];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let flags = flags | RecvFlags::CMSG_CLOEXEC;
    let received = rustix::io::retry_on_intr(|| {
        recvmsg(
            socket,
            &mut [IoSliceMut::new(&mut text)],
            &mut ancillary,
            flags,
        )
    })?;
    if received.bytes == 0 {
        return Ok(None);
    }
    let mut descriptors = ancillary.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    let descriptor = descriptors
        .next()
        .ok_or_else(|| io::Error::other("a message without its descriptor"))?;
    Ok(Some((text[..received.bytes].to_vec(), descriptor)))
}
