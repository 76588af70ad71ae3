//! What a link does to packets, as values: every property with its unit. The textual form of the same stands in `text`.

use crate::base::time::Duration;

/// How long the queue in front of a link may get. What finds it full is dropped (drop-tail). One packet always has room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queue {
    /// This many packets.
    Packets(usize),
    /// This many bytes.
    Bytes(usize),
    /// As many bytes as the link sends in this time.
    Time(Duration),
}

/// CoDel (RFC 8289): a queue that stays long is cut by drops, in a rhythm that quickens until it is short again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Codel {
    /// The waiting time that may stand for ever.
    pub target: Duration,
    /// How long the waiting time may stay above it before the first drop.
    pub interval: Duration,
    /// Packets whose sender speaks ECN are marked "congestion experienced" instead of dropped (RFC 3168 §5).
    pub mark: bool,
}

impl Default for Codel {
    /// RFC 8289 §4.4: 5 ms and 100 ms. No marks.
    fn default() -> Self {
        Codel { target: Duration::from_millis(5), interval: Duration::from_millis(100), mark: false }
    }
}

/// Losses that come in bursts: the model of Gilbert and Elliott. A link in its bad state loses packets; every packet may change
/// the state. In the good state the link's own `loss` alone counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bursts {
    /// Probability that the state turns from good to bad with a packet.
    pub enter: f64,
    /// Probability that it turns from bad to good with a packet.
    pub leave: f64,
    /// Probability that a packet is lost in the bad state.
    pub loss: f64,
}

impl Bursts {
    /// Bursts that lose `share` (below 1) of all packets, `length` (at least 1) on average in a row.
    pub fn mean(share: f64, length: f64) -> Self {
        let leave = 1.0 / length.max(1.0);
        // The bad state's share of the time is enter / (enter + leave).
        let enter = (leave * share / (1.0 - share).max(f64::EPSILON)).min(1.0);
        Bursts { enter, leave, loss: 1.0 }
    }
}

/// A token bucket (as RFC 2697 fills one): packets beyond its rate are dropped at once, nothing waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policer {
    /// Bits per second.
    pub rate: u64,
    /// Bytes that may pass at once after a rest; the largest packet at least, or that never passes.
    pub bucket: u64,
}

/// What a link does to the packets it carries. Probabilities are from 0 to 1 and drawn for each packet.
#[derive(Clone, Debug, PartialEq)]
pub struct LinkConfig {
    /// The largest IP packet, in bytes; a larger one is dropped.
    pub mtu: usize,
    /// What exceeds its rate is dropped before anything else happens to it.
    pub policer: Option<Policer>,
    /// Bits per second; `None` is infinitely fast.
    pub rate: Option<u64>,
    /// What waits while earlier packets are being sent; without a rate nothing waits.
    pub queue: Queue,
    /// The queue is kept short by CoDel; its bound still holds.
    pub codel: Option<Codel>,
    /// Time from the last bit sent to the packet's arrival.
    pub delay: Duration,
    /// Added to the delay: a draw between zero and this. It does not reorder.
    pub jitter: Duration,
    /// What arrives is handed over in bunches, at multiples of this time: how radio and cable links compress ACKs.
    pub bunch: Duration,
    /// Probability that a packet vanishes.
    pub loss: f64,
    /// Losses that come together.
    pub bursts: Option<Bursts>,
    /// Probability that a packet arrives twice, the second time somewhat later.
    pub duplicate: f64,
    /// Probability that a packet is held back, so that later ones overtake it.
    pub reorder: f64,
    /// How long it is held back, and a second copy: a draw of up to this. `None`: two delays and a millisecond.
    pub reorder_by: Option<Duration>,
    /// Probability that one byte of a packet is changed. Every checksum of the Internet notices one changed byte.
    pub corrupt: f64,
}

impl Default for LinkConfig {
    /// A perfect link of 10 ms with Ethernet's MTU.
    fn default() -> Self {
        LinkConfig {
            mtu: 1500,
            policer: None,
            rate: None,
            queue: Queue::Packets(1000),
            codel: None,
            delay: Duration::from_millis(10),
            jitter: Duration::ZERO,
            bunch: Duration::ZERO,
            loss: 0.0,
            bursts: None,
            duplicate: 0.0,
            reorder: 0.0,
            reorder_by: None,
            corrupt: 0.0,
        }
    }
}

impl LinkConfig {
    /// A link that does nothing to any packet, until told to: what commands begin with.
    pub fn transparent() -> Self {
        LinkConfig { mtu: 65_535, delay: Duration::ZERO, ..LinkConfig::default() }
    }

    /// How long `len` bytes take to be sent.
    pub(super) fn sending_time(&self, len: usize) -> Duration {
        let nanos = |rate: u64| u128::from(len as u64) * 8_000_000_000 / u128::from(rate.max(1));
        Duration::from_nanos(self.rate.map_or(0, nanos).min(u64::MAX.into()) as u64)
    }

    /// True if a queue of `packets` with `bytes` in all has no room for `len` more.
    pub(super) fn is_full(&self, packets: usize, bytes: usize, len: usize) -> bool {
        let most = match self.queue {
            Queue::Packets(most) => return packets >= most.max(1),
            Queue::Bytes(most) => most as u128,
            Queue::Time(most) => u128::from(self.rate.unwrap_or(u64::MAX)) * most.as_nanos() / 8_000_000_000,
        };
        packets > 0 && (bytes + len) as u128 > most
    }
}
