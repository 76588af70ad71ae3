//! Sockets in the shape of `tokio::net`: [`TcpSocket`], [`TcpListener`], [`TcpStream`] and its halves, [`UdpSocket`], and [`Ping`], which tokio
//! does not have; over a stack in this process.
//!
//! They are `Send`, `Sync` and `Unpin`, and implement tokio's traits, so that hyper, axum and the rest use them unchanged. No
//! socket has a task, a channel or a lock of its own.

mod connection;
mod head;
mod listener;
mod options;
mod ping;
mod socket;
mod split;
mod stream;
mod udp;

pub use listener::{DEFAULT_BACKLOG, TcpListener};
pub use ping::{Ping, PingEvent};
pub use socket::TcpSocket;
pub use split::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, ReuniteError, WriteHalf};
pub use stream::TcpStream;
pub use udp::UdpSocket;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::{ToSocketAddrs, lookup_host};

use crate::device::Device;
use crate::driver::shared::{Shared, Snapshot};
use crate::driver::{Driver, DriverConfig};
use crate::stack::{Stack, StackConfig};

/// A running stack, as sockets are opened on it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Net {
    shared: Arc<Shared>,
}

impl Net {
    /// Starts a stack over `device` on the current tokio runtime, with a seed from the system.
    ///
    /// # Errors
    /// A configuration that cannot be, or what the system says when it refuses random bytes, a timer, or to watch the device.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start<D>(config: StackConfig, device: D) -> io::Result<(Net, Driver)>
    where
        D: Device + Send + 'static,
    {
        Net::start_with(config, device, DriverConfig::default())
    }

    /// [`Net::start`] with a driver that is not the default one.
    ///
    /// # Errors
    /// As [`Net::start`].
    ///
    /// # Panics
    /// As [`Net::start`].
    pub fn start_with<D>(config: StackConfig, device: D, driver: DriverConfig) -> io::Result<(Net, Driver)>
    where
        D: Device + Send + 'static,
    {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(io::Error::other)?;
        let invalid = |error| io::Error::new(io::ErrorKind::InvalidInput, error);
        let stack = Stack::new(config, device.capabilities(), seed).map_err(invalid)?;
        let driver = Driver::spawn(stack, device, driver)?;
        Ok((Net::new(driver.shared().clone()), driver))
    }

    /// Sockets of a stack that somebody else runs: see [`Shared`] for what that takes.
    pub fn new(shared: Arc<Shared>) -> Net {
        Net { shared }
    }

    /// The stack, as sockets and its runner share it.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Everything counted so far.
    pub fn counters(&self) -> Snapshot {
        self.shared.snapshot()
    }
}

fn no_address() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "the name has no address")
}

/// Resolves `addr` as tokio does, by the system's resolver.
async fn resolve(addr: impl ToSocketAddrs) -> io::Result<Vec<SocketAddr>> {
    Ok(lookup_host(addr).await?.collect())
}

/// The first success of `open`, or else the last error.
fn first<R>(addrs: Vec<SocketAddr>, mut open: impl FnMut(SocketAddr) -> io::Result<R>) -> io::Result<R> {
    let mut result = Err(no_address());
    for addr in addrs {
        result = open(addr);
        if result.is_ok() {
            break;
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What axum, hyper and `tokio::spawn` ask of a socket.
    #[test]
    fn sockets_are_send_sync_and_unpin() {
        fn check<T: Send + Sync + Unpin + 'static>() {}
        check::<Net>();
        check::<Driver>();
        check::<TcpListener>();
        check::<TcpStream>();
        check::<OwnedReadHalf>();
        check::<OwnedWriteHalf>();
        check::<UdpSocket>();
        check::<Ping>();
    }
}
