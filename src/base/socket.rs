//! What sockets of every protocol share: how they are named, what they are ready for, and how their calls fail.

use std::io;
use std::ops::{BitOr, BitOrAssign};

/// Names one socket of one stack. The generation makes a stale handle name nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Handle {
    /// Place in the protocol's table.
    pub index: u32,
    /// How often the place was used before.
    pub generation: u32,
}

/// What a socket is ready for: the bits of `poll(2)`.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Readiness(pub u8);

impl Readiness {
    /// Nothing.
    pub const NONE: Readiness = Readiness(0);
    /// `POLLIN`: data, an end of file, an error or a connection to accept waits.
    pub const IN: Readiness = Readiness(1);
    /// `POLLOUT`: the send buffer has room, or writing would fail at once.
    pub const OUT: Readiness = Readiness(2);
    /// `POLLPRI`: urgent data waits.
    pub const PRI: Readiness = Readiness(4);
    /// `POLLRDHUP`: the peer has closed its direction.
    pub const RDHUP: Readiness = Readiness(8);
    /// `POLLHUP`: both directions are closed.
    pub const HUP: Readiness = Readiness(16);
    /// `POLLERR`: an error is pending.
    pub const ERR: Readiness = Readiness(32);

    /// True if every bit of `other` is set.
    pub const fn has(self, other: Readiness) -> bool {
        self.0 & other.0 == other.0
    }

    /// True if any bit of `other` is set.
    pub const fn any(self, other: Readiness) -> bool {
        self.0 & other.0 != 0
    }
}

impl BitOr for Readiness {
    type Output = Readiness;

    fn bitor(self, other: Readiness) -> Readiness {
        Readiness(self.0 | other.0)
    }
}

impl BitOrAssign for Readiness {
    fn bitor_assign(&mut self, other: Readiness) {
        self.0 |= other.0;
    }
}

/// Why a socket call failed: the `errno` it would be, in words.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, thiserror::Error)]
pub enum SocketError {
    /// `EAGAIN`: try again when the socket is ready.
    #[error("the call would block")]
    WouldBlock,
    /// `EBADF`: the handle names no socket.
    #[error("no such socket")]
    NoSocket,
    /// `EACCES`: ICMPv6 says that the destination is prohibited.
    #[error("permission denied")]
    Access,
    /// `ENOPROTOOPT`: ICMP says that the host does not speak the protocol.
    #[error("no such protocol")]
    ProtocolOption,
    /// `EINVAL`: an argument that cannot be.
    #[error("invalid argument")]
    Invalid,
    /// `EADDRINUSE`: another socket has the address and port.
    #[error("address in use")]
    AddrInUse,
    /// `EADDRNOTAVAIL`: not an address of this stack, or no free port.
    #[error("address not available")]
    AddrNotAvailable,
    /// `ENOTCONN`: the connection is not (or no longer) there.
    #[error("not connected")]
    NotConnected,
    /// `EPIPE`: writing after this side was shut down.
    #[error("broken pipe")]
    BrokenPipe,
    /// `ECONNREFUSED`: the peer answered the open with a reset, or a port is closed.
    #[error("connection refused")]
    ConnectionRefused,
    /// `ECONNRESET`: the peer reset the connection.
    #[error("connection reset by peer")]
    ConnectionReset,
    /// `ECONNABORTED`: this side aborted the connection.
    #[error("connection aborted")]
    ConnectionAborted,
    /// `ETIMEDOUT`: nothing was acknowledged for too long.
    #[error("connection timed out")]
    TimedOut,
    /// `EHOSTUNREACH`: ICMP says that the host cannot be reached.
    #[error("host unreachable")]
    HostUnreachable,
    /// `ENETUNREACH`: no address of that IP version, or ICMP says that the network cannot be reached.
    #[error("network unreachable")]
    NetworkUnreachable,
    /// `EPROTO`: ICMP says that a header of ours makes no sense.
    #[error("protocol error")]
    Protocol,
    /// `EMSGSIZE`: a datagram larger than can be sent.
    #[error("message too long")]
    MessageTooLong,
    /// `ENOBUFS`: a limit of the stack is reached.
    #[error("no buffer space")]
    NoBuffers,
}

impl SocketError {
    /// The name of the `errno`.
    pub const fn name(self) -> &'static str {
        match self {
            SocketError::WouldBlock => "EAGAIN",
            SocketError::NoSocket => "EBADF",
            SocketError::Access => "EACCES",
            SocketError::ProtocolOption => "ENOPROTOOPT",
            SocketError::Invalid => "EINVAL",
            SocketError::AddrInUse => "EADDRINUSE",
            SocketError::AddrNotAvailable => "EADDRNOTAVAIL",
            SocketError::NotConnected => "ENOTCONN",
            SocketError::BrokenPipe => "EPIPE",
            SocketError::ConnectionRefused => "ECONNREFUSED",
            SocketError::ConnectionReset => "ECONNRESET",
            SocketError::ConnectionAborted => "ECONNABORTED",
            SocketError::TimedOut => "ETIMEDOUT",
            SocketError::HostUnreachable => "EHOSTUNREACH",
            SocketError::NetworkUnreachable => "ENETUNREACH",
            SocketError::Protocol => "EPROTO",
            SocketError::MessageTooLong => "EMSGSIZE",
            SocketError::NoBuffers => "ENOBUFS",
        }
    }
}

impl From<SocketError> for io::Error {
    fn from(error: SocketError) -> io::Error {
        use io::ErrorKind as Kind;
        let kind = match error {
            SocketError::WouldBlock => Kind::WouldBlock,
            SocketError::NoSocket => Kind::NotFound,
            SocketError::Access => Kind::PermissionDenied,
            SocketError::ProtocolOption => Kind::Unsupported,
            SocketError::Invalid => Kind::InvalidInput,
            SocketError::AddrInUse => Kind::AddrInUse,
            SocketError::AddrNotAvailable => Kind::AddrNotAvailable,
            SocketError::NotConnected => Kind::NotConnected,
            SocketError::BrokenPipe => Kind::BrokenPipe,
            SocketError::ConnectionRefused => Kind::ConnectionRefused,
            SocketError::ConnectionReset => Kind::ConnectionReset,
            SocketError::ConnectionAborted => Kind::ConnectionAborted,
            SocketError::TimedOut => Kind::TimedOut,
            SocketError::HostUnreachable => Kind::HostUnreachable,
            SocketError::NetworkUnreachable => Kind::NetworkUnreachable,
            SocketError::Protocol => Kind::InvalidData,
            SocketError::MessageTooLong => Kind::InvalidInput,
            SocketError::NoBuffers => Kind::OutOfMemory,
        };
        io::Error::new(kind, error)
    }
}
