//! A stack behind its lock, as its sockets and its runner share it.
//!
//! Sockets make non-blocking calls under the lock and leave a waker where a call would block. The *runner* is whoever moves
//! packets and time: the [`Driver`](super::Driver) over a device and the system's clock, or a simulator over links and
//! virtual time. Its side of the contract:
//!
//! 1. It enters the stack with [`Shared::enter`] to bring packets and timeouts and to fetch frames, and wakes what
//!    [`Woken`] holds after each entry, never inside one.
//! 2. Whenever [`Shared::poll_kicked`] is ready, a socket call may have left frames to send, events to hand out or a new
//!    deadline: it enters again, calls `poll_transmit` until it has no more room or there is no more, and asks for
//!    `poll_timeout`.
//! 3. When it stops for good it calls [`Shared::end`]: every waiting task is woken, and every later call fails.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use super::clock::Clock;
use super::wakers::{Direction, Socket, Wakers, Woken};
use crate::base::counters::Counters;
use crate::base::socket::SocketError;
use crate::base::time::Instant;
use crate::device::DeviceCounters;
use crate::ip::Datagram;
use crate::stack::Stack;

/// A stack, its clock and the tasks that wait for its sockets, behind one lock. See the module for the contract.
#[derive(Debug)]
pub struct Shared {
    clock: Clock,
    wake_ups: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    stack: Stack,
    wakers: Wakers,
    /// The runner's task while it waits.
    runner: Option<Waker>,
    /// A socket call happened since the runner last entered.
    kicked: bool,
    device: DeviceCounters,
    /// Why there is no runner any more.
    ended: Option<String>,
}

impl Shared {
    /// Shares `stack`, whose sockets read `clock`.
    pub fn new(stack: Stack, clock: Clock) -> Arc<Self> {
        let state = State {
            stack,
            wakers: Wakers::default(),
            runner: None,
            kicked: true,
            device: DeviceCounters::default(),
            ended: None,
        };
        Arc::new(Shared { clock, wake_ups: AtomicU64::new(0), state: Mutex::new(state) })
    }

    /// The present, as the sockets see it.
    pub fn now(&self) -> Instant {
        self.clock.now()
    }

    /// For the runner: lets `inside` work on the stack in one lock hold, then collects the tasks to wake.
    pub fn enter<R>(&self, woken: &mut Woken, inside: impl FnOnce(&mut Stack, Instant) -> R) -> R {
        let now = self.clock.now();
        let state = &mut *self.lock();
        state.kicked = false;
        let result = inside(&mut state.stack, now);
        state.take_events(woken);
        result
    }

    /// For the runner: ready once a socket call happened since it last entered.
    pub fn poll_kicked(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if state.kicked {
            return Poll::Ready(());
        }
        let old = match &state.runner {
            Some(runner) if runner.will_wake(cx.waker()) => None,
            _ => state.runner.replace(cx.waker().clone()),
        };
        drop(state);
        drop(old);
        Poll::Pending
    }

    /// For the runner: true if a socket call happened since it last entered.
    pub fn is_kicked(&self) -> bool {
        self.lock().kicked
    }

    /// For the runner of another stack with the same addresses: offers what came there and is for none of its sockets. If this stack takes
    /// it, its own runner is told; else it is given back.
    pub fn offer(&self, stray: Datagram, woken: &mut Woken) -> Option<Datagram> {
        let now = self.clock.now();
        let mut state = self.lock();
        let left = if state.ended.is_none() { state.stack.adopt(stray, now) } else { Some(stray) };
        if left.is_none() {
            state.take_events(woken);
            kick_and_unlock(state);
        }
        left
    }

    /// For the runner: fails every socket from now on, with `reason` in the error.
    pub fn end(&self, reason: impl Into<String>) {
        let mut woken = Woken::default();
        let mut state = self.lock();
        state.ended.get_or_insert(reason.into());
        state.wakers.take_all(&mut woken);
        let runner = state.runner.take();
        drop(state);
        drop(runner);
        woken.wake();
    }

    /// For sockets: a call that does not wait; the runner is told of it.
    pub fn call<R>(&self, call: impl FnOnce(&mut Stack, Instant) -> Result<R, SocketError>) -> io::Result<R> {
        let now = self.clock.now();
        let mut state = self.lock();
        state.check_running()?;
        let result = call(&mut state.stack, now).map_err(to_io)?;
        kick_and_unlock(state);
        Ok(result)
    }

    /// For sockets: a call that only looks, of which the runner need not know.
    pub fn look<R>(&self, look: impl FnOnce(&mut Stack, Instant) -> Result<R, SocketError>) -> io::Result<R> {
        let now = self.clock.now();
        let mut state = self.lock();
        state.check_running()?;
        look(&mut state.stack, now).map_err(to_io)
    }

    /// For sockets: a call that waits. When it would block, the task is woken once the socket is ready in `direction`.
    pub fn poll_call<R>(
        &self,
        cx: &mut Context<'_>,
        waits: (Socket, Direction),
        call: impl FnOnce(&mut Stack, Instant) -> Result<R, SocketError>,
    ) -> Poll<io::Result<R>> {
        let (state, result) = ready!(self.poll_locked(cx, waits, call))?;
        kick_and_unlock(state);
        Poll::Ready(Ok(result))
    }

    /// For sockets: [`Shared::look`], but waiting as [`Shared::poll_call`] does.
    pub fn poll_look<R>(
        &self,
        cx: &mut Context<'_>,
        waits: (Socket, Direction),
        look: impl FnOnce(&mut Stack, Instant) -> Result<R, SocketError>,
    ) -> Poll<io::Result<R>> {
        self.poll_locked(cx, waits, look).map_ok(|(_, result)| result)
    }

    fn poll_locked<R>(
        &self,
        cx: &mut Context<'_>,
        (socket, direction): (Socket, Direction),
        call: impl FnOnce(&mut Stack, Instant) -> Result<R, SocketError>,
    ) -> Poll<io::Result<(MutexGuard<'_, State>, R)>> {
        let now = self.clock.now();
        let mut state = self.lock();
        state.check_running()?;
        match call(&mut state.stack, now) {
            Ok(result) => Poll::Ready(Ok((state, result))),
            Err(SocketError::WouldBlock) => {
                let displaced = state.wakers.register(socket, direction, cx.waker());
                drop(state);
                displaced.into_iter().for_each(Waker::wake);
                Poll::Pending
            }
            Err(error) => Poll::Ready(Err(error.into())),
        }
    }

    /// For sockets: gives a socket up with its waiting tasks.
    pub fn give_up(&self, socket: Socket, close: impl FnOnce(&mut Stack, Instant)) {
        let now = self.clock.now();
        let mut state = self.lock();
        close(&mut state.stack, now);
        let waiting = state.wakers.forget(socket);
        kick_and_unlock(state);
        drop(waiting);
    }

    /// For the runner: what its device counted so far.
    pub fn set_device_counters(&self, counters: DeviceCounters) {
        self.lock().device = counters;
    }

    /// For the runner: counts that it woke.
    pub fn count_wake_up(&self) {
        self.wake_ups.fetch_add(1, Ordering::Relaxed);
    }

    /// Everything counted so far.
    pub fn snapshot(&self) -> Snapshot {
        let wake_ups = self.wake_ups.load(Ordering::Relaxed);
        let state = self.lock();
        Snapshot { wake_ups, device: state.device, stack: state.stack.counters().clone() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic inside the core leaves the state of one connection in doubt, which is no reason to fail all others.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Collects the tasks that wait for what happened.
    fn take_events(&mut self, woken: &mut Woken) {
        while let Some(event) = self.stack.poll_event() {
            self.wakers.take(event, woken);
        }
    }

    fn check_running(&self) -> io::Result<()> {
        match &self.ended {
            None => Ok(()),
            Some(reason) => Err(io::Error::new(io::ErrorKind::NetworkDown, reason.clone())),
        }
    }
}

/// Releases the lock and tells the runner that there may be something to do.
fn kick_and_unlock(mut state: MutexGuard<'_, State>) {
    state.kicked = true;
    let runner = state.runner.take();
    drop(state);
    runner.into_iter().for_each(Waker::wake);
}

/// The call's error; "would block" without an allocation, since it is no rare event.
fn to_io(error: SocketError) -> io::Error {
    match error {
        SocketError::WouldBlock => io::ErrorKind::WouldBlock.into(),
        error => error.into(),
    }
}

/// Everything counted at one moment. It prints as `key=value` pairs on one line, drops as `drop_REASON`.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// How often the driver woke; it does not while nothing happens.
    pub wake_ups: u64,
    /// What passed between device and stack.
    pub device: DeviceCounters,
    /// The stack's own counters.
    pub stack: Counters,
}

impl Snapshot {
    /// Adds what another stack counted.
    pub fn add(&mut self, other: &Snapshot) {
        self.wake_ups += other.wake_ups;
        self.device.add(&other.device);
        self.stack.add(&other.stack);
    }

    /// The counters with the names they print with. A drop stands under its reason; reasons that did not occur are absent.
    pub fn named(&self) -> impl Iterator<Item = (String, u64)> + '_ {
        let plain = self
            .device
            .named()
            .into_iter()
            .chain([("driver_wake_ups", self.wake_ups)])
            .chain(self.stack.named());
        let drops = self.stack.drops().map(|(reason, count)| (format!("drop_{}", reason.name()), count));
        plain.map(|(name, value)| (name.to_owned(), value)).chain(drops)
    }

    /// One counter by its name.
    pub fn get(&self, name: &str) -> u64 {
        self.named().find(|(known, _)| known == name).map_or(0, |(_, value)| value)
    }
}

impl std::fmt::Display for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut gap = "";
        for (name, value) in self.named() {
            write!(f, "{gap}{name}={value}")?;
            gap = " ";
        }
        Ok(())
    }
}
