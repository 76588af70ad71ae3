//! Flow control: zero windows and probes, both silly-window rules, windows that shrink (RFC 9293 §3.8.6).

use super::*;

/// RFC 9293 §3.8.6.1 (MUST-36, MUST-37, SHLD-29, SHLD-30): probed after one RTO, then after twice as long each, for as long as the peer
/// answers; an open window ends it.
#[test]
fn a_zero_window_is_probed_with_back_off() {
    let mut b = Bench::established_with(plain(), 0);
    b.write(b"held back").unwrap();
    b.silent();
    for wait in [300, 600, 1_200, 2_400] {
        b.after(ms(wait));
        assert_eq!(b.sends(ACK, 0, 1).payload, b"", "an empty segment at SND.UNA - 1");
        b.gets(seg(ACK, 1, 1).window(0));
        b.silent();
    }
    b.gets(seg(ACK, 1, 1).window(100));
    b.sends_data(ACK.with(PSH), 1, 1, 9);
}

/// Policy 15: a peer that answers no probe is given up.
#[test]
fn unanswered_probes_end_the_connection() {
    let mut b = Bench::established_with(TcpConfig { probe_retries: 3, ..plain() }, 0);
    b.write(b"held back").unwrap();
    b.silent();
    for probe in 0..4 {
        b.until_timer();
        if probe < 3 {
            b.sends(ACK, 0, 1);
        }
    }
    assert_eq!(b.read(), Err(SocketError::TimedOut));
}

/// RFC 9293 §3.8.6.2.1 (MUST-38): a window of less than a segment is not filled by crumbs until half the largest window is open, or
/// the override timer fires.
#[test]
fn the_sender_waits_for_a_worthwhile_window() {
    let mut b = Bench::established_with(plain(), 4_000);
    b.write(&bytes(4_000)).unwrap();
    (0..4).for_each(|_| drop(b.next()));
    b.write(&bytes(3_000)).unwrap();
    b.gets(seg(ACK, 1, 4_001).window(300));
    b.silent();
    b.until_timer();
    b.sends_data(ACK, 4_001, 1, 300);
    b.gets(seg(ACK, 1, 4_301).window(2_000));
    b.sends_data(ACK, 4_301, 1, MSS);
    b.sends_data(ACK, 5_301, 1, MSS);
    b.silent();
}

/// RFC 9293 §3.8.6.2.2 (MUST-39): small reads do not open the window by crumbs; a worthwhile step is announced at once.
#[test]
fn the_receiver_opens_its_window_by_worthwhile_steps() {
    let mut b = Bench::established(TcpConfig { receive_buffer: 8_000, ..plain() });
    b.gets(seg(ACK, 1, 1).data(&bytes(4_000)));
    assert_eq!(b.sends(ACK, 1, 4_001).window, Some(0));
    let mut into = [0; 900];
    b.tcp.recv(b.id(), &mut into, b.now).unwrap();
    b.silent();
    b.tcp.recv(b.id(), &mut into, b.now).unwrap();
    b.tcp.recv(b.id(), &mut into, b.now).unwrap();
    let update = b.sends(ACK, 1, 4_001);
    assert!(update.window >= Some(1_000), "{update:?}");
}

/// RFC 9293 §3.8.6.2.2 (MUST-39): a buffer larger than an unscaled window can say draws no update at every read.
#[test]
fn reading_into_a_window_that_is_full_already_is_no_news() {
    let mut b = Bench::established(TcpConfig { receive_buffer: 1 << 20, ..plain() });
    b.gets(seg(ACK, 1, 1).data(&bytes(500)));
    b.silent();
    b.after(ms(40));
    b.sends(ACK, 1, 501);
    b.tcp.recv(b.id(), &mut [0; 900], b.now).unwrap();
    b.silent();
}

/// SHLD-14: the right edge never moves back, even when small segments cost more memory than they carry.
#[test]
fn the_window_never_shrinks() {
    let mut b = Bench::established(TcpConfig { receive_buffer: 12_000, ..plain() });
    let (mut edge, mut seq) = (0, 1);
    for i in 0..40u32 {
        // Every second byte: each costs a buffer of its own.
        b.gets(seg(ACK, seq + 1 + i * 2, 1).data(b"x"));
        let sent = b.sends(ACK, seq, 1);
        let right = sent.ack + u32::from(sent.window.unwrap());
        assert!(right >= edge, "from {edge} to {right}");
        edge = right;
        seq += 0;
    }
}

/// MUST-34, SHLD-15, SHLD-17 (hostile case M9): a window that shrinks below what is under way does no harm: no new data, and what is
/// beyond goes again when the window opens.
#[test]
fn a_shrinking_window_does_no_harm() {
    let mut b = Bench::established_with(plain(), 5_000);
    b.write(&bytes(8_000)).unwrap();
    (0..5).for_each(|_| drop(b.next()));
    b.silent();
    b.gets(seg(ACK, 1, 1_001).window(1_000));
    b.silent();
    // SRTT 87.5 ms, RTTVAR 62.5 ms after a round trip of nothing.
    b.quiet_for(ms(337));
    b.jump(ms(1));
    b.sends_data(ACK, 1_001, 1, MSS);
    b.gets(seg(ACK, 1, 5_001).window(5_000));
    b.sends_data(ACK, 5_001, 1, MSS);
}

/// RFC 9293 §3.4: an ACK stands where the peer accepts it, even after the peer shrank its window below what was sent.
#[test]
fn an_ack_stands_within_a_window_that_shrank() {
    let mut b = Bench::established_with(plain(), 3_000);
    b.write(&bytes(3_000)).unwrap();
    (0..3).for_each(|_| drop(b.next()));
    b.gets(seg(ACK, 1, 1_001).window(500));
    b.gets(seg(FIN_ACK, 1, 1_001).window(500));
    b.sends(ACK, 1_501, 2);
}

/// MUST-1 (hostile case M9): a window with the top bit set is large, not negative.
#[test]
fn the_window_is_unsigned() {
    let mut b = Bench::established_with(plain(), 0x8000);
    b.write(&bytes(3_000)).unwrap();
    b.sends_data(ACK, 1, 1, MSS);
    assert_eq!(b.tcp.info(b.id()).unwrap().send_window, 0x8000);
}

/// RFC 9293 §3.10.7.4: an old segment does not bring an old window back (SND.WL1, SND.WL2).
#[test]
fn an_old_segment_does_not_bring_an_old_window_back() {
    let mut b = Bench::established_with(plain(), 5_000);
    b.gets(seg(ACK, 1, 1).data(b"abc").window(9_000));
    b.gets(seg(ACK, 1, 1).data(b"abc").window(5_000));
    assert_eq!(b.tcp.info(b.id()).unwrap().send_window, 9_000);
}

/// RFC 9293 §3.10.7.4: nor does one whose end is new text.
#[test]
fn new_text_behind_an_old_number_does_not_bring_an_old_window_back() {
    let mut b = Bench::established_with(plain(), 5_000);
    b.gets(seg(ACK, 1, 1).data(b"abc").window(8_000));
    b.gets(seg(ACK, 4, 1).window(9_000));
    b.gets(seg(ACK, 2, 1).data(b"bcde").window(5_000));
    assert_eq!(b.tcp.info(b.id()).unwrap().send_window, 9_000);
    assert_eq!(b.read().unwrap(), b"abcde");
}

/// RFC 9293 §3.8.6: a retransmission has an old sequence number and a new acknowledgement; its window is the new one, too. Else the
/// right edge would move with SND.UNA beyond what was offered, and two full ends would refuse each other's segments for ever.
#[test]
fn the_window_of_a_retransmission_that_acknowledges_counts() {
    let mut b = Bench::established_with(plain(), 1_000);
    b.write(&bytes(3_000)).unwrap();
    b.sends_data(ACK, 1, 1, MSS);
    // Its data is lost, a later ACK is not.
    b.gets(seg(ACK, 501, 1).window(1_000));
    b.gets(seg(ACK, 1, 1_001).data(&[0; 500]).window(0));
    b.silent();
    b.after(ms(40));
    b.sends(ACK, 1_001, 501);
    b.silent();
}

/// MUST-66: with a zero receive window the acknowledgement in a segment counts, its data does not, and a RST resets.
#[test]
fn a_full_receiver_still_takes_acks_and_resets() {
    let mut b = Bench::established(TcpConfig { receive_buffer: 8_000, ..plain() });
    b.write(b"abc").unwrap();
    b.sends_data(ACK.with(PSH), 1, 1, 3);
    b.gets(seg(ACK, 1, 1).data(&bytes(4_000)));
    assert_eq!(b.sends(ACK, 4, 4_001).window, Some(0));
    b.gets(seg(ACK, 4_001, 4).data(b"x"));
    b.sends(ACK, 4, 4_001);
    assert_eq!(b.tcp.info(b.id()).unwrap().send_queue, 0);
    b.gets(seg(RST, 4_001, 0));
    assert_eq!(b.state(), State::Closed);
}

/// A peer's probe at RCV.NXT - 1 draws the current window, so that a lost update is repaired (users ask A6).
#[test]
fn a_probe_is_answered_with_the_current_window() {
    let mut b = Bench::established(plain());
    b.gets(seg(ACK, 0, 1));
    assert_eq!(b.sends(ACK, 1, 1).window, Some(10_000));
}

/// A scaled window is said in units: rounding it up with every segment must not let a peer fill a queue that nobody reads beyond
/// its memory (RFC 7323 §2.4 on rounding; every queue is bounded).
#[test]
fn rounding_a_scaled_window_does_not_let_the_queue_grow_for_ever() {
    let mut b = scaled(5, 1 << 20);
    let (mut seq, mut window) = (1, 65_000);
    for _ in 0..1_000 {
        let len = if window > 60_000 { 60_000 } else { window.min(31) };
        (seq, window) = (seq + len, offered_after(&mut b, seq, len));
        if window == 0 {
            break;
        }
    }
    assert!(seq <= 1 << 17, "{seq} bytes taken and none read");
    assert_eq!(window, 0, "the window closes at last");
}

/// The same: what is left is rounded up while there is memory for a whole unit, and down where there is not.
#[test]
fn less_memory_than_a_unit_is_rounded_down() {
    let mut b = scaled(5, 1 << 20);
    assert_eq!(offered_after(&mut b, 1, 60_000), 5_024);
    // Of the 65,536 bytes that the buffer has room for 5,536 are left: 178 times 31, and 18.
    for i in 1..=178 {
        let window = if i < 178 { 5_024 } else { 4_992 };
        assert_eq!(offered_after(&mut b, 60_001 + (i - 1) * 31, 31), window);
    }
}

/// What a peer that scales by 5 may send after so much text.
fn offered_after(b: &mut Bench, seq: u32, len: u32) -> u32 {
    b.gets(seg(ACK, seq, 1).data(&vec![7; len as usize]));
    let sent = b.next().unwrap_or_else(|| {
        b.after(ms(40));
        b.next().expect("an acknowledgement")
    });
    assert_eq!(sent.ack, seq + len);
    u32::from(sent.window.unwrap()) << 5
}

/// Hostile case M4, policy 29: nobody waits for an orphan's data: a peer that answers every probe and never opens its window does
/// not keep it for ever.
#[test]
fn an_orphan_does_not_probe_for_ever() {
    let mut b = Bench::established_with(TcpConfig { orphan_timeout: ms(3_600_000), ..plain() }, 0);
    b.write(b"pending").unwrap();
    b.silent();
    b.close();
    b.silent();
    let mut probes = 0;
    while b.tcp.poll_timeout().is_some() && probes < 20 {
        b.until_timer();
        if b.next().is_some() {
            probes += 1;
            b.gets(seg(ACK, 1, 1).window(0));
        }
    }
    assert_eq!((probes, b.tcp.connections().count()), (8, 0));
}

/// RFC 9293 §3.8.6.2.1 (4): a window that opens by less than is worthwhile is used after one timeout, however long the probes of
/// the closed one had backed off.
#[test]
fn a_crumb_of_window_does_not_wait_for_an_old_probe() {
    let mut b = Bench::established_with(plain(), 4_000);
    b.write(&bytes(10_000)).unwrap();
    (0..4).for_each(|_| drop(b.next().expect("data")));
    b.gets(seg(ACK, 1, 4_001).window(0));
    b.silent();
    for _ in 0..6 {
        b.until_timer();
        b.sends(ACK, 4_000, 1);
        b.gets(seg(ACK, 1, 4_001).window(0));
        b.silent();
    }
    b.gets(seg(ACK, 1, 4_001).window(100));
    b.silent();
    let opened = b.now;
    b.until_timer();
    b.sends_data(ACK, 4_001, 1, 100);
    assert!(b.now.since(opened) <= ms(1_000), "{:?}", b.now.since(opened));
}

/// MUST-37: a peer that shrinks its window to nothing over data under way and answers each retransmission keeps the connection.
#[test]
fn a_window_shrunk_to_nothing_does_not_end_the_connection() {
    let mut b = Bench::established_with(TcpConfig { retries: 3, ..plain() }, 2_000);
    b.write(&bytes(2_000)).unwrap();
    (0..2).for_each(|_| drop(b.next().expect("data")));
    for _ in 0..6 {
        b.gets(seg(ACK, 1, 1).window(0));
        b.silent();
        b.until_timer();
        b.sends_data(ACK, 1, 1, MSS);
    }
    b.gets(seg(ACK, 1, 2_001).window(2_000));
    assert_eq!((b.state(), b.tcp.poll_timeout()), (State::Established, None));
}

/// SHLD-16 (hostile case M9): after a shrink what fits is sent again, and nothing beyond it.
#[test]
fn what_fits_into_a_shrunk_window_is_sent_again() {
    let mut b = Bench::established_with(plain(), 5_000);
    b.write(&bytes(4_000)).unwrap();
    (0..4).for_each(|_| drop(b.next()));
    b.gets(seg(ACK, 1, 1).window(1_500));
    b.jump(ms(300));
    b.sends_data(ACK, 1, 1, MSS);
    b.silent();
    b.gets(seg(ACK, 1, 1_001).window(500));
    b.sends_data(ACK, 1_001, 1, 500);
    b.silent();
    b.gets(seg(ACK, 1, 1_501).window(5_000));
    b.sends_data(ACK, 1_501, 1, 500);
    b.sends_data(ACK, 2_001, 1, MSS);
}

/// MUST-35: a window shrunk to zero over data under way is probed by the first of it.
#[test]
fn a_window_shrunk_to_zero_is_probed_by_a_retransmission() {
    let mut b = Bench::established_with(plain(), 5_000);
    b.write(&bytes(2_000)).unwrap();
    (0..2).for_each(|_| drop(b.next()));
    b.gets(seg(ACK, 1, 1).window(0));
    b.silent();
    for wait in [300, 600, 1_200] {
        b.after(ms(wait));
        b.sends_data(ACK, 1, 1, MSS);
        b.silent();
    }
}

/// SHLD-29: what is lost is not sent into a window that has just closed, though the retransmission before it was acknowledged: the
/// first probe comes after one timeout.
#[test]
fn nothing_is_sent_into_a_window_that_has_just_closed() {
    let mut b = Bench::established_with(plain(), 5_000);
    b.write(&bytes(2_000)).unwrap();
    (0..2).for_each(|_| drop(b.next()));
    b.jump(ms(300));
    b.sends_data(ACK, 1, 1, MSS);
    b.gets(seg(ACK, 1, 1_001).window(0));
    b.silent();
    b.after(ms(600));
    b.sends_data(ACK.with(PSH), 1_001, 1, MSS);
}

/// A FIN needs no room: alone at a window of zero, and right behind data that fills the window, it is taken (as on Linux; a peer that
/// has nothing more to say need not wait for a reader). One byte of data more is not.
#[test]
fn a_fin_fits_at_the_edge_of_the_window() {
    let full = TcpConfig { receive_buffer: 8_000, ..plain() };
    let mut b = Bench::established(full.clone());
    b.gets(seg(ACK, 1, 1).data(&bytes(4_000)));
    assert_eq!(b.sends(ACK, 1, 4_001).window, Some(0));
    b.gets(seg(FIN_ACK, 4_001, 1).data(b"x"));
    b.sends(ACK, 1, 4_001);
    assert_eq!(b.state(), State::Established);
    b.gets(seg(FIN_ACK, 4_001, 1));
    assert_eq!(b.sends(ACK, 1, 4_002).window, Some(0));
    assert_eq!(
        (b.state(), b.read().map(|read| read.len()), b.read()),
        (State::CloseWait, Ok(4_000), Ok(vec![]))
    );
    let mut b = Bench::established(full);
    b.gets(seg(FIN_ACK, 1, 1).data(&bytes(4_000)));
    assert_eq!((b.sends(ACK, 1, 4_002).window, b.state()), (Some(0), State::CloseWait));
}

/// A configured first window is announced to the byte, as far as the buffer goes; without one it is whole segments (policy 3).
#[test]
fn a_configured_first_window_is_announced_to_the_byte() {
    for (receive_buffer, initial_receive_window, expected) in
        [(131_070, Some(65_535), 65_535), (540_000, Some(65_535), 65_535), (60_000, Some(65_535), 30_000)]
    {
        let config = TcpConfig { receive_buffer, initial_receive_window, ..plain() };
        let mut b = Bench::listening(config);
        b.gets(seg(SYN, 0, 0).mss(1460));
        assert_eq!(b.sends(SYN_ACK, 0, 1).window, Some(expected));
    }
    let mut b = Bench::listening(TcpConfig { receive_buffer: 131_070, ..plain() });
    b.gets(seg(SYN, 0, 0).mss(1460));
    assert_eq!(b.sends(SYN_ACK, 0, 1).window, Some(65_000));
}

/// Policy 3: text behind a gap takes memory from what is offered, until the gap is filled and it is read.
#[test]
fn text_behind_a_gap_takes_from_the_window() {
    let mut b = Bench::established(plain());
    let window = |b: &Bench| b.tcp.info(b.id()).unwrap().receive_window;
    assert_eq!(window(&b), 10_000);
    for i in 0..3 {
        b.gets(seg(ACK, 5_001 + i * 1_100, 1).data(&bytes(1_100)));
    }
    for i in 0..4 {
        b.gets(seg(ACK, 1 + i * 1_000, 1).data(&bytes(1_000)));
        b.read().unwrap();
        while b.next().is_some() {}
    }
    assert!(window(&b) < 8_000, "{}", window(&b));
    b.gets(seg(ACK, 4_001, 1).data(&bytes(1_000)));
    b.read().unwrap();
    while b.next().is_some() {}
    assert!(window(&b) > 9_000, "{}", window(&b));
}

/// RFC 9293 §3.8.6.2.1 (3): half of the largest window that a peer ever offered is worthwhile to it, less is not.
#[test]
fn half_of_a_small_peers_window_is_worthwhile() {
    let mut b = Bench::established_with(plain(), 1_200);
    b.write(&bytes(5_000)).unwrap();
    b.sends_data(ACK, 1, 1, MSS);
    b.silent();
    b.gets(seg(ACK, 1, 1_001).window(599));
    b.silent();
    b.gets(seg(ACK, 1, 1_001).window(600));
    b.sends_data(ACK, 1_001, 1, 600);
}

/// RFC 9293 §3.8.6.2.2 (MUST-39): where the buffer is smaller than that, half of it is a worthwhile step, not a whole segment.
#[test]
fn half_of_a_small_buffer_is_a_worthwhile_step() {
    let mut b = Bench::established(TcpConfig { receive_buffer: 2_000, ..plain() });
    for i in 0..10 {
        b.gets(seg(ACK, 1 + i * 100, 1).data(&bytes(100)));
        while b.next().is_some() {}
    }
    assert_eq!(b.tcp.info(b.id()).unwrap().receive_window, 0);
    b.tcp.recv(b.id(), &mut [0; 400], b.now).unwrap();
    b.silent();
    b.tcp.recv(b.id(), &mut [0; 200], b.now).unwrap();
    assert_eq!(b.sends(ACK, 1, 1_001).window, Some(500));
}

/// With window scaling by `shift`, both ways; the peer's first window is 1,280.
fn scaled(shift: u8, receive_buffer: usize) -> Bench {
    let mut b = Bench::listening(TcpConfig { window_scaling: true, receive_buffer, ..plain() });
    b.gets(seg(SYN, 0, 0).mss(MSS as u16).scale(shift));
    b.sends(SYN_ACK, 0, 1);
    b.gets(seg(ACK, 1, 1).window(1_280 >> shift));
    b.id = Some(b.tcp.accept(b.listener.unwrap()).unwrap().0);
    b
}

/// RFC 9293 §3.4, RFC 7323 §2.3: what a peer's rounding takes from its window is no shrinking: an ACK stands at SND.NXT.
#[test]
fn a_window_that_is_rounded_down_moves_no_ack_back() {
    let mut b = scaled(5, 20_000);
    b.write(&bytes(1_000)).unwrap();
    b.sends_data(ACK.with(PSH), 1, 1, 1_000);
    b.gets(seg(FIN_ACK, 1, 1).window(31));
    b.sends(ACK, 1_001, 2);
}

/// SHLD-14, RFC 7323 §2.3: rounding a scaled window down would move its right edge back.
#[test]
fn rounding_a_scaled_window_moves_no_edge_back() {
    let mut b = scaled(5, 1 << 20);
    let mut edge = 1 + b.tcp.info(b.id()).unwrap().receive_window;
    for i in 1..50 {
        b.gets(seg(ACK, i * 10 - 9, 1).data(&[7; 10]));
        b.silent();
        b.after(ms(40));
        let sent = b.sends(ACK, 1, i * 10 + 1);
        let right = sent.ack + (u32::from(sent.window.unwrap()) << 5);
        assert!(right >= edge, "from {edge} to {right}");
        edge = right;
    }
}
