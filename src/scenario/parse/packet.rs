//! Packets: direction, IP notes, TCP segments and datagrams.

use super::Parser;
use crate::scenario::error::ParseError;
use crate::scenario::lexer::Kind;
use crate::scenario::script::{
    Body, Direction, EcnNote, FlagSpec, IpNotes, PacketSpec, Ports, SeqRange, TcpSpec,
};
use crate::wire::tcp::Flags;

/// The words that open a note; anything else in brackets is what an ICMP message quotes.
const NOTES: [&str; 8] = ["noecn", "ect0", "ect1", "ce", "ect01", "tos", "ttl", "flowlabel"];

impl Parser {
    pub(super) fn packet(&mut self) -> Result<PacketSpec, ParseError> {
        let direction = if self.sign('<') {
            Direction::Inbound
        } else {
            self.expect('>')?;
            Direction::Outbound
        };
        let notes = if self.at_notes() { self.notes(direction)? } else { IpNotes::default() };
        let body = match self.peek() {
            Some(Kind::Name(name)) if name == "udp" => self.udp()?,
            Some(Kind::Name(name)) if name == "icmp" => self.icmp(direction)?,
            Some(Kind::Sign('[')) => self.icmp(direction)?,
            _ => Body::Tcp(self.tcp(direction)?),
        };
        Ok(PacketSpec { direction, notes, body })
    }

    fn at_notes(&self) -> bool {
        let note =
            |kind: Option<&Kind>| matches!(kind, Some(Kind::Name(name)) if NOTES.contains(&name.as_str()));
        self.is_sign('(') || self.is_sign('[') && note(self.peek_behind(1))
    }

    fn notes(&mut self, direction: Direction) -> Result<IpNotes, ParseError> {
        self.at += 1;
        let mut notes = IpNotes::default();
        loop {
            self.note(&mut notes)?;
            if self.sign(']') || self.sign(')') {
                break;
            }
            if !self.sign(',') {
                return Err(self.expected("`,` or `]`"));
            }
        }
        match (notes.ecn, notes.tos) {
            (Some(EcnNote::Ect01), _) if direction == Direction::Inbound => {
                Err(self.wrong("ect01 stands for two values, only a `>` packet may have either"))
            }
            (Some(_), Some(_)) => Err(self.wrong("tos holds the ECN field already")),
            _ => Ok(notes),
        }
    }

    fn note(&mut self, notes: &mut IpNotes) -> Result<(), ParseError> {
        let before = *notes;
        let name = match self.peek() {
            Some(Kind::Name(name)) if NOTES.contains(&name.as_str()) => name.clone(),
            _ => return Err(self.expected("a note about the IP header")),
        };
        self.at += 1;
        let again = match name.as_str() {
            "tos" => notes.tos.replace(self.hex("tos", 0xff)? as u8).is_some(),
            "ttl" => notes.ttl.replace(self.u8("ttl")?).is_some(),
            "flowlabel" => notes.flow_label.replace(self.hex("flowlabel", 0xf_ffff)? as u32).is_some(),
            ecn => {
                notes.ecn = Some(match ecn {
                    "ect0" => EcnNote::Ect0,
                    "ect1" => EcnNote::Ect1,
                    "ce" => EcnNote::Ce,
                    "ect01" => EcnNote::Ect01,
                    _ => EcnNote::NotEct,
                });
                before.ecn.is_some()
            }
        };
        if again { Err(self.wrong(format!("a second note in the place of {name}"))) } else { Ok(()) }
    }

    fn udp(&mut self) -> Result<Body, ParseError> {
        self.at += 1;
        let ports = self.ports()?;
        Ok(Body::Udp { ports, len: self.datagram_len()? })
    }

    /// `( length )`
    pub(super) fn datagram_len(&mut self) -> Result<u32, ParseError> {
        self.expect('(')?;
        let len = self.int("a datagram's length", 0..=65_527)?;
        self.expect(')')?;
        Ok(len)
    }

    fn ports(&mut self) -> Result<Option<Ports>, ParseError> {
        if !matches!((self.peek(), self.peek_behind(1)), (Some(Kind::Int(_)), Some(Kind::Sign('>')))) {
            return Ok(None);
        }
        let src = self.u16("a port")?;
        self.expect('>')?;
        Ok(Some(Ports { src, dst: self.u16("a port")? }))
    }

    fn tcp(&mut self, direction: Direction) -> Result<TcpSpec, ParseError> {
        let ports = self.ports()?;
        let flags = self.flags()?;
        let range = self.range()?;
        let ack = if self.word("ack") { Some(self.seq("ack")?) } else { None };
        if ack.is_none() && Flags(flags.bits).has(Flags::ACK) {
            return Err(self.wrong("`ack` is missing, though the ACK flag is set"));
        }
        let window = if self.word("win") { Some(self.u16("win")?) } else { None };
        if window.is_none() && direction == Direction::Inbound {
            return Err(self.wrong("`win` is missing, which a `<` segment must have"));
        }
        let urgent = if self.word("urg") { Some(self.u16("urg")?) } else { None };
        let options = self.options(direction)?;
        if direction == Direction::Inbound && range.len > 65_535 - 20 {
            return Err(self.wrong("the segment is longer than an IP packet can be"));
        }
        Ok(TcpSpec { ports, flags, range, ack, window, urgent, options })
    }

    /// Letters and then `.` for ACK, or `.N` for ACK with the number that AE, CWR and ECE make up; `-` for none at all.
    fn flags(&mut self) -> Result<FlagSpec, ParseError> {
        const WANTED: &str = "flags of a TCP segment";
        let mut flags = FlagSpec::default();
        if self.sign('-') {
            return Ok(flags);
        }
        let letters = if let Some(Kind::Name(name)) = self.peek() { name.clone() } else { String::new() };
        for letter in letters.chars() {
            let before = flags;
            match letter {
                'A' => flags.ae = true,
                _ => flags.bits |= flag(letter).ok_or_else(|| self.expected(WANTED))?.0,
            }
            if flags == before {
                return Err(self.error(format!("flag {letter} stands there twice")));
            }
        }
        self.at += usize::from(!letters.is_empty());
        match self.peek() {
            Some(Kind::Sign('.')) => flags.bits |= Flags::ACK.0,
            Some(Kind::Decimal(text)) => {
                let number = text.strip_prefix('.').and_then(|digit| digit.parse().ok());
                flags.ace = number.filter(|&number: &u8| number < 8 && text.len() == 2);
                if flags.ace.is_none() {
                    return Err(self.expected("`.` and a number up to 7 behind the flags"));
                }
                if flags.ae || Flags(flags.bits).any(Flags::ECE.with(Flags::CWR)) {
                    return Err(self.error("the number behind `.` is made of the flags A, W and E itself"));
                }
                flags.bits |= Flags::ACK.0;
            }
            _ if letters.is_empty() => return Err(self.expected(WANTED)),
            _ => return Ok(flags),
        }
        self.at += 1;
        Ok(flags)
    }

    /// `first:past(length)`, modulo 2^32.
    pub(super) fn range(&mut self) -> Result<SeqRange, ParseError> {
        let first = self.seq("a sequence number")?;
        self.expect(':')?;
        let past = self.seq("a sequence number")?;
        self.expect('(')?;
        let len = self.u32("a length")?;
        if first.wrapping_add(len) != past {
            return Err(self.wrong(format!("{first} plus {len} bytes does not end at {past}")));
        }
        self.expect(')')?;
        Ok(SeqRange { first, len })
    }
}

fn flag(letter: char) -> Option<Flags> {
    Some(match letter {
        'S' => Flags::SYN,
        'F' => Flags::FIN,
        'R' => Flags::RST,
        'P' => Flags::PSH,
        'U' => Flags::URG,
        'E' => Flags::ECE,
        'W' => Flags::CWR,
        _ => return None,
    })
}
