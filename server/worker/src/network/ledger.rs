//! The connections of a job, counted by host and port.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use claudecluster_protocol::{
    event::AgentEvent,
    network::{HostTraffic, NAMED_HOSTS},
};
use tokio::sync::mpsc;

use super::host::HostPort;

/// The first connections to a host that are each told to watchers.
const TOLD_EACH: u64 = 3;

/// Counts connections, and tells watchers of them. A job that reaches many hosts, or one host many times, costs
/// a bounded amount of memory and of events.
#[derive(Debug)]
pub(super) struct TrafficLedger {
    hosts: Mutex<CountedHosts>,
    events: mpsc::Sender<AgentEvent>,
}

#[derive(Debug, Default)]
struct CountedHosts {
    by_address: BTreeMap<(String, u16), HostTraffic>,
    /// Connections to hosts beyond those counted.
    more: u64,
}

impl TrafficLedger {
    /// Returns an empty ledger that tells `events`.
    pub(super) fn new(events: mpsc::Sender<AgentEvent>) -> Self {
        Self {
            hosts: Mutex::default(),
            events,
        }
    }

    /// Counts a connection that was denied.
    pub(super) fn count_denied(&self, target: &HostPort) {
        self.add(target, |host| host.denied += 1);
    }

    /// Returns the counts of a connection that is allowed. It is counted when they are dropped.
    pub(super) fn open_connection(self: &Arc<Self>, target: HostPort) -> ConnectionCounts {
        ConnectionCounts {
            ledger: self.clone(),
            target,
            sent: Arc::default(),
            received: Arc::default(),
        }
    }

    /// Returns the counts so far, in the order of hosts, and the number of connections to other hosts.
    pub(super) fn totals(&self) -> (Vec<HostTraffic>, u64) {
        let hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        (hosts.by_address.values().cloned().collect(), hosts.more)
    }

    fn add(&self, target: &HostPort, count: impl FnOnce(&mut HostTraffic)) {
        let key = (target.host.to_string(), target.port);
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if hosts.by_address.len() >= NAMED_HOSTS && !hosts.by_address.contains_key(&key) {
            hosts.more += 1;
            return;
        }
        let new = || HostTraffic::new(key.0.clone(), key.1);
        let host = hosts.by_address.entry(key.clone()).or_insert_with(new);
        let denied = host.denied;
        count(host);
        let connections = host.allowed + host.denied;
        if connections <= TOLD_EACH || connections.is_power_of_two() {
            // No watcher may hold up a connection.
            let _ = self.events.try_send(AgentEvent::Connection {
                host: host.host.clone(),
                port: host.port,
                allowed: host.denied == denied,
                connections,
                sent: host.sent,
                received: host.received,
            });
        }
    }
}

/// Counts the bytes of one connection.
#[derive(Debug)]
pub(super) struct ConnectionCounts {
    ledger: Arc<TrafficLedger>,
    target: HostPort,
    /// Bytes to the host.
    pub(super) sent: Arc<AtomicU64>,
    /// Bytes from the host.
    pub(super) received: Arc<AtomicU64>,
}

impl Drop for ConnectionCounts {
    fn drop(&mut self) {
        let sent = self.sent.load(Ordering::Relaxed);
        let received = self.received.load(Ordering::Relaxed);
        self.ledger.add(&self.target, |host| {
            host.allowed += 1;
            host.sent = host.sent.saturating_add(sent);
            host.received = host.received.saturating_add(received);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chatty_jobs_are_counted_in_bounded_space() {
        let (events, mut told) = mpsc::channel(4096);
        let ledger = Arc::new(TrafficLedger::new(events));
        let chatty = HostPort::parse("a.example:443", None).unwrap();
        for _ in 0..1000 {
            let counts = ledger.open_connection(chatty.clone());
            counts.sent.fetch_add(2, Ordering::Relaxed);
            counts.received.fetch_add(3, Ordering::Relaxed);
        }
        for n in 0..NAMED_HOSTS {
            let target = HostPort::parse(&format!("h{n}.example:443"), None).unwrap();
            ledger.count_denied(&target);
        }
        let (hosts, more) = ledger.totals();
        assert_eq!((hosts.len(), more), (NAMED_HOSTS, 1));
        let expected = HostTraffic {
            allowed: 1000,
            sent: 2000,
            received: 3000,
            ..HostTraffic::new("a.example", 443)
        };
        assert_eq!(hosts[0], expected);
        let mut connections = Vec::new();
        while let Ok(AgentEvent::Connection {
            host,
            connections: n,
            ..
        }) = told.try_recv()
        {
            if host == "a.example" {
                connections.push(n);
            }
        }
        assert_eq!(connections, [1, 2, 3, 4, 8, 16, 32, 64, 128, 256, 512]);
    }
}
