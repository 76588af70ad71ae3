//! SYN cookies (RFC 4987 §3.6): when the SYN queue is full, a listener keeps nothing of a SYN. The SYN-ACK's sequence number holds a
//! keyed hash of what must come back and the peer's MSS; its timestamp's low bits hold window scale, SACK and ECN, because the peer
//! echoes both. Without timestamps these options are not agreed; nothing else of the connection is worse.
//!
//! The number grows by 2²⁴ with each secret, about as fast as other initial sequence numbers (RFC 6528), on a base of its own for
//! each four-tuple. No retransmission: nothing is left to retransmit from, the peer's SYN comes again; nor can such a connection wait for
//! data (`TCP_DEFER_ACCEPT`).

use crate::base::counters::{Counters, DropReason};
use crate::base::hash::HashKey;
use crate::base::rng::Rng;
use crate::base::time::{Duration, Instant};
use crate::wire::seq::SeqNum;
use crate::wire::tcp::{Flags, Options, TcpHeader, Timestamps};

use super::config::{SynCookies, TcpConfig};
use super::ecn;
use super::half_open::HalfOpen;
use super::segment::{FourTuple, Segment};
use super::tcb::{Env, default_mss};
use super::{Tcp, env};

/// What is left of the peer's MSS: the largest of these that is not above it. The values are the minimum, common defaults, and
/// what Ethernet leaves under tunnels, IPv6 and IPv4, and jumbo frames.
const MSS: [u16; 1 << INDEX_BITS] = [48, 216, 536, 1_220, 1_360, 1_440, 1_460, 8_940];
/// Bits of the sequence number that say which.
const INDEX_BITS: u32 = 3;
/// Bits of the sequence number that hash and MSS share; the rest counts secrets.
const MAC_BITS: u32 = 24;
/// Bits of the timestamp that hold options: four for the window scale, one each for SACK and ECN.
const OPTION_BITS: u32 = 6;
const NO_SCALE: u32 = 15;
const SACK: u32 = 1 << 4;
const ECN: u32 = 1 << 5;

/// Makes cookies and knows its own again. The secret changes with time and its predecessor counts as long as itself, so a cookie
/// lives between one and two of these times; after that nobody can use one, however it was come by.
#[derive(Clone)]
pub struct CookieJar {
    rng: Rng,
    base: HashKey,
    /// The secret of the current epoch and that of the one before.
    keys: [HashKey; 2],
    epoch: u64,
    rotation: Duration,
}

impl std::fmt::Debug for CookieJar {
    /// Never shows a secret (hostile case T6).
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CookieJar")
    }
}

impl CookieJar {
    /// Draws the first secrets; they change every `config.secret_rotation`.
    pub fn new(config: &TcpConfig, rng: &mut Rng) -> Self {
        let mut rng = Rng::from_seed(rng.seed());
        let mut key = || HashKey::new(&mut rng);
        let (base, keys) = (key(), [key(), key()]);
        CookieJar { base, keys, epoch: 0, rotation: config.secret_rotation.max(Duration::from_secs(1)), rng }
    }

    /// How long a cookie may count at most.
    pub fn lifetime(&self) -> Duration {
        self.rotation * 2
    }

    /// The initial sequence number of the answer to a SYN from `tuple` with the number `irs`.
    pub fn bake(&mut self, tuple: &FourTuple, irs: SeqNum, mss: u16, now: Instant) -> SeqNum {
        self.turn(now);
        let index = MSS.iter().rposition(|&known| known <= mss).unwrap_or(0) as u32;
        self.start(tuple) + ((self.epoch as u32) << MAC_BITS) + self.mac(0, tuple, irs, index)
    }

    /// The MSS in a cookie of ours; `None` if it was not made here for this tuple and number, or too long ago.
    pub fn open(&mut self, tuple: &FourTuple, irs: SeqNum, cookie: SeqNum, now: Instant) -> Option<u16> {
        self.turn(now);
        let rest = cookie.since(self.start(tuple));
        let age = (self.epoch as u32).wrapping_sub(rest >> MAC_BITS) & mask(32 - MAC_BITS);
        if age as usize >= self.keys.len() {
            return None;
        }
        let (low, index) = (rest & mask(MAC_BITS), rest & mask(INDEX_BITS));
        (low == self.mac(age as usize, tuple, irs, index)).then(|| MSS[index as usize])
    }

    fn start(&self, tuple: &FourTuple) -> SeqNum {
        SeqNum(self.base.secret_hash(tuple) as u32)
    }

    /// The hash with the index in its low bits; it covers the index, so that no cookie's neighbour is one.
    fn mac(&self, age: usize, tuple: &FourTuple, irs: SeqNum, index: u32) -> u32 {
        let hash = self.keys[age].secret_hash(&(tuple, irs.0, index)) as u32;
        hash & mask(MAC_BITS) & !mask(INDEX_BITS) | index
    }

    /// Draws new secrets for the time that has passed.
    fn turn(&mut self, now: Instant) {
        let epoch = (now.as_nanos() as u128 / self.rotation.as_nanos()) as u64;
        let passed = epoch.saturating_sub(self.epoch);
        for _ in 0..passed.min(2) {
            self.keys = [HashKey::new(&mut self.rng), self.keys[0]];
        }
        self.epoch += passed;
    }
}

const fn mask(bits: u32) -> u32 {
    (1 << bits) - 1
}

/// TSval of a SYN-ACK that remembers the options of `syn`: the clock `now`, or a little less, never more.
fn timestamp_with(syn: &TcpHeader, now: u32) -> u32 {
    let options = &syn.options;
    let mut bits = options.window_scale.map_or(NO_SCALE, u32::from);
    bits |= if options.sack_permitted { SACK } else { 0 };
    bits |= if ecn::is_setup(syn.flags) { ECN } else { 0 };
    let val = now & !mask(OPTION_BITS) | bits;
    if bits > now & mask(OPTION_BITS) { val.wrapping_sub(1 << OPTION_BITS) } else { val }
}

/// The SYN as far as the peer's ACK brings it back.
fn remembered(ack: &Segment, mss: u16) -> TcpHeader {
    let timestamps = ack.header.options.timestamps;
    let bits = timestamps.map_or(NO_SCALE, |ts| ts.ecr & mask(OPTION_BITS));
    let scale = bits & NO_SCALE;
    TcpHeader {
        seq: ack.seq() - 1,
        flags: Flags::SYN.with(ecn::setup(bits & ECN != 0)),
        window: ack.header.window,
        options: Options {
            mss: Some(mss),
            window_scale: (scale != NO_SCALE).then_some(scale as u8),
            sack_permitted: bits & SACK != 0,
            timestamps: timestamps.map(|ts| Timestamps { val: ts.val, ecr: 0 }),
            ..Options::default()
        },
        ..TcpHeader::default()
    }
}

impl Tcp {
    /// True if a SYN that finds a listener's queue `full`, or not, is to be answered with a cookie.
    pub(super) fn wants_cookie(&self, full: bool) -> bool {
        match self.config.syn_cookies {
            SynCookies::Off => false,
            SynCookies::WhenFull => full,
            SynCookies::Always => true,
        }
    }

    /// Answers a SYN and forgets it (hostile case T10).
    pub(super) fn send_cookie(&mut self, index: u32, syn: &Segment, counters: &mut Counters, now: Instant) {
        let Some(listener) = self.listeners.at_mut(index) else { return };
        listener.cookie_sent = Some(now);
        counters.tcp_cookies_sent += 1;
        let mut header = syn.header.clone();
        let mut ts_offset = self.secrets.timestamp_offset(&syn.tuple);
        if header.options.timestamps.is_none() || !self.config.timestamps {
            // Nothing would bring these back.
            header.options.window_scale = None;
            header.options.sack_permitted = false;
            header.flags = Flags::SYN;
        } else {
            let clock = now.as_millis() as u32;
            ts_offset = timestamp_with(&header, ts_offset.wrapping_add(clock)).wrapping_sub(clock);
        }
        let mss = header.options.mss.unwrap_or(default_mss(syn.tuple.remote.addr));
        let iss = self.cookies.bake(&syn.tuple, syn.seq(), mss, now);
        let options = self.listener_options(index);
        let env = &mut env!(self, counters, now);
        let mut tcb = HalfOpen::new(syn.tuple, &header, index, iss, now).to_tcb(ts_offset, options, env);
        tcb.syn_due = true;
        if let Some(frame) = tcb.poll_transmit(env) {
            self.push_reply(frame, counters);
        }
    }

    /// An ACK that no connection knows comes to a listener: if it brings a cookie back, the connection begins here. True if that
    /// was so and the segment is done with. Unless cookies were sent of late none is believed, so that guessing is in vain in
    /// quiet times.
    pub(super) fn take_cookie(
        &mut self,
        index: u32,
        segment: &mut Segment,
        counters: &mut Counters,
        now: Instant,
    ) -> bool {
        let (tuple, cookie, irs) = (segment.tuple, segment.ack() - 1, segment.seq() - 1);
        let Some(listener) = self.listeners.at(index) else { return false };
        if listener.cookie_sent.is_none_or(|sent| now.since(sent) >= self.cookies.lifetime()) {
            return false;
        }
        let Some(mss) = self.cookies.open(&tuple, irs, cookie, now) else {
            counters.tcp_cookies_failed += 1;
            return false;
        };
        if listener.is_full() || self.connections.len() >= self.config.max_connections {
            // The peer sends its data again, and with it the cookie.
            counters.drop(DropReason::TcpAcceptQueueFull);
            return true;
        }
        let mut entry = HalfOpen::new(tuple, &remembered(segment, mss), index, cookie, now);
        // Nobody knows when the SYN-ACK was sent: no round trip is measured.
        entry.repeated = true;
        let options = self.listener_options(index);
        let env = &mut env!(self, counters, now);
        let mut tcb = entry.to_tcb(self.secrets.timestamp_offset(&tuple), options.clone(), env);
        let verdict = tcb.receive(segment, env);
        if tcb.state.is_synchronized() {
            counters.tcp_cookies_accepted += 1;
            self.promote(tcb, index, counters, now);
        }
        self.conclude(verdict, segment, &options, counters);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::ip::Endpoint;

    const IRS: SeqNum = SeqNum(77);

    fn tuple(port: u16) -> FourTuple {
        FourTuple {
            local: Endpoint::new([10, 0, 0, 2].into(), 80),
            remote: Endpoint::new([10, 0, 0, 1].into(), port),
        }
    }

    fn jar() -> CookieJar {
        CookieJar::new(&TcpConfig::default(), &mut Rng::from_u64(1))
    }

    fn at(secs: u64) -> Instant {
        Instant::from_millis(secs * 1_000)
    }

    /// RFC 4987 §3.6: the MSS comes back as the largest known value that does not exceed it.
    #[test]
    fn a_cookie_brings_the_mss_back_rounded_down() {
        let mut jar = jar();
        for (mss, back) in [(1, 48), (48, 48), (535, 216), (536, 536), (1_460, 1_460), (9_000, 8_940)] {
            let cookie = jar.bake(&tuple(1), IRS, mss, at(5));
            assert_eq!(jar.open(&tuple(1), IRS, cookie, at(5)), Some(back), "{mss}");
        }
        let later = jar.bake(&tuple(1), IRS, 1_460, at(605));
        assert_eq!(jar.open(&tuple(1), IRS, later, at(665)), Some(1_460), "ten secrets later");
    }

    /// Hostile case T10: another tuple, number or cookie is refused; a guess among 2²⁸ would not be.
    #[test]
    fn a_cookie_counts_for_its_tuple_and_number_only() {
        let mut jar = jar();
        let cookie = jar.bake(&tuple(1), IRS, 1_460, at(5));
        assert_eq!(jar.open(&tuple(2), IRS, cookie, at(5)), None);
        assert_eq!(jar.open(&tuple(1), IRS + 1, cookie, at(5)), None);
        let guesses = (1..1_000).filter(|&i| jar.open(&tuple(1), IRS, cookie + i, at(5)).is_some());
        assert_eq!(guesses.count(), 0);
    }

    /// The secret of the epoch before counts, an older one does not, also when nobody baked meanwhile.
    #[test]
    fn a_cookie_lives_for_two_secrets() {
        let mut jar = jar();
        let cookie = jar.bake(&tuple(1), IRS, 1_460, at(59));
        assert_eq!(jar.open(&tuple(1), IRS, cookie, at(119)), Some(1_460));
        assert_eq!(jar.open(&tuple(1), IRS, cookie, at(120)), None);
        assert_eq!(
            jar.open(&tuple(1), IRS, cookie, at(59 + 257 * 60)),
            None,
            "the count wraps, the secret is gone"
        );
    }

    /// RFC 6528: each four-tuple has a base of its own, so that nobody learns another's numbers, or the count of secrets, from his.
    #[test]
    fn cookies_of_different_tuples_begin_anywhere() {
        let mut jar = jar();
        let tops: std::collections::HashSet<u32> =
            (1..50).map(|port| jar.bake(&tuple(port), IRS, 1_460, at(5)).0 >> MAC_BITS).collect();
        assert!(tops.len() > 20, "{tops:?}");
    }

    /// RFC 6528 (MUST-8): a later cookie of the same tuple has a larger number.
    #[test]
    fn cookies_of_one_tuple_grow_with_time() {
        let mut jar = jar();
        let mut last = jar.bake(&tuple(1), IRS, 1_460, at(0));
        for minute in 1..100 {
            let next = jar.bake(&tuple(1), IRS, 1_460, at(minute * 60 + 30));
            assert!(next.after(last), "{minute}");
            last = next;
        }
    }

    /// The timestamp carries the options and never runs ahead of the clock, which PAWS at the peer would not forgive later.
    #[test]
    fn a_timestamp_carries_scale_sack_and_ecn() {
        let ecn = Flags::ECE.with(Flags::CWR);
        for (scale, sack, flags) in [(None, false, Flags::NONE), (Some(0), true, ecn), (Some(14), false, ecn)]
        {
            for now in [0, 1, 15, 48, 63, 64, 64 + 46, 1_000_003, u32::MAX] {
                let mut syn = TcpHeader { flags: Flags::SYN.with(flags), ..TcpHeader::default() };
                syn.options.window_scale = scale;
                syn.options.sack_permitted = sack;
                let val = timestamp_with(&syn, now);
                assert!(now.wrapping_sub(val) < 64, "{val} at {now}");
                let mut ack = super::super::segment::tests::segment(78, Flags::ACK, b"");
                ack.header.options.timestamps = Some(Timestamps { val: 5, ecr: val });
                let back = remembered(&ack, 536);
                assert_eq!((back.options.window_scale, back.options.sack_permitted), (scale, sack));
                assert_eq!((back.flags, back.seq), (syn.flags, SeqNum(77)));
            }
        }
    }
}
