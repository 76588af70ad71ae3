//! What the applications ask of sockets, answered by this stack's own: see [`Listener`] and [`Datagrams`].

use std::io;
use std::net::SocketAddr;

use super::Listener;
use super::udp_echo::Datagrams;
use crate::net::{TcpListener, TcpStream, UdpSocket};

impl Listener for TcpListener {
    type Stream = TcpStream;

    async fn accept(&mut self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, peer) = TcpListener::accept(self).await?;
        // Answers are written whole, so there is nothing to wait for (RFC 9293 §3.7.4). A connection that is reset already
        // tells so when it is read.
        let _ = stream.set_nodelay(true);
        Ok((stream, peer))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        TcpListener::local_addr(self)
    }
}

impl Datagrams for UdpSocket {
    async fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        loop {
            let received = self.recv_msg(buf).await?;
            // Who sends to a group in a victim's name would have every host of the subnet answer the victim (hostile case M13).
            if self.is_own(received.to) {
                return Ok((received.len, received.from));
            }
        }
    }

    async fn send_to(&self, payload: &[u8], to: SocketAddr) -> io::Result<usize> {
        UdpSocket::send_to(self, payload, to).await
    }
}
