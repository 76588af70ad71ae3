//! What the driver owes: no wake-up without a reason, no socket that waits for ever, nothing lost when the device is full.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use etherparse::PacketBuilder;
use tidegate::base::buffer::Buffer;
use tidegate::device::{Capabilities, Device};
use tidegate::driver::DriverConfig;
use tidegate::net::{Net, TcpListener, TcpStream, UdpSocket};
use tidegate::stack::StackConfig;
use tidegate::tcp::config::TcpConfig;
use tidegate::wire::packet::{Frame, Offload, Packet};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::link::{self, Host, SERVER, Wire, hosts, pattern, piped_hosts, settle, start};

/// Architecture §4: an idle stack makes no wake-ups, open connections or not.
#[tokio::test]
async fn an_idle_stack_makes_no_wake_ups() {
    let (server, client) = hosts(TcpConfig::default());
    let listener = TcpListener::bind(&server.net, (SERVER, 7)).await.unwrap();
    let mut stream = TcpStream::connect(&client.net, (SERVER, 7)).await.unwrap();
    let (mut accepted, _) = listener.accept().await.unwrap();
    stream.write_all(b"hello").await.unwrap();
    accepted.read_exact(&mut [0; 5]).await.unwrap();
    settle().await;
    let before = (server.net.counters().wake_ups, client.net.counters().wake_ups);
    settle().await;
    settle().await;
    // A timer that was set during the exchange may be due in the meantime, but each only once.
    let after = (server.net.counters().wake_ups, client.net.counters().wake_ups);
    assert!(after.0 - before.0 <= 1 && after.1 - before.1 <= 1, "{before:?} {after:?}");
}

/// Hostile case P14: two stacks whose devices are full must not wait for each other: reading goes on while writing waits.
#[tokio::test]
async fn both_directions_at_once_survive_a_full_device() {
    let (server, client) = hosts(TcpConfig::default());
    transfer_both_ways(&server, &client, 4_000_000).await;
    assert!(server.net.counters().get("tcp_out_data") > 2_000);
}

/// The same bytes in super-segments, on one thread and on several.
#[tokio::test]
async fn both_directions_at_once_in_super_segments() {
    let (server, client) = piped_hosts();
    transfer_both_ways(&server, &client, 40_000_000).await;
    let counters = server.net.counters();
    assert!(counters.get("tcp_out_bytes") / counters.get("tcp_out_data") > 20_000, "{counters}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn both_directions_at_once_on_several_threads() {
    let (server, client) = piped_hosts();
    transfer_both_ways(&server, &client, 40_000_000).await;
}

async fn transfer_both_ways(server: &Host, client: &Host, len: usize) {
    let listener = TcpListener::bind(&server.net, (SERVER, 7)).await.unwrap();
    let (near, far) = tokio::join!(TcpStream::connect(&client.net, (SERVER, 7)), listener.accept());
    let sent = Arc::new(pattern(len));
    let ends = [near.unwrap(), far.unwrap().0].map(|stream| tokio::spawn(exchange(stream, sent.clone())));
    for end in ends {
        end.await.unwrap();
    }
}

pub(crate) async fn exchange(stream: TcpStream, sent: Arc<Vec<u8>>) {
    let (mut reader, mut writer) = stream.into_split();
    let expected = sent.clone();
    let writing = tokio::spawn(async move {
        writer.write_all(&sent).await.unwrap();
        writer.shutdown().await.unwrap();
    });
    let mut received = Vec::new();
    reader.read_to_end(&mut received).await.unwrap();
    assert!(received == *expected, "the bytes differ");
    writing.await.unwrap();
}

/// Hostile case P14: a device that is gone ends the driver with its error, and every socket, waiting or not, with an error of its
/// own.
#[tokio::test]
async fn a_device_that_fails_fails_every_socket() {
    let (near, far) = Wire::pair();
    let Host { net, mut driver } = start(1, near, TcpConfig::default());
    let listener = TcpListener::bind(&net, (SERVER, 7)).await.unwrap();
    let accepting = tokio::spawn(async move { listener.accept().await.map(drop) });
    settle().await;
    drop(far);
    let socket = UdpSocket::bind(&net, (SERVER, 9)).await.unwrap();
    socket.send_to(b"into the void", "10.0.0.2:9").await.unwrap();
    driver.ended().await.unwrap_err();
    let error = accepting.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NetworkDown);
    assert!(error.to_string().contains("device failed"), "{error}");
    assert_eq!(socket.recv(&mut [0; 9]).await.unwrap_err().kind(), ErrorKind::NetworkDown);
    assert_eq!(TcpListener::bind(&net, (SERVER, 8)).await.unwrap_err().kind(), ErrorKind::NetworkDown);
}

/// Issue 2: on SIGTERM what is queued still arrives, within the grace period.
#[tokio::test]
async fn a_shutdown_sends_what_is_queued_and_then_fails_sockets() {
    let (server, client) = hosts(TcpConfig::default());
    let listener = TcpListener::bind(&server.net, (SERVER, 7)).await.unwrap();
    let sent = pattern(500_000);
    let mut stream = TcpStream::connect(&client.net, (SERVER, 7)).await.unwrap();
    let (mut accepted, _) = listener.accept().await.unwrap();
    let receiving = tokio::spawn(async move {
        let mut received = Vec::new();
        stream.read_to_end(&mut received).await.map(|_| received)
    });
    accepted.write_all(&sent).await.unwrap();
    drop(accepted);
    server.driver.shutdown(Duration::from_secs(60)).await.unwrap();
    assert!(receiving.await.unwrap().unwrap() == sent, "the bytes differ");
    assert_eq!(listener.accept().await.unwrap_err().kind(), ErrorKind::NetworkDown);
}

/// What outlasts the grace period is reset: the peer learns of it.
#[tokio::test]
async fn a_shutdown_resets_what_outlasts_the_grace() {
    let (server, client) = hosts(TcpConfig::default());
    let listener = TcpListener::bind(&server.net, (SERVER, 7)).await.unwrap();
    let mut stream = TcpStream::connect(&client.net, (SERVER, 7)).await.unwrap();
    let (mut accepted, _) = listener.accept().await.unwrap();
    server.driver.shutdown(Duration::ZERO).await.unwrap();
    assert_eq!(stream.read_u8().await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(accepted.read_u8().await.unwrap_err().kind(), ErrorKind::NetworkDown);
}

/// The handle is for shutting down; without it the stack runs on.
#[tokio::test]
async fn dropping_the_handle_leaves_the_stack_running() {
    let (server, client) = hosts(TcpConfig::default());
    drop((server.driver, client.driver));
    settle().await;
    let listener = TcpListener::bind(&server.net, (SERVER, 7)).await.unwrap();
    let mut stream = TcpStream::connect(&client.net, (SERVER, 7)).await.unwrap();
    stream.write_all(b"!").await.unwrap();
    assert_eq!(listener.accept().await.unwrap().0.read_u8().await.unwrap(), b'!');
}

/// A driver that goes down with its runtime leaves no socket waiting.
#[test]
fn sockets_outlive_the_runtime_of_their_driver() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let first = runtime();
    let (host, _far) = first.block_on(async {
        let (near, far) = Wire::pair();
        (start(1, near, TcpConfig::default()), far)
    });
    drop(first);
    let error = runtime().block_on(TcpListener::bind(&host.net, (link::SERVER, 7))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NetworkDown);
}

/// Architecture §4: a flood that concerns no application leaves the other tasks of the thread their turns, and the stop is heard, whether
/// the driver sleeps or looks for work.
#[tokio::test]
async fn a_flood_starves_neither_tasks_nor_the_stop() {
    for busy_poll in [Duration::ZERO, Duration::from_micros(50)] {
        let (wire, far) = Wire::pair();
        far.0.send(b"readable from now on").unwrap();
        let config =
            StackConfig { addrs: vec![("10.0.0.1".parse().unwrap(), 24)], tcp: TcpConfig::default() };
        let (_net, driver) =
            Net::start_with(config, Flood { wire, bursts: 0 }, DriverConfig { busy_poll }).unwrap();
        tokio::task::yield_now().await;
        driver.shutdown(Duration::ZERO).await.unwrap();
    }
}

/// A round trip of one byte: what a wait brought is answered before a call learns that it came alone. What came meanwhile is one burst.
#[tokio::test]
async fn one_small_packet_is_answered_before_the_next_is_read() {
    for busy_poll in [Duration::ZERO, Duration::from_micros(50)] {
        let (wire, far) = Wire::pair();
        let calls = Arc::new(Mutex::new(Vec::new()));
        let config = StackConfig { addrs: vec![(SERVER.parse().unwrap(), 24)], tcp: TcpConfig::default() };
        let device = Logged { wire, calls: calls.clone() };
        let _running = Net::start_with(config, device, DriverConfig { busy_poll }).unwrap();
        settle().await;
        for number in 0..3 {
            let mut ping = Vec::new();
            let packet = PacketBuilder::ipv4([10, 0, 0, 2], [10, 0, 0, 1], 64);
            packet.icmpv4_echo_request(1, number).write(&mut ping, b"ping").unwrap();
            far.0.send(&ping).unwrap();
        }
        settle().await;
        assert_eq!(*calls.lock().unwrap(), ["read 1", "write 1", "read 2", "write 2"], "{busy_poll:?}");
    }
}

/// A device that tells which calls moved packets, and how many.
struct Logged {
    wire: Wire,
    calls: Arc<Mutex<Vec<String>>>,
}

impl Logged {
    fn log(&self, call: &str, packets: usize) {
        if packets > 0 {
            self.calls.lock().unwrap().push(format!("{call} {packets}"));
        }
    }
}

impl AsFd for Logged {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wire.as_fd()
    }
}

impl Device for Logged {
    fn capabilities(&self) -> Capabilities {
        self.wire.capabilities()
    }

    fn recv(&mut self, packets: &mut Vec<Packet>, max: usize) -> io::Result<usize> {
        let read = self.wire.recv(packets, max)?;
        self.log("read", read);
        Ok(read)
    }

    fn send(&mut self, frames: &mut VecDeque<Frame>) -> io::Result<()> {
        self.log("write", frames.len());
        self.wire.send(frames)
    }
}

/// A device with packets for nobody at every read, until nobody can want more of them.
struct Flood {
    wire: Wire,
    bursts: usize,
}

impl AsFd for Flood {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wire.as_fd()
    }
}

impl Device for Flood {
    fn capabilities(&self) -> Capabilities {
        self.wire.capabilities()
    }

    fn recv(&mut self, packets: &mut Vec<Packet>, max: usize) -> io::Result<usize> {
        self.bursts += 1;
        if self.bursts > 10_000 {
            return Err(io::Error::other("nobody stopped the flood"));
        }
        for _ in 0..max {
            let mut buffer = Buffer::small();
            buffer.fill(|mut chunk| chunk.write(&[0x45; 20]))?;
            packets.push(Packet { buffer, offload: Offload::None });
        }
        Ok(max)
    }

    fn send(&mut self, frames: &mut VecDeque<Frame>) -> io::Result<()> {
        self.wire.send(frames)
    }
}
