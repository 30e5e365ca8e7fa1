//! Addresses that no name may lead to by itself.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Says how far an address reaches.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum AddressReach {
    /// Somewhere on the internet.
    Public,
    /// A private network. Reached where somebody has named the host or the address.
    Private,
    /// This machine, its link, a group of machines, or nothing: loopback, link-local (among them the metadata
    /// services of clouds), multicast, reserved. Reached only where its address itself is on the list.
    Barred,
}

/// Classifies an address. Addresses of version 6 that stand for one of version 4 count as that one.
pub(super) fn address_reach(address: IpAddr) -> AddressReach {
    match address {
        IpAddr::V4(address) => v4_reach(address),
        IpAddr::V6(address) => match embedded_v4(address) {
            Some(inner) => v4_reach(inner),
            None => v6_reach(address),
        },
    }
}

/// Returns the address in its plain form: one of version 4 that is mapped into version 6 as itself.
pub(super) fn plain_address(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

fn v4_reach(address: Ipv4Addr) -> AddressReach {
    let [a, b, c, _] = address.octets();
    let barred = address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        // "This network", which Linux connects to itself.
        || a == 0
        // Reserved, with the broadcast address.
        || a >= 240
        // Protocol assignments, among them those of NAT64 and DS-Lite.
        || (a, b, c) == (192, 0, 0);
    let private = address.is_private()
        // Carrier-grade NAT.
        || (a == 100 && (64..128).contains(&b))
        // Benchmarks of devices on a network of their own.
        || (a == 198 && (18..20).contains(&b));
    match (barred, private) {
        (true, _) => AddressReach::Barred,
        (false, true) => AddressReach::Private,
        (false, false) => AddressReach::Public,
    }
}

fn v6_reach(address: Ipv6Addr) -> AddressReach {
    let first = address.segments()[0];
    let is_link_local = first & 0xffc0 == 0xfe80;
    // Site-local, deprecated and private; unique local.
    let is_private = first & 0xffc0 == 0xfec0 || first & 0xfe00 == 0xfc00;
    if is_private {
        AddressReach::Private
    } else if is_link_local
        || address.is_loopback()
        || address.is_unspecified()
        || address.is_multicast()
        // What is assigned to the internet begins with 001.
        || first & 0xe000 != 0x2000
    {
        AddressReach::Barred
    } else {
        AddressReach::Public
    }
}

/// Returns the address of version 4 that one of version 6 leads to: mapped, compatible, NAT64, 6to4, Teredo.
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let s = address.segments();
    let of = |high: u16, low: u16| {
        let bytes = (u32::from(high) << 16) | u32::from(low);
        Some(Ipv4Addr::from(bytes))
    };
    match s {
        [0, 0, 0, 0, 0, 0xffff, high, low] => of(high, low),
        // Loopback and unspecified are version 6's own.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0, 0, 0, 0, 0, 0, high, low] | [0, 0, 0, 0, 0xffff, 0, high, low] => of(high, low),
        // The well-known prefix of NAT64, and the one for private use.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x64, 0xff9b, 1, _, _, _, high, low] => {
            of(high, low)
        }
        [0x2002, high, low, ..] => of(high, low),
        [0x2001, 0, _, _, _, _, high, low] => of(!high, !low),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_reach_as_far_as_their_blocks() {
        use AddressReach::{Barred, Private, Public};
        for (address, expected) in [
            ("1.1.1.1", Public),
            ("172.32.0.1", Public),
            ("100.128.0.1", Public),
            ("10.0.0.5", Private),
            ("172.31.255.255", Private),
            ("192.168.1.1", Private),
            ("100.64.0.1", Private),
            ("198.19.0.1", Private),
            ("127.0.0.1", Barred),
            ("127.255.0.9", Barred),
            ("0.0.0.0", Barred),
            ("0.1.2.3", Barred),
            ("169.254.169.254", Barred),
            ("224.0.0.251", Barred),
            ("255.255.255.255", Barred),
            ("240.0.0.1", Barred),
            ("192.0.0.170", Barred),
            ("2606:4700::1111", Public),
            ("::1", Barred),
            ("::", Barred),
            ("fe80::1", Barred),
            ("ff02::1", Barred),
            ("fd12::1", Private),
            ("fec0::1", Private),
            ("::ffff:127.0.0.1", Barred),
            ("::ffff:10.0.0.1", Private),
            ("::ffff:1.1.1.1", Public),
            ("::7f00:1", Barred),
            ("::ffff:0:127.0.0.1", Barred),
            ("64:ff9b::a9fe:a9fe", Barred),
            ("64:ff9b::101:101", Public),
            ("64:ff9b:1::a00:1", Private),
            ("2002:7f00:1::1", Barred),
            ("2002:a00:1::", Private),
            ("2001:0:53aa::80ff:fffe", Barred),
            ("5f00::1", Barred),
        ] {
            let address: IpAddr = address.parse().unwrap();
            assert_eq!(address_reach(address), expected, "{address}");
        }
    }
}
