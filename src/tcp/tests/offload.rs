//! How large a frame is: super-segments for a device that cuts them (RFC 9293 §3.7.1), and the room that options take (RFC 6691 §3.1).

use super::*;

/// After a handshake with all options; the peer's MSS is `mss`, its window large.
fn established(config: TcpConfig, capabilities: Capabilities, mss: u16) -> Bench {
    let mut b = Bench::on(config, capabilities).listen(10);
    b.gets(seg(SYN, 0, 0).mss(mss).scale(7).ts(1, 0).sack_permitted());
    let echo = b.sends(SYN_ACK, 0, 1).options.timestamps.map_or(0, |ts| ts.val);
    b.now += ms(100);
    b.gets(seg(ACK, 1, 1).ts(2, echo));
    b.id = Some(b.tcp.accept(b.listener.unwrap()).unwrap().0);
    b
}

/// Policy 14: full segments leave in one frame, and what is less than one waits for the cork.
#[test]
fn a_super_segment_is_of_whole_segments_under_a_cork() {
    let mut b = established(plain(), Capabilities::offload(MSS + 40), MSS as u16);
    b.set_options(|options| options.cork = true);
    b.write(&bytes(2_500)).unwrap();
    b.sends_data(ACK, 1, 1, 2_000);
    b.silent();
    b.set_options(|options| options.cork = false);
    b.gets(seg(ACK, 1, 2_001));
    b.sends_data(ACK.with(PSH), 2_001, 1, 500);
}

/// RFC 791 §3.1: a super-segment is an IP packet, of at most 65,535 bytes, whatever the segments' size.
#[test]
fn a_super_segment_is_no_longer_than_an_ip_packet() {
    let headers = 40 + 12;
    for mss in [32_757, 21_840, 16_384, 9_000] {
        let config = TcpConfig { timestamps: true, window_scaling: true, ..plain() };
        let mut b = established(config, Capabilities::offload(usize::from(mss) + 40), mss);
        b.write(&bytes(200_000)).unwrap();
        let full = usize::from(mss) - 12;
        let longest = std::iter::from_fn(|| b.next()).map(|sent| sent.payload.len()).max().unwrap();
        assert!(longest + headers <= 65_535 && longest % full == 0, "{longest} in segments of {full}");
        assert!(longest + full + 120 > 65_535, "{longest} where {full} more fit");
    }
}

/// RFC 6691 §3.1: SACK blocks take their room from the payload, so that a segment is as long as any other: eight bytes each and four.
#[test]
fn blocks_take_their_room_from_the_payload() {
    let mut b = established(TcpConfig { sack: true, ..plain() }, Capabilities::plain(MSS + 40), MSS as u16);
    let mut seq = 1;
    for blocks in 1..=3 {
        b.gets(seg(ACK, blocks * 100, 1).data(b"x"));
        b.sends(ACK, seq, 1);
        b.write(&bytes(MSS)).unwrap();
        let len = MSS - 4 - 8 * blocks as usize;
        let sent = b.next().expect("data");
        assert_eq!((sent.payload.len(), sent.options.sack.len()), (len, blocks as usize));
        seq += len as u32;
        // What is left is short.
        b.gets(seg(ACK, 1, seq));
        let rest = b.next().expect("the rest").payload.len() as u32;
        seq += rest;
        b.gets(seg(ACK, 1, seq));
    }
}
