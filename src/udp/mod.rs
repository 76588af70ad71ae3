//! UDP.

use crate::base::socket::Handle;

/// Names a UDP socket.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct UdpId(pub Handle);
