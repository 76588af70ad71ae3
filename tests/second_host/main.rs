//! A second opinion on the wire: smoltcp, another TCP/IP stack, as a host behind another TUN device, with the kernel as the
//! router between the two devices. Bytes go both ways over IPv4 and IPv6 and are compared, and every connection closes
//! without a reset (RFC 9293 §3.6).
//!
//! Every test enters a network namespace of its own, which needs root and /dev/net/tun; without them it fails and says so.
//! smoltcp drops nothing here, so loss is not the subject.

// Helpers here are test code too, which clippy.toml's exception for tests does not see.
#![allow(clippy::unwrap_used)]

mod host;

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use host::{Host, Talk};
use nix::sched::{CloneFlags, unshare};
use tidegate::apps::{self, Report, Stop};
use tidegate::device::netconfig::HostSide;
use tidegate::device::tun::Tun;
use tidegate::driver::Driver;
use tidegate::net::{Net, TcpListener, TcpStream};
use tidegate::stack::StackConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

const MIB: usize = 1 << 20;
/// How long one test may take.
const BOUND: Duration = Duration::from_secs(60);
/// smoltcp's buffers, each way: enough for a scaled window.
const BUFFER: usize = 256 * 1024;

const TIDEGATE: [&str; 2] = ["10.77.0.2", "fd77::2"];
const SMOLTCP: [&str; 2] = ["10.88.0.2", "fd88::2"];
const ROUTER_TO_TIDEGATE: [&str; 2] = ["10.77.0.1", "fd77::1"];
const ROUTER_TO_SMOLTCP: [&str; 2] = ["10.88.0.1", "fd88::1"];

/// Both hosts, in the test's own network namespace.
struct Hosts {
    net: Net,
    driver: Driver,
    smoltcp: Arc<Mutex<Host>>,
}

impl Hosts {
    fn start(offload: bool) -> Hosts {
        let smoltcp = Host::open("smol0", &subnets(SMOLTCP), &ROUTER_TO_SMOLTCP.map(addr));
        // Without a link-local address and what the kernel would say about it.
        ip("link set smol0 addrgenmode none");
        ip("link set smol0 up");
        for (router, len) in subnets(ROUTER_TO_SMOLTCP) {
            ip(&format!("addr add {router}/{len} dev smol0{}", if router.is_ipv6() { " nodad" } else { "" }));
        }
        let mut tun = Tun::open("tide0", offload).expect("these tests need /dev/net/tun");
        assert_eq!(tun.configure(&HostSide { addrs: subnets(ROUTER_TO_TIDEGATE), mtu: None }), Ok(vec![]));
        let config = StackConfig { addrs: subnets(TIDEGATE), tcp: Default::default() };
        let (net, driver) = Net::start(config, tun).unwrap();
        Hosts { net, driver, smoltcp: Arc::new(Mutex::new(smoltcp)) }
    }

    /// Runs smoltcp's side on a thread of its own.
    async fn smoltcp(&self, work: impl FnOnce(&mut Host) -> Vec<u8> + Send + 'static) -> Vec<u8> {
        let host = self.smoltcp.clone();
        let work = spawn_blocking(move || work(&mut host.lock().unwrap()));
        work.await.expect("smoltcp's side failed")
    }

    /// smoltcp connects to `port` of tidegate, which serves that one connection with `serve`. Returns what smoltcp received
    /// and what tidegate reports.
    async fn serve<F: Future<Output = Report>>(
        &self,
        to: SocketAddr,
        buffer: usize,
        talk: Talk,
        serve: impl FnOnce(TcpStream) -> F,
    ) -> (Vec<u8>, Report) {
        let listener = TcpListener::bind(&self.net, to).await.unwrap();
        let server = async {
            let (stream, peer) = listener.accept().await.unwrap();
            assert!(SMOLTCP.map(addr).contains(&peer.ip()), "{peer}");
            serve(stream).await
        };
        tokio::join!(self.smoltcp(move |host| host.connect(to, buffer, talk)), server)
    }

    /// tidegate connects to a server on smoltcp, sends `bytes`, closes, and reads to the end. Returns what smoltcp and
    /// what tidegate received.
    async fn connect(&self, to: SocketAddr, buffer: usize, talk: Talk, bytes: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let client = async {
            let (mut reader, mut writer) = TcpStream::connect(&self.net, to).await.unwrap().into_split();
            let mut received = Vec::new();
            let write = async {
                writer.write_all(bytes).await.unwrap();
                writer.shutdown().await.unwrap();
            };
            tokio::join!(write, async { reader.read_to_end(&mut received).await.unwrap() });
            received
        };
        tokio::join!(self.smoltcp(move |host| host.accept(to.port(), buffer, talk)), client)
    }

    /// Every connection has closed by FIN and ACK alone, and no packet was in any way wrong.
    async fn close(self) {
        self.driver.shutdown(Duration::from_secs(5)).await.unwrap();
        let counters = self.net.counters();
        for name in ["tcp_rst_out", "tcp_rst_in", "drop_tcp_checksum", "drop_tcp_malformed", "drop_tcp_flags"]
        {
            assert_eq!(counters.get(name), 0, "{name} in {counters}");
        }
    }
}

/// Runs `test` with both hosts in a fresh network namespace whose kernel forwards between them.
fn meet(offload: bool, test: impl AsyncFnOnce(&Hosts)) {
    unshare(CloneFlags::CLONE_NEWNET).expect("these tests need root, for a network namespace of their own");
    for forwarding in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
        let path = format!("/proc/sys/net/{forwarding}");
        fs::write(&path, "1").unwrap_or_else(|error| panic!("{path} must be writable: {error}"));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let both = async {
            let hosts = Hosts::start(offload);
            test(&hosts).await;
            hosts.close().await;
        };
        timeout(BOUND, both).await.expect("the test ends in time");
    });
}

fn ip(arguments: &str) {
    let out = Command::new("ip").args(arguments.split(' ')).output().expect("`ip` of iproute2 is needed");
    assert!(out.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&out.stderr));
}

fn addr(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn subnets([v4, v6]: [&str; 2]) -> Vec<(IpAddr, u8)> {
    vec![(addr(v4), 24), (addr(v6), 64)]
}

/// The host at `port`, by IPv4 and by IPv6.
fn at(host: [&str; 2], port: u16) -> [SocketAddr; 2] {
    host.map(|host| SocketAddr::new(addr(host), port))
}

/// Bytes without a period that segments or windows could share.
fn bytes(len: usize) -> Vec<u8> {
    (0..len as u32).map(|i| (i.wrapping_mul(0x9E37_79B1) >> 23) as u8).collect()
}

/// Not `assert_eq`, which would print megabytes.
fn assert_same(expected: &[u8], received: &[u8]) {
    assert_eq!(received.len(), expected.len());
    let wrong = expected.iter().zip(received).position(|(expected, received)| expected != received);
    assert_eq!(wrong, None, "the first wrong byte");
}

/// What RFC 864 suggests: 72 of the 95 printable characters a line, each line one character further.
fn generated(len: usize) -> Vec<u8> {
    let line = |start: usize| (start..start + 72).map(|i| b' ' + (i % 95) as u8).chain(*b"\r\n");
    (0..).flat_map(line).take(len).collect()
}

#[test]
fn tidegate_echoes_what_smoltcp_sends() {
    meet(true, async |hosts| {
        for to in at(TIDEGATE, 7) {
            let sent = bytes(4 * MIB);
            let (received, report) = hosts.serve(to, BUFFER, Talk::send(sent.clone()), apps::echo::run).await;
            assert_same(&sent, &received);
            assert_eq!((report.received, report.sent), (sent.len() as u64, sent.len() as u64));
        }
    });
}

#[test]
fn tidegate_discards_what_smoltcp_sends() {
    meet(true, async |hosts| {
        for to in at(TIDEGATE, 9) {
            let talk = Talk::send(bytes(20 * MIB));
            let (received, report) = hosts.serve(to, BUFFER, talk, apps::discard::run).await;
            assert_eq!((received.len(), report.received), (0, 20 * MIB as u64));
        }
    });
}

/// smoltcp has closed its sending side from the start; tidegate's FIN follows data that is still under way.
#[test]
fn tidegate_generates_characters_for_smoltcp_until_it_is_stopped() {
    meet(true, async |hosts| {
        for to in at(TIDEGATE, 19) {
            let (raise, stop) = Stop::channel();
            let talk = Talk::receive(20 * MIB, move || raise.send(true).unwrap());
            let serve = |stream| apps::chargen::run(stream, stop);
            let (received, report) = hosts.serve(to, BUFFER, talk, serve).await;
            assert_eq!(report.sent, received.len() as u64);
            assert_same(&generated(received.len()), &received);
        }
    });
}

#[test]
fn smoltcp_echoes_what_tidegate_sends() {
    meet(true, async |hosts| {
        for to in at(SMOLTCP, 7) {
            let sent = bytes(4 * MIB);
            let (there, back) = hosts.connect(to, BUFFER, Talk::echo(), &sent).await;
            assert_same(&sent, &there);
            assert_same(&sent, &back);
        }
    });
}

/// Both send at once, without regard to each other.
#[test]
fn bulk_crosses_bulk() {
    meet(true, async |hosts| {
        for to in at(SMOLTCP, 5_001) {
            let (up, down) = (bytes(20 * MIB), bytes(10 * MIB + 1));
            let (there, back) = hosts.connect(to, BUFFER, Talk::send(down.clone()), &up).await;
            assert_same(&up, &there);
            assert_same(&down, &back);
        }
    });
}

/// The kernel has nothing to segment and nothing to sum for tidegate.
#[test]
fn plain_packets_carry_the_same_bytes() {
    meet(false, async |hosts| {
        let (up, down) = (bytes(5 * MIB), bytes(5 * MIB + 1));
        for to in at(SMOLTCP, 5_001) {
            let (there, back) = hosts.connect(to, BUFFER, Talk::send(down.clone()), &up).await;
            assert_same(&up, &there);
            assert_same(&down, &back);
        }
        for to in at(TIDEGATE, 7) {
            let (received, _) = hosts.serve(to, BUFFER, Talk::send(up.clone()), apps::echo::run).await;
            assert_same(&up, &received);
        }
    });
}

/// RFC 9293 §3.8.6.2.1: silly-window avoidance on both sides must not wait for a full segment, which has no room here.
#[test]
fn a_window_of_few_bytes_lets_everything_through() {
    meet(true, async |hosts| {
        let sent = bytes(64 * 1024);
        for (to, buffer) in at(SMOLTCP, 7).into_iter().zip([2_000, 500]) {
            let (there, back) = hosts.connect(to, buffer, Talk::echo(), &sent).await;
            assert_same(&sent, &there);
            assert_same(&sent, &back);
        }
        for (to, buffer) in at(TIDEGATE, 7).into_iter().zip([500, 2_000]) {
            let (received, _) = hosts.serve(to, buffer, Talk::send(sent.clone()), apps::echo::run).await;
            assert_same(&sent, &received);
        }
    });
}
