//! A packet the stack sent against the one the script expects, field by field. What differs is returned as a list; time is
//! compared by the runner.

use std::fmt::Display;

use super::encode;
use super::icmp;
use super::join::Joined;
use super::numbers::Numbers;
use super::script::{EcnNote, IcmpSpec, IpNotes, OptionsSpec, TcpOptionSpec, TcpSpec};
use super::verdict::Stop;
use super::view::View;
use crate::wire::tcp::{Flags, MIN_HEADER};

/// A field with what was expected and what came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Difference {
    pub field: &'static str,
    pub expected: String,
    pub actual: String,
}

/// The choices that a script or the command line makes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// PSH is compared always; otherwise only on the last byte written.
    pub psh_strict: bool,
    /// Echoed timestamps are compared.
    pub ts_ecr: bool,
    /// Microseconds that one tick of the script's timestamps stands for; zero: values are not compared.
    pub ts_tick_usecs: u64,
    /// How far a timestamp may be off, in microseconds.
    pub ts_tolerance_usecs: u64,
}

/// The differences found so far.
#[derive(Debug, Default)]
pub(super) struct Differences(pub Vec<Difference>);

impl Differences {
    fn compare<T: PartialEq + Display>(&mut self, field: &'static str, expected: T, actual: T) {
        if expected != actual {
            self.note(field, expected.to_string(), actual.to_string());
        }
    }

    pub(super) fn note(
        &mut self,
        field: &'static str,
        expected: impl Into<String>,
        actual: impl Into<String>,
    ) {
        self.0.push(Difference { field, expected: expected.into(), actual: actual.into() });
    }

    /// The IP header: lengths, checksum, and what notes ask for.
    pub(super) fn ip(&mut self, notes: &IpNotes, view: &View<'_>) {
        self.compare("IP length", view.len(), view.total_len());
        if !view.header_checksum_is_right() {
            self.note("IP header checksum", "right", "wrong");
        }
        if let Some(tos) = notes.tos {
            self.compare("TOS", format!("{tos:#04x}"), format!("{:#04x}", view.traffic_class()));
        }
        if let Some(ttl) = notes.ttl {
            self.compare("TTL", ttl, view.hop_limit());
        }
        if let Some(label) = notes.flow_label {
            self.compare("flow label", label, view.flow_label().unwrap_or(0));
        }
        let ecn = view.traffic_class() & 3;
        match notes.ecn {
            Some(EcnNote::Ect01) if matches!(ecn, 1 | 2) => {}
            Some(note) if note == EcnNote::Ect01 || encode::ecn_bits(note) != ecn => {
                self.note("ECN", ecn_name(note), ["noecn", "ect1", "ect0", "ce"][usize::from(ecn)]);
            }
            _ => {}
        }
    }

    /// A segment. `last_byte` is the number behind the last byte the application has written, on the wire.
    pub(super) fn tcp(
        &mut self,
        spec: &TcpSpec,
        joined: &Joined<'_>,
        numbers: &Numbers,
        last_byte: u32,
        rules: Rules,
    ) {
        let (syn, tcp) = (spec.flags.bits & Flags::SYN.0 != 0, &joined.tcp);
        self.compare("seq", spec.range.first, numbers.local_to_script(joined.seq, syn));
        self.compare("length", spec.range.len as usize, joined.payload.len());
        self.flags(spec, joined, last_byte, rules);
        if Flags(tcp.flags()).has(Flags::ACK) && spec.flags.bits & Flags::ACK.0 != 0 {
            self.compare("ack", spec.ack.unwrap_or(0), numbers.remote_to_script(tcp.ack(), syn));
        } else if !Flags(tcp.flags()).has(Flags::ACK) {
            self.compare("ack without ACK", 0, tcp.ack());
        }
        if spec.flags.bits & Flags::ACK.0 == 0 {
            self.compare("written ack without ACK", 0, spec.ack.unwrap_or(0));
        }
        if let Some(window) = spec.window {
            self.compare("win", window, tcp.window());
        }
        self.compare("urg", spec.urgent.unwrap_or(0), tcp.urgent());
        self.compare("reserved bits", 0, tcp.reserved());
        if let OptionsSpec::List(expected) = &spec.options {
            self.compare("header length", MIN_HEADER + encode::options(expected).len(), tcp.header_len());
            self.options(expected, &tcp.options(), numbers, syn, rules);
        }
        if !joined.last.transport_checksum_is_right() {
            self.note("TCP checksum", "right", "wrong");
        }
        let offset = numbers.local_offset(joined.seq, Flags(tcp.flags()).has(Flags::SYN));
        self.payload(offset.into(), &joined.payload);
    }

    /// What the application wrote, byte by byte.
    fn payload(&mut self, offset: u64, payload: &[u8]) {
        let wrong = (0u64..).zip(payload).find(|&(i, &byte)| byte != encode::pattern(offset.wrapping_add(i)));
        if let Some((i, &byte)) = wrong {
            let expected = encode::pattern(offset.wrapping_add(i));
            self.note("payload", format!("{expected:#04x} at byte {i}"), format!("{byte:#04x}"));
        }
    }

    fn flags(&mut self, spec: &TcpSpec, joined: &Joined<'_>, last_byte: u32, rules: Rules) {
        let (expected, actual) = (Flags(spec.flags.bits), Flags(joined.flags));
        // PSH is the sender's free choice but for the last byte written (MUST-61), which no empty segment carries.
        let ends_at = joined.seq.wrapping_add(joined.payload.len() as u32);
        let is_last = !joined.payload.is_empty() && ends_at == last_byte;
        let psh_matters = rules.psh_strict || (expected.has(Flags::PSH) && is_last);
        let mask = if psh_matters { Flags::NONE } else { Flags::PSH };
        if expected.without(mask) != actual.without(mask) || spec.flags.ae != joined.tcp.ae() {
            self.note("flags", flag_letters(expected, spec.flags.ae), flag_letters(actual, joined.tcp.ae()));
        }
    }

    /// Same kinds, same order, padding included, same contents; timestamp values by their own rule.
    fn options(
        &mut self,
        expected: &[TcpOptionSpec],
        (actual, whole): &(Vec<TcpOptionSpec>, bool),
        numbers: &Numbers,
        syn: bool,
        rules: Rules,
    ) {
        if !whole {
            self.note("options", "readable", "an option that scripts have no word for");
            return;
        }
        let kinds = |list: &[TcpOptionSpec]| list.iter().map(kind).collect::<Vec<_>>().join(",");
        if kinds(expected) != kinds(actual) {
            self.note("options", format!("<{}>", kinds(expected)), format!("<{}>", kinds(actual)));
            return;
        }
        for (expected, actual) in expected.iter().zip(actual) {
            match (expected, actual) {
                (
                    &TcpOptionSpec::Timestamps { val, ecr },
                    &TcpOptionSpec::Timestamps { val: real, ecr: echo },
                ) => {
                    self.timestamps((val, ecr), (real, echo), numbers, rules);
                }
                (TcpOptionSpec::Sack(expected), TcpOptionSpec::Sack(actual)) => {
                    let script = |number| numbers.remote_to_script(number, syn);
                    let actual: Vec<_> = actual.iter().map(|&(l, r)| (script(l), script(r))).collect();
                    self.compare("sack", edges(expected), edges(&actual));
                }
                (expected, actual) if expected != actual => {
                    self.note(kind(expected), format!("{expected:?}"), format!("{actual:?}"));
                }
                _ => {}
            }
        }
    }

    fn timestamps(
        &mut self,
        (val, ecr): (u32, u32),
        (real, echo): (u32, u32),
        numbers: &Numbers,
        rules: Rules,
    ) {
        if rules.ts_ecr {
            self.compare("TS ecr", ecr, echo);
        }
        let off = u64::from(numbers.timestamp_drift(val, real)).saturating_mul(rules.ts_tick_usecs);
        if rules.ts_tick_usecs > 0 && off > rules.ts_tolerance_usecs {
            self.compare("TS val", val, numbers.timestamp_to_script(real));
        }
    }

    /// A datagram: length and payload.
    pub(super) fn udp(&mut self, len: u32, view: &View<'_>) {
        let Some((_, _, payload)) = view.udp() else {
            return self.note("protocol", "udp", protocol_name(view));
        };
        self.compare("length", len as usize, payload.len());
        if !view.transport_checksum_is_right() {
            self.note("UDP checksum", "right", "wrong");
        }
        self.payload(0, payload);
    }

    /// An ICMP message: type and code, and what else is written.
    pub(super) fn icmp(&mut self, spec: &IcmpSpec, view: &View<'_>) -> Result<(), Stop> {
        let Some((kind, code, bytes)) = view.icmp() else {
            self.note("protocol", "icmp", protocol_name(view));
            return Ok(());
        };
        let expected = icmp::numbers(spec, view.version() == 4)?;
        self.compare("ICMP type", expected.0, kind);
        self.compare("ICMP code", expected.1, code);
        let word = bytes[4..].first_chunk().map_or(0, |word| u32::from_be_bytes(*word));
        if let Some(mtu) = spec.mtu {
            self.compare("mtu", mtu, word);
        }
        if let Some(id) = spec.id {
            self.compare("id", u32::from(id), word >> 16);
        }
        Ok(())
    }
}

/// What a packet is, where it is not what was expected.
pub(super) fn protocol_name(view: &View<'_>) -> &'static str {
    match (view.tcp(), view.udp(), view.icmp()) {
        (Some(_), ..) => "tcp",
        (_, Some(_), _) => "udp",
        (.., Some(_)) => "icmp",
        _ => "another protocol",
    }
}

fn ecn_name(note: EcnNote) -> &'static str {
    match note {
        EcnNote::NotEct => "noecn",
        EcnNote::Ect0 => "ect0",
        EcnNote::Ect1 => "ect1",
        EcnNote::Ce => "ce",
        EcnNote::Ect01 => "ect01",
    }
}

fn flag_letters(flags: Flags, ae: bool) -> String {
    const LETTERS: [(u8, char); 8] =
        [(2, 'S'), (1, 'F'), (4, 'R'), (8, 'P'), (32, 'U'), (64, 'E'), (128, 'W'), (16, '.')];
    let letters = |wanted: &dyn Fn(char) -> bool| {
        LETTERS
            .iter()
            .filter(|(bit, c)| flags.0 & bit != 0 && wanted(*c))
            .map(|(_, c)| *c)
            .collect::<String>()
    };
    let all = letters(&|c| c != '.') + if ae { "A" } else { "" } + &letters(&|c| c == '.');
    if all.is_empty() { "-".to_owned() } else { all }
}

fn edges(list: &[(u32, u32)]) -> String {
    list.iter().map(|(left, right)| format!("{left}:{right}")).collect::<Vec<_>>().join(" ")
}

fn kind(option: &TcpOptionSpec) -> &'static str {
    match option {
        TcpOptionSpec::Mss(_) => "mss",
        TcpOptionSpec::WindowScale(_) => "wscale",
        TcpOptionSpec::SackPermitted => "sackOK",
        TcpOptionSpec::Nop => "nop",
        TcpOptionSpec::Eol => "eol",
        TcpOptionSpec::Timestamps { .. } => "TS",
        TcpOptionSpec::Sack(_) => "sack",
        TcpOptionSpec::FastOpen(_) => "FO",
        TcpOptionSpec::FastOpenExperimental(_) => "FOEXP",
        TcpOptionSpec::Md5(_) => "md5",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::join;
    use crate::scenario::record::Ends;
    use crate::scenario::script::{FlagSpec, SeqRange};
    use crate::wire::ip::protocol;

    /// `> . 1:1(0)` of a connection whose numbers begin at zero.
    fn spec() -> TcpSpec {
        TcpSpec {
            ports: None,
            flags: FlagSpec { bits: Flags::ACK.0, ae: false, ace: None },
            range: SeqRange { first: 1, len: 0 },
            ack: Some(0),
            window: None,
            urgent: None,
            options: OptionsSpec::List(Vec::new()),
        }
    }

    /// The fields in which a packet like [`spec`] differs after `change`.
    fn differing(change: impl Fn(&mut [u8])) -> Vec<&'static str> {
        let (local, remote) = ([192, 0, 2, 1].into(), [192, 168, 0, 1].into());
        let ends = Ends { local, remote, bind_port: 1, connect_port: 1 };
        let mut segment = [0; 20];
        (segment[7], segment[12], segment[13]) = (1, 5 << 4, Flags::ACK.0);
        let mut bytes = encode::inbound(ends, protocol::TCP, &IpNotes::default(), &segment);
        change(&mut bytes);
        let view = View::new(&bytes).unwrap();
        let (joined, _) = join::join(&[view], 0).unwrap();
        let rules = Rules { psh_strict: false, ts_ecr: true, ts_tick_usecs: 0, ts_tolerance_usecs: 0 };
        let mut found = Differences::default();
        found.ip(&IpNotes::default(), &view);
        found.tcp(&spec(), &joined, &Numbers::default(), 0, rules);
        // Nobody has filled in the transport's checksum.
        found.0.iter().map(|difference| difference.field).filter(|field| *field != "TCP checksum").collect()
    }

    /// What no stack of ours sends, and no script can bring about.
    #[test]
    fn broken_headers_are_seen() {
        assert_eq!(differing(|_| {}), [""; 0]);
        assert_eq!(differing(|bytes| bytes[10] ^= 1), ["IP header checksum"]);
        for bit in [0x02, 0x04, 0x08] {
            assert_eq!(differing(|bytes| bytes[32] |= bit), ["reserved bits"]);
        }
        assert_eq!(differing(|bytes| bytes[32] |= 1), ["flags"], "accurate ECN's bit");
        assert_eq!(differing(|bytes| bytes[39] = 1), ["urg"]);
    }
}
