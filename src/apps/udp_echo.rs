//! UDP echo (RFC 862) that cannot be made into a loop or a weapon (hostile-cases M13).
//!
//! Two echo servers, or an echo and a chargen server, answer each other forever once a forged datagram sets them off. So
//! sources that are services answering anything are refused, our own port too, and each peer has a bounded rate. An echo
//! is never longer than what asked for it, so nothing is amplified. [`Guard`] decides, purely; [`serve`] moves datagrams.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tracing::{debug, info, warn};

use super::Report;
use crate::driver::clock;

/// Ports of services that answer whatever comes: echo, users, daytime, quote, chargen, time, DNS, TFTP, NTP.
/// Port 0 cannot be answered at all.
const LOOP_PORTS: [u16; 10] = [0, 7, 11, 13, 17, 19, 37, 53, 69, 123];

/// The largest UDP payload.
const MAX_DATAGRAM: usize = 65_535;

/// Bounds of the echo.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Datagrams a second answered to one peer; also how fast its burst is restored.
    pub rate: u32,
    /// Datagrams answered to one peer at once after a rest.
    pub burst: u32,
    /// Peers remembered.
    pub peers: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { rate: 10_000, burst: 10_000, peers: 1024 }
    }
}

/// What to do with a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Send its payload back.
    Answer,
    /// Its source port belongs to a service that would answer our answer.
    LoopPort,
    /// This peer sends faster than the limit.
    PeerRate,
    /// More peers at once than are remembered.
    TooManyPeers,
}

/// Decides which datagrams are answered.
#[derive(Debug)]
pub struct Guard {
    limits: Limits,
    own_port: u16,
    /// Ordered, so that nothing depends on a hash's secret. Every entry has spent something of its burst.
    peers: BTreeMap<IpAddr, Bucket>,
    /// When the peers were last looked through for rested ones.
    swept: Duration,
}

/// A token bucket in units of one datagram: what is spent at `since`, less what time has restored.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    spent: f64,
    since: Duration,
}

impl Guard {
    /// A guard for an echo on `own_port`.
    pub fn new(own_port: u16, limits: Limits) -> Self {
        Self { limits, own_port, peers: BTreeMap::new(), swept: Duration::ZERO }
    }

    /// Whether to answer a datagram from `from` that came at `now`, counted from any fixed moment.
    pub fn decide(&mut self, from: SocketAddr, now: Duration) -> Verdict {
        if from.port() == self.own_port || LOOP_PORTS.contains(&from.port()) {
            return Verdict::LoopPort;
        }
        let peer = peer_key(from.ip());
        if !self.peers.contains_key(&peer) && self.peers.len() >= self.limits.peers {
            self.sweep(now);
            if self.peers.len() >= self.limits.peers {
                return Verdict::TooManyPeers;
            }
        }
        let Limits { rate, burst, .. } = self.limits;
        let bucket = self.peers.entry(peer).or_insert(Bucket { spent: 0.0, since: now });
        bucket.spent = bucket.spent_at(now, rate);
        bucket.since = now;
        if bucket.spent + 1.0 > f64::from(burst) {
            return Verdict::PeerRate;
        }
        bucket.spent += 1.0;
        Verdict::Answer
    }

    /// Forgets peers whose burst is whole again. At most once in the time that restores one datagram, so that a flood
    /// of forged sources does not buy a walk through the table with each datagram.
    fn sweep(&mut self, now: Duration) {
        let rate = self.limits.rate;
        if now.saturating_sub(self.swept) < Duration::from_secs(1) / rate.max(1) {
            return;
        }
        self.swept = now;
        self.peers.retain(|_, bucket| bucket.spent_at(now, rate) > 0.0);
    }
}

impl Bucket {
    fn spent_at(self, now: Duration, rate: u32) -> f64 {
        let restored = now.saturating_sub(self.since).as_secs_f64() * f64::from(rate);
        (self.spent - restored).max(0.0)
    }
}

/// One IPv6 host has a whole /64 to send from, so that counts as one peer.
fn peer_key(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from(u128::from(v6) & !u128::from(u64::MAX)).into(),
        v4 => v4,
    }
}

/// Datagrams of one source that were received together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batch {
    /// Bytes of all; of a single datagram cut to the buffer.
    pub len: usize,
    /// Bytes of each but the last, which may be shorter.
    pub stride: usize,
    /// Who sent them.
    pub from: SocketAddr,
}

impl Batch {
    /// How many there are; an empty one comes alone.
    fn count(&self) -> usize {
        self.len.div_ceil(self.stride.max(1)).max(1)
    }
}

/// What the echo asks of a UDP socket.
pub trait Datagrams: Send {
    /// Waits for datagrams.
    ///
    /// # Errors
    /// What the socket reports, also errors that ICMP brought about earlier sends.
    fn recv(&self, buf: &mut [u8]) -> impl Future<Output = io::Result<Batch>> + Send;

    /// Sends the datagrams of `stride` bytes each that `payload` holds; the last is what is left.
    ///
    /// # Errors
    /// What the socket reports.
    fn send(
        &self,
        payload: &[u8],
        stride: usize,
        to: SocketAddr,
    ) -> impl Future<Output = io::Result<()>> + Send;
}

impl Datagrams for tokio::net::UdpSocket {
    async fn recv(&self, buf: &mut [u8]) -> io::Result<Batch> {
        self.recv_from(buf).await.map(|(len, from)| Batch { len, stride: len, from })
    }

    async fn send(&self, payload: &[u8], stride: usize, to: SocketAddr) -> io::Result<()> {
        let empty = payload.is_empty().then_some(payload);
        for datagram in payload.chunks(stride.max(1)).chain(empty) {
            self.send_to(datagram, to).await?;
        }
        Ok(())
    }
}

/// Echoes datagrams of `socket` until `shutdown` completes. `requests` of the report counts the datagrams answered.
pub async fn serve<S: Datagrams>(socket: S, mut guard: Guard, shutdown: impl Future<Output = ()>) -> Report {
    let start = clock::timer_now();
    let mut report = Report::default();
    let mut buffer = vec![0; MAX_DATAGRAM];
    let echo = async {
        loop {
            match socket.recv(&mut buffer).await {
                Ok(batch) => {
                    report.received += batch.len as u64;
                    let answered = admitted(&mut guard, &batch, start.elapsed());
                    if answered > 0 {
                        let payload = &buffer[..batch.len.min(answered * batch.stride)];
                        answer(&socket, payload, &batch, answered, &mut report).await;
                    }
                }
                Err(error) => {
                    warn!(%error, "UDP echo: receive failed");
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
        }
    };
    tokio::select! {
        biased;
        () = shutdown => {}
        () = echo => {}
    }
    info!(server = "udp-echo", answered = report.requests, received = report.received, "stopped");
    report
}

/// How many datagrams of the batch are answered, the first ones; each is decided on its own.
fn admitted(guard: &mut Guard, batch: &Batch, now: Duration) -> usize {
    let refused = (0..batch.count()).find_map(|number| match guard.decide(batch.from, now) {
        Verdict::Answer => None,
        verdict => Some((number, verdict)),
    });
    let Some((answered, verdict)) = refused else { return batch.count() };
    debug!(peer = %batch.from, refused = batch.count() - answered, ?verdict, "UDP echo refused");
    answered
}

async fn answer(socket: &impl Datagrams, payload: &[u8], batch: &Batch, count: usize, report: &mut Report) {
    match socket.send(payload, batch.stride, batch.from).await {
        Ok(()) => {
            report.requests += count as u64;
            report.sent += payload.len() as u64;
        }
        Err(error) => debug!(peer = %batch.from, %error, "UDP echo: send failed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { rate: 10, burst: 3, peers: 2 };

    fn from(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    /// hostile-cases M13: echo, chargen and their like, and ourselves, would answer our answer.
    #[test]
    fn sources_that_would_answer_back_are_refused() {
        let mut guard = Guard::new(7007, LIMITS);
        for port in [0, 7, 13, 17, 19, 37, 53, 69, 123, 7007] {
            let source = SocketAddr::new([10, 0, 0, 1].into(), port);
            assert_eq!(guard.decide(source, Duration::ZERO), Verdict::LoopPort, "port {port}");
        }
        assert!(guard.peers.is_empty(), "a refused source is not remembered");
        assert_eq!(guard.decide(from("10.0.0.1:40000"), Duration::ZERO), Verdict::Answer);
    }

    /// hostile-cases M13: a loop runs at the limit at most, whatever its ports; a rest restores the burst.
    #[test]
    fn a_peer_is_answered_its_burst_then_its_rate() {
        let mut guard = Guard::new(7, LIMITS);
        let mut answered = |now, count: u16| {
            let ports = (0..count).map(|i| SocketAddr::new([10, 0, 0, 1].into(), 1000 + i));
            ports.filter(|&peer| guard.decide(peer, now) == Verdict::Answer).count()
        };
        assert_eq!(answered(Duration::ZERO, 100), 3);
        assert_eq!(answered(Duration::from_millis(100), 100), 1);
        assert_eq!(answered(Duration::from_secs(60), 100), 3);
        assert_eq!(answered(Duration::ZERO, 1), 0, "a clock that goes back restores nothing");
    }

    /// hostile-cases M13: forged sources fill neither memory nor, for longer than one refill, the table.
    #[test]
    fn the_peer_table_is_bounded_and_frees_rested_peers() {
        let mut guard = Guard::new(7, LIMITS);
        let at = Duration::from_millis;
        assert_eq!(guard.decide(from("10.0.0.1:4000"), at(1000)), Verdict::Answer);
        assert_eq!(guard.decide(from("10.0.0.2:4000"), at(1000)), Verdict::Answer);
        assert_eq!(guard.decide(from("10.0.0.3:4000"), at(1000)), Verdict::TooManyPeers);
        assert_eq!(guard.decide(from("10.0.0.1:4000"), at(1000)), Verdict::Answer, "a known peer goes on");
        assert_eq!(guard.decide(from("10.0.0.3:4000"), at(1101)), Verdict::Answer);
        assert_eq!(guard.peers.len(), 2);
    }

    /// A host that owns a /64 does not get a bucket for each of its addresses.
    #[test]
    fn the_addresses_of_one_slash_64_are_one_peer() {
        let mut guard = Guard::new(7, LIMITS);
        let answered = (0..10u16).filter(|i| {
            let peer = SocketAddr::new(Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 2 + i).into(), 4000);
            guard.decide(peer, Duration::ZERO) == Verdict::Answer
        });
        assert_eq!(answered.count(), 3);
        assert_eq!(peer_key("::ffff:10.0.0.1".parse().unwrap()), from("10.0.0.1:1").ip());
    }

    /// RFC 862: the same data comes back, an empty datagram too.
    #[tokio::test]
    async fn datagrams_come_back_over_a_socket() {
        let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let addr = socket.local_addr().unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let guard = Guard::new(addr.port(), Limits::default());
        let server = tokio::spawn(serve(socket, guard, async { drop(stopped.await) }));
        let client = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        client.connect(addr).await.unwrap();
        for payload in [&b"hello"[..], b"", &[9; 40_000]] {
            client.send(payload).await.unwrap();
            let mut back = vec![0; MAX_DATAGRAM];
            let len = client.recv(&mut back).await.unwrap();
            assert!(back[..len] == *payload);
        }
        stop.send(()).unwrap();
        assert_eq!(server.await.unwrap(), Report { requests: 3, received: 40_005, sent: 40_005 });
    }
}
