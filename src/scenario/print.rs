//! A script's parts in script notation: what `parse` reads, and what diagnoses show.
//!
//! Parsing what is printed here gives the same value again (the lines apart, on which things stand).

use std::fmt::{self, Display, Formatter};

use super::script::{
    Action, Body, Call, Clock, CodeBlock, Command, Direction, Echoed, EcnNote, Event, Field, FlagSpec,
    IcmpSpec, IpNotes, OptionsSpec, PacketSpec, Ports, Script, ScriptOption, SeqRange, TcpOptionSpec,
    TcpSpec, Value, When,
};
use crate::base::time::Duration;
use crate::wire::tcp::Flags;

/// The control bits' letters, in the order in which they are printed.
const LETTERS: [(Flags, char); 7] = [
    (Flags::SYN, 'S'),
    (Flags::FIN, 'F'),
    (Flags::RST, 'R'),
    (Flags::PSH, 'P'),
    (Flags::URG, 'U'),
    (Flags::ECE, 'E'),
    (Flags::CWR, 'W'),
];

impl Display for Script {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for option in &self.options {
            writeln!(f, "{option}")?;
        }
        if let Some(command) = &self.setup {
            writeln!(f, "{command}")?;
        }
        for event in &self.events {
            writeln!(f, "{event}")?;
        }
        if let Some(command) = &self.cleanup {
            writeln!(f, "{command}")?;
        }
        Ok(())
    }
}

impl Display for ScriptOption {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "--{}", self.name)?;
        self.value.iter().try_for_each(|value| write!(f, "={value}"))
    }
}

impl Display for Event {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let joined = matches!(&self.action, Action::Call(Call { end: Some(_), .. }));
        write!(f, "{}{}{}", self.when, if joined { "" } else { " " }, self.action)
    }
}

impl Display for When {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            When::Any => f.write_str("*"),
            When::At(start, None) => write!(f, "{start}"),
            When::At(start, Some(end)) => write!(f, "{start}~{end}"),
        }
    }
}

impl Display for Clock {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Clock::Absolute(time) => seconds(f, *time),
            Clock::Relative(time) => {
                f.write_str("+")?;
                seconds(f, *time)
            }
        }
    }
}

/// As few decimals as tell the microseconds.
fn seconds(f: &mut Formatter<'_>, time: Duration) -> fmt::Result {
    let text = format!("{}.{:06}", time.as_secs(), time.subsec_micros());
    f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
}

impl Display for Action {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Action::Packet(packet) => write!(f, "{packet}"),
            Action::Call(call) => write!(f, "{call}"),
            Action::Command(command) => write!(f, "{command}"),
            Action::Code(code) => write!(f, "{code}"),
        }
    }
}

impl Display for Command {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.text)
    }
}

impl Display for CodeBlock {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "%{{{}}}%", self.text)
    }
}

impl Display for Direction {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Direction::Inbound => "<",
            Direction::Outbound => ">",
        })
    }
}

impl Display for PacketSpec {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.direction)?;
        if self.notes != IpNotes::default() {
            write!(f, "[{}] ", self.notes)?;
        }
        write!(f, "{}", self.body)
    }
}

impl Display for IpNotes {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let notes = [
            self.ecn.map(|ecn| ecn.to_string()),
            self.tos.map(|tos| format!("tos {tos:#x}")),
            self.ttl.map(|ttl| format!("ttl {ttl}")),
            self.flow_label.map(|label| format!("flowlabel {label:#x}")),
        ];
        let notes: Vec<String> = notes.into_iter().flatten().collect();
        f.write_str(&notes.join(", "))
    }
}

impl Display for EcnNote {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            EcnNote::NotEct => "noecn",
            EcnNote::Ect0 => "ect0",
            EcnNote::Ect1 => "ect1",
            EcnNote::Ce => "ce",
            EcnNote::Ect01 => "ect01",
        })
    }
}

impl Display for Body {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Body::Tcp(tcp) => write!(f, "{tcp}"),
            Body::Udp { ports: None, len } => write!(f, "udp ({len})"),
            Body::Udp { ports: Some(ports), len } => write!(f, "udp {ports} ({len})"),
            Body::Icmp(icmp) => write!(f, "{icmp}"),
        }
    }
}

impl Display for Ports {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} > {}", self.src, self.dst)
    }
}

impl Display for TcpSpec {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.ports.iter().try_for_each(|ports| write!(f, "{ports} "))?;
        write!(f, "{} {}", self.flags, self.range)?;
        self.ack.iter().try_for_each(|ack| write!(f, " ack {ack}"))?;
        self.window.iter().try_for_each(|window| write!(f, " win {window}"))?;
        self.urgent.iter().try_for_each(|urgent| write!(f, " urg {urgent}"))?;
        match &self.options {
            OptionsSpec::List(options) if options.is_empty() => Ok(()),
            options => write!(f, " {options}"),
        }
    }
}

impl Display for FlagSpec {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if *self == FlagSpec::default() {
            return f.write_str("-");
        }
        for (flag, letter) in LETTERS {
            if Flags(self.bits).has(flag) {
                write!(f, "{letter}")?;
            }
        }
        if self.ae {
            f.write_str("A")?;
        }
        match self.ace {
            Some(number) => write!(f, ".{number}"),
            None if Flags(self.bits).has(Flags::ACK) => f.write_str("."),
            None => Ok(()),
        }
    }
}

impl Display for SeqRange {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}({})", self.first, self.first.wrapping_add(self.len), self.len)
    }
}

impl Display for OptionsSpec {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            OptionsSpec::Any => f.write_str("<...>"),
            OptionsSpec::List(options) => {
                f.write_str("<")?;
                joined(f, options, ",")?;
                f.write_str(">")
            }
        }
    }
}

impl Display for TcpOptionSpec {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let cookie = |f: &mut Formatter<'_>, name: &str, bytes: &[u8]| {
            f.write_str(name)?;
            if !bytes.is_empty() {
                f.write_str(" ")?;
            }
            bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
        };
        match self {
            TcpOptionSpec::Mss(mss) => write!(f, "mss {mss}"),
            TcpOptionSpec::WindowScale(shift) => write!(f, "wscale {shift}"),
            TcpOptionSpec::SackPermitted => f.write_str("sackOK"),
            TcpOptionSpec::Nop => f.write_str("nop"),
            TcpOptionSpec::Eol => f.write_str("eol"),
            TcpOptionSpec::Timestamps { val, ecr } => write!(f, "TS val {val} ecr {ecr}"),
            TcpOptionSpec::Sack(edges) => {
                f.write_str("sack")?;
                edges.iter().try_for_each(|(left, right)| write!(f, " {left}:{right}"))
            }
            TcpOptionSpec::FastOpen(bytes) => cookie(f, "FO", bytes),
            TcpOptionSpec::FastOpenExperimental(bytes) => cookie(f, "FOEXP", bytes),
            TcpOptionSpec::Md5(bytes) => cookie(f, "md5", bytes),
        }
    }
}

impl Display for IcmpSpec {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.echoed.iter().try_for_each(|echoed| write!(f, "[{echoed}] "))?;
        write!(f, "icmp {}", self.kind)?;
        self.code.iter().try_for_each(|code| write!(f, " {code}"))?;
        self.mtu.iter().try_for_each(|mtu| write!(f, " mtu {mtu}"))?;
        self.id.iter().try_for_each(|id| write!(f, " id {id}"))
    }
}

impl Display for Echoed {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Echoed::Tcp(range) => write!(f, "{range}"),
            Echoed::Udp(len) => write!(f, "udp ({len})"),
        }
    }
}

impl Display for Call {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Some(Clock::Absolute(end) | Clock::Relative(end)) = self.end {
            f.write_str("...")?;
            seconds(f, end)?;
            f.write_str(" ")?;
        }
        write!(f, "{}(", self.name)?;
        joined(f, &self.args, ", ")?;
        write!(f, ") = {}", self.result)?;
        self.errno.iter().try_for_each(|errno| write!(f, " {errno}"))?;
        self.note.iter().try_for_each(|note| write!(f, " ({note})"))
    }
}

impl Display for Value {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let enclosed = |f: &mut Formatter<'_>, open: &str, values: &[Value], close: &str| {
            f.write_str(open)?;
            joined(f, values, ", ")?;
            f.write_str(close)
        };
        match self {
            Value::Ellipsis => f.write_str("..."),
            Value::Int(value) => write!(f, "{value}"),
            Value::Hex(value) => write!(f, "{value:#x}"),
            Value::Name(name) => f.write_str(name),
            Value::Text(text) => write!(f, "\"{text}\""),
            Value::Or(parts) => joined(f, parts, "|"),
            Value::List(values) => enclosed(f, "[", values, "]"),
            Value::Struct(fields) => {
                f.write_str("{")?;
                joined(f, fields, ", ")?;
                f.write_str("}")
            }
        }
    }
}

impl Display for Field {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Field::Positional(value) => write!(f, "{value}"),
            Field::Named { name, argument: None, value } => write!(f, "{name}={value}"),
            Field::Named { name, argument: Some(argument), value } => write!(f, "{name}({argument})={value}"),
        }
    }
}

fn joined<T: Display>(f: &mut Formatter<'_>, items: &[T], separator: &str) -> fmt::Result {
    for (place, item) in items.iter().enumerate() {
        if place > 0 {
            f.write_str(separator)?;
        }
        write!(f, "{item}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::option::of;
    use proptest::prelude::*;

    use super::*;
    use crate::scenario::parse::parse;
    use crate::scenario::preprocess::Definitions;

    fn parsed(source: &str) -> Script {
        parse(source, &Definitions::new()).unwrap_or_else(|error| panic!("{source}: {error}"))
    }

    /// Written this way, each comes back to the letter.
    #[test]
    fn a_script_prints_as_it_was_written() {
        let source = "\
--ip_version=ipv6
--define=X=\"a b\"
--verbose
`../defaults.sh`
0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 setsockopt(3, SOL_SOCKET, SO_LINGER, {onoff=1, linger=0}, 8) = 0
+0.25...0.5 connect(3, ..., ...) = -1 ECONNREFUSED (Connection refused)
+0 poll([{fd=3, events=POLLIN|POLLOUT, revents=0x4}], 1, -1) = 1
+0 sendmsg(4, {msg_name(...)=..., msg_iov(1)=[{..., 1000}], msg_flags=0}, 0) = 1000
1 < [ect0, ttl 64, flowlabel 0xabc] 5 > 80 SFRPUEWA. 0:10(10) ack 5 win 1000 urg 7 <mss 1460,nop,wscale 8>
1.000001~2 > [tos 0x10] - 1:1(0)
+1~+1.5 > P.5 4294967295:0(1) ack 1 <...>
* > . 1:1(0) ack 1 win 5 <nop,nop,TS val 1 ecr 2,nop,nop,sack 1:2 5:6>
+0 > S 0:0(0) <FO,nop,nop,FOEXP 0abc,nop,eol>
+0 > . 1:1(0) ack 1 <md5 000102030405060708090a0b0c0d0e0f,nop,eol>
+0 < [1:1001(1000)] icmp unreachable frag_needed mtu 1200
+0 < [udp (8)] icmp type_3 code_4 id 5
+0 < udp 53 > 1024 (100)
+0 > udp (0)
+0 %{ assert tcpi_rto == 200000 }%
+0 `sysctl -w net.ipv4.tcp_sack=0`
`true`
";
        let script = parsed(source);
        assert_eq!(script.to_string(), source);
        assert_eq!(parsed(&script.to_string()), script);
    }

    /// Other notations of the same print in the usual one.
    #[test]
    fn shorthand_prints_in_full() {
        let printed = |source: &str| parsed(source).events[0].to_string();
        assert_eq!(printed("0.000 > (ect1) . -1:0(1) ack 1"), "0 > [ect1] . 4294967295:0(1) ack 1");
        assert_eq!(printed("+.0 < icmp unreachable [1:1(0)]"), "+0 < [1:1(0)] icmp unreachable");
        assert_eq!(
            printed("+0 > .WEP 1:1(0) ack 1".replace(".WEP", "WEP.").as_str()),
            "+0 > PEW. 1:1(0) ack 1"
        );
    }

    fn ports() -> impl Strategy<Value = Ports> {
        (any::<u16>(), any::<u16>()).prop_map(|(src, dst)| Ports { src, dst })
    }

    fn range(most: u32) -> impl Strategy<Value = SeqRange> {
        (any::<u32>(), 0..=most).prop_map(|(first, len)| SeqRange { first, len })
    }

    fn flags() -> impl Strategy<Value = FlagSpec> {
        (any::<u8>(), any::<bool>(), of(0..8u8)).prop_map(|(bits, ae, ace)| match ace {
            Some(_) => FlagSpec { bits: bits & 0x3f | Flags::ACK.0, ae: false, ace },
            None => FlagSpec { bits, ae, ace },
        })
    }

    fn option() -> impl Strategy<Value = TcpOptionSpec> {
        prop_oneof![
            any::<u16>().prop_map(TcpOptionSpec::Mss),
            any::<u8>().prop_map(TcpOptionSpec::WindowScale),
            Just(TcpOptionSpec::SackPermitted),
            Just(TcpOptionSpec::Eol),
            (any::<u32>(), any::<u32>()).prop_map(|(val, ecr)| TcpOptionSpec::Timestamps { val, ecr }),
            vec(any::<(u32, u32)>(), 1..4).prop_map(TcpOptionSpec::Sack),
            vec(any::<u8>(), 0..17).prop_map(TcpOptionSpec::FastOpen),
            vec(any::<u8>(), 0..15).prop_map(TcpOptionSpec::FastOpenExperimental),
            vec(any::<u8>(), 16).prop_map(TcpOptionSpec::Md5),
        ]
    }

    /// Lists that fill a header: what is too much is left out, what is missing is padding.
    fn options() -> impl Strategy<Value = OptionsSpec> {
        let list = vec(option(), 0..6).prop_map(|drawn| {
            let mut options = Vec::new();
            let mut room = 40;
            for option in drawn {
                if option.wire_len() <= room {
                    room -= option.wire_len();
                    options.push(option);
                }
            }
            options.extend(vec![TcpOptionSpec::Nop; room % 4]);
            OptionsSpec::List(options)
        });
        prop_oneof![1 => Just(OptionsSpec::Any), 5 => list]
    }

    fn segment() -> impl Strategy<Value = Body> {
        let optional = (of(any::<u32>()), of(any::<u16>()), of(any::<u16>()));
        (of(ports()), flags(), range(65_000), optional, options()).prop_map(
            |(ports, flags, range, (ack, window, urgent), options)| {
                let needed = Flags(flags.bits).has(Flags::ACK).then_some(1);
                Body::Tcp(TcpSpec { ports, flags, range, ack: ack.or(needed), window, urgent, options })
            },
        )
    }

    fn message() -> impl Strategy<Value = Body> {
        let kind = prop_oneof![Just("unreachable".to_owned()), (0..256).prop_map(|n| format!("type_{n}"))];
        let code =
            of(prop_oneof![Just("frag_needed".to_owned()), (0..256).prop_map(|n| format!("code_{n}"))]);
        let echoed = prop_oneof![range(u32::MAX).prop_map(Echoed::Tcp), (0..65_527u32).prop_map(Echoed::Udp)];
        (kind, code, any::<u32>(), of(any::<u16>()), of(echoed)).prop_map(|(kind, code, mtu, id, echoed)| {
            Body::Icmp(IcmpSpec { kind, code, mtu: Some(mtu), id, echoed })
        })
    }

    fn notes() -> impl Strategy<Value = IpNotes> {
        let ecn = [EcnNote::NotEct, EcnNote::Ect0, EcnNote::Ect1, EcnNote::Ce, EcnNote::Ect01];
        let ecn = proptest::sample::select(ecn.to_vec());
        let tos =
            prop_oneof![of(ecn).prop_map(|ecn| (ecn, None)), any::<u8>().prop_map(|tos| (None, Some(tos)))];
        (tos, of(any::<u8>()), of(0..0x10_0000u32)).prop_map(|((ecn, tos), ttl, flow_label)| IpNotes {
            ecn,
            tos,
            ttl,
            flow_label,
        })
    }

    /// Any packet that can be written; into the stack a segment has its window, options in full and one ECN value.
    fn packet() -> impl Strategy<Value = PacketSpec> {
        let datagram = (of(ports()), 0..65_527u32).prop_map(|(ports, len)| Body::Udp { ports, len });
        let body = prop_oneof![4 => segment(), 1 => datagram, 1 => message()];
        (any::<bool>(), notes(), body).prop_map(|(inbound, mut notes, mut body)| {
            if !inbound {
                return PacketSpec { direction: Direction::Outbound, notes, body };
            }
            notes.ecn = notes.ecn.filter(|ecn| *ecn != EcnNote::Ect01);
            if let Body::Tcp(tcp) = &mut body {
                tcp.window = tcp.window.or(Some(1000));
                if tcp.options == OptionsSpec::Any {
                    tcp.options = OptionsSpec::List(Vec::new());
                }
            }
            PacketSpec { direction: Direction::Inbound, notes, body }
        })
    }

    proptest! {
        /// Printing a packet and parsing it is the identity, both ways round.
        #[test]
        fn a_packet_survives_printing_and_parsing(packet in packet()) {
            let printed = packet.to_string();
            let script = parsed(&format!("0 {printed}"));
            prop_assert_eq!(&script.events[0].action, &Action::Packet(packet));
            prop_assert_eq!(script.events[0].to_string(), format!("0 {printed}"));
        }

        /// No text makes the parser panic, and what it takes it also takes again in print.
        #[test]
        fn any_text_is_read_or_refused(text in hostile_text()) {
            if let Ok(script) = parse(&text, &Definitions::new()) {
                let printed = script.to_string();
                prop_assert_eq!(parsed(&printed).to_string(), printed);
            }
        }
    }

    /// Arbitrary characters, and pieces of the language in any order.
    fn hostile_text() -> impl Strategy<Value = String> {
        const PIECES: &str = "0 +0 +.1 * ~ ... < > . S. P.5 - 1:1(0) 1:2(1) ack win 1 5 urg <mss 5> <...> <sack 1:2 \
            ( ) [ ] { } , = | udp icmp unreachable frag_needed mtu id f( )=0 -1 EINVAL \"a\" `b` %{ }% /* */ // -- \
            --x=y #ifdef #endif A 0x1f 99999999999999999999 4294967295 ect0 [ect0] tos \n";
        let pieces: Vec<&str> = PIECES.split(' ').filter(|piece| !piece.is_empty()).collect();
        prop_oneof![
            any::<String>(),
            vec(proptest::sample::select(pieces), 0..40).prop_map(|pieces| format!("0 {}", pieces.join(" "))),
        ]
    }
}
