//! Looking ahead: the memory that a burst of segments will need is asked for before any of them is taken in.
//!
//! Among a million connections each segment meets one whose half kilobyte is in no cache, and waits for memory again and again, since
//! what is read next depends on what was read. The loads here depend on nothing but each segment itself, so the processor waits for
//! several at a time. Nothing is changed and nothing is decided: a segment that this does not understand is only slower.

use std::hint::black_box;
use std::net::IpAddr;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::wire::ip::{Endpoint, protocol};
use crate::wire::packet::Packet;

use super::Tcp;
use super::owners::Owner;
use super::segment::FourTuple;
use super::tcb::Tcb;
use super::timers::Timer;

/// Up to so many connections fit into a cache that is near: half of a common second level (1 MiB).
const NEAR: usize = 1_024;

impl Tcp {
    /// Asks for the memory that these packets will need.
    pub fn look_ahead(&self, packets: &[Packet]) {
        if self.connections.len() <= NEAR || packets.len() < 2 {
            return;
        }
        let tuples = packets.iter().filter_map(|packet| tuple(packet.bytes()));
        let hashes: SmallVec<[u32; 64]> = tuples.map(|tuple| self.owners.hash(&tuple)).collect();
        black_box(hashes.iter().fold(0, |sum, &hash| sum ^ self.owners.touch(hash)));
        let connections = hashes.iter().filter_map(|&hash| match self.owners.likely(hash)? {
            Owner::Connection(index) => Some((self.connections.at(index)?, self.timers.get(index))),
            Owner::HalfOpen(_) | Owner::TimeWait(_) => None,
        });
        let connections: SmallVec<[_; 64]> = connections.collect();
        black_box(
            connections.iter().fold(0, |sum, (tcb, timer)| sum ^ tcb.touch() ^ usize::from(timer.is_some())),
        );
        // What hangs on them comes last, since its place is read from them.
        black_box(connections.iter().fold(0, |sum, (tcb, _)| sum ^ tcb.touch_learned()));
    }
}

/// The ends that a packet names, if it is a TCP segment of the plainest form. Nothing of it was checked.
fn tuple(bytes: &[u8]) -> Option<FourTuple> {
    let (remote, local, next, header): (IpAddr, IpAddr, u8, usize) = match bytes.first()? >> 4 {
        4 => (addr4(bytes, 12)?, addr4(bytes, 16)?, *bytes.get(9)?, usize::from(bytes[0] & 0xf) * 4),
        6 => (addr6(bytes, 8)?, addr6(bytes, 24)?, *bytes.get(6)?, 40),
        _ => return None,
    };
    let port = |at| Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?));
    let (remote, local) = (Endpoint::new(remote, port(header)?), Endpoint::new(local, port(header + 2)?));
    (next == protocol::TCP).then_some(FourTuple { local, remote })
}

fn addr4(bytes: &[u8], at: usize) -> Option<IpAddr> {
    bytes.get(at..)?.first_chunk::<4>().map(|octets| IpAddr::from(*octets))
}

fn addr6(bytes: &[u8], at: usize) -> Option<IpAddr> {
    bytes.get(at..)?.first_chunk::<16>().map(|octets| IpAddr::from(*octets))
}

impl Tcb {
    /// Reads a little of each cache line, wherever the compiler put the fields.
    fn touch(&self) -> usize {
        let options = Arc::as_ptr(&self.options) as usize;
        let numbers =
            self.rcv.nxt.0 ^ self.recovery.recover.0 ^ self.snd.una.0 ^ self.snd.up.0 ^ self.ts.recent;
        let counts = self.counts.sent ^ self.charged ^ u32::from(self.agreed.mss);
        let clock = self.heard_at.as_nanos() ^ self.rcv.offset;
        let ends = self.tuple.local.port ^ self.tuple.remote.port;
        let ports = ends ^ u16::from(self.rtt.backoff) ^ self.path.mss();
        let deadline = self.deadlines.get(Timer::Retransmit).map_or(0, |deadline| deadline.as_nanos());
        let queues = self.send_queue.acknowledged()
            ^ u64::from(self.reassembly.is_some())
            ^ u64::from(self.tuning.space());
        options
            ^ numbers as usize
            ^ counts as usize
            ^ usize::from(ports)
            ^ (clock ^ deadline ^ queues) as usize
    }

    /// Reads a little of what a connection keeps in boxes while nothing is under way.
    fn touch_learned(&self) -> u32 {
        self.congestion.touch()
    }
}

#[cfg(test)]
mod tests {
    use std::mem::offset_of;

    use super::*;

    /// If a new field moves the others: read one of a line that is left out.
    #[test]
    fn every_cache_line_of_a_connection_is_asked_for() {
        let mut read = [
            offset_of!(Tcb, options),
            offset_of!(Tcb, rcv.nxt),
            offset_of!(Tcb, recovery.recover),
            offset_of!(Tcb, snd.una),
            offset_of!(Tcb, snd.up),
            offset_of!(Tcb, ts.recent),
            offset_of!(Tcb, counts.sent),
            offset_of!(Tcb, charged),
            offset_of!(Tcb, agreed.mss),
            offset_of!(Tcb, heard_at),
            offset_of!(Tcb, rcv.offset),
            offset_of!(Tcb, tuple.local.port),
            offset_of!(Tcb, tuple.remote.port),
            offset_of!(Tcb, path),
            offset_of!(Tcb, rtt.backoff),
            offset_of!(Tcb, deadlines),
            offset_of!(Tcb, send_queue),
            offset_of!(Tcb, reassembly),
            offset_of!(Tcb, tuning),
        ];
        read.sort_unstable();
        println!("{read:?} of {}", size_of::<Tcb>());
        assert!(read[0] < 64 && read.windows(2).all(|pair| pair[1] - pair[0] <= 64), "{read:?}");
        assert!(size_of::<Tcb>() - read[read.len() - 1] <= 64, "{read:?} of {}", size_of::<Tcb>());
    }

    /// Hostile: whatever the bytes are, there is an answer or none.
    #[test]
    fn a_packet_that_is_cut_anywhere_names_nobody_or_the_right_ends() {
        use crate::wire::ip::IpHeader;
        for (src, dst) in [("10.0.0.1", "10.0.0.2"), ("fd00::1", "fd00::2")] {
            let (src, dst) = (src.parse().unwrap(), dst.parse().unwrap());
            let header = IpHeader { src, dst, protocol: protocol::TCP, hop_limit: 64, traffic_class: 0 };
            let bytes = [&header.encode(20, None)[..], &[0, 7, 0, 9], &[0; 16]].concat();
            let ends = FourTuple { local: Endpoint::new(dst, 9), remote: Endpoint::new(src, 7) };
            let whole = bytes.len() - 16;
            for len in 0..bytes.len() {
                assert_eq!(tuple(&bytes[..len]), (len >= whole).then_some(ends), "{len} bytes");
            }
        }
    }
}
