//! Which addresses are private: those that lead into this machine, its network, or nowhere.
//!
//! Sources: the IANA registries of special-purpose addresses for IPv4 and IPv6 (RFC 6890), and RFC 6052 and RFC 8215 for
//! addresses of IPv4 within those of IPv6.
//!
//! Invariant: an address that holds another one is as private as that one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Blocks of IPv4 that are not on the public internet: the address and the length of the prefix.
const V4: [([u8; 4], u32); 17] = [
    ([0, 0, 0, 0], 8),        // this network
    ([10, 0, 0, 0], 8),       // private
    ([100, 64, 0, 0], 10),    // shared by carriers
    ([127, 0, 0, 0], 8),      // loopback
    ([168, 63, 129, 16], 32), // the platform of Azure, which only its own machines reach
    ([169, 254, 0, 0], 16),   // link-local, and the metadata of clouds
    ([172, 16, 0, 0], 12),    // private
    ([192, 0, 0, 0], 24),     // protocols
    ([192, 0, 2, 0], 24),     // documentation
    ([192, 31, 196, 0], 24),  // AS112
    ([192, 88, 99, 0], 24),   // relays of 6to4
    ([192, 168, 0, 0], 16),   // private
    ([198, 18, 0, 0], 15),    // benchmarks
    ([198, 51, 100, 0], 24),  // documentation
    ([203, 0, 113, 0], 24),   // documentation
    ([224, 0, 0, 0], 4),      // multicast
    ([240, 0, 0, 0], 4),      // reserved, and broadcast
];

/// Blocks within the public one of IPv6, `2000::/3`, that are not on the public internet.
const V6: [([u16; 3], u32); 4] = [
    ([0x2001, 0, 0], 23),           // protocols, Teredo and ORCHID among them
    ([0x2001, 0x0db8, 0], 32),      // documentation
    ([0x2620, 0x004f, 0x8000], 48), // AS112
    ([0x3fff, 0, 0], 20),           // documentation
];

/// Whether an address is not one of the public internet.
pub(super) fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_private_v4(address),
        IpAddr::V6(address) => is_private_v6(address),
    }
}

fn is_private_v4(address: Ipv4Addr) -> bool {
    let bits = address.to_bits();
    V4.iter().any(|(block, len)| (bits ^ u32::from_be_bytes(*block)) >> (32 - len) == 0)
}

fn is_private_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    let v4 = |high: u16, low: u16| is_private_v4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)));
    match segments {
        // Translated by NAT64 (RFC 6052).
        [0x0064, 0xff9b, 0, 0, 0, 0, high, low] => v4(high, low),
        // 6to4 (RFC 3056).
        [0x2002, high, low, ..] => v4(high, low),
        // Public addresses alone have this prefix. Mapped and compatible ones, loopback, link-local, unique local,
        // multicast and the local prefix of NAT64 (RFC 8215) do not.
        [first, ..] if first >> 13 != 1 => true,
        [first, second, third, ..] => {
            let bits = u64::from(first) << 32 | u64::from(second) << 16 | u64::from(third);
            let is_in = |([a, b, c], len): &([u16; 3], u32)| {
                let block = u64::from(*a) << 32 | u64::from(*b) << 16 | u64::from(*c);
                (bits ^ block) >> (48 - len) == 0
            };
            V6.iter().any(is_in)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn private(text: &str) -> bool {
        is_private(text.parse().unwrap_or_else(|_| panic!("{text}")))
    }

    #[test]
    fn private_addresses_are_known_in_every_form() {
        for text in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "10.255.255.255",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
        ] {
            assert!(private(text), "{text}");
            let IpAddr::V4(v4) = text.parse().expect("an address") else { panic!("{text}") };
            let [a, b, c, d] = v4.octets().map(u16::from);
            let (high, low) = (a << 8 | b, c << 8 | d);
            for wrapped in [
                Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, high, low),
                Ipv6Addr::new(0, 0, 0, 0, 0, 0, high, low),
                Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1),
                Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
                Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, high, low),
            ] {
                assert!(is_private(wrapped.into()), "{wrapped}");
            }
        }
        for text in [
            "::",
            "::1",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "fc00::1",
            "fd12::1",
            "ff02::1",
            "2001:db8::1",
            "2001::1",
            "2001:10::1",
            "2001:20::1",
            "3fff::1",
            "100::1",
            "5f00::1",
            "4000::1",
            "::ffff:8.8.8.8",
        ] {
            assert!(private(text), "{text}");
        }
    }

    #[test]
    fn public_addresses_are_not_private() {
        for text in [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.1",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2606:4700::1111",
            "2a00:1450::1",
            "2002:808:808::1",
            "64:ff9b::808:808",
            "2001:4860:4860::8888",
            "2001:200::1",
        ] {
            assert!(!private(text), "{text}");
        }
    }
}
