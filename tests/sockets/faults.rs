//! Devices that fail, as the driver meets them (hostile case P14): full, down, refusing, gone.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tidegate::device::{Capabilities, Device};
use tidegate::net::{TcpListener, UdpSocket};
use tidegate::tcp::config::TcpConfig;
use tidegate::wire::packet::{Frame, Packet};

use crate::link::{Host, SERVER, Wire, settle, start};

/// A wire that loses everything while its link is down, and says so.
struct Unplugged(Wire, Arc<AtomicBool>);

impl AsFd for Unplugged {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Device for Unplugged {
    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    fn recv(&mut self, packets: &mut Vec<Packet>, max: usize) -> io::Result<usize> {
        self.0.recv(packets, max)
    }

    fn send(&mut self, frames: &mut VecDeque<Frame>) -> io::Result<()> {
        if self.1.load(Ordering::Relaxed) {
            frames.clear();
            return Err(ErrorKind::NetworkDown.into());
        }
        self.0.send(frames)
    }
}

/// Takes what waits at the far end of a wire.
fn received(far: &mut Wire) -> usize {
    let mut packets = Vec::new();
    while far.recv(&mut packets, 64).unwrap() == 64 {}
    packets.len()
}

/// Hostile case P14: a device that is full (EAGAIN) is waited for, not asked again and again, and loses nothing.
#[tokio::test]
async fn a_full_device_is_waited_for() {
    let (near, mut far) = Wire::pair();
    let Host { net, driver: _driver } = start(1, near, TcpConfig::default());
    let socket = UdpSocket::bind(&net, (SERVER, 9)).await.unwrap();
    let sending = tokio::spawn(async move {
        for _ in 0..500 {
            socket.send_to(b"hello", "10.0.0.2:9").await.unwrap();
        }
    });
    settle().await;
    let before = net.counters().wake_ups;
    settle().await;
    assert!(net.counters().wake_ups - before <= 1, "the driver asks again and again");
    let mut taken = 0;
    while taken < 500 {
        taken += received(&mut far);
        settle().await;
    }
    sending.await.unwrap();
    assert_eq!(taken, 500);
}

/// Hostile case P14: a link that is down is no more than loss, and the stack goes on when it is up again.
#[tokio::test]
async fn a_link_that_goes_down_and_up_loses_packets_only() {
    let (near, mut far) = Wire::pair();
    let down = Arc::new(AtomicBool::new(true));
    let Host { net, driver: _driver } = start(1, Unplugged(near, down.clone()), TcpConfig::default());
    let listener = TcpListener::bind(&net, (SERVER, 7)).await.unwrap();
    let socket = UdpSocket::bind(&net, (SERVER, 9)).await.unwrap();
    socket.send_to(b"lost", "10.0.0.2:9").await.unwrap();
    settle().await;
    assert_eq!(received(&mut far), 0);
    down.store(false, Ordering::Relaxed);
    socket.send_to(b"fine", "10.0.0.2:9").await.unwrap();
    settle().await;
    assert_eq!((received(&mut far), listener.local_addr().unwrap().port()), (1, 7));
}
