//! The exchange of one connection as a ladder, 80 columns wide, in the manner of RFC 9293's figures: the sender's state as it
//! sends, the segment, and the receiver's state once it has taken the segment in.

use std::fmt::{self, Write};

use tidegate::base::time::Instant;
use tidegate::sim::{Fate, HostId, Moment, Node, Traced};
use tidegate::tcp::state::State;
use tidegate::wire::seq::SeqNum;
use tidegate::wire::tcp::{Flags, TcpHeader};

const RED: &str = "\x1b[31m";
const YELLOW: &str = "\x1b[33m";
const BOLD: &str = "\x1b[1m";
const PLAIN: &str = "\x1b[0m";

/// One segment on its way.
struct Rung {
    number: u64,
    sent: Instant,
    from_client: bool,
    from: State,
    /// Not known until it arrives.
    to: Option<State>,
    flags: Flags,
    seq: u32,
    ack: u32,
    len: usize,
    window: u32,
    notes: Vec<&'static str>,
    lost: bool,
}

/// What is known of one direction.
#[derive(Default)]
struct Side {
    /// The initial sequence number.
    isn: Option<SeqNum>,
    /// Behind the last sequence number sent.
    end: Option<SeqNum>,
    shift: u8,
}

/// Draws what a [`Tap`](tidegate::sim::Tap) sees of the one connection between two hosts.
pub(super) struct Ladder {
    client: HostId,
    sides: [Side; 2],
    rungs: Vec<Rung>,
    /// Segments sent again.
    pub(super) retransmissions: usize,
    /// Packets that did not arrive as they were sent.
    pub(super) lost: usize,
}

impl Ladder {
    pub(super) fn new(client: HostId) -> Self {
        Ladder { client, sides: Default::default(), rungs: Vec::new(), retransmissions: 0, lost: 0 }
    }

    /// Packets sent, second copies apart.
    pub(super) fn packets(&self) -> usize {
        self.rungs.iter().filter(|rung| !rung.notes.contains(&DUPLICATE)).count()
    }

    /// Takes in what a tap shows.
    pub(super) fn observe(&mut self, traced: &Traced, moment: Moment, node: &mut dyn Node) {
        let at_client = (traced.from == self.client) == (moment == Moment::Sent);
        // A host whose connection is gone is closed; a server that has none yet listens.
        let idle = if at_client || self.rungs.len() > 1 { State::Closed } else { State::Listen };
        let state = node.connections().first().map_or(idle, |connection| connection.state);
        match moment {
            Moment::Sent => self.sent(traced, state),
            Moment::Received => {
                if let Some(rung) = self.rungs.iter_mut().rev().find(|rung| rung.number == traced.number) {
                    rung.to = Some(state);
                }
            }
        }
    }

    fn sent(&mut self, traced: &Traced, from: State) {
        let bytes = &traced.bytes;
        let start = if bytes.first().is_some_and(|first| first >> 4 == 4) { 20 } else { 40 };
        let Some((header, header_len)) = bytes.get(start..).and_then(TcpHeader::parse) else { return };
        let len = bytes.len() - start - header_len;
        let from_client = traced.from == self.client;
        let again = !traced.passage.duplicate && self.learn(&header, len, from_client);
        let mut notes = notes(traced);
        if again {
            self.retransmissions += 1;
            notes.insert(0, "retransmission");
        }
        let lost = !matches!(traced.passage.fate, Fate::Arrives(_)) || traced.passage.corrupted.is_some();
        self.lost += usize::from(lost);
        let [own, peer] = if from_client { [0, 1] } else { [1, 0] };
        let scaled = if header.flags.has(Flags::SYN) { 0 } else { self.sides[own].shift };
        self.rungs.push(Rung {
            number: traced.number,
            sent: traced.sent,
            from_client,
            from,
            to: None,
            flags: header.flags,
            seq: header.seq.since(self.sides[own].isn.unwrap_or(header.seq)),
            ack: header.ack.since(self.sides[peer].isn.unwrap_or(header.ack)),
            len,
            window: u32::from(header.window) << scaled,
            notes,
            lost,
        });
    }

    /// Remembers numbers and scale; true if something in the segment was sent before.
    fn learn(&mut self, header: &TcpHeader, len: usize, from_client: bool) -> bool {
        let (client, server) = self.sides.split_at_mut(1);
        let (side, peer) =
            if from_client { (&mut client[0], &mut server[0]) } else { (&mut server[0], &mut client[0]) };
        if header.flags.has(Flags::SYN) {
            side.isn = Some(header.seq);
            side.shift = header.options.window_scale.unwrap_or(0);
            // RFC 7323 §2.2: both or none.
            if header.flags.has(Flags::ACK) && header.options.window_scale.is_none() {
                peer.shift = 0;
            }
        }
        let phantom = u32::from(header.flags.has(Flags::SYN)) + u32::from(header.flags.has(Flags::FIN));
        let occupied = len as u32 + phantom;
        let again = occupied > 0 && side.end.is_some_and(|end| header.seq.before(end));
        let end = header.seq + occupied;
        side.end = Some(side.end.map_or(end, |known| known.latest(end)));
        again
    }

    /// The ladder as text, in colour for a terminal.
    pub(super) fn draw(&self, colour: bool) -> String {
        let mut text = String::new();
        // Writing into a string cannot fail.
        let _ = self.write(&mut text, colour);
        text
    }

    fn write(&self, text: &mut String, colour: bool) -> fmt::Result {
        let paint = |code: &'static str| if colour { code } else { "" };
        writeln!(
            text,
            "{}{:>7} {:<12}     {:<11} {:>5} {:>5} {:>5} {:>7}     server{}",
            paint(BOLD),
            "seconds",
            "client",
            "flags",
            "seq",
            "ack",
            "len",
            "window",
            paint(PLAIN)
        )?;
        writeln!(text, "{:>7} {:<12} {:>45} {}", "", State::Closed, "", State::Listen)?;
        for rung in &self.rungs {
            rung.write(text, &paint)?;
        }
        Ok(())
    }
}

const DUPLICATE: &str = "a second copy";

fn notes(traced: &Traced) -> Vec<&'static str> {
    let passage = &traced.passage;
    let mut notes = Vec::new();
    if passage.duplicate {
        notes.push(DUPLICATE);
    }
    if passage.reordered {
        notes.push("held back");
    }
    if passage.marked {
        notes.push("marked: congestion experienced");
    }
    if passage.corrupted.is_some() {
        notes.push("damaged on the way");
    }
    match passage.fate {
        Fate::Arrives(_) => {}
        Fate::Lost | Fate::Filtered => notes.push("lost on the way"),
        Fate::Policed => notes.push("dropped: faster than the link's policer allows"),
        Fate::QueueFull => notes.push("dropped: the link's queue is full"),
        Fate::QueueLong => notes.push("dropped: the link's queue stays long"),
        Fate::TooBig => notes.push("dropped: larger than the link's MTU"),
    }
    notes
}

impl Rung {
    fn write(&self, text: &mut String, paint: &impl Fn(&'static str) -> &'static str) -> fmt::Result {
        let (from, to) = (self.from.name(), self.to.map_or("", State::name));
        let (left, right) = if self.from_client { (from, to) } else { (to, from) };
        // An arrow without a head did not arrive.
        let (tail, head) = match (self.from_client, self.lost) {
            (true, false) => ("---", "-->"),
            (true, true) => ("---", "-x "),
            (false, false) => ("<--", "---"),
            (false, true) => (" x-", "---"),
        };
        let flags = format!("{:?}", self.flags).replace('|', " ");
        let ack = if self.flags.has(Flags::ACK) { self.ack.to_string() } else { String::new() };
        let seconds = self.sent.as_nanos() as f64 / 1e9;
        let colour = if self.lost { paint(RED) } else { "" };
        let line = format!(
            "{seconds:>7.3} {left:<12} {colour}{tail} {flags:<11} {:>5} {ack:>5} {:>5} {:>7} {head}{} {right}",
            self.seq,
            self.len,
            self.window,
            if colour.is_empty() { "" } else { paint(PLAIN) }
        );
        writeln!(text, "{}", line.trim_end())?;
        if !self.notes.is_empty() {
            writeln!(text, "{:25}{}{}{}", "", paint(YELLOW), self.notes.join("; "), paint(PLAIN))?;
        }
        Ok(())
    }
}
