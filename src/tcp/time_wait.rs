//! TIME-WAIT (RFC 9293 §3.6.1, MUST-13): what is left of a connection for 2·MSL, as a small record. A RST is ignored
//! (RFC 1337), a new SYN may reopen (RFC 6191), everything else draws an ACK.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::base::paged::Paged;
use crate::base::time::{Duration, Instant};
use crate::wire::seq::SeqNum;
use crate::wire::tcp::{Flags, Options, TcpHeader, Timestamps};

use super::ack::{AnswerLimit, Provoked};
use super::config::TcpConfig;
use super::options::SocketOptions;
use super::segment::{FourTuple, Segment};
use super::standing::Standing;
use super::state::State;
use super::tcb::Tcb;

/// What a closed connection must remember.
#[derive(Clone, Debug)]
pub struct Record {
    /// Both ends.
    pub tuple: FourTuple,
    /// The connection's: its segments keep their DSCP and hop limit to the end (MUST-48).
    options: Arc<SocketOptions>,
    snd_nxt: SeqNum,
    rcv_nxt: SeqNum,
    window: u16,
    /// Timestamp offset and TS.Recent, if agreed.
    timestamps: Option<(u32, u32)>,
    expires: Instant,
    /// The expiry that its entry in the queue stands for; a record that was refreshed since is queued anew when that comes.
    queued: Instant,
    /// Limits the answers that an attacker can provoke, as in any state (RFC 5961 §7).
    limit: AnswerLimit,
}

/// What a segment to a TIME-WAIT record means.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// Nothing.
    Ignore,
    /// Nothing, because an answer of this kind went out a moment ago.
    Limited,
    /// The record is to be removed in silence: a RST that counts.
    Forget,
    /// An ACK of what was received last.
    Ack(TcpHeader, Arc<SocketOptions>),
    /// The record is to be removed: the SYN opens a new connection, whose numbers begin behind this one.
    Reopen(SeqNum),
}

impl Record {
    fn new(tcb: &Tcb, expires: Instant) -> Self {
        Record {
            tuple: tcb.tuple,
            options: tcb.options.clone(),
            snd_nxt: tcb.snd.nxt,
            rcv_nxt: tcb.rcv.nxt,
            window: (tcb.rcv.wnd() >> tcb.agreed.rcv_shift).min(u32::from(u16::MAX)) as u16,
            timestamps: tcb.agreed.timestamps.then_some((tcb.ts.offset, tcb.ts.recent)),
            expires,
            queued: expires,
            limit: AnswerLimit::default(),
        }
    }

    /// RFC 9293 §3.10.7.4 for TIME-WAIT. `rst_counts` is the state without RFC 1337: an exact RST ends it.
    fn arrives(&mut self, segment: &Segment, open: bool, rst_counts: bool, now: Instant) -> Answer {
        if segment.has(Flags::RST) {
            let exact = segment.seq() == self.rcv_nxt;
            return if rst_counts && exact { Answer::Forget } else { Answer::Ignore };
        }
        if open && self.may_reopen(segment) {
            return Answer::Reopen(self.snd_nxt);
        }
        let expected = segment.seq() == self.rcv_nxt && segment.ack().at_or_before(self.snd_nxt);
        if segment.len() == 0 && expected {
            return Answer::Ignore;
        }
        // Policy 19, as in the other states: answers to data are not limited, those to SYNs and empty segments are.
        let allowed = if segment.has(Flags::SYN) {
            self.limit.allows(Provoked::Challenge, now)
        } else {
            segment.len() > 0 || self.limit.allows(Provoked::Correction, now)
        };
        if allowed { Answer::Ack(self.ack(now), self.options.clone()) } else { Answer::Limited }
    }

    /// True for the peer's FIN come again: it ends at RCV.NXT, acknowledges what we sent, and is not older than what came last.
    fn is_repeated_fin(&self, segment: &Segment) -> bool {
        let older = match (self.timestamps, segment.header.options.timestamps) {
            (Some((_, recent)), Some(ts)) => (ts.val.wrapping_sub(recent) as i32) < 0,
            _ => false,
        };
        segment.has(Flags::FIN)
            && segment.has(Flags::ACK)
            && !segment.has(Flags::SYN)
            && segment.end() == self.rcv_nxt
            && segment.ack().at_or_before(self.snd_nxt)
            && !older
    }

    /// RFC 6191 §2: a newer timestamp, or without timestamps a newer sequence number.
    fn may_reopen(&self, segment: &Segment) -> bool {
        match (self.timestamps, segment.header.options.timestamps) {
            (Some((_, recent)), Some(ts)) if ts.val != recent => (ts.val.wrapping_sub(recent) as i32) > 0,
            _ => segment.seq().after(self.rcv_nxt),
        }
    }

    fn ack(&self, now: Instant) -> TcpHeader {
        let timestamps = self.timestamps.map(|(offset, recent)| Timestamps {
            val: offset.wrapping_add(now.as_millis() as u32),
            ecr: recent,
        });
        TcpHeader {
            src_port: self.tuple.local.port,
            dst_port: self.tuple.remote.port,
            seq: self.snd_nxt,
            ack: self.rcv_nxt,
            flags: Flags::ACK,
            window: self.window,
            urgent: 0,
            options: Options { timestamps, ..Options::default() },
        }
    }
}

/// The records of a stack, in places that do not move; the oldest expires first.
#[derive(Debug)]
pub struct TimeWait {
    records: Paged<Option<Record>>,
    free: Vec<u32>,
    /// Places in the order of expiry, each with the expiry it was queued for; a removed record leaves a stale entry behind,
    /// which is skipped.
    order: VecDeque<(Instant, u32)>,
    len: usize,
    length: Duration,
    max: usize,
    rst_counts: bool,
    evicted: u64,
    /// Entries of `order` looked at so far.
    #[cfg(test)]
    looked_at: usize,
}

impl TimeWait {
    /// No record; how long each will live, how many there may be, and whether a RST ends one are settings.
    pub fn new(config: &TcpConfig) -> Self {
        TimeWait {
            records: Paged::new(),
            free: Vec::new(),
            order: VecDeque::new(),
            len: 0,
            length: config.time_wait,
            max: config.max_time_wait,
            rst_counts: !config.rfc1337,
            evicted: 0,
            #[cfg(test)]
            looked_at: 0,
        }
    }

    /// Remembers a connection; returns its place, and the record that was evicted for it.
    pub fn insert(&mut self, tcb: &Tcb, now: Instant) -> (u32, Option<(u32, FourTuple)>) {
        let evicted = if self.len >= self.max { self.evict_oldest() } else { None };
        let record = Record::new(tcb, now + self.length);
        let index = self.free.pop().unwrap_or_else(|| {
            self.records.push(None);
            (self.records.len() - 1) as u32
        });
        self.order.push_back((record.expires, index));
        self.records[index as usize] = Some(record);
        self.len += 1;
        (index, evicted)
    }

    /// A segment for the record at `index` arrives; with `open` it is a SYN that a listener would take. The peer's FIN come
    /// again restarts the 2·MSL; another FIN does not, or whoever guesses the ports could hold a record for ever.
    pub fn arrives(&mut self, index: u32, segment: &Segment, open: bool, now: Instant) -> Answer {
        let Some(record) = self.records.get_mut(index as usize).and_then(Option::as_mut) else {
            return Answer::Ignore;
        };
        let answer = record.arrives(segment, open, self.rst_counts, now);
        if record.is_repeated_fin(segment) {
            record.expires = now + self.length;
        }
        answer
    }

    /// Forgets the record at `index`.
    pub fn remove(&mut self, index: u32) -> Option<FourTuple> {
        let record = self.records.get_mut(index as usize)?.take()?;
        self.free.push(index);
        self.len -= 1;
        self.sweep();
        Some(record.tuple)
    }

    /// Drops stale entries once they outnumber the records, so that a peer which reopens for ever cannot grow the queue.
    fn sweep(&mut self) {
        if self.order.len() > 2 * self.len + 64 {
            self.note(self.order.len());
            let records = &self.records;
            self.order.retain(|&(queued, index)| {
                records[index as usize].as_ref().is_some_and(|record| record.queued == queued)
            });
        }
    }

    /// Takes a record whose time is over: its place, which is free again, and its tuple.
    pub fn pop_expired(&mut self, now: Instant) -> Option<(u32, FourTuple)> {
        while let Some(&(queued, index)) = self.order.front() {
            self.note(1);
            if queued > now {
                return None;
            }
            self.order.pop_front();
            let Some(record) = self.records[index as usize].as_mut().filter(|record| record.queued == queued)
            else {
                continue;
            };
            if record.expires <= now {
                return self.remove(index).map(|tuple| (index, tuple));
            }
            record.queued = record.expires;
            self.order.push_back((record.expires, index));
        }
        None
    }

    /// Entries of `order` were looked at: tests see that these are few.
    fn note(&mut self, _count: usize) {
        #[cfg(test)]
        {
            self.looked_at += _count;
        }
    }

    /// When the next record expires, or earlier where a stale entry stands first.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.order.front().map(|&(expires, _)| expires)
    }

    /// Entries in the queue of expiries looked at since the last call.
    #[cfg(test)]
    pub fn take_looked_at(&mut self) -> usize {
        std::mem::take(&mut self.looked_at)
    }

    /// Entries in the queue of expiries, stale ones included.
    #[cfg(test)]
    pub fn queued(&self) -> usize {
        self.order.len()
    }

    /// Both ends of the record at `index`.
    pub fn tuple(&self, index: u32) -> Option<&FourTuple> {
        self.records.get(index as usize)?.as_ref().map(|record| &record.tuple)
    }

    /// Where the record at `index` stands.
    pub fn standing(&self, index: u32) -> Option<Standing> {
        let record = self.records.get(index as usize)?.as_ref()?;
        Some(Standing {
            state: State::TimeWait,
            snd_una: record.snd_nxt,
            snd_nxt: record.snd_nxt,
            rcv_nxt: record.rcv_nxt,
            rcv_wnd: u32::from(record.window),
        })
    }

    /// Takes over changed settings; what is remembered already stays as it is.
    pub fn set_config(&mut self, config: &TcpConfig) {
        self.length = config.time_wait;
        self.max = config.max_time_wait;
        self.rst_counts = !config.rfc1337;
    }

    /// The records, for listings.
    pub fn iter(&self) -> impl Iterator<Item = &Record> {
        self.records.iter().flatten()
    }

    fn evict_oldest(&mut self) -> Option<(u32, FourTuple)> {
        while let Some((queued, index)) = self.order.pop_front() {
            self.note(1);
            if self.records[index as usize].as_ref().is_some_and(|record| record.queued == queued) {
                self.evicted += 1;
                return self.remove(index).map(|tuple| (index, tuple));
            }
        }
        None
    }

    /// Records evicted since the last call.
    pub fn take_evicted(&mut self) -> u64 {
        std::mem::take(&mut self.evicted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hostile case M6: records are tiny.
    #[test]
    fn a_record_takes_less_than_200_bytes() {
        assert!(size_of::<Option<Record>>() <= 100, "{}", size_of::<Option<Record>>());
    }
}
