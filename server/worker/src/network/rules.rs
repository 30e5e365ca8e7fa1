//! What a job may reach.

use std::net::IpAddr;

use claudecluster_protocol::network::{NetworkMode, NetworkPolicy};

use super::{
    address::{AddressReach, address_reach},
    host::{HostName, HostPort, HostRule},
};

/// The package registries that every task may reach by default, as rules of `network.allow`.
pub fn default_registries() -> Vec<String> {
    let lines = include_str!("registries.txt").lines().map(str::trim);
    lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
        .collect()
}

/// What rules say about a host or an address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum HostVerdict {
    /// It may be reached.
    Allowed,
    /// Somebody has to be asked.
    Ask,
    /// It may not be reached, for this reason.
    Denied(String),
}

/// The rules of one job.
#[derive(Clone, Debug)]
pub struct NetworkRules {
    mode: NetworkMode,
    allow: Vec<HostRule>,
    loopback: Vec<u16>,
}

impl NetworkRules {
    /// Makes the rules of a job. `provider` names what the job's agent needs of its provider.
    ///
    /// A rule that cannot be read allows nothing: settings are checked where they are read.
    pub fn new(policy: &NetworkPolicy, provider: &[HostRule]) -> Self {
        let named = policy.allow.iter().chain(&policy.registries);
        let read = named.filter_map(|text| match text.parse::<HostRule>() {
            Ok(rule) => Some(rule),
            Err(error) => {
                tracing::warn!(error, "ignored a host that workers may reach");
                None
            }
        });
        Self {
            mode: policy.mode,
            allow: read.chain(provider.iter().cloned()).collect(),
            loopback: policy.loopback.clone(),
        }
    }

    /// Returns the ports of the machine's loopback address that are handed in.
    pub(super) fn loopback(&self) -> &[u16] {
        &self.loopback
    }

    /// Judges a host before its name is resolved. Nothing of a name that is not allowed leaves the machine, not
    /// even as a question to a name server.
    pub(super) fn judge_host(&self, target: &HostPort) -> HostVerdict {
        if target.host.is_this_machine() {
            if self.loopback.contains(&target.port) || self.names(target) {
                return HostVerdict::Allowed;
            }
            return HostVerdict::Denied(format!(
                "{target} is this machine's own; hand its port in with the setting `network.loopback`"
            ));
        }
        if self.allow.iter().any(|rule| rule.covers(target)) {
            return HostVerdict::Allowed;
        }
        match target.host {
            HostName::Address(address) if address_reach(address) == AddressReach::Barred => {
                HostVerdict::Denied(format!(
                    "{target} is an address that is only reached if `network.allow` names it"
                ))
            }
            _ => self.judge_unnamed(target),
        }
    }

    /// Judges an address that the name of a host leads to. Names are anybody's to point wherever they like.
    pub(super) fn judge_address(&self, target: &HostPort, address: IpAddr) -> HostVerdict {
        let at = HostPort {
            host: HostName::Address(address),
            port: target.port,
        };
        let is_own = target.host.is_this_machine() && self.loopback.contains(&target.port);
        match address_reach(address) {
            AddressReach::Public => HostVerdict::Allowed,
            _ if self.names(&at) || (is_own && address.is_loopback()) => HostVerdict::Allowed,
            AddressReach::Private if self.names(target) => HostVerdict::Allowed,
            AddressReach::Private => self.judge_unnamed(target),
            AddressReach::Barred => HostVerdict::Denied(format!(
                "{target} leads to {address}, which is only reached if `network.allow` names it"
            )),
        }
    }

    fn judge_unnamed(&self, target: &HostPort) -> HostVerdict {
        match self.mode {
            NetworkMode::Ask => HostVerdict::Ask,
            NetworkMode::Closed | NetworkMode::Open => {
                HostVerdict::Denied(format!("{target} is not on the list of allowed hosts"))
            }
        }
    }

    /// Returns whether a rule names the target itself.
    fn names(&self, target: &HostPort) -> bool {
        self.allow.iter().any(|rule| rule.names(target))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(mode: NetworkMode) -> NetworkRules {
        let policy = NetworkPolicy {
            mode,
            allow: [
                "*.corp.example",
                "git.corp.example",
                "10.0.0.5:5432",
                "169.254.169.254",
            ]
            .map(str::to_owned)
            .to_vec(),
            registries: default_registries(),
            loopback: vec![5432],
            ..NetworkPolicy::default()
        };
        NetworkRules::new(&policy, &["api.anthropic.com".parse().unwrap()])
    }

    fn word(verdict: &HostVerdict) -> &'static str {
        match verdict {
            HostVerdict::Allowed => "allowed",
            HostVerdict::Ask => "ask",
            HostVerdict::Denied(_) => "denied",
        }
    }

    #[test]
    fn hosts_are_judged_by_the_lists_and_the_mode() {
        let (closed, ask) = (rules(NetworkMode::Closed), rules(NetworkMode::Ask));
        for (target, in_closed, in_ask) in [
            ("index.crates.io:443", "allowed", "allowed"),
            ("index.crates.io:8080", "denied", "ask"),
            // Takes what is published, and no build needs it.
            ("crates.io:443", "denied", "ask"),
            ("api.anthropic.com:443", "allowed", "allowed"),
            ("example.org:443", "denied", "ask"),
            ("1.1.1.1:443", "denied", "ask"),
            ("10.0.0.5:5432", "allowed", "allowed"),
            ("10.0.0.6:5432", "denied", "ask"),
            ("127.0.0.1:5432", "allowed", "allowed"),
            ("localhost:5432", "allowed", "allowed"),
            ("db.localhost:5433", "denied", "denied"),
            ("0x7f.1:80", "denied", "denied"),
            ("0.0.0.0:80", "denied", "denied"),
            ("[::1]:80", "denied", "denied"),
            ("169.254.169.254:80", "allowed", "allowed"),
            ("169.254.169.253:80", "denied", "denied"),
            ("[64:ff9b::169.254.169.253]:80", "denied", "denied"),
        ] {
            let target = HostPort::parse(target, None).unwrap();
            assert_eq!(word(&closed.judge_host(&target)), in_closed, "{target}");
            assert_eq!(word(&ask.judge_host(&target)), in_ask, "{target}");
        }
    }

    #[test]
    fn names_do_not_lead_to_addresses_inside() {
        let rules = rules(NetworkMode::Ask);
        for (target, address, expected) in [
            ("index.crates.io:443", "1.1.1.1", "allowed"),
            ("index.crates.io:443", "127.0.0.1", "denied"),
            ("index.crates.io:443", "::ffff:127.0.0.1", "denied"),
            ("index.crates.io:443", "169.254.169.253", "denied"),
            // Somebody has named this very host, and this very address.
            ("git.corp.example:443", "10.1.2.3", "allowed"),
            ("git.corp.example:443", "127.0.0.1", "denied"),
            ("other.corp.example:443", "10.1.2.3", "ask"),
            ("index.crates.io:5432", "10.0.0.5", "allowed"),
            ("index.crates.io:80", "169.254.169.254", "allowed"),
            ("localhost:5432", "127.0.0.1", "allowed"),
        ] {
            let target = HostPort::parse(target, None).unwrap();
            let verdict = rules.judge_address(&target, address.parse().unwrap());
            assert_eq!(word(&verdict), expected, "{target} at {address}");
        }
    }

    #[test]
    fn every_registry_is_a_rule_of_its_own() {
        let registries = default_registries();
        for registry in &registries {
            let rule: HostRule = registry.parse().unwrap();
            assert_eq!(rule.to_string(), *registry);
        }
        let mut once = registries.clone();
        once.sort();
        once.dedup();
        assert_eq!(once.len(), registries.len());
    }
}
