//! CoDel (RFC 8289 §5): when a packet leaves the queue, the time it has waited decides whether it is dropped or marked.
//!
//! The fields and the order of things are those of the RFC's pseudo-code; where that drops, a packet of a sender that speaks ECN
//! is marked instead, if asked for (RFC 3168 §5). No flow queueing (RFC 8290).

use std::collections::VecDeque;

use super::config::Codel;
use super::ecn;
use crate::base::time::{Duration, Instant};

/// A packet in the queue.
#[derive(Debug)]
pub(super) struct Waiting<T> {
    pub(super) packet: T,
    pub(super) since: Instant,
}

/// The queue in front of a link whose packets are decided on when they leave it.
#[derive(Debug)]
pub(super) struct Fifo<T> {
    packets: VecDeque<Waiting<T>>,
    bytes: usize,
    /// RFC 8289 §5.3: a queue of no more than the largest packet is no queue.
    largest: usize,
}

impl<T: AsRef<[u8]>> Fifo<T> {
    pub(super) fn new() -> Self {
        Fifo { packets: VecDeque::new(), bytes: 0, largest: 0 }
    }

    pub(super) fn push(&mut self, packet: T, now: Instant) {
        let len = packet.as_ref().len();
        self.bytes += len;
        self.largest = self.largest.max(len);
        self.packets.push_back(Waiting { packet, since: now });
    }

    pub(super) fn pop(&mut self) -> Option<Waiting<T>> {
        let waiting = self.packets.pop_front()?;
        self.bytes -= waiting.packet.as_ref().len();
        Some(waiting)
    }

    /// Since when the packet at the head has waited.
    pub(super) fn head_since(&self) -> Option<Instant> {
        self.packets.front().map(|waiting| waiting.since)
    }

    pub(super) fn len(&self) -> usize {
        self.packets.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

/// What leaves the queue to be sent.
#[derive(Debug)]
pub(super) struct Next<T> {
    pub(super) waiting: Waiting<T>,
    /// It is to be marked "congestion experienced".
    pub(super) marked: bool,
}

/// The controller of RFC 8289 §5.3, whose names these are.
#[derive(Debug, Default)]
pub(super) struct Controller {
    first_above_time: Option<Instant>,
    drop_next: Instant,
    count: u32,
    lastcount: u32,
    dropping: bool,
}

impl Controller {
    /// RFC 8289 §5.5: the next packet to send at `now`; those dropped on the way go to `dropped`.
    pub(super) fn dequeue<T: AsRef<[u8]>>(
        &mut self,
        fifo: &mut Fifo<T>,
        codel: &Codel,
        now: Instant,
        dropped: &mut impl FnMut(Waiting<T>),
    ) -> Option<Next<T>> {
        let (mut waiting, mut ok_to_drop) = self.take(fifo, codel, now)?;
        let can_mark = |waiting: &Waiting<T>| codel.mark && ecn::is_capable(waiting.packet.as_ref());
        if !self.dropping {
            if !ok_to_drop {
                return Some(Next { waiting, marked: false });
            }
            self.start_dropping(codel, now);
            if can_mark(&waiting) {
                return Some(Next { waiting, marked: true });
            }
            dropped(waiting);
            // One drop on entering; the next is due at drop_next.
            let (waiting, _) = self.take(fifo, codel, now)?;
            return Some(Next { waiting, marked: false });
        }
        self.dropping = ok_to_drop;
        while self.dropping && now >= self.drop_next {
            self.count = self.count.saturating_add(1);
            if can_mark(&waiting) {
                self.drop_next = control_law(self.drop_next, codel.interval, self.count);
                return Some(Next { waiting, marked: true });
            }
            dropped(waiting);
            let Some(next) = self.take(fifo, codel, now) else {
                self.dropping = false;
                return None;
            };
            (waiting, ok_to_drop) = next;
            self.dropping = ok_to_drop;
            if ok_to_drop {
                self.drop_next = control_law(self.drop_next, codel.interval, self.count);
            }
        }
        Some(Next { waiting, marked: false })
    }

    /// RFC 8289 §5.6 (`dodequeue`): the head of the queue, and whether the waiting time has been above the target for an interval.
    fn take<T: AsRef<[u8]>>(
        &mut self,
        fifo: &mut Fifo<T>,
        codel: &Codel,
        now: Instant,
    ) -> Option<(Waiting<T>, bool)> {
        let Some(waiting) = fifo.pop() else {
            self.first_above_time = None;
            return None;
        };
        if now.since(waiting.since) < codel.target || fifo.bytes() <= fifo.largest {
            self.first_above_time = None;
            return Some((waiting, false));
        }
        let first_above_time = *self.first_above_time.get_or_insert(now + codel.interval);
        Some((waiting, now >= first_above_time))
    }

    /// RFC 8289 §5.5: a queue that grows again soon after it was controlled is met at the rhythm that controlled it.
    fn start_dropping(&mut self, codel: &Codel, now: Instant) {
        self.dropping = true;
        let delta = self.count.wrapping_sub(self.lastcount);
        let soon = now.since(self.drop_next) < codel.interval * 16;
        self.count = if delta > 1 && soon { delta } else { 1 };
        self.drop_next = control_law(now, codel.interval, self.count);
        self.lastcount = self.count;
    }
}

/// RFC 8289 §5.4: drops come closer together with the square root of their count.
fn control_law(time: Instant, interval: Duration, count: u32) -> Instant {
    time + interval.div_f64(f64::from(count.max(1)).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One packet comes and one leaves each millisecond, behind `waiting` of them; returns when packets were dropped.
    fn drops(codel: &Codel, waiting: u64, millis: u64) -> (Vec<u64>, Vec<u64>) {
        let (mut fifo, mut controller) = (Fifo::new(), Controller::default());
        let (mut drops, mut marks) = (Vec::new(), Vec::new());
        // ECT(0) in an IPv4 header.
        let packet = || vec![0x45, 0x02, 0, 0];
        (0..waiting).for_each(|_| fifo.push(packet(), Instant::ZERO));
        for milli in 0..millis {
            let now = Instant::from_millis(milli);
            fifo.push(packet(), now);
            let next = controller.dequeue(&mut fifo, codel, now, &mut |_| drops.push(milli));
            if next.is_some_and(|next| next.marked) {
                marks.push(milli);
            }
        }
        (drops, marks)
    }

    /// RFC 8289 §5.4: the first drop comes an interval after the target was exceeded, the next after another interval, and so on
    /// by the inverse square root: 100, 70.7, 57.7, 50 ms, counted from each appointed time and not from the drop.
    #[test]
    fn drops_follow_the_control_law() {
        let (dropped, _) = drops(&Codel::default(), 200, 600);
        // The head waits for 5 ms from the fifth millisecond on.
        assert_eq!(dropped, [105, 205, 276, 334, 384, 429, 469, 507, 543, 576]);
    }

    /// RFC 8289 §4.2: a standing queue below the target, and a burst that drains within an interval, are left alone.
    #[test]
    fn a_good_queue_is_not_touched() {
        assert_eq!(drops(&Codel::default(), 4, 5_000).0, [0; 0]);
        let (mut fifo, mut controller) = (Fifo::new(), Controller::default());
        (0..90).for_each(|_| fifo.push(vec![0; 100], Instant::ZERO));
        let sent = (0..90)
            .filter(|&milli| {
                let now = Instant::from_millis(milli);
                controller.dequeue(&mut fifo, &Codel::default(), now, &mut |_| panic!("dropped")).is_some()
            })
            .count();
        assert_eq!(sent, 90);
    }

    /// RFC 8289 §5.3: the last packets of a queue are sent however long they waited.
    #[test]
    fn one_packet_is_no_queue() {
        let (mut fifo, mut controller) = (Fifo::new(), Controller::default());
        for seconds in 0..20u64 {
            fifo.push(vec![0; 1_500], Instant::from_millis(seconds * 1_000));
            fifo.push(vec![0; 1_500], Instant::from_millis(seconds * 1_000));
            let now = Instant::from_millis(seconds * 1_000 + 900);
            for _ in 0..2 {
                let next = controller.dequeue(&mut fifo, &Codel::default(), now, &mut |_| panic!("dropped"));
                assert!(next.is_some());
            }
        }
    }

    /// RFC 3168 §5: the same appointments, kept with marks.
    #[test]
    fn packets_of_a_capable_sender_are_marked_instead() {
        let codel = Codel { mark: true, ..Codel::default() };
        let (dropped, marked) = drops(&codel, 200, 400);
        assert_eq!((dropped, marked), (vec![], vec![105, 205, 276, 334, 384]));
    }

    /// RFC 8289 §5.5: soon after a controlled queue, the controller goes on where it was.
    #[test]
    fn a_queue_that_grows_again_soon_is_met_at_the_old_rhythm() {
        let mut controller = Controller { count: 20, lastcount: 2, ..Controller::default() };
        controller.drop_next = Instant::from_millis(1_000);
        controller.start_dropping(&Codel::default(), Instant::from_millis(2_500));
        assert_eq!((controller.count, controller.lastcount), (18, 18));
        controller = Controller { count: 20, lastcount: 2, ..Controller::default() };
        controller.drop_next = Instant::from_millis(1_000);
        controller.start_dropping(&Codel::default(), Instant::from_millis(2_601));
        assert_eq!(controller.count, 1, "sixteen intervals later");
    }
}
