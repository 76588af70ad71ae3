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

use crate::base::share::Share;
use crate::device::{Capabilities, Device};
use crate::driver::clock::Clock;
use crate::driver::shared::{Shared, Snapshot};
use crate::driver::{Driver, DriverConfig};
use crate::stack::{Stack, StackConfig};
use crate::tcp::config::TcpConfig;

/// As many queues as a TUN device can have.
const MAX_SHARDS: u16 = 256;

/// A stack of one's own for each queue of a device: see [`Net::shards`].
#[derive(Debug)]
pub struct Shard {
    shared: Arc<Shared>,
    peers: Vec<Arc<Shared>>,
}

impl Shard {
    /// Starts this shard over its queue on the current tokio runtime: that of its thread, where its sockets are used.
    ///
    /// # Errors
    /// What the system says when it refuses a timer, or to watch the device.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start<D>(self, device: D, driver: DriverConfig) -> io::Result<(Net, Driver)>
    where
        D: Device + Send + 'static,
    {
        let driver = Driver::run(self.shared, self.peers, device, driver)?;
        Ok((Net::new(driver.shared().clone()), driver))
    }
}

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
        let driver = Driver::spawn(seeded(config, device.capabilities())?, device, driver)?;
        Ok((Net::new(driver.shared().clone()), driver))
    }

    /// One stack for each of `count` queues of a device, all with the same addresses, to be run by a thread each. The host keeps a flow
    /// on one queue, so each shard works alone: connections of a listener are those whose flows came to its queue, which is why a service
    /// listens in every shard. What strays to another queue is passed on between them. The limit of memory is divided among them, and
    /// so are the ports that nobody named.
    ///
    /// ```no_run
    /// use tidegate::device::{Device, tun::Tun};
    /// use tidegate::net::{Net, Shard, TcpListener};
    ///
    /// async fn serve(shard: Shard, queue: Tun) -> std::io::Result<()> {
    ///     let (net, _driver) = shard.start(queue, Default::default())?;
    ///     let listener = TcpListener::bind(&net, "0.0.0.0:80").await?;
    ///     loop {
    ///         let (stream, _) = listener.accept().await?;
    ///         // A task of this thread.
    ///         tokio::spawn(async move { drop(stream) });
    ///     }
    /// }
    /// # fn example(config: tidegate::stack::StackConfig) -> Result<(), Box<dyn std::error::Error>> {
    /// let first = Tun::open_queues("tide0", true)?;
    /// let queues = vec![first.another_queue()?, first];
    /// let shards = Net::shards(config, queues[0].capabilities(), queues.len())?;
    /// for (shard, queue) in shards.into_iter().zip(queues) {
    ///     let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    ///     std::thread::spawn(move || runtime.block_on(serve(shard, queue)));
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// A configuration that cannot be, no shard at all or more than 256, or that the system refuses random bytes.
    pub fn shards(config: StackConfig, capabilities: Capabilities, count: usize) -> io::Result<Vec<Shard>> {
        let of = u16::try_from(count).ok().filter(|of| (1..=MAX_SHARDS).contains(of));
        let of =
            of.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "there are 1 to 256 shards"))?;
        let limit = config.tcp.memory_limit / count;
        let config = StackConfig { tcp: TcpConfig { memory_limit: limit, ..config.tcp }, ..config };
        let mut shared = Vec::new();
        for part in 0..of {
            let mut stack = seeded(config.clone(), capabilities)?;
            stack.set_share(Share::new(part, of));
            shared.push(Shared::new(stack, Clock::Monotonic));
        }
        let but =
            |own: &Arc<Shared>| shared.iter().filter(|other| !Arc::ptr_eq(own, other)).cloned().collect();
        Ok(shared.iter().map(|own| Shard { shared: own.clone(), peers: but(own) }).collect())
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

/// A stack with a seed from the system.
fn seeded(config: StackConfig, capabilities: Capabilities) -> io::Result<Stack> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(io::Error::other)?;
    Stack::new(config, capabilities, seed).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))
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
