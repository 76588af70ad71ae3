//! ICMP messages: type, code, the numbers that some carry, and what an error quotes.

use super::Parser;
use crate::scenario::error::ParseError;
use crate::scenario::lexer::Kind;
use crate::scenario::script::{Body, Direction, Echoed, IcmpSpec};

/// Words behind the type that are no code.
const BEHIND_CODE: [&str; 2] = ["mtu", "id"];

impl Parser {
    pub(super) fn icmp(&mut self, direction: Direction) -> Result<Body, ParseError> {
        let before = if self.is_sign('[') { Some(self.echoed()?) } else { None };
        if !self.word("icmp") {
            return Err(self.expected("`icmp`"));
        }
        let kind = self.name("a type of ICMP message")?;
        self.check_number(&kind, "type_")?;
        let code = match self.peek() {
            Some(Kind::Name(name)) if !BEHIND_CODE.contains(&name.as_str()) => {
                let code = name.clone();
                self.at += 1;
                self.check_number(&code, "code_")?;
                Some(code)
            }
            _ => None,
        };
        let mtu = if self.word("mtu") { Some(self.u32("mtu")?) } else { None };
        let too_big = kind == "packet_too_big" || code.as_deref() == Some("frag_needed");
        if too_big && mtu.is_none() && direction == Direction::Inbound {
            return Err(self.wrong("`mtu` is missing, which a message of this kind must have"));
        }
        let id = if self.word("id") { Some(self.u16("id")?) } else { None };
        let behind = if self.is_sign('[') { Some(self.echoed()?) } else { None };
        if before.is_some() && behind.is_some() {
            return Err(self.wrong("what the message quotes stands there twice"));
        }
        Ok(Body::Icmp(IcmpSpec { kind, code, mtu, id, echoed: before.or(behind) }))
    }

    /// `type_N` and `code_N` are bytes.
    fn check_number(&self, name: &str, prefix: &str) -> Result<(), ParseError> {
        match name.strip_prefix(prefix).map(str::parse::<u8>) {
            Some(Err(_)) => Err(self.wrong(format!("{name}: the number behind {prefix} is 0 to 255"))),
            _ => Ok(()),
        }
    }

    /// `[first:past(length)]` or `[udp (length)]`
    fn echoed(&mut self) -> Result<Echoed, ParseError> {
        self.expect('[')?;
        let echoed =
            if self.word("udp") { Echoed::Udp(self.datagram_len()?) } else { Echoed::Tcp(self.range()?) };
        self.expect(']')?;
        Ok(echoed)
    }
}
