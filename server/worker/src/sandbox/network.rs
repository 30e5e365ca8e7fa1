//! The network of programs in a sandbox: a namespace of its own, and the door out of it.

use std::{
    ffi::OsString,
    io,
    net::{Ipv4Addr, TcpListener},
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

/// The door of a sandbox without a network of its own: on ports of the machine's loopback interface.
#[derive(Debug)]
pub(super) struct HostPorts {
    /// The ports that programs may connect to.
    pub(super) ports: Vec<u16>,
    /// The variables that lead to the door.
    pub(super) variables: Vec<(OsString, OsString)>,
    listeners: Vec<TcpListener>,
}

impl HostPorts {
    /// Opens the door. A port that its variables name is a free one here, since other sandboxes have doors too; any
    /// other is the machine's own port.
    pub(super) fn open(door: &dyn NetworkDoor) -> io::Result<Self> {
        let mut opened = Self {
            ports: Vec::new(),
            variables: door.variables(),
            listeners: Vec::new(),
        };
        for port in door.ports() {
            let inside = format!("127.0.0.1:{port}");
            let names = |text: &OsString| text.to_str().is_some_and(|t| t.contains(&inside));
            if !opened.variables.iter().any(|(_, value)| names(value)) {
                opened.ports.push(port);
                continue;
            }
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            let address = listener.local_addr()?;
            for (_, value) in &mut opened.variables {
                if let Some(text) = value.to_str() {
                    *value = text.replace(&inside, &address.to_string()).into();
                }
            }
            opened.ports.push(address.port());
            opened.listeners.push(listener.try_clone()?);
            door.listen(port, listener);
        }
        Ok(opened)
    }
}

impl Drop for HostPorts {
    fn drop(&mut self) {
        for listener in &self.listeners {
            let _ = rustix::net::shutdown(listener, rustix::net::Shutdown::Read);
        }
    }
}
