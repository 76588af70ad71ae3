//! The steps of BBR one by one against the formulas of draft-ietf-ccwg-bbr-06, with numbers computed by hand: what is measured, what
//! is obeyed, losses, Startup and Drain. ProbeBW and ProbeRTT are in `probe_tests.rs`.

use super::filters::{MinRtt, Rounds, Signals};
use super::losses::Episode;
use super::*;
use crate::tcp::congestion::RateSample;

pub(super) const MSS: u64 = 1_000;
/// Not the origin of time: nothing may take it for "long ago".
pub(super) const START: Instant = Instant::from_millis(100_000);

pub(super) const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub(super) fn after(millis: u64) -> Instant {
    START + ms(millis)
}

/// 10 MB/s and 40 ms are known: a bandwidth-delay product of 400 segments. The pipe was full once, and the window is twice the
/// product.
pub(super) fn known(state: State) -> Bbr {
    let mut bbr = Bbr::new(10_000);
    (bbr.mss, bbr.state, bbr.cwnd) = (MSS, state, 800_000);
    bbr.min_rtt.begin(START);
    bbr.min_rtt.update(Some(ms(40)), START);
    bbr.max_bw.update(10_000_000);
    bbr.pacing_rate = Some(9_900_000);
    bbr.full_pipe.reached = true;
    bbr.rounds.delivered = 1_000_000;
    bbr
}

/// An acknowledgement that says nothing yet.
pub(super) fn sample() -> Sample {
    Sample { now: START, peer_window: INFINITE, ..Sample::default() }
}

fn at(flight: u32) -> Reduction {
    Reduction { mss: 1_000, flight, now: START }
}

fn rate_sample() -> RateSample {
    RateSample {
        delivered: 50_000,
        interval: ms(10),
        prior_delivered: 0,
        total_delivered: 50_000,
        tx_in_flight: 50_000,
        lost: 0,
        app_limited: false,
    }
}

// What is measured.

/// §5.5.1: a round ends when what was sent after it began is delivered.
#[test]
fn rounds_are_counted_by_what_is_delivered() {
    let mut rounds = Rounds::default();
    let mut update = |delivered, prior| {
        rounds.delivered = delivered;
        rounds.update(prior);
        (rounds.start, rounds.count)
    };
    assert_eq!(update(1_000, 0), (true, 1));
    assert_eq!(update(2_000, 999), (false, 1));
    assert_eq!(update(3_000, 1_000), (true, 2));
    assert_eq!(update(4_000, 2_999), (false, 2));
    assert_eq!(update(5_000, 3_000), (true, 3));
}

/// §5.5.7: a shorter round trip counts at once; a longer one when the shortest was found more than ten seconds ago, and seeing it
/// again in between makes it no younger.
#[test]
fn the_shortest_round_trip_is_that_of_ten_seconds() {
    let after_all = |seen: &[(u64, Option<u64>)]| {
        let mut min = MinRtt::default();
        min.begin(START);
        seen.iter().for_each(|&(at, rtt)| min.update(rtt.map(ms), after(at)));
        min.get().map(|rtt| rtt.as_millis())
    };
    assert_eq!(after_all(&[(0, Some(40)), (1_000, Some(30))]), Some(30));
    assert_eq!(after_all(&[(0, Some(30)), (5_001, Some(60)), (10_000, None)]), Some(30));
    assert_eq!(after_all(&[(0, Some(30)), (5_001, Some(60)), (10_001, None)]), Some(60));
    assert_eq!(after_all(&[(0, Some(40)), (6_000, Some(40)), (11_500, Some(60))]), Some(60));
}

/// §5.3.4.3: the next ProbeRTT is five seconds after the end of the last, though no round trip was shorter.
#[test]
fn a_probe_of_the_round_trip_starts_the_interval_anew() {
    let mut min = MinRtt::default();
    min.begin(START);
    min.update(Some(ms(40)), START);
    min.probed(after(5_500));
    min.update(Some(ms(60)), after(10_500));
    assert!(!min.expired);
    min.update(Some(ms(60)), after(10_501));
    assert!(min.expired);
}

/// §5.5.10.3: the largest rate and the largest delivery of a round, and from its end on those of the next.
#[test]
fn signals_are_the_largest_of_a_round() {
    let mut signals = Signals::default();
    let mut update = |rate, delivered, prior_delivered, total| {
        let sample = Sample { rate, delivered, prior_delivered, ..sample() };
        signals.update(&sample, total);
        let seen = (signals.loss_round_start, signals.bw_latest, signals.inflight_latest);
        signals.advance(&sample);
        seen
    };
    assert_eq!(update(500, 10, 0, 100), (true, 500, 10));
    assert_eq!(update(300, 20, 50, 150), (false, 500, 20));
    assert_eq!(update(200, 7, 100, 200), (true, 500, 20));
    assert_eq!(update(100, 8, 150, 250), (false, 200, 8));
}

/// §5.5.6: a rate of a sender that had too little to send counts only if it is the largest.
#[test]
fn an_application_limited_rate_counts_if_it_is_the_largest() {
    let max_after = |rate, app_limited| {
        let mut bbr = known(State::Cruise);
        bbr.max_bw.advance();
        bbr.update_congestion_signals(&Sample { rate, app_limited, ..sample() });
        bbr.max_bw.advance();
        bbr.max_bw.get()
    };
    assert_eq!(max_after(12_000_000, true), 12_000_000);
    assert_eq!(max_after(8_000_000, true), 10_000_000);
    assert_eq!(max_after(8_000_000, false), 8_000_000);
}

/// §4.1.2.4, §5.3.4.4: what was sent in ProbeRTT is application-limited, as what the sender says is so.
#[test]
fn samples_of_probe_rtt_are_application_limited() {
    let mut bbr = known(State::Cruise);
    let mut limited = |until, prior_delivered, app_limited| {
        bbr.app_limited_until = until;
        let rate = Some(RateSample { prior_delivered, app_limited, ..rate_sample() });
        bbr.digest(&Ack { rate, ..Ack::of(1_000, 1_000) }).app_limited
    };
    assert!(limited(Some(5_000), 5_000, false));
    assert!(!limited(Some(5_000), 5_001, false));
    assert!(limited(Some(5_000), 5_001, true));
    assert!(!limited(None, 0, false));
}

/// The window limits the sender when not a segment more would fit, and did so in the round however it goes on.
#[test]
fn a_full_window_limits_the_sender() {
    let mut bbr = known(State::Cruise);
    let mut limited = |flight| {
        bbr.cwnd = 800_000;
        bbr.on_ack(&Ack { flight, in_flight: flight - 1_000, now: START, ..Ack::of(1_000, 1_000) });
        bbr.cwnd_limited[0]
    };
    assert!(!limited(799_000));
    assert!(limited(799_001));
    assert!(limited(10_000));
}

// What is obeyed.

/// §5.6.2: before a bandwidth is known, the initial window in the round trip of the handshake, times 2.77.
#[test]
fn pacing_begins_with_the_initial_window() {
    let mut bbr = Bbr::new(10_000);
    bbr.on_ack(&Ack { rtt: Some(ms(50)), now: START, ..Ack::of(1_000, 1_000) });
    assert_eq!(bbr.pacing_rate(), Some(554_000));
}

/// §5.6.2: until the pipe was full the pacing rate only rises, and without a bandwidth it stays.
#[test]
fn the_pacing_rate_falls_only_when_the_pipe_was_full() {
    for (reached, before, then) in
        [(false, 50_000_000, 50_000_000), (false, 20_000_000, 27_423_000), (true, 50_000_000, 27_423_000)]
    {
        let mut bbr = known(State::Startup);
        (bbr.full_pipe.reached, bbr.pacing_rate) = (reached, Some(before));
        bbr.set_pacing_rate(277);
        assert_eq!(bbr.pacing_rate, Some(then));
    }
    let mut bbr = Bbr::new(10_000);
    (bbr.full_pipe.reached, bbr.pacing_rate) = (true, Some(554_000));
    bbr.set_pacing_rate(100);
    assert_eq!(bbr.pacing_rate, Some(554_000));
}

/// §5.6.3, §5.6.4.2: three bursts have room, each what the pace sends in a millisecond, two segments at least and 64 KiB at most;
/// a probe has room for two segments more.
#[test]
fn bursts_have_room() {
    for (pace, inflight, expected) in [
        (10_000_000, 20_000, 30_000),
        (200_000_000, 20_000, 3 * 65_536),
        (1_000_000, 0, 6_000),
        (10_000_000, 400_000, 400_000),
    ] {
        let quantized = [State::Cruise, State::Up].map(|state| {
            let mut bbr = known(state);
            bbr.pacing_rate = Some(pace);
            bbr.quantize(inflight)
        });
        assert_eq!(quantized, [expected, expected + 2_000], "{pace} {inflight}");
    }
}

/// §5.3.3.9: 15 % of the long-term bound is left to others, a segment at least, and four segments are kept.
#[test]
fn headroom_is_left_to_others() {
    let mut bbr = known(State::Cruise);
    let bounds = [INFINITE, 100_000, 5_500, 4_500].map(|bound| {
        bbr.inflight_longterm = bound;
        bbr.inflight_with_headroom()
    });
    assert_eq!(bounds, [INFINITE, 85_000, 4_500, 4_000]);
}

/// §5.6.4.6: until the pipe was full the window grows by what is delivered, while it is below twice the bandwidth-delay product
/// or the initial window is not delivered yet.
#[test]
fn the_window_grows_up_to_twice_the_product() {
    for (cwnd, delivered, then) in [
        (799_999, 1_000_000, 802_999),
        (800_000, 1_000_000, 800_000),
        (800_000, 10_000, 800_000),
        (800_000, 9_999, 803_000),
    ] {
        let mut bbr = known(State::Startup);
        (bbr.cwnd, bbr.rounds.delivered, bbr.full_pipe.reached) = (cwnd, delivered, false);
        bbr.set_cwnd(&Sample { newly_acked: 3_000, ..sample() });
        assert_eq!(bbr.cwnd, then, "{cwnd} {delivered}");
    }
}

/// §5.6.4.5 to §5.6.4.7: the largest window of each state, with a long-term bound of twice and a half the product, or half of it.
#[test]
fn the_window_has_a_bound_in_each_state() {
    let most = |state, longterm, shortterm| {
        let mut bbr = known(state);
        (bbr.cwnd, bbr.inflight_longterm, bbr.inflight_shortterm) = (2_000_000, longterm, shortterm);
        bbr.set_cwnd(&sample());
        bbr.cwnd
    };
    for (state, with_room, without) in [
        (State::Drain, 800_000, 800_000),
        (State::Down, 800_000, 200_000),
        (State::Cruise, 800_000, 170_000),
        (State::Refill, 800_000, 200_000),
        (State::Up, 902_000, 200_000),
        (State::ProbeRtt, 200_000, 170_000),
    ] {
        assert_eq!((most(state, 1_000_000, INFINITE), most(state, 200_000, INFINITE)), (with_room, without));
        assert_eq!((most(state, 1_000_000, 150_000), most(state, 1_000_000, 1_000)), (150_000, 4_000));
    }
}

/// §5.6.4.4: PRR leaves the window to BBR in recovery, and there is no threshold.
#[test]
fn recovery_belongs_to_the_model() {
    let mut bbr = known(State::Cruise);
    bbr.on_congestion(Congestion::Loss, &at(400_000));
    assert!(bbr.controls_recovery());
    assert_eq!((bbr.window(), bbr.ssthresh()), (800_000, u32::MAX));
}

// Losses.

/// §5.5.10.2: more than 2 % is too much.
#[test]
fn two_percent_may_be_lost() {
    let too_high = |lost| Sample { lost, tx_in_flight: 500_000, ..sample() }.is_inflight_too_high();
    assert!(!too_high(10_000) && too_high(10_001));
}

/// §5.5.10.3: a round with losses lowers the short-term bounds to seven tenths, or to what it delivered; not while probing, and
/// not before the round is over.
#[test]
fn a_round_with_losses_lowers_the_short_term_bounds() {
    let mut bbr = known(State::Cruise);
    let mut round = |state, over, (bw_latest, inflight_latest)| {
        bbr.state = state;
        (bbr.signals.loss_in_round, bbr.signals.loss_round_start) = (true, over);
        (bbr.signals.bw_latest, bbr.signals.inflight_latest) = (bw_latest, inflight_latest);
        bbr.update_congestion_signals(&sample());
        (bbr.bw_shortterm, bbr.inflight_shortterm)
    };
    for state in [State::Startup, State::Refill, State::Up] {
        assert_eq!(round(state, true, (0, 0)), (INFINITE, INFINITE));
    }
    assert_eq!(round(State::Cruise, false, (0, 0)), (INFINITE, INFINITE));
    assert_eq!(round(State::Cruise, true, (0, 0)), (7_000_000, 560_000));
    assert_eq!(round(State::Down, true, (0, 0)), (4_900_000, 392_000));
    assert_eq!(round(State::Drain, true, (6_000_000, 500_000)), (6_000_000, 500_000));
}

/// §5.5.10.2: the round in which losses are looked at begins with the first of them.
#[test]
fn the_loss_round_begins_with_its_first_loss() {
    let mut bbr = known(State::Cruise);
    bbr.note_loss();
    bbr.rounds.delivered += 100_000;
    bbr.note_loss();
    assert_eq!(bbr.signals.loss_round_delivered, 1_000_000);
}

/// §5.5.10.2: a probe that lost too much sets the long-term bound to what was under way, or to seven tenths of what should be; it
/// answers once, and tells nothing of the path where the application limited it.
#[test]
fn a_probe_that_loses_too_much_sets_the_long_term_bound() {
    let bound_after = |tx_in_flight, app_limited| {
        let mut bbr = known(State::Up);
        bbr.cycle.is_probe_sample = true;
        let lossy = Sample { lost: 100_000, tx_in_flight, app_limited, ..sample() };
        bbr.on_loss(&lossy);
        bbr.on_loss(&Sample { tx_in_flight: 700_000, ..lossy });
        assert_eq!(bbr.state, State::Down);
        bbr.inflight_longterm
    };
    assert_eq!(bound_after(300_000, false), 300_000);
    assert_eq!(bound_after(250_000, false), 280_000);
    assert_eq!(bound_after(300_000, true), INFINITE);
}

/// §5.6.4.4: the window worth restoring is that before an episode or ProbeRTT made it smaller.
#[test]
fn the_last_good_window_is_saved() {
    for (episode, state, saved) in [
        (Episode::None, State::Cruise, 200_000),
        (Episode::None, State::ProbeRtt, 800_000),
        (Episode::Recovery, State::Cruise, 800_000),
    ] {
        let mut bbr = known(state);
        (bbr.episode, bbr.prior_cwnd, bbr.cwnd) = (episode, 800_000, 200_000);
        bbr.save_cwnd();
        bbr.cwnd = 100_000;
        bbr.restore_cwnd();
        assert_eq!(bbr.cwnd, saved, "{episode:?} {state:?}");
    }
}

/// §5.5.11.1: undo restores what was before the first loss of an episode; when that is over, the next loss begins another.
#[test]
fn each_episode_saves_its_state_once() {
    let mut bbr = known(State::Cruise);
    let lose = |bbr: &mut Bbr, bw_shortterm| {
        bbr.bw_shortterm = bw_shortterm;
        bbr.on_congestion(Congestion::Loss, &at(400_000));
        let mut undone = bbr.clone();
        undone.bw_shortterm = 1;
        undone.undo();
        undone.bw_shortterm
    };
    assert_eq!(lose(&mut bbr, 9_000_000), 9_000_000);
    bbr.end_episode(&Sample { in_recovery: true, ..sample() });
    assert_eq!((bbr.episode, lose(&mut bbr, 7_000_000)), (Episode::Recovery, 9_000_000));
    bbr.end_episode(&sample());
    assert_eq!((bbr.episode, lose(&mut bbr, 5_000_000)), (Episode::None, 5_000_000));
}

/// §5.6.4.4: what is lost after a timeout belongs to its episode, which ends when all that was under way is delivered.
#[test]
fn the_episode_of_a_timeout_ends_with_what_was_under_way() {
    let mut bbr = known(State::Cruise);
    bbr.on_timeout(true, &at(50_000));
    bbr.on_congestion(Congestion::Loss, &at(1_000));
    for (delivered, window) in [(1_049_999, 1_000), (1_050_000, 800_000)] {
        bbr.rounds.delivered = delivered;
        bbr.end_episode(&sample());
        assert_eq!(bbr.window(), window);
    }
}

/// §5.5.11.2: the state that the losses ended comes back, unless the connection is there already or in ProbeRTT.
#[test]
fn undo_leads_back_to_the_state_that_ended() {
    for (ended, now, then) in [
        (State::Startup, State::Drain, State::Startup),
        (State::Startup, State::Startup, State::Startup),
        (State::Startup, State::ProbeRtt, State::ProbeRtt),
        (State::Up, State::Down, State::Refill),
        (State::Up, State::Up, State::Up),
        (State::Up, State::ProbeRtt, State::ProbeRtt),
    ] {
        let mut bbr = known(now);
        bbr.note_loss();
        bbr.leave_for_loss(ended);
        bbr.undo();
        assert_eq!(
            (bbr.state, bbr.full_pipe.reached),
            (then, ended == State::Up || ended == now),
            "{ended:?} {now:?}"
        );
    }
}

// Startup and Drain.

/// §5.3.1.3: a round in recovery with more than 2 % lost at six places ends Startup.
#[test]
fn a_round_with_many_losses_ends_startup() {
    for (places, in_recovery, lost, then) in [
        (6, true, 21_000, State::Drain),
        (5, true, 21_000, State::Startup),
        (6, false, 21_000, State::Startup),
        (6, true, 20_000, State::Startup),
    ] {
        let mut bbr = known(State::Startup);
        bbr.full_pipe.reached = false;
        bbr.signals.inflight_latest = 450_000;
        let sample = Sample { lost, tx_in_flight: 1_000_000, in_recovery, ..sample() };
        (0..places).for_each(|_| bbr.check_startup_done(&Sample { found_loss: true, ..sample }));
        assert_eq!(bbr.state, State::Startup, "before the round is over");
        bbr.signals.loss_round_start = true;
        bbr.check_startup_done(&sample);
        assert_eq!(bbr.state, then, "{places} {in_recovery} {lost}");
        assert_eq!(bbr.inflight_longterm, if then == State::Drain { 450_000 } else { INFINITE });
    }
}

/// §5.3.2: Drain is over when a bandwidth-delay product is under way, or after three rounds.
#[test]
fn drain_ends_with_the_queue_or_after_three_rounds() {
    for (in_flight, round, then) in
        [(400_001, 13, State::Drain), (400_000, 11, State::Down), (400_001, 14, State::Down)]
    {
        let mut bbr = known(State::Drain);
        (bbr.drain_start_round, bbr.rounds.count) = (10, round);
        bbr.check_drain_done(&Sample { in_flight, ..sample() });
        assert_eq!(bbr.state, then, "{in_flight} {round}");
    }
}
