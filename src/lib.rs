//! tidegate: a TCP/IP stack that lives in a process.
//!
//! Packets come from a TUN device, go through our own IP, ICMP, UDP and TCP layers and end in applications. The protocol core
//! is sans-IO: packets go in, packets come out, time is an argument. ARCHITECTURE.md tells the life of one packet file by file.

pub mod apps;
pub mod base;
pub mod device;
pub mod driver;
pub mod icmp;
pub mod ip;
pub mod net;
pub mod scenario;
pub mod sim;
pub mod stack;
pub mod tcp;
pub mod udp;
pub mod wire;

/// The programs in README.md, compiled and run with the documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
