//! Which addresses a connector may reach.
//!
//! A manifest and a config are user input, and so is the name that they point at: without a check, a
//! connector could read the metadata service of the machine. The check is made on the address that
//! is really connected to (the resolver hands out checked addresses only), so a name that changes
//! its answer between check and use gains nothing. Rejected: a check of the host name alone.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use thiserror::Error;

/// What may be reached besides public addresses. The default allows nothing more.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AddressPolicy {
    networks: Vec<IpNet>,
    names: Vec<String>,
}

/// An entry that is neither an address, a network, nor a host name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "SYNCLINE_ALLOW_HOSTS: \"{entry}\" is neither a network (10.0.0.0/8), an address (127.0.0.1) nor a \
     host name (simulator.internal)"
)]
pub struct AddressPolicyError {
    entry: String,
}

/// The refusal of one target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AddressRefused {
    host: String,
    address: IpAddr,
}

impl fmt::Display for AddressRefused {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "the target \"{}\" has the address {}, which is not public; to allow it, add the address, \
             its network or the host name to SYNCLINE_ALLOW_HOSTS",
            self.host, self.address
        )
    }
}

impl std::error::Error for AddressRefused {}

impl AddressPolicy {
    /// Reads the value of `SYNCLINE_ALLOW_HOSTS`: networks, addresses and host names, separated by
    /// commas or white space.
    pub fn parse(text: &str) -> Result<AddressPolicy, AddressPolicyError> {
        let mut policy = AddressPolicy::default();
        let separators = |c: char| c == ',' || c.is_whitespace();
        for entry in text.split(separators).filter(|entry| !entry.is_empty()) {
            if let Ok(network) = entry.parse::<IpNet>() {
                policy.networks.push(network);
            } else if let Ok(address) = entry.trim_matches(['[', ']']).parse::<IpAddr>() {
                policy.networks.push(IpNet::from(address));
            } else if is_host_name(entry) {
                policy.names.push(normal_name(entry));
            } else {
                return Err(AddressPolicyError {
                    entry: entry.to_owned(),
                });
            }
        }
        Ok(policy)
    }

    /// A policy that allows this machine itself, as `syncline dev` and tests need.
    pub fn loopback() -> AddressPolicy {
        AddressPolicy {
            networks: vec![
                IpNet::from(IpAddr::V6(Ipv6Addr::LOCALHOST)),
                IpNet::new_assert(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), 8),
            ],
            names: Vec::new(),
        }
    }

    /// Adds everything that `other` allows.
    #[must_use]
    pub fn and(mut self, other: AddressPolicy) -> AddressPolicy {
        self.networks.extend(other.networks);
        self.names.extend(other.names);
        self
    }

    /// Whether `host`, resolved to `address`, may be reached.
    pub(crate) fn check(&self, host: &str, address: IpAddr) -> Result<(), AddressRefused> {
        if is_public(address) {
            return Ok(());
        }
        let name = normal_name(host);
        let named = self.names.contains(&name);
        let plain = address.to_canonical();
        let in_network = self.networks.iter().any(|network| network.contains(&plain));
        if named || in_network {
            return Ok(());
        }
        Err(AddressRefused {
            host: host.to_owned(),
            address,
        })
    }
}

fn normal_name(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

fn is_host_name(text: &str) -> bool {
    let labels = text.trim_end_matches('.').split('.');
    let label_is_good = |label: &str| {
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        !label.is_empty() && label.len() <= 63 && label.chars().all(allowed)
    };
    let looks_like_address = text.chars().all(|c| c.is_ascii_digit() || c == '.');
    !looks_like_address && labels.into_iter().all(label_is_good)
}

/// Whether an address belongs to the public internet. Ranges: the IANA special-purpose registries.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let shared = a == 100 && (64..128).contains(&b);
    let protocol_assignments = a == 192 && b == 0 && c == 0;
    let benchmarking = a == 198 && (b == 18 || b == 19);
    let reserved = a >= 240;
    !(a == 0
        || address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || shared
        || protocol_assignments
        || benchmarking
        || reserved)
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    if let Some(v4) = embedded_v4(address) {
        return is_public_v4(v4);
    }
    let [first, second, third, fourth, ..] = address.segments();
    // NAT64 of a network's own, whose form nobody outside knows.
    let local_nat64 = [first, second, third] == [0x64, 0xff9b, 1];
    let discard = [first, second, third, fourth] == [0x100, 0, 0, 0];
    // Teredo, which leads to an IPv4 address, benchmarks and the like.
    let protocol_assignments = first == 0x2001 && second < 0x200;
    let documentation = [first, second] == [0x2001, 0xdb8] || (first == 0x3fff && second < 0x1000);
    let segment_routing = first == 0x5f00;
    let unique_local = first & 0xfe00 == 0xfc00;
    let link_local = first & 0xffc0 == 0xfe80;
    let site_local = first & 0xffc0 == 0xfec0;
    !(address.is_loopback()
        || address.is_unspecified()
        || address.is_multicast()
        || unique_local
        || link_local
        || site_local
        || local_nat64
        || discard
        || protocol_assignments
        || documentation
        || segment_routing)
}

/// The IPv4 address that a mapped, compatible, NAT64 or 6to4 address leads to.
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    if let Some(mapped) = address.to_ipv4_mapped() {
        return Some(mapped);
    }
    let segments = address.segments();
    let from_pair = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        Ipv4Addr::new(a, b, c, d)
    };
    let nat64 = segments[..6] == [0x64, 0xff9b, 0, 0, 0, 0];
    let compatible = segments[..6] == [0; 6] && (segments[6] != 0 || segments[7] > 1);
    if nat64 || compatible {
        return Some(from_pair(segments[6], segments[7]));
    }
    if segments[0] == 0x2002 {
        return Some(from_pair(segments[1], segments[2]));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(policy: &AddressPolicy, address: &str) -> bool {
        policy.check("host", address.parse().unwrap()).is_err()
    }

    #[test]
    fn private_targets_are_refused_in_every_disguise() {
        let policy = AddressPolicy::default();
        for address in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fd00::1",
            "fe80::1",
            "::ffff:127.0.0.1",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "64:ff9b:1::7f00:1",
            "100::1",
            "2001::7f00:1",
            "2001:2::1",
            "2001:db8::1",
            "3fff:123::1",
            "5f00::1",
        ] {
            assert!(refused(&policy, address), "{address} must be refused");
        }
        for address in [
            "1.1.1.1",
            "172.32.0.1",
            "2606:4700::1111",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
            "2001:4860:4860::8888",
            "100:0:0:1::1",
        ] {
            assert!(!refused(&policy, address), "{address} must be allowed");
        }
    }

    #[test]
    fn networks_addresses_and_names_are_allowed() {
        let policy = AddressPolicy::parse("10.0.0.0/8, 127.0.0.1 Simulator.internal.").unwrap();
        assert!(!refused(&policy, "10.9.9.9"));
        assert!(!refused(&policy, "::ffff:127.0.0.1"));
        assert!(refused(&policy, "127.0.0.2"));
        let private = "192.168.0.9".parse().unwrap();
        assert!(policy.check("simulator.INTERNAL", private).is_ok());
        let error = policy
            .check("other.internal", private)
            .unwrap_err()
            .to_string();
        assert!(error.contains("SYNCLINE_ALLOW_HOSTS") && error.contains("192.168.0.9"));
    }

    #[test]
    fn a_bad_entry_is_named() {
        for entry in ["10.0.0.0/99", "http://host", "300.1.1.1"] {
            let error = AddressPolicy::parse(entry).unwrap_err().to_string();
            assert!(error.contains(entry), "{error}");
        }
    }
}
