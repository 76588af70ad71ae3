//! The applications' clock: tokio's, so that paused time drives the tests.
//!
//! Not for the protocol core, whose time is an argument and whose clock is the driver's. Here time only bounds waiting
//! (idle connections, sessions) and fills log lines.

use tokio::time::Instant;

/// The present moment on tokio's clock.
#[expect(clippy::disallowed_methods, reason = "applications sit above the driver and wait on tokio's timers")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
