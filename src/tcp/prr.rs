//! Proportional rate reduction (RFC 9937): how much may be sent on each acknowledgement while the window comes down to ssthresh. Used
//! for every reduction, after a loss and after a congestion mark.

/// The state of one reduction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prr {
    /// Bytes delivered since it began.
    delivered: u32,
    /// Bytes sent since it began.
    out: u32,
    /// RecoverFS: bytes under way when it began.
    flight: u32,
}

/// What an acknowledgement tells.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// Bytes it delivered.
    pub delivered: u32,
    /// Bytes under way after it.
    pub in_flight: u32,
    /// SND.UNA moved and nothing new was found lost (SafeACK).
    pub safe: bool,
    /// The window to come down to.
    pub ssthresh: u32,
    /// The effective send MSS.
    pub mss: u32,
}

impl Prr {
    /// A reduction begins with `flight` bytes under way.
    pub fn new(flight: u32) -> Self {
        Prr { delivered: 0, out: 0, flight: flight.max(1) }
    }

    /// Bytes were sent.
    pub fn sent(&mut self, bytes: u32) {
        self.out = self.out.saturating_add(bytes);
    }

    /// RFC 9937 §6: the window after an acknowledgement.
    pub fn window(&mut self, step: &Step) -> u32 {
        self.delivered = self.delivered.saturating_add(step.delivered);
        let may_send = if step.in_flight > step.ssthresh {
            // In proportion: what was delivered, by the factor that the window shrinks by. In whole segments, rounded up, as Linux
            // counts: rounded down a segment would wait for an acknowledgement more.
            let share = (u64::from(self.delivered) * u64::from(step.ssthresh))
                .div_ceil(u64::from(self.flight))
                .next_multiple_of(step.mss.max(1).into());
            share.saturating_sub(u64::from(self.out)).min(u64::from(u32::MAX)) as u32
        } else {
            // Below the target: conservation of packets, and slow start while acknowledgements show progress.
            let conserved = self.delivered.saturating_sub(self.out).max(step.delivered);
            let bonus = if step.safe { step.mss } else { 0 };
            conserved.saturating_add(bonus).min(step.ssthresh - step.in_flight)
        };
        // The first retransmission always goes.
        let may_send = if self.out == 0 { may_send.max(step.mss) } else { may_send };
        step.in_flight.saturating_add(may_send)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MSS: u32 = 1_000;

    fn step(delivered: u32, in_flight: u32, safe: bool) -> Step {
        Step { delivered, in_flight, safe, ssthresh: 7 * MSS, mss: MSS }
    }

    /// RFC 9937 §6: with 10 segments under way and a target of 7, seven leave for ten that arrive, evenly.
    #[test]
    fn sending_goes_on_in_proportion_to_what_is_delivered() {
        let mut prr = Prr::new(10 * MSS);
        let mut in_flight = 10 * MSS;
        let mut sent = Vec::new();
        for _ in 0..10 {
            in_flight -= MSS;
            let window = prr.window(&step(MSS, in_flight.max(7 * MSS + 1), false));
            let room = (window - in_flight.max(7 * MSS + 1)) / MSS * MSS;
            prr.sent(room);
            sent.push(room / MSS);
        }
        assert_eq!(sent.iter().sum::<u32>(), 7);
        assert!(sent.iter().all(|&now| now <= 1), "{sent:?}");
    }

    /// RFC 9937 §6: the fast retransmission goes whatever the proportion says.
    #[test]
    fn the_first_retransmission_always_goes() {
        assert_eq!(Prr::new(10 * MSS).window(&step(0, 9 * MSS, false)), 10 * MSS);
    }

    /// RFC 9937 §6: below ssthresh conservation of packets; one segment more for each ACK that makes progress without new loss.
    #[test]
    fn below_the_target_safe_progress_sends_one_segment_more() {
        let mut prr = Prr::new(10 * MSS);
        prr.sent(MSS);
        assert_eq!(prr.window(&step(2 * MSS, 3 * MSS, false)), 5 * MSS);
        prr.sent(2 * MSS);
        assert_eq!(prr.window(&step(MSS, 4 * MSS, true)), 6 * MSS);
        assert_eq!(prr.window(&step(9 * MSS, 6 * MSS, true)), 7 * MSS, "never beyond the target");
        assert_eq!(prr.window(&step(0, 7 * MSS, true)), 7 * MSS, "at the target nothing more goes");
    }
}
