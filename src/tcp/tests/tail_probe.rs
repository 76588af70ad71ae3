//! The tail loss probe (RFC 8985 §7): when it goes and what its answer means. More of it is in `loss.rs`.

use super::loss::{flight, sacking};
use super::*;

/// RFC 8985 §7.2: the acknowledgement of a lone segment may be delayed, so the probe waits for that, too, up to the timeout.
#[test]
fn the_probe_of_a_lone_segment_waits_for_a_delayed_acknowledgement() {
    let mut b = sacking(|_| ());
    flight(&mut b, 1);
    b.quiet_for(ms(299));
    b.after(ms(1));
    b.sends_data(ACK.with(PSH), 1, 1, MSS);
    assert_eq!((b.counters.tcp_tail_probes, b.counters.tcp_timeouts), (1, 0));
}

/// RFC 8985 §7.4.2: a peer without D-SACK answers a needless copy with the same acknowledgement again. Text that carries that number
/// is no answer: the probe counts as the repair of a loss.
#[test]
fn a_plain_duplicate_answers_a_needless_probe_and_text_does_not() {
    for (answer, reduces) in [(seg(ACK, 1, 4_001), false), (seg(ACK, 1, 4_001).data(b"text"), true)] {
        let mut b = sacking(|_| ());
        flight(&mut b, 4);
        b.until_timer();
        b.sends_data(ACK.with(PSH), 3_001, 1, MSS);
        b.gets(seg(ACK, 1, 4_001));
        b.gets(answer.clone());
        b.write(&bytes(MSS)).unwrap();
        while b.next().is_some() {}
        b.gets(seg(ACK, 1 + answer.payload.len() as u32, 5_001));
        assert_eq!(b.statistics().slow_start_threshold < u32::MAX, reduces);
    }
}

/// RFC 8985 §7.4.2: a probe of new data repaired nothing.
#[test]
fn a_probe_of_new_data_reduces_nothing() {
    let mut b = sacking(|_| ());
    b.write(&bytes(11 * MSS)).unwrap();
    (0..10).for_each(|_| drop(b.next().unwrap()));
    b.until_timer();
    b.sends_data(ACK.with(PSH), 10_001, 1, MSS);
    b.gets(seg(ACK, 1, 11_001));
    b.write(&bytes(MSS)).unwrap();
    b.sends_data(ACK.with(PSH), 11_001, 1, MSS);
    b.gets(seg(ACK, 1, 12_001));
    assert_eq!((b.counters.tcp_tail_probes, b.statistics().slow_start_threshold), (1, u32::MAX));
}
