//! Delivery-rate samples (draft-ietf-ccwg-bbr, "delivery rate samples"): each transmission remembers how far delivery was when it left;
//! its acknowledgement tells how much was delivered since, and in what time.

use crate::base::time::{Duration, Instant};

use super::congestion::RateSample;
use super::delivered::Newest;

/// What a transmission remembers of the moment it left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Departure {
    /// Bytes delivered in all.
    delivered: u64,
    /// When that was.
    delivered_at: Instant,
    /// When the first transmission of the window was sent that this one belongs to.
    first_sent_at: Instant,
    /// Bytes under way, this transmission included.
    in_flight: u32,
    /// Bytes found lost in all, modulo 2³².
    lost: u32,
    /// There was too little to send.
    app_limited: bool,
}

/// How far delivery is; from the first byte under way to the last.
#[derive(Debug, Default)]
pub struct Delivery {
    total: u64,
    at: Instant,
    first_sent_at: Instant,
    lost: u32,
    /// Until so much is delivered, samples are limited by the application.
    app_limited_until: u64,
    /// When so much is delivered, a round trip has ended.
    next_round: u64,
}

impl Delivery {
    /// The first transmission leaves after nothing was under way, with `total` bytes delivered before. Until something of it arrives
    /// the application counts as the limit: it had nothing to send.
    pub const fn starting(total: u64, now: Instant) -> Self {
        Delivery {
            total,
            at: now,
            first_sent_at: now,
            lost: 0,
            app_limited_until: total + 1,
            next_round: total,
        }
    }

    /// A transmission leaves; `in_flight` bytes are under way with it.
    pub fn depart(&self, in_flight: u32) -> Departure {
        Departure {
            delivered: self.total,
            delivered_at: self.at,
            first_sent_at: self.first_sent_at,
            in_flight,
            lost: self.lost,
            app_limited: self.app_limited_until > self.total,
        }
    }

    /// There is too little to send to fill the window: what is delivered until all of `in_flight` has arrived says nothing about
    /// what the path carries.
    pub fn limit_by_application(&mut self, in_flight: u32) {
        self.app_limited_until = (self.total + u64::from(in_flight)).max(1);
    }

    /// `bytes` were found lost.
    pub fn lose(&mut self, bytes: u32) {
        self.lost = self.lost.wrapping_add(bytes);
    }

    /// `bytes` were delivered, `newest` sent last of them: the sample, unless the interval is shorter than any round trip, and
    /// whether a round trip has ended.
    pub fn deliver(
        &mut self,
        bytes: u32,
        newest: Option<Newest>,
        min_rtt: Option<Duration>,
        now: Instant,
    ) -> (Option<RateSample>, bool) {
        if bytes == 0 {
            return (None, false);
        }
        self.total += u64::from(bytes);
        self.at = now;
        let Some(Newest { sent_at, departure, .. }) = newest else { return (None, false) };
        self.first_sent_at = sent_at;
        let round_ended = departure.delivered >= self.next_round;
        if round_ended {
            self.next_round = self.total;
        }
        let interval = sent_at.since(departure.first_sent_at).max(now.since(departure.delivered_at));
        let sample = RateSample {
            delivered: (self.total - departure.delivered).min(u64::from(u32::MAX)) as u32,
            interval,
            prior_delivered: departure.delivered,
            total_delivered: self.total,
            tx_in_flight: departure.in_flight,
            lost: self.lost.wrapping_sub(departure.lost),
            app_limited: departure.app_limited,
        };
        let plausible = !interval.is_zero() && min_rtt.is_none_or(|min| interval >= min);
        (plausible.then_some(sample), round_ended)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::seq::SeqNum;

    fn newest(sent_at: Instant, departure: Departure) -> Option<Newest> {
        Some(Newest { sent_at, end: SeqNum(0), departure })
    }

    /// draft-ietf-ccwg-bbr: 10 kB delivered over the 100 ms since the transmission left are 100 kB/s.
    #[test]
    fn a_sample_is_what_was_delivered_since_the_newest_left() {
        let at = Instant::from_millis;
        let mut delivery = Delivery::starting(500, at(0));
        let first = delivery.depart(10_000);
        let (sample, ended) = delivery.deliver(10_000, newest(at(0), first), None, at(100));
        let sample = sample.unwrap();
        assert_eq!((sample.delivered, sample.rate(), sample.app_limited), (10_000, 100_000, true));
        assert!(ended);
        // Sent at once in the next window: the round has not ended for what left before that.
        let second = delivery.depart(20_000);
        assert!(!delivery.deliver(1_000, newest(at(0), first), None, at(110)).1);
        assert!(delivery.deliver(1_000, newest(at(100), second), None, at(200)).1);
    }

    /// The slower of sending and acknowledging counts: acknowledgements that come in a bunch show no higher rate.
    #[test]
    fn compressed_acknowledgements_do_not_raise_the_rate() {
        let at = Instant::from_millis;
        let mut delivery = Delivery::starting(0, at(0));
        let departures: Vec<_> = (0..10).map(|i| (at(i * 10), delivery.depart(1_000))).collect();
        let mut rates = departures.into_iter().filter_map(|(sent, departure)| {
            delivery.deliver(1_000, newest(sent, departure), None, at(200)).0.map(|sample| sample.rate())
        });
        assert!(rates.all(|rate| rate <= 100_000));
    }

    #[test]
    fn samples_of_an_idle_application_are_marked() {
        let at = Instant::from_millis;
        let mut delivery = Delivery::starting(0, at(0));
        let marked = delivery.depart(1_000);
        assert!(delivery.deliver(1_000, newest(at(0), marked), None, at(10)).0.unwrap().app_limited);
        let free = delivery.depart(1_000);
        assert!(!delivery.deliver(1_000, newest(at(10), free), None, at(20)).0.unwrap().app_limited);
    }

    /// draft-ietf-ccwg-bbr: a flight that was all there was to send says nothing until all of it has arrived.
    #[test]
    fn a_flight_that_was_all_there_was_is_marked_to_its_end() {
        let at = Instant::from_millis;
        let mut delivery = Delivery::starting(500, at(0));
        let first = delivery.depart(4_000);
        delivery.deliver(1_000, newest(at(0), first), None, at(10));
        delivery.limit_by_application(3_000);
        delivery.deliver(2_000, newest(at(0), first), None, at(20));
        let marked = delivery.depart(1_000);
        delivery.deliver(1_000, newest(at(0), first), None, at(30));
        let free = delivery.depart(1_000);
        let mut limited = |departure| {
            let (sample, _) = delivery.deliver(500, newest(at(30), departure), None, at(40));
            sample.unwrap().app_limited
        };
        assert_eq!((limited(marked), limited(free)), (true, false));
    }

    /// draft-ietf-ccwg-bbr: a sample tells what was lost in its time; in less than the shortest round trip nothing can be measured.
    #[test]
    fn a_sample_counts_losses_and_needs_a_round_trip() {
        let at = Instant::from_millis;
        let mut delivery = Delivery::starting(0, at(0));
        delivery.lose(700);
        let departure = delivery.depart(3_000);
        delivery.lose(1_000);
        let mut sample = |min, now| {
            delivery.deliver(1_000, newest(at(0), departure), min, at(now)).0.map(|sample| sample.lost)
        };
        assert_eq!(sample(None, 0), None, "no time has passed");
        assert_eq!(sample(Some(Duration::from_millis(11)), 10), None);
        assert_eq!(sample(Some(Duration::from_millis(10)), 10), Some(1_000));
    }
}
