//! One direction of a cable with faults: policer, rate, queue, CoDel, delay, jitter, losses, duplicates, reordering, corruption.
//!
//! A [`Link`] carries wire packets only. What happens to a packet depends on the configuration, on the time and on draws from the
//! link's own generator, which are made for every packet that leaves the queue, always in the same order: so a fault on one link
//! never shifts the draws of another. It reads no clock: simulator and wire hand the time in, and carry what it lets through.
//!
//! What exceeds the policer's rate is gone first; the rest waits in the queue until the line is free, is sent at the line's rate,
//! and then meets losses and delays. Without CoDel a packet's fate is decided as it comes; CoDel (RFC 8289) decides when it leaves
//! the queue.

mod bursts;
mod codel;
mod config;
mod counters;
mod ecn;
mod policer;
mod text;

use std::borrow::Cow;
use std::collections::VecDeque;

use smallvec::{SmallVec, smallvec};

use crate::base::rng::Rng;
use crate::base::time::{Duration, Instant};
use bursts::BurstState;
use codel::{Controller, Fifo, Next};
use policer::Bucket;

pub use config::{Bursts, Codel, LinkConfig, Policer, Queue};
pub use counters::LinkCounters;
pub use text::LinkTextError;

/// What became of one copy of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    /// It arrives then.
    Arrives(Instant),
    /// The link lost it.
    Lost,
    /// A filter took it out, see `sim::Network::set_filter`.
    Filtered,
    /// It exceeded the policer's rate.
    Policed,
    /// The queue was full.
    QueueFull,
    /// CoDel dropped it, because the queue stayed long.
    QueueLong,
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
    /// CoDel marked it "congestion experienced".
    pub marked: bool,
    /// The byte at this place was changed, by exclusive or with the value.
    pub corrupted: Option<(usize, u8)>,
}

impl Passage {
    fn new(fate: Fate) -> Self {
        Passage { fate, duplicate: false, reordered: false, marked: false, corrupted: None }
    }

    /// This copy as it arrives: what the link did to the packet's bytes is done.
    pub fn apply<'a>(&self, packet: &'a [u8]) -> Cow<'a, [u8]> {
        let mut bytes = Cow::Borrowed(packet);
        if self.marked {
            ecn::mark(bytes.to_mut());
        }
        if let Some((place, value)) = self.corrupted
            && let Some(byte) = bytes.to_mut().get_mut(place)
        {
            *byte ^= value;
        }
        bytes
    }
}

/// A packet that the link has decided on.
#[derive(Debug)]
pub struct Carried<T> {
    /// The packet as it was handed in.
    pub packet: T,
    /// When it was handed in.
    pub since: Instant,
    /// What becomes of it: one passage, or two for a packet that arrives twice.
    pub passages: SmallVec<[Passage; 2]>,
}

/// One direction of a cable.
///
/// Hand packets in with [`push`](Link::push), and take out with [`poll`](Link::poll) what is decided: after every `push`, and at
/// [`poll_timeout`](Link::poll_timeout). Packets on their way are the caller's to keep until they arrive.
#[derive(Debug)]
pub struct Link<T> {
    config: LinkConfig,
    counters: LinkCounters,
    rng: Rng,
    bursts: BurstState,
    bucket: Bucket,
    /// When the last bit of what is being sent, or is sure to be sent, will have left.
    free_at: Instant,
    /// The latest arrival of a packet that was not held back: jitter does not overtake it.
    last_arrival: Instant,
    /// Packets whose fate is decided and that have not left: when their last bit leaves, and their length.
    leaving: VecDeque<(Instant, usize)>,
    leaving_bytes: usize,
    /// Packets on which CoDel is to decide, and its state.
    fifo: Fifo<T>,
    controller: Controller,
    decided: VecDeque<Carried<T>>,
}

impl<T: AsRef<[u8]>> Link<T> {
    /// A link at rest, whose draws come from `rng`.
    pub fn new(config: LinkConfig, rng: Rng) -> Self {
        // Of the generator's own stream but independent of it; taking it moves nothing.
        let bursts = BurstState::new(Rng::from_seed(rng.clone().seed()));
        Link {
            config,
            counters: LinkCounters::default(),
            rng,
            bursts,
            bucket: Bucket::new(),
            free_at: Instant::ZERO,
            last_arrival: Instant::ZERO,
            leaving: VecDeque::new(),
            leaving_bytes: 0,
            fifo: Fifo::new(),
            controller: Controller::default(),
            decided: VecDeque::new(),
        }
    }

    /// What it does to packets.
    pub fn config(&self) -> &LinkConfig {
        &self.config
    }

    /// Changes what it does from now on; packets on their way stay as they are. A shorter delay is another route: packets on it
    /// may overtake those on the old one.
    pub fn set_config(&mut self, config: LinkConfig) {
        if config.delay < self.config.delay {
            self.last_arrival = Instant::ZERO;
        }
        self.config = config;
    }

    /// What it did so far.
    pub fn counters(&self) -> LinkCounters {
        self.counters
    }

    /// Takes a wire packet in.
    pub fn push(&mut self, packet: T, now: Instant) {
        self.count(&packet);
        self.send_due(now);
        let len = packet.as_ref().len();
        if len > self.config.mtu {
            self.stop(packet, now, Fate::TooBig);
        } else if !self.within_rate(len, now) {
            self.stop(packet, now, Fate::Policed);
        } else if self.is_full(len, now) {
            self.stop(packet, now, Fate::QueueFull);
        } else if self.config.codel.is_some() || self.fifo.len() > 0 {
            self.fifo.push(packet, now);
            self.send_due(now);
        } else {
            let left_at = self.send(len, now);
            self.leaving.push_back((left_at, len));
            self.leaving_bytes += len;
            self.decide(packet, now, left_at, false);
        }
    }

    /// A packet that a filter took out before it reached the link: it is counted and told as any other.
    pub fn push_filtered(&mut self, packet: T, now: Instant) {
        self.count(&packet);
        self.stop(packet, now, Fate::Filtered);
    }

    /// The next packet whose fate is decided; `None` when there is no other up to `now`.
    pub fn poll(&mut self, now: Instant) -> Option<Carried<T>> {
        self.send_due(now);
        self.decided.pop_front()
    }

    /// Packets and bytes that wait at `at`, as far as is known.
    pub fn waiting(&self, at: Instant) -> (usize, usize) {
        let leaving = self.leaving.iter().filter(|(left_at, _)| *left_at > at);
        let held = (self.fifo.len(), self.fifo.bytes());
        leaving.fold(held, |(packets, bytes), (_, len)| (packets + 1, bytes + len))
    }

    /// When [`Link::poll`] has more to tell without another packet: when the line is free for one that waits.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.fifo.head_since().map(|since| self.free_at.max(since))
    }

    fn count(&mut self, packet: &T) {
        self.counters.packets += 1;
        self.counters.bytes += packet.as_ref().len() as u64;
    }

    fn within_rate(&mut self, len: usize, now: Instant) -> bool {
        self.config.policer.is_none_or(|policer| self.bucket.passes(&policer, len, now))
    }

    fn is_full(&mut self, len: usize, now: Instant) -> bool {
        while let Some(&(_, sent)) = self.leaving.front().filter(|(left_at, _)| *left_at <= now) {
            self.leaving.pop_front();
            self.leaving_bytes -= sent;
        }
        let packets = self.leaving.len() + self.fifo.len();
        self.config.is_full(packets, self.leaving_bytes + self.fifo.bytes(), len)
    }

    /// Occupies the line for `len` bytes from `now` on, or from when it is free; returns when their last bit will have left.
    fn send(&mut self, len: usize, now: Instant) -> Instant {
        self.free_at = self.free_at.max(now) + self.config.sending_time(len);
        self.free_at
    }

    /// Lets packets out of CoDel's queue for which the line is free by `now`.
    fn send_due(&mut self, now: Instant) {
        while let Some(at) = self.poll_timeout().filter(|&at| at <= now) {
            let Some(Next { waiting, marked }) = self.dequeue(at) else { continue };
            let left_at = self.send(waiting.packet.as_ref().len(), at);
            self.decide(waiting.packet, waiting.since, left_at, marked);
        }
    }

    fn dequeue(&mut self, at: Instant) -> Option<Next<T>> {
        let Some(codel) = self.config.codel else {
            // Switched off while packets waited.
            return self.fifo.pop().map(|waiting| Next { waiting, marked: false });
        };
        let mut dropped = SmallVec::<[_; 4]>::new();
        let next = self.controller.dequeue(&mut self.fifo, &codel, at, &mut |waiting| dropped.push(waiting));
        for waiting in dropped {
            self.stop(waiting.packet, waiting.since, Fate::QueueLong);
        }
        next
    }

    fn stop(&mut self, packet: T, since: Instant, fate: Fate) {
        self.counters.count(fate);
        self.decided.push_back(Carried { packet, since, passages: smallvec![Passage::new(fate)] });
    }

    /// What becomes of a packet whose last bit leaves at `left_at`.
    fn decide(&mut self, packet: T, since: Instant, left_at: Instant, marked: bool) {
        let passage = Passage { marked, ..self.draw(packet.as_ref().len(), left_at) };
        self.counters.marked += u64::from(marked);
        self.counters.count(passage.fate);
        let mut passages = smallvec![passage];
        if self.rng.chance(self.config.duplicate) && matches!(passage.fate, Fate::Arrives(_)) {
            let late = self.hold_back();
            let at = self.handed_over(left_at + self.config.delay + late);
            let second = Passage { duplicate: true, marked, ..Passage::new(Fate::Arrives(at)) };
            self.counters.duplicated += 1;
            self.counters.count(second.fate);
            passages.push(second);
        }
        self.decided.push_back(Carried { packet, since, passages });
    }

    /// Every draw is made for every packet, so that one setting does not change what another draws.
    fn draw(&mut self, len: usize, left_at: Instant) -> Passage {
        let lost = self.rng.chance(self.config.loss);
        let reordered = self.rng.chance(self.config.reorder);
        let corrupted = self.rng.chance(self.config.corrupt);
        let place = self.rng.below(len as u64) as usize;
        let value = 1 + self.rng.below(255) as u8;
        let jitter = Duration::from_nanos(self.rng.below(self.config.jitter.as_nanos() as u64 + 1));
        let held_back = self.hold_back();
        let lost_in_burst = self.config.bursts.is_some_and(|bursts| self.bursts.loses(&bursts));
        if lost || lost_in_burst {
            return Passage::new(Fate::Lost);
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
        let corrupted = corrupted.then_some((place, value));
        Passage { reordered, corrupted, ..Passage::new(Fate::Arrives(self.handed_over(at))) }
    }

    /// How much later than its turn a packet arrives that is held back.
    fn hold_back(&mut self) -> Duration {
        let most = self.config.reorder_by.unwrap_or(self.config.delay * 2 + Duration::from_millis(1));
        Duration::from_nanos(1 + self.rng.below(most.as_nanos() as u64))
    }

    /// When the bunch is handed over in which a packet is that arrives `at`.
    fn handed_over(&self, at: Instant) -> Instant {
        let bunch = self.config.bunch.as_nanos() as u64;
        if bunch == 0 { at } else { Instant::from_nanos(at.as_nanos().div_ceil(bunch).saturating_mul(bunch)) }
    }
}

#[cfg(test)]
mod tests;
