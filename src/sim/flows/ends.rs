//! The applications at the two ends of a flow: one writes a known stream, the other compares what it reads.

use std::io::IoSlice;
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr};
use std::sync::LazyLock;

use super::super::{HostId, Network};
use super::{Flow, PORT, RECEIVER, Sample};
use crate::base::socket::SocketError;
use crate::base::time::{Duration, Instant};
use crate::tcp::TcpId;

/// The bytes of every stream repeat after this many, a prime: what is off by any power of two shows.
const PERIOD: usize = 65_521;
/// What one call writes, at most.
const WRITE: u64 = 3 * PERIOD as u64;

/// Four periods, so that every place of a stream begins a slice of [`WRITE`] bytes.
static PATTERN: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let period = (0..PERIOD as u32).map(|at| (at.wrapping_mul(0x9e37_79b9) >> 21) as u8);
    period.collect::<Vec<u8>>().repeat(4)
});

/// A flow's two ends.
pub(super) struct End {
    pub(super) host: HostId,
    pub(super) addr: IpAddr,
    flow: Flow,
    /// The sender's socket, and the receiver's.
    pub(super) near: Option<TcpId>,
    pub(super) far: Option<TcpId>,
    written: u64,
    pub(super) read: u64,
    /// The answer, written and read.
    answered: u64,
    heard: u64,
    /// Until when the writer rests, and the reader.
    rests: [Instant; 2],
    /// Each direction is closed by its writer.
    shut: [bool; 2],
    pub(super) timeouts: u64,
    pub(super) probes: u64,
    pub(super) finished: Option<Instant>,
    pub(super) samples: Vec<Sample>,
}

impl End {
    pub(super) fn new(host: HostId, addr: Ipv4Addr, flow: Flow) -> Self {
        End {
            host,
            addr: addr.into(),
            flow,
            near: None,
            far: None,
            written: 0,
            read: 0,
            answered: 0,
            heard: 0,
            rests: [Instant::ZERO; 2],
            shut: [false; 2],
            timeouts: 0,
            probes: 0,
            finished: None,
            samples: Vec::new(),
        }
    }

    /// When it wants to act although nothing happens in the network.
    pub(super) fn wakes_at(&self, now: Instant) -> Option<Instant> {
        let start = Instant::ZERO + self.flow.start;
        let times = [start, self.rests[0], self.rests[1]];
        times.into_iter().filter(|at| *at > now && self.finished.is_none()).min()
    }

    /// Does what can be done now.
    pub(super) fn act(&mut self, network: &mut Network, receiver: HostId) {
        let now = network.now();
        if self.finished.is_some() || now < Instant::ZERO + self.flow.start {
            return;
        }
        let near = self.near.unwrap_or_else(|| {
            let server = SocketAddr::new(RECEIVER.into(), PORT);
            network.stack(self.host).tcp_connect(None, server, now).expect("a free port")
        });
        self.near = Some(near);
        self.write(network, near, now);
        let Some(far) = self.far else { return };
        self.read(network, receiver, far, now);
        if self.shut[1] || self.flow.habits.answer > 0 {
            self.hear(network, near, now);
        }
    }

    fn write(&mut self, network: &mut Network, near: TcpId, now: Instant) {
        let stack = network.stack(self.host);
        let habits = self.flow.habits;
        let most = habits.abort_after.unwrap_or(self.flow.bytes);
        while self.written < most && now >= self.rests[0] {
            let burst = habits.writer.map_or(u64::MAX, |(burst, _)| burst - self.written % burst);
            let bytes = slice(self.written, burst.min(most - self.written));
            match stack.tcp().send(near, &[IoSlice::new(bytes)], now) {
                Ok(taken) => self.written += taken as u64,
                Err(SocketError::WouldBlock) => return,
                Err(error) => panic!("writing at {} of {most}: {error}", self.written),
            }
            self.rest(0, habits.writer, self.written, now);
        }
        if self.written < most || self.shut[0] {
            return;
        }
        self.shut[0] = true;
        if habits.abort_after.is_some() {
            stack.tcp_abort(near, now);
            self.finished = Some(now);
        } else {
            stack.tcp().shutdown(near, Shutdown::Write, now).expect("an open connection");
        }
    }

    /// Rests after a whole number of bursts.
    fn rest(&mut self, which: usize, habit: Option<(u64, Duration)>, bytes: u64, now: Instant) {
        if let Some((burst, rest)) = habit
            && bytes.is_multiple_of(burst)
        {
            self.rests[which] = now + rest;
        }
    }

    fn read(&mut self, network: &mut Network, receiver: HostId, far: TcpId, now: Instant) {
        let tcp = network.stack(receiver).tcp();
        let habits = self.flow.habits;
        while !self.shut[1] && self.finished.is_none() && now >= self.rests[1] {
            let len = match self.take(tcp, far, now) {
                Ok(len) => len,
                Err(SocketError::WouldBlock) => break,
                Err(error) => panic!("reading at {} of {}: {error}", self.read, self.flow.bytes),
            };
            if len == 0 {
                assert_eq!(self.read, self.flow.bytes, "the stream ends early");
                self.answer(tcp, far, now);
                break;
            }
            self.rest(1, habits.reader, self.read, now);
        }
    }

    /// Reads and compares; without habits a whole range at once and without a copy.
    fn take(&mut self, tcp: &mut crate::tcp::Tcp, far: TcpId, now: Instant) -> Result<usize, SocketError> {
        let mut buffer = [0; 4096];
        let slice;
        let bytes = match self.flow.habits.reader {
            None => {
                slice = tcp.recv_slice(far, now)?;
                &slice[..]
            }
            Some((burst, _)) => {
                let most = (burst - self.read % burst).min(buffer.len() as u64) as usize;
                let len = tcp.recv(far, &mut buffer[..most], now)?;
                &buffer[..len]
            }
        };
        compare(bytes, self.read);
        self.read += bytes.len() as u64;
        Ok(bytes.len())
    }

    /// After the end of the stream: writes the answer, then closes the other direction.
    fn answer(&mut self, tcp: &mut crate::tcp::Tcp, far: TcpId, now: Instant) {
        let most = self.flow.habits.answer;
        while self.answered < most {
            match tcp.send(far, &[IoSlice::new(slice(self.answered, most - self.answered))], now) {
                Ok(taken) => self.answered += taken as u64,
                Err(SocketError::WouldBlock) => return,
                Err(error) => panic!("answering at {} of {most}: {error}", self.answered),
            }
        }
        self.shut[1] = tcp.shutdown(far, Shutdown::Write, now).is_ok();
        if most == 0 {
            self.finished = Some(now);
        }
    }

    /// The writer reads the answer.
    fn hear(&mut self, network: &mut Network, near: TcpId, now: Instant) {
        let tcp = network.stack(self.host).tcp();
        while self.finished.is_none()
            && let Ok(bytes) = tcp.recv_slice(near, now)
        {
            compare(&bytes, self.heard);
            self.heard += bytes.len() as u64;
            if bytes.is_empty() {
                assert_eq!(self.heard, self.flow.habits.answer, "the answer ends early");
                self.finished = Some(now);
            }
        }
    }
}

/// What the stream holds from `at` on.
fn slice(at: u64, len: u64) -> &'static [u8] {
    let from = (at % PERIOD as u64) as usize;
    &PATTERN[from..from + len.min(WRITE) as usize]
}

fn compare(bytes: &[u8], at: u64) {
    assert!(
        bytes == slice(at, bytes.len() as u64),
        "the stream differs within {} bytes from {at}",
        bytes.len()
    );
}
