//! The sizes of a connection's buffers (policies 3 and 30). The receive buffer grows with what the application reads per round
//! trip, so that the window never limits a sender whose data is read; the send buffer with the congestion window. `SO_RCVBUF` and
//! `SO_SNDBUF` fix them. The memory of the whole stack (`memory`) comes before both.

use crate::base::time::{Duration, Instant};
use crate::wire::seq::SeqNum;

use super::config::TcpConfig;
use super::memory::Budget;
use super::segment::Segment;
use super::tcb::{Env, Tcb};

/// After this long without data (or four round trips) a receive buffer begins anew with its initial size.
const IDLE: Duration = Duration::from_secs(1);
/// An echoed timestamp that is older than this tells of a clock that is wrong, and not of a path.
const LONGEST_ROUND_TRIP: u32 = 60_000;
/// A path with a shorter round trip does not leave the machine; a smoothed one that is longer than this tells otherwise.
const LOCAL: (Duration, Duration) = (Duration::from_micros(250), Duration::from_millis(5));
/// What a connection's send queue holds on such a path. It is tens of round trips at any speed; more of it only falls out of the
/// processor's caches on its way.
const LOCAL_QUEUE: usize = 1 << 20;
/// Segments that a peer sends in its first round trip (RFC 6928): reading that much is no reason to grow.
const FIRST_FLIGHT: u32 = 10;

/// What the receive buffer's size follows from. Times are microseconds modulo 2³², positions bytes of the stream modulo 2³².
#[derive(Clone, Debug, Default)]
pub struct ReceiveTuning {
    /// Memory of the receive buffer, once it has grown.
    limit: u32,
    /// Round trip as the receiver sees it; zero: not measured.
    rtt: u32,
    /// The most that was read in a round trip.
    space: u32,
    /// When the current round trip began; zero: none did.
    since: u32,
    /// What was read until then.
    read: u32,
    /// The window's right edge at that time: what lies beyond was sent when the peer knew more, at least a round trip later.
    edge: SeqNum,
}

impl ReceiveTuning {
    /// The round trip as the receiver sees it; zero until it is measured.
    pub fn rtt(&self) -> Duration {
        Duration::from_micros(self.rtt.into())
    }

    /// The most bytes that were read in a round trip; zero while it is not more than the first flight.
    pub fn space(&self) -> u32 {
        self.space
    }

    fn begin_round_trip(&mut self, now: u32, read: u32, edge: SeqNum) {
        (self.since, self.read, self.edge) = (now.max(1), read, edge);
    }

    /// A full segment echoes the timestamp of `ticks` milliseconds ago (RFC 7323 §4.1 measures so, too).
    fn measure(&mut self, ticks: u32, known: Option<u32>) {
        // The clock is too coarse for what is known already.
        if ticks > LONGEST_ROUND_TRIP || (ticks <= 1 && known.is_some_and(|known| known < 2_000)) {
            return;
        }
        let sample = ticks.max(1) * 1_000;
        self.rtt = known.map_or(sample, |known| known - known / 8 + sample / 8);
    }
}

impl Tcb {
    /// Memory of the receive buffer, in bytes.
    pub fn receive_limit(&self, config: &TcpConfig, memory: Budget) -> usize {
        let limit = self.unstressed_receive_limit(config);
        if memory.pressure { limit.min(self.smallest_receive_buffer(config)) } else { limit }
    }

    /// The same while memory is not scarce.
    pub fn unstressed_receive_limit(&self, config: &TcpConfig) -> usize {
        let tuned =
            (self.tuning.limit as usize).max(config.receive_buffer_initial).min(config.receive_buffer);
        self.options.receive_buffer.unwrap_or(tuned)
    }

    /// Memory of the receive buffer that is left to a connection whatever happens: as on Linux a window of four segments, if
    /// there was as much at first.
    pub fn smallest_receive_buffer(&self, config: &TcpConfig) -> usize {
        let four = 8 * usize::from(self.agreed.advertised_mss);
        config.receive_buffer_smallest.max(four.min(config.receive_buffer_initial))
    }

    /// Bytes that the send queue may hold: two congestion windows, so that one waits while the other is under way, and no more
    /// than [`LOCAL_QUEUE`] within the machine.
    pub fn send_limit(&self, config: &TcpConfig, memory: Budget) -> usize {
        let initial = config.send_buffer_initial.min(config.send_buffer);
        let wanted = if memory.pressure { 0 } else { self.congestion.window() as usize * 2 };
        let wanted = if self.is_local() { wanted.min(LOCAL_QUEUE) } else { wanted };
        let limit = self.options.send_buffer.unwrap_or(wanted.clamp(initial, config.send_buffer));
        limit.min(config.send_buffer_smallest.max(self.send_queue.len().saturating_add(memory.room)))
    }

    fn is_local(&self) -> bool {
        let within = |rtt: Option<Duration>, most| rtt.is_some_and(|rtt| rtt < most);
        within(self.rtt.min_rtt(), LOCAL.0) && within(self.rtt.srtt(), LOCAL.1)
    }

    /// Data came; nothing was done with it yet.
    pub fn tune_on_data(&mut self, segment: &Segment, env: &Env) {
        let (now, known, read) = (micros(env.now), self.receive_rtt(), self.read_position());
        let silence = self.counts.since_data_received(env.now);
        let full = segment.payload.len() >= usize::from(self.ack.segment());
        let echo = segment.header.options.timestamps.filter(|_| self.agreed.timestamps && full);
        let ticks = echo.map(|ts| self.ts_now(env.now).wrapping_sub(ts.ecr));
        let tuning = &mut self.tuning;
        if silence > IDLE.max(tuning.rtt() * 4) && self.receive_queue.is_empty() {
            *tuning = ReceiveTuning { rtt: tuning.rtt, ..ReceiveTuning::default() };
        }
        if tuning.since == 0 {
            tuning.begin_round_trip(now, read, self.rcv.adv);
        }
        if segment.end().after(tuning.edge) {
            // An upper bound: the peer may have had other reasons to wait. Nothing is measured twice.
            let passed = now.wrapping_sub(tuning.since).max(1);
            tuning.rtt = known.map_or(passed, |known| known.min(passed));
            tuning.edge = segment.end() + (1 << 30);
        }
        if let Some(ticks) = ticks {
            tuning.measure(ticks, known);
        }
    }

    /// The round trip in microseconds: as measured here, else as the sending side knows it from the handshake.
    fn receive_rtt(&self) -> Option<u32> {
        let measured = Some(self.tuning.rtt).filter(|&rtt| rtt > 0);
        measured.or_else(|| self.rtt.srtt().map(|rtt| rtt.as_micros().clamp(1, 1 << 30) as u32))
    }

    /// The application has read. At the end of a round trip the buffer's window becomes twice what was read in it, for the sender may
    /// double what it sends, and more if what was read has grown: it will go on growing while the peer learns of it.
    pub fn tune_on_read(&mut self, env: &Env) {
        let (now, known, read) = (micros(env.now), self.receive_rtt(), self.read_position());
        let mss = u32::from(self.agreed.advertised_mss);
        // A small first window cannot let a whole first flight through.
        let first = (FIRST_FLIGHT * mss).min(self.unstressed_receive_limit(env.config) as u32 / 4);
        let tuning = &mut self.tuning;
        let passed = now.wrapping_sub(tuning.since);
        if tuning.since == 0 || known.is_none_or(|rtt| passed < rtt) {
            return;
        }
        let copied = read.wrapping_sub(tuning.read);
        let before = tuning.space.max(first).max(1);
        if copied > before && env.config.tune_receive_buffer && !env.memory.pressure {
            let window = 2 * u64::from(copied) + 16 * u64::from(mss);
            let window = window + 2 * window * u64::from(copied - before) / u64::from(before);
            let limit = (2 * window).min(env.config.receive_buffer as u64) as u32;
            tuning.limit = tuning.limit.max(limit);
        }
        if copied > before {
            tuning.space = copied;
        }
        tuning.begin_round_trip(now, read, self.rcv.adv);
    }

    /// How much of the stream the application has read, modulo 2³².
    fn read_position(&self) -> u32 {
        (self.rcv.offset as u32).wrapping_sub(self.receive_queue.len() as u32)
    }
}

fn micros(at: Instant) -> u32 {
    at.as_micros() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7323 §4.1: an echo tells the round trip, of which an eighth counts; but not where the clock of milliseconds is too coarse
    /// for what is known, nor where it tells of a minute.
    #[test]
    fn an_echo_is_a_round_trip_where_the_clock_can_tell() {
        let table = [
            (5, None, 5_000),
            (1, None, 1_000),
            (0, None, 1_000),
            (10, Some(2_000), 3_000),
            (2, Some(1_000), 1_125),
            (1, Some(2_000), 1_875),
            (1, Some(1_999), 1_999),
            (0, Some(100), 100),
            (LONGEST_ROUND_TRIP, None, LONGEST_ROUND_TRIP * 1_000),
            (LONGEST_ROUND_TRIP + 1, None, 0),
        ];
        for (ticks, known, expected) in table {
            let mut tuning = ReceiveTuning { rtt: known.unwrap_or(0), ..ReceiveTuning::default() };
            tuning.measure(ticks, known);
            assert_eq!(tuning.rtt, expected, "{ticks} ticks where {known:?} is known");
        }
    }
}
