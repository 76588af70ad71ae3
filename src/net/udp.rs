//! A UDP socket with the face of `tokio::net::UdpSocket`.

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::ReadBuf;
use tokio::net::{ToSocketAddrs, lookup_host};

use super::{Net, first, no_address, resolve};
use crate::base::socket::SocketError;
use crate::driver::shared::Shared;
use crate::driver::wakers::{Direction, READ, Socket, WRITE};
use crate::stack::Stack;
use crate::udp::{Received, UdpId};

/// A UDP socket of a stack. Datagrams above the MTU are sent in fragments and received whole.
///
/// ```no_run
/// # async fn example(net: tidegate::net::Net) -> std::io::Result<()> {
/// let socket = tidegate::net::UdpSocket::bind(&net, "0.0.0.0:7").await?;
/// let mut datagram = vec![0; 65_535];
/// loop {
///     let (len, peer) = socket.recv_from(&mut datagram).await?;
///     socket.send_to(&datagram[..len], peer).await?;
/// }
/// # }
/// ```
#[derive(Debug)]
pub struct UdpSocket {
    shared: Arc<Shared>,
    id: UdpId,
}

impl UdpSocket {
    /// Opens a socket on `addr`; port 0 stands for a free one. `0.0.0.0` is every IPv4 address of the stack, `::` every address.
    ///
    /// # Errors
    /// When the port is taken, the address is not the stack's, or the stack was shut down.
    pub async fn bind(net: &Net, addr: impl ToSocketAddrs) -> io::Result<UdpSocket> {
        first(resolve(addr).await?, |addr| {
            let id = net.shared().call(|stack, _| stack.udp_bind(addr))?;
            Ok(UdpSocket { shared: net.shared().clone(), id })
        })
    }

    /// Fixes the peer: [`UdpSocket::send`] goes there, and nobody else is heard any more.
    ///
    /// # Errors
    /// When the stack has no address of the peer's IP version.
    pub async fn connect(&self, addr: impl ToSocketAddrs) -> io::Result<()> {
        first(resolve(addr).await?, |addr| self.shared.call(|stack, _| stack.udp_connect(self.id, addr)))
    }

    /// The address the socket is bound to.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.shared.look(|stack, _| stack.udp().local_addr(self.id))
    }

    /// The connected peer.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.shared.look(|stack, _| stack.udp().peer_addr(self.id))
    }

    /// True for an address of the stack's own; false for the group that a datagram was sent to ([`Received::to`]).
    pub fn is_own(&self, addr: IpAddr) -> bool {
        self.shared.look(|stack, _| Ok(stack.addresses().is_local(addr))).unwrap_or(false)
    }

    /// The pending error, read and cleared (`SO_ERROR`).
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.shared.look(|stack, _| Ok(stack.udp().take_error(self.id).map(io::Error::from)))
    }

    /// Sends a datagram to `target`, waiting while the device is behind.
    ///
    /// # Errors
    /// A datagram too large for IP, no address of that version, or an earlier error told by ICMP.
    pub async fn send_to(&self, buf: &[u8], target: impl ToSocketAddrs) -> io::Result<usize> {
        let target = lookup_host(target).await?.next().ok_or_else(no_address)?;
        poll_fn(|cx| self.poll_send_to(cx, buf, target)).await
    }

    /// Like [`UdpSocket::send_to`], as a poll function.
    pub fn poll_send_to(
        &self,
        cx: &mut Context<'_>,
        buf: &[u8],
        target: SocketAddr,
    ) -> Poll<io::Result<usize>> {
        self.poll_send_call(cx, |stack| stack.udp_send_to(self.id, buf, target))
    }

    /// Sends a datagram from the stack's address `from`: the `to` of what it answers.
    pub async fn send_from(&self, buf: &[u8], from: IpAddr, target: SocketAddr) -> io::Result<usize> {
        poll_fn(|cx| self.poll_send_call(cx, |stack| stack.udp_send_from(self.id, buf, from, target))).await
    }

    /// Sends several datagrams to `target` in one call, as Linux does with `UDP_SEGMENT`: `buf` is cut into datagrams of
    /// `segment_size` bytes, the last one being what is left. All of them are sent or none; where the device has segmentation offload
    /// they leave as one frame. They come from the stack's address `from`, or from the one that suits the target.
    ///
    /// # Errors
    /// Those of [`UdpSocket::send_to`]; [`io::ErrorKind::InvalidInput`] for a `segment_size` of zero and for more than
    /// [`MAX_SEGMENTS`](crate::udp::MAX_SEGMENTS) datagrams; too large when all together exceed
    /// [`MAX_SEGMENTED`](crate::udp::MAX_SEGMENTED) bytes.
    ///
    /// ```no_run
    /// # async fn example(socket: tidegate::net::UdpSocket, peer: std::net::SocketAddr) -> std::io::Result<()> {
    /// // 10 datagrams of 1,200 bytes and one of 100.
    /// socket.send_segmented(&[7; 12_100], 1_200, None, peer).await?;
    /// let mut buf = vec![0; 65_535];
    /// let received = socket.recv_segmented(&mut buf).await?;
    /// for datagram in buf[..received.len].chunks(received.stride.max(1)) {
    ///     println!("{} bytes from {}", datagram.len(), received.from);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn send_segmented(
        &self,
        buf: &[u8],
        segment_size: usize,
        from: Option<IpAddr>,
        target: SocketAddr,
    ) -> io::Result<usize> {
        poll_fn(|cx| self.poll_send_segmented(cx, buf, segment_size, from, target)).await
    }

    /// Like [`UdpSocket::send_segmented`], as a poll function.
    pub fn poll_send_segmented(
        &self,
        cx: &mut Context<'_>,
        buf: &[u8],
        segment_size: usize,
        from: Option<IpAddr>,
        target: SocketAddr,
    ) -> Poll<io::Result<usize>> {
        self.poll_send_call(cx, |stack| stack.udp_send_segmented(self.id, buf, segment_size, from, target))
    }

    /// Like [`UdpSocket::send_segmented`], without waiting.
    pub fn try_send_segmented(
        &self,
        buf: &[u8],
        segment_size: usize,
        from: Option<IpAddr>,
        target: SocketAddr,
    ) -> io::Result<usize> {
        self.shared.call(|stack, _| stack.udp_send_segmented(self.id, buf, segment_size, from, target))
    }

    /// Sends a datagram without waiting; [`io::ErrorKind::WouldBlock`] while the device is behind.
    pub fn try_send_to(&self, buf: &[u8], target: SocketAddr) -> io::Result<usize> {
        self.shared.call(|stack, _| stack.udp_send_to(self.id, buf, target))
    }

    /// Sends a datagram to the connected peer.
    pub async fn send(&self, buf: &[u8]) -> io::Result<usize> {
        poll_fn(|cx| self.poll_send(cx, buf)).await
    }

    /// Like [`UdpSocket::send`], as a poll function.
    pub fn poll_send(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_send_call(cx, |stack| stack.udp_send(self.id, buf))
    }

    /// Like [`UdpSocket::send`], without waiting.
    pub fn try_send(&self, buf: &[u8]) -> io::Result<usize> {
        self.shared.call(|stack, _| stack.udp_send(self.id, buf))
    }

    /// Waits for a datagram; gives its length, cut to `buf`, and who sent it.
    pub async fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.recv_msg(buf).await.map(|received| (received.len, received.from))
    }

    /// Waits for a datagram; gives also the address of the stack that it was sent to.
    pub async fn recv_msg(&self, buf: &mut [u8]) -> io::Result<Received> {
        poll_fn(|cx| self.poll_recv_call(cx, |stack| stack.udp().recv_from(self.id, buf))).await
    }

    /// Waits for datagrams and takes several in one call, as Linux does with `UDP_GRO`: those of one sender that follow each other
    /// in the queue, equal in size but for the last, which may be shorter, as many as `buf` holds. [`Received::stride`] tells
    /// where each begins. An empty datagram comes alone.
    ///
    /// # Errors
    /// An earlier error told by ICMP, or that the stack was shut down.
    pub async fn recv_segmented(&self, buf: &mut [u8]) -> io::Result<Received> {
        poll_fn(|cx| self.poll_recv_segmented(cx, buf)).await
    }

    /// Like [`UdpSocket::recv_segmented`], as a poll function.
    pub fn poll_recv_segmented(&self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<Received>> {
        self.poll_recv_call(cx, |stack| stack.udp().recv_segmented(self.id, buf))
    }

    /// Like [`UdpSocket::recv_segmented`], without waiting.
    pub fn try_recv_segmented(&self, buf: &mut [u8]) -> io::Result<Received> {
        self.shared.look(|stack, _| stack.udp().recv_segmented(self.id, buf))
    }

    /// Like [`UdpSocket::recv_from`], as a poll function.
    pub fn poll_recv_from(
        &self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<SocketAddr>> {
        let into = buf.initialize_unfilled();
        let received = ready!(self.poll_recv_call(cx, |stack| stack.udp().recv_from(self.id, into)))?;
        buf.advance(received.len);
        Poll::Ready(Ok(received.from))
    }

    /// Like [`UdpSocket::recv_from`], without waiting.
    pub fn try_recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let received = self.shared.look(|stack, _| stack.udp().recv_from(self.id, buf))?;
        Ok((received.len, received.from))
    }

    /// Waits for a datagram from the connected peer.
    pub async fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.peer_addr()?;
        self.recv_msg(buf).await.map(|received| received.len)
    }

    /// Like [`UdpSocket::recv`], as a poll function.
    pub fn poll_recv(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.peer_addr()?;
        self.poll_recv_from(cx, buf).map_ok(drop)
    }

    /// Like [`UdpSocket::recv`], without waiting.
    pub fn try_recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.peer_addr()?;
        self.try_recv_from(buf).map(|(len, _)| len)
    }

    /// Waits for a datagram and leaves it in the queue.
    pub async fn peek_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let peek = |stack: &mut Stack, buf: &mut [u8]| stack.udp().peek_from(self.id, buf);
        let received = poll_fn(|cx| self.poll_recv_call(cx, |stack| peek(stack, buf))).await?;
        Ok((received.len, received.from))
    }

    /// Waits until a datagram or an error is there.
    pub async fn readable(&self) -> io::Result<()> {
        poll_fn(|cx| self.poll_recv_call(cx, |stack| ready_for(stack, self.id, Direction::Read))).await
    }

    /// Waits until there is room to send.
    pub async fn writable(&self) -> io::Result<()> {
        let call = |stack: &mut Stack, _| ready_for(stack, self.id, Direction::Write);
        poll_fn(|cx| self.shared.poll_look(cx, (Socket::Udp(self.id), Direction::Write), call)).await
    }

    fn poll_send_call<R>(
        &self,
        cx: &mut Context<'_>,
        call: impl FnOnce(&mut Stack) -> Result<R, SocketError>,
    ) -> Poll<io::Result<R>> {
        self.shared.poll_call(cx, (Socket::Udp(self.id), Direction::Write), |stack, _| call(stack))
    }

    /// Receiving brings nothing to send, so nobody is told of it.
    fn poll_recv_call<R>(
        &self,
        cx: &mut Context<'_>,
        call: impl FnOnce(&mut Stack) -> Result<R, SocketError>,
    ) -> Poll<io::Result<R>> {
        self.shared.poll_look(cx, (Socket::Udp(self.id), Direction::Read), |stack, _| call(stack))
    }
}

impl Drop for UdpSocket {
    fn drop(&mut self) {
        self.shared.give_up(Socket::Udp(self.id), |stack, _| stack.udp().close(self.id));
    }
}

fn ready_for(stack: &mut Stack, id: UdpId, direction: Direction) -> Result<(), SocketError> {
    let bits = match direction {
        Direction::Read => READ,
        Direction::Write => WRITE,
    };
    if stack.udp().readiness(id).any(bits) { Ok(()) } else { Err(SocketError::WouldBlock) }
}
