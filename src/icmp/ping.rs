//! Sockets that send echo requests and receive the replies, or the errors that came instead: the client side of ping.

use std::collections::VecDeque;
use std::net::IpAddr;

use super::PingId;
use crate::base::buffer::{Buffer, Slice};
use crate::base::counters::{Counters, DropReason};
use crate::base::hash::{HashKey, HashMap};
use crate::base::rng::Rng;
use crate::base::share::Share;
use crate::base::socket::SocketError;
use crate::base::table::Table;
use crate::ip::Ip;
use crate::ip::output::{HOP_LIMIT, SendError, max_payload};
use crate::wire::icmp::{ErrorKind, HEADER, Message};
use crate::wire::ip::{IpHeader, protocol};

/// Echo sockets of one stack.
pub const MAX_PINGS: usize = 1_024;
/// Replies that wait in a socket.
pub const MAX_REPLIES: usize = 64;

/// What came back.
#[derive(Clone, Debug)]
pub enum PingEvent {
    /// A reply.
    Reply {
        /// Who answered.
        from: IpAddr,
        /// TTL or hop limit of the reply.
        hop_limit: u8,
        /// The request's sequence number.
        seq: u16,
        /// The data, as sent.
        data: Slice,
    },
    /// An ICMP error about a request.
    Error {
        /// Where the request went.
        to: IpAddr,
        /// What the error says.
        kind: ErrorKind,
    },
}

#[derive(Debug)]
struct Ping {
    dst: IpAddr,
    src: IpAddr,
    id: u16,
    queue: VecDeque<PingEvent>,
    /// The socket waits in `events` already.
    announced: bool,
}

/// The echo sockets of one stack.
#[derive(Debug)]
pub struct Pings {
    sockets: Table<Ping>,
    /// By identifier: what a reply is recognized by.
    ids: HashMap<u16, PingId>,
    events: VecDeque<PingId>,
    rng: Rng,
    /// Identifiers that may be drawn.
    share: Share,
}

impl Pings {
    pub(super) fn new(rng: &mut Rng) -> Self {
        let ids = HashMap::with_hasher(HashKey::new(rng));
        let (events, rng) = (VecDeque::new(), Rng::from_seed(rng.seed()));
        Pings { sockets: Table::default(), ids, events, rng, share: Share::WHOLE }
    }

    /// Identifiers are chosen from `share`.
    pub fn set_share(&mut self, share: Share) {
        self.share = share;
    }

    /// True if a socket has this identifier.
    pub(super) fn knows(&self, id: u16) -> bool {
        self.ids.contains_key(&id)
    }

    /// Opens a socket towards `dst`. `NetworkUnreachable` without an address of its version, `NoBuffers` with too many open.
    pub fn open(&mut self, dst: IpAddr, ip: &Ip) -> Result<PingId, SocketError> {
        let dst = dst.to_canonical();
        let src = ip.addresses().source_for(dst).ok_or(SocketError::NetworkUnreachable)?;
        if self.sockets.len() >= MAX_PINGS {
            return Err(SocketError::NoBuffers);
        }
        // The identifier is random, so that nobody outside can forge replies; free ones are many.
        let id = loop {
            let id = self.rng.u32() as u16;
            if self.share.has(id) && !self.knows(id) {
                break id;
            }
        };
        let ping =
            PingId(self.sockets.insert(Ping { dst, src, id, queue: VecDeque::new(), announced: false }));
        self.ids.insert(id, ping);
        Ok(ping)
    }

    /// Sends an echo request. `MessageTooLong` beyond what fragments can carry, `WouldBlock` when the device is behind.
    pub fn send(
        &mut self,
        id: PingId,
        seq: u16,
        data: &[u8],
        ip: &mut Ip,
        counters: &mut Counters,
    ) -> Result<(), SocketError> {
        let ping = self.sockets.get(id.0).ok_or(SocketError::NoSocket)?;
        if data.len() + HEADER > max_payload(ping.dst) {
            return Err(SocketError::MessageTooLong);
        }
        if !ip.output().has_room_for(ping.dst, data.len() + HEADER) {
            return Err(SocketError::WouldBlock);
        }
        let protocol = if ping.dst.is_ipv4() { protocol::ICMP } else { protocol::ICMPV6 };
        let header =
            IpHeader { src: ping.src, dst: ping.dst, protocol, hop_limit: HOP_LIMIT, traffic_class: 0 };
        let message = Message::EchoRequest { id: ping.id, seq };
        super::send(&header, &message, Slice::from(Buffer::copy_of(data)), ip, counters).map_err(|error| {
            match error {
                SendError::TooLong => SocketError::MessageTooLong,
                SendError::Full => SocketError::WouldBlock,
            }
        })
    }

    /// The next reply or error. `WouldBlock` when none waits.
    pub fn recv(&mut self, id: PingId) -> Result<PingEvent, SocketError> {
        let ping = self.sockets.get_mut(id.0).ok_or(SocketError::NoSocket)?;
        ping.queue.pop_front().ok_or(SocketError::WouldBlock)
    }

    /// Closes the socket; replies that still come are dropped.
    pub fn close(&mut self, id: PingId) {
        if let Some(ping) = self.sockets.get(id.0) {
            self.ids.remove(&ping.id);
            self.sockets.remove(id.0.index);
        }
    }

    /// The next socket with something to receive.
    pub fn poll_event(&mut self) -> Option<PingId> {
        loop {
            let id = self.events.pop_front()?;
            if let Some(ping) = self.sockets.get_mut(id.0) {
                ping.announced = false;
                return Some(id);
            }
        }
    }

    /// A reply, for the socket that asked (and only from whom it asked).
    pub(super) fn reply(
        &mut self,
        header: &IpHeader,
        id: u16,
        seq: u16,
        data: Slice,
        counters: &mut Counters,
    ) {
        let (from, hop_limit) = (header.src, header.hop_limit);
        self.push(id, from, PingEvent::Reply { from, hop_limit, seq, data }, counters);
    }

    /// An error about a request to `dst` with this identifier.
    pub(super) fn error(&mut self, id: u16, dst: IpAddr, kind: ErrorKind, counters: &mut Counters) -> bool {
        self.push(id, dst, PingEvent::Error { to: dst, kind }, counters)
    }

    /// False if no socket is there for it.
    fn push(&mut self, id: u16, peer: IpAddr, event: PingEvent, counters: &mut Counters) -> bool {
        let socket = self.ids.get(&id).and_then(|&id| Some((id, self.sockets.get_mut(id.0)?)));
        match socket.filter(|(_, ping)| ping.dst == peer && ping.queue.len() < MAX_REPLIES) {
            Some((id, ping)) => {
                if !std::mem::replace(&mut ping.announced, true) {
                    self.events.push_back(id);
                }
                ping.queue.push_back(event);
                true
            }
            None => {
                counters.drop(DropReason::IcmpIgnored);
                false
            }
        }
    }
}
