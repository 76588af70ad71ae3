//! When to acknowledge (RFC 9293 §3.8.6.3, RFC 5681 §4.2): quickly at the start, at once for a second full segment, a gap, a
//! filled hole or a FIN, else with a delay. Decided when output is asked, so that a burst draws one ACK (MUST-58, MUST-59).

use crate::base::time::{Duration, Instant};

/// At most one acknowledgement of a kind an attacker can provoke in this time (RFC 5961 §7; policy 19).
const CHALLENGE_INTERVAL: Duration = Duration::from_millis(500);

/// What is owed to the peer.
#[derive(Clone, Debug)]
pub struct AckState {
    /// Received bytes that no acknowledgement covers yet.
    pending: u32,
    /// The largest segment the peer sent: its idea of full-sized.
    segment: u16,
    /// Acknowledgements still sent without delay at the start.
    quick: u8,
    now: bool,
    challenged: bool,
    challenged_at: Instant,
}

impl AckState {
    /// Nothing owed; the first `quick` acknowledgements go out at once.
    pub fn new(quick: u8) -> Self {
        AckState {
            pending: 0,
            segment: 536,
            quick,
            now: false,
            challenged: false,
            challenged_at: Instant::ZERO,
        }
    }

    /// True while acknowledgements of in-order data are not delayed.
    pub fn is_quick(&self) -> bool {
        self.quick > 0
    }

    /// The next `count` acknowledgements are not delayed, and one that is owed goes out now.
    pub fn set_quick(&mut self, count: u8) {
        self.quick = count;
    }

    /// In-order data came: `len` bytes in segments of at most `segment`.
    pub fn on_data(&mut self, len: usize, segment: usize) {
        self.pending = self.pending.saturating_add(len as u32);
        self.segment = self.segment.max(segment.min(usize::from(u16::MAX)) as u16);
    }

    /// The next chance to send carries an acknowledgement, whatever else is owed.
    pub fn at_once(&mut self) {
        self.now = true;
    }

    /// A challenge ACK (RFC 5961) or another answer that an attacker could provoke, limited per connection. False if withheld.
    pub fn challenge(&mut self, now: Instant) -> bool {
        if self.challenged && now.since(self.challenged_at) < CHALLENGE_INTERVAL {
            return false;
        }
        self.challenged = true;
        self.challenged_at = now;
        self.now = true;
        true
    }

    /// When the last challenge was answered, for a half-open entry to keep.
    pub fn last_challenge(&self) -> Option<Instant> {
        self.challenged.then_some(self.challenged_at)
    }

    /// Takes up what [`last_challenge`](AckState::last_challenge) said.
    pub fn set_last_challenge(&mut self, at: Option<Instant>) {
        self.challenged = at.is_some();
        self.challenged_at = at.unwrap_or_default();
    }

    /// True if an acknowledgement should go out now.
    pub fn is_due(&self) -> bool {
        self.now || self.pending > u32::from(self.segment) || (self.pending > 0 && self.quick > 0)
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

    /// RFC 5961 §7: one challenge ACK per 500 ms.
    #[test]
    fn challenges_are_limited_in_time() {
        let mut ack = AckState::new(0);
        let ms = Instant::from_millis;
        assert!(ack.challenge(ms(0)));
        ack.sent();
        assert!(!ack.challenge(ms(499)) && !ack.is_due());
        assert!(ack.challenge(ms(500)) && ack.is_due());
    }
}
