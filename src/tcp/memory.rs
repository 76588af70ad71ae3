//! The memory budget of a stack (policy 30): what the queues of all its connections hold together, and what happens when that
//! becomes much.
//!
//! From three quarters of the limit until it is back at half there is pressure: buffers do not grow, windows shrink towards the
//! smallest as data comes, and what waits behind gaps is given up. At the limit new bytes are refused on both sides. Each
//! connection keeps its smallest buffers in any case, so that all make progress. Each event charges the difference it made to one
//! connection, and under pressure looks at one other; nothing ever looks at all.

use crate::base::buffer::{SMALL, Slice};
use crate::base::counters::{Counters, DropReason};

use super::Tcp;
use super::tcb::{Env, Tcb};

/// What the budget means to a connection while it handles an event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Budget {
    /// Bytes that may be added before the limit is reached.
    pub room: usize,
    /// Memory is scarce.
    pub pressure: bool,
}

/// What all connections hold.
#[derive(Debug, Default)]
pub struct Memory {
    used: usize,
    pressure: bool,
    /// Times that pressure began, and connections that lost what waited behind gaps, since they were counted last.
    entered: u64,
    pruned: u64,
    /// The place of the connection that is looked at next under pressure.
    next: u32,
}

impl Memory {
    /// What is left of `limit`.
    pub fn budget(&self, limit: usize) -> Budget {
        Budget { room: limit.saturating_sub(self.used), pressure: self.pressure }
    }

    /// A connection that was `charged` before holds `bytes` now.
    pub fn charge(&mut self, charged: &mut u32, bytes: usize, limit: usize) {
        let before = std::mem::replace(charged, bytes as u32);
        self.used = self.used + bytes - before as usize;
        let from = if self.pressure { limit / 2 } else { limit / 4 * 3 };
        let pressure = self.used > 0 && self.used >= from;
        self.entered += u64::from(pressure && !self.pressure);
        self.pressure = pressure;
    }

    /// Tells the counters what happened.
    pub fn count(&mut self, counters: &mut Counters) {
        counters.tcp_memory_pressure += std::mem::take(&mut self.entered);
        (0..std::mem::take(&mut self.pruned)).for_each(|_| counters.drop(DropReason::TcpMemory));
    }
}

impl Tcp {
    /// Bytes of memory that the queues of all connections hold; [`TcpConfig::memory_limit`](super::config::TcpConfig::memory_limit)
    /// bounds it, but for the smallest buffers that each connection keeps.
    pub fn memory_in_use(&self) -> usize {
        self.memory.used
    }

    /// Charges what an event changed in a connection's memory.
    pub(super) fn charge(&mut self, index: u32) {
        let limit = self.config.memory_limit;
        let Some(tcb) = self.connections.at_mut(index) else { return };
        let held = tcb.memory();
        self.memory.charge(&mut tcb.charged, held, limit);
        if self.memory.pressure {
            self.relieve(limit);
        }
    }

    /// Forgets a connection, and what it was charged.
    pub(super) fn forget(&mut self, index: u32) {
        if let Some(mut tcb) = self.connections.remove(index) {
            self.memory.charge(&mut tcb.charged, 0, self.config.memory_limit);
        }
        self.timers.set(index, None);
    }

    /// The next connection in turn gives up what waits behind its gaps (RFC 2018 §8 lets a receiver do so): peers that leave gaps open
    /// and say nothing more must not keep others from their share.
    fn relieve(&mut self, limit: usize) {
        let memory = &mut self.memory;
        memory.next = if memory.next as usize >= self.connections.places() { 0 } else { memory.next + 1 };
        let Some(tcb) = self.connections.at_mut(memory.next) else { return };
        let most = tcb.smallest_receive_buffer(&self.config);
        if tcb.reassembly.as_ref().is_none_or(|queue| queue.memory() <= most) {
            return;
        }
        memory.pruned += u64::from(tcb.reassembly.as_mut().is_some_and(|queue| !queue.enforce(most)));
        tcb.reassembly.clear_if(|queue| queue.is_empty());
        let held = tcb.memory();
        memory.charge(&mut tcb.charged, held, limit);
    }
}

impl Tcb {
    /// Bytes of memory that its queues hold.
    pub fn memory(&self) -> usize {
        self.receive_memory() + self.send_queue.memory()
    }

    fn receive_memory(&self) -> usize {
        self.receive_queue.held() + self.reassembly.as_ref().map_or(0, |queue| queue.memory())
    }

    /// As much of a payload as the stack has memory for; at least a little while the smallest buffer is not full. The rest is counted,
    /// and its sender has to send it again.
    pub fn admit(&mut self, payload: Slice, env: &mut Env) -> Slice {
        // As the receive queue does it: what fills less than half of its buffer is copied out of it.
        let copied = payload.len() * 2 < payload.capacity();
        let cost = if copied { payload.len() } else { payload.capacity() };
        if cost <= env.memory.room {
            return payload;
        }
        let own = self.smallest_receive_buffer(env.config).saturating_sub(self.receive_memory());
        if payload.len() <= own.min(SMALL) {
            return payload;
        }
        env.counters.drop(DropReason::TcpMemory);
        self.ack.at_once();
        payload.slice(0..own.min(SMALL))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Policy 30: pressure begins at three quarters, ends below half, and is counted when it begins.
    #[test]
    fn pressure_begins_at_three_quarters_and_ends_at_half() {
        let (mut memory, mut counters, mut charged) = (Memory::default(), Counters::default(), 0);
        for (now, pressure) in
            [(74, false), (75, true), (50, true), (49, false), (74, false), (130, true), (0, false)]
        {
            memory.charge(&mut charged, now, 100);
            let room = 100usize.saturating_sub(now);
            assert_eq!(memory.budget(100), Budget { room, pressure }, "with {now} of 100");
        }
        memory.count(&mut counters);
        memory.count(&mut counters);
        assert_eq!(counters.tcp_memory_pressure, 2);
        memory.charge(&mut charged, 0, 0);
        assert_eq!(
            memory.budget(0),
            Budget { room: 0, pressure: false },
            "nothing is held, whatever the limit"
        );
    }
}
