//! Descriptors: the script's numbers for sockets, and what stands behind them.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::tcp::options::SocketOptions;
use crate::tcp::{ListenerId, TcpId};
use crate::udp::UdpId;

/// What a descriptor names.
#[derive(Clone, Debug)]
pub(in crate::scenario) enum Socket {
    /// A TCP socket that neither listens nor connects.
    Stream,
    /// A listening socket.
    Listener(ListenerId),
    /// A connection, or an attempt at one.
    Connection(TcpId),
    /// A UDP socket that has no address yet.
    Datagram,
    /// A UDP socket.
    Udp(UdpId),
}

/// A descriptor.
#[derive(Clone, Debug)]
pub(in crate::scenario) struct Descriptor {
    pub socket: Socket,
    /// `O_NONBLOCK`.
    pub nonblocking: bool,
    /// Where `bind` put it.
    pub bound: Option<SocketAddr>,
    /// The record it belongs to.
    pub record: usize,
    /// Bytes written to its stream.
    pub sent: u64,
    /// Bytes read from its stream.
    pub received: u64,
    /// `connect` has been told of its success.
    pub connected: bool,
    /// Options of a socket that is not open yet, once one was set.
    pub options: Option<SocketOptions>,
    /// Values that are given back as they were set.
    pub stored: BTreeMap<&'static str, i64>,
}

impl Descriptor {
    pub(super) fn new(socket: Socket, record: usize) -> Self {
        Descriptor {
            socket,
            nonblocking: false,
            bound: None,
            record,
            sent: 0,
            received: 0,
            connected: false,
            options: None,
            stored: BTreeMap::new(),
        }
    }
}

/// All open descriptors, in the order of their numbers.
pub(in crate::scenario) type Descriptors = BTreeMap<i64, Descriptor>;
