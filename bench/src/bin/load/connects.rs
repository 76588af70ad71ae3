//! A connection for every request: connect, ask, read to the end, close, many at a time on one thread.
//!
//! The server closes first, so that TIME-WAIT is there and no port of this side is used up; unless it cannot (ipstack).

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::Context;
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, SockaddrIn};
use tidegate_bench as bench;
use tidegate_bench::http::LAST_ANSWER;

use crate::Plan;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: 10.77.0.2\r\nConnection: close\r\n\r\n";
/// A connection that takes longer was lost.
const LOST: Duration = Duration::from_secs(5);

struct Connection {
    stream: TcpStream,
    asked: bool,
    /// Bytes of the answer.
    received: usize,
    started: Instant,
}

/// Prints requests a second, and the median and 99th percentile of a whole connection's time.
pub fn run(plan: Plan, connections: usize, close_first: bool) -> anyhow::Result<String> {
    let server = plan.server(bench::HTTP);
    let epoll = Epoll::new(EpollCreateFlags::empty())?;
    let mut open = Vec::new();
    for slot in 0..connections {
        open.push(connect(&epoll, server, slot)?);
    }
    let begin = Instant::now() + plan.warm;
    let end = begin + plan.seconds;
    let mut times = Vec::with_capacity(1 << 18);
    let mut failed = 0u64;
    let mut events = [EpollEvent::empty(); 128];
    let mut now = Instant::now();
    while now < end {
        let count = epoll.wait(&mut events, EpollTimeout::try_from(LOST)?)?;
        anyhow::ensure!(count > 0, "nothing happened for {LOST:?}");
        for event in &events[..count] {
            let slot = event.data() as usize;
            let done = advance(&mut open[slot], close_first);
            if let Ok(false) = done {
                continue;
            }
            let ended = Instant::now();
            if done.is_err() {
                failed += 1;
            } else if ended >= begin && ended < end {
                times.push(ended - open[slot].started);
            }
            open[slot] = connect(&epoll, server, slot)?;
        }
        now = Instant::now();
    }
    anyhow::ensure!(!times.is_empty(), "no request was answered; {failed} connections failed");
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_nanos() as f64 / 1000.0;
    let rate = times.len() as f64 / plan.seconds.as_secs_f64();
    Ok(format!(r#"{{"rate":{rate:.0},"p50":{:.1},"p99":{:.1},"failed":{failed}}}"#, at(0.5), at(0.99)))
}

/// Starts a connection, edge-triggered in both directions, so that it costs one registration.
fn connect(epoll: &Epoll, server: SocketAddr, slot: usize) -> anyhow::Result<Connection> {
    let stream = start(server)?;
    let interest = EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLET;
    epoll.add(stream.as_fd(), EpollEvent::new(interest, slot as u64))?;
    Ok(Connection { stream, asked: false, received: 0, started: Instant::now() })
}

fn start(server: SocketAddr) -> anyhow::Result<TcpStream> {
    let SocketAddr::V4(server) = server else { anyhow::bail!("give an IPv4 address with --to") };
    let kind = (SockType::Stream, SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC);
    let socket: OwnedFd = socket::socket(AddressFamily::Inet, kind.0, kind.1, None)?;
    match socket::connect(socket.as_raw_fd(), &SockaddrIn::from(server)) {
        Ok(()) | Err(Errno::EINPROGRESS) => Ok(TcpStream::from(socket)),
        Err(error) => Err(error).with_context(|| format!("no connection to {server}")),
    }
}

/// True when the answer was read to its end, which is the server's FIN, or else its last byte.
fn advance(connection: &mut Connection, close_first: bool) -> std::io::Result<bool> {
    if !connection.asked {
        match connection.stream.write(REQUEST) {
            Ok(_) => connection.asked = true,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        }
        // The answer cannot be there yet; its arrival is the next event.
        return Ok(false);
    }
    let mut block = [0; 1024];
    loop {
        match connection.stream.read(&mut block) {
            Ok(0) if connection.received > 0 => return Ok(true),
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                connection.received += count;
                if close_first && connection.received >= LAST_ANSWER.len() {
                    return Ok(true);
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        }
    }
}

/// Connects from a given address, waiting for it; the port is chosen only when the peer is known, so that each source has them all.
pub fn connect_from(source: Ipv4Addr, server: SocketAddr) -> anyhow::Result<TcpStream> {
    let SocketAddr::V4(to) = server else { anyhow::bail!("give an IPv4 address with --to") };
    let socket = socket::socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    socket::setsockopt(&socket, socket::sockopt::IpBindAddressNoPort, &true)?;
    let [a, b, c, d] = source.octets();
    socket::bind(socket.as_raw_fd(), &SockaddrIn::new(a, b, c, d, 0))
        .with_context(|| format!("no address {source}"))?;
    socket::connect(socket.as_raw_fd(), &SockaddrIn::from(to))
        .with_context(|| format!("no connection to {server}"))?;
    Ok(TcpStream::from(socket))
}
