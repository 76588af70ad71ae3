//! Links worse than those of the seeds (hostile case M12): 40 % loss, loss in one direction, reordering by a thousand packets, and
//! links that die. The stream is a prefix of what was sent at every moment, and in the end it is whole or the sender has been told
//! ETIMEDOUT.
//!
//! A change that keeps the checksum right is not here: no TCP can notice it, and the stream it makes is another one.

use std::io::IoSlice;
use std::net::Shutdown;

use tidegate::base::rng::Rng;
use tidegate::base::socket::SocketError;
use tidegate::base::time::{Duration, Instant};
use tidegate::device::Capabilities;
use tidegate::sim::{Fate, HostId, LinkConfig, Network, Queue};
use tidegate::tcp::TcpId;
use tidegate::tcp::config::TcpConfig;

use crate::pair::{Pair, pattern};
use crate::seeds::{CORRUPTION, FAULTS};

/// Longer than a connection lives that nobody answers.
const LIMIT: Duration = Duration::from_secs(4 * 3600);

/// What became of a transfer from the first host to the second.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Whole,
    TimedOut,
}

/// One stream on its way.
struct Transfer {
    len: usize,
    written: usize,
    read: usize,
    shut: bool,
    end: Option<End>,
}

impl Transfer {
    /// Writes what there is room for; closes once all is written.
    fn write(&mut self, network: &mut Network, host: HostId, id: TcpId) {
        let now = network.now();
        let tcp = network.stack(host).tcp();
        while self.written < self.len && self.end.is_none() {
            let until = (self.written + 5_000).min(self.len);
            let bytes: Vec<u8> = (self.written..until).map(|at| pattern(0, at)).collect();
            match tcp.send(id, &[IoSlice::new(&bytes)], now) {
                Ok(taken) => self.written += taken,
                Err(SocketError::WouldBlock) => break,
                Err(error) => self.fails(error),
            }
        }
        if self.written == self.len && !self.shut && self.end.is_none() {
            self.shut = tcp.shutdown(id, Shutdown::Write, now).is_ok();
        }
        match tcp.recv(id, &mut [0; 1], now) {
            Ok(0) | Err(SocketError::WouldBlock) => {}
            Ok(_) => panic!("a byte that nobody sent"),
            Err(error) => self.fails(error),
        }
    }

    fn fails(&mut self, error: SocketError) {
        assert_eq!(error, SocketError::TimedOut, "the only error there may be");
        self.end.get_or_insert(End::TimedOut);
    }

    /// Whatever is read continues the prefix.
    fn read(&mut self, network: &mut Network, host: HostId, id: TcpId) {
        let now = network.now();
        let mut buffer = [0; 5_000];
        while self.end.is_none() {
            match network.stack(host).tcp().recv(id, &mut buffer, now) {
                Ok(0) => {
                    assert_eq!(self.read, self.len, "the stream ends early");
                    self.end = Some(End::Whole);
                }
                Ok(len) => {
                    for (at, &byte) in (self.read..).zip(&buffer[..len]) {
                        assert_eq!(byte, pattern(0, at), "byte {at}");
                    }
                    self.read += len;
                    assert!(self.read <= self.len, "more bytes than were written");
                }
                Err(error) => {
                    assert_eq!(error, SocketError::WouldBlock);
                    return;
                }
            }
        }
    }
}

/// Sends `len` bytes from the first host to the second, until they are there or the sender is told that they never will be.
fn transfer(pair: &mut Pair, len: usize) -> Transfer {
    pair.hosts.iter().for_each(|&host| pair.network.allow_drops(host, &[FAULTS, CORRUPTION].concat()));
    let ([client, server], address, now) = (pair.hosts, pair.server(), pair.network.now());
    let listener = pair.network.stack(server).tcp_listen(address, 4).unwrap();
    let near = pair.network.stack(client).tcp_connect(None, address, now).unwrap();
    let mut far = None;
    let mut transfer = Transfer { len, written: 0, read: 0, shut: false, end: None };
    let ended = pair.network.run_while(LIMIT, |network| {
        transfer.write(network, client, near);
        far = far.or_else(|| network.stack(server).tcp().accept(listener).ok().map(|(id, _)| id));
        far.into_iter().for_each(|far| transfer.read(network, server, far));
        transfer.end.is_none()
    });
    assert!(ended, "stalled: {} written, {} read", transfer.written, transfer.read);
    transfer
}

/// A connection that does not give up before everything is tried: losing on purpose is not giving up.
fn patient() -> TcpConfig {
    TcpConfig { syn_retries: 30, syn_ack_retries: 30, retries: 60, ..TcpConfig::default() }
}

fn pair(seed: u64, tcp: TcpConfig, link: LinkConfig) -> Pair {
    let (v6, offload) = (seed % 2 == 1, seed % 4 > 1);
    let capabilities = if offload { Capabilities::offload(1_500) } else { Capabilities::plain(1_500) };
    Pair::new(seed, v6, [tcp.clone(), tcp], [capabilities; 2], link)
}

/// Lets one direction lose packets at random, as filter, for the links of a pair have the same faults in both.
fn lose_one_way(pair: &mut Pair, from: usize, loss: f64, seed: u64) {
    let mut rng = Rng::from_u64(seed);
    pair.network.set_filter(pair.hosts[from], pair.hosts[1 - from], move |_, _| !rng.chance(loss));
}

/// How often the first host sent segments again, and how many segments of data the stream needs at least.
fn retransmissions(pair: &mut Pair, transfer: &Transfer) -> (u64, u64) {
    let again = pair.network.stack(pair.hosts[0]).counters().tcp_retransmits;
    (again, 1 + transfer.len.div_ceil(1_400) as u64)
}

const LEN: usize = 60_000;

/// Hostile case M12: 40 % loss both ways, with and without duplicates, reordering and corruption on top: everything arrives, and
/// the segments sent again stay within a few times what the loss takes.
#[test]
fn forty_percent_of_loss_delays_but_changes_nothing() {
    let loss = LinkConfig { loss: 0.4, ..LinkConfig::default() };
    let all = LinkConfig { duplicate: 0.2, reorder: 0.3, corrupt: 0.1, ..loss.clone() };
    for seed in 0..24 {
        let mut pair = pair(seed, patient(), if seed % 3 == 0 { all.clone() } else { loss.clone() });
        let transfer = transfer(&mut pair, LEN);
        assert_eq!((transfer.end.as_ref(), transfer.read), (Some(&End::Whole), LEN), "seed {seed}");
        let (again, needed) = retransmissions(&mut pair, &transfer);
        assert!(again <= 12 * needed, "seed {seed}: {again} sent again for {needed}");
    }
}

/// Hostile case M12: the same with the limits that connections have by default: the stream is whole, or the sender is told that it
/// timed out (MUST-20) and what was read is a prefix.
#[test]
fn loss_beyond_the_limits_is_a_timeout() {
    let mut ends = Vec::new();
    for seed in 0..40 {
        let tcp = TcpConfig { retries: 3, syn_retries: 2, ..TcpConfig::default() };
        let mut pair = pair(seed, tcp, LinkConfig { loss: 0.5, ..LinkConfig::default() });
        ends.extend(transfer(&mut pair, LEN / 4).end);
    }
    assert!(ends.contains(&End::TimedOut), "{ends:?}");
}

/// Hostile case M12: loss in one direction only, of data or of acknowledgements.
#[test]
fn loss_in_one_direction_changes_nothing() {
    let mut lost = [0; 2];
    for seed in 0..12 {
        for from in [0, 1] {
            let mut pair = pair(seed, patient(), LinkConfig::default());
            lose_one_way(&mut pair, from, 0.4, 2 * seed + from as u64);
            let transfer = transfer(&mut pair, LEN);
            assert_eq!((transfer.end.as_ref(), transfer.read), (Some(&End::Whole), LEN), "seed {seed}");
            let (again, needed) = retransmissions(&mut pair, &transfer);
            assert!(again <= 6 * needed, "seed {seed} from {from}: {again} sent again for {needed}");
            let [a, b] = [pair.hosts[from], pair.hosts[1 - from]];
            lost[from] += pair.network.link_counters(a, b).filtered;
            assert_eq!(pair.network.link_counters(b, a).filtered, 0);
        }
    }
    assert!(lost.iter().all(|&lost| lost > 20), "{lost:?} packets were lost");
}

/// Hostile case M12: a direction that dies in the middle ends the connection with ETIMEDOUT after R2 retransmissions of one
/// segment, not before and not much later; what arrived is a prefix, and it is everything sent if only the answers died.
#[test]
fn a_direction_that_dies_is_a_timeout() {
    for seed in 0..4 {
        for from in [0, 1] {
            let retries = TcpConfig::default().retries;
            let mut pair = pair(seed, TcpConfig::default(), LinkConfig::default());
            let dies = Instant::from_millis(65);
            pair.network.set_filter(pair.hosts[from], pair.hosts[1 - from], move |_, now| now < dies);
            let transfer = transfer(&mut pair, 20 * LEN);
            assert_eq!(transfer.end, Some(End::TimedOut), "seed {seed} from {from}");
            assert!(transfer.read > 0 && transfer.read < transfer.len);
            let (again, _) = retransmissions(&mut pair, &transfer);
            // One more segment may go twice while the first timeout makes it up what was lost.
            let most = u64::from(retries) + 2;
            assert!((u64::from(retries)..=most).contains(&again), "seed {seed} from {from}: {again}");
        }
    }
}

/// How many packets with data, sent later, came before the one that they overtook furthest.
fn furthest_overtaken(pair: &Pair) -> usize {
    let mut arrivals: Vec<(Instant, u64)> = Vec::new();
    for traced in pair.network.trace().iter().filter(|traced| traced.from == pair.hosts[0]) {
        match traced.passage.fate {
            Fate::Arrives(at) if traced.bytes.len() > 500 => arrivals.push((at, traced.number)),
            _ => {}
        }
    }
    let overtakers = |&(at, number): &(Instant, u64)| {
        arrivals.iter().filter(|&&(other, later)| later > number && other < at).count()
    };
    arrivals.iter().map(overtakers).max().unwrap_or(0)
}

/// Hostile case M12: packets held back until about a thousand others have passed them.
#[test]
fn a_thousand_packets_may_overtake_one() {
    for seed in 0..3 {
        let tcp = TcpConfig { initial_window: 1_500, receive_buffer_initial: 6 << 20, ..patient() };
        let link = LinkConfig { reorder: 0.05, duplicate: 0.02, ..LinkConfig::default() };
        let mut pair = pair(seed, tcp, LinkConfig { queue: Queue::Packets(9_000), ..link });
        pair.network.keep_trace();
        let len = 1_400 * 1_500;
        let transfer = transfer(&mut pair, len);
        assert_eq!((transfer.end.as_ref(), transfer.read), (Some(&End::Whole), len), "seed {seed}");
        let furthest = furthest_overtaken(&pair);
        assert!(furthest >= 900, "seed {seed}: {furthest} packets came before one sent ahead of them");
        let (again, needed) = retransmissions(&mut pair, &transfer);
        assert!(again <= 2 * needed, "seed {seed}: {again} sent again for {needed}");
    }
}

/// Hostile case M12: a changed byte never passes the checksums, and counts as loss: the stream stays what was sent.
#[test]
fn corruption_is_caught_and_counts_as_loss() {
    for seed in 0..12 {
        let mut pair = pair(seed, patient(), LinkConfig { corrupt: 0.3, ..LinkConfig::default() });
        let transfer = transfer(&mut pair, LEN);
        assert_eq!((transfer.end.as_ref(), transfer.read), (Some(&End::Whole), LEN), "seed {seed}");
        assert!(pair.network.link_counters(pair.hosts[0], pair.hosts[1]).corrupted > 0);
    }
}
