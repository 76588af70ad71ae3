//! What acknowledgements report: gaps and duplicates, one by one and in bursts (RFC 2018 §4, RFC 2883 §4, RFC 5681 §4.2).

use super::*;

fn with_sack() -> Bench {
    sacking(TcpConfig { sack: true, ..plain() })
}

fn sacking(config: TcpConfig) -> Bench {
    let mut b = Bench::listening(config);
    b.gets(seg(SYN, 0, 0).mss(MSS as u16).sack_permitted());
    b.sends(SYN_ACK, 0, 1);
    b.gets(seg(ACK, 1, 1));
    b.id = Some(b.tcp.accept(b.listener.unwrap()).unwrap().0);
    b
}

/// The stack acknowledges `ack` and reports these blocks.
#[track_caller]
fn reports(b: &mut Bench, ack: u32, blocks: &[(u32, u32)]) {
    let sent = b.sends(ACK, 1, ack);
    let told: Vec<_> = sent.options.sack.iter().map(|(l, r)| (l.0 - IRS, r.0 - IRS)).collect();
    assert_eq!(told, blocks);
}

/// RFC 2883 §4.1 examples 1 and 2: a whole segment that came before is the first block, below the acknowledgement.
#[test]
fn a_duplicate_is_reported() {
    let mut b = with_sack();
    b.gets(seg(ACK, 1, 1).data(&bytes(500)));
    b.silent();
    b.after(ms(40));
    reports(&mut b, 501, &[]);
    b.gets(seg(ACK, 1, 1).data(&bytes(500)));
    reports(&mut b, 501, &[(1, 501)]);
    // Once: the next acknowledgement tells nothing of it.
    b.gets(seg(ACK, 1_001, 1).data(&bytes(500)));
    reports(&mut b, 501, &[(1_001, 1_501)]);
    b.gets(seg(ACK, 1, 1).data(&bytes(500)));
    reports(&mut b, 501, &[(1, 501), (1_001, 1_501)]);
    b.silent();
    assert_eq!(b.counters.tcp_dsacks_out, 2);
}

/// RFC 2883 §4.1 example 3, §4 rule 4: what came twice behind a gap is followed by the block that it is part of, though another
/// block is newer.
#[test]
fn a_duplicate_behind_a_gap_is_followed_by_its_block() {
    let mut b = with_sack();
    b.gets(seg(ACK, 1, 1).data(&bytes(100)));
    for start in [1_001, 1_501, 3_001] {
        b.gets(seg(ACK, start, 1).data(&bytes(500)));
        b.next();
    }
    b.gets(seg(ACK, 1_501, 1).data(&bytes(500)));
    reports(&mut b, 101, &[(1_501, 2_001), (1_001, 2_001), (3_001, 3_501)]);
    b.gets(seg(ACK, 3_001, 1).data(&bytes(500)));
    reports(&mut b, 101, &[(3_001, 3_501), (3_001, 3_501), (1_001, 2_001)]);
    b.silent();
}

/// RFC 2018 §3: no more blocks than the options have room for, a duplicate and its block among them.
#[test]
fn a_duplicate_leaves_room_for_two_other_blocks() {
    let mut b = with_sack();
    for start in [1_001, 2_001, 3_001, 4_001, 5_001, 5_001] {
        b.gets(seg(ACK, start, 1).data(&bytes(500)));
    }
    let acks: Vec<Seg> = std::iter::from_fn(|| b.next()).collect();
    assert!(acks.iter().all(|ack| ack.options.sack.len() <= 4), "{acks:?}");
    let told: Vec<u32> = acks.iter().flat_map(|ack| &ack.options.sack).map(|block| block.0.0 - IRS).collect();
    assert_eq!(told[..2], [5_001, 5_001]);
    let untold = [1_001, 2_001, 3_001, 4_001].into_iter().find(|start| !told.contains(start));
    assert_eq!(untold, None, "of what came in one burst: {acks:?}");
}

/// RFC 6691 §3.1: what is told takes its room from the text it goes with, and no more: four blocks of which one is a duplicate.
#[test]
fn blocks_take_their_room_from_text() {
    let mut b = with_sack();
    for start in [1_001, 2_001, 3_001, 4_001, 5_001] {
        b.gets(seg(ACK, start, 1).data(&bytes(500)));
        b.sends(ACK, 1, 1);
    }
    b.gets(seg(ACK, 5_001, 1).data(&bytes(500)));
    b.write(&bytes(2 * MSS)).unwrap();
    let sent = b.sends_data(ACK, 1, 1, MSS - 36);
    assert_eq!(sent.options.sack.len(), 4);
}

/// RFC 2883 §4.2: of a segment that came in part the first such part is reported: below RCV.NXT, behind a gap, and in the text that
/// fills a gap.
#[test]
fn the_part_that_came_twice_is_reported() {
    let mut b = with_sack();
    b.gets(seg(ACK, 1, 1).data(&bytes(500)));
    b.gets(seg(ACK, 251, 1).data(&bytes(500)));
    reports(&mut b, 751, &[(251, 501)]);
    b.gets(seg(ACK, 1_001, 1).data(&bytes(200)));
    b.next();
    b.gets(seg(ACK, 1_401, 1).data(&bytes(200)));
    b.next();
    b.gets(seg(ACK, 951, 1).data(&bytes(600)));
    reports(&mut b, 751, &[(1_001, 1_201), (951, 1_601)]);
    b.gets(seg(ACK, 751, 1).data(&bytes(400)));
    reports(&mut b, 1_601, &[(951, 1_151)]);
    b.silent();
}

/// RFC 2883 is for peers that use SACK, and a setting.
#[test]
fn a_duplicate_is_not_reported_without_sack_or_against_the_setting() {
    let bare = Bench::established(plain());
    let silenced = sacking(TcpConfig { sack: true, dsack: false, ..plain() });
    for mut b in [bare, silenced] {
        b.gets(seg(ACK, 1, 1).data(&bytes(500)));
        b.gets(seg(ACK, 1, 1).data(&bytes(500)));
        reports(&mut b, 501, &[]);
        b.gets(seg(ACK, 251, 1).data(&bytes(500)));
        reports(&mut b, 751, &[]);
        for _ in 0..2 {
            b.gets(seg(ACK, 1_001, 1).data(&bytes(500)));
            let block = (1_001, 1_501);
            let sacked = b.tcp.connections.get(b.id().0).unwrap().agreed.sack;
            reports(&mut b, 751, if sacked { std::slice::from_ref(&block) } else { &[] });
        }
        b.silent();
        assert_eq!(b.counters.tcp_dsacks_out, 0);
    }
}

/// MUST-58 and RFC 2883 §4: duplicates in one burst draw an acknowledgement each, because each is reported once; those that touch are
/// one.
#[test]
fn each_duplicate_of_a_burst_is_reported() {
    let mut b = with_sack();
    b.gets(seg(ACK, 1, 1).data(&bytes(3_000)));
    reports(&mut b, 3_001, &[]);
    for start in [1, 501, 2_001, 2_001] {
        b.gets(seg(ACK, start, 1).data(&bytes(500)));
    }
    reports(&mut b, 3_001, &[(1, 1_001)]);
    reports(&mut b, 3_001, &[(2_001, 2_501)]);
    reports(&mut b, 3_001, &[(2_001, 2_501)]);
    b.silent();
}

/// RFC 2018 §4, MUST-58: a burst with more new ranges than one acknowledgement can hold draws as many as tell of each; one that
/// leaves a single range draws one, however many segments it had.
#[test]
fn each_range_of_a_burst_is_reported() {
    let mut b = with_sack();
    for start in [1_001, 2_001, 3_001, 4_001, 5_001, 6_001] {
        b.gets(seg(ACK, start, 1).data(&bytes(500)));
    }
    let block = |start: u32| (start, start + 500);
    reports(&mut b, 1, &[4_001, 3_001, 2_001, 1_001].map(block));
    reports(&mut b, 1, &[6_001, 5_001, 4_001, 3_001].map(block));
    b.silent();
    let mut b = with_sack();
    for start in [1_001, 1_501, 2_001, 2_501] {
        b.gets(seg(ACK, start, 1).data(&bytes(500)));
    }
    reports(&mut b, 1, &[(1_001, 3_001)]);
    b.silent();
}

/// RFC 5681 §3.2, §4.2 (MAY-13): a peer without SACK counts duplicate acknowledgements, so each segment behind a gap draws one, in a
/// burst too, behind the one that is due for what came in order; not those that a filled gap has overtaken.
#[test]
fn without_sack_each_segment_behind_a_gap_draws_an_acknowledgement() {
    let mut b = Bench::established(plain());
    for start in [1, 501, 1_501, 2_001, 2_501] {
        b.gets(seg(ACK, start, 1).data(&bytes(500)));
    }
    (0..4).for_each(|_| drop(b.sends(ACK, 1, 1_001)));
    b.silent();
    b.gets(seg(ACK, 3_501, 1).data(&bytes(500)));
    b.gets(seg(ACK, 1_001, 1).data(&bytes(500)));
    b.sends(ACK, 1, 3_001);
    b.silent();
}
