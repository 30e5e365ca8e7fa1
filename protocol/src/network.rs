//! What programs in a sandbox may reach of the network, and what they have reached.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Span;

/// Limits the hosts that a report of one job names.
pub const NAMED_HOSTS: usize = 256;

/// Decides about hosts that no list names.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Debug,
    Default,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub enum NetworkMode {
    /// Deny them.
    Closed,
    /// Ask somebody. Where nobody can answer, deny them.
    #[default]
    Ask,
    /// Leave the machine's own network to the programs, without any control.
    Open,
}

/// The network of a job.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct NetworkPolicy {
    /// What happens to hosts that no list names.
    pub mode: NetworkMode,
    /// Hosts that are allowed: `example.org`, `*.example.org`, `example.org:8443`, `10.0.0.5:5432`.
    #[serde(default)]
    pub allow: Vec<String>,
    /// Package registries, in the same form.
    #[serde(default)]
    pub registries: Vec<String>,
    /// Ports of the machine's own loopback address that are handed in.
    #[serde(default)]
    pub loopback: Vec<u16>,
    /// The longest wait for an answer. Then the host is denied.
    #[serde(default)]
    pub answer_timeout: Span,
}

/// Counts the connections of a job, or of a goal, to one port of one host.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS))]
#[serde(rename_all = "camelCase")]
pub struct HostTraffic {
    /// The host: a name in lower case, or an address.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Connections that were allowed.
    pub allowed: u64,
    /// Connections that were denied.
    pub denied: u64,
    /// Bytes sent to the host.
    pub sent: u64,
    /// Bytes received from the host.
    pub received: u64,
}

impl HostTraffic {
    /// Returns the counts of a host that nobody has reached yet.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self {
            host: host.into(),
            port,
            allowed: 0,
            denied: 0,
            sent: 0,
            received: 0,
        }
    }

    /// Adds the counts of `other`.
    pub fn add_counts(&mut self, other: &Self) {
        self.allowed = self.allowed.saturating_add(other.allowed);
        self.denied = self.denied.saturating_add(other.denied);
        self.sent = self.sent.saturating_add(other.sent);
        self.received = self.received.saturating_add(other.received);
    }

    /// Formats host and port as one word: `example.org:443`, `[::1]:80`.
    pub fn address(&self) -> String {
        host_and_port(&self.host, self.port)
    }
}

/// Formats a host and a port as one word. Addresses of version 6 are put in brackets.
pub fn host_and_port(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}
