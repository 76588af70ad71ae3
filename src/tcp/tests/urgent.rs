//! Urgent data (RFC 9293 §3.8.5, RFC 6093): in line, with a mark.

use super::*;

const URG: Flags = Flags::URG;
const URGENT: SendFlags = SendFlags { more: false, urgent: true };

fn left(b: &Bench) -> (u32, bool) {
    (b.tcp.urgent_left(b.id()).unwrap(), b.tcp.at_mark(b.id()).unwrap())
}

/// MUST-30, MUST-62: the pointer points past the last urgent byte, relative to each segment up to it, and its retransmission.
#[test]
fn the_pointer_points_past_the_last_urgent_byte() {
    let mut b = Bench::established(plain());
    b.write_with(&bytes(2_500), URGENT).unwrap();
    for (seq, len, pointer) in [(1, MSS, 2_500), (1_001, MSS, 1_500)] {
        assert_eq!(b.sends_data(ACK.with(URG), seq, 1, len).urgent, pointer);
    }
    assert_eq!(b.sends_data(ACK.with(URG).with(PSH), 2_001, 1, 500).urgent, 500);
    b.write(b"no longer urgent").unwrap();
    b.silent();
    b.until_timer();
    assert_eq!(b.sends_data(ACK.with(URG), 1, 1, MSS).urgent, 2_500);
    b.gets(seg(ACK, 1, 2_501));
    assert_eq!(b.sends_data(ACK.with(PSH), 2_501, 1, 16).urgent, 0);
}

/// MUST-31: urgent data may be longer than the pointer reaches; it then points as far as it can.
#[test]
fn urgent_data_may_be_of_any_length() {
    let mut b = Bench::established(plain());
    b.write_with(&bytes(100_000), URGENT).unwrap();
    assert_eq!(b.sends_data(ACK.with(URG), 1, 1, MSS).urgent, 65_535);
    for at in (1..9).map(|segment| 1 + segment * 1_000) {
        b.sends_data(ACK.with(URG), at, 1, MSS);
    }
}

/// RFC 9293 §3.8.5: urgent data waits for no other, and a device that segments gets it segment by segment.
#[test]
fn urgent_data_is_not_held_back_and_not_segmented_by_the_device() {
    let mut b = Bench::on(plain(), Capabilities::offload(MSS + 40)).listen(1).handshake(60_000);
    b.write(b"a").unwrap();
    b.sends_data(ACK.with(PSH), 1, 1, 1);
    b.write_with(b"!", URGENT).unwrap();
    assert_eq!(b.sends_data(ACK.with(PSH).with(URG), 2, 1, 1).urgent, 1);
    b.write_with(&bytes(2_000), URGENT).unwrap();
    assert_eq!(b.sends_data(ACK.with(URG), 3, 1, MSS).urgent, 2_000);
}

/// A closed window keeps urgent data, not the news of it: the probe carries the pointer.
#[test]
fn a_probe_tells_of_urgent_data() {
    let mut b = Bench::established_with(plain(), 0);
    b.write_with(b"help", URGENT).unwrap();
    b.silent();
    b.until_timer();
    assert_eq!(b.sends_data(ACK.with(URG), 0, 1, 0).urgent, 5);
}

/// MUST-30 to MUST-33: told on arrival, delivered in line, the read stops at the last urgent byte, and what is left is known.
#[test]
fn urgent_data_is_delivered_in_line_with_a_mark() {
    let mut b = Bench::established(plain());
    b.told();
    b.gets(seg(ACK, 1, 1).data(b"before!after").urgent(7));
    assert_eq!(b.told(), Readiness::IN | Readiness::PRI);
    assert_eq!((b.readiness(), left(&b)), (Readiness::IN | Readiness::OUT | Readiness::PRI, (7, false)));
    let mut peeked = [0; 20];
    assert_eq!(b.tcp.peek(b.id(), &mut peeked), Ok(6));
    assert_eq!(b.read(), Ok(b"before".to_vec()));
    assert_eq!((left(&b), b.read()), ((1, true), Ok(b"!after".to_vec())));
    assert_eq!((b.readiness(), left(&b)), (Readiness::OUT, (0, false)));
}

/// A read without a copy stops at the mark as well.
#[test]
fn a_slice_ends_at_the_mark() {
    for payload in [b"ab!cd".to_vec(), [&bytes(900)[..], b"!cd"].concat()] {
        let mut b = Bench::established(plain());
        let mark = payload.len() - 3;
        b.gets(seg(ACK, 1, 1).data(&payload).urgent(mark as u16 + 1));
        assert_eq!(*b.tcp.recv_slice(b.id(), b.now).unwrap(), payload[..mark]);
        assert_eq!(*b.tcp.recv_slice(b.id(), b.now).unwrap(), payload[mark..]);
    }
}

/// MUST-32, MUST-33: the pointer may run ahead of the data, and may move on; each time the application is told.
#[test]
fn a_pointer_that_moves_on_is_told() {
    let mut b = Bench::established(plain());
    b.told();
    b.gets(seg(ACK, 1, 1).urgent(100));
    assert_eq!((b.told(), left(&b)), (Readiness::PRI, (100, false)));
    b.gets(seg(ACK, 1, 1).urgent(100));
    b.gets(seg(ACK, 1, 1).urgent(50));
    assert_eq!((b.told(), left(&b)), (Readiness::NONE, (100, false)));
    b.gets(seg(ACK, 1, 1).urgent(200));
    assert_eq!((b.told(), left(&b)), (Readiness::PRI, (200, false)));
    b.gets(seg(ACK, 1, 1).data(&bytes(199)));
    assert_eq!((b.read().map(|read| read.len()), left(&b)), (Ok(199), (1, true)));
}

/// MUST-66: with a closed receive window URG counts, though the data does not, and so does a RST.
#[test]
fn urg_and_rst_count_with_a_closed_window() {
    let mut b = Bench::established(TcpConfig { receive_buffer: 4_000, ..plain() });
    b.gets(seg(ACK, 1, 1).data(&bytes(2_000)));
    assert_eq!(b.sends(ACK, 1, 2_001).window, Some(0));
    b.told();
    b.gets(seg(ACK, 2_001, 1).data(b"xyz").urgent(3));
    assert_eq!((b.told(), left(&b)), (Readiness::PRI, (2_003, false)));
    b.sends(ACK, 1, 2_001);
    b.gets(seg(RST, 2_001, 0));
    assert_eq!(b.state(), State::Closed);
}

/// Hostile case P4: a pointer of zero, beyond the payload, on an empty segment, at the FIN and behind it, on old data; the data
/// comes exactly once, and what is left never underflows.
#[test]
fn hostile_pointers_deliver_the_data_once() {
    let cases: [(u16, u32); 5] = [(0, 0), (5, 5), (6, 5), (7, 5), (u16::MAX, 5)];
    for (pointer, urgent) in cases {
        let mut b = Bench::established(plain());
        b.gets(seg(FIN_ACK, 1, 1).data(b"hello").urgent(pointer));
        assert_eq!(left(&b).0, urgent, "pointer {pointer}");
        let mut all = vec![];
        while let Ok(part) = b.read() {
            if part.is_empty() {
                break;
            }
            all.extend(part);
        }
        assert_eq!((all, left(&b)), (b"hello".to_vec(), (0, false)), "pointer {pointer}");
    }
    let mut b = Bench::established(plain());
    b.gets(seg(ACK, 1, 1).data(b"hello"));
    b.gets(seg(ACK, 6, 1).urgent(0));
    assert_eq!((left(&b), b.read()), ((0, false), Ok(b"hello".to_vec())), "zero points nowhere");
    b.gets(seg(ACK, 1, 1).data(b"hello").urgent(5));
    b.gets(seg(ACK, 6, 1).urgent(0));
    b.gets(seg(ACK, 6, 1).data(b" again").urgent(u16::MAX));
    assert_eq!((left(&b), b.read()), ((65_535, false), Ok(b" again".to_vec())));
    b.gets(seg(FIN_ACK, 12, 1));
    assert_eq!((left(&b), b.read()), ((0, false), Ok(vec![])));
}

/// MUST-62: the pointer stands on segments before the end of the urgent data, not on what follows it; writing nothing urgently changes
/// nothing.
#[test]
fn what_follows_urgent_data_is_not_urgent() {
    let mut b = Bench::established(TcpConfig { nagle: false, ..plain() });
    b.write(b"plain").unwrap();
    assert_eq!(b.write_with(b"", SendFlags { urgent: true, ..SendFlags::default() }), Ok(0));
    b.sends_data(ACK.with(PSH), 1, 1, 5);
    b.write_with(b"!", SendFlags { urgent: true, ..SendFlags::default() }).unwrap();
    assert_eq!(b.sends_data(ACK.with(PSH).with(Flags::URG), 6, 1, 1).urgent, 1);
    b.write(b"plain").unwrap();
    b.sends_data(ACK.with(PSH), 7, 1, 5);
}

/// RFC 9293 §3.10.7.4, sixth step: a pointer counts with URG only, and not behind the peer's FIN.
#[test]
fn a_pointer_without_urg_means_nothing() {
    let mut b = Bench::established(plain());
    let mut bare = seg(ACK, 1, 1).data(b"hello");
    bare.urgent = 3;
    b.gets(bare);
    assert_eq!((left(&b), b.told().has(Readiness::PRI)), ((0, false), false));
    b.gets(seg(FIN_ACK, 6, 1));
    b.gets(seg(ACK, 7, 1).urgent(3));
    assert_eq!((left(&b), b.told().has(Readiness::PRI)), ((0, false), false));
}
