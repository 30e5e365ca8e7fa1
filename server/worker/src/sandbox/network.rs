//! The network of programs in a sandbox: a namespace of its own, and the door out of it.

use std::{
    ffi::OsString,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener},
};

use super::{
    control::LauncherSocket,
    supervise::{NamedStep, StepError},
    sys,
};

/// Serves what programs in a sandbox reach of the network.
pub trait NetworkDoor: Send + Sync + std::fmt::Debug {
    /// Returns the ports on 127.0.0.1 and ::1 inside that the door listens on.
    fn ports(&self) -> Vec<u16>;

    /// Takes over a listener inside. Called for each port and address each time a program starts, in a
    /// runtime. When the program has ended the listener is shut down: accepting from it then fails, which
    /// is the sign to drop it.
    fn listen(&self, port: u16, listener: TcpListener);

    /// Returns the variables that lead programs to the door (proxy variables).
    fn variables(&self) -> Vec<(OsString, OsString)>;
}

/// Makes the loopback interface of a new network namespace usable, and hands its listeners out.
pub(super) fn open_listeners(ports: &[u16], socket: &LauncherSocket) -> Result<(), StepError> {
    sys::bring_up_loopback().step(|| "start the loopback interface".into())?;
    for &port in ports {
        for address in [
            IpAddr::from(Ipv4Addr::LOCALHOST),
            IpAddr::from(Ipv6Addr::LOCALHOST),
        ] {
            match TcpListener::bind((address, port)) {
                Ok(listener) => socket
                    .send_listener(port, listener)
                    .step(|| format!("hand out port {port}"))?,
                Err(e) if address.is_ipv6() && lacks_address(&e) => {}
                Err(e) => return Err(e).step(|| format!("listen on port {port} inside")),
            }
        }
    }
    Ok(())
}

/// Whether the machine has no IPv6.
fn lacks_address(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EADDRNOTAVAIL | libc::EAFNOSUPPORT)
    )
}
