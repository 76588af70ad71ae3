//! A transfer longer than the sequence space, between two stacks joined without a network: super-segments keep it cheap.

use std::io::IoSlice;
use std::net::SocketAddr;

use tidegate::base::rng::Rng;
use tidegate::base::socket::SocketError;
use tidegate::base::time::{Duration, Instant};
use tidegate::device::Capabilities;
use tidegate::stack::{Stack, StackConfig};
use tidegate::tcp::TcpId;
use tidegate::tcp::config::TcpConfig;

use crate::pair::{PORT, addrs};

/// 5 GiB: all numbers come around once, and a quarter of them twice.
const TOTAL: u64 = 5 << 30;

/// The pattern's period, a prime: what is off by any power of two shows.
const PERIOD: usize = 1_048_573;

/// Rounds without an end would be a stall; a round moves up to a window.
const MOST_ROUNDS: u64 = 1_000_000;

fn stack(number: usize) -> Stack {
    let config = StackConfig { addrs: vec![(addrs(false)[number], 24)], tcp: TcpConfig::default() };
    Stack::new(config, Capabilities::offload(1_500), [number as u8; 32]).unwrap()
}

/// Two stacks, and what of the stream was written and read.
struct Transfer {
    ends: [Stack; 2],
    now: Instant,
    /// Two periods, so that every place of the stream begins a slice of one.
    pattern: Vec<u8>,
    written: u64,
    read: u64,
}

impl Transfer {
    fn new() -> Self {
        let rng = &mut Rng::from_u64(1);
        let period: Vec<u8> = (0..PERIOD).map(|_| rng.below(256) as u8).collect();
        Transfer {
            ends: [0, 1].map(stack),
            now: Instant::from_millis(1_000),
            pattern: period.repeat(2),
            written: 0,
            read: 0,
        }
    }

    fn carry(&mut self, from: usize) {
        while let Some(frame) = self.ends[from].poll_transmit(self.now) {
            self.ends[1 - from].receive(frame.to_packet(), self.now);
        }
    }

    /// Each side sends what it can; a tenth of a millisecond passes.
    fn turn(&mut self) {
        self.carry(0);
        self.carry(1);
        self.now += Duration::from_micros(100);
        self.ends.iter_mut().for_each(|end| end.handle_timeout(self.now));
        self.ends.iter_mut().for_each(|end| while end.poll_event().is_some() {});
    }

    /// So many bytes of the stream from `at` on, a period at most.
    fn expected(&self, at: u64, len: usize) -> &[u8] {
        let start = (at % PERIOD as u64) as usize;
        &self.pattern[start..start + len]
    }

    fn write(&mut self, id: TcpId) {
        while self.written < TOTAL {
            let len = (TOTAL - self.written).min(PERIOD as u64) as usize;
            let start = (self.written % PERIOD as u64) as usize;
            let bytes = IoSlice::new(&self.pattern[start..start + len]);
            match self.ends[0].tcp().send(id, &[bytes], self.now) {
                Ok(taken) => self.written += taken as u64,
                Err(SocketError::WouldBlock) => return,
                Err(error) => panic!("writing at {}: {error}", self.written),
            }
        }
    }

    fn read(&mut self, id: TcpId, buffer: &mut [u8]) {
        loop {
            match self.ends[1].tcp().recv(id, buffer, self.now) {
                Ok(len) => {
                    let same = buffer[..len] == *self.expected(self.read, len);
                    assert!(same, "the stream differs within {len} bytes from {}", self.read);
                    self.read += len as u64;
                }
                Err(SocketError::WouldBlock) => return,
                Err(error) => panic!("reading at {}: {error}", self.read),
            }
        }
    }
}

/// Hostile case M11: 5 GiB over one connection arrive byte for byte, without a retransmission, a drop or a stall where the
/// numbers pass 2³¹ and 2³².
#[test]
fn five_gibibytes_arrive_byte_for_byte() {
    let mut transfer = Transfer::new();
    let (server, now) = (SocketAddr::new(addrs(false)[1], PORT), transfer.now);
    let listener = transfer.ends[1].tcp_listen(server, 1).unwrap();
    let near = transfer.ends[0].tcp_connect(None, server, now).unwrap();
    (0..3).for_each(|_| transfer.turn());
    let (far, _) = transfer.ends[1].tcp().accept(listener).unwrap();
    let mut buffer = vec![0; 1 << 20];
    let mut rounds = 0;
    while transfer.read < TOTAL {
        transfer.write(near);
        transfer.turn();
        transfer.read(far, &mut buffer);
        rounds += 1;
        assert!(rounds < MOST_ROUNDS, "stalled at {} of {TOTAL}", transfer.read);
    }
    assert_eq!((transfer.written, transfer.read), (TOTAL, TOTAL));
    for end in &transfer.ends {
        let counters = end.counters();
        assert_eq!((counters.drops().map(|(_, count)| count).sum::<u64>(), counters.tcp_timeouts), (0, 0));
        assert_eq!(counters.tcp_retransmits, 0);
    }
}
