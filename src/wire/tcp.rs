//! The TCP header as a value (RFC 9293 §3.1) with the options this stack speaks: MSS, window scale, timestamps (RFC 7323) and
//! SACK (RFC 2018). Fixed fields go through `etherparse`; the option loop is ours, because broken options must do no harm.

use std::fmt;

use etherparse::TcpHeaderSlice;
use smallvec::SmallVec;

use super::seq::SeqNum;

/// Bytes of a TCP header without options.
pub const MIN_HEADER: usize = 20;
/// Bytes of a TCP header with all the options it can hold.
pub const MAX_HEADER: usize = 60;
/// Bytes of options that a header can hold.
pub const MAX_OPTIONS: usize = MAX_HEADER - MIN_HEADER;
/// Where the checksum lies in the header.
pub const CHECKSUM_OFFSET: usize = 16;
/// Bytes that the timestamps option takes in every later segment, padding included.
pub const TIMESTAMP_LEN: usize = 12;
/// The largest shift of the window scale option (RFC 7323 §2.3).
pub const MAX_WINDOW_SHIFT: u8 = 14;

/// The control bits, as they lie in the header's byte 13.
#[derive(Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Flags(pub u8);

impl Flags {
    /// No flag.
    pub const NONE: Flags = Flags(0);
    /// No more data from the sender.
    pub const FIN: Flags = Flags(0x01);
    /// Synchronize sequence numbers.
    pub const SYN: Flags = Flags(0x02);
    /// Reset the connection.
    pub const RST: Flags = Flags(0x04);
    /// Push function.
    pub const PSH: Flags = Flags(0x08);
    /// The acknowledgement field is significant.
    pub const ACK: Flags = Flags(0x10);
    /// The urgent pointer is significant.
    pub const URG: Flags = Flags(0x20);
    /// ECN echo (RFC 3168).
    pub const ECE: Flags = Flags(0x40);
    /// Congestion window reduced (RFC 3168).
    pub const CWR: Flags = Flags(0x80);

    /// True if every flag of `other` is set.
    pub const fn has(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }

    /// True if any flag of `other` is set.
    pub const fn any(self, other: Flags) -> bool {
        self.0 & other.0 != 0
    }

    /// These flags and those of `other`.
    #[must_use]
    pub const fn with(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }

    /// These flags without those of `other`.
    #[must_use]
    pub const fn without(self, other: Flags) -> Flags {
        Flags(self.0 & !other.0)
    }
}

impl fmt::Debug for Flags {
    /// `SYN|ACK`; `-` without a flag.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [&str; 8] = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"];
        let set: Vec<_> =
            NAMES.iter().enumerate().filter(|(bit, _)| self.0 & (1 << bit) != 0).map(|(_, &n)| n).collect();
        f.write_str(if set.is_empty() { "-" } else { "" })?;
        f.write_str(&set.join("|"))
    }
}

/// The timestamps option (RFC 7323 §3.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Timestamps {
    /// TSval: the sender's clock.
    pub val: u32,
    /// TSecr: the echoed clock of the receiver; meaningful with ACK only.
    pub ecr: u32,
}

/// Received or to-be-sent SACK blocks: left edge, right edge.
pub type SackBlocks = SmallVec<[(SeqNum, SeqNum); 4]>;

/// The options of a segment. What is absent, malformed or unknown is `None`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Options {
    /// Maximum segment size; on SYN only.
    pub mss: Option<u16>,
    /// Window scale shift; on SYN only.
    pub window_scale: Option<u8>,
    /// SACK permitted; on SYN only.
    pub sack_permitted: bool,
    /// Timestamps.
    pub timestamps: Option<Timestamps>,
    /// SACK blocks.
    pub sack: SackBlocks,
}

impl Options {
    /// Reads options as RFC 9293 §3.2 asks: unknown kinds are skipped by their length (MUST-6), an illegal length ends the
    /// list without harm (MUST-7), no alignment is expected (MUST-64).
    pub fn parse(mut bytes: &[u8]) -> Self {
        let mut options = Options::default();
        // What nearly every segment carries, as nearly every sender lays it out (RFC 7323 appendix A).
        if let [1, 1, 8, 10, stamps @ ..] = bytes
            && stamps.len() == 8
        {
            options.take(8, stamps);
            return options;
        }
        loop {
            let (kind, rest) = match bytes {
                [] | [0, ..] => return options,
                [1, rest @ ..] => {
                    bytes = rest;
                    continue;
                }
                [kind, len, rest @ ..] if *len >= 2 && rest.len() >= usize::from(*len) - 2 => {
                    let (body, tail) = rest.split_at(usize::from(*len) - 2);
                    bytes = tail;
                    (*kind, body)
                }
                _ => return options,
            };
            options.take(kind, rest);
        }
    }

    fn take(&mut self, kind: u8, body: &[u8]) {
        match (kind, body) {
            (2, &[a, b]) => self.mss = Some(u16::from_be_bytes([a, b])),
            (3, &[shift]) => self.window_scale = Some(shift.min(MAX_WINDOW_SHIFT)),
            (4, []) => self.sack_permitted = true,
            (5, edges) if edges.len() % 8 == 0 => {
                self.sack =
                    edges.chunks_exact(8).take(4).map(|edge| (seq_at(edge, 0), seq_at(edge, 4))).collect();
            }
            (8, body) if body.len() == 8 => {
                self.timestamps = Some(Timestamps { val: seq_at(body, 0).0, ecr: seq_at(body, 4).0 });
            }
            _ => {}
        }
    }

    /// True if nothing would be written.
    pub fn is_empty(&self) -> bool {
        *self == Options::default()
    }

    /// Writes the options in the order that Linux uses, padded with NOPs to whole words; returns how many bytes that are.
    pub fn write(&self, out: &mut [u8; MAX_OPTIONS]) -> usize {
        let mut out = Writer { out, len: 0 };
        if let Some(mss) = self.mss {
            let [a, b] = mss.to_be_bytes();
            out.put([2, 4, a, b]);
        }
        match (self.sack_permitted, self.timestamps.is_some()) {
            (true, true) => out.put([4, 2]),
            (true, false) => out.put([1, 1, 4, 2]),
            (false, true) => out.put([1, 1]),
            (false, false) => {}
        }
        if let Some(Timestamps { val, ecr }) = self.timestamps {
            out.put([8, 10]);
            out.put(val.to_be_bytes());
            out.put(ecr.to_be_bytes());
        }
        if let Some(shift) = self.window_scale {
            out.put([1, 3, 3, shift]);
        }
        let room = (MAX_OPTIONS.saturating_sub(out.len + 4) / 8).min(self.sack.len());
        if room > 0 {
            out.put([1, 1, 5, 2 + 8 * room as u8]);
            for (left, right) in &self.sack[..room] {
                out.put(left.0.to_be_bytes());
                out.put(right.0.to_be_bytes());
            }
        }
        out.len
    }
}

/// Puts bytes behind each other; what does not fit is left out.
struct Writer<'a> {
    out: &'a mut [u8; MAX_OPTIONS],
    len: usize,
}

impl Writer<'_> {
    fn put<const N: usize>(&mut self, bytes: [u8; N]) {
        if let Some(place) = self.out.get_mut(self.len..self.len + N) {
            place.copy_from_slice(&bytes);
            self.len += N;
        }
    }
}

fn seq_at(bytes: &[u8], at: usize) -> SeqNum {
    SeqNum(bytes.get(at..at + 4).and_then(|word| word.try_into().ok()).map_or(0, u32::from_be_bytes))
}

/// The header of a segment. The window is the raw field, unsigned (MUST-1); scaling is the connection's business.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TcpHeader {
    /// Source port.
    pub src_port: u16,
    /// Destination port.
    pub dst_port: u16,
    /// Sequence number of the first byte, or of the SYN.
    pub seq: SeqNum,
    /// Acknowledgement number; significant with ACK.
    pub ack: SeqNum,
    /// Control bits.
    pub flags: Flags,
    /// The window field.
    pub window: u16,
    /// The urgent pointer; significant with URG.
    pub urgent: u16,
    /// The options.
    pub options: Options,
}

impl TcpHeader {
    /// Reads a header and returns it with its length in bytes; `None` if it is cut short or its length field lies.
    /// The checksum is the caller's business.
    pub fn parse(bytes: &[u8]) -> Option<(TcpHeader, usize)> {
        let slice = TcpHeaderSlice::from_slice(bytes).ok()?;
        let header = TcpHeader {
            src_port: slice.source_port(),
            dst_port: slice.destination_port(),
            seq: SeqNum(slice.sequence_number()),
            ack: SeqNum(slice.acknowledgment_number()),
            flags: Flags(slice.slice()[13]),
            window: slice.window_size(),
            urgent: slice.urgent_pointer(),
            options: Options::parse(slice.options()),
        };
        Some((header, slice.slice().len()))
    }

    /// The header's bytes, its checksum field zero.
    pub fn to_bytes(&self) -> SmallVec<[u8; MAX_HEADER]> {
        let mut options = [0; MAX_OPTIONS];
        let options_len = self.options.write(&mut options);
        let mut bytes = [0; MAX_HEADER];
        bytes[0..2].copy_from_slice(&self.src_port.to_be_bytes());
        bytes[2..4].copy_from_slice(&self.dst_port.to_be_bytes());
        bytes[4..8].copy_from_slice(&self.seq.0.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.ack.0.to_be_bytes());
        bytes[12] = ((MIN_HEADER + options_len) << 2) as u8;
        bytes[13] = self.flags.0;
        bytes[14..16].copy_from_slice(&self.window.to_be_bytes());
        bytes[18..20].copy_from_slice(&self.urgent.to_be_bytes());
        bytes[MIN_HEADER..].copy_from_slice(&options);
        SmallVec::from_buf_and_len(bytes, MIN_HEADER + options_len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(options: &Options) -> Vec<u8> {
        let mut bytes = [0; MAX_OPTIONS];
        let len = options.write(&mut bytes);
        bytes[..len].to_vec()
    }

    /// Order and padding of SYN options as Linux has them: mss, sackOK, TS, nop, wscale; without timestamps mss, nop, nop,
    /// sackOK, nop, wscale; bare mss, nop, wscale.
    #[test]
    fn syn_options_stand_in_the_order_of_linux() {
        let ts = Some(Timestamps { val: 1, ecr: 2 });
        let mut options = Options {
            mss: Some(1460),
            window_scale: Some(7),
            sack_permitted: true,
            timestamps: ts,
            ..Options::default()
        };
        assert_eq!(written(&options), [2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 1, 3, 3, 7]);
        options.timestamps = None;
        assert_eq!(written(&options), [2, 4, 5, 180, 1, 1, 4, 2, 1, 3, 3, 7]);
        options.sack_permitted = false;
        assert_eq!(written(&options), [2, 4, 5, 180, 1, 3, 3, 7]);
    }

    /// With timestamps three SACK blocks fit, without them four (RFC 2018 §3).
    #[test]
    fn as_many_sack_blocks_as_fit_are_written() {
        let block = (SeqNum(1), SeqNum(2));
        let mut options = Options { sack: SackBlocks::from_elem(block, 4), ..Options::default() };
        assert_eq!(Options::parse(&written(&options)).sack.len(), 4);
        options.timestamps = Some(Timestamps::default());
        assert_eq!(Options::parse(&written(&options)).sack.len(), 3);
        assert_eq!(written(&options).len(), 40);
    }

    /// Hostile case P3: lengths of zero, one and past the end stop the list; a wrong length for a known kind ignores it; the
    /// shift is cut to 14 (RFC 7323 §2.3); what follows the end of the list is not read.
    #[test]
    fn broken_options_do_no_harm() {
        assert_eq!(Options::parse(&[2, 0, 5, 180]), Options::default());
        assert_eq!(Options::parse(&[2, 1, 5, 180]), Options::default());
        assert_eq!(Options::parse(&[2, 5, 5, 180]), Options::default());
        assert_eq!(
            Options::parse(&[2, 3, 5, 3, 3, 255]),
            Options { window_scale: Some(14), ..Options::default() }
        );
        assert_eq!(Options::parse(&[8, 9, 0, 0, 0, 0, 0, 0, 0, 1]), Options::default());
        assert_eq!(Options::parse(&[0, 2, 4, 5, 180]), Options::default());
        assert_eq!(
            Options::parse(&[254, 4, 9, 9, 1, 2, 4, 5, 180]).mss,
            Some(1460),
            "unknown kinds are skipped"
        );
        assert_eq!(Options::parse(&[2]), Options::default());
    }

    /// The octets behind the last option: from an end of the list on, or none.
    fn padding(mut options: &[u8]) -> &[u8] {
        loop {
            options = match options {
                [] | [0, ..] => return options,
                [1, rest @ ..] => rest,
                [_, len, ..] => &options[usize::from(*len)..],
                [_] => panic!("an option without a length"),
            };
        }
    }

    /// RFC 9293 §3.1 (MUST-69): zeros are what belongs behind the end of the list. Whatever a peer puts there instead is no option
    /// and no data, and the options before it count.
    #[test]
    fn what_follows_the_end_of_the_list_is_padding() {
        let mut bytes = TcpHeader { options: Options::default(), ..TcpHeader::default() }.to_bytes().to_vec();
        bytes[12] = 8 << 4;
        for tail in [[0; 7], [0, 1, 1, 1, 1, 1, 1], [0, 3, 3, 7, 2, 4, 9], [0, 255, 255, 255, 255, 255, 255]]
        {
            let segment = [&bytes[..], &[2, 4, 5, 180, 1], &tail, b"data"].concat();
            let (header, len) = TcpHeader::parse(&segment).unwrap();
            assert_eq!(header.options, Options { mss: Some(1460), ..Options::default() }, "{tail:?}");
            assert_eq!(&segment[len..], b"data");
            assert_eq!(padding(&segment[MIN_HEADER..len]), tail);
        }
    }

    #[test]
    fn flags_print_by_name() {
        assert_eq!(format!("{:?} {:?}", Flags::SYN.with(Flags::ACK), Flags::NONE), "SYN|ACK -");
    }

    prop_compose! {
        fn header()(ports: (u16, u16), numbers: (u32, u32), flags: u8, window: u16, urgent: u16, mss: Option<u16>,
            shift in prop::option::of(0u8..=14), sack_permitted: bool, ts: Option<(u32, u32)>,
            sack in prop::collection::vec((any::<u32>(), any::<u32>()), 0..=1)) -> TcpHeader {
            let options = Options { mss, window_scale: shift, sack_permitted,
                timestamps: ts.map(|(val, ecr)| Timestamps { val, ecr }),
                sack: sack.into_iter().map(|(l, r)| (SeqNum(l), SeqNum(r))).collect() };
            TcpHeader { src_port: ports.0, dst_port: ports.1, seq: SeqNum(numbers.0), ack: SeqNum(numbers.1), flags: Flags(flags),
                window, urgent, options }
        }
    }

    proptest! {
        /// RFC 9293 §3.1 (MUST-69): options are filled up to whole words with NOPs in front of them; if the list ever ended early,
        /// zeros alone would follow.
        #[test]
        fn what_is_written_parses_back(header in header()) {
            let bytes = header.to_bytes();
            prop_assert!(padding(&bytes[MIN_HEADER..]).iter().all(|&byte| byte == 0));
            prop_assert_eq!(bytes.len() % 4, 0);
            prop_assert_eq!(bytes.len(), MIN_HEADER + written(&header.options).len());
            prop_assert_eq!(TcpHeader::parse(&bytes), Some((header, bytes.len())));
        }

        #[test]
        fn any_bytes_parse_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            if let Some((_, len)) = TcpHeader::parse(&bytes) {
                prop_assert!((MIN_HEADER..=MAX_HEADER).contains(&len) && len <= bytes.len());
            }
        }
    }
}
