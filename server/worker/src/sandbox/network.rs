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

    /// Returns the ports of [`Self::ports`] that are the door's own, and not the machine's. Where programs share the
    /// machine's loopback address, these get other numbers.
    fn own_ports(&self) -> Vec<u16>;

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
    /// The door's own ports, and where each is.
    moved: Vec<(u16, u16)>,
    listeners: Vec<TcpListener>,
}

impl HostPorts {
    /// Opens the door. A port of its own is a free one here, since other sandboxes have doors too; any other is the
    /// machine's.
    pub(super) fn open(door: &dyn NetworkDoor) -> io::Result<Self> {
        let mut opened = Self {
            ports: Vec::new(),
            variables: Vec::new(),
            moved: Vec::new(),
            listeners: Vec::new(),
        };
        let own = door.own_ports();
        for port in door.ports() {
            if !own.contains(&port) {
                opened.ports.push(port);
                continue;
            }
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            let free = listener.local_addr()?.port();
            opened.moved.push((port, free));
            opened.ports.push(free);
            opened.listeners.push(listener.try_clone()?);
            door.listen(port, listener);
        }
        let mut variables = door.variables();
        opened.move_ports(&mut variables);
        opened.variables = variables;
        Ok(opened)
    }

    /// Replaces the door's own ports in variables by those that they have here.
    pub(super) fn move_ports(&self, variables: &mut [(OsString, OsString)]) {
        for (_, value) in variables {
            for (port, free) in &self.moved {
                if let Some(text) = value.to_str() {
                    let moved = text.replace(&inside(*port), &inside(*free));
                    *value = moved.into();
                }
            }
        }
    }
}

/// Names a port as variables do.
fn inside(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

impl Drop for HostPorts {
    fn drop(&mut self) {
        for listener in &self.listeners {
            let _ = rustix::net::shutdown(listener, rustix::net::Shutdown::Read);
        }
    }
}
