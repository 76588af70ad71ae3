//! What a server asks of a listening socket, so that it runs on `tokio::net` and on our own sockets alike.
//!
//! It says nothing about backlog or socket options: those belong to whoever opens the listener.

use std::future::Future;
use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncWrite};

/// A listening TCP socket.
pub trait Listener: Send + 'static {
    /// One accepted connection.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Waits for the next connection and gives it with the peer's address.
    ///
    /// Dropping the future must not lose a connection.
    ///
    /// # Errors
    /// What the socket reports. Servers wait a moment and try again, since most such errors pass (a peer that reset
    /// before it was accepted, no file descriptor left).
    fn accept(&mut self) -> impl Future<Output = io::Result<(Self::Stream, SocketAddr)>> + Send;

    /// The address listened on.
    ///
    /// # Errors
    /// What the socket reports.
    fn local_addr(&self) -> io::Result<SocketAddr>;
}

impl Listener for tokio::net::TcpListener {
    type Stream = tokio::net::TcpStream;

    async fn accept(&mut self) -> io::Result<(Self::Stream, SocketAddr)> {
        let (stream, peer) = tokio::net::TcpListener::accept(self).await?;
        // Answers are written whole, so waiting for more to send only adds a delayed ACK (RFC 9293 §3.7.4 allows it).
        stream.set_nodelay(true)?;
        Ok((stream, peer))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        tokio::net::TcpListener::local_addr(self)
    }
}
