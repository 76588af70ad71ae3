//! A socket that sends echo requests (RFC 792, RFC 4443) and receives what comes back. tokio has none to resemble.

use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use super::Net;
use crate::driver::shared::Shared;
use crate::driver::wakers::{Direction, Socket};
use crate::icmp::PingId;

pub use crate::icmp::ping::PingEvent;

/// A socket for echo requests to one host.
///
/// ```no_run
/// # async fn example(net: tidegate::net::Net) -> std::io::Result<()> {
/// use tidegate::net::{Ping, PingEvent};
///
/// let ping = Ping::open(&net, "10.77.0.1".parse().unwrap())?;
/// ping.send(1, b"are you there?")?;
/// if let PingEvent::Reply { from, seq, .. } = ping.recv().await? {
///     println!("{from} answered request {seq}");
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Ping {
    shared: Arc<Shared>,
    id: PingId,
}

impl Ping {
    /// Opens a socket towards `host`.
    ///
    /// # Errors
    /// When the stack has no address of that IP version, too many such sockets are open, or the stack was shut down.
    pub fn open(net: &Net, host: IpAddr) -> io::Result<Ping> {
        let id = net.shared().call(|stack, _| stack.ping_open(host))?;
        Ok(Ping { shared: net.shared().clone(), id })
    }

    /// Sends an echo request with a sequence number of the caller's choice.
    ///
    /// # Errors
    /// Data too large for IP; [`io::ErrorKind::WouldBlock`] while the device is behind.
    pub fn send(&self, seq: u16, data: &[u8]) -> io::Result<()> {
        self.shared.call(|stack, _| stack.ping_send(self.id, seq, data))
    }

    /// Waits for the next reply, or for an ICMP error about a request.
    ///
    /// # Errors
    /// Only that the stack was shut down or lost its device.
    pub async fn recv(&self) -> io::Result<PingEvent> {
        let waits = (Socket::Ping(self.id), Direction::Read);
        poll_fn(|cx| self.shared.poll_look(cx, waits, |stack, _| stack.pings().recv(self.id))).await
    }
}

impl Drop for Ping {
    fn drop(&mut self) {
        self.shared.give_up(Socket::Ping(self.id), |stack, _| stack.pings().close(self.id));
    }
}
