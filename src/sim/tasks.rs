//! Applications written for tokio, under the simulator's clock: [`run`] takes turns between their tasks and the network.
//!
//! Tasks run on a runtime of this thread. Time moves only when every task waits: the runtime says so by parking its thread, and
//! then either the network takes its next step or the runtime's own (paused) clock goes on to the next `tokio::time` timer,
//! whichever is earlier. So a run depends on the seed alone, as long as tasks ask nobody outside for time or randomness.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};

use super::Network;
use super::host::Node;
use crate::base::counters::Counters;
use crate::base::time::{Duration, Instant};
use crate::driver::clock::{Clock, RuntimeClock, VirtualClock};
use crate::driver::shared::Shared;
use crate::driver::wakers::Woken;
use crate::stack::Stack;
use crate::tcp::ConnectionInfo;
use crate::wire::packet::{Frame, Packet};

/// A host whose stack is shared with sockets.
pub(super) struct SharedNode {
    shared: Arc<Shared>,
    woken: Woken,
    /// Set when a task was woken, for [`drive`].
    woke: Rc<Cell<bool>>,
}

impl SharedNode {
    pub(super) fn new(stack: Stack, clock: VirtualClock, woke: Rc<Cell<bool>>) -> (Self, Arc<Shared>) {
        let shared = Shared::new(stack, Clock::Virtual(clock));
        (SharedNode { shared: shared.clone(), woken: Woken::default(), woke }, shared)
    }

    fn enter<R>(&mut self, inside: impl FnOnce(&mut Stack, Instant) -> R) -> R {
        let result = self.shared.enter(&mut self.woken, inside);
        if self.woken.wake() > 0 {
            self.woke.set(true);
        }
        result
    }

    /// `None` once the stack was shut down.
    fn look<R>(&self, look: impl FnOnce(&mut Stack) -> R) -> Option<R> {
        self.shared.look(|stack, _| Ok(look(stack))).ok()
    }
}

impl Node for SharedNode {
    fn receive(&mut self, packet: Packet, _now: Instant) {
        self.enter(|stack, now| stack.receive(packet, now));
    }

    fn handle_timeout(&mut self, _now: Instant) {
        self.enter(Stack::handle_timeout);
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        self.look(|stack| stack.poll_timeout())?
    }

    fn poll_transmit(&mut self, _now: Instant) -> Option<Frame> {
        self.enter(Stack::poll_transmit)
    }

    fn counted(&mut self) -> Option<Counters> {
        self.look(|stack| stack.counters().clone())
    }

    fn connections(&mut self) -> Vec<ConnectionInfo> {
        self.look(|stack| stack.tcp().connections().collect()).unwrap_or_default()
    }
}

/// How long tasks may wait without a packet under way before that counts as for ever.
const FOREVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// Who is to be woken when the runtime has nothing left to do.
type Idle = Arc<Mutex<Option<Waker>>>;

/// Runs `main`, and what it spawns, to its end over the sockets of `network`'s shared hosts. `None` if every task waits for
/// something that will never happen.
///
/// # Panics
/// Inside of another tokio runtime, or when the system refuses a new one; and as [`Network::step`] does.
pub fn run<F: Future>(network: &mut Network, main: F) -> Option<F::Output> {
    let idle = Idle::default();
    let parked = idle.clone();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .on_thread_park(move || wake(&parked))
        .build()
        .expect("a runtime without I/O needs nothing of the system but memory");
    runtime.block_on(drive(network, main, &idle))
}

async fn drive<F: Future>(network: &mut Network, main: F, idle: &Idle) -> Option<F::Output> {
    let mut main = pin!(main);
    let (start, runtime) = (network.now(), RuntimeClock::start());
    loop {
        if let Some(output) = until_idle(main.as_mut(), idle).await {
            return Some(output);
        }
        network.move_to(network.now().max(start + runtime.elapsed()));
        let next = network.next_event();
        if network.woke.take() {
            continue;
        }
        // The runtime's timers know milliseconds only; the rest of the way it stands still.
        let ahead = next.map_or(FOREVER, |at| at.since(start).saturating_sub(runtime.elapsed()).min(FOREVER));
        let millis = Duration::from_millis(ahead.as_millis() as u64);
        if millis.is_zero() {
            network.step();
            continue;
        }
        match until_time(main.as_mut(), network, millis).await {
            Waited::Done(output) => return Some(output),
            Waited::Slept if next.is_none() => return None,
            Waited::Slept | Waited::Kicked => {}
        }
    }
}

/// Lets tasks run until `main` is done (`Some`) or every task waits (`None`).
async fn until_idle<F: Future>(mut main: Pin<&mut F>, idle: &Idle) -> Option<F::Output> {
    let mut asked = false;
    poll_fn(|cx| {
        if let Poll::Ready(output) = main.as_mut().poll(cx) {
            return Poll::Ready(Some(output));
        }
        let mut waiting = idle.lock().unwrap_or_else(PoisonError::into_inner);
        if asked && waiting.is_none() {
            return Poll::Ready(None);
        }
        asked = true;
        *waiting = Some(cx.waker().clone());
        Poll::Pending
    })
    .await
}

/// Why waiting for a time ended.
enum Waited<T> {
    Done(T),
    /// A socket call happened: the network may have something to do earlier.
    Kicked,
    Slept,
}

/// Lets the runtime's clock go on, by `duration` at most; its other timers fire on the way.
async fn until_time<F: Future>(
    mut main: Pin<&mut F>,
    network: &Network,
    duration: Duration,
) -> Waited<F::Output> {
    let mut sleep = pin!(tokio::time::sleep(duration));
    poll_fn(|cx| {
        if let Poll::Ready(output) = main.as_mut().poll(cx) {
            return Poll::Ready(Waited::Done(output));
        }
        if network.shared().any(|shared| shared.poll_kicked(cx).is_ready()) {
            return Poll::Ready(Waited::Kicked);
        }
        sleep.as_mut().poll(cx).map(|()| Waited::Slept)
    })
    .await
}

fn wake(idle: &Idle) {
    let waiting = idle.lock().unwrap_or_else(PoisonError::into_inner).take();
    waiting.into_iter().for_each(Waker::wake);
}
