//! What programs in a sandbox reach of the network: through one door a job, by rules, counted.
//!
//! A sandbox with namespaces has a network of its own with nothing in it but its loopback address. A
//! [`TaskDoor`] listens on a port of that address: a proxy that speaks HTTP (CONNECT, and requests in absolute
//! form) and SOCKS 5. The door runs outside, in the worker's process, and takes over listeners that the sandbox
//! hands out, so nothing inside has to be trusted or kept running.
//!
//! Architecture invariants:
//! - No name is resolved and no byte leaves before the rules, or a person, have allowed the host.
//! - A connection goes to an address that was judged; no name is resolved twice for it.
//! - What a program says of itself is shown, and decides nothing.

mod address;
mod broker;
mod dial;
mod door;
mod host;
mod ledger;
mod provider;
mod questions;
mod relay;
mod request;
mod rules;
mod tunnel;
mod upstream;
mod variables;

use std::time::Duration;

use claudecluster_protocol::network::{NetworkMode, NetworkPolicy};

pub use self::{
    broker::KeyBroker,
    door::{DoorSetup, TaskDoor},
    host::{HostName, HostPort, HostRule},
    provider::ProviderHosts,
    rules::{NetworkRules, default_registries},
    upstream::UpstreamProxies,
    variables::is_proxy_variable,
};

/// Returns how long the programs of a job may wait for answers about hosts, all their questions together.
pub(crate) fn longest_wait(policy: &NetworkPolicy) -> Duration {
    match policy.mode {
        NetworkMode::Ask => {
            let each = policy.answer_timeout.to_duration();
            each.saturating_mul(questions::MOST_QUESTIONS)
        }
        NetworkMode::Closed | NetworkMode::Open => Duration::ZERO,
    }
}
