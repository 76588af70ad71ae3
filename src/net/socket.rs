//! A socket that is neither connected nor listening yet, in the shape of `tokio::net::TcpSocket`: for options that count when a
//! connection is opened, and for a local address.

use std::io;
use std::net::SocketAddr;

use super::Net;
use super::listener::TcpListener;
use super::stream::TcpStream;
use crate::tcp::options::SocketOptions;

/// A TCP socket before it connects or listens.
///
/// ```no_run
/// # async fn example(net: tidegate::net::Net) -> std::io::Result<()> {
/// let mut socket = tidegate::net::TcpSocket::new(&net)?;
/// socket.bind("10.77.0.2:4000".parse().unwrap());
/// socket.options().max_mss = Some(1_200);
/// socket.options().traffic_class = 0xb8;
/// let stream = socket.connect("10.77.0.1:80".parse().unwrap()).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct TcpSocket {
    net: Net,
    local: Option<SocketAddr>,
    options: SocketOptions,
}

impl TcpSocket {
    /// A socket with the stack's default options.
    ///
    /// # Errors
    /// Only that the stack was shut down or lost its device.
    pub fn new(net: &Net) -> io::Result<TcpSocket> {
        let options = net.shared().look(|stack, _| Ok(stack.tcp().default_options().clone()))?;
        Ok(TcpSocket { net: net.clone(), local: None, options })
    }

    /// The options, to be read and changed.
    pub fn options(&mut self) -> &mut SocketOptions {
        &mut self.options
    }

    /// Chooses the local address (RFC 9293 §3.9.1.1, MUST-43). Port 0 lets the stack choose one for a connection. Whether the
    /// address can be had shows when the socket connects or listens.
    pub fn bind(&mut self, local: SocketAddr) {
        self.local = Some(local);
    }

    /// Opens a connection; the socket becomes a stream.
    ///
    /// # Errors
    /// As [`TcpStream::connect`], and for options that cannot be or a local address that is taken or not the stack's.
    pub async fn connect(self, remote: SocketAddr) -> io::Result<TcpStream> {
        TcpStream::connect_with(&self.net, self.local, remote, &self.options).await
    }

    /// Listens, where at most `backlog` established connections wait; the socket becomes a listener, and its options those of
    /// the listener's connections.
    ///
    /// # Errors
    /// As [`TcpListener::bind`], and [`io::ErrorKind::InvalidInput`] without a local port or for options that cannot be.
    pub fn listen(self, backlog: usize) -> io::Result<TcpListener> {
        let local = self.local.ok_or(io::ErrorKind::InvalidInput)?;
        TcpListener::listen_with(&self.net, local, backlog, &self.options)
    }
}
