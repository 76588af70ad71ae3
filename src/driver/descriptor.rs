//! What the driver waits for beside its tasks: a descriptor that becomes ready, and a point in time as one more of those.
//!
//! Time is a timerfd because tokio's timers round to a millisecond, while a round trip takes microseconds.

use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::task::{Context, Poll, ready};

use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::base::time::Instant;

/// Something with a descriptor, in the form that tokio registers: it stays in place, and so does its descriptor.
#[derive(Debug)]
pub(super) struct Descriptor<T>(pub(super) T);

impl<T: AsFd> Descriptor<T> {
    /// Registers `inner` with the current runtime.
    #[expect(
        deprecated,
        reason = "its successor is unsafe for the sake of descriptors that change; here `AsFd` lends one"
    )]
    pub(super) fn register(inner: T, interest: Interest) -> io::Result<AsyncFd<Self>> {
        AsyncFd::with_interest(Descriptor(inner), interest)
    }
}

impl<T: AsFd> AsRawFd for Descriptor<T> {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

/// One deadline on `CLOCK_MONOTONIC`.
#[derive(Debug)]
pub(super) struct Timer {
    fd: AsyncFd<Descriptor<TimerFd>>,
    /// When the descriptor becomes readable.
    armed: Option<Instant>,
}

impl Timer {
    pub(super) fn new() -> io::Result<Self> {
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        let fd = TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?;
        Ok(Timer { fd: Descriptor::register(fd, Interest::READABLE)?, armed: None })
    }

    /// Makes sure that the timer expires at `deadline` or earlier. It is set only when it would expire too late: a deadline
    /// moves with every packet, mostly away, and one early expiry is cheaper than a system call each time.
    pub(super) fn arm(&mut self, deadline: Option<Instant>) -> io::Result<()> {
        let Some(deadline) = deadline else { return Ok(()) };
        if self.armed.is_some_and(|armed| armed <= deadline) {
            return Ok(());
        }
        // Zero would disarm it.
        let at = TimeSpec::from_duration(std::time::Duration::from_nanos(deadline.as_nanos().max(1)));
        self.fd.get_ref().0.set(Expiration::OneShot(at), TimerSetTimeFlags::TFD_TIMER_ABSTIME)?;
        self.armed = Some(deadline);
        Ok(())
    }

    /// Ready once after each expiry.
    pub(super) fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut expired = false;
        loop {
            if expired {
                return Poll::Ready(Ok(()));
            }
            ready!(self.fd.poll_read_ready(cx))?.retain_ready();
            let taken: io::Result<()> = self.fd.try_io_mut(Interest::READABLE, |timer| {
                expired = timer.0.wait().map(|()| true).or_else(|error| match error {
                    nix::errno::Errno::EAGAIN => Ok(false),
                    error => Err(error),
                })?;
                // Either way nothing is left to read: this clears the readiness.
                Err(io::ErrorKind::WouldBlock.into())
            });
            match taken {
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Poll::Ready(Err(error)),
                _ if expired => self.armed = None,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;
    use crate::base::time::Duration;
    use crate::driver::clock::Clock;

    #[tokio::test]
    async fn the_timer_expires_at_the_earliest_deadline_and_then_rests() {
        let mut timer = Timer::new().unwrap();
        let start = Clock::Monotonic.now();
        timer.arm(Some(start + Duration::from_secs(3600))).unwrap();
        timer.arm(Some(start + Duration::from_micros(300))).unwrap();
        timer.arm(Some(start + Duration::from_secs(1800))).unwrap();
        timer.arm(None).unwrap();
        poll_fn(|cx| timer.poll_expired(cx)).await.unwrap();
        assert!(Clock::Monotonic.now() >= start + Duration::from_micros(300));
        let again = poll_fn(|cx| Poll::Ready(timer.poll_expired(cx).is_ready())).await;
        assert!(!again, "one expiry is reported once");
        timer.arm(Some(start)).unwrap();
        poll_fn(|cx| timer.poll_expired(cx)).await.unwrap();
    }
}
