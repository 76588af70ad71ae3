//! Losses in bursts: which state the link is in (Gilbert and Elliott's two), packet by packet.

use super::config::Bursts;
use crate::base::rng::Rng;

/// The state of a link and the draws that change it; its own, so that bursts do not shift a link's other draws.
#[derive(Debug)]
pub(super) struct BurstState {
    rng: Rng,
    bad: bool,
}

impl BurstState {
    pub(super) fn new(rng: Rng) -> Self {
        BurstState { rng, bad: false }
    }

    /// Draws the state that the next packet meets, and tells whether it is lost there.
    pub(super) fn loses(&mut self, bursts: &Bursts) -> bool {
        let turns = self.rng.chance(if self.bad { bursts.leave } else { bursts.enter });
        self.bad ^= turns;
        self.bad && self.rng.chance(bursts.loss)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The share lost and the mean length of a run of losses over so many packets.
    fn measured(bursts: &Bursts, packets: u32) -> (f64, f64) {
        let mut state = BurstState::new(Rng::from_u64(3));
        let (mut lost, mut runs, mut in_run) = (0u32, 0u32, false);
        for _ in 0..packets {
            let loses = state.loses(bursts);
            lost += u32::from(loses);
            runs += u32::from(loses && !in_run);
            in_run = loses;
        }
        (f64::from(lost) / f64::from(packets), f64::from(lost) / f64::from(runs))
    }

    #[test]
    fn mean_loss_and_burst_length_are_what_was_asked_for() {
        for (share, length) in [(0.01, 5.0), (0.1, 3.0), (0.05, 1.5)] {
            let (lost, run) = measured(&Bursts::mean(share, length), 1_000_000);
            assert!((lost / share - 1.0).abs() < 0.1, "{share}: lost {lost}");
            assert!((run / length - 1.0).abs() < 0.1, "{length}: runs of {run}");
        }
    }

    /// In the bad state of Elliott's model some packets still pass.
    #[test]
    fn the_bad_state_may_lose_a_part_only() {
        let (lost, run) = measured(&Bursts { enter: 0.02, leave: 0.18, loss: 0.5 }, 1_000_000);
        assert!((0.048..0.052).contains(&lost), "a tenth of the time, half of it: {lost}");
        // The run goes on with probability 0.82 · 0.5.
        assert!((1.64..1.75).contains(&run), "{run}");
    }
}
