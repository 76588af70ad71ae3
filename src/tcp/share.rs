//! TCP of one stack among several with the same addresses: what is its business, and which ports it may choose.

use crate::base::share::Share;
use crate::ip::Datagram;
use crate::wire::ip::Endpoint;

use super::Tcp;
use super::segment::FourTuple;

/// Offset of the flags in the header, and those that a connection begins with alone (RFC 9293 §3.1).
const FLAGS: usize = 13;
const SYN: u8 = 0x02;
const SYN_ACK_RST: u8 = 0x16;

impl Tcp {
    /// Ports that nobody named are chosen from `share`.
    pub fn set_share(&mut self, share: Share) {
        self.share = share;
    }

    /// True for a segment of one of this stack's connections, and for a SYN to one of its listeners; also for what is no segment, which
    /// any stack can drop. An ACK without a connection may be another's, and only if it is not it may finish a handshake by a SYN cookie.
    pub fn knows(&self, datagram: &Datagram) -> bool {
        let (ip, bytes) = (&datagram.header, datagram.payload());
        let (Some(&[a, b, c, d]), Some(&flags)) = (bytes.first_chunk(), bytes.get(FLAGS)) else {
            return true;
        };
        let remote = Endpoint::new(ip.src, u16::from_be_bytes([a, b]));
        let local = Endpoint::new(ip.dst, u16::from_be_bytes([c, d]));
        self.knows_ends(local, remote) || (flags & SYN_ACK_RST == SYN && self.find_listener(&local).is_some())
    }

    /// True if this stack has a connection between these ends.
    pub fn knows_ends(&self, local: Endpoint, remote: Endpoint) -> bool {
        self.owner(&FourTuple { local, remote }).is_some()
    }
}
