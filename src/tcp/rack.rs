//! RACK: what was sent before something that has arrived is lost, once it has had time to be overtaken (RFC 8985 §6). The time it
//! gets, the reordering window, adapts to the path: none while nothing was ever out of order, more when D-SACK shows that too
//! little was given.

use crate::base::time::{Duration, Instant};
use crate::wire::seq::SeqNum;

use super::delivered::{Delivered, Newest, sent_after};
use super::recovery::{DUP_THRESH, Phase};
use super::tail_probe::TailProbe;
use super::tcb::{Env, Tcb};
use super::timers::Timer;

/// Recoveries without a duplicate after which the reordering window is small again (RFC 8985 §6.2 step 4).
const PERSIST: u8 = 16;

/// Linux's bound on the distance of reordering, in segments.
const MAX_EXTENT: u32 = 300;

/// The youngest transmission that was delivered.
#[derive(Debug)]
pub struct Rack {
    /// RACK.xmit_ts and RACK.end_seq.
    newest: Option<(Instant, SeqNum)>,
    /// RACK.rtt: its round trip.
    rtt: Duration,
    /// RACK.dsack_round: until this is acknowledged no duplicate widens the window again.
    round: Option<SeqNum>,
}

impl Rack {
    /// Nothing was delivered yet.
    pub const fn new() -> Self {
        Rack { newest: None, rtt: Duration::ZERO, round: None }
    }

    /// RACK.rtt, once something was delivered.
    pub fn rtt(&self) -> Option<Duration> {
        self.newest.map(|_| self.rtt)
    }

    /// RFC 8985 §6.2 step 2.
    fn update(&mut self, newest: Newest, now: Instant) {
        let younger = |&known: &(Instant, SeqNum)| sent_after(known, (newest.sent_at, newest.end));
        // Of what comes late, too: the path may take that long.
        self.rtt = now.since(newest.sent_at);
        if self.newest.as_ref().is_none_or(younger) {
            self.newest = Some((newest.sent_at, newest.end));
        }
    }
}

/// What a connection remembers of its path's reordering, beyond what is under way.
#[derive(Clone, Debug)]
pub struct Reordering {
    /// Times that it was seen.
    pub seen: u16,
    /// The largest distance seen, in segments.
    pub extent: u16,
    /// RACK.reo_wnd_mult: the window in quarters of the shortest round trip.
    steps: u8,
    /// RACK.reo_wnd_persist: recoveries until it is one quarter again.
    persist: u8,
}

impl Default for Reordering {
    fn default() -> Self {
        Reordering { seen: 0, extent: 0, steps: 1, persist: 0 }
    }
}

impl Reordering {
    /// A recovery has ended.
    pub fn on_recovered(&mut self) {
        self.persist = self.persist.saturating_sub(1);
        if self.persist == 0 {
            self.steps = 1;
        }
    }
}

impl Tcb {
    /// Takes in what was delivered (RFC 8985 §6.2 steps 2 and 3).
    pub fn update_rack(&mut self, delivered: &Delivered, now: Instant) {
        if let Some(newest) = delivered.newest {
            self.flight.rack.update(newest, now);
        }
        let mss = self.mss();
        let reordering = &mut self.recovery.reordering;
        reordering.seen = reordering.seen.saturating_add(u16::from(delivered.reordered > 0));
        let extent = delivered.reordered.div_ceil(mss).min(MAX_EXTENT);
        reordering.extent = reordering.extent.max(extent as u16);
    }

    /// RFC 8985 §6.2 step 4: `range` was sent again though it had only been overtaken: more patience, once in a round trip. Copies that
    /// the path made, and the tail probe's, do not count (as in Linux).
    pub fn widen_reordering_window(&mut self, range: (SeqNum, SeqNum)) {
        let of_probe =
            matches!(self.recovery.tail_probe, TailProbe::Sent { end, repeated: true } if end == range.1);
        let over = self.flight.rack.round.is_none_or(|round| self.snd.una.at_or_after(round));
        if of_probe || !over || self.trouble.duplicated > self.trouble.retransmitted {
            return;
        }
        if !self.flight.sent.is_empty() {
            self.flight.rack.round = Some(self.snd.nxt);
        }
        let reordering = &mut self.recovery.reordering;
        reordering.steps = reordering.steps.saturating_add(1);
        reordering.persist = PERSIST;
    }

    /// RACK.reo_wnd.
    fn reordering_window(&self) -> Duration {
        let reordering = &self.recovery.reordering;
        let in_recovery = matches!(self.recovery.phase, Phase::FastRecovery | Phase::Loss);
        if reordering.seen == 0 && (in_recovery || self.flight.sent.sacked_segments() >= DUP_THRESH) {
            return Duration::ZERO;
        }
        let (Some(min_rtt), Some(srtt)) = (self.rtt.min_rtt(), self.rtt.srtt()) else {
            return Duration::ZERO;
        };
        (min_rtt / 4 * u32::from(reordering.steps)).min(srtt)
    }

    /// RFC 8985 §6.2 step 5: marks what is lost, and sets the timer for what may still come. The bytes marked.
    pub fn detect_by_time(&mut self, env: &Env) -> u32 {
        let Some(newest) = self.flight.rack.newest else { return 0 };
        let window = self.flight.rack.rtt + self.reordering_window();
        let (lost, wait) = self.flight.sent.mark_overtaken(newest, window, env.now);
        match wait {
            Some(wait) => self.flight.deadlines.set(Timer::Reordering, env.now + wait),
            None => self.flight.deadlines.clear(Timer::Reordering),
        }
        lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tcp::rate::Departure;

    /// RFC 8985 §6.2 step 4: after sixteen recoveries without another duplicate the window is small again.
    #[test]
    fn patience_lasts_for_sixteen_recoveries() {
        let mut reordering = Reordering { steps: 3, persist: PERSIST, ..Reordering::default() };
        let mut steps = || {
            reordering.on_recovered();
            reordering.steps
        };
        assert!((0..15).all(|_| steps() == 3));
        assert_eq!(steps(), 1);
    }

    /// RFC 8985 §6.2 step 2: RACK's segment is the one sent last of all that was delivered, and RACK.rtt that of what came last.
    #[test]
    fn what_was_sent_earlier_changes_the_round_trip_only() {
        let at = Instant::from_millis;
        let newest =
            |sent: u64, end| Newest { sent_at: at(sent), end: SeqNum(end), departure: Departure::default() };
        let mut rack = Rack::new();
        rack.update(newest(5, 10), at(20));
        for (sent, end) in [(4, 20), (5, 9), (5, 10)] {
            rack.update(newest(sent, end), at(30));
            assert_eq!((rack.newest, rack.rtt()), (Some((at(5), SeqNum(10))), Some(at(30).since(at(sent)))));
        }
        for (sent, end) in [(5, 11), (6, 3)] {
            rack.update(newest(sent, end), at(30));
            assert_eq!(rack.newest, Some((at(sent), SeqNum(end))));
        }
    }
}
