//! Wires between pipes in memory: what goes in at one end comes out at the other, late and changed as the links say.

use super::*;
use crate::device::link::Link;
use crate::device::pipe::{PipeEnd, pipe};
use crate::device::{Capabilities, Device};
use crate::wire::packet::{Frame, Offload, Packet};
use nix::poll::PollTimeout;
use std::collections::VecDeque;

const OFFLOAD: Capabilities = Capabilities::offload(1_500);

fn link(text: &str) -> LinkConfig {
    let mut link = LinkConfig::transparent();
    link.apply(text).unwrap();
    link
}

/// A wire, and the far ends of the pipes that it joins.
fn wire(there: &str, back: &str) -> (Wire, PipeEnd, PipeEnd) {
    let (a, first) = pipe(OFFLOAD, OFFLOAD, 1_000).unwrap();
    let (second, b) = pipe(OFFLOAD, OFFLOAD, 1_000).unwrap();
    let config = WireConfig { there: link(there), back: link(back), seed: 1 };
    (Wire::start(first, second, config).unwrap(), a, b)
}

fn send(end: &mut PipeEnd, packets: impl IntoIterator<Item = Vec<u8>>) {
    let frames = packets.into_iter().map(|bytes| Frame::from(Packet::from_slice(&bytes)));
    let mut frames: VecDeque<_> = frames.collect();
    end.send(&mut frames).unwrap();
    assert!(frames.is_empty());
}

/// The next `count` packets, however long they take.
fn receive(end: &mut PipeEnd, count: usize) -> Vec<Packet> {
    let mut packets = Vec::new();
    while packets.len() < count {
        nix::poll::poll(&mut [PollFd::new(end.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE).unwrap();
        end.recv(&mut packets, count).unwrap();
    }
    packets
}

#[tokio::test]
async fn packets_arrive_in_order_and_not_before_their_time() {
    let (wire, mut a, mut b) = wire("delay 30ms", "delay 10ms");
    let start = Clock::Monotonic.now();
    send(&mut a, (0..100).map(|i| vec![i; 100]));
    let there = receive(&mut b, 100);
    assert!(Clock::Monotonic.now() >= start + Duration::from_millis(30));
    assert!(there.iter().enumerate().all(|(i, packet)| packet.bytes() == [i as u8; 100]));
    let start = Clock::Monotonic.now();
    send(&mut b, [vec![7; 50]]);
    assert_eq!(receive(&mut a, 1)[0].bytes(), [7; 50]);
    assert!(Clock::Monotonic.now() >= start + Duration::from_millis(10));
    let counters = wire.stop().await.unwrap();
    assert_eq!((counters.there.link.delivered, counters.back.link.delivered), (100, 1));
    assert_eq!((counters.there.link.bytes, counters.back.link.bytes), (10_000, 50));
}

/// What a super-segment stands for is what is drawn upon and what arrives, with its checksums.
#[tokio::test]
async fn super_segments_become_wire_packets() {
    let (wire, mut a, mut b) = wire("corrupt 100%", "");
    let mut frame = Frame::new(Offload::Tcp { mss: 100, start: 20 });
    let mut headers = [0; 40];
    (headers[0], headers[32]) = (0x45, 0x50);
    frame.push_header(&headers);
    frame.payload.push(crate::base::buffer::Buffer::copy_of(&[1; 250]).into());
    let whole = crate::device::segment::to_wire(frame.to_packet());
    a.send(&mut VecDeque::from([frame])).unwrap();
    let packets = receive(&mut b, 3);
    for (packet, whole) in packets.iter().zip(&whole) {
        assert_eq!(packet.offload, Offload::None);
        let differ = packet.bytes().iter().zip(whole.bytes()).filter(|(a, b)| a != b).count();
        assert_eq!((differ, packet.bytes().len()), (1, whole.bytes().len()), "one byte changed");
    }
    let counters = wire.stop().await.unwrap();
    assert_eq!((counters.there.link.packets, counters.there.link.corrupted), (3, 3));
}

/// The seed alone decides: a link of the same seed meets the same fate without a wire.
#[tokio::test]
async fn losses_and_copies_are_those_of_the_seed() {
    let text = "loss 30% dup 10%";
    let mut alone = Link::new(link(text), Rng::from_seed(Rng::from_u64(1).seed()));
    (0..900).for_each(|_| alone.push([0; 20], Instant::ZERO));
    let (wire, mut a, mut b) = wire(text, "");
    send(&mut a, (0..900).map(|_| vec![0; 20]));
    receive(&mut b, alone.counters().delivered as usize);
    let counters = wire.stop().await.unwrap();
    assert_eq!(counters.there.link, alone.counters());
    assert!(alone.counters().lost > 200 && alone.counters().duplicated > 30);
}

/// A device that is gone ends the wire, and says so to whoever waits.
#[tokio::test]
async fn a_device_that_fails_ends_the_wire() {
    struct Gone(PipeEnd);
    impl AsFd for Gone {
        fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
            self.0.as_fd()
        }
    }
    impl Device for Gone {
        fn capabilities(&self) -> Capabilities {
            OFFLOAD
        }
        fn recv(&mut self, _: &mut Vec<Packet>, _: usize) -> io::Result<usize> {
            Err(io::ErrorKind::NotConnected.into())
        }
        fn send(&mut self, _: &mut VecDeque<Frame>) -> io::Result<()> {
            Ok(())
        }
    }
    let (_, first) = pipe(OFFLOAD, OFFLOAD, 1).unwrap();
    let (_, second) = pipe(OFFLOAD, OFFLOAD, 1).unwrap();
    let config = WireConfig { there: link(""), back: link(""), seed: 1 };
    let mut wire = Wire::start(first, Gone(second), config).unwrap();
    assert_eq!(wire.ended().await.unwrap_err().kind(), io::ErrorKind::NotConnected);
    assert!(wire.stop().await.is_err());
}
