//! Round-trip time and retransmission timeout (RFC 6298), with the floor under the variance term instead of the whole.

use crate::base::time::{Duration, Instant};

use super::config::TcpConfig;
use super::delivered::Delivered;
use super::tcb::Tcb;

/// The shortest round trip is forgotten after so many seconds: the path may have changed (Linux alike).
const MIN_RTT_LIFETIME: u16 = 300;

/// The estimator of RFC 6298 §2. Times are kept in nanoseconds, the shortest in
/// microseconds; zero means "not measured".
#[derive(Clone, Debug, Default)]
pub struct RttEstimator {
    srtt: u64,
    rttvar: u64,
    min_rtt: u32,
    /// When that was measured, in seconds modulo 2¹⁶.
    min_at: u16,
    /// Doublings since the last acknowledgement of new data (RFC 6298 §5.5).
    pub backoff: u8,
    /// The SYN was retransmitted: the first timeout is 3 s until a measurement (RFC 6298 §5.7).
    pub syn_retransmitted: bool,
}

impl RttEstimator {
    /// Takes a measurement; Karn's rule (RFC 6298 §3, MUST-18) is its caller's, who knows what was sent twice.
    pub fn sample(&mut self, rtt: Duration, now: Instant) {
        let micros = rtt.as_micros().clamp(1, u128::from(u32::MAX)) as u32;
        let rtt = rtt.as_nanos().clamp(1, u128::from(u64::MAX / 8)) as u64;
        if self.srtt == 0 {
            // RFC 6298 §2.2.
            self.srtt = rtt;
            self.rttvar = rtt / 2;
        } else {
            // RFC 6298 §2.3: beta 1/4, alpha 1/8; RTTVAR first, from the old SRTT.
            self.rttvar = self.rttvar - self.rttvar / 4 + self.srtt.abs_diff(rtt) / 4;
            self.srtt = (self.srtt - self.srtt / 8 + rtt / 8).max(1);
        }
        let now = (now.as_millis() / 1_000) as u16;
        let expired = now.wrapping_sub(self.min_at) > MIN_RTT_LIFETIME;
        if self.min_rtt == 0 || expired || micros <= self.min_rtt {
            (self.min_rtt, self.min_at) = (micros, now);
        }
    }

    /// The retransmission timeout, back-off included.
    pub fn rto(&self, config: &TcpConfig) -> Duration {
        let base = if self.srtt > 0 {
            let variance = Duration::from_nanos(self.rttvar.saturating_mul(4));
            Duration::from_nanos(self.srtt) + variance.max(config.min_rto)
        } else if self.syn_retransmitted {
            config.initial_rto * 3
        } else {
            config.initial_rto
        };
        base.saturating_mul(1 << self.backoff.min(20)).min(config.max_rto)
    }

    /// The smoothed round-trip time, if measured.
    pub fn srtt(&self) -> Option<Duration> {
        (self.srtt > 0).then(|| Duration::from_nanos(self.srtt))
    }

    /// The round-trip time's variation, if measured.
    pub fn rttvar(&self) -> Option<Duration> {
        (self.srtt > 0).then(|| Duration::from_nanos(self.rttvar))
    }

    /// The shortest round trip of the last minutes.
    pub fn min_rtt(&self) -> Option<Duration> {
        (self.min_rtt > 0).then(|| Duration::from_micros(self.min_rtt.into()))
    }
}

impl Tcb {
    /// Measures the round trip of what is acknowledged now: by the time it was sent, if all of it was sent once (Karn's rule).
    /// Otherwise by the echoed timestamp, unless that is older than the retransmission: then it echoes the original, whose
    /// acknowledgement was lost, and says how long the timeout was and not the round trip (RFC 7323 §4.1). What only SACK reports
    /// measures, too, if `newer` data is not acknowledged. A measurement ends the back-off (RFC 6298 §5.7).
    pub fn measure(&mut self, delivered: &Delivered, newer: bool, echoed: Option<u32>, now: Instant) {
        let sent_at = if newer { delivered.sent_at } else { delivered.sacked_at };
        let rtt = match (delivered.retransmitted_at, sent_at) {
            (None, Some(sent_at)) => now.since(sent_at),
            (Some(again), _) => {
                let Some(ecr) = echoed.filter(|_| self.agreed.timestamps) else { return };
                let elapsed = u64::from(self.ts_now(now).wrapping_sub(ecr));
                if elapsed > now.as_millis().saturating_sub(again.as_millis()) {
                    return;
                }
                Duration::from_millis(elapsed.max(1))
            }
            (None, None) => return,
        };
        self.rtt.sample(rtt, now);
        self.rtt.backoff = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    /// RFC 6298 §2.1 and §5.7.
    #[test]
    fn before_a_measurement_the_timeout_is_one_second_or_three_after_a_lost_syn() {
        let (config, mut rtt) = (TcpConfig::default(), RttEstimator::default());
        assert_eq!(rtt.rto(&config), MS(1000));
        assert_eq!((rtt.srtt(), rtt.rttvar(), rtt.min_rtt()), (None, None, None));
        rtt.syn_retransmitted = true;
        assert_eq!(rtt.rto(&config), MS(3000));
        rtt.sample(MS(10), Instant::ZERO);
        assert_eq!(rtt.rto(&config), MS(210));
    }

    /// RFC 6298 §2.2 and §2.3 with numbers worked out by hand; the variance term has a floor of 200 ms.
    #[test]
    fn measurements_are_smoothed_by_an_eighth_and_a_quarter() {
        let (config, mut rtt) = (TcpConfig::default(), RttEstimator::default());
        rtt.sample(MS(800), Instant::ZERO);
        assert_eq!((rtt.srtt(), rtt.rttvar()), (Some(MS(800)), Some(MS(400))));
        assert_eq!(rtt.rto(&config), MS(2400));
        rtt.sample(MS(400), Instant::ZERO);
        assert_eq!((rtt.srtt(), rtt.rttvar()), (Some(MS(750)), Some(MS(400))));
        assert_eq!(rtt.min_rtt(), Some(MS(400)));
        (0..200).for_each(|_| rtt.sample(MS(50), Instant::ZERO));
        assert!(rtt.rto(&config) >= MS(250) && rtt.rto(&config) < MS(252), "{:?}", rtt.rto(&config));
    }

    /// RFC 6298 §5.5 and §2.5: each timeout doubles, up to 120 s.
    #[test]
    fn back_off_doubles_up_to_the_maximum() {
        let (config, mut rtt) = (TcpConfig::default(), RttEstimator::default());
        rtt.sample(MS(100), Instant::ZERO);
        let first = rtt.rto(&config);
        rtt.backoff = 1;
        assert_eq!(rtt.rto(&config), first * 2);
        rtt.backoff = u8::MAX;
        assert_eq!(rtt.rto(&config), config.max_rto);
    }

    /// A path that became longer shows after five minutes, one that became shorter at once (RFC 8985 §6.2 step 1).
    #[test]
    fn the_shortest_round_trip_is_that_of_the_last_minutes() {
        let at = |seconds: u64| Instant::from_millis(seconds * 1_000);
        let mut rtt = RttEstimator::default();
        rtt.sample(MS(20), at(70_000));
        rtt.sample(MS(50), at(70_300));
        assert_eq!(rtt.min_rtt(), Some(MS(20)));
        rtt.sample(MS(50), at(70_301));
        assert_eq!(rtt.min_rtt(), Some(MS(50)));
        rtt.sample(MS(30), at(70_302));
        assert_eq!(rtt.min_rtt(), Some(MS(30)));
    }
}
