//! ICMP (RFC 792, RFC 1122 §3.2.2) and ICMPv6 (RFC 4443): echo in both roles, errors out under a rate limit, errors in for the
//! transports. Redirects, source quench (RFC 6633), timestamps, masks, neighbour and listener discovery are ignored and
//! counted: a TUN device has no neighbours.

pub mod limit;
pub mod ping;

use crate::base::buffer::Slice;
use crate::base::counters::{Counters, DropReason};
use crate::base::rng::Rng;
use crate::base::socket::Handle;
use crate::base::time::Instant;
use crate::ip::addresses::Destination;
use crate::ip::output::HOP_LIMIT;
use crate::ip::{Datagram, Ip};
use crate::wire::checksum::Sum;
use crate::wire::icmp::{CHECKSUM_OFFSET, ErrorKind, HEADER, IcmpError, Message, Quoted, is_error};
use crate::wire::ip::{IpHeader, header_len, protocol};
use crate::wire::packet::Offload;
use limit::RateLimit;
use ping::Pings;

/// Names a socket for echo requests.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct PingId(pub Handle);

/// Bytes of an IPv4 packet that carries an error (RFC 1812 §4.3.2.3).
const MAX_ERROR_V4: usize = 576;
/// Bytes of an IPv6 packet that carries an error: the minimum MTU (RFC 4443 §2.4 c).
const MAX_ERROR_V6: usize = 1_280;

/// ICMP of one stack, both versions.
#[derive(Debug)]
pub struct Icmp {
    limit: RateLimit,
    pings: Pings,
}

impl Icmp {
    /// ICMP without an echo socket.
    pub fn new(rng: &mut Rng) -> Self {
        Icmp { limit: RateLimit::new(rng), pings: Pings::new(rng) }
    }

    /// The sockets for echo requests.
    pub fn pings(&mut self) -> &mut Pings {
        &mut self.pings
    }

    /// Takes a message in. An error about a segment or datagram of a transport is returned, with the transport's protocol
    /// number.
    pub fn receive(
        &mut self,
        datagram: Datagram,
        ip: &mut Ip,
        counters: &mut Counters,
        now: Instant,
    ) -> Option<(u8, IcmpError)> {
        let header = datagram.header;
        let message = Message::parse(header.src, datagram.payload());
        let Some(message) = message.filter(|_| checksum_is_valid(&datagram)) else {
            counters.drop(DropReason::IcmpMalformed);
            return None;
        };
        counters.icmp_in += 1;
        let body = HEADER..datagram.payload().len();
        match message {
            Message::EchoRequest { id, seq } => {
                echo(&header, id, seq, &datagram, ip, counters);
                None
            }
            Message::EchoReply { id, seq } => {
                self.pings.reply(&header, id, seq, datagram.slice(body), counters);
                None
            }
            Message::Error(kind) => {
                self.receive_error(kind, datagram.payload().get(body)?, ip, counters, now)
            }
            Message::Other { .. } => {
                counters.drop(DropReason::IcmpIgnored);
                None
            }
        }
    }

    /// What an error about a transport's packet quotes; nothing is checked yet.
    pub fn quoted(&self, datagram: &Datagram) -> Option<(u8, IcmpError)> {
        let Message::Error(kind) = Message::parse(datagram.header.src, datagram.payload())? else {
            return None;
        };
        let quoted = Quoted::parse(datagram.payload().get(HEADER..)?)?;
        quoted.transport_error(kind).map(|error| (quoted.protocol, error))
    }

    /// True for a message that is about an echo socket of this stack, or not about one at all.
    pub fn knows(&self, datagram: &Datagram) -> bool {
        let src = datagram.header.src;
        match Message::parse(src, datagram.payload()) {
            Some(Message::EchoReply { id, .. }) => self.pings.knows(id),
            Some(Message::Error(_)) => {
                let quoted = datagram.payload().get(HEADER..).and_then(Quoted::parse);
                match quoted.and_then(|quoted| Message::parse(quoted.src, &quoted.upper)) {
                    Some(Message::EchoRequest { id, .. }) => self.pings.knows(id),
                    _ => true,
                }
            }
            _ => true,
        }
    }

    /// Tells the sender of `about` what is wrong with it: unless that is an error itself, came to or from a group, is not the
    /// first fragment, or the sender was told enough lately (RFC 1122 §3.2.2, RFC 4443 §2.4 e; hostile cases P11, P12).
    pub fn send_error(
        &mut self,
        about: &Datagram,
        kind: ErrorKind,
        ip: &mut Ip,
        counters: &mut Counters,
        now: Instant,
    ) {
        let asked = &about.header;
        if !may_be_answered(about, ip) {
            return;
        }
        if !self.limit.allow(asked.src, now) {
            counters.drop(DropReason::IcmpRateLimited);
            return;
        }
        let limit = if asked.src.is_ipv4() { MAX_ERROR_V4 } else { MAX_ERROR_V6 };
        let quote = about.quote(limit - header_len(asked.src) - HEADER);
        let reply = answer_to(asked);
        // An error that finds the queue full is counted there; nobody waits for it.
        let _ = send(&reply, &Message::Error(kind), quote, ip, counters);
    }

    /// An error about something that this stack sent: for the transport that sent it, or for an echo socket.
    fn receive_error(
        &mut self,
        kind: ErrorKind,
        quote: &[u8],
        ip: &mut Ip,
        counters: &mut Counters,
        now: Instant,
    ) -> Option<(u8, IcmpError)> {
        let quoted = Quoted::parse(quote).filter(|quoted| ip.addresses().is_local(quoted.src));
        let Some(quoted) = quoted else {
            counters.drop(DropReason::IcmpIgnored);
            return None;
        };
        if let Some(error) = quoted.transport_error(kind) {
            return Some((quoted.protocol, error));
        }
        match Message::parse(quoted.src, &quoted.upper) {
            Some(Message::EchoRequest { id, .. }) if is_icmp(&quoted) => {
                let is_ours = self.pings.error(id, quoted.dst, kind, counters);
                if let (true, ErrorKind::PacketTooBig { mtu }) = (is_ours, kind) {
                    ip.paths().lower_for_datagrams(quoted.dst, mtu, now);
                }
            }
            _ => counters.drop(DropReason::IcmpIgnored),
        }
        None
    }
}

/// Sends a message with its checksum. ICMP is always summed here: what the device offers is for TCP and UDP.
fn send(
    header: &IpHeader,
    message: &Message,
    payload: Slice,
    ip: &mut Ip,
    counters: &mut Counters,
) -> Result<(), crate::ip::output::SendError> {
    let mut icmp = message.encode(header.dst);
    let sum = message_sum(header, icmp.len() + payload.len()).add(&icmp).add(&payload);
    icmp[CHECKSUM_OFFSET..CHECKSUM_OFFSET + 2].copy_from_slice(&sum.checksum().to_be_bytes());
    ip.output().send(header, &icmp, payload, Offload::None, counters)?;
    counters.icmp_out += 1;
    Ok(())
}

/// RFC 1122 §3.2.2.6, RFC 4443 §4.2: the reply carries the request's data, all of it. Requests to a group are not answered
/// (smurf, hostile case P11), replies are not limited.
fn echo(header: &IpHeader, id: u16, seq: u16, request: &Datagram, ip: &mut Ip, counters: &mut Counters) {
    if !ip.addresses().is_local(header.dst) {
        counters.drop(DropReason::IcmpIgnored);
        return;
    }
    let data = request.slice(HEADER..request.payload().len());
    // A reply that finds the queue full is counted there.
    let _ = send(&answer_to(header), &Message::EchoReply { id, seq }, data, ip, counters);
}

/// The header of an answer: the ends exchanged, the traffic class kept out (RFC 1812 §4.3.2.5 leaves it open).
fn answer_to(header: &IpHeader) -> IpHeader {
    let protocol = icmp_protocol(header);
    IpHeader { src: header.dst, dst: header.src, protocol, hop_limit: HOP_LIMIT, traffic_class: 0 }
}

fn icmp_protocol(header: &IpHeader) -> u8 {
    if header.dst.is_ipv4() { protocol::ICMP } else { protocol::ICMPV6 }
}

/// ICMPv6's checksum covers a pseudo-header (RFC 4443 §2.3), ICMP's does not.
fn message_sum(header: &IpHeader, len: usize) -> Sum {
    if header.dst.is_ipv4() {
        Sum::new()
    } else {
        Sum::pseudo_header(header.src, header.dst, protocol::ICMPV6, len)
    }
}

fn checksum_is_valid(datagram: &Datagram) -> bool {
    let payload = datagram.payload();
    message_sum(&datagram.header, payload.len()).add(payload).is_valid()
}

fn is_icmp(quoted: &Quoted) -> bool {
    quoted.protocol == if quoted.src.is_ipv4() { protocol::ICMP } else { protocol::ICMPV6 }
}

/// `ip` has dropped martians and later fragments already.
fn may_be_answered(about: &Datagram, ip: &Ip) -> bool {
    let header = &about.header;
    let is_own_error = header.protocol == icmp_protocol(header)
        && about.payload().first().is_none_or(|&kind| is_error(header.src, kind));
    let is_local = ip.addresses().classify(header.dst) == Destination::Local;
    is_local && !is_own_error && !ip.addresses().is_local(header.src)
}

#[cfg(test)]
mod tests;
