//! A wire between two devices, under the real clock: what one end sends arrives at the other as the links between them say.
//!
//! [`Wire`] is the handle, `direction` one way with the packets on it. The wire has a thread of its own: it must not wait for
//! applications, nor they for it. Packets are read in short bursts, split into wire packets before anything is drawn, and written when
//! they are due. To be on time the thread sleeps until shortly before, and spins for the rest.

mod direction;

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::prctl::set_timerslack;
use nix::sys::time::TimeSpec;
use tokio::sync::oneshot;

use super::clock::Clock;
use crate::base::rng::Rng;
use crate::base::time::{Duration, Instant};
use crate::device::Device;
use crate::device::link::LinkConfig;
use direction::Direction;

pub use direction::DirectionCounters;

/// How long before a packet is due the thread stops sleeping: about what waking up takes.
const SPIN: Duration = Duration::from_micros(20);

/// What a wire does: in each direction, and from which seed.
#[derive(Clone, Debug, PartialEq)]
pub struct WireConfig {
    /// From the first device to the second.
    pub there: LinkConfig,
    /// From the second to the first.
    pub back: LinkConfig,
    /// Determines every draw: the same packets at the same times meet the same fate.
    pub seed: u64,
}

/// What a wire did, in both directions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WireCounters {
    /// From the first device to the second.
    pub there: DirectionCounters,
    /// From the second to the first.
    pub back: DirectionCounters,
}

/// A running wire. Dropping the handle stops it.
#[derive(Debug)]
pub struct Wire {
    stop: Arc<Stop>,
    ended: oneshot::Receiver<(io::Result<()>, WireCounters)>,
}

/// Asks the thread to end.
#[derive(Debug)]
struct Stop {
    asked: AtomicBool,
    event: EventFd,
}

impl Wire {
    /// Joins two devices; they are released when the wire ends.
    ///
    /// # Errors
    /// What the system says when it refuses a descriptor or a thread.
    pub fn start<A, B>(first: A, second: B, config: WireConfig) -> io::Result<Wire>
    where
        A: Device + Send + 'static,
        B: Device + Send + 'static,
    {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let stop = Arc::new(Stop { asked: AtomicBool::new(false), event: EventFd::from_flags(flags)? });
        let (tell, ended) = oneshot::channel();
        let mut rng = Rng::from_u64(config.seed);
        let (there, back) = (Rng::from_seed(rng.seed()), Rng::from_seed(rng.seed()));
        let mut task = Task {
            first,
            second,
            there: Direction::new(config.there, there),
            back: Direction::new(config.back, back),
            stop: stop.clone(),
        };
        thread::Builder::new().name("wire".to_owned()).spawn(move || {
            let result = task.run();
            // Nobody may be waiting any more.
            let _ = tell.send((result, task.counters()));
        })?;
        Ok(Wire { stop, ended })
    }

    /// Waits for the wire to end by itself, which it does only when a device fails.
    ///
    /// # Errors
    /// The device's error.
    pub async fn ended(&mut self) -> io::Result<()> {
        self.outcome().await.map(drop)
    }

    /// Stops the wire and tells what it did; packets on it are lost.
    ///
    /// # Errors
    /// The device's error, if one failed.
    pub async fn stop(mut self) -> io::Result<WireCounters> {
        self.stop.ask();
        self.outcome().await
    }

    /// What the thread tells at its end, once.
    async fn outcome(&mut self) -> io::Result<WireCounters> {
        if self.ended.is_terminated() {
            return Err(io::Error::other("the wire has ended before"));
        }
        let (result, counters) = (&mut self.ended).await.map_err(io::Error::other)?;
        result.map(|()| counters)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.stop.ask();
    }
}

impl Stop {
    fn ask(&self) {
        self.asked.store(true, Ordering::Release);
        // Fails only where the count would overflow: then it is readable anyway.
        let _ = self.event.write(1);
    }
}

/// What the thread works on.
struct Task<A, B> {
    first: A,
    second: B,
    there: Direction,
    back: Direction,
    stop: Arc<Stop>,
}

impl<A: Device, B: Device> Task<A, B> {
    fn run(&mut self) -> io::Result<()> {
        // The default of 50 us would make every packet late. Without it they are late, and that is all.
        let _ = set_timerslack(1);
        while !self.stop.asked.load(Ordering::Acquire) {
            self.there.read(&mut self.first, || Clock::Monotonic.now())?;
            self.there.write(&mut self.second, Clock::Monotonic.now())?;
            self.back.read(&mut self.second, || Clock::Monotonic.now())?;
            self.back.write(&mut self.first, Clock::Monotonic.now())?;
            self.wait()?;
        }
        Ok(())
    }

    /// Sleeps until a device is ready, or nearly until a packet is due.
    fn wait(&self) -> io::Result<()> {
        let now = Clock::Monotonic.now();
        let due = self.there.next_due().into_iter().chain(self.back.next_due()).min();
        let sleep = due.map(|due: Instant| due.since(now).saturating_sub(SPIN));
        if sleep.is_some_and(|sleep| sleep.is_zero()) {
            return Ok(());
        }
        let wake = |fd| PollFd::new(fd, PollFlags::POLLIN);
        let mut fds = [wake(self.first.as_fd()), wake(self.second.as_fd()), wake(self.stop.event.as_fd())];
        match ppoll(&mut fds, sleep.map(TimeSpec::from_duration), None) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    fn counters(&self) -> WireCounters {
        WireCounters { there: self.there.counters(), back: self.back.counters() }
    }
}

#[cfg(test)]
mod tests;
