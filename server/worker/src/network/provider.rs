//! The provider of a job's agent, as the door has to know it.

use url::Url;

use super::host::{HostName, HostPort, HostRule};

/// The hosts of a provider.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ProviderHosts {
    /// What may be reached.
    pub(super) rules: Vec<HostRule>,
    /// Ports of the machine's own loopback address: a provider, or a gateway to one, that runs on it.
    pub(super) loopback: Vec<u16>,
}

impl ProviderHosts {
    /// Reads addresses that an agent names: hosts, and the base URLs of interfaces.
    pub fn read(addresses: &[String]) -> Self {
        let mut provider = Self::default();
        for address in addresses {
            if let Err(error) = provider.add(address) {
                tracing::warn!(error, "ignored an address of an agent's provider");
            }
        }
        provider
    }

    fn add(&mut self, address: &str) -> Result<(), String> {
        if !address.contains("://") {
            self.rules.push(address.parse()?);
            return Ok(());
        }
        let url = Url::parse(address).map_err(|error| format!("{address:?}: {error}"))?;
        let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
            return Err(format!("{address:?} names no host"));
        };
        let host = HostName::parse(host)?;
        let is_own = match &host {
            HostName::Name(name) => name == "localhost",
            HostName::Address(address) => address.is_loopback(),
        };
        if is_own {
            self.loopback.push(port);
        } else {
            self.rules.push(HostRule::exactly(&HostPort { host, port }));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn providers_are_hosts_or_ports_of_this_machine() {
        let read = |address: &str| {
            let provider = ProviderHosts::read(&[address.to_owned()]);
            let rules = provider.rules.iter().map(HostRule::to_string);
            (rules.collect::<Vec<_>>().join(","), provider.loopback)
        };
        for (address, rule, port) in [
            ("api.anthropic.com", "api.anthropic.com", None),
            ("https://api.anthropic.com/v1", "api.anthropic.com", None),
            ("https://gateway.corp:8443", "gateway.corp:8443", None),
            ("http://10.0.0.5:4000/x", "10.0.0.5:4000", None),
            ("http://127.0.0.1:4000", "", Some(4000)),
            ("http://localhost", "", Some(80)),
            ("http://[::1]:4000", "", Some(4000)),
            ("not a url://", "", None),
        ] {
            let ports: Vec<u16> = port.into_iter().collect();
            assert_eq!(read(address), (rule.to_owned(), ports), "{address}");
        }
    }
}
