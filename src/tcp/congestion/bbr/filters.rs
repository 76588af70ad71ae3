//! What BBR measures (§5.5): bandwidth, round trip, aggregation, a full pipe, the delivery of the latest round.

use super::Sample;
use crate::base::time::{Duration, Instant};

/// No path is faster: 8 Tbit/s. It keeps hostile samples within the arithmetic.
pub const MAX_RATE: u64 = 1 << 40;
/// BBR.MinRTTFilterLen.
const MIN_RTT_FILTER: Duration = Duration::from_secs(10);
/// BBR.ProbeRTTInterval.
const PROBE_RTT_INTERVAL: Duration = Duration::from_secs(5);
/// Half of BBR.ExtraAckedFilterLen, in rounds.
const EXTRA_ACKED_ROUNDS: u64 = 5;
/// Rounds without 25 % more of bandwidth that mean a full pipe.
const FULL_ROUNDS: u32 = 3;

/// Round trips counted by what is delivered (§5.5.1).
#[derive(Clone, Debug, Default)]
pub struct Rounds {
    /// C.delivered.
    pub delivered: u64,
    /// A round began with this acknowledgement.
    pub start: bool,
    /// Rounds so far.
    pub count: u64,
    next_round_delivered: u64,
}

impl Rounds {
    /// UpdateRound, for the newest packet that is acknowledged.
    pub fn update(&mut self, prior_delivered: u64) {
        self.start = prior_delivered >= self.next_round_delivered;
        if self.start {
            self.restart();
            self.count += 1;
        }
    }

    /// StartRound: the round ends with what is sent from now on.
    pub fn restart(&mut self) {
        self.next_round_delivered = self.delivered;
    }
}

/// BBR.max_bw: the largest rate of this cycle of ProbeBW and the last (§5.5.3).
#[derive(Clone, Debug, Default)]
pub struct MaxBandwidth {
    cycles: [u64; 2],
}

impl MaxBandwidth {
    /// Bytes per second.
    pub fn get(&self) -> u64 {
        self.cycles[0].max(self.cycles[1])
    }

    /// A rate that tells something of the path.
    pub fn update(&mut self, rate: u64) {
        self.cycles[1] = self.cycles[1].max(rate);
    }

    /// AdvanceMaxBwFilter: the next cycle. One without a rate is none.
    pub fn advance(&mut self) {
        if self.cycles[1] > 0 {
            self.cycles = [self.cycles[1], 0];
        }
    }
}

/// BBR.min_rtt, and the shorter memory that schedules ProbeRTT (§5.3.4.3, §5.5.7).
#[derive(Clone, Debug, Default)]
pub struct MinRtt {
    shortest: Option<Duration>,
    stamp: Instant,
    /// BBR.probe_rtt_min_delay and BBR.probe_rtt_min_stamp.
    recent: Option<Duration>,
    recent_stamp: Instant,
    /// BBR.probe_rtt_expired: the recent one was not seen again for 5 s.
    pub expired: bool,
}

impl MinRtt {
    /// The clocks start.
    pub fn begin(&mut self, now: Instant) {
        (self.stamp, self.recent_stamp) = (now, now);
    }

    /// The round trip without a queue, as far as is known.
    pub fn get(&self) -> Option<Duration> {
        self.shortest
    }

    /// UpdateMinRTT.
    pub fn update(&mut self, rtt: Option<Duration>, now: Instant) {
        self.expired = now > self.recent_stamp + PROBE_RTT_INTERVAL;
        if let Some(rtt) = rtt
            && (self.expired || self.recent.is_none_or(|recent| rtt < recent))
        {
            (self.recent, self.recent_stamp) = (Some(rtt), now);
        }
        let Some(recent) = self.recent else { return };
        let old = now > self.stamp + MIN_RTT_FILTER;
        if old || self.shortest.is_none_or(|shortest| recent < shortest) {
            (self.shortest, self.stamp) = (Some(recent), self.recent_stamp);
        }
    }

    /// ProbeRTT is done: the next one in 5 s.
    pub fn probed(&mut self, now: Instant) {
        self.recent_stamp = now;
    }
}

/// BBR.extra_acked: how much more than expected is acknowledged at once (§5.5.9).
#[derive(Clone, Debug, Default)]
pub struct Aggregation {
    interval_start: Instant,
    delivered: u64,
    /// The largest of these rounds, and of those before.
    most: [u64; 2],
    since_round: u64,
}

impl Aggregation {
    /// Bytes.
    pub fn extra_acked(&self) -> u64 {
        self.most[0].max(self.most[1])
    }

    /// A new interval after idleness.
    pub fn restart(&mut self, now: Instant) {
        self.interval_start = now;
        self.delivered = 0;
    }

    /// UpdateACKAggregation: `bw` bytes per second were expected; `reached` if the pipe was ever full.
    pub fn update(&mut self, sample: &Sample, bw: u64, cwnd: u64, reached: bool, round: u64) {
        let window = if reached { EXTRA_ACKED_ROUNDS } else { 1 };
        if round.saturating_sub(self.since_round) >= window {
            self.since_round = round;
            self.most = [0, if reached { self.most[0] } else { 0 }];
        }
        let interval = sample.now.since(self.interval_start);
        let expected = u128::from(bw) * interval.as_nanos() / 1_000_000_000;
        let mut expected = expected.min(u128::from(u64::MAX)) as u64;
        if self.delivered <= expected {
            self.restart(sample.now);
            expected = 0;
        }
        self.delivered = self.delivered.saturating_add(sample.newly_acked);
        self.most[0] = self.most[0].max(self.delivered.saturating_sub(expected).min(cwnd));
    }
}

/// The estimate whether the pipe is full (§5.3.1.2).
#[derive(Clone, Debug, Default)]
pub struct FullPipe {
    /// BBR.full_bw: the rate to exceed.
    bw: u64,
    count: u32,
    /// BBR.full_bw_now: full since the search began.
    pub now: bool,
    /// BBR.full_bw_reached: it was full once.
    pub reached: bool,
}

impl FullPipe {
    /// ResetFullBW, with a rate to begin from.
    pub fn reset(&mut self, bw: u64) {
        (self.bw, self.count, self.now) = (bw, 0, false);
    }

    /// CheckFullBWReached.
    pub fn update(&mut self, sample: &Sample, round_start: bool) {
        if self.now || !round_start || sample.app_limited {
            return;
        }
        if sample.rate >= self.bw.saturating_add(self.bw / 4) {
            return self.reset(sample.rate);
        }
        self.count += 1;
        self.now = self.count >= FULL_ROUNDS;
        self.reached |= self.now;
    }
}

/// What the latest round delivered, and whether it lost (§5.5.10.3).
#[derive(Clone, Debug, Default)]
pub struct Signals {
    /// BBR.is_loss_in_round.
    pub loss_in_round: bool,
    /// The round in which losses are counted ends with what is sent after so much is delivered.
    pub loss_round_delivered: u64,
    /// It ended with this acknowledgement.
    pub loss_round_start: bool,
    /// The largest rate of the round.
    pub bw_latest: u64,
    /// The largest volume delivered in a round trip.
    pub inflight_latest: u64,
    /// Acknowledgements of the round that found losses.
    pub loss_events: u32,
}

impl Signals {
    /// UpdateLatestDeliverySignals.
    pub fn update(&mut self, sample: &Sample, delivered: u64) {
        self.bw_latest = self.bw_latest.max(sample.rate);
        self.inflight_latest = self.inflight_latest.max(sample.delivered);
        self.loss_round_start = sample.prior_delivered >= self.loss_round_delivered;
        if self.loss_round_start {
            self.loss_round_delivered = delivered;
        }
    }

    /// AdvanceLatestDeliverySignals.
    pub fn advance(&mut self, sample: &Sample) {
        if self.loss_round_start {
            (self.bw_latest, self.inflight_latest) = (sample.rate, sample.delivered);
        }
    }

    /// ResetCongestionSignals.
    pub fn reset(&mut self) {
        self.loss_in_round = false;
        (self.bw_latest, self.inflight_latest) = (0, 0);
    }
}
