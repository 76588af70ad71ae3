//! Which events met which state: what a collection of scripts has shown, cell by cell.
//!
//! A cell is filled by what the stack itself says when an event comes: its state, and where the segment's numbers lie in its
//! windows. File names and comments say nothing here. Cells that nothing can ever fill stand in a table with the reason.

use std::fmt;

use crate::tcp::Standing;
use crate::tcp::state::State;
use crate::wire::seq::SeqNum;
use crate::wire::tcp::Flags;

/// What can happen to a connection (RFC 9293 §3.10).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// A SYN without ACK.
    Syn,
    /// A SYN with ACK.
    SynAck,
    /// A pure ACK of what is under way, or a repeated one.
    AckInWindow,
    /// A pure ACK of less than SND.UNA.
    AckOld,
    /// A pure ACK of what was never sent.
    AckFuture,
    /// Text that begins at or before RCV.NXT and goes beyond it.
    DataInOrder,
    /// Text behind a gap, within the window.
    DataOutOfOrder,
    /// Text at or behind the window's right edge.
    DataBeyond,
    /// A FIN, with or without text.
    Fin,
    /// A RST with exactly the expected number (in SYN-SENT: with the acceptable ACK).
    RstExact,
    /// A RST elsewhere in the window.
    RstInWindow,
    /// A RST outside of it.
    RstOutside,
    /// The stack gave the connection up because nothing was answered for too long (§3.10.8).
    UserTimeout,
    /// `close`.
    Close,
    /// `shutdown`.
    Shutdown,
    /// The application is gone and its socket still open: the end of a script.
    Drop,
}

impl Event {
    /// Every event, in the order of the table's columns.
    pub const ALL: [Event; 16] = [
        Event::Syn,
        Event::SynAck,
        Event::AckInWindow,
        Event::AckOld,
        Event::AckFuture,
        Event::DataInOrder,
        Event::DataOutOfOrder,
        Event::DataBeyond,
        Event::Fin,
        Event::RstExact,
        Event::RstInWindow,
        Event::RstOutside,
        Event::UserTimeout,
        Event::Close,
        Event::Shutdown,
        Event::Drop,
    ];

    /// What it is called in lists.
    pub const fn name(self) -> &'static str {
        match self {
            Event::Syn => "SYN",
            Event::SynAck => "SYN-ACK",
            Event::AckInWindow => "ACK in window",
            Event::AckOld => "ACK old",
            Event::AckFuture => "ACK future",
            Event::DataInOrder => "data in order",
            Event::DataOutOfOrder => "data out of order",
            Event::DataBeyond => "data beyond window",
            Event::Fin => "FIN",
            Event::RstExact => "RST exact",
            Event::RstInWindow => "RST in window",
            Event::RstOutside => "RST outside",
            Event::UserTimeout => "user timeout",
            Event::Close => "close",
            Event::Shutdown => "shutdown",
            Event::Drop => "drop",
        }
    }

    /// What a segment is to a connection that stands here. `None`: text that was all received before, which is no column.
    pub(super) fn of_segment(
        standing: &Standing,
        seq: SeqNum,
        ack: SeqNum,
        flags: Flags,
        len: u32,
    ) -> Option<Event> {
        if flags.has(Flags::RST) {
            return Some(rst(standing, seq, ack, flags));
        }
        if flags.has(Flags::SYN) {
            return Some(if flags.has(Flags::ACK) { Event::SynAck } else { Event::Syn });
        }
        if flags.has(Flags::FIN) {
            return Some(Event::Fin);
        }
        if len > 0 {
            return data(standing, seq, len);
        }
        flags.has(Flags::ACK).then(|| acknowledgement(standing, ack))
    }
}

/// True where there are numbers to compare with: a connection that knows its peer's.
fn has_window(state: State) -> bool {
    !matches!(state, State::Closed | State::Listen | State::SynSent)
}

fn rst(standing: &Standing, seq: SeqNum, ack: SeqNum, flags: Flags) -> Event {
    match standing.state {
        // RFC 9293 §3.10.7.3: there is no window yet, an acceptable ACK makes the RST valid.
        State::SynSent if flags.has(Flags::ACK) && ack == standing.snd_nxt => Event::RstExact,
        state if !has_window(state) => Event::RstOutside,
        _ if seq == standing.rcv_nxt => Event::RstExact,
        _ if seq.since(standing.rcv_nxt) < standing.rcv_wnd => Event::RstInWindow,
        _ => Event::RstOutside,
    }
}

fn data(standing: &Standing, seq: SeqNum, len: u32) -> Option<Event> {
    let edge = standing.rcv_nxt + standing.rcv_wnd;
    if !has_window(standing.state) || seq.at_or_after(edge) {
        return Some(Event::DataBeyond);
    }
    if seq.after(standing.rcv_nxt) {
        return Some(Event::DataOutOfOrder);
    }
    (seq + len).after(standing.rcv_nxt).then_some(Event::DataInOrder)
}

fn acknowledgement(standing: &Standing, ack: SeqNum) -> Event {
    match standing.state {
        // Whatever it acknowledges was never sent.
        State::Closed | State::Listen => Event::AckFuture,
        // RFC 9293 §3.10.7.3 and §3.10.7.4: SEG.ACK =< ISS is not acceptable before our SYN is acknowledged.
        State::SynSent | State::SynReceived if ack.at_or_before(standing.snd_una) => Event::AckOld,
        _ if ack.before(standing.snd_una) => Event::AckOld,
        _ if ack.after(standing.snd_nxt) => Event::AckFuture,
        _ => Event::AckInWindow,
    }
}

/// Events that compare a segment with numbers which CLOSED and LISTEN do not have.
const BY_NUMBER: &[Event] = &[
    Event::AckInWindow,
    Event::AckOld,
    Event::DataInOrder,
    Event::DataOutOfOrder,
    Event::RstExact,
    Event::RstInWindow,
];

/// Cells that nothing can fill, with the reason.
pub const IMPOSSIBLE: &[(State, &[Event], &str)] = &[
    (
        State::Listen,
        BY_NUMBER,
        "no numbers yet: every ACK is of something never sent, every text and RST outside",
    ),
    (State::Closed, BY_NUMBER, "no numbers any more, or never any"),
    (
        State::SynSent,
        &[Event::DataInOrder, Event::DataOutOfOrder, Event::RstInWindow],
        "the peer's numbers are not known: there is no window for text or a RST to lie in",
    ),
    (State::Listen, &[Event::UserTimeout], "nothing is under way that could time out"),
    (State::Closed, &[Event::UserTimeout], "there is no connection"),
    (State::TimeWait, &[Event::UserTimeout], "everything is acknowledged; the end of 2·MSL is no failure"),
];

/// True for a cell that nothing can fill.
pub fn is_impossible(state: State, event: Event) -> bool {
    IMPOSSIBLE.iter().any(|(known, events, _)| *known == state && events.contains(&event))
}

/// How often each event met each state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matrix {
    counts: [[u32; Event::ALL.len()]; State::ALL.len()],
}

impl Matrix {
    /// Notes that `event` met `state`.
    pub fn record(&mut self, state: State, event: Event) {
        let count = &mut self.counts[row(state)][column(event)];
        *count = count.saturating_add(1);
    }

    /// How often `event` met `state`.
    pub fn count(&self, state: State, event: Event) -> u32 {
        self.counts[row(state)][column(event)]
    }

    /// Adds what another collection has shown.
    pub fn merge(&mut self, other: &Matrix) {
        for (mine, theirs) in self.counts.iter_mut().flatten().zip(other.counts.iter().flatten()) {
            *mine = mine.saturating_add(*theirs);
        }
    }

    /// The cells that nothing has filled and something could.
    pub fn holes(&self) -> impl Iterator<Item = (State, Event)> + '_ {
        cells().filter(|&(state, event)| !is_impossible(state, event) && self.count(state, event) == 0)
    }

    /// The cells that were filled though nothing can: the table of the impossible is wrong.
    pub fn contradictions(&self) -> impl Iterator<Item = (State, Event)> + '_ {
        cells().filter(|&(state, event)| is_impossible(state, event) && self.count(state, event) > 0)
    }
}

fn cells() -> impl Iterator<Item = (State, Event)> {
    State::ALL.into_iter().flat_map(|state| Event::ALL.map(|event| (state, event)))
}

fn row(state: State) -> usize {
    State::ALL.iter().position(|&known| known == state).unwrap_or(0)
}

fn column(event: Event) -> usize {
    Event::ALL.iter().position(|&known| known == event).unwrap_or(0)
}

impl fmt::Display for Matrix {
    /// A table of 80 columns; a hole is a dot, an impossible cell a dash.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:12}         ACK         data            RST             time", "")?;
        writeln!(f, "{:12} SYN S-A  in old fut  in ooo byd FIN  ex  in out out cls shd drp", "")?;
        for state in State::ALL {
            write!(f, "{:12}", state.name())?;
            for event in Event::ALL {
                match self.count(state, event) {
                    0 if is_impossible(state, event) => write!(f, "   -")?,
                    0 => write!(f, "   .")?,
                    count if count > 999 => write!(f, " 999")?,
                    count => write!(f, "{count:4}")?,
                }
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACK: Flags = Flags::ACK;

    fn standing(state: State) -> Standing {
        let (snd_una, snd_nxt) = (SeqNum(u32::MAX), SeqNum(10));
        Standing { state, snd_una, snd_nxt, rcv_nxt: SeqNum(100), rcv_wnd: 50 }
    }

    fn of(state: State, seq: u32, ack: u32, flags: Flags, len: u32) -> Option<Event> {
        Event::of_segment(&standing(state), SeqNum(seq), SeqNum(ack), flags, len)
    }

    /// Where a number lies is judged by the connection's edges, across the wrap of the circle.
    #[test]
    fn segments_are_judged_by_the_real_windows() {
        let open = State::Established;
        assert_eq!(of(open, 100, u32::MAX, ACK, 0), Some(Event::AckInWindow));
        assert_eq!(of(open, 100, 10, ACK, 0), Some(Event::AckInWindow));
        assert_eq!(of(open, 100, u32::MAX - 1, ACK, 0), Some(Event::AckOld));
        assert_eq!(of(open, 100, 11, ACK, 0), Some(Event::AckFuture));
        assert_eq!(of(open, 95, 10, ACK, 5), None, "received before");
        assert_eq!(of(open, 95, 10, ACK, 6), Some(Event::DataInOrder));
        assert_eq!(of(open, 101, 10, ACK, 1), Some(Event::DataOutOfOrder));
        assert_eq!(of(open, 150, 10, ACK, 1), Some(Event::DataBeyond));
        assert_eq!(of(open, 100, 0, Flags::RST, 0), Some(Event::RstExact));
        assert_eq!(of(open, 149, 0, Flags::RST, 0), Some(Event::RstInWindow));
        assert_eq!(of(open, 150, 0, Flags::RST, 0), Some(Event::RstOutside));
        assert_eq!(of(open, 99, 0, Flags::RST, 0), Some(Event::RstOutside));
        assert_eq!(of(open, 100, 10, ACK.with(Flags::FIN), 0), Some(Event::Fin));
    }

    /// RFC 9293 §3.10.7.3: in SYN-SENT the acknowledgement decides, there is no window.
    #[test]
    fn in_syn_sent_the_acknowledgement_decides() {
        let opening = State::SynSent;
        assert_eq!(of(opening, 0, 10, ACK.with(Flags::RST), 0), Some(Event::RstExact));
        assert_eq!(of(opening, 0, 9, ACK.with(Flags::RST), 0), Some(Event::RstOutside));
        assert_eq!(of(opening, 0, u32::MAX, ACK, 0), Some(Event::AckOld));
        assert_eq!(of(opening, 0, 10, ACK, 0), Some(Event::AckInWindow));
        assert_eq!(of(opening, 100, 10, ACK, 1), Some(Event::DataBeyond));
    }

    /// RFC 9293 §3.10.7.4, fifth step: before our SYN is acknowledged, an ACK of less says nothing.
    #[test]
    fn in_syn_received_only_an_ack_of_our_syn_is_in_the_window() {
        assert_eq!(of(State::SynReceived, 100, u32::MAX, ACK, 0), Some(Event::AckOld));
        assert_eq!(of(State::SynReceived, 100, 10, ACK, 0), Some(Event::AckInWindow));
    }

    #[test]
    fn the_table_fits_into_80_columns_and_lists_its_holes() {
        let mut matrix = Matrix::default();
        matrix.record(State::Listen, Event::Syn);
        let mut more = Matrix::default();
        more.record(State::Closed, Event::Drop);
        matrix.merge(&more);
        assert_eq!(matrix.holes().count(), 11 * 16 - 2 - (6 + 6 + 3 + 3));
        assert!(!matrix.holes().any(|cell| cell == (State::Listen, Event::Syn)));
        let table = matrix.to_string();
        assert!(table.lines().all(|line| line.len() <= 80), "{table}");
        assert_eq!(table.lines().count(), 13);
        assert_eq!(matrix.contradictions().count(), 0);
        matrix.record(State::Closed, Event::RstExact);
        assert_eq!(matrix.contradictions().collect::<Vec<_>>(), [(State::Closed, Event::RstExact)]);
    }
}
