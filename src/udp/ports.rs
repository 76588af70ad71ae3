//! Which socket a datagram is for: by port, then by address. Ports that nobody asked for are drawn at random (RFC 6056 §3.3.1).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use smallvec::SmallVec;

use super::UdpId;
use crate::base::hash::{HashKey, HashMap};
use crate::base::rng::Rng;
use crate::base::share::Share;
use crate::base::socket::SocketError;

/// Dynamic ports (RFC 6335 §6).
const DYNAMIC: std::ops::RangeInclusive<u16> = 49_152..=65_535;

/// The bound addresses. On one port no two sockets would take the same datagram.
#[derive(Debug)]
pub(super) struct Ports {
    /// A port has at most one socket per own address.
    bound: HashMap<u16, SmallVec<[(IpAddr, UdpId); 1]>>,
    rng: Rng,
    /// What may be drawn.
    pub(super) share: Share,
}

impl Ports {
    pub(super) fn new(rng: &mut Rng) -> Self {
        let bound = HashMap::with_hasher(HashKey::new(rng));
        Ports { bound, rng: Rng::from_seed(rng.seed()), share: Share::WHOLE }
    }

    /// The socket for a datagram to `addr` and `port`: of that very address, else of every address.
    pub(super) fn find(&self, addr: IpAddr, port: u16) -> Option<UdpId> {
        let sockets = self.bound.get(&port)?;
        let exact = sockets.iter().find(|&&(bound, _)| bound == addr);
        exact.or_else(|| sockets.iter().find(|&&(bound, _)| covers(bound, addr))).map(|&(_, id)| id)
    }

    /// `port` if it is free for `addr`; a random free one for port 0.
    pub(super) fn choose(&mut self, addr: IpAddr, port: u16) -> Result<u16, SocketError> {
        if port != 0 {
            return if self.is_free(addr, port) { Ok(port) } else { Err(SocketError::AddrInUse) };
        }
        let count = DYNAMIC.end() - DYNAMIC.start() + 1;
        let first = self.rng.below(u64::from(count)) as u16;
        // RFC 6056 §3.3.1: from a random place on until one is free.
        let mut candidates = (0..count).map(|i| DYNAMIC.start() + (first + i) % count);
        candidates
            .find(|&port| self.share.has(port) && self.is_free(addr, port))
            .ok_or(SocketError::AddrNotAvailable)
    }

    pub(super) fn insert(&mut self, addr: IpAddr, port: u16, id: UdpId) {
        self.bound.entry(port).or_default().push((addr, id));
    }

    pub(super) fn remove(&mut self, addr: IpAddr, port: u16, id: UdpId) {
        if let Some(sockets) = self.bound.get_mut(&port) {
            sockets.retain(|entry| *entry != (addr, id));
            if sockets.is_empty() {
                self.bound.remove(&port);
            }
        }
    }

    fn is_free(&self, addr: IpAddr, port: u16) -> bool {
        let taken = |&(other, _): &(IpAddr, UdpId)| covers(other, addr) || covers(addr, other);
        !self.bound.get(&port).is_some_and(|sockets| sockets.iter().any(taken))
    }
}

/// True if a socket bound to `bound` takes what is sent to `addr`.
fn covers(bound: IpAddr, addr: IpAddr) -> bool {
    match bound {
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => true,
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => addr.is_ipv4(),
        bound => bound == addr,
    }
}
