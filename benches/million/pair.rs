//! Two stacks with many connections between them, joined in memory: frames of the one are packets of the other at once.
//!
//! What each stack allocates is counted apart, by asking the allocator before and after each call into it. It neither loses nor
//! delays anything; that is the simulator's part.

use std::alloc::System;
use std::io::IoSlice;
use std::net::{IpAddr, SocketAddr};

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use tidegate::base::time::{Duration, Instant};
use tidegate::device::Capabilities;
use tidegate::stack::{Stack, StackConfig};
use tidegate::tcp::config::TcpConfig;
use tidegate::tcp::{ListenerId, TcpId};
use tidegate::wire::packet::Packet;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const CLIENT: [u8; 4] = [10, 0, 0, 1];
const SERVER: [u8; 4] = [10, 0, 0, 2];
/// Ports that the server listens on, from this one on, and ports of the client that each of them is reached from.
const FIRST_SERVICE: u16 = 100;
const SERVICES: u32 = 50;
const FIRST_PORT: u16 = 1_024;
const PORTS: u32 = 60_000;
/// Connections opened in one go: fewer than may wait for accept.
const WAVE: usize = 500;

/// A stack and the bytes of memory it holds.
pub struct Side {
    pub stack: Stack,
    pub bytes: isize,
}

impl Side {
    fn new(addr: [u8; 4]) -> Self {
        let addrs = vec![(IpAddr::from(addr), 24)];
        let config = StackConfig { addrs, tcp: TcpConfig { nagle: false, ..TcpConfig::default() } };
        let stack = Stack::new(config, Capabilities::offload(1_500), [addr[3]; 32]).expect("a stack");
        Side { stack, bytes: 0 }
    }

    /// Lets `work` use the stack, and counts what that left allocated.
    pub fn on<R>(&mut self, work: impl FnOnce(&mut Stack) -> R) -> R {
        let before = held();
        let result = work(&mut self.stack);
        self.bytes += held() - before;
        result
    }

    fn packets(&mut self, now: Instant) -> Vec<Packet> {
        let mut packets = Vec::new();
        while let Some(frame) = self.on(|stack| stack.poll_transmit(now)) {
            packets.push(frame.to_packet());
        }
        packets
    }

    fn take(&mut self, packets: Vec<Packet>, now: Instant) {
        for packet in packets {
            self.on(|stack| stack.receive(packet, now));
        }
    }
}

/// Bytes that are allocated now.
pub fn held() -> isize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated as isize - stats.bytes_deallocated as isize
}

/// The two stacks. Connections are numbered in the order they were opened.
pub struct Pair {
    pub client: Side,
    pub server: Side,
    pub now: Instant,
    pub clients: Vec<TcpId>,
    pub servers: Vec<TcpId>,
    listeners: Vec<ListenerId>,
    opened: u32,
}

impl Pair {
    /// Two stacks without a connection.
    pub fn new() -> Self {
        let (client, mut server) = (Side::new(CLIENT), Side::new(SERVER));
        let listen = |service| {
            let local = SocketAddr::from((SERVER, FIRST_SERVICE + service as u16));
            server.stack.tcp_listen(local, 1_024).expect("a listener")
        };
        let listeners = (0..SERVICES).map(listen).collect();
        let now = Instant::from_millis(1_000);
        let (clients, servers) = (Vec::new(), Vec::new());
        Pair { client, server, now, clients, servers, listeners, opened: 0 }
    }

    /// Opens connections until there are `count`.
    pub fn open(&mut self, count: usize) {
        while self.clients.len() < count {
            for _ in 0..WAVE.min(count - self.clients.len()) {
                self.connect();
            }
            self.exchange();
            let listeners = &self.listeners;
            let accept = |stack: &mut Stack| {
                let accepted = |&id: &ListenerId| stack.tcp().accept(id).ok().map(|(id, _)| id);
                listeners.iter().find_map(accepted)
            };
            while let Some(id) = self.server.on(accept) {
                self.servers.push(id);
            }
        }
    }

    fn connect(&mut self) {
        let number = self.opened;
        self.opened += 1;
        let service = FIRST_SERVICE + (number / PORTS % SERVICES) as u16;
        let local = SocketAddr::from((CLIENT, FIRST_PORT + (number % PORTS) as u16));
        let (remote, now) = (SocketAddr::from((SERVER, service)), self.now);
        let id = self.client.on(|stack| stack.tcp_connect(Some(local), remote, now)).expect("a free port");
        self.clients.push(id);
    }

    /// Carries packets to and fro until both are silent, and a delayed acknowledgement longer.
    pub fn exchange(&mut self) {
        for _ in 0..2 {
            loop {
                let (out, back) = (self.client.packets(self.now), self.server.packets(self.now));
                if out.is_empty() && back.is_empty() {
                    break;
                }
                self.server.take(out, self.now);
                self.client.take(back, self.now);
            }
            self.now += Duration::from_millis(50);
            let now = self.now;
            for side in [&mut self.client, &mut self.server] {
                side.on(|stack| {
                    stack.handle_timeout(now);
                    while stack.poll_event().is_some() {}
                });
            }
        }
    }

    /// Sends a byte over each of these connections and back; both ends have read it and know that it was read.
    pub fn echo(&mut self, which: impl Iterator<Item = usize>) {
        let which: Vec<usize> = which.collect();
        let (now, byte) = (self.now, [IoSlice::new(b"?")]);
        for &number in &which {
            let id = self.clients[number];
            self.client.on(|stack| stack.tcp().send(id, &byte, now)).expect("room");
        }
        self.exchange();
        let servers: Vec<TcpId> = which.iter().map(|&number| self.servers[number]).collect();
        self.answer(&servers);
        self.exchange();
        let now = self.now;
        for number in which {
            let id = self.clients[number];
            self.client.on(|stack| stack.tcp().recv(id, &mut [0; 2], now)).expect("the echo");
        }
    }

    /// The server reads what came over each of these connections and sends it back.
    pub fn answer(&mut self, servers: &[TcpId]) {
        let now = self.now;
        self.server.on(|stack| {
            for &id in servers {
                let mut bytes = [0; 64];
                let read = stack.tcp().recv(id, &mut bytes, now).expect("what was sent");
                let taken = stack.tcp().send(id, &[IoSlice::new(&bytes[..read])], now);
                assert_eq!(taken, Ok(read));
            }
        });
    }

    /// Closes the oldest `count` connections, the server first, which remembers them in TIME-WAIT.
    pub fn close(&mut self, count: usize) {
        let now = self.now;
        for id in self.servers.drain(..count) {
            self.server.on(|stack| stack.tcp_close(id, now));
        }
        self.exchange();
        let now = self.now;
        for id in self.clients.drain(..count) {
            self.client.on(|stack| stack.tcp_close(id, now));
        }
        self.exchange();
    }
}
