//! The calls that make, name and end sockets: socket, bind, listen, accept, connect, close, shutdown, fcntl, ioctl.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr};

use super::args;
use super::names::{self, AF_INET, AF_INET6, F_GETFL, F_SETFL, O_NONBLOCK, O_RDWR, SOCK_DGRAM, SOCK_STREAM};
use super::{Descriptor, Operation, Outcome, Socket};
use crate::base::socket::SocketError;
use crate::scenario::matrix::Event;
use crate::scenario::run::Runner;
use crate::scenario::script::{Call, Value};
use crate::scenario::verdict::Stop;
use crate::tcp::TcpId;
use crate::tcp::state::State;
use crate::udp::UdpId;
use crate::wire::ip::{Endpoint, protocol};

const BAD_DESCRIPTOR: Outcome = Outcome::Error("EBADF");

impl Runner<'_> {
    /// `socket(..., type, protocol)`
    pub(super) fn socket(&mut self, call: &Call) -> Result<Outcome, Stop> {
        args::expect(call, 3)?;
        let own = if self.records.ends().local.is_ipv4() { AF_INET } else { AF_INET6 };
        if *args::argument(call, 0)? != Value::Ellipsis && args::int(call, 0)? != own {
            return Err(Stop::skip("sockets of another address family are not supported"));
        }
        let (kind, number) = (args::int(call, 1)?, args::int(call, 2)?);
        let (socket, number) = match (kind & !O_NONBLOCK, number) {
            (SOCK_STREAM, 0 | 6) => (Socket::Stream, protocol::TCP),
            (SOCK_DGRAM, 0 | 17) => (Socket::Datagram, protocol::UDP),
            _ => return Err(Stop::skip("only TCP and UDP sockets are supported")),
        };
        let record = self.records.socket(number);
        let mut descriptor = Descriptor::new(socket, record);
        descriptor.nonblocking = kind & O_NONBLOCK != 0;
        self.made = Some(descriptor);
        Ok(Outcome::Value(0))
    }

    /// `bind(fd, ..., ...)`
    pub(super) fn bind(&mut self, call: &Call) -> Result<Outcome, Stop> {
        args::expect(call, 3)?;
        args::ellipsis(call, 1)?;
        args::ellipsis(call, 2)?;
        let ends = self.records.ends();
        let local = SocketAddr::new(ends.local, ends.bind_port);
        let fd = args::int(call, 0)?;
        let in_use =
            |other: &Descriptor| matches!(other.socket, Socket::Listener(_)) && other.bound == Some(local);
        let taken = self.descriptors.values().any(in_use);
        let Some(descriptor) = self.descriptors.get_mut(&fd) else { return Ok(BAD_DESCRIPTOR) };
        if descriptor.bound.is_some() {
            return Ok(Outcome::Error("EINVAL"));
        }
        match descriptor.socket {
            Socket::Stream if taken => return Ok(Outcome::Error("EADDRINUSE")),
            Socket::Stream => {}
            Socket::Datagram => match self.host.stack().udp_bind(local) {
                Ok(id) => {
                    descriptor.socket = Socket::Udp(id);
                    let record = descriptor.record;
                    if let Some(record) = self.records.get_mut(record) {
                        record.local = local.into();
                    }
                }
                Err(error) => return Ok(error.into()),
            },
            _ => return Ok(Outcome::Error("EINVAL")),
        }
        descriptor.bound = Some(local);
        Ok(Outcome::Value(0))
    }

    /// `listen(fd, backlog)`
    pub(super) fn listen(&mut self, call: &Call) -> Result<Outcome, Stop> {
        args::expect(call, 2)?;
        let fd = args::int(call, 0)?;
        let backlog = usize::try_from(args::int(call, 1)?).unwrap_or(usize::MAX);
        let Some(descriptor) = self.descriptors.get(&fd) else { return Ok(BAD_DESCRIPTOR) };
        match descriptor.socket {
            Socket::Stream => {}
            Socket::Listener(_) => return Ok(Outcome::Value(0)),
            Socket::Connection(_) => return Ok(Outcome::Error("EINVAL")),
            Socket::Datagram | Socket::Udp(_) => return Ok(Outcome::Error("EOPNOTSUPP")),
        }
        let Some(local) = descriptor.bound else {
            return Err(Stop::skip("listen without bind: the port would be the stack's choice"));
        };
        let listening = self
            .options_of(fd)
            .and_then(|options| self.host.stack().tcp_listen_with(local, backlog, &options));
        match (listening, self.descriptors.get_mut(&fd)) {
            (Ok(id), Some(descriptor)) => {
                descriptor.socket = Socket::Listener(id);
                let record = descriptor.record;
                self.records.listening(record, local.port());
                Ok(Outcome::Value(0))
            }
            (Ok(_), None) => Ok(BAD_DESCRIPTOR),
            (Err(error), _) => Ok(error.into()),
        }
    }

    /// `accept(fd, ..., ...)`
    pub(super) fn accept(&mut self, fd: i64) -> Outcome {
        let Some(descriptor) = self.descriptors.get(&fd) else { return BAD_DESCRIPTOR };
        let Socket::Listener(id) = descriptor.socket else { return Outcome::Error("EINVAL") };
        let nonblocking = descriptor.nonblocking;
        match self.host.stack().tcp().accept(id) {
            Ok((id, peer)) => {
                let local = self.host.stack().tcp().local_addr(id).unwrap_or(peer);
                let current = self.records.current_index().unwrap_or(0);
                let record = self.records.find(local.into(), peer.into()).unwrap_or(current);
                let mut made = Descriptor::new(Socket::Connection(id), record);
                made.connected = true;
                self.made = Some(made);
                Outcome::Value(0)
            }
            Err(SocketError::WouldBlock) if nonblocking => Outcome::Error("EAGAIN"),
            Err(error) => error.into(),
        }
    }

    /// `connect(fd, ..., ...)`
    pub(super) fn connect(&mut self, call: &Call) -> Result<Operation, Stop> {
        args::expect(call, 3)?;
        args::ellipsis(call, 1)?;
        args::ellipsis(call, 2)?;
        let fd = args::int(call, 0)?;
        let ends = self.records.ends();
        let remote = SocketAddr::new(ends.remote, ends.connect_port);
        let Some(descriptor) = self.descriptors.get(&fd).cloned() else {
            return Ok(Operation::Done(BAD_DESCRIPTOR));
        };
        let outcome = match descriptor.socket {
            Socket::Stream => self.open(fd, &descriptor, remote),
            Socket::Connection(id) => self.connect_again(fd, id),
            Socket::Listener(_) => Outcome::Error("EISCONN"),
            Socket::Datagram | Socket::Udp(_) => self.connect_udp(fd, remote),
        };
        Ok(if outcome == Outcome::Block { Operation::Connect { fd } } else { Operation::Done(outcome) })
    }

    fn open(&mut self, fd: i64, descriptor: &Descriptor, remote: SocketAddr) -> Outcome {
        let now = self.host.now();
        let opened = self
            .options_of(fd)
            .and_then(|options| self.host.stack().tcp_connect_with(descriptor.bound, remote, &options, now));
        match opened {
            Ok(id) => {
                let port = descriptor.bound.map_or(0, |local| local.port());
                let local = Endpoint::new(self.records.ends().local, port);
                self.records.connecting(descriptor.record, local, remote.into());
                if let Some(descriptor) = self.descriptors.get_mut(&fd) {
                    descriptor.socket = Socket::Connection(id);
                }
                if descriptor.nonblocking { Outcome::Error("EINPROGRESS") } else { Outcome::Block }
            }
            Err(error) => error.into(),
        }
    }

    /// A further `connect` tells how the first one went: once that it succeeded, then that there is a connection.
    fn connect_again(&mut self, fd: i64, id: TcpId) -> Outcome {
        let nonblocking = self.descriptors.get(&fd).is_some_and(|descriptor| descriptor.nonblocking);
        if self.descriptors.get(&fd).is_some_and(|descriptor| descriptor.connected) {
            return Outcome::Error("EISCONN");
        }
        match self.connect_outcome_of(fd, id) {
            Outcome::Block if nonblocking => Outcome::Error("EALREADY"),
            outcome => outcome,
        }
    }

    /// How an open stands.
    pub(super) fn connect_outcome(&mut self, fd: i64) -> Outcome {
        match self.descriptors.get(&fd).map(|descriptor| &descriptor.socket) {
            Some(&Socket::Connection(id)) => self.connect_outcome_of(fd, id),
            _ => BAD_DESCRIPTOR,
        }
    }

    fn connect_outcome_of(&mut self, fd: i64, id: TcpId) -> Outcome {
        let tcp = self.host.stack().tcp();
        if let Some(error) = tcp.take_error(id) {
            return error.into();
        }
        match tcp.info(id).map(|info| info.state) {
            Ok(State::SynSent | State::SynReceived) => Outcome::Block,
            Ok(State::Closed) | Err(_) => Outcome::Error("ECONNABORTED"),
            Ok(_) => {
                if let Some(descriptor) = self.descriptors.get_mut(&fd) {
                    descriptor.connected = true;
                }
                Outcome::Value(0)
            }
        }
    }

    /// The socket's UDP id; one without an address gets a port of the stack's choice.
    pub(super) fn udp(&mut self, fd: i64) -> Result<UdpId, SocketError> {
        let ends = self.records.ends();
        let descriptor = self.descriptors.get_mut(&fd).ok_or(SocketError::NoSocket)?;
        if let Socket::Udp(id) = descriptor.socket {
            return Ok(id);
        }
        let any: IpAddr =
            if ends.local.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let id = self.host.stack().udp_bind(SocketAddr::new(any, 0))?;
        descriptor.socket = Socket::Udp(id);
        let port = self.host.stack().udp().local_addr(id)?.port();
        if let Some(record) = self.records.get_mut(descriptor.record) {
            record.local.port = port;
        }
        Ok(id)
    }

    fn connect_udp(&mut self, fd: i64, remote: SocketAddr) -> Outcome {
        let connected = self.udp(fd).and_then(|id| self.host.stack().udp_connect(id, remote));
        let record = self.descriptors.get(&fd).map(|descriptor| descriptor.record);
        if let (Ok(()), Some(record)) = (connected, record.and_then(|index| self.records.get_mut(index))) {
            record.remote = remote.into();
        }
        connected.map_or_else(Outcome::from, |()| Outcome::Value(0))
    }

    /// `close(fd)`; with `SO_LINGER` it may block, on a non-blocking descriptor, too.
    pub(super) fn close(&mut self, call: &Call) -> Result<Operation, Stop> {
        args::expect(call, 1)?;
        let fd = args::int(call, 0)?;
        self.note_call(fd, Event::Close);
        let Some(descriptor) = self.descriptors.remove(&fd) else {
            return Ok(Operation::Done(BAD_DESCRIPTOR));
        };
        if let Socket::Connection(id) = descriptor.socket {
            return Ok(Operation::Close { id });
        }
        self.give_up(&descriptor);
        Ok(Operation::Done(Outcome::Value(0)))
    }

    /// Whether a close still lingers. Whatever ended it, Linux's `close` succeeds.
    pub(super) fn close_outcome(&mut self, id: TcpId) -> Outcome {
        let now = self.host.now();
        match self.host.stack().tcp_poll_close(id, now) {
            Err(SocketError::WouldBlock) => Outcome::Block,
            _ => Outcome::Value(0),
        }
    }

    /// What `close` does, or the end of the process.
    pub(in crate::scenario) fn give_up(&mut self, descriptor: &Descriptor) {
        let now = self.host.now();
        let stack = self.host.stack();
        match descriptor.socket {
            Socket::Connection(id) => stack.tcp_close(id, now),
            Socket::Listener(id) => stack.tcp_close_listener(id, now),
            Socket::Udp(id) => stack.udp().close(id),
            Socket::Stream | Socket::Datagram => {}
        }
    }

    /// `shutdown(fd, how)`
    pub(super) fn shutdown(&mut self, call: &Call) -> Result<Outcome, Stop> {
        args::expect(call, 2)?;
        let (fd, now) = (args::int(call, 0)?, self.host.now());
        let how = match args::int(call, 1)? {
            0 => Shutdown::Read,
            1 => Shutdown::Write,
            2 => Shutdown::Both,
            _ => return Ok(Outcome::Error("EINVAL")),
        };
        self.note_call(fd, Event::Shutdown);
        let Some(descriptor) = self.descriptors.get(&fd) else { return Ok(BAD_DESCRIPTOR) };
        match descriptor.socket {
            Socket::Connection(id) => Ok(self
                .host
                .stack()
                .tcp()
                .shutdown(id, how, now)
                .map_or_else(Outcome::from, |()| Outcome::Value(0))),
            Socket::Stream => Ok(Outcome::Error("ENOTCONN")),
            Socket::Listener(_) => Ok(self.shutdown_listener(fd, how)),
            Socket::Datagram | Socket::Udp(_) => Err(Stop::skip("shutdown of a UDP socket is not supported")),
        }
    }

    /// As on Linux: a listener has nothing to send, and without reading it does not listen any more; it may again.
    fn shutdown_listener(&mut self, fd: i64, how: Shutdown) -> Outcome {
        if how == Shutdown::Write {
            return Outcome::Value(0);
        }
        let Some(descriptor) = self.descriptors.get(&fd).cloned() else { return BAD_DESCRIPTOR };
        self.give_up(&descriptor);
        if let Some(descriptor) = self.descriptors.get_mut(&fd) {
            descriptor.socket = Socket::Stream;
        }
        Outcome::Value(0)
    }

    /// `fcntl(fd, F_GETFL)`, `fcntl(fd, F_SETFL, flags)`
    pub(super) fn fcntl(&mut self, call: &Call) -> Result<Outcome, Stop> {
        let (fd, command) = (args::int(call, 0)?, args::int(call, 1)?);
        let (flags, count) = match command {
            F_GETFL => (0, 2),
            F_SETFL => (args::int(call, 2)?, 3),
            other => return Err(Stop::skip(format!("fcntl command {other} is not supported"))),
        };
        if call.args.len() > count {
            return Err(Stop::skip(format!("fcntl command {command} with more arguments is not supported")));
        }
        if flags & !(O_RDWR | O_NONBLOCK) != 0 {
            return Err(Stop::skip(format!("descriptor flags {flags:#x} are not supported")));
        }
        let Some(descriptor) = self.descriptors.get_mut(&fd) else { return Ok(BAD_DESCRIPTOR) };
        if command == F_GETFL {
            return Ok(Outcome::Value(O_RDWR | if descriptor.nonblocking { O_NONBLOCK } else { 0 }));
        }
        descriptor.nonblocking = flags & O_NONBLOCK != 0;
        Ok(Outcome::Value(0))
    }

    /// `ioctl(fd, SIOCINQ, [n])`
    pub(super) fn ioctl(&mut self, call: &Call) -> Result<Outcome, Stop> {
        args::expect(call, 3)?;
        let fd = args::int(call, 0)?;
        let Some(descriptor) = self.descriptors.get(&fd) else { return Ok(BAD_DESCRIPTOR) };
        let Socket::Connection(id) = descriptor.socket else {
            return Err(Stop::skip("ioctl is supported on connections only"));
        };
        let (request, tcp) = (args::int(call, 1)?, self.host.stack().tcp());
        let actual = if names::constant("SIOCINQ") == Some(request) {
            tcp.info(id).map(|info| info.receive_queue as i64)
        } else if names::constant("SIOCATMARK") == Some(request) {
            tcp.at_mark(id).map(i64::from)
        } else {
            return Err(Stop::skip("this ioctl is not supported"));
        };
        let expected = args::number(args::single(args::argument(call, 2)?)?)?;
        match actual {
            Ok(actual) if actual == expected => Ok(Outcome::Value(0)),
            Ok(actual) => Err(Stop::fail(format!("ioctl gave {actual}, not {expected}"))),
            Err(error) => Ok(error.into()),
        }
    }
}
