//! TCP options between `<` and `>`.

use super::Parser;
use crate::scenario::error::ParseError;
use crate::scenario::lexer::Kind;
use crate::scenario::script::{Direction, OptionsSpec, TcpOptionSpec};

/// What a TCP header has room for (RFC 9293 §3.1: 60 bytes with the fixed 20).
const MAX_LEN: usize = 40;

impl Parser {
    pub(super) fn options(&mut self, direction: Direction) -> Result<OptionsSpec, ParseError> {
        if !self.sign('<') {
            return Ok(OptionsSpec::List(Vec::new()));
        }
        if self.peek() == Some(&Kind::Ellipsis) {
            self.at += 1;
            self.expect('>')?;
            if direction == Direction::Inbound {
                return Err(self.wrong("`<...>` stands only in `>` packets"));
            }
            return Ok(OptionsSpec::Any);
        }
        let mut options = vec![self.option()?];
        while self.sign(',') {
            options.push(self.option()?);
        }
        if !self.is_sign('>') {
            return Err(self.expected("`,` or `>`"));
        }
        let len: usize = options.iter().map(TcpOptionSpec::wire_len).sum();
        if !len.is_multiple_of(4) || len > MAX_LEN {
            return Err(
                self.error(format!("the options take {len} bytes: not a multiple of 4 up to {MAX_LEN}"))
            );
        }
        self.at += 1;
        Ok(OptionsSpec::List(options))
    }

    fn option(&mut self) -> Result<TcpOptionSpec, ParseError> {
        const WANTED: &str = "a TCP option";
        let before = self.at;
        let name = self.name(WANTED)?;
        Ok(match name.as_str() {
            "mss" => TcpOptionSpec::Mss(self.u16("mss")?),
            "wscale" => TcpOptionSpec::WindowScale(self.u8("wscale")?),
            "sackOK" => TcpOptionSpec::SackPermitted,
            "nop" => TcpOptionSpec::Nop,
            "eol" => TcpOptionSpec::Eol,
            "TS" => {
                self.keyword("val")?;
                let val = self.u32("val")?;
                self.keyword("ecr")?;
                TcpOptionSpec::Timestamps { val, ecr: self.u32("ecr")? }
            }
            "sack" => {
                let mut edges = vec![self.edge()?];
                while matches!(self.peek(), Some(Kind::Int(_))) {
                    edges.push(self.edge()?);
                }
                TcpOptionSpec::Sack(edges)
            }
            "FO" => TcpOptionSpec::FastOpen(self.cookie()?),
            "FOEXP" => TcpOptionSpec::FastOpenExperimental(self.cookie()?),
            "md5" => {
                let digest = self.cookie()?;
                if digest.len() != 16 {
                    return Err(self.wrong("md5 takes 32 hexadecimal digits"));
                }
                TcpOptionSpec::Md5(digest)
            }
            _ => {
                self.at = before;
                return Err(self.expected(WANTED));
            }
        })
    }

    fn keyword(&mut self, word: &str) -> Result<(), ParseError> {
        if self.word(word) { Ok(()) } else { Err(self.expected(&format!("`{word}`"))) }
    }

    fn edge(&mut self) -> Result<(u32, u32), ParseError> {
        let left = self.seq("the left edge of a SACK block")?;
        self.expect(':')?;
        Ok((left, self.seq("the right edge of a SACK block")?))
    }

    /// Hexadecimal digits, two for a byte; none at all is the empty cookie.
    fn cookie(&mut self) -> Result<Vec<u8>, ParseError> {
        let (Some(Kind::Name(digits)) | Some(Kind::Int(digits))) = self.peek() else { return Ok(Vec::new()) };
        let byte = |pair: &[u8]| Some((nibble(pair.first())? << 4) | nibble(pair.get(1))?);
        let bytes: Option<Vec<u8>> = digits.as_bytes().chunks(2).map(byte).collect();
        let bytes = bytes.ok_or_else(|| self.expected("pairs of hexadecimal digits"))?;
        self.at += 1;
        Ok(bytes)
    }
}

fn nibble(digit: Option<&u8>) -> Option<u8> {
    char::from(*digit?).to_digit(16).map(|value| value as u8)
}
