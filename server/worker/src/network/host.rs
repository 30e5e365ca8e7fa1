//! Hosts and the rules that name them.
//!
//! A host is read once, as browsers read it: lower case, punycode, no dot at the end, and an address in
//! whatever notation (`0x7f.1`, `2130706433`, `[::ffff:127.0.0.1]`) as that address. Rules are read in the
//! same way and compared label by label, so no two spellings of one host are judged differently.

use std::{fmt, net::IpAddr, str::FromStr};

use url::Url;

use super::address::plain_address;

/// The longest name that the domain name system has.
const NAME_BYTES: usize = 253;
/// The longest label of a name.
const LABEL_BYTES: usize = 63;
/// The ports that a rule without a port covers.
const WEB_PORTS: [u16; 2] = [80, 443];

/// Names a host: by its name, or by its address.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum HostName {
    /// A name in lower case, in ASCII, without a dot at its end.
    Name(String),
    /// An address. One of version 4 is never mapped into version 6.
    Address(IpAddr),
}

impl HostName {
    /// Reads a host. Addresses of version 6 may be in brackets.
    ///
    /// # Errors
    ///
    /// Says why the text is no host.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not the name or the address of a host");
        let bare = text
            .strip_prefix('[')
            .and_then(|text| text.strip_suffix(']'))
            .unwrap_or(text);
        if let Ok(address) = bare.parse::<IpAddr>() {
            return Ok(Self::Address(plain_address(address)));
        }
        // Nothing is decoded: what is written in percent is nobody's host.
        if text.contains('%') {
            return Err(wrong());
        }
        let text = text.strip_suffix('.').unwrap_or(text);
        match url::Host::parse(text).map_err(|_| wrong())? {
            url::Host::Ipv4(address) => Ok(Self::Address(address.into())),
            url::Host::Ipv6(address) => Ok(Self::Address(plain_address(address.into()))),
            url::Host::Domain(name) => {
                let fits = |label: &str| !label.is_empty() && label.len() <= LABEL_BYTES;
                if name.len() <= NAME_BYTES && name.split('.').all(fits) {
                    Ok(Self::Name(name))
                } else {
                    Err(wrong())
                }
            }
        }
    }
}

impl HostName {
    /// Returns whether the host stands for the machine it is resolved on.
    pub(super) fn is_this_machine(&self) -> bool {
        match self {
            Self::Name(name) => name.rsplit('.').next() == Some("localhost"),
            Self::Address(address) => address.is_loopback() || address.is_unspecified(),
        }
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(address) => address.fmt(f),
        }
    }
}

/// A port of a host that a program wants to reach.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct HostPort {
    /// The host.
    pub host: HostName,
    /// The port.
    pub port: u16,
}

impl HostPort {
    /// Reads `host:port`; without a port it is `default`.
    ///
    /// # Errors
    ///
    /// Says why the text is no host and port.
    pub fn parse(text: &str, default: Option<u16>) -> Result<Self, String> {
        let (host, port) = split_port(text)?;
        let port = port
            .or(default)
            .ok_or_else(|| format!("{text:?} has no port"))?;
        Ok(Self {
            host: HostName::parse(host)?,
            port,
        })
    }
}

impl HostPort {
    /// Returns the setting that allows the host and port, and what has to be added to it.
    pub fn allowing_setting(&self) -> (&'static str, String) {
        if self.host.is_this_machine() {
            ("network.loopback", self.port.to_string())
        } else {
            ("network.allow", HostRule::exactly(self).to_string())
        }
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host {
            HostName::Address(IpAddr::V6(address)) => write!(f, "[{address}]:{}", self.port),
            _ => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// Splits a port off a host. An address of version 6 has one only behind brackets.
fn split_port(text: &str) -> Result<(&str, Option<u16>), String> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if host.ends_with(']') || !host.contains(':') => (host, port),
        _ => return Ok((text, None)),
    };
    let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    match port.parse::<u16>() {
        Ok(port) if digits && port > 0 => Ok((host, Some(port))),
        _ => Err(format!("{port:?} is not a port")),
    }
}

/// Allows hosts: one, or all below one name; on one port, or on those of the web.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct HostRule {
    host: HostName,
    /// Whether the rule is about every name below `host`, and not about `host` itself.
    below: bool,
    port: Option<u16>,
}

impl FromStr for HostRule {
    type Err = String;

    /// Reads `host`, `*.host`, `host:port`, `address:port` or `[address]:port`.
    fn from_str(text: &str) -> Result<Self, String> {
        if let Some((before, behind)) = text.split_once('/') {
            return Err(explain_slash(text, before, behind));
        }
        let (host, port) = split_port(text)?;
        let (name, below) = match host.strip_prefix("*.") {
            Some(name) => (name, true),
            None => (host, false),
        };
        if name.contains('*') {
            return Err(format!(
                "in {text:?} a `*` can only stand for the first labels, as in `*.example.org`"
            ));
        }
        let host = HostName::parse(name)?;
        if below && matches!(host, HostName::Address(_)) {
            return Err(format!("{text:?} puts a `*` before an address"));
        }
        Ok(Self { host, below, port })
    }
}

/// Says what is wrong with a rule that has a slash: it is an address of the web, or a block of addresses.
fn explain_slash(text: &str, before: &str, behind: &str) -> String {
    let is_block = before.parse::<IpAddr>().is_ok() && behind.parse::<u8>().is_ok();
    if is_block {
        return format!(
            "{text:?} is a block of addresses; name each address, as in `{before}` or `{before}:5432`, or the host"
        );
    }
    let url = match text.contains("://") {
        true => Url::parse(text),
        false => Url::parse(&format!("https://{text}")),
    };
    let host = url.ok().and_then(|url| {
        let host = url.host_str()?.to_owned();
        Some(
            url.port()
                .map_or(host.clone(), |port| format!("{host}:{port}")),
        )
    });
    let host = host.unwrap_or_else(|| "example.org".to_owned());
    format!("{text:?} is more than a host; write the host alone, as in `{host}`")
}

impl fmt::Display for HostRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.below {
            f.write_str("*.")?;
        }
        match (self.port, &self.host) {
            (None, host) => host.fmt(f),
            (Some(port), host) => HostPort {
                host: host.clone(),
                port,
            }
            .fmt(f),
        }
    }
}

impl HostRule {
    /// Returns the rule that allows exactly one port of one host.
    pub fn exactly(target: &HostPort) -> Self {
        Self {
            host: target.host.clone(),
            below: false,
            port: Some(target.port).filter(|port| !WEB_PORTS.contains(port)),
        }
    }

    /// Returns whether the rule allows the target.
    pub fn covers(&self, target: &HostPort) -> bool {
        let port = match self.port {
            Some(port) => port == target.port,
            None => WEB_PORTS.contains(&target.port),
        };
        port && match (&self.host, &target.host) {
            (HostName::Name(rule), HostName::Name(name)) if self.below => is_below(name, rule),
            (rule, host) => !self.below && rule == host,
        }
    }

    /// Returns whether the rule names the target itself, and not all names below one.
    pub(super) fn names(&self, target: &HostPort) -> bool {
        !self.below && self.covers(target)
    }
}

/// Returns whether a name has the labels of another at its end, and at least one before them.
fn is_below(name: &str, parent: &str) -> bool {
    let mut labels = name.split('.').rev();
    parent
        .split('.')
        .rev()
        .all(|label| labels.next() == Some(label))
        && labels.next().is_some()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn host(text: &str) -> String {
        HostName::parse(text).map_or_else(|_| "-".to_owned(), |host| host.to_string())
    }

    #[test]
    fn one_host_has_one_form() {
        for (text, expected) in [
            ("Example.ORG", "example.org"),
            ("example.org.", "example.org"),
            ("example.org..", "-"),
            (".example.org", "-"),
            ("a..b", "-"),
            ("", "-"),
            (".", "-"),
            ("bücher.example", "xn--bcher-kva.example"),
            ("XN--BCHER-KVA.example", "xn--bcher-kva.example"),
            ("ｅｘａｍｐｌｅ。org", "example.org"),
            ("127.0.0.1", "127.0.0.1"),
            ("0x7f.1", "127.0.0.1"),
            ("2130706433", "127.0.0.1"),
            ("017700000001", "127.0.0.1"),
            ("127.1", "127.0.0.1"),
            ("127.0.0.1.", "127.0.0.1"),
            ("[::1]", "::1"),
            ("::1", "::1"),
            ("[::ffff:127.0.0.1]", "127.0.0.1"),
            ("::ffff:7f00:1", "127.0.0.1"),
            ("[fe80::1%25eth0]", "-"),
            ("%6cocalhost", "-"),
            ("a b", "-"),
            ("a/b", "-"),
            ("a@b", "-"),
            ("a\0b", "-"),
            ("a\r\nb", "-"),
            ("my_host", "my_host"),
            ("1.2.3.4.5", "-"),
        ] {
            assert_eq!(host(text), expected, "{text:?}");
        }
        assert_eq!(host(&format!("{}.org", "a".repeat(64))), "-");
        assert_eq!(host(&"a.".repeat(130)), "-");
    }

    #[track_caller]
    fn check(rule: &str, target: &str, covered: bool) {
        let parsed: HostRule = rule.parse().unwrap();
        let target = HostPort::parse(target, None).unwrap();
        assert_eq!(parsed.covers(&target), covered, "{rule} and {target}");
    }

    #[test]
    fn rules_are_compared_label_by_label() {
        check("example.org", "example.org:443", true);
        check("example.org", "EXAMPLE.org.:80", true);
        check("example.org", "example.org:8080", false);
        check("example.org", "www.example.org:443", false);
        check("example.org", "evilexample.org:443", false);
        check("example.org", "example.org.evil.com:443", false);
        check("example.org:8080", "example.org:8080", true);
        check("example.org:8080", "example.org:443", false);
        check("*.example.org", "a.example.org:443", true);
        check("*.example.org", "a.b.example.org:443", true);
        check("*.example.org", "example.org:443", false);
        check("*.example.org", "evil-example.org:443", false);
        check("*.example.org", "evilexample.org:443", false);
        check("*.Bücher.example", "a.xn--bcher-kva.example:443", true);
        check("10.0.0.5:5432", "10.0.0.5:5432", true);
        check("10.0.0.5:5432", "[::ffff:10.0.0.5]:5432", true);
        check("10.0.0.5:5432", "0xa000005:5432", true);
        check("10.0.0.5:5432", "10.0.0.50:5432", false);
        check("[::1]:8080", "[0:0::1]:8080", true);
        check("::1", "[::1]:80", true);
    }

    #[test]
    fn broken_rules_are_refused() {
        for rule in [
            "",
            "*",
            "*.",
            "a*.org",
            "*.*.org",
            "*.10.0.0.1",
            "a:0",
            "a:99999",
            "a:b",
            "a:",
            "a:+80",
            "https://a",
            "a/b",
            "[::1]:",
            "a b",
        ] {
            assert!(rule.parse::<HostRule>().is_err(), "{rule:?}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_rule_is_said() {
        for (rule, expected) in [
            (
                "https://Example.org:8443/simple",
                "is more than a host; write the host alone, as in `example.org:8443`",
            ),
            ("example.org/x", "write the host alone, as in `example.org`"),
            (
                "10.0.0.0/8",
                "is a block of addresses; name each address, as in `10.0.0.0` or `10.0.0.0:5432`, or the host",
            ),
            ("fd00::/8", "is a block of addresses"),
            (
                "*",
                "a `*` can only stand for the first labels, as in `*.example.org`",
            ),
            ("*.10.0.0.1", "puts a `*` before an address"),
            ("a:99999", "\"99999\" is not a port"),
            ("fe80::1%eth0", "is not the name or the address of a host"),
        ] {
            let error = rule.parse::<HostRule>().unwrap_err();
            assert!(error.contains(expected), "{rule}: {error}");
        }
    }

    proptest! {
        #[test]
        fn reading_is_stable(text in "[a-zA-Z0-9äßΩ。.:\\[\\]%_x-]{0,40}") {
            if let Ok(host) = HostName::parse(&text) {
                let again = HostName::parse(&host.to_string());
                prop_assert_eq!(again.as_ref(), Ok(&host));
            }
        }

        #[test]
        fn a_rule_reads_what_it_writes(
            name in "[a-z0-9]([a-z0-9-]{0,5}[a-z0-9])?(\\.[a-z]{1,5}){1,3}",
            below: bool,
            port in proptest::option::of(1_u16..),
        ) {
            let port = port.map_or(String::new(), |port| format!(":{port}"));
            let text = format!("{}{name}{port}", if below { "*." } else { "" });
            if let Ok(rule) = text.parse::<HostRule>() {
                prop_assert_eq!(rule.to_string(), text);
            }
        }

        #[test]
        fn no_name_is_covered_by_its_ending_alone(
            prefix in "[a-z0-9-]{1,8}",
            name in "[a-z]{1,5}(\\.[a-z]{1,5}){1,3}",
        ) {
            for rule in [name.clone(), format!("*.{name}")] {
                let rule: HostRule = rule.parse().unwrap();
                if let Ok(target) = HostPort::parse(&format!("{prefix}{name}:443"), None) {
                    prop_assert!(!rule.covers(&target), "{rule} and {target}");
                }
            }
            let rule: HostRule = format!("*.{name}").parse().unwrap();
            if let Ok(target) = HostPort::parse(&format!("{prefix}.{name}:443"), None) {
                prop_assert!(rule.covers(&target));
            }
        }

        #[test]
        fn an_address_in_any_notation_is_that_address(address: u32, port in 1_u16..) {
            let plain = std::net::Ipv4Addr::from(address);
            let [a, b, c, d] = plain.octets();
            let rule: HostRule = format!("{plain}:{port}").parse().unwrap();
            for text in [
                address.to_string(),
                format!("{address:#x}"),
                format!("0{address:o}"),
                format!("{a:#x}.{b}.{}", u32::from(c) << 8 | u32::from(d)),
                format!("[::ffff:{plain}]"),
                format!("{plain}."),
            ] {
                let target = HostPort::parse(&format!("{text}:{port}"), None).unwrap();
                prop_assert!(rule.covers(&target), "{} and {}", rule, text);
            }
        }
    }
}
