//! CUBIC's slow start, reductions, timeouts and undo (RFC 9438 §4.6 to §4.10, §5.8).

use super::*;

const MSS: u32 = 1000;
const RTT: Duration = Duration::from_millis(100);

const AT: Reduction = Reduction { mss: MSS, flight: 10 * MSS, now: Instant::ZERO };

/// In slow start until a loss: no HyStart.
fn cubic(segments: u32) -> Cubic {
    Cubic::new(HyStart::Off, segments * MSS)
}

/// A loss, and the recovery after it.
fn lose(cc: &mut Cubic) {
    cc.on_congestion(Congestion::Loss, &AT);
    cc.set_window(cc.ssthresh());
}

fn ack(cc: &mut Cubic, delivered: u32) {
    cc.on_ack(&Ack::of(delivered, MSS));
}

/// Round trips from `millis` on, of ten acknowledgements each.
fn rounds(cc: &mut Cubic, millis: u64, count: u32) {
    for tenth in 1..=count * 10 {
        let now = Instant::from_millis(millis) + RTT / 10 * tenth;
        cc.on_ack(&Ack { now, min_rtt: Some(RTT), ..Ack::of(cc.window() / 10, MSS) });
    }
}

/// Everything but the memory of the last reduction.
fn known(cc: &Cubic) -> (u32, u32, Option<Curve>) {
    let curve = match &cc.phase {
        Phase::Steady(steady) => Some(steady.curve.clone()),
        Phase::Fresh(_) | Phase::Search(_) => None,
    };
    (cc.cwnd, cc.ssthresh, curve)
}

/// §4.6: β is 0.7, and the threshold at least two segments.
#[test]
fn a_loss_leaves_seven_tenths_and_at_least_two_segments() {
    let mut cc = cubic(10);
    cc.on_congestion(Congestion::Loss, &AT);
    assert_eq!(cc.ssthresh(), 7 * MSS);
    let mut cc = cubic(2);
    cc.on_congestion(Congestion::Mark, &AT);
    assert_eq!(cc.ssthresh(), 2 * MSS);
}

/// §4.6, §4.7: a loss before the window is back at W_max is told to the curve.
#[test]
fn two_losses_in_a_row_converge_fast() {
    let mut cc = cubic(100);
    lose(&mut cc);
    lose(&mut cc);
    let curve = known(&cc).2.unwrap();
    assert_eq!((curve.w_max, curve.cwnd_prior, cc.window()), (59_500, 70 * MSS, 49 * MSS));
}

/// §4.8: one segment, and 0.7 of the window as threshold; a repeated timeout changes no threshold. When slow start is over the curve
/// begins at its plateau, not at what the loss before had told.
#[test]
fn a_timeout_leaves_one_segment_and_a_curve_from_its_plateau() {
    let mut cc = cubic(100);
    lose(&mut cc);
    cc.on_timeout(true, &AT);
    assert_eq!((cc.window(), cc.ssthresh()), (MSS, 49 * MSS));
    cc.on_timeout(false, &AT);
    assert_eq!((cc.window(), cc.ssthresh()), (MSS, 49 * MSS));
    (0..48).for_each(|_| ack(&mut cc, MSS));
    assert_eq!(cc.window(), 49 * MSS);
    ack(&mut cc, MSS);
    assert_eq!(known(&cc).2.unwrap().w_max, 49 * MSS);
}

/// §4.9: window, threshold, W_max, K, W_est, cwnd_prior and the time since the stage began are what they were.
#[test]
fn undo_restores_everything() {
    let mut cc = cubic(100);
    lose(&mut cc);
    rounds(&mut cc, 0, 20);
    let before = known(&cc);
    lose(&mut cc);
    assert_ne!(known(&cc), before);
    cc.undo();
    assert_eq!(known(&cc), before);
    cc.on_timeout(true, &AT);
    cc.on_timeout(false, &AT);
    cc.undo();
    assert_eq!(known(&cc), before);
}

/// §4.9: what grew since then is kept; a second undo changes nothing, and neither does one after an idle time.
#[test]
fn undo_happens_once_and_never_shrinks() {
    let mut cc = cubic(10);
    lose(&mut cc);
    cc.set_window(30 * MSS);
    cc.undo();
    assert_eq!((cc.window(), cc.ssthresh()), (30 * MSS, u32::MAX));
    cc.set_window(5 * MSS);
    cc.undo();
    assert_eq!(cc.window(), 5 * MSS);
    lose(&mut cc);
    cc.on_idle(RTT, RTT, None, Instant::from_millis(500));
    cc.undo();
    assert_eq!(cc.window(), 3_500);
}

/// The state before the last reduction is all that is remembered.
#[test]
fn one_reduction_is_remembered() {
    let mut cc = cubic(100);
    (0..3).for_each(|_| lose(&mut cc));
    cc.undo();
    assert_eq!(cc.window(), 49 * MSS);
    cc.undo();
    assert_eq!(cc.window(), 49 * MSS);
}

/// §5.8: idle time, and time in which the application left the window unused, are not in t.
#[test]
fn unused_time_does_not_count() {
    let (mut busy, mut lazy) = (cubic(1_000), cubic(1_000));
    lose(&mut busy);
    lose(&mut lazy);
    rounds(&mut busy, 0, 10);
    rounds(&mut lazy, 0, 5);
    lazy.on_idle(Duration::from_secs(60), RTT, None, Instant::from_millis(60_500));
    rounds(&mut lazy, 60_500, 2);
    for millis in (60_700..70_700).step_by(10) {
        let now = Instant::from_millis(millis);
        lazy.on_ack(&Ack { now, may_grow: false, ..Ack::of(MSS, MSS) });
    }
    rounds(&mut lazy, 70_690, 3);
    // The round trips themselves begin and end with an acknowledgement here.
    assert_eq!(lazy.window(), busy.window());
}

/// RFC 5681 §4.1: a restart after idle halves the window for each RTO, down to the restart window. Without one it stays.
#[test]
fn a_restart_after_idle_halves_the_window() {
    let mut cc = cubic(100);
    lose(&mut cc);
    rounds(&mut cc, 0, 2);
    let window = cc.window();
    cc.on_idle(RTT * 99, RTT, None, Instant::from_millis(500));
    assert_eq!(cc.window(), window);
    cc.on_idle(RTT * 2, RTT, Some(10 * MSS), Instant::from_millis(500));
    assert_eq!((cc.window(), cc.ssthresh()), (window / 4, 70 * MSS));
    cc.on_idle(RTT * 99, RTT, Some(10 * MSS), Instant::from_millis(20_000));
    assert_eq!(cc.window(), 10 * MSS);
}

/// RFC 2861 §2: the threshold remembers three quarters of the window; behind them the curve begins anew from there. A window that
/// stays as it is needs no threshold.
#[test]
fn a_restart_after_idle_remembers_three_quarters() {
    let mut cc = cubic(100);
    lose(&mut cc);
    rounds(&mut cc, 0, 80);
    let window = cc.window();
    assert!(window > 115 * MSS, "{window}");
    cc.on_idle(RTT, RTT, Some(2 * window), Instant::from_millis(9_000));
    assert_eq!((cc.window(), cc.ssthresh()), (window, 70 * MSS));
    cc.on_idle(RTT, RTT, Some(10 * MSS), Instant::from_millis(9_000));
    assert_eq!((cc.window(), cc.ssthresh()), (window / 2, window / 4 * 3));
    rounds(&mut cc, 9_000, 3);
    let grown = cc.window() - cc.ssthresh();
    assert!((1..5 * MSS).contains(&grown), "{grown}");
}

/// A connection that goes on from another algorithm's threshold knows where slow start ends: HyStart is for those that do not.
#[test]
fn a_known_threshold_needs_no_hystart() {
    for (threshold, growth) in [(u32::MAX, (3 * 4 + 5) * MSS), (1_000 * MSS, 32 * MSS)] {
        let mut cc = Cubic::new(HyStart::PlusPlus, 100 * MSS);
        cc.take_threshold(threshold);
        round_of(&mut cc, 20);
        assert_eq!(round_of(&mut cc, 30), growth);
    }
}

/// Policy 5: a window that does not limit the sender does not grow, in slow start or behind it.
#[test]
fn an_unused_window_does_not_grow() {
    let mut cc = cubic(10);
    for _ in 0..2 {
        let window = cc.window();
        let now = Instant::from_millis(60_000);
        cc.on_ack(&Ack { now, may_grow: false, ..Ack::of(10 * MSS, MSS) });
        assert_eq!(cc.window(), window);
        lose(&mut cc);
    }
}

/// A round of eight acknowledgements of four segments: by how much the window grows.
fn round_of(cc: &mut Cubic, rtt: u64) -> u32 {
    let before = cc.window();
    for n in 0..8 {
        let rtt = Some(Duration::from_millis(rtt));
        cc.on_ack(&Ack { rtt, round_ended: n == 0, ..Ack::of(4 * MSS, MSS) });
    }
    cc.window() - before
}

/// RFC 9406 §4.2: CUBIC leaves slow start when the round trip becomes longer, after five rounds of a quarter of the growth. Four
/// acknowledgements of four segments each are eight samples.
#[test]
fn hystart_ends_slow_start() {
    let mut cc = Cubic::new(HyStart::PlusPlus, 100 * MSS);
    assert_eq!(round_of(&mut cc, 20), 32 * MSS);
    assert_eq!(round_of(&mut cc, 30), (3 * 4 + 5) * MSS);
    for _ in 0..4 {
        assert_eq!(round_of(&mut cc, 30), 8 * MSS);
    }
    let window = cc.window();
    assert_eq!(cc.ssthresh(), u32::MAX);
    round_of(&mut cc, 30);
    assert_eq!(cc.ssthresh(), window);
    assert!(cc.window() < window + 4 * MSS);
}

/// RFC 9406 §4.3: a loss ends the search for good; its undo resumes it.
#[test]
fn hystart_watches_the_first_slow_start_only() {
    let mut cc = Cubic::new(HyStart::PlusPlus, 100 * MSS);
    round_of(&mut cc, 20);
    lose(&mut cc);
    cc.undo();
    assert_eq!(round_of(&mut cc, 30), (3 * 4 + 5) * MSS);
    cc.on_timeout(true, &AT);
    assert_eq!((round_of(&mut cc, 20), round_of(&mut cc, 90)), (32 * MSS, 32 * MSS));
}

/// Policy 5: slow start grows by what is delivered, also where a super-segment is acknowledged at once.
#[test]
fn slow_start_grows_by_what_is_delivered() {
    let mut cc = Cubic::new(HyStart::PlusPlus, 100 * MSS);
    ack(&mut cc, 44 * MSS);
    assert_eq!(cc.window(), 144 * MSS);
}

/// Until the initial slow start is over a connection owns the struct alone, with the search for its end.
#[test]
fn a_connection_in_slow_start_owns_nothing_more() {
    assert!(size_of::<Cubic>() <= 32, "{}", size_of::<Cubic>());
    let mut cc = Cubic::new(HyStart::PlusPlus, 10 * MSS);
    assert!(matches!(cc.phase, Phase::Fresh(HyStart::PlusPlus)));
    ack(&mut cc, MSS);
    assert!(matches!(cc.phase, Phase::Search(_)));
}
