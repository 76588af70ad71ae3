//! The sizes of buffers (policies 3 and 30): what they grow with, what fixes them, what brings them back, and that an idle connection
//! has none.

use super::*;

/// Window scaling and a large buffer, of which a connection gets little at first.
fn roomy() -> TcpConfig {
    TcpConfig { window_scaling: true, receive_buffer: 6 << 20, ..plain() }
}

fn scaled(config: TcpConfig) -> Bench {
    scaled_over(ms(100), config)
}

/// Over a path with this round trip.
fn scaled_over(rtt: Duration, config: TcpConfig) -> Bench {
    let mut b = Bench::listening(config);
    b.gets(seg(SYN, 0, 0).mss(MSS as u16).scale(7));
    b.sends(SYN_ACK, 0, 1);
    b.now += rtt;
    b.gets(seg(ACK, 1, 1));
    b.silent();
    b.id = Some(b.tcp.accept(b.listener.unwrap()).unwrap().0);
    b
}

fn window(b: &Bench) -> u32 {
    b.tcp.info(b.id()).unwrap().receive_window
}

fn tcb(b: &Bench) -> &Tcb {
    b.tcp.connections.get(b.id().0).unwrap()
}

/// The peer sends `len` bytes from `seq` on, which are read as they come if `read`.
fn send(b: &mut Bench, seq: &mut u32, len: u32, read: bool) {
    let end = *seq + len;
    while *seq < end {
        let part = (end - *seq).min(MSS as u32);
        b.gets(seg(ACK, *seq, 1).data(&vec![7; part as usize]));
        *seq += part;
        if read {
            b.read().unwrap();
        }
        while b.next().is_some() {}
    }
}

/// The same, and then a round trip of 100 ms passes.
fn round_trip(b: &mut Bench, seq: &mut u32, len: u32, read: bool) {
    send(b, seq, len, read);
    b.jump(ms(100));
    while b.next().is_some() {}
}

/// Policy 30: a peer that fills the window, and is read, has all of it within a few round trips; at no time less than it could use in
/// slow start.
#[test]
fn the_window_grows_to_its_largest_within_a_few_round_trips() {
    let mut b = scaled(roomy());
    let (mut seq, mut flight) = (1, 10_000);
    for _ in 0..9 {
        assert!(window(&b) >= flight.min(3 << 20), "{} where {flight} fit", window(&b));
        round_trip(&mut b, &mut seq, flight, true);
        flight *= 2;
    }
    assert_eq!(window(&b) >> 20, 3);
    let mut b = scaled(roomy());
    let mut seq = 1;
    for _ in 0..4 {
        let len = window(&b);
        round_trip(&mut b, &mut seq, len, true);
    }
    assert_eq!(window(&b) >> 20, 3, "{}", window(&b));
}

/// Policy 30, hostile case M4: what nobody reads, or reads a little of, does not grow; neither does what the application fixed, nor
/// what tuning was switched off for.
#[test]
fn a_buffer_does_not_grow_without_a_reader_or_against_a_setting() {
    let mut b = scaled(roomy());
    let mut seq = 1;
    while window(&b) > 0 {
        let len = window(&b);
        round_trip(&mut b, &mut seq, len, false);
    }
    assert!((60_000..=131_072).contains(&tcb(&b).memory()), "{}", tcb(&b).memory());

    let mut b = scaled(roomy());
    let mut seq = 1;
    for _ in 0..10 {
        round_trip(&mut b, &mut seq, 5_000, true);
    }
    assert!(window(&b) <= 65_536, "{}", window(&b));

    let untuned = scaled(TcpConfig { tune_receive_buffer: false, ..roomy() });
    let mut fixed = scaled(roomy());
    fixed.set_options(|options| options.receive_buffer = Some(131_072));
    for mut b in [untuned, fixed] {
        let mut seq = 1;
        for _ in 0..5 {
            let len = window(&b);
            round_trip(&mut b, &mut seq, len, true);
        }
        assert!(window(&b) <= 65_536, "{}", window(&b));
        assert!(b.statistics().receive_space > 60_000, "measured all the same");
    }
}

/// Policy 30, SHLD-14: after a silence the buffer begins with its initial size; what was offered stays offered.
#[test]
fn a_buffer_shrinks_after_a_silence_and_its_window_does_not() {
    let mut b = scaled(roomy());
    let mut seq = 1;
    for _ in 0..4 {
        let len = window(&b);
        round_trip(&mut b, &mut seq, len, true);
    }
    let edge = seq + window(&b);
    b.jump(ms(2_000));
    b.gets(seg(ACK, seq, 1).data(b"x"));
    assert_eq!(tcb(&b).receive_limit(&b.tcp.config, b.tcp.memory.budget(1 << 30)), 131_072);
    b.read().unwrap();
    b.jump(ms(40));
    while b.next().is_some() {}
    assert_eq!(seq + 1 + window(&b), edge);
}

/// RFC 7323 §4.1: a receiver that sends nothing learns the round trip from the timestamps it gets back; without timestamps from how
/// long it takes until something arrives from beyond the window that it offered.
#[test]
fn the_round_trip_is_measured_from_either_side() {
    let config = TcpConfig { timestamps: true, ..roomy() };
    let mut b = Bench::listening(config);
    let val = |sent: Seg| sent.options.timestamps.unwrap().val;
    b.gets(seg(SYN, 0, 0).mss(MSS as u16).scale(7).ts(1, 0));
    let mut echo = val(b.sends(SYN_ACK, 0, 1));
    b.now += ms(80);
    b.gets(seg(ACK, 1, 1).ts(81, echo));
    b.id = Some(b.tcp.accept(b.listener.unwrap()).unwrap().0);
    for i in 0..40u32 {
        b.gets(seg(ACK, 1 + i * 1_200, 1).ts(100 + i, echo).data(&bytes(1_200)));
        b.read().unwrap();
        echo = val(b.sends(ACK, 1, 1 + (i + 1) * 1_200));
        b.now += ms(30);
    }
    let measured = b.statistics().receive_rtt;
    assert!((ms(29)..ms(32)).contains(&measured), "{measured:?}");
    // Less than a segment may have waited for its writer.
    b.now += ms(300);
    b.gets(seg(ACK, 1 + 40 * 1_200, 1).ts(500, echo).data(b"late"));
    assert_eq!(b.statistics().receive_rtt, measured);

    let mut b = scaled(roomy());
    let mut seq = 1;
    b.jump(ms(500));
    for _ in 0..3 {
        let len = window(&b);
        b.jump(ms(20));
        send(&mut b, &mut seq, len, true);
    }
    assert_eq!(b.statistics().receive_rtt, ms(20), "less than the 100 ms of the handshake");
    assert_eq!(b.statistics().get("tcpi_rcv_rtt"), Some(20_000));
    assert_eq!(b.statistics().get("tcpi_rcv_space"), Some(b.statistics().receive_space.into()));
}

/// Policy 30: the send buffer takes two congestion windows, from its initial up to its largest size; `SO_SNDBUF` fixes it.
#[test]
fn the_send_buffer_grows_with_the_congestion_window() {
    let config = TcpConfig { send_buffer_initial: 15_000, send_buffer: 60_000, ..plain() };
    let mut b = Bench::established(config);
    assert_eq!(b.write(&bytes(100_000)), Ok(20_000), "two windows of ten segments");
    let mut una = 1;
    for limit in [40_000, 60_000, 60_000] {
        let mut sent = 0;
        while let Some(segment) = b.next() {
            sent += segment.payload.len() as u32;
        }
        una += sent;
        b.gets(seg(ACK, 1, una));
        assert!(b.told().has(Readiness::OUT));
        b.write(&bytes(100_000)).unwrap();
        assert_eq!(b.tcp.info(b.id()).unwrap().send_queue, limit);
    }
    b.set_options(|options| options.send_buffer = Some(70_000));
    assert_eq!(b.write(&bytes(100_000)), Ok(10_000));
    assert_eq!(b.write(b"x"), Err(SocketError::WouldBlock));
}

/// Policy 30: once data is acknowledged and read, and gaps are filled, a connection holds no memory but itself.
#[test]
fn an_idle_connection_holds_no_buffer() {
    let mut b = scaled(TcpConfig { sack: true, ..roomy() });
    b.write(&bytes(9_000)).unwrap();
    b.gets(seg(ACK, 2_001, 1).data(&bytes(1_000)));
    b.gets(seg(ACK, 1, 1).data(&bytes(2_000)));
    b.gets(seg(ACK, 1, 1).data(&bytes(100)));
    while b.next().is_some() {}
    assert!(tcb(&b).memory() >= 9_000 + 3_000 && b.tcp.memory_in_use() == tcb(&b).memory());
    b.gets(seg(ACK, 3_001, 9_001));
    assert_eq!(b.read().map(|read| read.len()), Ok(3_000));
    while b.next().is_some() {}
    let tcb = tcb(&b);
    assert_eq!((tcb.receive_queue.held(), tcb.send_queue.memory(), b.tcp.memory_in_use()), (0, 0, 0));
    assert!(tcb.receive_queue.is_empty() && tcb.reassembly.is_none() && tcb.flight.sent.is_empty());
    assert!(format!("{:?}", tcb.trouble.duplicates).contains("None"));
}

/// Policy 30: a connection that is over holds nothing of what it had to send, though its socket is open; one that is closed with
/// unread data holds nothing of that.
#[test]
fn what_ends_gives_its_memory_back() {
    let mut b = Bench::established_with(plain(), 0);
    b.write(&bytes(9_000)).unwrap();
    assert!(b.tcp.memory_in_use() >= 9_000);
    b.gets(seg(RST, 1, 0));
    assert_eq!((b.state(), b.tcp.memory_in_use()), (State::Closed, 0));
    let mut b = Bench::established(plain());
    b.gets(seg(ACK, 1, 1).data(&bytes(5_000)));
    assert!(b.tcp.memory_in_use() >= 5_000);
    b.close();
    assert_eq!(b.tcp.memory_in_use(), 0);
}

fn receive_limit(b: &Bench) -> usize {
    tcb(b).receive_limit(&b.tcp.config, b.tcp.memory.budget(1 << 30))
}

/// Policy 30: what was read in a round trip lets the sender double, with sixteen segments to spare, and twice as much more as it grew by;
/// the buffer is twice that window. A round trip is over when its time has passed.
#[test]
fn the_buffer_follows_what_was_read_in_a_round_trip() {
    let mut b = scaled(roomy());
    let mut seq = 1;
    round_trip(&mut b, &mut seq, 20_000, true);
    assert_eq!(receive_limit(&b), 131_072);
    send(&mut b, &mut seq, 1_000, true);
    // 21,000 bytes, after a first flight of 10,000.
    let window = 2 * 21_000 + 16_000;
    assert_eq!(receive_limit(&b), 2 * (window + 2 * window * 11_000 / 10_000));
}

/// Policy 30: a first flight is no reason to grow, more is; a window too small for a first flight grows once it is filled.
#[test]
fn a_buffer_grows_by_more_than_a_first_flight() {
    // The segment that comes when the round trip is over counts with it.
    for (initial, per_trip, grows) in [(48_000, 9_000, false), (48_000, 10_000, true), (16_000, 6_000, true)]
    {
        let mut b = scaled(TcpConfig { receive_buffer_initial: initial, ..roomy() });
        let mut seq = 1;
        for _ in 0..5 {
            round_trip(&mut b, &mut seq, per_trip, true);
        }
        assert_eq!(receive_limit(&b) > initial, grows, "{initial} with {per_trip} a round trip");
    }
}

/// Policy 30: on a slow path four round trips without data are a silence, and not one second; the round trip stays known.
#[test]
fn a_silence_is_four_round_trips_on_a_slow_path() {
    let mut b = scaled_over(ms(400), roomy());
    let mut seq = 1;
    for _ in 0..4 {
        let len = window(&b);
        send(&mut b, &mut seq, len, true);
        b.jump(ms(400));
        while b.next().is_some() {}
    }
    let grown = receive_limit(&b);
    assert!(grown > 131_072);
    b.jump(ms(1_100));
    send(&mut b, &mut seq, 1_000, false);
    assert_eq!(receive_limit(&b), grown);
    b.read().unwrap();
    let measured = b.statistics().receive_rtt;
    b.jump(ms(1_700));
    send(&mut b, &mut seq, 1_000, false);
    assert_eq!((receive_limit(&b), b.statistics().receive_rtt), (131_072, measured));
    assert!(measured > ms(300), "{measured:?}");
}

/// Policy 30: within the machine two windows are more than a sender needs; a round trip that is short only once is no sign of that.
#[test]
fn a_path_within_the_machine_needs_no_long_queue() {
    let micros = Duration::from_micros;
    let slow_now = Duration::from_nanos(38_320_000);
    let table = [
        (vec![], false),
        (vec![micros(249)], true),
        (vec![micros(250)], false),
        // Smoothed: seven eighths of 240 µs and an eighth of this are 5 ms.
        (vec![micros(240), slow_now], false),
        (vec![micros(240), slow_now - Duration::from_nanos(8)], true),
    ];
    let mut b = Bench::established(TcpConfig { send_buffer: 8 << 20, ..plain() });
    for (samples, local) in table {
        let (id, now, memory) = (b.id().0, b.now, b.tcp.memory.budget(1 << 30));
        let tcb = b.tcp.connections.get_mut(id).unwrap();
        tcb.congestion.set_window(2 << 20);
        tcb.rtt = Default::default();
        samples.iter().for_each(|&rtt| tcb.rtt.sample(rtt, now));
        let limit = if local { 1 << 20 } else { 4 << 20 };
        assert_eq!(tcb.send_limit(&b.tcp.config, memory), limit, "{samples:?}");
    }
}
