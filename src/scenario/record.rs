//! The connection under test, and which packets are its own.
//!
//! One record is current. Packets written with explicit ports may make further ones beside it, each with its own numbers, so that a
//! script can have several connections.

use std::net::IpAddr;

use super::numbers::Numbers;
use super::script::Ports;
use super::view::View;
use crate::wire::ip::{Endpoint, protocol};
use crate::wire::tcp::Flags;

/// The first remote port of passive connections.
const FIRST_REMOTE_PORT: u16 = 40_001;

/// How far a record's socket has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Made by `socket()`, neither listening nor connecting.
    Socket,
    /// `listen()` was called; the next packet in opens a passive record.
    Listening,
    /// `connect()` was called.
    Connecting,
    /// Made by a packet in.
    Passive,
}

/// One connection, or flow of datagrams.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub kind: Kind,
    /// TCP or UDP.
    pub protocol: u8,
    /// The stack's end; port 0 while it is not known.
    pub local: Endpoint,
    /// The other end; port 0 while it is not known.
    pub remote: Endpoint,
    /// Sequence numbers and timestamps.
    pub numbers: Numbers,
    /// Made by a packet with explicit ports.
    explicit: bool,
    /// Bytes the application has written to it.
    pub written: u64,
}

impl Record {
    fn has_ports(&self, local: u16, remote: u16) -> bool {
        (self.local.port, self.remote.port) == (local, remote)
    }
}

/// Where the scripts' two ends are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ends {
    pub local: IpAddr,
    pub remote: IpAddr,
    /// The port that `bind` stands for.
    pub bind_port: u16,
    /// The port that `connect` stands for.
    pub connect_port: u16,
}

/// All records of a script.
#[derive(Debug)]
pub(super) struct Records {
    ends: Ends,
    all: Vec<Record>,
    current: Option<usize>,
    next_port: u16,
}

impl Records {
    pub(super) fn new(ends: Ends) -> Self {
        Records { ends, all: Vec::new(), current: None, next_port: FIRST_REMOTE_PORT }
    }

    pub(super) fn ends(&self) -> Ends {
        self.ends
    }

    pub(super) fn current(&self) -> Option<&Record> {
        self.current.and_then(|index| self.all.get(index))
    }

    pub(super) fn current_index(&self) -> Option<usize> {
        self.current
    }

    pub(super) fn get(&self, index: usize) -> Option<&Record> {
        self.all.get(index)
    }

    pub(super) fn get_mut(&mut self, index: usize) -> Option<&mut Record> {
        self.all.get_mut(index)
    }

    /// The latest record of these two ends.
    pub(super) fn find(&self, local: Endpoint, remote: Endpoint) -> Option<usize> {
        self.all.iter().rposition(|record| (record.local, record.remote) == (local, remote))
    }

    /// `socket()`: a new current record.
    pub(super) fn socket(&mut self, protocol: u8) -> usize {
        self.push(Kind::Socket, protocol, 0, 0)
    }

    /// `listen()` on the current record's socket, or (after another `socket()`) on one without a record of its own.
    pub(super) fn listening(&mut self, index: usize, port: u16) {
        // If packets came before the stack listens, the record they made stays current.
        if let Some(record) = self.all.get_mut(index) {
            record.kind = Kind::Listening;
            record.local.port = port;
        }
    }

    /// `connect()`: the record is the current one, and waits for the stack's SYN to tell its port.
    pub(super) fn connecting(&mut self, index: usize, local: Endpoint, remote: Endpoint) {
        self.current = Some(index);
        if let Some(record) = self.all.get_mut(index) {
            *record = Record {
                kind: Kind::Connecting,
                local,
                remote,
                numbers: Numbers::default(),
                ..record.clone()
            };
        }
    }

    /// The record that a packet in belongs to; made where the current one cannot take it. `seq` is the remote side's first
    /// number.
    pub(super) fn inbound(&mut self, protocol: u8, ports: Option<Ports>, seq: u32, syn: bool) -> usize {
        if let Some(Ports { src, dst }) = ports {
            let found = self.all.iter().position(|r| r.protocol == protocol && r.has_ports(dst, src));
            return match (found, self.current.filter(|_| !syn)) {
                (Some(index), _) => index,
                (None, Some(index)) if self.all[index].protocol == protocol => index,
                (None, _) => self.beside(protocol, dst, src, seq),
            };
        }
        let taken = self.current.filter(|&index| self.all[index].protocol == protocol);
        let open = |index: &usize| matches!(self.all[*index].kind, Kind::Connecting | Kind::Passive);
        match taken {
            Some(index) if protocol == protocol::UDP => {
                if self.all[index].remote.port == 0 {
                    self.all[index].remote.port = self.fresh_port();
                }
                index
            }
            Some(index) if open(&index) => index,
            _ => {
                let (local, remote) = (self.ends.bind_port, self.fresh_port());
                let index = self.push(Kind::Passive, protocol, local, remote);
                self.all[index].numbers = Numbers::from_remote(seq);
                index
            }
        }
    }

    fn beside(&mut self, protocol: u8, local: u16, remote: u16, seq: u32) -> usize {
        let current = self.current;
        let index = self.push(Kind::Passive, protocol, local, remote);
        self.current = current;
        self.all[index].numbers = Numbers::from_remote(seq);
        self.all[index].explicit = true;
        index
    }

    /// Learns from a packet the stack sent: the numbers and port of its SYN.
    pub(super) fn learn(&mut self, view: &View<'_>) {
        let Some(tcp) = view.tcp().filter(|tcp| Flags(tcp.flags()).has(Flags::SYN)) else { return };
        let (local, remote) = (tcp.src_port(), tcp.dst_port());
        let connecting = self.current.filter(|&index| {
            let record = &self.all[index];
            record.kind == Kind::Connecting && record.local.port == 0 && record.remote.port == remote
        });
        let known =
            || self.all.iter().rposition(|r| r.protocol == protocol::TCP && r.has_ports(local, remote));
        let Some(record) = connecting.or_else(known).and_then(|index| self.all.get_mut(index)) else {
            return;
        };
        record.local.port = local;
        record.numbers.local_isn.get_or_insert(tcp.seq());
    }

    /// The record of a packet the stack sent, as an event with these explicit ports sees it: the current one's, or the one that
    /// has the ports. `None`: not this event's.
    pub(super) fn owner(&self, view: &View<'_>, ports: Option<Ports>) -> Option<usize> {
        if view.dst() != self.ends.remote || view.src() != self.ends.local {
            return None;
        }
        let (src, dst, number) = match (view.tcp(), view.udp()) {
            (Some(tcp), _) => (tcp.src_port(), tcp.dst_port(), protocol::TCP),
            (None, Some((src, dst, _))) => (src, dst, protocol::UDP),
            // ICMP answers have no ports.
            (None, None) => return view.icmp().map(|_| self.current.unwrap_or(usize::MAX)),
        };
        let by_ports =
            || self.all.iter().rposition(|r| r.explicit && r.protocol == number && r.has_ports(src, dst));
        match ports {
            Some(ports) => {
                ((ports.src, ports.dst) == (src, dst)).then(|| by_ports().or(self.current)).flatten()
            }
            None => self.current.filter(|&index| {
                let record = &self.all[index];
                let fits = |known: u16, port: u16| known == port || (known == 0 && number == protocol::UDP);
                record.protocol == number && fits(record.local.port, src) && fits(record.remote.port, dst)
            }),
        }
    }

    /// The latest record of the ends that a packet of the stack names, current or not.
    pub(super) fn of_packet(&self, view: &View<'_>) -> Option<usize> {
        let (src, dst) = match (view.tcp(), view.udp()) {
            (Some(tcp), _) => (tcp.src_port(), tcp.dst_port()),
            (None, udp) => udp.map(|(src, dst, _)| (src, dst))?,
        };
        self.find(Endpoint::new(view.src(), src), Endpoint::new(view.dst(), dst))
    }

    /// True for a packet of a record beside the current one: an event with explicit ports may still ask for it.
    pub(super) fn is_beside(&self, view: &View<'_>) -> bool {
        let Some(tcp) = view.tcp() else { return false };
        self.all.iter().any(|record| record.explicit && record.has_ports(tcp.src_port(), tcp.dst_port()))
    }

    fn push(&mut self, kind: Kind, protocol: u8, local: u16, remote: u16) -> usize {
        self.all.push(Record {
            kind,
            protocol,
            local: Endpoint::new(self.ends.local, local),
            remote: Endpoint::new(self.ends.remote, remote),
            numbers: Numbers::default(),
            explicit: false,
            written: 0,
        });
        self.current = Some(self.all.len() - 1);
        self.all.len() - 1
    }

    fn fresh_port(&mut self) -> u16 {
        let port = self.next_port;
        self.next_port = self.next_port.checked_add(1).unwrap_or(FIRST_REMOTE_PORT);
        port
    }
}
