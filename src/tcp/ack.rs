//! When to acknowledge (RFC 9293 §3.8.6.3, RFC 5681 §4.2): quickly at the start, at once for a second full segment, a gap, a
//! filled hole or a FIN, else with a delay. Decided when output is asked, so that a burst draws one ACK (MUST-58, MUST-59).

use crate::base::time::{Duration, Instant};

/// At most one answer of a kind in this time, per connection (RFC 5961 §7, §10; policy 19).
const ANSWER_INTERVAL: Duration = Duration::from_millis(500);

/// The kinds of acknowledgement that somebody who only guesses can provoke. Each has a budget of its own in each connection, so
/// that spending one tells nothing about another connection (CVE-2016-5696) and silences no other kind (hostile cases T4, T5).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Provoked {
    /// A challenge ACK: what came may be an attack on the connection, or a peer that has restarted (RFC 5961 §3, §4).
    Challenge,
    /// The correction of a peer whose numbers do not fit: an empty segment out of the window, an impossible acknowledgement.
    Correction,
}

/// When an answer of each kind was sent last, in milliseconds that wrap; zero is never. Small, because half-open entries and
/// TIME-WAIT records have one, too.
#[derive(Clone, Copy, Default, Debug)]
pub struct AnswerLimit([u32; 2]);

impl AnswerLimit {
    /// True if an answer of this kind may go out now; it counts as sent.
    pub fn allows(&mut self, kind: Provoked, now: Instant) -> bool {
        let (last, now) = (&mut self.0[kind as usize], (now.as_millis() as u32).max(1));
        let allowed = *last == 0 || now.wrapping_sub(*last) >= ANSWER_INTERVAL.as_millis() as u32;
        if allowed {
            *last = now;
        }
        allowed
    }
}

/// What is owed to the peer.
#[derive(Clone, Debug)]
pub struct AckState {
    /// Received bytes that no acknowledgement covers yet.
    pending: u32,
    /// The largest segment the peer sent: its idea of full-sized.
    segment: u16,
    /// Acknowledgements still sent without delay at the start.
    quick: u8,
    /// Duplicate acknowledgements owed to a peer that counts them.
    repeats: u8,
    now: bool,
    /// Limits what an attacker can provoke; a half-open entry keeps it from segment to segment.
    pub limit: AnswerLimit,
}

impl AckState {
    /// Nothing owed; the first `quick` acknowledgements go out at once.
    pub fn new(quick: u8) -> Self {
        AckState { pending: 0, segment: 536, quick, repeats: 0, now: false, limit: AnswerLimit::default() }
    }

    /// True while acknowledgements of in-order data are not delayed.
    pub fn is_quick(&self) -> bool {
        self.quick > 0
    }

    /// The largest segment the peer sent, as far as that is known.
    pub fn segment(&self) -> u16 {
        self.segment
    }

    /// The next `count` acknowledgements are not delayed, and one that is owed goes out now.
    pub fn set_quick(&mut self, count: u8) {
        self.quick = count;
    }

    /// In-order data came: `len` bytes in segments of at most `segment`.
    pub fn on_data(&mut self, len: usize, segment: usize) {
        // The number moves on, which tells more than repeating the old one.
        self.repeats = 0;
        self.pending = self.pending.saturating_add(len as u32);
        self.segment = self.segment.max(segment.min(usize::from(u16::MAX)) as u16);
    }

    /// The next chance to send carries an acknowledgement, whatever else is owed.
    pub fn at_once(&mut self) {
        self.now = true;
    }

    /// A segment came out of order and the peer counts duplicate acknowledgements (RFC 5681 §3.2): one for each, behind the one that
    /// is due for what came in order. What the device joined counts as one, as on Linux.
    pub fn repeat(&mut self) {
        let news = u8::from(self.repeats == 0 && self.is_due());
        self.repeats = self.repeats.saturating_add(1 + news);
    }

    /// An acknowledgement that an attacker could provoke, limited per connection and kind. False if withheld.
    pub fn provoked(&mut self, kind: Provoked, now: Instant) -> bool {
        let allowed = self.limit.allows(kind, now);
        self.now |= allowed;
        allowed
    }

    /// True if an acknowledgement should go out now.
    pub fn is_due(&self) -> bool {
        self.now
            || self.repeats > 0
            || self.pending > u32::from(self.segment)
            || (self.pending > 0 && self.quick > 0)
    }

    /// True if an acknowledgement is owed but may wait for data to ride on.
    pub fn may_wait(&self) -> bool {
        self.pending > 0 && !self.is_due()
    }

    /// Any segment with the current acknowledgement number went out.
    pub fn sent(&mut self) {
        if self.pending > 0 {
            self.quick = self.quick.saturating_sub(1);
        }
        self.pending = 0;
        self.repeats = self.repeats.saturating_sub(1);
        self.now = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 9293 §3.8.6.3 (SHLD-18, SHLD-19): a lone segment may wait, a second full-sized one may not.
    #[test]
    fn one_segment_may_wait_and_two_may_not() {
        let mut ack = AckState::new(0);
        ack.on_data(1000, 1000);
        assert!(!ack.is_due() && ack.may_wait());
        ack.on_data(1, 1);
        assert!(ack.is_due());
        ack.sent();
        assert!(!ack.is_due() && !ack.may_wait());
    }

    #[test]
    fn the_first_acknowledgements_are_quick() {
        let mut ack = AckState::new(1);
        ack.on_data(10, 10);
        assert!(ack.is_due());
        ack.sent();
        ack.on_data(10, 10);
        assert!(ack.may_wait());
    }

    /// RFC 5961 §7 (hostile cases T4, T5): one answer per 500 ms and kind; one kind does not use up the other.
    #[test]
    fn answers_are_limited_in_time_and_by_kind() {
        let mut ack = AckState::new(0);
        let ms = Instant::from_millis;
        assert!(ack.provoked(Provoked::Challenge, ms(0)));
        ack.sent();
        assert!(!ack.provoked(Provoked::Challenge, ms(499)) && !ack.is_due());
        assert!(ack.provoked(Provoked::Correction, ms(499)) && ack.is_due());
        ack.sent();
        assert!(ack.provoked(Provoked::Challenge, ms(501)) && ack.is_due());
        assert!(!ack.provoked(Provoked::Correction, ms(998)));
    }

    /// What acknowledges nothing new leaves the quick acknowledgements for what does.
    #[test]
    fn only_acknowledgements_of_data_use_up_the_quick_ones() {
        let mut ack = AckState::new(1);
        (0..3).for_each(|_| ack.sent());
        ack.on_data(10, 10);
        assert!(ack.is_due());
    }
}
