//! `poll`: what sockets are ready for, compared exactly.

use super::args;
use super::names::*;
use super::{Outcome, Socket};
use crate::base::socket::Readiness;
use crate::base::time::{Duration, Instant};
use crate::scenario::run::Runner;
use crate::scenario::script::{Call, Value};
use crate::scenario::verdict::Stop;

/// A call of `poll`.
#[derive(Clone, Debug)]
pub(super) struct Poll {
    /// Descriptor, events asked for, revents expected.
    entries: Vec<(i64, i64, i64)>,
    /// When it ends with nothing; `None`: never.
    pub deadline: Option<Instant>,
}

impl Poll {
    pub(super) fn prepare(call: &Call, now: Instant) -> Result<Self, Stop> {
        args::expect(call, 3)?;
        let Value::List(list) = args::argument(call, 0)? else {
            return Err(Stop::skip("a list of `{fd=…, events=…, revents=…}` was expected"));
        };
        if list.len() as i64 != args::int(call, 1)? {
            return Err(Stop::fail(format!("{} descriptors, but another number is announced", list.len())));
        }
        let entry = |value| args::fields(value, ["fd", "events", "revents"]).map(<(i64, i64, i64)>::from);
        let entries = list.iter().map(entry).collect::<Result<_, Stop>>()?;
        let timeout = u64::try_from(args::int(call, 2)?).ok();
        Ok(Poll { entries, deadline: timeout.map(|ms| now + Duration::from_millis(ms)) })
    }
}

impl Runner<'_> {
    pub(super) fn poll(&mut self, poll: &Poll) -> Result<Outcome, Stop> {
        let actual: Vec<i64> = poll.entries.iter().map(|&(fd, events, _)| self.revents(fd, events)).collect();
        let ready = actual.iter().filter(|&&bits| bits != 0).count();
        let over = poll.deadline.is_some_and(|deadline| deadline <= self.host.now());
        if ready == 0 && !over {
            return Ok(Outcome::Block);
        }
        for (&(fd, _, expected), &bits) in poll.entries.iter().zip(&actual) {
            if bits != expected {
                return Err(Stop::fail(format!(
                    "poll found {} on descriptor {fd}, not {}",
                    bits_names(bits),
                    bits_names(expected)
                )));
            }
        }
        Ok(Outcome::Value(ready as i64))
    }

    fn revents(&mut self, fd: i64, events: i64) -> i64 {
        let Some(descriptor) = self.descriptors.get(&fd) else { return POLLNVAL };
        let stack = self.host.stack();
        let bits = match descriptor.socket {
            Socket::Connection(id) => poll_bits(stack.tcp().readiness(id)),
            Socket::Listener(id) => poll_bits(stack.tcp().readiness(id)),
            Socket::Udp(id) => poll_bits(stack.udp().readiness(id)),
            // As Linux has it for a socket that was never connected.
            Socket::Stream => POLLOUT | POLLWRNORM | POLLHUP,
            Socket::Datagram => POLLOUT | POLLWRNORM,
        };
        bits & (events | POLLERR | POLLHUP)
    }
}

fn poll_bits(ready: Readiness) -> i64 {
    let table = [
        (Readiness::IN, POLLIN | POLLRDNORM),
        (Readiness::OUT, POLLOUT | POLLWRNORM),
        (Readiness::PRI, POLLPRI),
        (Readiness::RDHUP, POLLRDHUP),
        (Readiness::HUP, POLLHUP),
        (Readiness::ERR, POLLERR),
    ];
    table.iter().filter(|(bit, _)| ready.has(*bit)).fold(0, |bits, (_, names)| bits | names)
}

fn bits_names(bits: i64) -> String {
    let set: Vec<_> = poll_names().filter(|(_, bit)| bits & bit != 0).map(|(name, _)| name).collect();
    if set.is_empty() { "nothing".to_owned() } else { set.join("|") }
}
