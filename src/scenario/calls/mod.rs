//! Socket calls of a script: made on the stack's own non-blocking calls, with the results and errors POSIX gives. A call that
//! would block stays pending where the script says so (`start...end`), and is tried again whenever something happened.

mod args;
mod descriptor;
mod io;
mod names;
mod options;
mod poll;
mod sockets;

pub(super) use descriptor::{Descriptor, Descriptors, Socket};

use super::clock::{Due, resolve};
use super::host::seconds;
use super::run::Runner;
use super::script::{Call, Value};
use super::verdict::Stop;
use crate::base::socket::SocketError;
use crate::base::time::{Duration, Instant};
use crate::tcp::TcpId;
use io::{Read, Write};
use poll::Poll;

/// How long a later call waits for one that is pending.
const WAIT: Duration = Duration::from_secs(1);

/// What trying a call gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// A result.
    Value(i64),
    /// −1 and this error.
    Error(&'static str),
    /// It would block.
    Block,
}

impl From<SocketError> for Outcome {
    fn from(error: SocketError) -> Self {
        match error {
            SocketError::WouldBlock => Outcome::Block,
            error => Outcome::Error(error.name()),
        }
    }
}

/// A call that may have to be tried more than once, or was tried already.
#[derive(Clone, Debug)]
enum Operation {
    Done(Outcome),
    Accept {
        fd: i64,
    },
    Connect {
        fd: i64,
    },
    Read(Read),
    Write(Write),
    Poll(Poll),
    /// A close that lingers; its descriptor is gone already.
    Close {
        id: TcpId,
    },
}

/// A call that blocks.
#[derive(Clone, Debug)]
pub(super) struct Pending<'s> {
    call: &'s Call,
    line: u32,
    operation: Operation,
    end: Instant,
    tolerance: Duration,
}

impl Pending<'_> {
    /// When it ends by itself: the timeout of a poll.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match &self.operation {
            Operation::Poll(poll) => poll.deadline,
            _ => None,
        }
    }

    /// The failure of a script that ends before it.
    pub(super) fn unfinished(&self) -> Stop {
        Stop::fail(format!("{} still blocks at the end of the script", self.call.name)).at(self.line)
    }
}

impl<'s> Runner<'s> {
    /// Makes a call.
    pub(super) fn call(&mut self, line: u32, call: &'s Call, due: &Due) -> Result<(), Stop> {
        if call.result == Value::Ellipsis {
            return Err(Stop::skip("a result that may be anything is not supported"));
        }
        self.await_pending()?;
        let started = due.scheduled(self.host.now());
        let mut operation = self.prepare(call)?;
        let outcome = self.attempt(&mut operation)?;
        self.collect();
        let end = call.end.map(|end| resolve(end, due.base));
        let tolerance = self.tolerance().of(end.unwrap_or(started).since(started));
        match (outcome, end) {
            (Outcome::Block, None) => Err(Stop::fail(format!("{} would block", call.name))
                .with(["a call that may block is written with its end: `start...end`".to_owned()])),
            (Outcome::Block, Some(end)) => {
                self.pending = Some(Pending { call, line, operation, end, tolerance });
                Ok(())
            }
            (outcome, end) => {
                self.verify(call, outcome)?;
                end.map_or(Ok(()), |end| ends_in_time(call, self.host.now(), end, tolerance))
            }
        }
    }

    /// Tries the pending call again; what it gives must be what is written, and in time.
    pub(super) fn try_pending(&mut self) -> Result<(), Stop> {
        let Some(mut pending) = self.pending.take() else { return Ok(()) };
        let outcome = self.attempt(&mut pending.operation).map_err(|stop| stop.at(pending.line))?;
        // A part of a write may have gone out.
        self.collect();
        if outcome == Outcome::Block {
            self.pending = Some(pending);
            return Ok(());
        }
        let now = self.host.now();
        self.log.note(&format!("{} {} ends", seconds(now), pending.call.name));
        self.verify(pending.call, outcome)
            .and_then(|()| ends_in_time(pending.call, now, pending.end, pending.tolerance))
            .map_err(|stop| stop.at(pending.line))
    }

    /// Only one call may be pending: a later one waits for it.
    fn await_pending(&mut self) -> Result<(), Stop> {
        let limit = self.host.now() + WAIT;
        while let Some(pending) = &self.pending {
            let (line, name) = (pending.line, &pending.call.name);
            let next = [self.host.next_timer(), pending.deadline()].into_iter().flatten().min();
            if next.is_none_or(|next| next > limit) {
                let reason = format!("{name} still blocks {} s after the next call was due", WAIT.as_secs());
                return Err(Stop::fail(reason).at(line));
            }
            self.step(limit)?;
        }
        Ok(())
    }

    /// Reads the arguments; calls that never block are made at once.
    fn prepare(&mut self, call: &'s Call) -> Result<Operation, Stop> {
        let done = match call.name.as_str() {
            "socket" => self.socket(call)?,
            "bind" => self.bind(call)?,
            "listen" => self.listen(call)?,
            "accept" => {
                args::expect(call, 3)?;
                args::ellipsis(call, 1)?;
                args::ellipsis(call, 2)?;
                return Ok(Operation::Accept { fd: args::int(call, 0)? });
            }
            "connect" => return self.connect(call),
            "read" | "readv" | "recv" | "recvfrom" | "recvmsg" => {
                return Read::prepare(call).map(Operation::Read);
            }
            "write" | "writev" | "send" | "sendto" | "sendmsg" => {
                return Write::prepare(call).map(Operation::Write);
            }
            "poll" => return Poll::prepare(call, self.host.now()).map(Operation::Poll),
            "close" => return self.close(call),
            "shutdown" => self.shutdown(call)?,
            "fcntl" => self.fcntl(call)?,
            "ioctl" => self.ioctl(call)?,
            "getsockopt" => self.getsockopt(call)?,
            "setsockopt" => self.setsockopt(call)?,
            other => return Err(Stop::skip(format!("the call {other} is not supported"))),
        };
        Ok(Operation::Done(done))
    }

    fn attempt(&mut self, operation: &mut Operation) -> Result<Outcome, Stop> {
        match operation {
            Operation::Done(outcome) => Ok(*outcome),
            Operation::Accept { fd } => Ok(self.accept(*fd)),
            Operation::Connect { fd } => Ok(self.connect_outcome(*fd)),
            Operation::Read(read) => self.read(read),
            Operation::Write(write) => Ok(self.write(write)),
            Operation::Poll(poll) => self.poll(poll),
            Operation::Close { id } => Ok(self.close_outcome(*id)),
        }
    }

    /// Compares a result with the written one, and gives a new descriptor its number.
    fn verify(&mut self, call: &Call, outcome: Outcome) -> Result<(), Stop> {
        let made = self.made.take();
        let expected = args::number(&call.result)?;
        let right = match outcome {
            Outcome::Value(_) if made.is_some() => expected >= 0,
            Outcome::Value(value) => value == expected,
            Outcome::Error(name) => {
                expected == -1 && call.errno.as_deref().is_none_or(|e| same_error(e, name))
            }
            Outcome::Block => false,
        };
        if !right {
            let written = format!("{expected} {}", call.errno.as_deref().unwrap_or_default());
            let actual = match outcome {
                Outcome::Value(_) if made.is_some() => "a new descriptor".to_owned(),
                Outcome::Value(value) => value.to_string(),
                Outcome::Error(name) => format!("-1 {name}"),
                Outcome::Block => "nothing yet".to_owned(),
            };
            return Err(Stop::fail(format!("{} returned {actual}, not {}", call.name, written.trim_end())));
        }
        if let Some(descriptor) = made {
            self.descriptors.insert(expected, descriptor);
        }
        Ok(())
    }
}

fn ends_in_time(call: &Call, now: Instant, end: Instant, tolerance: Duration) -> Result<(), Stop> {
    let how = if now + tolerance < end {
        "too early"
    } else if now > end + tolerance {
        "too late"
    } else {
        return Ok(());
    };
    let (name, now, end) = (&call.name, seconds(now), seconds(end));
    Err(Stop::fail(format!("{name} ended {how}: at {now}, not {end} (+-{:.6})", tolerance.as_secs_f64())))
}

/// Names for one number are one error.
fn same_error(written: &str, actual: &str) -> bool {
    written == actual || names::errno(written).is_some_and(|number| names::errno(actual) == Some(number))
}
