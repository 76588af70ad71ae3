//! Data in order and out of order, in both directions (RFC 9293 §3.8, §3.10.7.4 seventh).

use super::*;

#[test]
fn data_is_delivered_in_order_and_acknowledged() {
    let mut b = Bench::established(plain());
    b.gets(seg(ACK, 1, 1).data(&bytes(MSS)));
    b.gets(seg(ACK, 1 + MSS as u32, 1).data(b"tail"));
    b.sends(ACK, 1, 1005);
    assert_eq!(b.read().unwrap().len(), MSS + 4);
    b.silent();
}

/// SHLD-31, RFC 5681 §4.2: what lies behind a gap is kept, and the gap is told at once; so is its end.
#[test]
fn reordered_segments_come_out_in_order() {
    let mut b = Bench::established(plain());
    let data = bytes(30);
    b.gets(seg(ACK, 21, 1).data(&data[20..]));
    b.sends(ACK, 1, 1);
    b.gets(seg(ACK, 11, 1).data(&data[10..20]));
    b.sends(ACK, 1, 1);
    assert_eq!(b.read(), Err(SocketError::WouldBlock));
    b.gets(seg(ACK, 1, 1).data(&data[..10]));
    b.sends(ACK, 1, 31);
    assert_eq!(b.read(), Ok(data));
}

/// RFC 2018 §4: the gap's far side is reported, the newest block first.
#[test]
fn gaps_are_reported_by_sack() {
    let mut b = Bench::listening(TcpConfig { sack: true, ..plain() });
    b.gets(seg(SYN, 0, 0).mss(1000).sack_permitted());
    b.sends(SYN_ACK, 0, 1);
    b.gets(seg(ACK, 1, 1));
    b.gets(seg(ACK, 11, 1).data(b"aa"));
    let sack = |s: Seg| s.options.sack.iter().map(|(l, r)| (l.0 - IRS, r.0 - IRS)).collect::<Vec<_>>();
    assert_eq!(sack(b.sends(ACK, 1, 1)), [(11, 13)]);
    b.gets(seg(ACK, 21, 1).data(b"bb"));
    assert_eq!(sack(b.sends(ACK, 1, 1)), [(21, 23), (11, 13)]);
    b.gets(seg(ACK, 1, 1).data(&[0; 10]));
    assert_eq!(sack(b.sends(ACK, 1, 13)), [(21, 23)]);
}

/// RFC 9293 §3.10.7.4: duplicates are acknowledged and not delivered, overlaps are trimmed.
#[test]
fn every_byte_is_delivered_once() {
    let mut b = Bench::established(plain());
    b.gets(seg(ACK, 1, 1).data(b"abcdef"));
    b.gets(seg(ACK, 1, 1).data(b"abcdef"));
    b.sends(ACK, 1, 7);
    b.gets(seg(ACK, 4, 1).data(b"defghi"));
    b.sends(ACK, 1, 10);
    assert_eq!(b.read(), Ok(b"abcdefghi".to_vec()));
    assert_eq!(b.dropped(DropReason::TcpOutOfWindow), 1);
}

/// RFC 9293 §3.10.7.4: what lies beyond the window is cut off, the rest is taken, and the peer is told where the window ends.
#[test]
fn data_beyond_the_window_is_cut_off() {
    let mut b = Bench::established(TcpConfig { receive_buffer: 8_000, ..plain() });
    b.gets(seg(ACK, 1, 1).data(&bytes(5_000)));
    let sent = b.sends(ACK, 1, 4_001);
    assert_eq!(sent.window, Some(0));
    b.gets(seg(ACK, 4_001, 1).data(b"x"));
    b.sends(ACK, 1, 4_001);
    assert_eq!(b.read(), Ok(bytes(5_000)[..4_000].to_vec()));
}

/// RFC 9293 §3.8: segments are as large as they can be (SHLD-28), PSH stands on the last byte written only (MUST-61).
#[test]
fn a_write_leaves_in_full_segments_with_push_at_the_end() {
    let mut b = Bench::established(plain());
    b.write(&bytes(2_500)).unwrap();
    b.sends_data(ACK, 1, 1, MSS);
    b.sends_data(ACK, 1_001, 1, MSS);
    let last = b.sends_data(ACK.with(PSH), 2_001, 1, 500);
    assert_eq!(last.payload, bytes(2_500)[2_000..]);
    b.silent();
    b.gets(seg(ACK, 1, 2_501));
    assert_eq!(b.tcp.poll_timeout(), None);
}

/// RFC 9293 §3.7.4 (SHLD-7) in Minshall's variant: a short segment waits for the acknowledgement of another short one, and goes
/// at once with Nagle off (MUST-17).
#[test]
fn nagle_holds_a_second_short_segment_back() {
    let mut b = Bench::established(plain());
    b.write(b"a").unwrap();
    b.sends_data(ACK.with(PSH), 1, 1, 1);
    b.write(b"b").unwrap();
    b.write(b"c").unwrap();
    b.silent();
    b.gets(seg(ACK, 1, 2));
    b.sends_data(ACK.with(PSH), 2, 1, 2);
    b.write(b"d").unwrap();
    b.silent();
    b.set_options(|options| options.nodelay = true);
    b.sends_data(ACK.with(PSH), 4, 1, 1);
}

/// Minshall: a full segment under way does not hold a short one back.
#[test]
fn a_short_tail_follows_full_segments_at_once() {
    let mut b = Bench::established(plain());
    b.write(&bytes(MSS)).unwrap();
    b.sends_data(ACK.with(PSH), 1, 1, MSS);
    b.write(b"tail").unwrap();
    b.sends_data(ACK.with(PSH), 1_001, 1, 4);
}

/// With segmentation offload a write of many segments leaves as one frame, whole segments and one short tail.
#[test]
fn a_device_that_segments_gets_super_segments() {
    let mut b = Bench::on(plain(), Capabilities::offload(MSS + 40)).listen(1).handshake(60_000);
    b.write(&bytes(9_500)).unwrap();
    let frame = b.tcp.poll_transmit(&mut b.layer, &mut b.counters, b.now).unwrap();
    assert_eq!(
        (frame.payload_len(), frame.offload),
        (9_500, crate::wire::packet::Offload::Tcp { mss: 1000, start: 20 })
    );
    b.silent();
}

/// RFC 6691 §3.1: SACK blocks take their room from the payload; otherwise two ends that both miss data send each other nothing
/// but packets above the MTU, for ever.
#[test]
fn segments_with_sack_blocks_stay_within_the_mtu() {
    for capabilities in [Capabilities::plain(MSS + 40), Capabilities::offload(MSS + 40)] {
        let mut b = Bench::on(TcpConfig { sack: true, ..plain() }, capabilities).listen(1);
        b.gets(seg(SYN, 0, 0).mss(MSS as u16).sack_permitted().window(60_000));
        b.sends(SYN_ACK, 0, 1);
        b.gets(seg(ACK, 1, 1).window(60_000));
        b.id = Some(b.tcp.accept(b.listener.unwrap()).unwrap().0);
        b.gets(seg(ACK, 101, 1).data(b"behind a gap").window(60_000));
        b.write(&bytes(5_000)).unwrap();
        let mut sent = 0;
        while let Some(frame) = b.tcp.poll_transmit(&mut b.layer, &mut b.counters, b.now) {
            sent += frame.payload_len();
            let packets = crate::device::segment::to_wire(frame.to_packet());
            assert!(packets.iter().all(|packet| packet.bytes().len() <= MSS + 40));
        }
        assert_eq!(sent, 5_000);
    }
}

/// RFC 9293 §3.10.4: the buffer's limit is the writer's limit, and it is told when there is room again.
#[test]
fn a_full_send_buffer_blocks_the_writer_until_there_is_room() {
    let mut b = Bench::established(TcpConfig { send_buffer: 3_000, ..plain() });
    while b.tcp.poll_event().is_some() {}
    assert_eq!(b.write(&bytes(4_000)), Ok(3_000));
    assert_eq!(b.write(b"x"), Err(SocketError::WouldBlock));
    while b.next().is_some() {}
    b.gets(seg(ACK, 1, 501));
    assert_eq!(b.tcp.poll_event(), None);
    b.gets(seg(ACK, 1, 1_001));
    assert_eq!(b.tcp.poll_event(), Some(TcpEvent::Connection(b.id(), Readiness::OUT)));
}

/// A listener on `[::]` serves IPv4, too, as on Linux.
#[test]
fn a_wildcard_listener_of_version_6_serves_version_4() {
    let mut b = Bench::new(plain());
    b.listener = Some(b.tcp.listen("[::]:80".parse().unwrap(), 1).unwrap());
    b.handshake(1000);
}

/// RFC 5681 §3.1: the congestion window is never below one segment. It was one of a smaller size when the path's MTU grew again:
/// a whole segment goes out all the same.
#[test]
fn a_congestion_window_below_a_segment_is_one_segment() {
    let mut b = Bench::established(plain());
    let index = b.id().0.index;
    let tcb = b.tcp.connections.at_mut(index).unwrap();
    tcb.congestion = congestion::Controller::new(tcb.options.congestion, congestion::HyStart::Off, 500);
    b.write(&bytes(3_000)).unwrap();
    b.sends_data(ACK, 1, 1, MSS);
    b.silent();
}

/// No connection waits for all that another has to send: they take turns of [`RUN`] frames.
#[test]
fn connections_take_turns() {
    let mut b = Bench::established(plain());
    let first = b.id();
    b.tuple.remote.port = 5001;
    let mut b = b.handshake(60_000);
    for id in [first, b.id()] {
        assert_eq!(b.tcp.send(id, &[IoSlice::new(&bytes(10_000))], b.now), Ok(10_000));
    }
    let frames = std::iter::from_fn(|| b.tcp.poll_transmit(&mut b.layer, &mut b.counters, b.now));
    let ports: Vec<u16> =
        frames.map(|frame| frame.to_vec()).map(|f| u16::from_be_bytes([f[22], f[23]])).collect();
    let turns: Vec<_> = ports.chunk_by(|a, b| a == b).map(|turn| (turn[0], turn.len())).collect();
    let (run, rest) = (RUN as usize, 10 - RUN as usize);
    assert_eq!(turns, [(5000, run), (5001, run), (5000, rest), (5001, rest)]);
}

/// A slice is queued as a whole or, when the send buffer is full, not at all; it is sent as it is.
#[test]
fn a_slice_is_sent_whole_or_not_at_all() {
    let mut b = Bench::established(TcpConfig { send_buffer: 2_000, send_buffer_initial: 2_000, ..plain() });
    let slice = crate::base::buffer::Slice::from(Buffer::copy_of(&bytes(1_500)));
    let mut send = || b.tcp.send_slice(b.id.unwrap(), &slice, b.now);
    assert_eq!([send(), send(), send()], [Ok(()), Ok(()), Err(SocketError::WouldBlock)]);
    let sent: Vec<u8> = std::iter::from_fn(|| b.next()).flat_map(|sent| sent.payload).collect();
    assert_eq!(sent, bytes(1_500).repeat(2));
}
