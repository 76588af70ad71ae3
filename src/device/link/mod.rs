//! One direction of a simulated cable: delay, jitter, rate, queue, loss, duplication, reordering and corruption.
//!
//! A link carries wire packets only. What happens to a packet is decided when it enters the link, by draws from the link's own
//! generator, always in the same order; so a fault on one link never shifts the draws of another.

use std::collections::VecDeque;

use smallvec::SmallVec;

use crate::base::rng::Rng;
use crate::base::time::{Duration, Instant};

/// How long the queue in front of a link may get. What finds it full is dropped (drop-tail).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queue {
    /// This many packets.
    Packets(usize),
    /// This many bytes.
    Bytes(usize),
}

/// What a link does to the packets it carries. Probabilities are from 0 to 1 and drawn for each packet.
#[derive(Clone, Debug, PartialEq)]
pub struct LinkConfig {
    /// The largest IP packet, in bytes; a larger one is dropped.
    pub mtu: usize,
    /// Time from the last bit sent to the packet's arrival.
    pub delay: Duration,
    /// Added to the delay: a draw between zero and this. It does not reorder.
    pub jitter: Duration,
    /// Bits per second; `None` is infinitely fast.
    pub rate: Option<u64>,
    /// What waits while earlier packets are being sent; without a rate nothing waits.
    pub queue: Queue,
    /// Probability that a packet vanishes.
    pub loss: f64,
    /// Probability that a packet arrives twice, the second time somewhat later.
    pub duplicate: f64,
    /// Probability that a packet is held back, so that later ones overtake it.
    pub reorder: f64,
    /// Probability that one byte of a packet is changed. Every checksum of the Internet notices one changed byte.
    pub corrupt: f64,
}

impl Default for LinkConfig {
    /// A perfect link of 10 ms with Ethernet's MTU.
    fn default() -> Self {
        LinkConfig {
            mtu: 1500,
            delay: Duration::from_millis(10),
            jitter: Duration::ZERO,
            rate: None,
            queue: Queue::Packets(1000),
            loss: 0.0,
            duplicate: 0.0,
            reorder: 0.0,
            corrupt: 0.0,
        }
    }
}

/// What became of one copy of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    /// It arrives then.
    Arrives(Instant),
    /// The link lost it.
    Lost,
    /// A filter took it out, see `Network::set_filter`.
    Filtered,
    /// The queue was full.
    QueueFull,
    /// It exceeds the link's MTU.
    TooBig,
}

/// One copy of a packet on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Passage {
    /// What became of it.
    pub fate: Fate,
    /// It is the second copy of a packet that was sent once.
    pub duplicate: bool,
    /// It was held back.
    pub reordered: bool,
    /// The byte at this place was changed, by exclusive or with the value.
    pub corrupted: Option<(usize, u8)>,
}

impl Passage {
    fn stopped(fate: Fate) -> Self {
        Passage { fate, duplicate: false, reordered: false, corrupted: None }
    }
}

/// What a link did so far, in packets but for `bytes`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkCounters {
    /// Handed to the link.
    pub packets: u64,
    /// Bytes of them, IP headers included.
    pub bytes: u64,
    /// Copies that arrive.
    pub delivered: u64,
    /// Lost by a draw.
    pub lost: u64,
    /// Taken out by a filter.
    pub filtered: u64,
    /// Dropped because the queue was full.
    pub queue_full: u64,
    /// Dropped because they exceed the MTU.
    pub too_big: u64,
    /// Second copies.
    pub duplicated: u64,
    /// Held back.
    pub reordered: u64,
    /// Changed.
    pub corrupted: u64,
}

/// Decides for each packet whether the link carries it.
pub type Filter = Box<dyn FnMut(&[u8], Instant) -> bool>;

/// One direction of a cable.
pub struct Link {
    /// What it does to packets from now on.
    pub config: LinkConfig,
    /// Takes packets out.
    pub filter: Option<Filter>,
    counters: LinkCounters,
    rng: Rng,
    /// When the last bit of what is queued will have left.
    free_at: Instant,
    /// The latest arrival of a packet that was not held back: jitter does not overtake it.
    last_arrival: Instant,
    /// Packets not sent yet: when their last bit leaves, and their length.
    waiting: VecDeque<(Instant, usize)>,
    waiting_bytes: usize,
}

impl Link {
    /// A link at rest, whose draws come from `rng`.
    pub fn new(config: LinkConfig, rng: Rng) -> Self {
        Link {
            config,
            filter: None,
            counters: LinkCounters::default(),
            rng,
            free_at: Instant::ZERO,
            last_arrival: Instant::ZERO,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
        }
    }

    /// What the link did so far.
    pub fn counters(&self) -> LinkCounters {
        self.counters
    }

    /// Takes a packet in and tells what becomes of it: one passage, or two for a duplicated one.
    pub fn carry(&mut self, bytes: &[u8], now: Instant) -> SmallVec<[Passage; 2]> {
        let mut passages = SmallVec::new();
        self.counters.packets += 1;
        self.counters.bytes += bytes.len() as u64;
        if bytes.len() > self.config.mtu {
            self.counters.too_big += 1;
            passages.push(Passage::stopped(Fate::TooBig));
            return passages;
        }
        let Some(left_at) = self.enqueue(bytes.len(), now) else {
            self.counters.queue_full += 1;
            passages.push(Passage::stopped(Fate::QueueFull));
            return passages;
        };
        passages.push(self.draw(bytes, left_at, now));
        if self.rng.chance(self.config.duplicate) && matches!(passages[0].fate, Fate::Arrives(_)) {
            self.counters.duplicated += 1;
            self.counters.delivered += 1;
            let at = left_at + self.config.delay + self.hold_back();
            passages.push(Passage { duplicate: true, ..Passage::stopped(Fate::Arrives(at)) });
        }
        passages
    }

    /// Puts a packet into the queue; returns when its last bit will have left, or `None` if there is no room.
    fn enqueue(&mut self, len: usize, now: Instant) -> Option<Instant> {
        while let Some(&(_, sent)) = self.waiting.front().filter(|(left_at, _)| *left_at <= now) {
            self.waiting.pop_front();
            self.waiting_bytes -= sent;
        }
        let full = match self.config.queue {
            Queue::Packets(most) => self.waiting.len() >= most.max(1),
            Queue::Bytes(most) => !self.waiting.is_empty() && self.waiting_bytes + len > most,
        };
        if full {
            return None;
        }
        let nanos = self.config.rate.map_or(0, |rate| len as u64 * 8_000_000_000 / rate.max(1));
        self.free_at = self.free_at.max(now) + Duration::from_nanos(nanos);
        self.waiting.push_back((self.free_at, len));
        self.waiting_bytes += len;
        Some(self.free_at)
    }

    /// Every draw is made for every packet, so that one setting does not change what another draws.
    fn draw(&mut self, bytes: &[u8], left_at: Instant, now: Instant) -> Passage {
        let lost = self.rng.chance(self.config.loss);
        let reordered = self.rng.chance(self.config.reorder);
        let corrupted = self.rng.chance(self.config.corrupt);
        let place = self.rng.below(bytes.len() as u64) as usize;
        let value = 1 + self.rng.below(255) as u8;
        let jitter = Duration::from_nanos(self.rng.below(self.config.jitter.as_nanos() as u64 + 1));
        let held_back = self.hold_back();
        if self.filter.as_mut().is_some_and(|carries| !carries(bytes, now)) {
            self.counters.filtered += 1;
            return Passage::stopped(Fate::Filtered);
        }
        if lost {
            self.counters.lost += 1;
            return Passage::stopped(Fate::Lost);
        }
        let at = left_at + self.config.delay;
        let at = if reordered {
            self.counters.reordered += 1;
            at + held_back
        } else {
            self.last_arrival = self.last_arrival.max(at + jitter);
            self.last_arrival
        };
        self.counters.corrupted += u64::from(corrupted);
        self.counters.delivered += 1;
        let corrupted = corrupted.then_some((place, value));
        Passage { fate: Fate::Arrives(at), duplicate: false, reordered, corrupted }
    }

    /// How much later than its turn a packet arrives that is held back: up to two delays and a millisecond.
    fn hold_back(&mut self) -> Duration {
        let most = self.config.delay * 2 + Duration::from_millis(1);
        Duration::from_nanos(1 + self.rng.below(most.as_nanos() as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(config: LinkConfig) -> Link {
        Link::new(config, Rng::from_u64(1))
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
        let mut link =
            link(LinkConfig { rate: Some(8_000_000), queue: Queue::Packets(2), ..LinkConfig::default() });
        let sent: Vec<_> = (0..3).map(|_| link.carry(&[0; 1000], Instant::ZERO)[0]).collect();
        assert_eq!(arrival(&sent[0]), Some(11_000));
        assert_eq!(arrival(&sent[1]), Some(12_000));
        assert_eq!(sent[2].fate, Fate::QueueFull);
        let later = link.carry(&[0; 1000], Instant::from_micros(1_500))[0];
        assert_eq!(arrival(&later), Some(13_000));
        assert_eq!((link.counters().queue_full, link.counters().delivered), (1, 3));
    }

    #[test]
    fn a_queue_in_bytes_holds_at_least_one_packet() {
        let config = LinkConfig { rate: Some(8_000_000), queue: Queue::Bytes(100), ..LinkConfig::default() };
        let mut link = link(config);
        assert!(arrival(&link.carry(&[0; 1000], Instant::ZERO)[0]).is_some());
        assert_eq!(link.carry(&[0; 1000], Instant::ZERO)[0].fate, Fate::QueueFull);
    }

    #[test]
    fn faults_come_at_the_rate_they_are_configured_with() {
        let mut link = link(LinkConfig {
            loss: 0.1,
            duplicate: 0.2,
            reorder: 0.3,
            corrupt: 0.4,
            ..LinkConfig::default()
        });
        for i in 0..10_000 {
            link.carry(&[0; 100], Instant::from_millis(i));
        }
        let counted = link.counters();
        assert!((900..1_100).contains(&counted.lost), "{counted:?}");
        assert!((1_700..1_900).contains(&counted.duplicated), "{counted:?}");
        assert!((2_600..2_800).contains(&counted.reordered), "{counted:?}");
        assert!((3_500..3_700).contains(&counted.corrupted), "{counted:?}");
        assert_eq!(counted.delivered, 10_000 - counted.lost + counted.duplicated);
    }

    /// Jitter spreads arrivals without letting one packet overtake another.
    #[test]
    fn jitter_keeps_the_order() {
        let mut link = link(LinkConfig { jitter: Duration::from_millis(50), ..LinkConfig::default() });
        let arrivals: Vec<_> =
            (0..100).filter_map(|i| arrival(&link.carry(&[0; 9], Instant::from_millis(i))[0])).collect();
        assert!(arrivals.is_sorted() && arrivals.len() == 100);
        assert!(arrivals.windows(2).any(|w| w[1] - w[0] > 1_000));
    }

    #[test]
    fn a_packet_above_the_mtu_is_dropped() {
        let mut link = link(LinkConfig::default());
        assert_eq!(link.carry(&[0; 1501], Instant::ZERO)[0].fate, Fate::TooBig);
    }
}
