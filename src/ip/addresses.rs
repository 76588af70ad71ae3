//! The stack's own addresses and what the others are to it: local, group, foreign, or never to be seen on a wire
//! (RFC 1122 §3.2.1.3, RFC 4291, RFC 6890; hostile case P6).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use smallvec::SmallVec;

/// Addresses of one stack; each is compared in turn, so that is the bound.
pub const MAX_ADDRESSES: usize = 32;
/// The smallest MTU that IPv6 runs on (RFC 8200 §5).
pub const MIN_MTU_V6: usize = 1_280;
/// The smallest MTU that IPv4 runs on (RFC 791).
pub const MIN_MTU_V4: usize = 68;

/// Why a stack cannot be set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// More than [`MAX_ADDRESSES`].
    #[error("more than 32 addresses")]
    TooManyAddresses,
    /// Not an address that a host can have.
    #[error("{0} is not a unicast address")]
    NotUnicast(IpAddr),
    /// A prefix longer than the address.
    #[error("a prefix length of {1} is too long for {0}")]
    PrefixLength(IpAddr, u8),
    /// The same address twice.
    #[error("{0} is given twice")]
    Duplicate(IpAddr),
    /// The device's MTU is too small for the IP version (68 for IPv4, 1,280 for IPv6) or above 65,535.
    #[error("an MTU of {0} is not possible")]
    Mtu(usize),
}

/// What a destination address is to this stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// One of its own addresses.
    Local,
    /// A broadcast, or a multicast group that every host is in.
    Group,
    /// Somebody else's.
    Foreign,
}

/// The stack's own addresses with their prefix lengths.
#[derive(Debug)]
pub struct Addresses {
    own: SmallVec<[(IpAddr, u8); 4]>,
}

impl Addresses {
    /// Takes the addresses of a configuration, for a device of this MTU.
    pub fn new(addrs: &[(IpAddr, u8)], mtu: usize) -> Result<Self, ConfigError> {
        if addrs.len() > MAX_ADDRESSES {
            return Err(ConfigError::TooManyAddresses);
        }
        for (i, &(addr, prefix)) in addrs.iter().enumerate() {
            let (bits, min_mtu) = if addr.is_ipv4() { (32, MIN_MTU_V4) } else { (128, MIN_MTU_V6) };
            if prefix > bits {
                return Err(ConfigError::PrefixLength(addr, prefix));
            }
            if is_martian_source(addr) {
                return Err(ConfigError::NotUnicast(addr));
            }
            if addrs[..i].iter().any(|&(other, _)| other == addr) {
                return Err(ConfigError::Duplicate(addr));
            }
            if !(min_mtu..=super::output::MAX_PACKET).contains(&mtu) {
                return Err(ConfigError::Mtu(mtu));
            }
        }
        Ok(Addresses { own: SmallVec::from_slice(addrs) })
    }

    /// True for one of the stack's own addresses.
    pub fn is_local(&self, addr: IpAddr) -> bool {
        self.own.iter().any(|&(own, _)| own == addr)
    }

    /// The own addresses, in the order of the configuration.
    pub fn iter(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.own.iter().map(|&(addr, _)| addr)
    }

    /// The address to send from: the one whose subnet holds the destination (the longest prefix, as RFC 6724 §5 rule 8 has
    /// it), else the first of that IP version.
    pub fn source_for(&self, dst: IpAddr) -> Option<IpAddr> {
        let same = || self.own.iter().filter(|(own, _)| own.is_ipv4() == dst.is_ipv4());
        let near = same().filter(|&&(own, prefix)| in_subnet(own, prefix, dst));
        near.rev().max_by_key(|&&(_, prefix)| prefix).or_else(|| same().next()).map(|&(addr, _)| addr)
    }

    /// What `dst` is to this stack.
    pub fn classify(&self, dst: IpAddr) -> Destination {
        if self.is_local(dst) {
            Destination::Local
        } else if self.is_group(dst) {
            Destination::Group
        } else {
            Destination::Foreign
        }
    }

    /// True for a source address that no packet from outside may carry, directed broadcasts of the own subnets included.
    pub fn is_martian(&self, src: IpAddr) -> bool {
        is_martian_source(src) || self.is_subnet_broadcast(src)
    }

    fn is_group(&self, dst: IpAddr) -> bool {
        match dst {
            IpAddr::V4(addr) => {
                addr.is_broadcast() || addr == Ipv4Addr::new(224, 0, 0, 1) || self.is_subnet_broadcast(dst)
            }
            IpAddr::V6(addr) => addr == ALL_NODES || self.is_solicited_node(addr),
        }
    }

    /// RFC 919: all host bits one. A /31 or /32 has no broadcast (RFC 3021).
    fn is_subnet_broadcast(&self, addr: IpAddr) -> bool {
        let IpAddr::V4(addr) = addr else { return false };
        self.own.iter().any(|&(own, prefix)| match own {
            IpAddr::V4(own) if prefix < 31 => own.to_bits() | (u32::MAX >> prefix) == addr.to_bits(),
            _ => false,
        })
    }

    /// RFC 4291 §2.7.1: ff02::1:ff00:0/104 with the low 24 bits of an own address.
    fn is_solicited_node(&self, addr: Ipv6Addr) -> bool {
        const PREFIX: u128 = 0xff02_0000_0000_0000_0000_0001_ff00_0000;
        let bits = addr.to_bits();
        bits >> 24 == PREFIX >> 24
            && self.own.iter().any(|&(own, _)| match own {
                IpAddr::V6(own) => (own.to_bits() ^ bits) << 104 == 0,
                IpAddr::V4(_) => false,
            })
    }
}

/// ff02::1, all nodes of the link.
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// True if `addr` is of the subnet that `own` with this prefix length spans.
fn in_subnet(own: IpAddr, prefix: u8, addr: IpAddr) -> bool {
    let shared = match (own, addr) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
        (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
        _ => return false,
    };
    shared >= u32::from(prefix)
}

/// Sources that may not appear on a wire: unspecified, loopback, group and reserved addresses, IPv4-mapped ones.
fn is_martian_source(addr: IpAddr) -> bool {
    match addr {
        // 0/8, 127/8 and everything from 224/4 on, 255.255.255.255 included.
        IpAddr::V4(addr) => matches!(addr.octets()[0], 0 | 127 | 224..),
        IpAddr::V6(addr) => {
            addr.is_unspecified()
                || addr.is_loopback()
                || addr.is_multicast()
                || addr.to_ipv4_mapped().is_some()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn addresses() -> Addresses {
        let own = [("10.77.0.2", 24), ("10.77.1.2", 16), ("192.0.2.1", 32), ("fd77::2", 64), ("fd78::2", 64)];
        Addresses::new(&own.map(|(addr, prefix)| (ip(addr), prefix)), 1_500).unwrap()
    }

    #[test]
    fn own_addresses_are_listed_in_the_order_of_the_configuration() {
        let listed: Vec<_> = addresses().iter().collect();
        assert_eq!(listed, ["10.77.0.2", "10.77.1.2", "192.0.2.1", "fd77::2", "fd78::2"].map(ip));
    }

    #[test]
    fn the_source_is_of_the_destinations_subnet_else_the_first_of_its_version() {
        let own = addresses();
        assert_eq!(own.source_for(ip("10.77.0.9")), Some(ip("10.77.0.2")), "the longer prefix");
        assert_eq!(own.source_for(ip("10.77.9.9")), Some(ip("10.77.1.2")));
        assert_eq!(own.source_for(ip("8.8.8.8")), Some(ip("10.77.0.2")));
        assert_eq!(own.source_for(ip("fd78::1")), Some(ip("fd78::2")));
        assert_eq!(own.source_for(ip("2001:db8::1")), Some(ip("fd77::2")));
        assert_eq!(Addresses::new(&[(ip("fd77::2"), 64)], 1_500).unwrap().source_for(ip("8.8.8.8")), None);
    }

    /// Hostile case P6; RFC 1122 §3.2.1.3, RFC 3021 for the /32.
    #[test]
    fn martians_are_known() {
        let own = addresses();
        for addr in ["0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255", "240.1.1.1", "10.77.0.255"] {
            assert!(own.is_martian(ip(addr)), "{addr}");
        }
        for addr in ["::", "::1", "ff02::1", "::ffff:10.0.0.1"] {
            assert!(own.is_martian(ip(addr)), "{addr}");
        }
        for addr in ["10.77.0.1", "8.8.8.8", "192.0.2.255", "fd77::1", "fe80::1", "192.0.2.1"] {
            assert!(!own.is_martian(ip(addr)), "{addr}");
        }
    }

    /// RFC 3021: of the two addresses of a /31 neither is a broadcast; the smallest subnet with one is a /30.
    #[test]
    fn a_subnet_of_two_has_no_broadcast() {
        let own = |prefix| Addresses::new(&[(ip("10.0.0.4"), prefix)], 1_500).unwrap();
        assert_eq!(own(31).classify(ip("10.0.0.5")), Destination::Foreign);
        assert_eq!(own(30).classify(ip("10.0.0.7")), Destination::Group);
    }

    #[test]
    fn destinations_are_local_group_or_foreign() {
        let own = addresses();
        for addr in ["10.77.0.2", "fd78::2"] {
            assert_eq!(own.classify(ip(addr)), Destination::Local, "{addr}");
        }
        for addr in
            ["255.255.255.255", "10.77.0.255", "10.77.255.255", "224.0.0.1", "ff02::1", "ff02::1:ff00:2"]
        {
            assert_eq!(own.classify(ip(addr)), Destination::Group, "{addr}");
        }
        for addr in ["10.77.0.3", "224.0.0.251", "192.0.2.255", "fd77::3", "ff02::2", "ff02::1:ff00:3"] {
            assert_eq!(own.classify(ip(addr)), Destination::Foreign, "{addr}");
        }
    }

    #[test]
    fn a_configuration_that_cannot_be_is_refused() {
        let refused = |addr: &str, prefix, mtu| Addresses::new(&[(ip(addr), prefix)], mtu).unwrap_err();
        assert_eq!(refused("10.0.0.1", 33, 1_500), ConfigError::PrefixLength(ip("10.0.0.1"), 33));
        assert_eq!(refused("224.0.0.1", 24, 1_500), ConfigError::NotUnicast(ip("224.0.0.1")));
        assert_eq!(refused("fd77::2", 64, 1_279), ConfigError::Mtu(1_279));
        assert_eq!(refused("10.0.0.1", 24, 67), ConfigError::Mtu(67));
        assert_eq!(refused("10.0.0.1", 24, 65_536), ConfigError::Mtu(65_536));
        let twice = [(ip("10.0.0.1"), 24), (ip("10.0.0.1"), 16)];
        assert_eq!(Addresses::new(&twice, 1_500).unwrap_err(), ConfigError::Duplicate(ip("10.0.0.1")));
        let many: Vec<_> = (0..33).map(|i| (IpAddr::from([10, 0, 0, i + 1]), 24)).collect();
        assert_eq!(Addresses::new(&many, 1_500).unwrap_err(), ConfigError::TooManyAddresses);
    }
}
