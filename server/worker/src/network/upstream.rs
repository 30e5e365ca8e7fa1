//! The proxy through which the user's own machine reaches the network, as in many companies.

use std::net::IpAddr;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use percent_encoding::percent_decode_str;
use url::Url;

use super::host::{HostName, HostPort};

/// The proxies that the user's environment names.
#[derive(Clone, Debug, Default)]
pub struct UpstreamProxies {
    http: Option<Upstream>,
    https: Option<Upstream>,
    direct: Vec<DirectRule>,
}

/// A proxy that is spoken to in HTTP.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct UpstreamProxy {
    pub(super) host: HostPort,
    /// The value of `Proxy-Authorization`.
    pub(super) authorization: Option<String>,
}

/// A proxy of the environment, or why it cannot be used.
type Upstream = Result<UpstreamProxy, String>;

/// One entry of `NO_PROXY`.
#[derive(Clone, PartialEq, Eq, Debug)]
enum DirectRule {
    All,
    /// A name with all names below it, or an address; on one port or on all.
    Host(HostName, Option<u16>),
    /// A block of addresses.
    Block(IpAddr, u8),
}

impl UpstreamProxies {
    /// Reads the proxies from variables, as `curl` does: lower case first.
    pub fn from_variables(get: impl Fn(&str) -> Option<String>) -> Self {
        let find = |name: &str| {
            let named = get(name).or_else(|| get(&name.to_ascii_uppercase()));
            named
                .map(|value| value.trim().to_owned())
                .filter(|value| !value.is_empty())
        };
        let proxy = |name| {
            let named = find(name).or_else(|| find("all_proxy"));
            named.map(|text| read_upstream(&text))
        };
        let direct = find("no_proxy").unwrap_or_default();
        Self {
            http: proxy("http_proxy"),
            https: proxy("https_proxy"),
            direct: direct.split([',', ' ']).filter_map(read_direct).collect(),
        }
    }

    /// Returns the proxy for a host; `None` if it is reached directly.
    pub(super) fn proxy_for(&self, target: &HostPort, plain_http: bool) -> Option<&Upstream> {
        if self.direct.iter().any(|rule| rule.covers(target)) {
            return None;
        }
        let proxy = if plain_http { &self.http } else { &self.https };
        proxy.as_ref()
    }
}

impl DirectRule {
    fn covers(&self, target: &HostPort) -> bool {
        match (self, &target.host) {
            (Self::All, _) => true,
            (Self::Host(rule, port), host) => {
                let same = match (rule, host) {
                    (HostName::Name(rule), HostName::Name(name)) => {
                        let before = name.strip_suffix(rule.as_str());
                        before.is_some_and(|before| before.is_empty() || before.ends_with('.'))
                    }
                    (rule, host) => rule == host,
                };
                same && port.is_none_or(|port| port == target.port)
            }
            (Self::Block(block, bits), HostName::Address(address)) => {
                in_block(*address, *block, *bits)
            }
            (Self::Block(..), HostName::Name(_)) => false,
        }
    }
}

fn in_block(address: IpAddr, block: IpAddr, bits: u8) -> bool {
    match (address, block) {
        (IpAddr::V4(address), IpAddr::V4(block)) => {
            let shift = 32_u32.saturating_sub(bits.into());
            let of = |bits: u32| bits.checked_shr(shift).unwrap_or(0);
            of(address.to_bits()) == of(block.to_bits())
        }
        (IpAddr::V6(address), IpAddr::V6(block)) => {
            let shift = 128_u32.saturating_sub(bits.into());
            let of = |bits: u128| bits.checked_shr(shift).unwrap_or(0);
            of(address.to_bits()) == of(block.to_bits())
        }
        _ => false,
    }
}

fn read_direct(text: &str) -> Option<DirectRule> {
    let text = text.trim();
    if text == "*" {
        return Some(DirectRule::All);
    }
    if let Some((block, bits)) = text.split_once('/') {
        return Some(DirectRule::Block(block.parse().ok()?, bits.parse().ok()?));
    }
    let text = text.strip_prefix("*.").unwrap_or(text);
    let text = text.strip_prefix('.').unwrap_or(text);
    if let Ok(host) = HostName::parse(text) {
        return Some(DirectRule::Host(host, None));
    }
    let HostPort { host, port } = HostPort::parse(text, None).ok()?;
    Some(DirectRule::Host(host, Some(port)))
}

/// Reads the address of a proxy. The error names the proxy without its password.
fn read_upstream(text: &str) -> Upstream {
    let with_scheme = if text.contains("://") {
        text.to_owned()
    } else {
        format!("http://{text}")
    };
    let broken = || Err("the proxy in this machine's environment cannot be read".to_owned());
    let Ok(url) = Url::parse(&with_scheme) else {
        return broken();
    };
    let Some(host) = url.host_str() else {
        return broken();
    };
    if url.scheme() != "http" {
        return Err(format!(
            "the proxy {}://{host} in this machine's environment cannot be used for workers: only \
             proxies with `http://` can",
            url.scheme()
        ));
    }
    let Ok(host) = HostName::parse(host) else {
        return broken();
    };
    let user = url.username();
    let authorization = (!user.is_empty()).then(|| {
        let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let pair = format!(
            "{}:{}",
            decode(user),
            decode(url.password().unwrap_or_default())
        );
        format!("Basic {}", STANDARD.encode(pair))
    });
    Ok(UpstreamProxy {
        host: HostPort {
            host,
            port: url.port_or_known_default().unwrap_or(80),
        },
        authorization,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> UpstreamProxies {
        UpstreamProxies::from_variables(|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[track_caller]
    fn check(variables: &[(&str, &str)], target: &str, plain: bool, expected: Option<&str>) {
        let target = HostPort::parse(target, None).unwrap();
        let proxies = of(variables);
        let found = proxies.proxy_for(&target, plain).map(|proxy| match proxy {
            Ok(proxy) => proxy.host.to_string(),
            Err(error) => error.clone(),
        });
        assert_eq!(found.as_deref(), expected, "{target}");
    }

    #[test]
    fn proxies_are_those_of_the_environment() {
        let both = [("https_proxy", "http://p:3128"), ("HTTP_PROXY", "q")];
        check(&both, "a.example:443", false, Some("p:3128"));
        check(&both, "a.example:80", true, Some("q:80"));
        check(&[], "a.example:443", false, None);
        check(&[("ALL_PROXY", "p:1")], "a.example:443", false, Some("p:1"));
        let direct = [
            ("https_proxy", "p:1"),
            (
                "no_proxy",
                "a.example, .b.example,10.0.0.0/8,c.example:8443",
            ),
        ];
        for (target, expected) in [
            ("a.example:443", None),
            ("x.a.example:443", None),
            ("xa.example:443", Some("p:1")),
            ("x.b.example:443", None),
            ("10.9.9.9:443", None),
            ("11.9.9.9:443", Some("p:1")),
            ("c.example:8443", None),
            ("c.example:443", Some("p:1")),
        ] {
            check(&direct, target, false, expected);
        }
        check(
            &[("https_proxy", "p:1"), ("no_proxy", "*")],
            "a.example:443",
            false,
            None,
        );
    }

    #[test]
    fn passwords_stay_out_of_messages() {
        let proxies = of(&[("https_proxy", "http://me:p%40ss@p:3128")]);
        let target = HostPort::parse("a.example:443", None).unwrap();
        let proxy = proxies.proxy_for(&target, false).unwrap().clone().unwrap();
        assert_eq!(proxy.authorization.as_deref(), Some("Basic bWU6cEBzcw=="));
        let proxies = of(&[("https_proxy", "socks5://me:secret@p:1080")]);
        let error = proxies
            .proxy_for(&target, false)
            .unwrap()
            .clone()
            .unwrap_err();
        assert!(
            error.contains("socks5://p ") && !error.contains("secret"),
            "{error}"
        );
    }
}
