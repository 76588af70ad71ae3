//! A listening TCP socket with the face of `tokio::net::TcpListener`.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::net::ToSocketAddrs;

use super::connection::Connection;
use super::stream::TcpStream;
use super::{Net, first, resolve};
use crate::driver::shared::Shared;
use crate::driver::wakers::{Direction, Socket};
use crate::stack::Stack;
use crate::tcp::ListenerId;
use crate::tcp::options::SocketOptions;

/// Established connections that wait for accept, if [`TcpListener::bind`] is not told otherwise: tokio's number.
pub const DEFAULT_BACKLOG: usize = 1024;

/// A TCP socket that waits for connections. Dropped, it stops listening; what nobody accepted is reset.
///
/// ```no_run
/// # async fn example(net: tidegate::net::Net) -> std::io::Result<()> {
/// let listener = tidegate::net::TcpListener::bind(&net, "0.0.0.0:7").await?;
/// loop {
///     let (mut stream, peer) = listener.accept().await?;
///     println!("{peer} is here");
///     tokio::spawn(async move {
///         let (mut reader, mut writer) = stream.split();
///         tokio::io::copy(&mut reader, &mut writer).await
///     });
/// }
/// # }
/// ```
#[derive(Debug)]
pub struct TcpListener {
    shared: Arc<Shared>,
    id: ListenerId,
}

impl TcpListener {
    /// Listens on `addr`. An unspecified address means every address of the stack.
    ///
    /// # Errors
    /// When the port is taken, the address is not the stack's, or the stack was shut down.
    pub async fn bind(net: &Net, addr: impl ToSocketAddrs) -> io::Result<TcpListener> {
        first(resolve(addr).await?, |addr| TcpListener::listen(net, addr, DEFAULT_BACKLOG))
    }

    /// Listens on one address, where at most `backlog` established connections wait for [`TcpListener::accept`]. Errors as
    /// [`TcpListener::bind`].
    pub fn listen(net: &Net, addr: SocketAddr, backlog: usize) -> io::Result<TcpListener> {
        let options = net.shared().look(|stack, _| Ok(stack.tcp().default_options().clone()))?;
        TcpListener::listen_with(net, addr, backlog, &options)
    }

    pub(super) fn listen_with(
        net: &Net,
        addr: SocketAddr,
        backlog: usize,
        options: &SocketOptions,
    ) -> io::Result<TcpListener> {
        let id = net.shared().call(|stack, _| stack.tcp_listen_with(addr, backlog, options))?;
        Ok(TcpListener { shared: net.shared().clone(), id })
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    pub(super) fn id(&self) -> ListenerId {
        self.id
    }

    /// Waits for the next connection. Cancelling the wait loses none.
    ///
    /// # Errors
    /// Only that the stack was shut down or lost its device.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        poll_fn(|cx| self.poll_accept(cx)).await
    }

    /// Like [`TcpListener::accept`], as a poll function.
    pub fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        let accept = |stack: &mut Stack, _| stack.tcp().accept(self.id);
        let accepted = self.shared.poll_call(cx, (Socket::Listener(self.id), Direction::Read), accept);
        let (id, peer) = ready!(accepted)?;
        Poll::Ready(Ok((TcpStream::new(Connection::new(self.shared.clone(), id)), peer)))
    }

    /// The address listened on.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.shared.look(|stack, _| stack.tcp().listener_addr(self.id))
    }
}

impl Drop for TcpListener {
    fn drop(&mut self) {
        self.shared.give_up(Socket::Listener(self.id), |stack, now| stack.tcp_close_listener(self.id, now));
    }
}

impl axum::serve::Listener for TcpListener {
    type Io = TcpStream;
    type Addr = SocketAddr;

    /// A stack that was shut down brings no connection any more.
    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        match TcpListener::accept(self).await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "no longer accepting connections");
                std::future::pending().await
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        TcpListener::local_addr(self)
    }
}
