//! An in-memory pipe: two devices whose packets reach each other, to join two stacks in one process.
//!
//! Super-segments pass whole to an end with offload and are segmented in software for one without, so that both see what a
//! real link would bring. The queues are bounded; readiness is an eventfd. No loss, no delay: that is the simulator's part.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, PoisonError};

use nix::errno::Errno;
use nix::sys::eventfd::{EfdFlags, EventFd};
use smallvec::{SmallVec, smallvec};

use super::{Capabilities, Device, DeviceCounters, segment};
use crate::wire::packet::{Frame, Packet};

/// One end of a pipe. When the other end is dropped, what is sent vanishes as on a cut cable.
///
/// Its descriptor becomes readable when packets wait, and also when a full queue, which had left frames over in `send`, has
/// room again: call `recv`, then `send`.
#[derive(Debug)]
pub struct PipeEnd {
    link: Arc<Link>,
    /// Which end this is: it reads from the queue of this number.
    side: usize,
    capabilities: Capabilities,
    peer: Capabilities,
    counters: DeviceCounters,
}

#[derive(Debug)]
struct Link {
    queues: [Mutex<Queue>; 2],
    events: [EventFd; 2],
    limit: usize,
}

#[derive(Debug, Default)]
struct Queue {
    packets: VecDeque<Packet>,
    /// The sender found it full.
    starved: bool,
}

/// A pipe whose ends have these capabilities, at most `limit` wire packets or super-segments waiting at each.
///
/// # Errors
/// What the kernel says when it gives no eventfd: no descriptors left.
pub fn pipe(first: Capabilities, second: Capabilities, limit: usize) -> io::Result<(PipeEnd, PipeEnd)> {
    let event = || EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK);
    let link = Arc::new(Link { queues: Default::default(), events: [event()?, event()?], limit });
    let end = |side, capabilities, peer| {
        let counters = DeviceCounters::default();
        PipeEnd { link: Arc::clone(&link), side, capabilities, peer, counters }
    };
    Ok((end(0, first, second), end(1, second, first)))
}

impl PipeEnd {
    /// What of `frame` arrives at the other end.
    fn deliver(&self, frame: &Frame) -> SmallVec<[Packet; 1]> {
        let packet = frame.to_packet();
        if self.peer.can_carry(packet.offload) { smallvec![packet] } else { segment::to_wire(packet) }
    }

    /// Puts frames into the other end's queue while there is room.
    fn fill(&mut self, queue: &mut Queue, frames: &mut VecDeque<Frame>) {
        while let Some(frame) = frames.front() {
            if queue.packets.len() >= self.link.limit {
                queue.starved = true;
                return;
            }
            self.counters.written(frame);
            // A super-segment that is split may exceed the limit by its own segments.
            queue.packets.extend(self.deliver(frame));
            frames.pop_front();
        }
    }
}

impl Link {
    fn signal(&self, side: usize) {
        // Fails only where the count would overflow: then it is readable anyway.
        let _ = self.events[side].write(1);
    }
}

impl AsFd for PipeEnd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.link.events[self.side].as_fd()
    }
}

impl Device for PipeEnd {
    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn recv(&mut self, packets: &mut Vec<Packet>, max: usize) -> io::Result<usize> {
        let mut queue = self.link.queues[self.side].lock().unwrap_or_else(PoisonError::into_inner);
        let count = max.min(queue.packets.len());
        for packet in queue.packets.drain(..count) {
            self.counters.read(packet.bytes().len(), packet.offload);
            packets.push(packet);
        }
        // Under the lock, so that no signal of a packet put in meanwhile is swallowed.
        if queue.packets.is_empty() {
            match self.link.events[self.side].read() {
                Ok(_) | Err(Errno::EAGAIN) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        if queue.starved && queue.packets.len() < self.link.limit {
            queue.starved = false;
            drop(queue);
            self.link.signal(1 - self.side);
        }
        Ok(count)
    }

    fn send(&mut self, frames: &mut VecDeque<Frame>) -> io::Result<()> {
        if Arc::strong_count(&self.link) == 1 {
            self.counters.refused += frames.len() as u64;
            frames.clear();
            return Ok(());
        }
        let link = Arc::clone(&self.link);
        let mut queue = link.queues[1 - self.side].lock().unwrap_or_else(PoisonError::into_inner);
        let was_empty = queue.packets.is_empty();
        self.fill(&mut queue, frames);
        if was_empty && !queue.packets.is_empty() {
            link.signal(1 - self.side);
        }
        Ok(())
    }

    fn counters(&self) -> DeviceCounters {
        self.counters
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::buffer::Buffer;
    use crate::wire::packet::Offload;
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    const PLAIN: Capabilities = Capabilities::plain(1_500);
    const OFFLOAD: Capabilities = Capabilities::offload(1_500);

    fn frames(count: u8) -> VecDeque<Frame> {
        let frame = |byte| {
            let mut frame = Frame::new(Offload::None);
            frame.push_header(&[byte]);
            frame
        };
        (0..count).map(frame).collect()
    }

    fn is_ready(end: &PipeEnd) -> bool {
        poll(&mut [PollFd::new(end.as_fd(), PollFlags::POLLIN)], PollTimeout::ZERO) == Ok(1)
    }

    fn received(end: &mut PipeEnd, max: usize) -> Vec<u8> {
        let mut packets = Vec::new();
        assert_eq!(end.recv(&mut packets, max).unwrap(), packets.len());
        packets.iter().map(|packet| packet.bytes()[0]).collect()
    }

    #[test]
    fn packets_arrive_in_order_and_readiness_tells() {
        let (mut a, mut b) = pipe(PLAIN, PLAIN, 10).unwrap();
        assert!(!is_ready(&a) && !is_ready(&b));
        a.send(&mut frames(3)).unwrap();
        assert!(is_ready(&b) && !is_ready(&a));
        assert_eq!(received(&mut b, 2), [0, 1]);
        assert!(is_ready(&b), "one is left");
        assert_eq!(received(&mut b, 2), [2]);
        assert!(!is_ready(&b));
        assert_eq!(received(&mut b, 2), []);
        assert_eq!((a.counters().writes, b.counters().reads, b.counters().read_bytes), (3, 3, 3));
    }

    #[test]
    fn a_full_pipe_leaves_frames_over_and_tells_when_there_is_room() {
        let (mut a, mut b) = pipe(PLAIN, PLAIN, 2).unwrap();
        let mut waiting = frames(3);
        a.send(&mut waiting).unwrap();
        assert_eq!(waiting.len(), 1);
        assert!(!is_ready(&a));
        assert_eq!(received(&mut b, 1), [0]);
        assert!(is_ready(&a), "room");
        assert_eq!(received(&mut a, 9), []);
        assert!(!is_ready(&a));
        a.send(&mut waiting).unwrap();
        assert!(waiting.is_empty());
        assert_eq!(received(&mut b, 9), [1, 2]);
        assert!(!is_ready(&a), "nobody waits any more");
    }

    #[test]
    fn without_the_other_end_frames_vanish() {
        let (mut a, b) = pipe(PLAIN, PLAIN, 2).unwrap();
        drop(b);
        let mut lost = frames(5);
        a.send(&mut lost).unwrap();
        assert!(lost.is_empty());
        assert_eq!(a.counters().refused, 5);
    }

    #[test]
    fn super_segments_pass_whole_to_an_end_with_offload_only() {
        let no_uso = Capabilities { udp_segmentation: false, ..OFFLOAD };
        let (tcp, udp) = (Offload::Tcp { mss: 100, start: 20 }, Offload::Udp { size: 100, start: 20 });
        for (offload, peer, wanted) in
            [(tcp, OFFLOAD, 1), (tcp, PLAIN, 3), (udp, OFFLOAD, 1), (udp, PLAIN, 3), (udp, no_uso, 3)]
        {
            let (mut a, mut b) = pipe(OFFLOAD, peer, 10).unwrap();
            let mut frame = Frame::new(offload);
            let mut headers = [0; 40];
            headers[0] = 0x45;
            headers[32] = 0x50;
            let headers = if offload == tcp { &headers[..] } else { &headers[..28] };
            frame.push_header(headers);
            frame.payload.push(Buffer::copy_of(&[1; 250]).into());
            a.send(&mut VecDeque::from([frame])).unwrap();
            let mut packets = Vec::new();
            assert_eq!(b.recv(&mut packets, 10).unwrap(), wanted);
            let payload: usize = packets.iter().map(|packet| packet.bytes().len() - headers.len()).sum();
            assert_eq!(payload, 250);
            assert_eq!(packets.iter().all(|packet| packet.offload == Offload::None), wanted > 1);
            let counted = (a.counters().write_supers, b.counters().read_supers);
            assert_eq!(counted, (1, u64::from(wanted == 1)));
        }
    }
}
