//! Slow start that ends before a queue overflows: HyStart++ (RFC 9406), and the HyStart that Linux has had since 2.6.29.
//!
//! Round trips are counted by the sender (`Ack::round_ended`); the window is the algorithm's that asks. Only the initial slow start
//! is watched (RFC 9406 §4.3): later ones know a threshold. L, the segments that one acknowledgement may add, is unbounded (RFC 9406
//! §4.2 recommends 8 without pacing): receivers of super-segments acknowledge 64 KiB at once.

use super::Ack;
use crate::base::time::{Duration, Instant};

/// What ends the initial slow start of CUBIC besides a loss.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HyStart {
    /// Nothing.
    Off,
    /// A train of acknowledgements as long as half a round trip: the first of Linux's two heuristics (`hystart_detect` 1).
    AckTrain,
    /// A round trip that became longer: the second of them (`hystart_detect` 2).
    Delay,
    /// Both of them, as Linux by default (`hystart_detect` 3).
    Classic,
    /// A round trip that became longer, found again after some rounds of slower growth (RFC 9406).
    PlusPlus,
}

/// Samples of the round-trip time in a round before it counts.
const N_RTT_SAMPLE: u16 = 8;
/// Conservative rounds before slow start is over.
const CSS_ROUNDS: u8 = 5;
/// An increase by an eighth of the round trip counts, within these limits (RttThresh).
const MIN_RTT_DIVISOR: u32 = 8;
const MIN_RTT_THRESH: Duration = Duration::from_millis(4);
const MAX_RTT_THRESH: Duration = Duration::from_millis(16);
/// Growth of conservative slow start, as a part of that of slow start.
const CSS_GROWTH_DIVISOR: u32 = 4;
/// Linux: below this window, in segments, nothing is looked for.
const LOW_WINDOW: u32 = 16;
/// Linux: acknowledgements no further apart belong to one train.
const ACK_DELTA: Duration = Duration::from_millis(2);
/// Linux: what segmentation offload may add to a train, at most.
const MAX_ACK_DELAY: Duration = Duration::from_millis(1);

/// A round trip in nanoseconds, or [`UNKNOWN`]. More than four seconds are taken for so long: nothing here tells them apart.
type Rtt = u32;
const UNKNOWN: Rtt = u32::MAX;

/// The search of one connection, while its initial slow start lasts; a connection that carried little data keeps it for ever, so it
/// is small.
#[derive(Clone, Debug)]
pub struct Search {
    /// The shortest round trip of this round.
    shortest: Rtt,
    /// Its samples so far.
    samples: u16,
    how: How,
}

#[derive(Clone, Debug)]
enum How {
    PlusPlus {
        /// The shortest round trip of the last round.
        last_round: Rtt,
        /// Of conservative slow start: what was too long; [`UNKNOWN`] outside of it.
        css_baseline: Rtt,
        /// And the rounds since.
        css_rounds: u8,
    },
    Classic {
        train: bool,
        delay: bool,
        round_began: Instant,
        /// How long the train is that began with it, up to its last acknowledgement.
        train_length: Rtt,
    },
}

impl Search {
    /// A search that begins at `now`; none where there is nothing to look for.
    pub fn new(kind: HyStart, now: Instant) -> Option<Self> {
        let classic = |train, delay| How::Classic { train, delay, round_began: now, train_length: 0 };
        let how = match kind {
            HyStart::Off => return None,
            HyStart::AckTrain => classic(true, false),
            HyStart::Delay => classic(false, true),
            HyStart::Classic => classic(true, true),
            HyStart::PlusPlus => How::PlusPlus { last_round: UNKNOWN, css_baseline: UNKNOWN, css_rounds: 0 },
        };
        Some(Search { shortest: UNKNOWN, samples: 0, how })
    }

    /// An acknowledgement came in slow start with a window of `cwnd` bytes: by how many bytes the window may grow, or nothing if
    /// slow start is over.
    pub fn on_ack(&mut self, ack: &Ack, cwnd: u32) -> Option<u32> {
        if ack.round_ended && self.end_round(ack.now) {
            return None;
        }
        if let Some(rtt) = ack.rtt {
            self.shortest = self.shortest.min(nanos(rtt));
            // Where segments are joined on the way an acknowledgement stands for many: it counts as those that a receiver would have
            // sent for every second segment. Else a round of few would never tell anything.
            let joined = (ack.delivered / 2 / ack.mss.max(1)).max(1);
            self.samples = self.samples.saturating_add(joined.min(u32::from(u16::MAX)) as u16);
        }
        match self.how {
            How::PlusPlus { .. } => Some(self.plus_plus(ack)),
            How::Classic { .. } => (!self.classic(ack, cwnd)).then_some(ack.delivered),
        }
    }

    /// True if slow start ends with the round.
    fn end_round(&mut self, now: Instant) -> bool {
        let shortest = std::mem::replace(&mut self.shortest, UNKNOWN);
        self.samples = 0;
        match &mut self.how {
            How::PlusPlus { last_round, css_baseline, css_rounds } => {
                *last_round = shortest;
                // §4.2: the round in which it began counts, too.
                *css_rounds = if *css_baseline == UNKNOWN { 0 } else { css_rounds.saturating_add(1) };
                *css_rounds >= CSS_ROUNDS
            }
            How::Classic { round_began, train_length, .. } => {
                (*round_began, *train_length) = (now, 0);
                false
            }
        }
    }

    fn plus_plus(&mut self, ack: &Ack) -> u32 {
        let How::PlusPlus { last_round, css_baseline, css_rounds } = &mut self.how else {
            return ack.delivered;
        };
        let shortest = known(self.shortest).filter(|_| self.samples >= N_RTT_SAMPLE);
        match (shortest, known(*css_baseline), known(*last_round)) {
            // §4.2: the round trip is shorter again: jitter was taken for a queue, and slow start resumes.
            (Some(shortest), Some(baseline), _) if shortest < baseline => *css_baseline = UNKNOWN,
            // §4.2: longer than that of the last round by RttThresh: perhaps a queue.
            (Some(shortest), None, Some(last)) if shortest >= last.saturating_add(threshold(last)) => {
                (*css_baseline, *css_rounds) = (nanos(shortest), 0);
            }
            _ => {}
        }
        if *css_baseline == UNKNOWN { ack.delivered } else { ack.delivered / CSS_GROWTH_DIVISOR }
    }

    /// True if slow start is over.
    fn classic(&mut self, ack: &Ack, cwnd: u32) -> bool {
        let (Some(min_rtt), How::Classic { train, delay, round_began, train_length }) =
            (ack.min_rtt, &mut self.how)
        else {
            return false;
        };
        if cwnd / LOW_WINDOW < ack.mss {
            return false;
        }
        let mut found = false;
        let passed = ack.now.since(*round_began);
        if *train && passed <= Duration::from_nanos((*train_length).into()) + ACK_DELTA {
            *train_length = nanos(passed);
            found = passed > min_rtt.saturating_add(ack_delay(min_rtt, cwnd)) / 2;
        }
        if *delay && self.samples > N_RTT_SAMPLE {
            let limit = min_rtt.saturating_add(threshold(min_rtt));
            found |= known(self.shortest).is_some_and(|shortest| shortest > limit);
        }
        found
    }
}

fn nanos(rtt: Duration) -> Rtt {
    rtt.as_nanos().min(u128::from(UNKNOWN - 1)) as Rtt
}

fn known(rtt: Rtt) -> Option<Duration> {
    (rtt != UNKNOWN).then(|| Duration::from_nanos(rtt.into()))
}

/// By how much a round trip has to be longer than `rtt`.
fn threshold(rtt: Duration) -> Duration {
    (rtt / MIN_RTT_DIVISOR).clamp(MIN_RTT_THRESH, MAX_RTT_THRESH)
}

/// The time that four super-segments take at twice the window per round trip: so late may an acknowledgement be for its having
/// been sent as a part of one.
fn ack_delay(min_rtt: Duration, cwnd: u32) -> Duration {
    let micros = (min_rtt.as_micros() * 2 * 65_536) / u128::from(cwnd.max(1));
    MAX_ACK_DELAY.min(Duration::from_micros(micros.min(1_000) as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MSS: u32 = 1000;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Round after round of eight samples each, as long as told; by how much the last acknowledgement of each grows the
    /// window.
    fn rounds(search: &mut Search, rtts: &[u64]) -> Vec<Option<u32>> {
        let mut growths = Vec::new();
        for &rtt in rtts {
            for n in 0..N_RTT_SAMPLE {
                let ack = Ack { rtt: Some(ms(rtt)), round_ended: n == 0, ..Ack::of(MSS, MSS) };
                let growth = search.on_ack(&ack, 100 * MSS);
                if n + 1 == N_RTT_SAMPLE || growth.is_none() {
                    growths.push(growth);
                }
            }
        }
        growths
    }

    #[test]
    fn a_search_takes_24_bytes() {
        assert_eq!(size_of::<Search>(), 24);
    }

    const SLOW_START: Option<u32> = Some(MSS);
    const CONSERVATIVE: Option<u32> = Some(MSS / 4);

    fn plus_plus() -> Search {
        Search::new(HyStart::PlusPlus, Instant::ZERO).unwrap()
    }

    /// RFC 9406 §4.2: an eighth of the round trip counts as an increase, at least 4 ms and at most 16 ms.
    #[test]
    fn the_threshold_is_an_eighth_within_limits() {
        assert_eq!([8, 80, 1_000].map(|rtt| threshold(ms(rtt))), [ms(4), ms(10), ms(16)]);
        assert_eq!(rounds(&mut plus_plus(), &[80, 89, 98]), [SLOW_START; 3]);
        assert_eq!(rounds(&mut plus_plus(), &[80, 90]), [SLOW_START, CONSERVATIVE]);
    }

    /// RFC 9406 §4.2: fewer than N_RTT_SAMPLE samples say nothing.
    #[test]
    fn seven_samples_say_nothing() {
        let mut search = plus_plus();
        rounds(&mut search, &[20]);
        for n in 0..7 {
            let ack = Ack { rtt: Some(ms(60)), round_ended: n == 0, ..Ack::of(MSS, MSS) };
            assert_eq!(search.on_ack(&ack, 100 * MSS), SLOW_START);
        }
        let ack = Ack { rtt: Some(ms(60)), ..Ack::of(MSS, MSS) };
        assert_eq!(search.on_ack(&ack, 100 * MSS), CONSERVATIVE);
    }

    /// An acknowledgement of sixteen joined segments counts as the eight that would have come for them otherwise.
    #[test]
    fn joined_acknowledgements_count_by_what_they_cover() {
        let mut search = plus_plus();
        rounds(&mut search, &[20]);
        let ack = Ack { rtt: Some(ms(60)), round_ended: true, ..Ack::of(16 * MSS, MSS) };
        assert_eq!(search.on_ack(&ack, 100 * MSS), Some(16 * MSS / CSS_GROWTH_DIVISOR));
    }

    /// RFC 9406 §4.2: after CSS_ROUNDS rounds, the one in which it began among them, slow start is over.
    #[test]
    fn five_conservative_rounds_end_slow_start() {
        let found = rounds(&mut plus_plus(), &[20, 30, 31, 32, 33, 34]);
        assert_eq!(found, [SLOW_START, CONSERVATIVE, CONSERVATIVE, CONSERVATIVE, CONSERVATIVE, CONSERVATIVE]);
        let found = rounds(&mut plus_plus(), &[20, 30, 31, 32, 33, 34, 35]);
        assert_eq!(found.get(6), Some(&None));
    }

    /// RFC 9406 §4.2: a round trip below the one that began conservative slow start resumes slow start, and the next increase
    /// begins it anew.
    #[test]
    fn a_false_alarm_resumes_slow_start() {
        let found = rounds(&mut plus_plus(), &[20, 30, 29, 29, 40, 41]);
        assert_eq!(found, [SLOW_START, CONSERVATIVE, SLOW_START, SLOW_START, CONSERVATIVE, CONSERVATIVE]);
    }

    /// A round trip that grows by less than the threshold in each round is not found.
    #[test]
    fn an_increase_is_measured_against_the_last_round() {
        assert_eq!(rounds(&mut plus_plus(), &[20, 23, 26, 29]), [SLOW_START; 4]);
    }

    /// A round trip longer than is told apart is a long one, not an unknown one.
    #[test]
    fn more_than_four_seconds_are_long() {
        assert_eq!(rounds(&mut plus_plus(), &[1_000, 5_000]), [SLOW_START, CONSERVATIVE]);
    }

    fn classic(kind: HyStart, acks: impl IntoIterator<Item = (u64, u64)>, cwnd: u32) -> Option<u64> {
        classic_above(50, kind, acks, cwnd)
    }

    /// When slow start ends, the shortest round trip being `least` ms.
    fn classic_above(
        least: u64,
        kind: HyStart,
        acks: impl IntoIterator<Item = (u64, u64)>,
        cwnd: u32,
    ) -> Option<u64> {
        let mut search = Search::new(kind, Instant::ZERO).unwrap();
        acks.into_iter().find_map(|(at, rtt)| {
            let (now, min_rtt) = (Instant::from_millis(at), Some(ms(least)));
            let ack = Ack { now, min_rtt, rtt: Some(ms(rtt)), ..Ack::of(MSS, MSS) };
            search.on_ack(&ack, cwnd).is_none().then_some(at)
        })
    }

    /// Linux: acknowledgements at most 2 ms apart for more than half of the shortest round trip (and half a millisecond).
    #[test]
    fn a_train_of_half_a_round_trip_ends_slow_start() {
        let train = || (0..50).map(|at| (at, 50));
        assert_eq!(classic(HyStart::AckTrain, train(), 32 * MSS), Some(26));
        assert_eq!(classic(HyStart::Classic, train(), 32 * MSS), Some(26));
        assert_eq!(classic(HyStart::Delay, train(), 32 * MSS), None);
        assert_eq!(classic(HyStart::AckTrain, train(), 15 * MSS), None);
        let torn = train().filter(|(at, _)| !(10..13).contains(at));
        assert_eq!(classic(HyStart::AckTrain, torn, 32 * MSS), None);
    }

    /// Linux: after eight samples the shortest of the round decides, an eighth beyond the shortest of all.
    #[test]
    fn a_longer_round_trip_ends_slow_start() {
        let slower = || (0..20).map(|at| (at * 5, 57));
        assert_eq!(classic(HyStart::Delay, slower(), 16 * MSS), Some(40));
        assert_eq!(classic(HyStart::Classic, slower(), 16 * MSS), Some(40));
        assert_eq!(classic(HyStart::AckTrain, slower(), 16 * MSS), None);
        assert_eq!(classic(HyStart::Delay, (0..20).map(|at| (at * 5, 56)), 16 * MSS), None);
        assert_eq!(classic(HyStart::Delay, slower(), 15 * MSS), None);
    }

    /// Linux: either heuristic wants more than its limit, not as much.
    #[test]
    fn as_much_as_the_limit_is_not_beyond_it() {
        let train = (0..50).map(|at| (at, 49));
        assert_eq!(classic_above(49, HyStart::AckTrain, train, 32 * MSS), Some(26));
        for (rtt, end) in [(54, None), (55, Some(40))] {
            let slower = (0..20).map(|at| (at * 5, rtt));
            assert_eq!(classic_above(48, HyStart::Delay, slower, 32 * MSS), end);
        }
    }

    /// Linux: four super-segments at twice the window per round trip make an acknowledgement late, at most a millisecond.
    #[test]
    fn segmentation_offload_makes_acknowledgements_late() {
        for (min_rtt, cwnd, micros) in [(50, 32_000, 1_000), (50, 65_536_000, 100), (10, 6_553_600, 200)] {
            assert_eq!(ack_delay(ms(min_rtt), cwnd), Duration::from_micros(micros));
        }
    }
}
