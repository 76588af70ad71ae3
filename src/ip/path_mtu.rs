//! Path MTUs by destination (RFC 1191, RFC 8201): what ICMP says a path cannot carry, remembered for ten minutes.
//!
//! A message only ever lowers a path MTU, and never below 552 (IPv4) or 1,280 (IPv6). When the entry has expired, the device's MTU
//! is tried again (RFC 1191 §6.3). Whether a message is to be believed is the transport's to say: TCP knows which sequence
//! numbers are under way (RFC 5927 §7), UDP knows only its sockets. So what was told about datagrams lowers datagrams alone, and
//! nobody slows TCP down by guessing a UDP port; what TCP has verified counts for both.
//!
//! No probing here (RFC 4821): TCP does that for itself, see `tcp::mtu`.

use std::net::IpAddr;

use super::addresses::MIN_MTU_V6;
use crate::base::hash::{HashKey, HashMap};
use crate::base::rng::Rng;
use crate::base::table::Table;
use crate::base::time::{Duration, Instant};
use crate::base::timers::TimerQueue;

/// The least that ICMP can lower an IPv4 path to, as Linux (`min_pmtu`): a smaller report clears DF, and routers fragment.
pub const FLOOR_V4: u16 = 552;
/// The least that ICMPv6 can lower a path to: every link carries it (RFC 8200 §5).
pub const FLOOR_V6: u16 = MIN_MTU_V6 as u16;
/// How long a path MTU is believed (RFC 1191 §6.3, RFC 8201 §4).
pub const LIFETIME: Duration = Duration::from_secs(600);
/// Destinations remembered; the entry that would expire first makes room.
pub const MAX_PATHS: usize = 4_096;
/// Below this no IPv4 link is (RFC 791): a report of less is a lie.
const LEAST_V4: u32 = 68;
/// RFC 1191 §7.1: common MTUs, for routers that do not tell theirs.
const PLATEAUS: [u16; 9] = [32_000, 17_914, 8_166, 4_352, 2_002, 1_492, 1_006, 552, 508];

/// What a path carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathMtu {
    /// The largest packet to send, in bytes.
    pub mtu: u16,
    /// An IPv4 path carries less than the floor: packets go without DF, for routers to fragment.
    pub may_fragment: bool,
}

/// What an ICMP message of `reported` bytes about a packet of `size` bytes is worth; `None` if it cannot be true.
pub fn plausible(dst: IpAddr, reported: u32, size: u16) -> Option<PathMtu> {
    if dst.is_ipv6() {
        // RFC 8201 §4: a report below the minimum is discarded, since nothing it could ask for is left to do (RFC 8021).
        let mtu = u16::try_from(reported).ok().filter(|&mtu| mtu >= FLOOR_V6 && mtu < size)?;
        return Some(PathMtu { mtu, may_fragment: false });
    }
    let reported = match reported {
        // RFC 1191 §5: an old router does not say how much it carries; the next plateau is tried.
        0 => *PLATEAUS.iter().find(|&&plateau| plateau < size)?,
        LEAST_V4.. => u16::try_from(reported).ok().filter(|&mtu| mtu < size)?,
        _ => return None,
    };
    Some(PathMtu { mtu: reported.max(FLOOR_V4), may_fragment: reported < FLOOR_V4 })
}

/// The path MTUs of one stack.
#[derive(Debug)]
pub struct PathMtus {
    device: u16,
    segments: Paths,
    datagrams: Paths,
}

impl PathMtus {
    /// Nothing known but the device's MTU.
    pub fn new(device: usize, rng: &mut Rng) -> Self {
        let device = device.min(usize::from(u16::MAX)) as u16;
        PathMtus { device, segments: Paths::new(rng), datagrams: Paths::new(rng) }
    }

    /// What the path to `dst` carries, as far as TCP could verify it.
    pub fn for_segments(&self, dst: IpAddr) -> PathMtu {
        self.limited(self.segments.get(dst))
    }

    /// What the path to `dst` carries, as far as anybody has said.
    pub fn for_datagrams(&self, dst: IpAddr) -> PathMtu {
        let known = [self.segments.get(dst), self.datagrams.get(dst)];
        self.limited(known.into_iter().flatten().min_by_key(|path| (path.mtu, !path.may_fragment)))
    }

    /// Changes with every change of [`for_segments`](PathMtus::for_segments), so that a connection that has seen this version
    /// need not ask again.
    pub fn version(&self) -> u32 {
        self.segments.version
    }

    /// TCP has verified that the path to `dst` carries no more than this.
    pub fn lower_for_segments(&mut self, dst: IpAddr, path: PathMtu, now: Instant) {
        self.segments.lower(dst, path, now);
    }

    /// Somebody who knows of a socket says that the path to `dst` carries no more than `reported`.
    pub fn lower_for_datagrams(&mut self, dst: IpAddr, reported: u32, now: Instant) -> bool {
        let Some(path) = plausible(dst, reported, self.for_datagrams(dst).mtu) else { return false };
        self.datagrams.lower(dst, path, now);
        true
    }

    /// Forgets what is too old. Nobody need call it at a certain time, so an idle stack makes no wake-up for it.
    pub fn expire(&mut self, now: Instant) {
        self.segments.expire(now);
        self.datagrams.expire(now);
    }

    fn limited(&self, known: Option<PathMtu>) -> PathMtu {
        let whole = PathMtu { mtu: self.device, may_fragment: false };
        known.map_or(whole, |path| PathMtu { mtu: path.mtu.min(self.device), ..path })
    }
}

/// One table: destinations by a keyed hash, in places that have deadlines.
#[derive(Debug)]
struct Paths {
    index: HashMap<IpAddr, u32>,
    paths: Table<(IpAddr, PathMtu)>,
    deadlines: TimerQueue,
    version: u32,
}

impl Paths {
    fn new(rng: &mut Rng) -> Self {
        Paths {
            index: HashMap::with_hasher(HashKey::new(rng)),
            paths: Table::default(),
            deadlines: TimerQueue::new(),
            version: 0,
        }
    }

    fn get(&self, dst: IpAddr) -> Option<PathMtu> {
        // Most stacks have learnt nothing: no hash is taken for that.
        if self.index.is_empty() {
            return None;
        }
        self.index.get(&dst).and_then(|&place| self.paths.at(place)).map(|&(_, path)| path)
    }

    /// Never raises what is known (hostile case T9), and what it does not lower lives no longer for it.
    fn lower(&mut self, dst: IpAddr, path: PathMtu, now: Instant) {
        let rank = |path: PathMtu| (path.mtu, !path.may_fragment);
        if self.get(dst).is_some_and(|known| rank(known) <= rank(path)) {
            return;
        }
        let place = match self.index.get(&dst) {
            Some(&place) => place,
            None => self.new_place(dst, path),
        };
        if let Some(entry) = self.paths.at_mut(place) {
            entry.1 = path;
        }
        self.deadlines.set(place, Some(now + LIFETIME));
        self.version = self.version.wrapping_add(1);
    }

    fn new_place(&mut self, dst: IpAddr, path: PathMtu) -> u32 {
        if self.index.len() >= MAX_PATHS
            && let Some(next) = self.deadlines.next()
        {
            self.forget_one(next);
        }
        let place = self.paths.insert((dst, path)).index;
        self.index.insert(dst, place);
        place
    }

    fn expire(&mut self, now: Instant) {
        while self.forget_one(now) {}
    }

    /// Forgets an entry that is due at `now`; false if there is none.
    fn forget_one(&mut self, now: Instant) -> bool {
        let Some(place) = self.deadlines.pop_due(now) else { return false };
        if let Some((dst, _)) = self.paths.remove(place) {
            self.index.remove(&dst);
        }
        self.version = self.version.wrapping_add(1);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const V4: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
    const V6: IpAddr = IpAddr::V6(std::net::Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 1));
    const WHOLE: PathMtu = PathMtu { mtu: 1_500, may_fragment: false };

    fn table() -> PathMtus {
        PathMtus::new(1_500, &mut Rng::from_u64(1))
    }

    fn path(mtu: u16) -> PathMtu {
        PathMtu { mtu, may_fragment: false }
    }

    /// Hostile case T9; RFC 1191 §5 and §7.1, RFC 8201 §4, RFC 5927 §7: frag-needed with 0, 20, 68, 552, 1499, 9000, and
    /// packet-too-big with 0, 1279, 1280.
    #[test]
    fn only_plausible_reports_count_and_floors_hold() {
        let v4 = |reported| plausible(V4, reported, 1_500);
        assert_eq!(v4(0), Some(path(1_492)), "an old router: the next plateau");
        assert_eq!((v4(20), v4(67)), (None, None), "no IPv4 link carries so little");
        assert_eq!(v4(68), Some(PathMtu { mtu: 552, may_fragment: true }), "the floor, without DF");
        assert_eq!((v4(552), v4(1_499)), (Some(path(552)), Some(path(1_499))));
        assert_eq!((v4(1_500), v4(9_000), v4(66_000)), (None, None, None), "the packet was smaller");
        assert_eq!(plausible(V4, 0, 1_006), Some(path(552)));
        assert_eq!(plausible(V4, 0, 552), Some(PathMtu { mtu: 552, may_fragment: true }));
        assert_eq!(plausible(V4, 0, 500), None, "there is no plateau below");
        let v6 = |reported| plausible(V6, reported, 1_500);
        assert_eq!((v6(0), v6(1_279), v6(66_000)), (None, None, None));
        assert_eq!((v6(1_280), v6(1_500)), (Some(path(1_280)), None));
    }

    /// Hostile case T9: a path MTU is never raised by a message, each destination has its own, and ten minutes after it was
    /// lowered the larger size is tried again (RFC 1191 §6.3, RFC 8201 §4).
    #[test]
    fn a_path_mtu_falls_only_and_expires_after_ten_minutes() {
        let (mut table, now) = (table(), Instant::from_millis(5));
        table.lower_for_segments(V4, path(1_400), now);
        assert_eq!((table.for_segments(V4), table.for_segments(V6)), (path(1_400), WHOLE));
        table.lower_for_segments(V4, path(1_450), now + LIFETIME / 2);
        table.lower_for_segments(V4, path(1_400), now + LIFETIME / 2);
        assert_eq!(table.for_segments(V4), path(1_400));
        let version = table.version();
        table.expire(now + LIFETIME - Duration::from_nanos(1));
        assert_eq!((table.for_segments(V4), table.version()), (path(1_400), version));
        table.expire(now + LIFETIME);
        assert_eq!(table.for_segments(V4), WHOLE, "a repeated report does not prolong it");
        assert_ne!(table.version(), version);
    }

    /// Hostile case T9: what is said about a datagram, which anybody can say who knows a port, does not slow TCP down.
    #[test]
    fn what_is_told_of_datagrams_does_not_lower_segments() {
        let mut table = table();
        assert!(table.lower_for_datagrams(V4, 1_200, Instant::ZERO));
        assert!(!table.lower_for_datagrams(V4, 1_300, Instant::ZERO));
        assert_eq!((table.for_datagrams(V4), table.for_segments(V4)), (path(1_200), WHOLE));
        table.lower_for_segments(V4, path(1_000), Instant::ZERO);
        assert_eq!(table.for_datagrams(V4), path(1_000));
    }

    /// RFC 1191 §5: of two reports of the floor the one that leaves packets to the routers counts, in any order and from anybody; and no
    /// path carries more than the device.
    #[test]
    fn a_path_below_the_floor_is_never_forgotten_for_one_at_the_floor() {
        let below = PathMtu { mtu: FLOOR_V4, may_fragment: true };
        let (mut table, now) = (table(), Instant::ZERO);
        table.lower_for_segments(V4, path(FLOOR_V4), now);
        table.lower_for_segments(V4, below, now);
        table.lower_for_segments(V4, path(FLOOR_V4), now);
        assert_eq!(table.for_segments(V4), below);
        for told_first in [path(FLOOR_V4), below] {
            let other = if told_first == below { path(FLOOR_V4) } else { below };
            let mut table = self::table();
            table.datagrams.lower(V4, told_first, now);
            table.lower_for_segments(V4, other, now);
            assert_eq!(table.for_datagrams(V4), below);
        }
        table.lower_for_segments(V6, path(9_000), now);
        assert_eq!(table.for_segments(V6), WHOLE);
    }

    /// Hostile case T9: destinations without number cost bounded memory, and the oldest makes room.
    #[test]
    fn the_table_is_bounded_and_forgets_the_oldest() {
        let mut table = table();
        let dst = |i: usize| IpAddr::from((i as u32).to_be_bytes());
        for i in 0..MAX_PATHS + 10 {
            table.lower_for_segments(dst(i), path(1_000), Instant::from_millis(i as u64));
        }
        assert_eq!((table.segments.index.len(), table.segments.paths.len()), (MAX_PATHS, MAX_PATHS));
        assert_eq!((table.for_segments(dst(9)), table.for_segments(dst(10))), (WHOLE, path(1_000)));
    }
}
