//! Reading and writing. Writes carry the stream's pattern, reads verify it.

use std::io::IoSlice;

use super::args;
use super::names::{MSG_DONTWAIT, MSG_MORE, MSG_NOSIGNAL, MSG_OOB, MSG_PEEK};
use super::{Outcome, Socket};
use crate::base::socket::SocketError;
use crate::scenario::encode;
use crate::scenario::run::Runner;
use crate::scenario::script::Call;
use crate::scenario::verdict::Stop;
use crate::tcp::SendFlags;
use std::net::SocketAddr;

/// A call that reads.
#[derive(Clone, Debug)]
pub(super) struct Read {
    fd: i64,
    len: usize,
    flags: i64,
}

/// A call that writes, and how much of it is done.
#[derive(Clone, Debug)]
pub(super) struct Write {
    fd: i64,
    len: usize,
    flags: i64,
    done: usize,
    /// It names its destination.
    addressed: bool,
}

impl Read {
    pub(super) fn prepare(call: &Call) -> Result<Self, Stop> {
        let (count, len, flags) = match call.name.as_str() {
            "read" => (3, args::buffer(call, 1)?, 0),
            "readv" => (3, args::vectors(args::argument(call, 1)?, args::int(call, 2)?)?, 0),
            "recv" => (4, args::buffer(call, 1)?, args::int(call, 3)?),
            "recvfrom" => (6, args::buffer(call, 1)?, args::int(call, 3)?),
            _ => (3, args::message(args::argument(call, 1)?)?, args::int(call, 2)?),
        };
        args::expect(call, count)?;
        if count == 6 {
            args::any_address(call, 4)?;
        }
        known_flags(flags, MSG_PEEK | MSG_DONTWAIT)?;
        Ok(Read { fd: args::int(call, 0)?, len, flags })
    }
}

impl Write {
    pub(super) fn prepare(call: &Call) -> Result<Self, Stop> {
        let (count, len, flags) = match call.name.as_str() {
            "write" => (3, args::buffer(call, 1)?, 0),
            "writev" => (3, args::vectors(args::argument(call, 1)?, args::int(call, 2)?)?, 0),
            "send" => (4, args::buffer(call, 1)?, args::int(call, 3)?),
            "sendto" => (6, args::buffer(call, 1)?, args::int(call, 3)?),
            _ => (3, args::message(args::argument(call, 1)?)?, args::int(call, 2)?),
        };
        args::expect(call, count)?;
        if count == 6 {
            args::any_address(call, 4)?;
        }
        known_flags(flags, MSG_DONTWAIT | MSG_NOSIGNAL | MSG_MORE | MSG_OOB)?;
        let addressed = matches!(call.name.as_str(), "sendto" | "sendmsg");
        Ok(Write { fd: args::int(call, 0)?, len, flags, done: 0, addressed })
    }
}

fn known_flags(flags: i64, known: i64) -> Result<(), Stop> {
    if flags & !known == 0 {
        return Ok(());
    }
    Err(Stop::skip(format!("flags {:#x} of this call are not supported", flags & !known)))
}

impl Runner<'_> {
    pub(super) fn read(&mut self, read: &Read) -> Result<Outcome, Stop> {
        let Some(descriptor) = self.descriptors.get(&read.fd).cloned() else {
            return Ok(Outcome::Error("EBADF"));
        };
        let mut bytes = vec![0; read.len];
        let (peek, now) = (read.flags & MSG_PEEK != 0, self.host.now());
        let (result, offset) = match descriptor.socket {
            Socket::Connection(_) if read.len == 0 => return Ok(Outcome::Value(0)),
            Socket::Connection(id) => {
                let tcp = self.host.stack().tcp();
                let result = if peek { tcp.peek(id, &mut bytes) } else { tcp.recv(id, &mut bytes, now) };
                (result, descriptor.received)
            }
            Socket::Stream | Socket::Listener(_) => return Ok(Outcome::Error("ENOTCONN")),
            Socket::Datagram | Socket::Udp(_) => (self.receive_datagram(read.fd, &mut bytes, peek), 0),
        };
        match result {
            Ok(len) => {
                check_payload(&bytes[..len], offset)?;
                if let (false, Some(descriptor)) = (peek, self.descriptors.get_mut(&read.fd)) {
                    descriptor.received += len as u64;
                }
                Ok(Outcome::Value(len as i64))
            }
            Err(error) => Ok(self.blocked(error, descriptor.nonblocking, read.flags)),
        }
    }

    fn receive_datagram(&mut self, fd: i64, into: &mut [u8], peek: bool) -> Result<usize, SocketError> {
        let id = self.udp(fd)?;
        let udp = self.host.stack().udp();
        let received = if peek { udp.peek_from(id, into) } else { udp.recv_from(id, into) };
        received.map(|received| received.len)
    }

    pub(super) fn write(&mut self, write: &mut Write) -> Outcome {
        let Some(descriptor) = self.descriptors.get(&write.fd).cloned() else {
            return Outcome::Error("EBADF");
        };
        let now = self.host.now();
        let result = match descriptor.socket {
            Socket::Connection(id) => {
                let bytes = encode::payload(descriptor.sent, write.len - write.done);
                let flags =
                    SendFlags { more: write.flags & MSG_MORE != 0, urgent: write.flags & MSG_OOB != 0 };
                self.host.stack().tcp().send_with(id, &[IoSlice::new(&bytes)], flags, now)
            }
            Socket::Stream | Socket::Listener(_) => return Outcome::Error("EPIPE"),
            Socket::Datagram | Socket::Udp(_) => self.send_datagram(write),
        };
        if let Ok(len) = result {
            write.done += len;
            self.wrote(write.fd, len);
        }
        match result {
            Ok(_) if write.done >= write.len => Outcome::Value(write.done as i64),
            // The stack took a part: the rest waits for room, or is the caller's business.
            Ok(_) if !descriptor.nonblocking && write.flags & MSG_DONTWAIT == 0 => Outcome::Block,
            Ok(_) => Outcome::Value(write.done as i64),
            Err(error) => match self.blocked(error, descriptor.nonblocking, write.flags) {
                Outcome::Block => Outcome::Block,
                _ if write.done > 0 => Outcome::Value(write.done as i64),
                outcome => outcome,
            },
        }
    }

    fn send_datagram(&mut self, write: &Write) -> Result<usize, SocketError> {
        let id = self.udp(write.fd)?;
        let bytes = encode::payload(0, write.len);
        let connected = self.host.stack().udp().peer_addr(id).is_ok();
        if !write.addressed || connected {
            return self.host.stack().udp_send(id, &bytes);
        }
        // Whoever was heard is answered; otherwise `...` is where `connect` would go.
        let ends = self.records.ends();
        let first = SocketAddr::new(ends.remote, ends.connect_port);
        let record = self.descriptors.get(&write.fd).map(|descriptor| descriptor.record);
        let Some(record) = record.and_then(|index| self.records.get_mut(index)) else {
            return Err(SocketError::NoSocket);
        };
        if record.remote.port == 0 {
            record.remote = first.into();
        }
        let to = record.remote.into();
        self.host.stack().udp_send_to(id, &bytes, to)
    }

    fn wrote(&mut self, fd: i64, len: usize) {
        let Some(descriptor) = self.descriptors.get_mut(&fd) else { return };
        descriptor.sent += len as u64;
        if let Some(record) = self.records.get_mut(descriptor.record) {
            record.written = descriptor.sent;
        }
    }

    /// "Would block" is an error on a socket that may not.
    fn blocked(&self, error: SocketError, nonblocking: bool, flags: i64) -> Outcome {
        match error {
            SocketError::WouldBlock if nonblocking || flags & MSG_DONTWAIT != 0 => Outcome::Error("EAGAIN"),
            error => error.into(),
        }
    }
}

fn check_payload(bytes: &[u8], offset: u64) -> Result<(), Stop> {
    let wrong = (0u64..).zip(bytes).find(|&(i, &byte)| byte != encode::pattern(offset + i));
    let Some((i, byte)) = wrong else { return Ok(()) };
    let expected = encode::pattern(offset + i);
    Err(Stop::fail(format!(
        "wrong payload: byte {} of the stream is {byte:#04x}, not {expected:#04x}",
        offset + i
    )))
}
