//! The link as a whole: what a stream of packets looks like behind it.

use super::*;

fn link(text: &str) -> Link<Vec<u8>> {
    Link::new(text.parse().unwrap(), Rng::from_u64(1))
}

/// What becomes of a packet of `len` bytes.
fn carry(link: &mut Link<Vec<u8>>, len: usize, now: Instant) -> Passage {
    link.push(vec![0; len], now);
    link.poll(now).unwrap().passages[0]
}

fn arrival(passage: &Passage) -> Option<u64> {
    match passage.fate {
        Fate::Arrives(at) => Some(at.as_micros()),
        _ => None,
    }
}

/// 1,000 bytes at 8 Mbit/s take 1 ms each; the third finds two waiting and is dropped.
#[test]
fn rate_and_queue_give_each_packet_its_turn() {
    let mut link = link("rate 8mbit queue 2p");
    let sent: Vec<_> = (0..3).map(|_| carry(&mut link, 1_000, Instant::ZERO)).collect();
    assert_eq!(arrival(&sent[0]), Some(11_000));
    assert_eq!(arrival(&sent[1]), Some(12_000));
    assert_eq!(sent[2].fate, Fate::QueueFull);
    let later = carry(&mut link, 1_000, Instant::from_micros(1_500));
    assert_eq!(arrival(&later), Some(13_000));
    assert_eq!((link.counters().queue_full, link.counters().delivered), (1, 3));
}

#[test]
fn a_queue_in_bytes_or_time_holds_what_it_says_and_at_least_one_packet() {
    for (queue, room) in
        [("100b", 1), ("4999b", 4), ("5kb", 5), ("1us", 1), ("4999us", 4), ("5ms", 5), ("0", 1)]
    {
        for codel in ["off", "on"] {
            let mut link = link(&format!("rate 8mbit queue {queue} codel {codel}"));
            (0..20).for_each(|_| link.push(vec![0; 1_000], Instant::ZERO));
            // With CoDel the packet that is being sent has left the queue.
            let room = room + u64::from(codel == "on");
            assert_eq!(link.counters().queue_full, 20 - room, "{queue}, CoDel {codel}");
        }
    }
}

#[test]
fn faults_come_at_the_rate_they_are_configured_with() {
    let mut link = link("loss 10% dup 20% reorder 30% corrupt 40%");
    for i in 0..10_000 {
        carry(&mut link, 100, Instant::from_millis(i));
    }
    let counted = link.counters();
    assert!((900..1_100).contains(&counted.lost), "{counted:?}");
    assert!((1_700..1_900).contains(&counted.duplicated), "{counted:?}");
    assert!((2_600..2_800).contains(&counted.reordered), "{counted:?}");
    assert!((3_500..3_700).contains(&counted.corrupted), "{counted:?}");
    assert_eq!(counted.delivered, 10_000 - counted.lost + counted.duplicated);
}

/// The bad state's losses come on top of the others, and none of the other draws notices.
#[test]
fn bursts_add_losses_and_shift_no_other_draw() {
    let arrivals = |text: &str| {
        let mut link = link(text);
        (0..10_000).map(|i| arrival(&carry(&mut link, 100, Instant::from_millis(i)))).collect::<Vec<_>>()
    };
    let (without, with) = (arrivals("jitter 1ms loss 1%"), arrivals("jitter 1ms loss 1% burst 5%/4"));
    let lost = with.iter().filter(|arrival| arrival.is_none()).count();
    assert!((450..750).contains(&lost), "{lost}");
    assert!(with.iter().zip(&without).all(|(with, without)| with.is_none() || with == without));
}

/// Jitter spreads arrivals without letting one packet overtake another.
#[test]
fn jitter_keeps_the_order() {
    let mut link = link("jitter 50ms");
    let arrivals: Vec<_> =
        (0..100).filter_map(|i| arrival(&carry(&mut link, 9, Instant::from_millis(i)))).collect();
    assert!(arrivals.is_sorted() && arrivals.len() == 100);
    assert!(arrivals.windows(2).any(|w| w[1] - w[0] > 1_000));
}

#[test]
fn a_packet_that_is_held_back_is_overtaken_within_its_bound() {
    let mut link = link("delay 1ms reorder 50%/3ms");
    for i in 0..1_000 {
        let passage = carry(&mut link, 9, Instant::from_millis(i));
        let late = arrival(&passage).unwrap() - i * 1_000 - 1_000;
        assert!(if passage.reordered { late <= 3_000 } else { late == 0 }, "{late} us");
    }
}

#[test]
fn a_packet_above_the_mtu_is_dropped() {
    assert_eq!(carry(&mut link(""), 1_501, Instant::ZERO).fate, Fate::TooBig);
}

/// A policer takes no time: what it lets through is not delayed, what it does not is not queued.
#[test]
fn a_policer_drops_what_exceeds_its_rate() {
    let mut link = link("delay 1ms police 8mbit/3kb rate 80mbit");
    for i in 0..1_000 {
        let passage = carry(&mut link, 1_000, Instant::from_micros(i * 250));
        assert!(matches!(passage.fate, Fate::Policed | Fate::Arrives(_)));
    }
    // 250 ms of 8 Mbit/s and the bucket.
    assert_eq!(link.counters().delivered, 252);
}

#[test]
fn bunches_are_handed_over_together_and_in_order() {
    let mut link = link("delay 3ms bunch 10ms");
    let arrivals: Vec<_> =
        (0..30).filter_map(|i| arrival(&carry(&mut link, 40, Instant::from_millis(i)))).collect();
    let bunches: Vec<_> = (0..=4).map(|n| arrivals.iter().filter(|&&at| at == n * 10_000).count()).collect();
    assert_eq!(bunches, [0, 8, 10, 10, 2]);
}

/// A sender that is an eighth too fast and pauses for 16 packets at each loss: with drop-tail its queue stands at 200 ms, with
/// CoDel near the target, and the line hardly idles.
#[test]
fn codel_keeps_a_saturated_line_busy_and_its_queue_short() {
    let mean_wait = |codel: &str| {
        let mut link = link(&format!("delay 0 rate 8mbit queue 200p codel {codel}"));
        let (mut waited, mut pause) = (Vec::new(), 0);
        for i in 0..80_000u64 {
            let now = Instant::from_micros(i * 875);
            if pause > 0 {
                pause -= 1;
            } else {
                link.push(vec![0; 1_000], now);
            }
            while let Some(carried) = link.poll(now) {
                match carried.passages[0].fate {
                    Fate::Arrives(at) => waited.push(at.since(carried.since).as_millis() as usize),
                    _ => pause = 16,
                }
            }
        }
        assert!(waited.len() > 66_500, "nearly a packet each millisecond: {}", waited.len());
        let end = &waited[waited.len() / 2..];
        end.iter().sum::<usize>() / end.len()
    };
    let (drop_tail, codel) = (mean_wait("off"), mean_wait("on"));
    assert!(drop_tail > 150 && codel < 20, "{drop_tail} and {codel} ms");
}

/// RFC 3168 §5: the mark stands in the copies that arrive, with the header's checksum right.
#[test]
fn codel_marks_the_bytes_of_what_it_does_not_drop() {
    let mut link = link("rate 800kbit queue 500 codel ecn");
    let mut packet = vec![0; 100];
    packet[..2].copy_from_slice(&[0x45, 0x02]);
    (0..300).for_each(|_| link.push(packet.clone(), Instant::ZERO));
    let end = Instant::from_millis(60_000);
    let mut marks = 0;
    while let Some(carried) = link.poll(end) {
        marks += u64::from(carried.passages[0].apply(&carried.packet)[1] == 0x03);
    }
    assert_eq!((link.counters().delivered, link.counters().queue_long), (300, 0));
    assert_eq!((marks, link.counters().marked), (3, 3));
    assert_eq!(link.poll_timeout(), None);
}

/// Whoever waits for [`Link::poll_timeout`] misses nothing: packets leave CoDel's queue one each time the line is free.
#[test]
fn a_queue_under_codel_tells_when_to_ask_again() {
    let mut link = link("delay 0 rate 8mbit codel on");
    (0..3).for_each(|_| link.push(vec![0; 1_000], Instant::ZERO));
    let mut times = vec![0];
    while let Some(at) = link.poll_timeout() {
        assert!(
            link.poll(Instant::from_nanos(at.as_nanos() - 1))
                .is_none_or(|carried| carried.since == Instant::ZERO)
        );
        while link.poll(at).is_some() {}
        times.push(at.as_micros());
    }
    assert_eq!(times, [0, 1_000, 2_000]);
    // The line has been idle since.
    assert_eq!(arrival(&carry(&mut link, 1_000, Instant::from_millis(50))), Some(51_000));
}

/// What waits when CoDel is switched off is sent before what comes after.
#[test]
fn settings_may_change_while_packets_wait() {
    let mut link = link("delay 0 rate 8mbit codel on");
    (0..3).for_each(|_| link.push(vec![0; 1_000], Instant::ZERO));
    link.set_config("delay 0 rate 80mbit".parse().unwrap());
    link.push(vec![0; 500], Instant::ZERO);
    let mut arrivals = Vec::new();
    while let Some(carried) = link.poll(Instant::from_millis(100)) {
        arrivals.extend(carried.passages.iter().filter_map(arrival));
    }
    assert_eq!(arrivals, [1_000, 1_100, 1_200, 1_250]);
}

/// Another route: packets on a shorter one overtake those on the longer, and none waits for them.
#[test]
fn a_shorter_delay_lets_packets_overtake() {
    let mut link = link("delay 50ms");
    assert_eq!(arrival(&carry(&mut link, 100, Instant::ZERO)), Some(50_000));
    link.set_config("delay 10ms".parse().unwrap());
    assert_eq!(arrival(&carry(&mut link, 100, Instant::from_millis(1))), Some(11_000));
    link.set_config("delay 90ms".parse().unwrap());
    assert_eq!(arrival(&carry(&mut link, 100, Instant::from_millis(2))), Some(92_000));
}
