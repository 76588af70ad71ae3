//! A device with two queues, a stack and a driver on each: whatever queue a packet comes on, it reaches the stack that wants it.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::sys::eventfd::{EfdFlags, EventFd};
use tidegate::device::{Capabilities, Device};
use tidegate::driver::DriverConfig;
use tidegate::net::{Net, Ping, PingEvent, TcpListener, TcpStream, UdpSocket};
use tidegate::stack::StackConfig;
use tidegate::tcp::config::TcpConfig;
use tidegate::wire::packet::{Frame, Packet};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::driver::exchange;
use crate::link::{Host, MTU, SERVER, pattern, start};

/// The place behind those of the queues.
const CLIENT: usize = 2;

/// How the client's packets are steered.
#[derive(Clone, Copy)]
enum Steering {
    /// Each on the queue that the last one was not on: worse than a host does it.
    InTurn,
    /// All on the first.
    First,
}

/// What joins a client to a device of two queues.
struct Hub {
    waiting: [(Mutex<VecDeque<Packet>>, EventFd); 3],
    steering: Steering,
    turn: AtomicUsize,
}

/// A queue of the device, or the client's own.
struct End(Arc<Hub>, usize);

impl AsFd for End {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.waiting[self.1].1.as_fd()
    }
}

impl Device for End {
    fn capabilities(&self) -> Capabilities {
        Capabilities::offload(MTU)
    }

    fn recv(&mut self, packets: &mut Vec<Packet>, max: usize) -> io::Result<usize> {
        let (waiting, event) = &self.0.waiting[self.1];
        let mut waiting = waiting.lock().unwrap();
        let count = max.min(waiting.len());
        packets.extend(waiting.drain(..count));
        if waiting.is_empty() {
            let _ = event.read();
        }
        Ok(count)
    }

    fn send(&mut self, frames: &mut VecDeque<Frame>) -> io::Result<()> {
        for frame in frames.drain(..) {
            let to = match self.0.steering {
                _ if self.1 != CLIENT => CLIENT,
                Steering::InTurn => self.0.turn.fetch_add(1, Ordering::Relaxed) % CLIENT,
                Steering::First => 0,
            };
            let (waiting, event) = &self.0.waiting[to];
            let mut waiting = waiting.lock().unwrap();
            waiting.push_back(frame.to_packet());
            event.write(1)?;
        }
        Ok(())
    }
}

/// The server's two shards (x.1) and the client (x.2).
fn shards(steering: Steering) -> ([Host; 2], Host) {
    let event = || EventFd::from_flags(EfdFlags::EFD_NONBLOCK).unwrap();
    let waiting = std::array::from_fn(|_| (Mutex::default(), event()));
    let hub = Arc::new(Hub { waiting, steering, turn: AtomicUsize::new(0) });
    let addrs = vec![(SERVER.parse().unwrap(), 24), ("fd00::1".parse().unwrap(), 64)];
    let config = StackConfig { addrs, tcp: TcpConfig::default() };
    let shards = Net::shards(config, Capabilities::offload(MTU), 2).unwrap();
    let mut shards = shards.into_iter().enumerate().map(|(number, shard)| {
        let (net, driver) = shard.start(End(hub.clone(), number), DriverConfig::default()).unwrap();
        Host { net, driver }
    });
    let server = [shards.next().unwrap(), shards.next().unwrap()];
    (server, start(2, End(hub.clone(), CLIENT), TcpConfig::default()))
}

/// A counter of all shards together.
fn counted(shards: &[Host; 2], name: &str) -> u64 {
    shards.iter().map(|shard| shard.net.counters().get(name)).sum()
}

/// RFC 9293 §3.10.7: half of each flow's packets come on the queue of the other stack, on several threads.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn streams_whose_packets_come_on_any_queue_arrive_whole() {
    let (server, client) = shards(Steering::InTurn);
    let first = TcpListener::bind(&server[0].net, (SERVER, 7)).await.unwrap();
    let second = TcpListener::bind(&server[1].net, (SERVER, 7)).await.unwrap();
    let sent = Arc::new(pattern(2_000_000));
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..6 {
        running.spawn(exchange(TcpStream::connect(&client.net, (SERVER, 7)).await.unwrap(), sent.clone()));
        let (stream, _) = tokio::select! {
            stream = first.accept() => stream.unwrap(),
            stream = second.accept() => stream.unwrap(),
        };
        running.spawn(exchange(stream, sent.clone()));
    }
    while let Some(end) = running.join_next().await {
        end.unwrap();
    }
    assert!(counted(&server, "strays_adopted") > 50);
    assert_eq!(counted(&server, "tcp_rst_out"), 0);
}

/// One stack alone has the sockets, and its own queue brings nothing: what the other passes on wakes its driver and its tasks.
#[tokio::test]
async fn a_service_of_one_stack_is_reached_by_the_others_queue() {
    let (server, client) = shards(Steering::First);
    let passed_on = tokio::time::timeout(Duration::from_secs(20), reach_second(&server, &client)).await;
    assert!(passed_on.is_ok(), "somebody waits for ever");
    assert!(server[1].net.counters().get("strays_adopted") > 5);
}

async fn reach_second(server: &[Host; 2], client: &Host) {
    let listener = TcpListener::bind(&server[1].net, (SERVER, 7)).await.unwrap();
    let connecting = TcpStream::connect(&client.net, (SERVER, 7));
    let (near, far) = tokio::join!(connecting, listener.accept());
    let (mut near, mut far) = (near.unwrap(), far.unwrap().0);
    near.write_all(b"hello").await.unwrap();
    far.read_exact(&mut [0; 5]).await.unwrap();
    far.write_all(b"hello yourself").await.unwrap();
    near.read_exact(&mut [0; 14]).await.unwrap();

    let echo = UdpSocket::bind(&server[1].net, (SERVER, 9)).await.unwrap();
    let socket = UdpSocket::bind(&client.net, "10.0.0.2:0").await.unwrap();
    for len in [5, 9_000] {
        socket.send_to(&vec![7; len], (SERVER, 9)).await.unwrap();
        assert_eq!(echo.recv_from(&mut [0; 10_000]).await.unwrap().0, len);
    }

    let ping = Ping::open(&server[1].net, "10.0.0.2".parse().unwrap()).unwrap();
    ping.send(1, b"there?").unwrap();
    assert!(matches!(ping.recv().await.unwrap(), PingEvent::Reply { .. }));
}

/// RFC 9293 §3.10.7.1, RFC 1122 §4.1.3.1: what no stack wants is refused, and once; also when the other one has ended.
#[tokio::test]
async fn what_no_stack_wants_is_refused_once() {
    let (server, client) = shards(Steering::First);
    refused(&client).await;
    assert_eq!((counted(&server, "tcp_rst_out"), counted(&server, "icmp_out")), (1, 1));
    let [first, second] = server;
    second.driver.shutdown(Duration::ZERO).await.unwrap();
    refused(&client).await;
    assert_eq!((first.net.counters().get("tcp_rst_out"), first.net.counters().get("icmp_out")), (2, 2));
}

async fn refused(client: &Host) {
    let error = TcpStream::connect(&client.net, (SERVER, 80)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    let socket = UdpSocket::bind(&client.net, "10.0.0.2:0").await.unwrap();
    socket.connect((SERVER, 80)).await.unwrap();
    socket.send(b"anyone?").await.unwrap();
    assert_eq!(socket.recv(&mut [0; 10]).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
}

/// A configuration that cannot be is an error.
#[test]
fn shards_are_counted() {
    let config = || StackConfig { addrs: vec![(SERVER.parse().unwrap(), 24)], tcp: TcpConfig::default() };
    let of = |count| Net::shards(config(), Capabilities::plain(MTU), count).map(|shards| shards.len());
    assert_eq!(of(256).unwrap(), 256);
    assert_eq!(of(0).unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(of(257).unwrap_err().kind(), ErrorKind::InvalidInput);
}
