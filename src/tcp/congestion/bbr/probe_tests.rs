//! ProbeBW (§5.3.3) and ProbeRTT (§5.3.4) step by step, with numbers computed by hand (draft-ietf-ccwg-bbr-06).

use super::filters::MaxBandwidth;
use super::probe_bw::AckPhase;
use super::step_tests::{MSS, START, after, known, ms, sample};
use super::*;

/// As [`known`], `state` of ProbeBW having begun a moment ago: no time to probe yet.
fn cycling(state: State) -> Bbr {
    let mut bbr = known(state);
    bbr.start_down(START);
    (bbr.state, bbr.cycle.ack_phase, bbr.cycle.rounds_since_probe_up) = (state, AckPhase::Init, 0);
    bbr
}

/// A probe with a long-term bound, up to which the window is used. The bound rises by a segment for each window acknowledged.
fn probing(inflight_longterm: u64) -> Bbr {
    let mut bbr = known(State::Cruise);
    bbr.start_refill();
    (bbr.inflight_longterm, bbr.cwnd_limited) = (inflight_longterm, [true, false]);
    bbr.rounds.start = true;
    bbr.update_probe_bw(&sample());
    bbr.rounds.start = false;
    bbr
}

/// §5.3.3.8: a probe when more time than the wait has passed.
#[test]
fn a_probe_begins_after_the_wait() {
    for state in [State::Down, State::Cruise] {
        let mut bbr = cycling(state);
        let end = START + bbr.cycle.wait;
        for (now, then) in [(end, state), (end + Duration::from_nanos(1), State::Refill)] {
            bbr.update_probe_bw(&Sample { now, in_flight: 500_000, ..sample() });
            assert_eq!(bbr.state, then);
        }
    }
}

/// §5.3.3.8: or after as many rounds as segments are under way, when Reno would have one more for each; 63 at most.
#[test]
fn a_probe_begins_when_reno_would_be_as_far() {
    for (bw, rounds) in [(500_000, 20), (10_000_000, 63)] {
        let mut bbr = cycling(State::Cruise);
        bbr.max_bw = MaxBandwidth::default();
        bbr.max_bw.update(bw);
        for (rounds, then) in [(rounds - 1, State::Cruise), (rounds, State::Refill)] {
            bbr.cycle.rounds_since_probe_up = rounds;
            bbr.update_probe_bw(&sample());
            assert_eq!(bbr.state, then, "{bw} {rounds}");
        }
    }
}

/// §5.3.3.1: Down is over when the queue is empty and 15 % of the long-term bound are left to others.
#[test]
fn down_ends_with_an_empty_queue_and_headroom() {
    for (longterm, most) in [(INFINITE, 400_000), (400_000, 340_000), (1_000_000, 400_000)] {
        for (in_flight, then) in [(most, State::Cruise), (most + 1, State::Down)] {
            let mut bbr = cycling(State::Down);
            bbr.inflight_longterm = longterm;
            bbr.update_probe_bw(&Sample { in_flight, ..sample() });
            assert_eq!(bbr.state, then, "{longterm} {in_flight}");
        }
    }
}

/// §5.3.3.3: a round of Refill, and the losses that come then are the probe's.
#[test]
fn refill_takes_a_round() {
    let mut bbr = known(State::Cruise);
    bbr.start_refill();
    bbr.update_probe_bw(&sample());
    assert_eq!((bbr.state, bbr.cycle.is_probe_sample), (State::Refill, false));
    bbr.rounds.start = true;
    bbr.update_probe_bw(&sample());
    assert_eq!((bbr.state, bbr.cycle.is_probe_sample), (State::Up, true));
}

/// §5.3.3.4: a probe raises the long-term bound by a segment for each window acknowledged, in each round for half as much.
#[test]
fn the_long_term_bound_rises_twice_as_fast_each_round() {
    let mut bbr = probing(400_000);
    let mut bound_after = |newly_acked, round_start| {
        bbr.rounds.start = round_start;
        bbr.update_probe_bw(&Sample { newly_acked, ..sample() });
        bbr.inflight_longterm
    };
    assert_eq!(bound_after(1_700_000, false), 402_000);
    assert_eq!(bound_after(699_999, false), 402_000);
    assert_eq!(bound_after(1, false), 403_000);
    assert_eq!(bound_after(0, true), 403_000);
    assert_eq!(bound_after(400_000, false), 404_000);
    assert_eq!(bound_after(0, true), 404_000);
    assert_eq!(bound_after(600_000, false), 407_000);
}

/// §5.3.3.4: only while the window is used up to the bound; and only in a probe.
#[test]
fn a_bound_that_is_not_reached_does_not_rise() {
    let bound_after = |state, cwnd_limited, cwnd| {
        let mut bbr = probing(400_000);
        (bbr.state, bbr.cwnd_limited, bbr.cwnd) = (state, cwnd_limited, cwnd);
        bbr.update_probe_bw(&Sample { newly_acked: 800_000, ..sample() });
        bbr.inflight_longterm
    };
    assert_eq!(bound_after(State::Up, [false, true], 400_000), 401_000);
    assert_eq!(bound_after(State::Up, [false, false], 400_000), 400_000);
    assert_eq!(bound_after(State::Up, [true, true], 399_999), 400_000);
    assert_eq!(bound_after(State::Cruise, [true, true], 400_000), 400_000);
}

/// §5.5.10.2: what was under way and lost no more than 2 % raises the long-term bound, where there is one.
#[test]
fn the_long_term_bound_rises_to_what_was_delivered() {
    let bound_after = |longterm, lost| {
        let mut bbr = cycling(State::Cruise);
        bbr.inflight_longterm = longterm;
        bbr.update_probe_bw(&Sample { tx_in_flight: 500_000, lost, ..sample() });
        bbr.inflight_longterm
    };
    assert_eq!(bound_after(400_000, 10_000), 500_000);
    assert_eq!(bound_after(400_000, 10_001), 400_000);
    assert_eq!(bound_after(600_000, 0), 600_000);
    assert_eq!(bound_after(INFINITE, 0), INFINITE);
}

/// §5.3.3.5: a probe ends when the bandwidth does not grow any more, but not because the long-term bound held it down.
#[test]
fn a_probe_ends_when_the_pipe_is_full() {
    for (cwnd_limited, cwnd, then) in [
        ([true, false], 800_000, State::Up),
        ([false, true], 800_000, State::Up),
        ([false, false], 800_000, State::Down),
        ([true, true], 799_999, State::Down),
    ] {
        let mut bbr = probing(800_000);
        (bbr.cwnd_limited, bbr.cwnd, bbr.full_pipe.now) = (cwnd_limited, cwnd, true);
        bbr.update_probe_bw(&sample());
        assert_eq!(bbr.state, then, "{cwnd_limited:?} {cwnd}");
    }
}

/// §5.3.3.6: after a probe that lost too much the next stops at the bound that this told; when that lost nothing, another follows
/// at once.
#[test]
fn the_probe_after_losses_is_careful() {
    for (too_high, in_flight, then) in
        [(true, 399_999, State::Up), (false, 400_000, State::Up), (true, 400_000, State::Down)]
    {
        let mut bbr = probing(400_000);
        bbr.cycle.prev_probe_too_high = too_high;
        bbr.update_probe_bw(&Sample { in_flight, ..sample() });
        assert_eq!(bbr.state, then, "{too_high} {in_flight}");
    }
    for (lost, then) in [(false, State::Refill), (true, State::Down)] {
        let mut bbr = probing(400_000);
        bbr.cycle.prev_probe_too_high = true;
        bbr.update_probe_bw(&Sample { in_flight: 400_000, ..sample() });
        bbr.cycle.prev_probe_too_high = lost;
        bbr.rounds.start = true;
        bbr.update_probe_bw(&Sample { in_flight: 400_000, ..sample() });
        assert_eq!(bbr.state, then, "{lost}");
    }
}

/// §5.5.6: the cycle that the largest bandwidth is taken from ends a round after the probe; not for a sender that has too
/// little to send, and not with ProbeRTT.
#[test]
fn the_answers_to_a_probe_end_its_cycle() {
    let bw_after = |state, ack_phase, app_limited, round_start| {
        let mut bbr = cycling(state);
        (bbr.cycle.ack_phase, bbr.rounds.start) = (ack_phase, round_start);
        bbr.update_probe_bw(&Sample { app_limited, in_flight: 500_000, ..sample() });
        // What this cycle has found is forgotten with the end of the next.
        bbr.max_bw.update(5_000_000);
        bbr.max_bw.advance();
        bbr.max_bw.get()
    };
    assert_eq!(bw_after(State::Down, AckPhase::ProbeStopping, false, true), 5_000_000);
    assert_eq!(bw_after(State::Down, AckPhase::ProbeStopping, true, true), 10_000_000);
    assert_eq!(bw_after(State::Down, AckPhase::ProbeStopping, false, false), 10_000_000);
    assert_eq!(bw_after(State::Down, AckPhase::Init, false, true), 10_000_000);
    assert_eq!(bw_after(State::ProbeRtt, AckPhase::ProbeStopping, false, true), 10_000_000);
}

/// §5.3.4.3: ProbeRTT begins when no shorter round trip was seen for a while, but not with the first data after idleness: that
/// has found the queue empty.
#[test]
fn the_first_data_after_idleness_needs_no_probe_rtt() {
    let mut bbr = known(State::Cruise);
    (bbr.min_rtt.expired, bbr.idle_restart) = (true, true);
    let mut state_after = |newly_acked| {
        bbr.check_probe_rtt(&Sample { newly_acked, ..sample() });
        bbr.state
    };
    assert_eq!([0, MSS, 0].map(&mut state_after), [State::Cruise, State::Cruise, State::ProbeRtt]);
}

/// A deviation from §5.3.4.3: the peer's window may hold the product and what a delayed acknowledgement holds back; then there is no
/// queue to let go, and no ProbeRTT.
#[test]
fn no_probe_rtt_where_the_peers_window_leaves_no_queue() {
    for (peer_window, then) in [(402_000, State::Cruise), (402_001, State::ProbeRtt)] {
        let mut bbr = known(State::Cruise);
        bbr.min_rtt.expired = true;
        bbr.check_probe_rtt(&Sample { peer_window, newly_acked: MSS, ..sample() });
        assert_eq!(bbr.state, then, "{peer_window}");
    }
}

/// §5.3.4.1, §5.3.4.4: 200 ms and a round from when half of the product is under way; then the window is as it was, and the
/// short-term bounds are gone.
#[test]
fn probe_rtt_lasts_200_ms_and_a_round() {
    for (reached, then) in [(true, State::Cruise), (false, State::Startup)] {
        let mut bbr = known(State::Cruise);
        (bbr.min_rtt.expired, bbr.full_pipe.reached, bbr.bw_shortterm) = (true, reached, 10_000_000);
        let mut is_over = |millis, in_flight, round_start| {
            bbr.rounds.start = round_start;
            bbr.check_probe_rtt(&Sample { now: after(millis), in_flight, newly_acked: MSS, ..sample() });
            bbr.min_rtt.expired = false;
            bbr.cwnd = bbr.cwnd.min(if bbr.state == State::ProbeRtt { 200_000 } else { u32::MAX });
            bbr.state != State::ProbeRtt
        };
        assert!(!is_over(0, 200_001, true) && !is_over(300, 200_001, true), "too much is under way");
        assert!(!is_over(1_000, 200_000, true));
        assert!(!is_over(1_300, 200_000, false), "no round");
        assert!(!is_over(1_100, 200_000, true) && !is_over(1_200, 200_000, false));
        assert!(is_over(1_201, 200_000, false));
        assert_eq!((bbr.state, bbr.window(), bbr.bw_shortterm), (then, 800_000, INFINITE));
    }
}

/// §5.4.1: idleness ends a ProbeRTT that has lasted long enough; in ProbeBW it leaves the pace at the bandwidth, in the other
/// states as it was.
#[test]
fn idleness_ends_probe_rtt() {
    for (state, millis, then, pace) in [
        (State::ProbeRtt, 201, State::Cruise, 5_000_000),
        (State::ProbeRtt, 200, State::ProbeRtt, 5_000_000),
        (State::Drain, 201, State::Drain, 5_000_000),
        (State::Up, 201, State::Up, 9_900_000),
    ] {
        let mut bbr = known(state);
        (bbr.probe_rtt_done, bbr.pacing_rate) = (Some(after(200)), Some(5_000_000));
        bbr.on_idle(ms(100), ms(200), None, after(millis));
        assert_eq!((bbr.state, bbr.pacing_rate), (then, Some(pace)), "{state:?} {millis}");
    }
}
