//! Bytes to values and back, without state: headers over `etherparse`, packets and frames with their offload, sequence numbers.

pub mod checksum;
pub mod icmp;
pub mod ip;
pub mod packet;
pub mod seq;
pub mod tcp;
pub mod udp;
