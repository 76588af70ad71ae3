//! Applications: echo, discard, chargen and HTTP, written against `AsyncRead` and `AsyncWrite` alone.
//!
//! Each TCP application is a function of one stream; [`serve::accept`] turns it into a server over any [`Listener`], so
//! that the same code runs on `tokio::net` and on our own sockets. UDP echo is a rule ([`udp_echo::Guard`]) and a loop.

pub mod chargen;
pub mod discard;
pub mod echo;
pub mod http;
pub mod listener;
mod scratch;
pub mod serve;
pub mod slices;
mod sockets;
pub mod udp_echo;

pub use listener::Listener;
pub use serve::{Report, Stop, Summary};
