//! Urgent data (RFC 9293 §3.8.5, RFC 6093): a pointer into the stream, nothing else. What is urgent is delivered in line with
//! the rest; a read stops at the mark, which is the last urgent byte, so that the application can tell where it is.
//!
//! No byte is ever taken out of line, and new applications should not use any of this (SHLD-13).

use crate::base::socket::{Readiness, SocketError};
use crate::wire::seq::SeqNum;
use crate::wire::tcp::Flags;

use super::segment::Segment;
use super::tcb::Tcb;
use super::{Tcp, TcpId};

impl Tcp {
    /// Bytes up to the end of the urgent data, arrived or not (MUST-33); zero when there is none. An unread one makes the socket
    /// ready for `PRI` (MUST-32).
    pub fn urgent_left(&self, id: TcpId) -> Result<u32, SocketError> {
        self.connections.get(id.0).map(|tcb| tcb.urgent_left()).ok_or(SocketError::NoSocket)
    }

    /// `SIOCATMARK`: true if the next byte to read is the last urgent one.
    pub fn at_mark(&self, id: TcpId) -> Result<bool, SocketError> {
        let at_mark = |tcb: &Tcb| tcb.urgent && tcb.to_mark() == 0;
        self.connections.get(id.0).map(at_mark).ok_or(SocketError::NoSocket)
    }
}

impl Tcb {
    /// What is queued is urgent up to its end (MUST-30, MUST-31).
    pub fn queue_urgent(&mut self) {
        self.snd.up = self.data_end();
    }

    /// Urgent data of ours is not acknowledged yet: segments are sent one by one, since a device that segments would repeat the
    /// pointer of the first in all.
    pub fn has_urgent_data(&self) -> bool {
        self.snd.up.after(self.snd.una)
    }

    /// The pointer of a segment that begins at `seq`: past the last urgent byte (MUST-62), or as far as it reaches.
    pub fn urgent_pointer(&self, seq: SeqNum) -> Option<u16> {
        let ahead = self.snd.up.offset_from(seq);
        (self.has_urgent_data() && ahead > 0).then(|| ahead.min(i32::from(u16::MAX)) as u16)
    }

    /// Sixth step of RFC 9293 §3.10.7.4: URG. The pointer counts even where the window is closed (MUST-66), and may lie ahead of
    /// what has arrived; one that points at the segment itself says nothing (hostile case P4).
    pub fn check_urgent(&mut self, segment: &Segment) {
        let pointer = u32::from(segment.header.urgent);
        if !segment.has(Flags::URG) || pointer == 0 || !self.state.receives_data() || self.orphan {
            return;
        }
        let up = segment.seq() + pointer;
        let newer = !self.urgent || up.after(self.rcv.up);
        if newer && up.after(self.next_to_read()) {
            self.urgent = true;
            self.rcv.up = up;
            self.events |= Readiness::PRI;
        }
    }

    /// How much a read may take now: up to the mark, and from there on everything.
    pub fn readable(&self) -> usize {
        match self.to_mark() {
            ahead if self.urgent && ahead > 0 => ahead as usize,
            _ => usize::MAX,
        }
    }

    /// The application has read: urgent data behind it is forgotten.
    pub fn forget_urgent(&mut self) {
        self.urgent = self.urgent_left() > 0;
    }

    /// Bytes up to the end of the urgent data. A pointer beyond the end of the stream ends there.
    pub fn urgent_left(&self) -> u32 {
        if !self.urgent {
            return 0;
        }
        let end = self.rcv.irs + 1 + self.rcv.offset as u32;
        let beyond = !self.state.receives_data() && self.rcv.up.after(end);
        let up = if beyond { end } else { self.rcv.up };
        up.offset_from(self.next_to_read()).max(0) as u32
    }

    /// From the next byte to read to the last urgent one; negative behind it.
    fn to_mark(&self) -> i32 {
        (self.rcv.up - 1).offset_from(self.next_to_read())
    }

    fn next_to_read(&self) -> SeqNum {
        self.rcv.irs + 1 + (self.rcv.offset - self.receive_queue.len() as u64) as u32
    }
}
