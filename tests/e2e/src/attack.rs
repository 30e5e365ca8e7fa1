//! What the attacker is told about its surroundings, and what the tests watch: canaries.

use std::{io, path::PathBuf};

use serde_json::{Value, json};

/// What is worth attacking. The attacker is told all of it: the sandbox must not rest on what a worker cannot guess.
#[derive(Clone, Debug)]
pub struct AttackTargets {
    /// The daemon's state folder.
    pub state: PathBuf,
    /// The user's home folder.
    pub home: PathBuf,
    /// A folder outside the workspace whose files nobody may change.
    pub canary: PathBuf,
    /// A file of the user's home that nobody may read.
    pub secret: PathBuf,
    /// A socket outside that somebody listens on.
    pub socket: PathBuf,
    /// The abstract name of another.
    pub abstract_socket: String,
    /// The port on loopback that somebody listens on.
    pub tcp_port: u16,
    /// The port on loopback that somebody receives datagrams on.
    pub udp_port: u16,
    /// The description of a key in the user's keyring.
    pub key: String,
    /// The process id of the daemon.
    pub daemon: u32,
    /// The process id of a process of the same user that has nothing to do with the daemon.
    pub bystander: u32,
    /// The number that a process left behind sleeps for.
    pub sleeper: String,
}

impl AttackTargets {
    /// Reads what [`AttackTargets::to_json`] made.
    ///
    /// # Errors
    /// It is no JSON, or lacks something.
    pub fn parse(json: &str) -> io::Result<Self> {
        let value: Value = serde_json::from_str(json)?;
        let text = |name: &str| {
            let text = value[name].as_str().map(str::to_owned);
            text.ok_or_else(|| io::Error::other(format!("the targets lack {name}")))
        };
        let number = |name: &str| {
            let number = value[name].as_u64();
            number.ok_or_else(|| io::Error::other(format!("the targets lack {name}")))
        };
        Ok(Self {
            state: text("state")?.into(),
            home: text("home")?.into(),
            canary: text("canary")?.into(),
            secret: text("secret")?.into(),
            socket: text("socket")?.into(),
            abstract_socket: text("abstractSocket")?,
            tcp_port: u16::try_from(number("tcpPort")?).map_err(io::Error::other)?,
            udp_port: u16::try_from(number("udpPort")?).map_err(io::Error::other)?,
            key: text("key")?,
            daemon: u32::try_from(number("daemon")?).map_err(io::Error::other)?,
            bystander: u32::try_from(number("bystander")?).map_err(io::Error::other)?,
            sleeper: text("sleeper")?,
        })
    }

    /// The form in which the attacker reads it.
    pub fn to_json(&self) -> Value {
        json!({
            "state": self.state,
            "home": self.home,
            "canary": self.canary,
            "secret": self.secret,
            "socket": self.socket,
            "abstractSocket": self.abstract_socket,
            "tcpPort": self.tcp_port,
            "udpPort": self.udp_port,
            "key": self.key,
            "daemon": self.daemon,
            "bystander": self.bystander,
            "sleeper": self.sleeper,
        })
    }

    /// The daemon's journal.
    pub fn journal(&self) -> PathBuf {
        self.state.join("journal.db")
    }
}
