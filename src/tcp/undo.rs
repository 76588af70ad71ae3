//! Undo: finding out that what was sent again had not been lost, by timestamps (Eifel, RFC 3522 and RFC 4015), by D-SACK (RFC 3708),
//! or after a timeout by what arrives without having been sent again (F-RTO, RFC 5682). Then window, threshold and timeout are what
//! they were before the repair began.

use crate::base::time::Instant;
use crate::wire::seq::SeqNum;

use super::delivered::{Arrival, Delivered};
use super::prr::Prr;
use super::recovery::{Episode, Phase};
use super::tcb::{Env, Tcb};

/// What was sent again in one repair.
#[derive(Clone, Debug)]
pub struct Repeats {
    /// SND.UNA when the repair began: what lies before does not count.
    from: SeqNum,
    /// Sequence numbers sent again that no D-SACK has reported as needless.
    needed: u32,
    /// When the first was.
    first_at: Option<Instant>,
    /// F-RTO waits for what the next acknowledgements tell.
    frto: bool,
    /// F-RTO wants new data sent instead of what is lost (RFC 5682 §2.1 step 2b).
    new_data_first: bool,
}

impl Repeats {
    /// Nothing was sent again yet.
    pub fn new(una: SeqNum) -> Self {
        Repeats { from: una, needed: 0, first_at: None, frto: false, new_data_first: false }
    }

    /// `bytes` are sent again.
    pub fn sent_again(&mut self, bytes: u32, now: Instant) {
        self.needed = self.needed.saturating_add(bytes);
        self.first_at.get_or_insert(now);
    }

    /// The peer echoes a timestamp from before anything was sent again: the original arrived.
    fn echoes_original(&self, arrival: &Arrival) -> bool {
        let first = self.first_at.map(|at| at.as_millis() as u32);
        matches!((first, arrival.echoed), (Some(first), Some(echoed)) if (echoed.wrapping_sub(first) as i32) < 0)
    }
}

impl Episode {
    /// It ends; what was sent again is still known.
    pub fn end(&mut self) {
        (self.repeats.frto, self.repeats.new_data_first) = (false, false);
    }

    /// Something was sent again.
    pub fn has_sent_again(&self) -> bool {
        self.repeats.first_at.is_some()
    }
}

impl Tcb {
    /// True while F-RTO wants to see how new data fares before more is sent again.
    pub fn prefers_new_data(&self) -> bool {
        self.recovery.episode.as_ref().is_some_and(|episode| episode.repeats.new_data_first)
    }

    /// There was no new data to send, or no room for it: what is lost goes again (RFC 5682 §2.1 step 2a).
    pub fn go_on_repeating(&mut self) {
        if let Some(episode) = self.recovery.episode.as_mut() {
            (episode.repeats.frto, episode.repeats.new_data_first) = (false, false);
        }
    }

    /// D-SACK: `start..end` arrived twice.
    pub fn forgive_repeat(&mut self, start: SeqNum, end: SeqNum) {
        if let Some(repeats) = self.recovery.episode.as_mut().map(|episode| &mut episode.repeats)
            && end.after(repeats.from)
        {
            repeats.needed = repeats.needed.saturating_sub(end.since(start));
        }
    }

    /// A timeout begins its episode, or goes on with that of the repair it interrupts.
    pub fn begin_timeout_episode(&mut self, first: bool, env: &Env) {
        let una = self.snd.una;
        // RFC 5682 §2.1 step 1: not amid a repair.
        let frto = env.config.frto && (first || self.recovery.phase == Phase::Loss);
        let episode = &mut self.recovery.episode;
        if first || episode.is_none() {
            *episode.get_or_fresh() = Episode { prr: Prr::default(), repeats: Repeats::new(una) };
        }
        let repeats = &mut episode.get_or_fresh().repeats;
        (repeats.frto, repeats.new_data_first) = (frto, false);
    }

    /// After the repair has ended, too, every copy may be reported as a duplicate.
    pub fn undo_late(&mut self, delivered: &Delivered, env: &mut Env) {
        let repeats = self.recovery.episode.as_ref().map(|episode| &episode.repeats);
        if delivered.duplicate.is_some() && repeats.is_some_and(|repeats| repeats.needed == 0) {
            self.undo(env);
        }
    }

    /// Nothing was lost: the originals' timestamps are echoed (RFC 4015), or every copy is reported as a duplicate, or all has arrived
    /// without a copy.
    pub fn was_spurious(&self, recovered: bool, arrival: &Arrival) -> bool {
        let Some(repeats) = self.recovery.episode.as_ref().map(|episode| &episode.repeats) else {
            return false;
        };
        match repeats.first_at {
            None => recovered,
            Some(_) => repeats.needed == 0 || repeats.echoes_original(arrival),
        }
    }

    /// F-RTO (RFC 5682 §2.1, §3.1): after a timeout only the first segment goes again; then new data. What arrives next without
    /// having been sent again shows that the timeout came too early; a duplicate shows that it did not.
    pub fn timeout_was_spurious(&mut self, recovered: bool, newer: bool, delivered: &Delivered) -> bool {
        let (recover, nxt, sack) = (self.recovery.recover, self.snd.nxt, self.agreed.sack);
        let can_send_new = self.unsent() > 0 && (self.snd.una + self.snd.wnd).after(nxt);
        let Some(repeats) = self.recovery.episode.as_mut().map(|episode| &mut episode.repeats) else {
            return false;
        };
        if !repeats.frto {
            return false;
        }
        let original =
            delivered.original.is_some_and(|end| end.at_or_before(recover) && end.after(repeats.from));
        // Without SACK what waited behind the hole is acknowledged with the copy that filled it: no proof.
        if original && (sack || (!recovered && delivered.retransmitted_at.is_none())) {
            return true;
        }
        // Text that comes with an old acknowledgement says nothing.
        let duplicate = !newer && (delivered.repeated || delivered.sacked);
        if nxt.after(recover) {
            // Step 3a: something is missing in front of the new data.
            if duplicate {
                (repeats.frto, repeats.new_data_first) = (false, false);
            }
        } else if duplicate && !sack {
            // §2.1 step 2a: something is missing besides what was sent again. With SACK the sender waits for more (§3.1 step 2).
            repeats.frto = false;
        } else if newer && !recovered {
            // Step 2b.
            repeats.new_data_first = can_send_new;
            repeats.frto = can_send_new;
        }
        false
    }

    /// The repair was a mistake: everything is as before it.
    pub fn undo(&mut self, env: &mut Env) {
        self.congestion.undo();
        if self.flight.sent.lost() > 0 {
            self.flight.sent.unmark_lost();
        }
        self.recovery.phase = Phase::Open;
        self.recovery.episode.clear();
        self.recovery.timed_out = false;
        self.rtt.backoff = 0;
        self.retries = 0;
        env.counters.tcp_undos += 1;
    }
}
