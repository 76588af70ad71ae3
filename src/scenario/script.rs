//! A script as a value: what the parser makes of a `.pkt` file, what the runner walks through, what the printer writes back.
//!
//! Numbers are the script's own; how they map to those on the wire is the runner's concern. Nothing here knows the stack.

use crate::base::time::Duration;

/// A whole file.
#[derive(Clone, Debug, PartialEq)]
pub struct Script {
    /// `--name=value` lines at the head, in order.
    pub options: Vec<ScriptOption>,
    /// The command before the first event.
    pub setup: Option<Command>,
    /// The timed list.
    pub events: Vec<Event>,
    /// The command behind the last event.
    pub cleanup: Option<Command>,
}

/// An option line: `--name` or `--name=value`.
#[derive(Clone, Debug, PartialEq)]
pub struct ScriptOption {
    /// Where it stands.
    pub line: u32,
    /// Its name, dashes written as underscores.
    pub name: String,
    /// What follows the equals sign.
    pub value: Option<String>,
}

/// One timed action.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// The line its time stands on.
    pub line: u32,
    /// When.
    pub when: When,
    /// What.
    pub action: Action,
}

/// When an event is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// `*`: whenever it comes.
    Any,
    /// One point, or a range for `a~b`; both ends alike relative or absolute.
    At(Clock, Option<Clock>),
}

/// A written time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// Since the script's start.
    Absolute(Duration),
    /// `+t`: since the previous event.
    Relative(Duration),
}

/// What an event does.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// A packet into the stack or out of it.
    Packet(PacketSpec),
    /// A socket call.
    Call(Call),
    /// A back-quoted command.
    Command(Command),
    /// A `%{ … }%` block; its text without the braces.
    Code(CodeBlock),
}

/// A back-quoted text.
#[derive(Clone, Debug, PartialEq)]
pub struct Command {
    /// Where it starts.
    pub line: u32,
    /// The text between the quotes.
    pub text: String,
}

/// An assertion block, kept as text until it runs.
#[derive(Clone, Debug, PartialEq)]
pub struct CodeBlock {
    /// The line of `%{`.
    pub line: u32,
    /// What stands between the braces.
    pub text: String,
}

/// Which way a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// `<`: into the stack.
    Inbound,
    /// `>`: the stack must send it.
    Outbound,
}

/// A packet as written.
#[derive(Clone, Debug, PartialEq)]
pub struct PacketSpec {
    /// Which way.
    pub direction: Direction,
    /// What the IP header says beside the addresses.
    pub notes: IpNotes,
    /// The transport part.
    pub body: Body,
}

/// `[…]` before a packet's body. What is absent is not compared, or takes the usual value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct IpNotes {
    /// The ECN field.
    pub ecn: Option<EcnNote>,
    /// The whole traffic class byte.
    pub tos: Option<u8>,
    /// TTL or hop limit.
    pub ttl: Option<u8>,
    /// IPv6 flow label.
    pub flow_label: Option<u32>,
}

/// The ECN field of the IP header (RFC 3168 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EcnNote {
    /// 00.
    NotEct,
    /// 10.
    Ect0,
    /// 01.
    Ect1,
    /// 11.
    Ce,
    /// Either ECT value (outbound only).
    Ect01,
}

/// What an IP packet carries.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// A TCP segment.
    Tcp(TcpSpec),
    /// A datagram of so many bytes.
    Udp {
        /// Ports that override the mapped ones.
        ports: Option<Ports>,
        /// Payload bytes.
        len: u32,
    },
    /// An ICMP message.
    Icmp(IcmpSpec),
}

/// `source > destination`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// Source port.
    pub src: u16,
    /// Destination port.
    pub dst: u16,
}

/// A TCP segment as written.
#[derive(Clone, Debug, PartialEq)]
pub struct TcpSpec {
    /// Ports that override the mapped ones.
    pub ports: Option<Ports>,
    /// The control bits.
    pub flags: FlagSpec,
    /// `first:past(length)`.
    pub range: SeqRange,
    /// Acknowledgement number; present with the ACK flag, or written without it.
    pub ack: Option<u32>,
    /// Raw window field.
    pub window: Option<u16>,
    /// Urgent pointer.
    pub urgent: Option<u16>,
    /// What stands between `<` and `>`.
    pub options: OptionsSpec,
}

/// The control bits in letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct FlagSpec {
    /// FIN … CWR as in the header's byte 13, ACK included.
    pub bits: u8,
    /// A: the accurate-ECN bit (RFC 9768).
    pub ae: bool,
    /// `.5`: the number held by AE, CWR and ECE.
    pub ace: Option<u8>,
}

/// `first:past(length)`; the parser has checked that they agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeqRange {
    /// First sequence number.
    pub first: u32,
    /// Payload bytes; `first + len` is the written end.
    pub len: u32,
}

/// A segment's options.
#[derive(Clone, Debug, PartialEq)]
pub enum OptionsSpec {
    /// `<...>`: any.
    Any,
    /// In this order; an absent list is the empty one.
    List(Vec<TcpOptionSpec>),
}

/// One TCP option.
#[derive(Clone, Debug, PartialEq)]
pub enum TcpOptionSpec {
    /// Maximum segment size.
    Mss(u16),
    /// Window scale.
    WindowScale(u8),
    /// SACK permitted.
    SackPermitted,
    /// Padding in between.
    Nop,
    /// End of the list.
    Eol,
    /// Timestamps.
    Timestamps {
        /// TSval.
        val: u32,
        /// TSecr.
        ecr: u32,
    },
    /// SACK blocks: left and right edges.
    Sack(Vec<(u32, u32)>),
    /// Fast open cookie (RFC 7413), kind 34.
    FastOpen(Vec<u8>),
    /// The same as the experimental option, kind 254 with magic 0xf989.
    FastOpenExperimental(Vec<u8>),
    /// MD5 signature (RFC 2385).
    Md5(Vec<u8>),
}

impl TcpOptionSpec {
    /// Bytes in a header.
    pub fn wire_len(&self) -> usize {
        match self {
            TcpOptionSpec::Mss(_) => 4,
            TcpOptionSpec::WindowScale(_) => 3,
            TcpOptionSpec::SackPermitted => 2,
            TcpOptionSpec::Nop | TcpOptionSpec::Eol => 1,
            TcpOptionSpec::Timestamps { .. } => 10,
            TcpOptionSpec::Sack(edges) => 2 + 8 * edges.len(),
            TcpOptionSpec::FastOpen(cookie) => 2 + cookie.len(),
            // RFC 6994 §3.1: kind, length and two bytes of experiment number.
            TcpOptionSpec::FastOpenExperimental(cookie) => 4 + cookie.len(),
            TcpOptionSpec::Md5(digest) => 2 + digest.len(),
        }
    }
}

/// An ICMP message as written; names stay names because their numbers depend on the IP version.
#[derive(Clone, Debug, PartialEq)]
pub struct IcmpSpec {
    /// The type's name, or `type_N`.
    pub kind: String,
    /// The code's name, or `code_N`.
    pub code: Option<String>,
    /// The MTU that "too big" reports.
    pub mtu: Option<u32>,
    /// The identifier of an echo.
    pub id: Option<u16>,
    /// What the quoted packet was.
    pub echoed: Option<Echoed>,
}

/// What an ICMP error quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Echoed {
    /// A TCP segment with this range.
    Tcp(SeqRange),
    /// A datagram of so many bytes.
    Udp(u32),
}

/// A socket call as written.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// `...time`: the call may block and must end then.
    pub end: Option<Clock>,
    /// The function.
    pub name: String,
    /// Its arguments.
    pub args: Vec<Value>,
    /// What it must return.
    pub result: Value,
    /// The error with `-1`: its name.
    pub errno: Option<String>,
    /// The words in parentheses behind the result, which only document it.
    pub note: Option<String>,
}

/// An argument, a field of one, or a result.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `...`
    Ellipsis,
    /// A decimal number.
    Int(i64),
    /// A hexadecimal number.
    Hex(u64),
    /// A symbolic name.
    Name(String),
    /// A quoted string.
    Text(String),
    /// `A | B | …`
    Or(Vec<Value>),
    /// `[a, b]`
    List(Vec<Value>),
    /// `{a, name=b, name(arg)=c}`
    Struct(Vec<Field>),
}

/// A field of a `{…}` argument.
#[derive(Clone, Debug, PartialEq)]
pub enum Field {
    /// A value at its place.
    Positional(Value),
    /// `name=value` or `name(argument)=value`.
    Named {
        /// The field's name.
        name: String,
        /// What stands in parentheses behind the name.
        argument: Option<Value>,
        /// The value.
        value: Value,
    },
}

/// A value that `-D NAME=VALUE` gives a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Definition {
    /// A number.
    Int(i64),
    /// A bare word.
    Word(String),
    /// `"text"`
    Text(String),
    /// `` `command` ``
    Command(String),
}
