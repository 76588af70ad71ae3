//! RACK (RFC 8985): how long what was overtaken is waited for. More of it is in `loss.rs`.

use super::loss::{flight, sack, sacking};
use super::*;

/// RFC 8985 §6.3: what left within the last round trip measured is spared by a timeout, though the usual one is shorter.
#[test]
fn a_timeout_spares_what_left_within_the_last_round_trip() {
    let mut b = sacking(|config| config.tail_loss_probe = false);
    flight(&mut b, 3);
    b.now += ms(200);
    b.gets(seg(ACK, 1, 1_001));
    // SRTT is 112 ms now, the timeout 362 ms.
    b.after(ms(212));
    b.write(&bytes(MSS)).unwrap();
    b.sends_data(ACK.with(PSH), 3_001, 1, MSS);
    b.until_timer();
    assert_eq!((b.counters.tcp_timeouts, b.statistics().lost, b.statistics().unacknowledged), (1, 2, 3));
}

/// RFC 2883 §4: the first block tells of a duplicate only if all of it lies below the acknowledgement or within the second.
#[test]
fn a_block_that_overlaps_the_next_is_no_duplicate() {
    let overlaps = [[(1_001, 3_001), (2_001, 4_001)], [(3_001, 5_001), (2_001, 4_001)]];
    let within = [(2_001, 3_001), (1_001, 4_001)];
    for (blocks, duplicates) in [(overlaps[0], 0), (overlaps[1], 0), (within, 1)] {
        let mut b = sacking(|_| ());
        flight(&mut b, 10);
        b.now += ms(100);
        let report = sack(&b, 1, &blocks);
        b.gets(report);
        assert_eq!(b.statistics().duplicates, duplicates, "{blocks:?}");
    }
}

/// RFC 2018 §2: blocks mean nothing where SACK was not agreed on.
#[test]
fn blocks_without_an_agreement_mean_nothing() {
    let mut b = sacking(|config| config.sack = false);
    flight(&mut b, 10);
    b.now += ms(100);
    let report = sack(&b, 1, &[(1_001, 4_001)]);
    b.gets(report);
    b.silent();
    assert_eq!(b.statistics().sacked, 0);
}
