//! Path MTU discovery (RFC 1191, RFC 8201, RFC 5927 §7) and black holes (RFC 4821 §7.7); hostile cases T9 and M12.

use super::*;
use crate::ip::path_mtu::LIFETIME;
use crate::wire::icmp::{ErrorKind, IcmpError};

/// A router says that the segment at `seq` is too big.
fn too_big(b: &mut Bench, mtu: u32, seq: u32) {
    let kind = ErrorKind::PacketTooBig { mtu };
    let error = IcmpError { kind, local: b.tuple.local, remote: b.tuple.remote, seq: b.iss + seq };
    b.tcp.icmp_error(error, &mut b.layer, &mut b.counters, b.now);
}

fn info(b: &Bench) -> ConnectionInfo {
    b.tcp.info(b.id()).unwrap()
}

/// The length of what the next timer sends that has something to do.
fn timeout(b: &mut Bench) -> usize {
    loop {
        b.until_timer();
        if let Some(sent) = b.next() {
            return sent.payload.len();
        }
    }
}

/// Lengths of everything that is sent now.
fn lengths(b: &mut Bench) -> Vec<usize> {
    std::iter::from_fn(|| b.next()).map(|seg| seg.payload.len()).collect()
}

/// Policy 22; RFC 1191 §6.5, RFC 9293 MUST-16, SHLD-6: what was too big is sent again at once in smaller segments, with the same
/// congestion window, DF and timeout; what comes later is cut to the same size.
#[test]
fn what_was_too_big_is_sent_again_at_once() {
    let mut b = Bench::established(plain());
    b.write(&bytes(1_300)).unwrap();
    b.sends_data(ACK, 1, 1, MSS);
    b.sends_data(ACK.with(PSH), 1_001, 1, 300);
    b.after(ms(200));
    too_big(&mut b, 800, 1);
    b.sends_data(ACK, 1, 1, 760);
    b.sends_data(ACK, 761, 1, 240);
    b.silent();
    assert!(b.fragmentation == (0, true), "the 300 bytes were not too big");
    assert_eq!((info(&b).congestion_window, info(&b).send_mss), (10_000, 760));
    assert_eq!(b.statistics().get("tcpi_pmtu"), Some(800));
    (0..4).for_each(|_| b.gets(seg(ACK, 1, 1)));
    b.silent();
    assert_eq!(info(&b).congestion_window, 10_000, "duplicates of it are no loss");
    b.after(ms(300));
    b.sends_data(ACK, 1, 1, 760);
    b.gets(seg(ACK, 1, 1_301));
    b.write(&bytes(1_000)).unwrap();
    assert_eq!(lengths(&mut b), [760, 240]);
}

/// Hostile case T9, RFC 5927 §4.1 and §7: the quoted number must be under way, and the claim must be possible.
#[test]
fn a_forged_message_changes_nothing() {
    let mut b = Bench::established(plain());
    too_big(&mut b, 800, 1);
    b.write(&bytes(3_000)).unwrap();
    assert_eq!(lengths(&mut b), [MSS, MSS, MSS]);
    too_big(&mut b, 800, 0);
    b.silent();
    b.gets(seg(ACK, 1, 1_001));
    for (mtu, seq) in [(800, 0), (800, 1_000), (800, 3_001), (1_040, 1_001), (9_000, 1_001), (20, 1_001)] {
        too_big(&mut b, mtu, seq);
        b.silent();
    }
    assert_eq!((info(&b).send_mss, b.dropped(DropReason::IcmpIgnored)), (1_000, 8));
}

/// Hostile case T9, RFC 5927 §7.2: the peer acknowledged a segment of this size that was sent together with the quoted one. Should
/// the path have changed since, the message that the retransmission draws is believed.
#[test]
fn an_acknowledged_size_is_not_too_big() {
    let mut b = Bench::established(plain());
    b.write(&bytes(3_000)).unwrap();
    assert_eq!(lengths(&mut b), [MSS, MSS, MSS]);
    b.gets(seg(ACK, 1, 1_001));
    too_big(&mut b, 800, 1_001);
    b.silent();
    too_big(&mut b, 1_039, 1_001);
    assert_eq!((info(&b).send_mss, b.dropped(DropReason::IcmpIgnored)), (1_000, 2));
    assert_eq!(timeout(&mut b), MSS);
    too_big(&mut b, 800, 1_001);
    b.sends_data(ACK, 1_001, 1, 760);
}

/// RFC 5927 §7.2: an acknowledged packet of just the size that a message names does not speak against it.
#[test]
fn a_message_may_name_the_acknowledged_size() {
    let mut b = Bench::established(plain());
    b.write(&bytes(760)).unwrap();
    assert_eq!(lengths(&mut b), [760]);
    b.write(&bytes(1_000)).unwrap();
    assert_eq!(lengths(&mut b), [MSS]);
    b.gets(seg(ACK, 1, 761));
    too_big(&mut b, 800, 761);
    b.sends_data(ACK, 761, 1, 760);
}

/// Hostile case T9: the floor of 552 bytes (RFC 1191 asks for 68). Below it routers fragment: no DF, and identifications.
#[test]
fn below_the_floor_segments_go_without_df() {
    let mut b = Bench::established(plain());
    b.write(&bytes(1_000)).unwrap();
    b.sends_data(ACK.with(PSH), 1, 1, MSS);
    assert_eq!(b.fragmentation, (0, true));
    too_big(&mut b, 68, 1);
    b.sends_data(ACK, 1, 1, 512);
    let (id, df) = b.fragmentation;
    b.sends_data(ACK.with(PSH), 513, 1, 488);
    assert!(!df && b.fragmentation == (id.wrapping_add(1), false));
    too_big(&mut b, 68, 1);
    b.silent();
}

/// The same for a segment that is smaller than the floor: it is sent again as it was, but for DF.
#[test]
fn a_small_segment_that_was_too_big_is_sent_again_without_df() {
    let mut b = Bench::established(plain());
    b.write(&bytes(400)).unwrap();
    b.sends_data(ACK.with(PSH), 1, 1, 400);
    too_big(&mut b, 300, 1);
    b.sends_data(ACK.with(PSH), 1, 1, 400);
    assert!(!b.fragmentation.1);
    b.silent();
}

/// RFC 1191 §5, §7.1: a router that does not tell its MTU: the next plateau.
#[test]
fn a_message_without_an_mtu_means_the_next_plateau() {
    let mut b = Bench::established(plain());
    b.write(&bytes(1_000)).unwrap();
    b.sends_data(ACK.with(PSH), 1, 1, MSS);
    too_big(&mut b, 0, 1);
    b.sends_data(ACK, 1, 1, 1_006 - 40);
}

/// SHLD-26 leaves "fragmentation needed" to those who discover path MTUs. A socket that does not sends without DF and ignores it.
#[test]
fn without_discovery_routers_fragment_and_messages_are_ignored() {
    let mut b = Bench::established(TcpConfig { path_mtu_discovery: false, ..plain() });
    b.write(&bytes(1_000)).unwrap();
    b.sends_data(ACK.with(PSH), 1, 1, MSS);
    let (id, df) = b.fragmentation;
    assert!(!df && id != 0);
    too_big(&mut b, 800, 1);
    b.silent();
    for _ in 0..8 {
        b.until_timer();
        b.sends_data(ACK.with(PSH), 1, 1, MSS);
    }
    assert_eq!(b.dropped(DropReason::IcmpIgnored), 1);
}

/// Policies 2 and 22; RFC 1191 §6.4: a later connection to the same destination begins with the path's MTU, initial window
/// included, while the MSS option in its SYN says what can be received. Others that are open follow with what they send next.
#[test]
fn all_connections_of_a_destination_share_the_path_mtu() {
    let mut b = Bench::established(plain());
    b.write(&bytes(1_000)).unwrap();
    b.sends_data(ACK.with(PSH), 1, 1, MSS);
    too_big(&mut b, 800, 1);
    assert_eq!(lengths(&mut b), [760, 240]);
    let mut other =
        Bench { tuple: FourTuple { remote: Endpoint { port: 5_001, ..b.tuple.remote }, ..b.tuple }, ..b };
    other.gets(seg(SYN, 0, 0).mss(MSS as u16));
    assert_eq!(other.sends(SYN_ACK, 0, 1).options.mss, Some(MSS as u16));
    other.gets(seg(ACK, 1, 1));
    other.id = Some(other.tcp.accept(other.listener.unwrap()).unwrap().0);
    other.write(&bytes(20_000)).unwrap();
    assert_eq!(lengths(&mut other), [760; 10]);
    assert_eq!(info(&other).congestion_window, 7_600);
}

/// RFC 1191 §6.3, RFC 8201 §4, hostile case T9: ten minutes later the larger size is tried again.
#[test]
fn the_larger_size_is_tried_again_after_ten_minutes() {
    let mut b = Bench::established(plain());
    b.write(&bytes(1_000)).unwrap();
    b.sends_data(ACK.with(PSH), 1, 1, MSS);
    too_big(&mut b, 800, 1);
    assert_eq!(lengths(&mut b), [760, 240]);
    b.gets(seg(ACK, 1, 1_001));
    b.after(LIFETIME - ms(1));
    b.write(&bytes(1_000)).unwrap();
    assert_eq!(lengths(&mut b), [760, 240]);
    b.gets(seg(ACK, 1, 2_001));
    b.after(ms(1));
    b.write(&bytes(1_000)).unwrap();
    assert_eq!(lengths(&mut b), [1_000]);
}

/// A congestion window of less than one of the larger segments that may be sent again holds nothing up: RFC 5681 has no window below
/// one segment.
#[test]
fn a_window_of_small_segments_lets_a_larger_one_out() {
    let mut b = wide();
    b.write(&bytes(1_460)).unwrap();
    assert_eq!(lengths(&mut b), [1_460]);
    too_big(&mut b, 552, 1);
    assert_eq!(lengths(&mut b), [512, 512, 436]);
    b.gets(seg(ACK, 1, 1_461));
    b.write(&bytes(512)).unwrap();
    assert_eq!(lengths(&mut b), [512]);
    assert_eq!(timeout(&mut b), 512);
    b.gets(seg(ACK, 1, 1_973));
    assert!(info(&b).congestion_window < 1_460);
    b.after(LIFETIME);
    b.write(&bytes(3_000)).unwrap();
    assert_eq!(lengths(&mut b), [1_460]);
}

/// MUST-16: a super-segment is cut anew: what the device is told, and what is sent again.
#[test]
fn super_segments_follow_the_path_mtu() {
    let capabilities =
        Capabilities { tcp_segmentation: true, checksum: true, ..Capabilities::plain(MSS + 40) };
    let mut b = Bench::on(plain(), capabilities).listen(10).handshake(60_000);
    b.write(&bytes(9_000)).unwrap();
    b.sends_data(ACK.with(PSH), 1, 1, 9_000);
    too_big(&mut b, 552, 4_001);
    let frame = b.tcp.poll_transmit(&mut b.layer, &mut b.counters, b.now).unwrap();
    assert_eq!(frame.offload, crate::wire::packet::Offload::Tcp { mss: 512, start: 20 });
    assert_eq!(frame.payload_len(), 9_000);
    too_big(&mut b, 552, 4_001);
    b.silent();
}

/// A connection whose MSS is 1,460, after its handshake.
fn wide() -> Bench {
    let mut b = Bench::on(plain(), Capabilities::plain(1_500)).listen(10);
    b.gets(seg(SYN, 0, 0).mss(1_460));
    b.sends(SYN_ACK, 0, 1);
    b.now += ms(100);
    b.gets(seg(ACK, 1, 1));
    b.silent();
    b.id = Some(b.tcp.accept(b.listener.unwrap()).unwrap().0);
    b
}

/// RFC 4821 §7.7, RFC 2923 §2.1, hostile case M12: full segments that vanish in silence are made smaller after R1 timeouts, twice
/// each; small ones are not to blame.
#[test]
fn a_black_hole_is_met_with_smaller_segments() {
    let mut b = wide();
    b.write(&bytes(3_000)).unwrap();
    assert_eq!(lengths(&mut b), [1_460, 1_460, 80]);
    for expected in [1_460, 1_460, 1_460, 1_024, 1_024, 512, 512, 512] {
        b.until_timer();
        assert_eq!(lengths(&mut b), [expected]);
    }
    b.gets(seg(ACK, 1, 513));
    assert_eq!(lengths(&mut b), [512, 436]);
    b.gets(seg(ACK, 1, 3_001));
    b.write(&bytes(500)).unwrap();
    assert_eq!(lengths(&mut b), [500]);
    assert_eq!(info(&b).send_mss, 512);
}

/// A host that is away is no black hole to short segments; the setting switches all of it off.
#[test]
fn timeouts_of_short_segments_are_no_black_hole() {
    let mut short = wide();
    short.write(&bytes(300)).unwrap();
    let mut off = wide();
    off.tcp.config.black_hole_detection = false;
    off.write(&bytes(1_460)).unwrap();
    for (b, len) in [(&mut short, 300), (&mut off, 1_460)] {
        assert_eq!(lengths(b), [len]);
        for _ in 0..8 {
            b.until_timer();
            assert_eq!(lengths(b), [len]);
        }
        assert_eq!(info(b).send_mss, 1_460);
    }
}

/// Larger segments are tried again after 30 s. While the hole is there one timeout is enough to go back, and the next attempt is
/// put off twice as long; once they arrive the hole is forgotten.
#[test]
fn a_black_hole_is_put_to_the_test() {
    let mut b = wide();
    b.write(&bytes(1_460)).unwrap();
    assert_eq!(lengths(&mut b), [1_460]);
    (0..3).for_each(|_| {
        b.until_timer();
        b.next();
    });
    b.until_timer();
    assert_eq!(lengths(&mut b), [1_024]);
    b.gets(seg(ACK, 1, 1_461));
    b.after(Duration::from_secs(29));
    b.write(&bytes(1_460)).unwrap();
    assert_eq!(lengths(&mut b), [1_024, 436]);
    b.gets(seg(ACK, 1, 2_921));
    b.after(Duration::from_secs(1));
    b.write(&bytes(1_460)).unwrap();
    assert_eq!(lengths(&mut b), [1_460], "put to the test");
    b.until_timer();
    assert_eq!(lengths(&mut b), [1_024], "in vain");
    b.gets(seg(ACK, 1, 4_381));
    b.after(Duration::from_secs(59));
    b.write(&bytes(1_024)).unwrap();
    assert_eq!(lengths(&mut b), [1_024]);
    b.write(&bytes(436)).unwrap();
    assert_eq!(lengths(&mut b), [436]);
    b.gets(seg(ACK, 1, 5_841));
    b.after(Duration::from_secs(1));
    b.write(&bytes(1_460)).unwrap();
    assert_eq!(lengths(&mut b), [1_460]);
    b.gets(seg(ACK, 1, 7_301));
    b.write(&bytes(1_460)).unwrap();
    assert_eq!(lengths(&mut b), [1_460]);
    b.until_timer();
    assert_eq!(lengths(&mut b), [1_460], "the hole is forgotten: it takes R1 timeouts again");
}

/// Only what is larger puts a black hole to the test: a segment that always fitted proves nothing, neither lost nor delivered.
#[test]
fn what_fits_says_nothing_about_a_black_hole() {
    for lost in [true, false] {
        let mut b = wide();
        b.write(&bytes(1_460)).unwrap();
        assert_eq!(lengths(&mut b), [1_460]);
        while timeout(&mut b) > 1_024 {}
        b.gets(seg(ACK, 1, 1_461));
        b.after(Duration::from_secs(30));
        b.write(&bytes(1_024)).unwrap();
        assert_eq!(lengths(&mut b), [1_024]);
        assert!(!lost || timeout(&mut b) == 1_024);
        b.gets(seg(ACK, 1, 2_485));
        b.write(&bytes(1_460)).unwrap();
        assert_eq!(lengths(&mut b), [1_460], "still put to the test");
        assert_eq!(timeout(&mut b), 1_024, "in vain");
    }
}

/// RFC 1191 §6.5: duplicates that this repair draws say nothing about a segment in front of it that was not too big.
#[test]
fn duplicates_of_what_was_too_big_are_no_loss() {
    let mut b = Bench::established(TcpConfig { nagle: false, ..plain() });
    b.write(&bytes(300)).unwrap();
    b.sends_data(ACK.with(PSH), 1, 1, 300);
    b.write(&bytes(1_000)).unwrap();
    b.sends_data(ACK.with(PSH), 301, 1, MSS);
    too_big(&mut b, 800, 301);
    assert_eq!(lengths(&mut b), [760, 240]);
    (0..4).for_each(|_| b.gets(seg(ACK, 1, 1)));
    b.silent();
    assert_eq!(info(&b).congestion_window, 10_000);
}
