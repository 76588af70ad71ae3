//! What the applications ask of sockets, answered by this stack's own: see [`Listener`] and [`Datagrams`].

use std::io;
use std::net::SocketAddr;

use super::Listener;
use super::udp_echo::{Batch, Datagrams};
use crate::net::{TcpListener, TcpStream, UdpSocket};
use crate::udp::{MAX_SEGMENTED, MAX_SEGMENTS};

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
    async fn recv(&self, buf: &mut [u8]) -> io::Result<Batch> {
        loop {
            let received = self.recv_segmented(buf).await?;
            // Who sends to a group in a victim's name would have every host of the subnet answer the victim (hostile case M13).
            if self.is_own(received.to) {
                return Ok(Batch { len: received.len, stride: received.stride, from: received.from });
            }
        }
    }

    async fn send(&self, payload: &[u8], stride: usize, to: SocketAddr) -> io::Result<()> {
        if payload.len() <= stride {
            return self.send_to(payload, to).await.map(drop);
        }
        // More may come in one read than go in one call.
        let most = MAX_SEGMENTS.min(MAX_SEGMENTED / stride).max(1) * stride;
        for part in payload.chunks(most) {
            self.send_segmented(part, stride, None, to).await?;
        }
        Ok(())
    }
}
