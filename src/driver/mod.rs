//! The ring around a stack: the one place with a clock, readiness and a task. [`Driver`] joins a [`Device`] to a [`Stack`] on
//! a tokio runtime; [`shared::Shared`] is what sockets call, and what a simulator drives in the driver's place.
//! [`wire::Wire`] joins two devices, with links between them.

pub mod clock;
mod descriptor;
pub mod shared;
mod spin;
mod task;
pub mod wakers;
pub mod wire;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::device::Device;
use crate::stack::Stack;
use clock::Clock;
use shared::Shared;
use spin::Spin;
use task::Task;

/// How a driver goes about its work.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct DriverConfig {
    /// How long the driver may look for packets before it sleeps, each time that it has nothing to do. Looking costs processor time and spares
    /// the time that waking takes, tens of microseconds on many machines; it is given up for a while where it finds nothing. Zero, the
    /// default, sleeps at once.
    pub busy_poll: Duration,
}

/// A running stack over a device: one task on the runtime that started it. Dropping the handle leaves the task running.
#[derive(Debug)]
pub struct Driver {
    shared: Arc<Shared>,
    stop: oneshot::Sender<Duration>,
    task: JoinHandle<io::Result<()>>,
}

impl Driver {
    /// Joins `stack` to `device` on the current tokio runtime, whose I/O driver must be enabled.
    ///
    /// # Errors
    /// What the system says when it refuses a timer or to watch the device's descriptor.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn spawn<D>(stack: Stack, device: D, config: DriverConfig) -> io::Result<Driver>
    where
        D: Device + Send + 'static,
    {
        Driver::run(Shared::new(stack, Clock::Monotonic), Vec::new(), device, config)
    }

    /// Joins one of several stacks with the same addresses to its queue of their device; the others are `peers`. Errors and panics as
    /// [`Driver::spawn`].
    pub(crate) fn run<D>(
        shared: Arc<Shared>,
        peers: Vec<Arc<Shared>>,
        device: D,
        config: DriverConfig,
    ) -> io::Result<Driver>
    where
        D: Device + Send + 'static,
    {
        let (stop, stopped) = oneshot::channel();
        let task = Task::new(shared.clone(), peers, device, Spin::new(config.busy_poll), stopped)?;
        Ok(Driver { shared, stop, task: tokio::spawn(task.run()) })
    }

    /// The stack, as sockets share it.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Waits until every connection is closed and everything is sent, for `grace` at most; then resets what is left and
    /// releases the device. Sockets that are used afterwards report an error.
    ///
    /// # Errors
    /// The device's error, if it failed.
    pub async fn shutdown(self, grace: Duration) -> io::Result<()> {
        // The task may have ended before: then it says why.
        let _ = self.stop.send(grace);
        flatten(self.task.await)
    }

    /// Waits for the driver to end by itself, which it does only when the device fails.
    ///
    /// # Errors
    /// The device's error.
    pub async fn ended(&mut self) -> io::Result<()> {
        flatten((&mut self.task).await)
    }
}

fn flatten(ended: Result<io::Result<()>, tokio::task::JoinError>) -> io::Result<()> {
    ended.unwrap_or_else(|error| Err(io::Error::other(error)))
}
