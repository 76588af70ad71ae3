//! The HTTP/1.1 application (RFC 9110, RFC 9112): routes over axum, served by hyper on any [`Listener`](super::Listener).
//!
//! [`router`] is what is answered, [`serve`] how connections are held: timeouts, limits, lingering close, graceful stop.
//! No TLS, no HTTP/2, no compression.

mod conn;
mod errors;
mod files;
mod page;
mod routes;
mod server;

use std::path::PathBuf;
use std::time::Duration;

pub use routes::router;
pub use server::{Limits, serve};

/// What the routes need to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// A directory whose files are served where no built-in route stands; `/` gives its index.html if it has one.
    pub http_root: Option<PathBuf>,
    /// Largest posted form, in bytes. `POST /echo` has no limit, since it streams.
    pub max_form: usize,
    /// Sessions kept; beyond that the one unused longest is forgotten.
    pub max_sessions: usize,
    /// How long an unused session is kept.
    pub session_age: Duration,
}

impl Default for Config {
    fn default() -> Self {
        let session_age = Duration::from_secs(3600);
        Self { http_root: None, max_form: 64 * 1024, max_sessions: 4096, session_age }
    }
}

/// The address of the client, as a request extension.
#[derive(Debug, Clone, Copy)]
struct Peer(std::net::SocketAddr);
