//! Between the script's numbers and those on the wire, all modulo 2³². In a packet with SYN the script's numbers are absolute, in
//! all others they count from the initial sequence numbers. The remote side's own numbers are the script's, since the runner
//! injects them; those of the stack are learnt from what it sends.

use std::collections::BTreeMap;

/// The numbers of one connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Numbers {
    /// The remote side's initial sequence number.
    pub remote_isn: u32,
    /// The stack's real initial sequence number, once it has sent a SYN.
    pub local_isn: Option<u32>,
    /// The one the script writes for it, once a `> S` event came.
    pub script_isn: Option<u32>,
    /// Timestamp values the stack sent, by what the script wrote for them.
    timestamps: BTreeMap<u32, u32>,
    /// The first such pair: script's, real.
    first_timestamp: Option<(u32, u32)>,
}

impl Numbers {
    /// Those of a connection whose remote side starts with this number.
    pub(super) fn from_remote(isn: u32) -> Self {
        Numbers { remote_isn: isn, ..Numbers::default() }
    }

    fn local_shift(&self, syn: bool) -> u32 {
        let real = self.local_isn.unwrap_or(0);
        if syn { real.wrapping_sub(self.script_isn.unwrap_or(0)) } else { real }
    }

    fn remote_shift(&self, syn: bool) -> u32 {
        if syn { 0 } else { self.remote_isn }
    }

    /// A number of the stack's side: script to wire.
    pub(super) fn local_to_real(&self, number: u32, syn: bool) -> u32 {
        number.wrapping_add(self.local_shift(syn))
    }

    /// A number of the stack's side: wire to script.
    pub(super) fn local_to_script(&self, number: u32, syn: bool) -> u32 {
        number.wrapping_sub(self.local_shift(syn))
    }

    /// A number of the remote side: script to wire.
    pub(super) fn remote_to_real(&self, number: u32, syn: bool) -> u32 {
        number.wrapping_add(self.remote_shift(syn))
    }

    /// A number of the remote side: wire to script.
    pub(super) fn remote_to_script(&self, number: u32, syn: bool) -> u32 {
        number.wrapping_sub(self.remote_shift(syn))
    }

    /// Where in the stack's stream of bytes a packet's payload begins, from its sequence number on the wire.
    pub(super) fn local_offset(&self, seq: u32, syn: bool) -> u32 {
        seq.wrapping_add(u32::from(syn)).wrapping_sub(self.local_isn.unwrap_or(0).wrapping_add(1))
    }

    /// The same for the remote side.
    pub(super) fn remote_offset(&self, seq: u32, syn: bool) -> u32 {
        seq.wrapping_add(u32::from(syn)).wrapping_sub(self.remote_isn.wrapping_add(1))
    }

    /// A timestamp the stack sent, as written and as it was.
    pub(super) fn learn_timestamp(&mut self, script: u32, real: u32) {
        self.timestamps.insert(script, real);
        self.first_timestamp.get_or_insert((script, real));
    }

    /// The echoed timestamp that stands for the script's: of a packet that was seen, or (`scaled`) as far from the first one.
    pub(super) fn echoed_timestamp(&self, script: u32, scaled: bool) -> Option<u32> {
        let by_distance = || {
            self.first_timestamp.map(|(s0, r0)| script.wrapping_sub(s0).wrapping_add(r0)).filter(|_| scaled)
        };
        self.timestamps.get(&script).copied().or_else(by_distance)
    }

    /// How far the stack's clock and the script's have moved apart since the first timestamp, in ticks.
    pub(super) fn timestamp_drift(&self, script: u32, real: u32) -> u32 {
        let Some((s0, r0)) = self.first_timestamp else { return 0 };
        let drift = real.wrapping_sub(r0).wrapping_sub(script.wrapping_sub(s0));
        (drift as i32).unsigned_abs()
    }

    /// What the script would write for a timestamp on the wire: exact for one that was seen, else by distance.
    pub(super) fn timestamp_to_script(&self, real: u32) -> u32 {
        let seen = self.timestamps.iter().find(|&(_, &value)| value == real).map(|(&script, _)| script);
        let by_distance = || self.first_timestamp.map(|(s0, r0)| real.wrapping_sub(r0).wrapping_add(s0));
        seen.or_else(by_distance).unwrap_or(real)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A SYN's numbers are absolute, all others relative to the initial ones; both wrap.
    #[test]
    fn numbers_map_there_and_back() {
        let numbers = Numbers {
            local_isn: Some(u32::MAX - 1),
            script_isn: Some(100),
            ..Numbers::from_remote(u32::MAX)
        };
        assert_eq!(
            (numbers.local_to_real(100, true), numbers.local_to_real(1, false)),
            (u32::MAX - 1, u32::MAX)
        );
        assert_eq!((numbers.remote_to_real(7, true), numbers.remote_to_real(1, false)), (7, 0));
        for (number, syn) in [(0, false), (5, true), (u32::MAX, false), (u32::MAX, true)] {
            assert_eq!(numbers.local_to_script(numbers.local_to_real(number, syn), syn), number);
            assert_eq!(numbers.remote_to_script(numbers.remote_to_real(number, syn), syn), number);
        }
        assert_eq!((numbers.local_offset(u32::MAX, false), numbers.remote_offset(2, false)), (0, 2));
        assert_eq!(numbers.local_offset(u32::MAX - 1, true), 0, "data on a SYN stands behind it");
    }

    /// An echo is that of a packet seen; guessed from the distance only when asked to.
    #[test]
    fn timestamps_are_remembered_pair_by_pair() {
        let mut numbers = Numbers::default();
        assert_eq!(numbers.echoed_timestamp(100, true), None);
        numbers.learn_timestamp(100, 5_000);
        numbers.learn_timestamp(110, 5_012);
        assert_eq!(numbers.echoed_timestamp(110, false), Some(5_012));
        assert_eq!(
            (numbers.echoed_timestamp(120, false), numbers.echoed_timestamp(120, true)),
            (None, Some(5_020))
        );
        assert_eq!((numbers.timestamp_drift(110, 5_012), numbers.timestamp_drift(110, 5_009)), (2, 1));
        assert_eq!((numbers.timestamp_to_script(5_012), numbers.timestamp_to_script(5_020)), (110, 120));
    }
}
