//! ICMP.

use crate::base::socket::Handle;

/// Names a socket for echo requests.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct PingId(pub Handle);
