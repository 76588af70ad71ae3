//! The script as a whole, its events and their times.

use super::Parser;
use crate::base::time::Duration;
use crate::scenario::error::ParseError;
use crate::scenario::expression;
use crate::scenario::lexer::Kind;
use crate::scenario::script::{
    Action, Call, Clock, CodeBlock, Command, Direction, Event, Script, ScriptOption, When,
};

/// Times beyond this (some 30 years) are mistakes.
const MAX_SECONDS: u64 = 1_000_000_000;

/// What the order of events demands.
#[derive(Default)]
struct Order {
    /// Written time of the latest event with an absolute one.
    absolute: Option<Duration>,
    begun: bool,
}

impl Parser {
    /// `[command] event {event} [command]`: a command is timed when a time stands before it; bare ones stand only first and last.
    pub(super) fn script(&mut self, options: Vec<ScriptOption>) -> Result<Script, ParseError> {
        let setup = self.command();
        let mut events = Vec::new();
        let mut order = Order::default();
        while self.peek().is_some() && !self.at_command() {
            let event = self.event()?;
            order.check(&event)?;
            events.push(event);
        }
        if events.is_empty() {
            return Err(self.expected("an event"));
        }
        let cleanup = self.command();
        match self.peek() {
            None => Ok(Script { options, setup, events, cleanup }),
            _ => Err(self.expected("the end: a command without a time is the last thing of a script")),
        }
    }

    fn at_command(&self) -> bool {
        matches!(self.peek(), Some(Kind::Command(_)))
    }

    fn command(&mut self) -> Option<Command> {
        let line = self.line();
        match self.peek() {
            Some(Kind::Command(text)) => {
                let command = Command { line, text: text.clone() };
                self.at += 1;
                Some(command)
            }
            _ => None,
        }
    }

    fn event(&mut self) -> Result<Event, ParseError> {
        let line = self.line();
        let when = self.when()?;
        let action = self.action(when)?;
        Ok(Event { line, when, action })
    }

    fn when(&mut self) -> Result<When, ParseError> {
        if self.sign('*') {
            return Ok(When::Any);
        }
        let start = self.clock("a time")?;
        if !self.is_sign('~') {
            return Ok(When::At(start, None));
        }
        self.at += 1;
        let end = self.clock("the end of a time range")?;
        match (start, end) {
            (Clock::Absolute(a), Clock::Absolute(b)) | (Clock::Relative(a), Clock::Relative(b)) if a <= b => {
                Ok(When::At(start, Some(end)))
            }
            (Clock::Absolute(_), Clock::Absolute(_)) | (Clock::Relative(_), Clock::Relative(_)) => {
                Err(self.wrong("a time range ends before it starts"))
            }
            _ => Err(self.wrong("both ends of a time range must be relative, or both absolute")),
        }
    }

    fn clock(&mut self, what: &str) -> Result<Clock, ParseError> {
        let relative = self.sign('+');
        let time = self.seconds(what)?;
        Ok(if relative { Clock::Relative(time) } else { Clock::Absolute(time) })
    }

    /// Seconds with any fraction, down to the microseconds of the virtual clock.
    fn seconds(&mut self, what: &str) -> Result<Duration, ParseError> {
        let (Some(Kind::Int(text)) | Some(Kind::Decimal(text))) = self.peek() else {
            return Err(self.expected(what));
        };
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let whole = if whole.is_empty() { Ok(0) } else { whole.parse::<u64>() };
        let Some(whole) = whole.ok().filter(|&whole| whole <= MAX_SECONDS) else {
            return Err(self.error(format!("{text} is out of range: a time is 0 to {MAX_SECONDS} seconds")));
        };
        let digits = fraction.bytes().chain(std::iter::repeat(b'0')).take(6);
        let micros = digits.fold(0, |micros, digit| micros * 10 + u64::from(digit - b'0'));
        self.at += 1;
        Ok(Duration::from_micros(whole * 1_000_000 + micros))
    }

    fn action(&mut self, when: When) -> Result<Action, ParseError> {
        let line = self.line();
        match self.peek() {
            Some(Kind::Sign('<' | '>')) => Ok(Action::Packet(self.packet()?)),
            Some(Kind::Command(text)) => {
                let text = text.clone();
                self.at += 1;
                Ok(Action::Command(Command { line, text }))
            }
            Some(Kind::Code(text)) => {
                let block = CodeBlock { line, text: text.clone() };
                self.at += 1;
                expression::check(&block)?;
                Ok(Action::Code(block))
            }
            Some(Kind::Ellipsis) => {
                self.at += 1;
                let end = self.blocking_end(when)?;
                Ok(Action::Call(Call { end: Some(end), ..self.call()? }))
            }
            Some(Kind::Name(_)) => Ok(Action::Call(self.call()?)),
            _ => Err(self.expected("a packet, call, command or code block")),
        }
    }

    /// The end of a blocking call counts as its start does, so it is written without a sign of its own.
    fn blocking_end(&mut self, when: When) -> Result<Clock, ParseError> {
        let end = self.seconds("the time at which the call ends")?;
        match when {
            When::At(Clock::Absolute(start), None) if start <= end => Ok(Clock::Absolute(end)),
            When::At(Clock::Relative(start), None) if start <= end => Ok(Clock::Relative(end)),
            When::At(_, None) => Err(self.wrong("a blocking call ends before it starts")),
            _ => Err(self.wrong("a blocking call needs one time to start at")),
        }
    }
}

impl Order {
    /// Time 0 is the first event's; `*` and ranges wait for the stack, so they stand only before `>`.
    fn check(&mut self, event: &Event) -> Result<(), ParseError> {
        let fail = |reason: &str| Err(ParseError::new(event.line, reason));
        let outbound =
            matches!(&event.action, Action::Packet(packet) if packet.direction == Direction::Outbound);
        let start = match event.when {
            When::At(start, None) => Some(start),
            _ if !outbound => return fail("`*` and time ranges stand only before `>` packets"),
            When::At(start, _) => Some(start),
            When::Any => None,
        };
        let first = !std::mem::replace(&mut self.begun, true);
        if first && !matches!(start, Some(Clock::Absolute(Duration::ZERO) | Clock::Relative(Duration::ZERO)))
        {
            return fail("the first event must be at time 0");
        }
        if let Some(Clock::Absolute(time)) = start {
            if self.absolute.is_some_and(|latest| time < latest) {
                return fail("times run backwards");
            }
            self.absolute = Some(time);
        }
        Ok(())
    }
}
