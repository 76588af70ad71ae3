//! Segments that one script line stands for: a burst that another host would have handed to segmentation offload whole.
//! The pieces must follow each other exactly and differ in nothing but FIN, PSH and CWR.

use super::view::{TcpView, View};
use crate::wire::tcp::Flags;

/// Flags that may differ between the pieces of a burst.
const FREE: Flags = Flags::FIN.with(Flags::PSH).with(Flags::CWR);

/// A segment as it is compared: one packet, or several joined.
#[derive(Clone, Debug)]
pub(super) struct Joined<'a> {
    /// The packet whose headers count: the last.
    pub last: View<'a>,
    /// Its segment.
    pub tcp: TcpView<'a>,
    /// The sequence number of the first.
    pub seq: u32,
    /// Control bits: CWR of the first, all others of the last.
    pub flags: u8,
    /// All payload.
    pub payload: Vec<u8>,
    /// How many packets it is made of.
    pub count: usize,
}

/// Joins packets from the front of `queue` until their payload is `wanted` bytes long. What cannot be joined is the first
/// packet alone; the reason comes with it.
pub(super) fn join<'a>(queue: &[View<'a>], wanted: usize) -> Option<(Joined<'a>, Option<String>)> {
    let first = queue.first()?;
    let tcp = first.tcp()?;
    let alone = Joined {
        last: *first,
        tcp,
        seq: tcp.seq(),
        flags: tcp.flags(),
        payload: tcp.payload.to_vec(),
        count: 1,
    };
    if tcp.payload.len() >= wanted {
        return Some((alone, None));
    }
    match append(alone.clone(), &queue[1..], wanted) {
        Ok(joined) => Some((joined, None)),
        Err(reason) => Some((alone, Some(reason))),
    }
}

fn append<'a>(mut joined: Joined<'a>, rest: &[View<'a>], wanted: usize) -> Result<Joined<'a>, String> {
    let piece = joined.payload.len();
    if piece == 0 {
        return Err("a segment without payload cannot be joined with others".to_owned());
    }
    let first = joined.tcp;
    for view in rest {
        let number = joined.count + 1;
        let tcp = view.tcp().ok_or_else(|| format!("packet {number} of the burst is no segment"))?;
        // Every piece but the last is of the first one's size; what was last so far must be, too.
        if joined.tcp.payload.len() != piece || tcp.payload.len() > piece {
            return Err(format!("packet {number} of the burst is larger than those before it"));
        }
        continues(&first, &tcp, joined.seq.wrapping_add(joined.payload.len() as u32))
            .map_err(|what| format!("packet {number} of the burst differs in {what}"))?;
        joined.payload.extend_from_slice(tcp.payload);
        joined.count = number;
        joined.last = *view;
        joined.tcp = tcp;
        if joined.payload.len() >= wanted {
            let cwr = Flags(first.flags()).has(Flags::CWR);
            let others = Flags(tcp.flags()).without(Flags::CWR);
            joined.flags = others.with(if cwr { Flags::CWR } else { Flags::NONE }).0;
            return Ok(joined);
        }
    }
    Err(format!("the burst ends after {} of {wanted} bytes", joined.payload.len()))
}

fn continues(first: &TcpView<'_>, next: &TcpView<'_>, seq: u32) -> Result<(), &'static str> {
    let fixed = |tcp: &TcpView<'_>| Flags(tcp.flags()).without(FREE).0;
    if next.seq() != seq || next.payload.is_empty() {
        Err("its sequence number")
    } else if next.ack() != first.ack() {
        Err("its acknowledgement")
    } else if next.window() != first.window() {
        Err("its window")
    } else if fixed(next) != fixed(first) || next.ae() != first.ae() {
        Err("its flags")
    } else if next.header_len() != first.header_len() {
        Err("its header's length")
    } else {
        Ok(())
    }
}
