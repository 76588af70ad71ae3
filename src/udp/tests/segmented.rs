//! Several datagrams at once: super-datagrams in both directions, bursts, and the calls that send and read many.

use super::*;
use crate::device::segment::to_wire;

/// A super-datagram from the host's port 5,000 to the stack's port 7.
fn super_datagram(v6: bool, payload: &[u8], size: u16) -> Packet {
    let header = header(v6, protocol::UDP);
    let mut packet = Packet::from_slice(&packet(&header, &udp(&header, 5_000, 7, payload)));
    packet.offload = Offload::Udp { size, start: if v6 { 40 } else { 20 } };
    packet
}

/// What the kernel sends with UDP_SEGMENT arrives as the datagrams it stands for, the last one shorter.
#[test]
fn a_super_datagram_is_read_as_its_datagrams() {
    for v6 in [false, true] {
        let mut host = Host::new(Capabilities::offload(1_500));
        let id = host.bind("[::]:7").unwrap();
        let payload: Vec<u8> = (0..2_500).map(|i| i as u8).collect();
        assert!(host.arrive_packet(super_datagram(v6, &payload, 1_000)));
        assert_eq!((host.counters.udp_in, host.counters.udp_in_datagrams), (1, 3));
        let mut buffer = [0; 1_500];
        assert_eq!(host.udp.peek_from(id, &mut buffer).unwrap().len, 1_000);
        for wanted in payload.chunks(1_000) {
            assert_eq!(host.next(id), Ok(wanted.to_vec()));
        }
        assert_eq!(host.next(id), Err(SocketError::WouldBlock));
        // A datagram that is cut costs none of the next.
        host.arrive_packet(super_datagram(v6, &payload, 1_000));
        assert_eq!(host.udp.recv_from(id, &mut buffer[..10]).unwrap().len, 10);
        assert_eq!(host.next(id), Ok(payload[1_000..2_000].to_vec()));
        host.udp.close(id);
        assert_eq!(host.udp.memory, 0);
    }
}

/// As UDP_GRO: one call reads what follows each other from one sender in equal size, whether it came as one or not.
#[test]
fn several_datagrams_are_read_in_one_call() {
    let mut host = Host::new(Capabilities::offload(1_500));
    let id = host.bind("[::]:7").unwrap();
    let payload: Vec<u8> = (0..250).map(|i| i as u8).collect();
    let mut buffer = [0; 65_536];
    let mut read = |host: &mut Host, room: usize| {
        let received = host.udp.recv_segmented(id, &mut buffer[..room])?;
        Ok::<_, SocketError>((buffer[..received.len].to_vec(), received.stride, received.from))
    };
    (0..2).for_each(|_| assert!(host.arrive_packet(super_datagram(false, &payload, 100))));
    assert_eq!(read(&mut host, 65_536), Ok((payload.clone(), 100, peer(false))), "a shorter one ends it");
    assert_eq!(read(&mut host, 220), Ok((payload[..200].to_vec(), 100, peer(false))), "whole ones only");
    assert_eq!(read(&mut host, 220), Ok((payload[200..].to_vec(), 50, peer(false))));
    // Single ones; then another size, another sender, an empty one.
    let arrivals =
        [(5_000, 9), (5_000, 9), (5_000, 4), (5_000, 9), (5_000, 12), (5_001, 12), (5_001, 0), (5_001, 9)];
    for (from, len) in arrivals {
        assert!(host.arrive(SocketAddr::new(ends(false).0, from), 7, &payload[..len]));
    }
    let lens: Vec<_> = std::iter::from_fn(|| read(&mut host, 100).ok()).map(|r| (r.0.len(), r.1)).collect();
    assert_eq!(lens, [(22, 9), (9, 9), (12, 12), (12, 12), (0, 0), (9, 9)]);
    // The first is cut, as with `recv_from`, and nothing follows it.
    (0..2).for_each(|_| assert!(host.arrive(peer(false), 7, &payload)));
    assert_eq!(read(&mut host, 60).map(|r| r.0.len()), Ok(60));
    assert_eq!(read(&mut host, 65_536).map(|r| r.0.len()), Ok(250));
    assert_eq!((read(&mut host, 9), host.udp.memory), (Err(SocketError::WouldBlock), 0));
}

/// The bounds count what a super-datagram stands for; it is taken whole or not at all.
#[test]
fn the_datagrams_of_super_datagrams_are_counted() {
    let mut host = Host::new(Capabilities::offload(1_500));
    let id = host.bind("[::]:7").unwrap();
    (0..11).for_each(|_| assert!(host.arrive_packet(super_datagram(true, &[7; 1_000], 10))));
    assert_eq!((host.counters.udp_in_datagrams, host.counters.dropped(DropReason::UdpQueueFull)), (1_000, 1));
    (0..76).for_each(|_| assert!(host.next(id).is_ok()));
    assert!(host.arrive_packet(super_datagram(true, &[7; 1_000], 10)));
    assert_eq!(host.counters.udp_in_datagrams, 1_100);
    host.udp.connect(id, at("[fd77::9]:1"), &host.ip).unwrap();
    assert!(host.next(id).is_err() && host.udp.memory == 0);
}

/// Datagrams of equal size to one peer leave as one frame, in one call or in several, until something else is sent.
#[test]
fn a_burst_to_one_peer_leaves_as_one_frame() {
    for (v6, start) in [(false, 20), (true, 40)] {
        let mut host = Host::new(Capabilities::offload(1_500));
        let id = host.bind("[::]:7").unwrap();
        (0..5).for_each(|_| assert_eq!(host.send_to(id, &[7; 1_000], peer(v6)), Ok(1_000)));
        assert_eq!(host.send_segmented(id, &[7; 3_400], 1_000, peer(v6)), Ok(3_400));
        let frame = host.frames().pop().unwrap();
        assert_eq!((frame.payload_len(), frame.offload), (8_400, Offload::Udp { size: 1_000, start }));
        let (src, dst) = (ends(v6).1, ends(v6).0);
        let folded = Sum::pseudo_header(src, dst, protocol::UDP, 8_408).folded().to_be_bytes();
        assert_eq!(
            frame.headers()[usize::from(start)..][..8],
            [&[0, 7, 19, 136, 32, 216], &folded[..]].concat()
        );
        assert_eq!((host.counters.udp_out, host.counters.udp_out_datagrams), (1, 9));
        assert!(host.frames().is_empty());
    }
}

/// Order is kept, and nothing is joined that its receiver could tell from single datagrams.
#[test]
fn what_cannot_go_together_leaves_in_order() {
    let mut host = Host::new(Capabilities::offload(1_500));
    let (id, other) = (host.bind("[::]:7").unwrap(), host.bind("[::]:8").unwrap());
    let elsewhere = at("10.77.0.1:5001");
    let sends = [
        (id, 100, peer(false)),
        (id, 100, peer(false)),
        (id, 60, peer(false)), // a shorter one ends a burst
        (id, 60, peer(false)),
        (id, 100, peer(false)), // a longer one begins another
        (id, 100, elsewhere),
        (id, 100, peer(true)),
        (other, 100, peer(true)),
        (other, 0, peer(true)),
        (other, 100, peer(true)), // an empty one cannot be told in one
        (other, 2_000, peer(true)),
        (other, 100, peer(true)), // fragments
    ];
    for (id, len, to) in sends {
        assert_eq!(host.send_to(id, &vec![len as u8; len], to), Ok(len));
    }
    let lens: Vec<_> = host.frames().iter().map(Frame::payload_len).collect();
    assert_eq!(lens, [260, 60, 100, 100, 100, 100, 0, 100, 1_440, 560, 100]);
}

/// One super-datagram holds 128 datagrams at most, and 65,535 bytes with its headers.
#[test]
fn a_burst_ends_at_its_bounds() {
    for (v6, longest) in [(false, 65_507), (true, 65_487)] {
        let mut host = Host::new(Capabilities::offload(1_500));
        let id = host.bind("[::]:7").unwrap();
        (0..200).for_each(|_| assert_eq!(host.send_to(id, b"x", peer(v6)), Ok(1)));
        (0..60).for_each(|_| assert_eq!(host.send_to(id, &[7; 1_400], peer(v6)), Ok(1_400)));
        let lens: Vec<_> = host.frames().iter().map(Frame::payload_len).collect();
        assert_eq!(lens, [128, 72, 46 * 1_400, 14 * 1_400]);
        assert_eq!(host.send_segmented(id, &vec![1; longest], 1_400, peer(v6)), Ok(longest));
        assert_eq!(host.frames()[0].len(), 65_535);
        let refused =
            |host: &mut Host, len: usize, size| host.send_segmented(id, &vec![1; len], size, peer(v6));
        assert_eq!(refused(&mut host, longest + 1, 1_400), Err(SocketError::MessageTooLong));
        assert_eq!(refused(&mut host, 129, 1), Err(SocketError::Invalid));
        assert_eq!(refused(&mut host, 10, 0), Err(SocketError::Invalid));
        assert_eq!(refused(&mut host, 128, 1), Ok(128));
        // A size beyond the payload is one datagram; nothing is one too.
        assert_eq!((refused(&mut host, 10, 70_000), refused(&mut host, 0, 5)), (Ok(10), Ok(0)));
        let lens: Vec<_> =
            host.frames().iter().map(|frame| (frame.payload_len(), frame.offload.is_super())).collect();
        assert_eq!(lens, [(128, true), (10, false), (0, false)]);
    }
}

/// A path that narrows while a burst waits: its datagrams leave as fragments, as if they had been sent one by one.
#[test]
fn a_burst_that_no_longer_fits_its_path_is_taken_apart() {
    let mut host = Host::new(Capabilities::offload(1_500));
    let id = host.bind("[::]:7").unwrap();
    assert_eq!(host.send_segmented(id, &[7; 3_000], 1_400, peer(true)), Ok(3_000));
    host.ip.paths().lower_for_datagrams(peer(true).ip(), 1_300, Instant::ZERO);
    let lens: Vec<_> = host.transmitted().iter().map(|datagram| datagram.payload().len()).collect();
    assert_eq!(lens, [1_408, 1_408, 208]);
    assert_eq!((host.counters.udp_out, host.counters.udp_out_datagrams), (3, 3));
}

/// Below the floor of 552 bytes the wire packets of a super-datagram are numbered on (RFC 6864 §4.2).
#[test]
fn super_datagrams_without_df_are_numbered_by_their_datagrams() {
    let mut host = Host::new(Capabilities::offload(1_500));
    let id = host.bind("[::]:7").unwrap();
    host.ip.paths().lower_for_datagrams(peer(false).ip(), 296, Instant::ZERO);
    let mut id_of = |len: usize| {
        host.send_segmented(id, &vec![7; len], 200, peer(false)).unwrap();
        let frame = host.frames().remove(0);
        assert_eq!(frame.headers()[6], 0, "may be fragmented");
        u16::from_be_bytes([frame.headers()[4], frame.headers()[5]])
    };
    let ids = [id_of(1_000), id_of(200)];
    assert_eq!(ids[1].wrapping_sub(ids[0]), 5);
}

proptest! {
    /// Without offload the same datagrams arrive, whatever is sent in one call and whatever in several.
    #[test]
    fn the_same_datagrams_arrive_with_and_without_offload(
        v6: bool,
        calls in prop::collection::vec((0usize..3_000, 1usize..1_600, 0u16..2), 1..12),
    ) {
        let arrived = |capabilities| {
            let mut host = Host::new(capabilities);
            let id = host.bind("[::]:7").unwrap();
            for (i, &(len, size, port)) in calls.iter().enumerate() {
                let to = SocketAddr::new(peer(v6).ip(), 5_000 + port);
                let size = size.max(len / 100 + 1);
                host.send_segmented(id, &vec![i as u8; len], size, to).unwrap();
            }
            let wire = host.frames().into_iter().flat_map(|frame| to_wire(frame.to_packet()));
            let mut other = Ip::new(
                &[(ends(false).0, 24), (ends(true).0, 64)], Capabilities::plain(1_500), &mut Rng::from_u64(2),
            ).unwrap();
            let mut counters = Counters::default();
            wire.filter_map(|packet| receive(&mut other, packet.bytes(), &mut counters))
                .inspect(|datagram| assert!(check(datagram).is_some()))
                .map(|datagram| datagram.payload().to_vec())
                .collect::<Vec<_>>()
        };
        let no_uso = Capabilities { udp_segmentation: false, ..Capabilities::offload(1_500) };
        let plain = arrived(Capabilities::plain(1_500));
        prop_assert_eq!(&arrived(Capabilities::offload(1_500)), &plain);
        prop_assert_eq!(&arrived(no_uso), &plain);
    }
}
