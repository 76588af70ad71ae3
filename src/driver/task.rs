//! The driver's task: wait, read a burst, let applications answer, send what there is, and again.
//!
//! A burst ends at the first `poll_transmit`: acknowledgements are decided there, so that a burst of segments draws one per
//! connection (RFC 9293 MUST-58, MUST-59). System calls happen outside of the stack's lock, because a write runs the
//! host's whole receive path. While the device is full, packets are still read: two stacks joined by a pipe would
//! otherwise wait for each other.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::oneshot;

use super::descriptor::{Descriptor, Timer};
use super::shared::Shared;
use super::spin::Spin;
use super::wakers::Woken;
use crate::base::time::Instant;
use crate::device::Device;
use crate::ip::Datagram;
use crate::wire::packet::{Frame, Packet};

/// Packets read, or frames gathered, in one lock hold.
const BURST: usize = 64;
/// A packet up to this size that ends a wait is answered before the next is read.
const SMALL: usize = 1_500;
/// Looks at the device between two turns of the other tasks and threads, while the driver looks for work instead of sleeping.
const LOOKS: u32 = 8;

/// The state of the driver's task.
pub(super) struct Task<D: Device> {
    shared: Arc<Shared>,
    /// The stacks of the device's other queues.
    peers: Vec<Arc<Shared>>,
    device: AsyncFd<Descriptor<D>>,
    timer: Timer,
    spin: Spin,
    /// Asked to stop, with the grace period.
    stop: oneshot::Receiver<Duration>,
    stopping: Option<Stopping>,
    /// When the stack wants `handle_timeout`.
    deadline: Option<Instant>,
    /// Gathered, and not yet taken by the device.
    frames: VecDeque<Frame>,
    packets: Vec<Packet>,
    /// The device was not read to its end: more packets may wait.
    unread: bool,
    /// Read, and for no socket of this stack.
    strays: Vec<Datagram>,
    woken: Woken,
}

/// A shutdown under way.
struct Stopping {
    /// When what is left is reset.
    at: Instant,
    /// Connections that are not yet closed, and frames that may follow.
    busy: bool,
}

impl<D: Device> Task<D> {
    pub(super) fn new(
        shared: Arc<Shared>,
        peers: Vec<Arc<Shared>>,
        device: D,
        spin: Spin,
        stop: oneshot::Receiver<Duration>,
    ) -> io::Result<Self> {
        Ok(Task {
            shared,
            peers,
            device: Descriptor::register(device, Interest::READABLE | Interest::WRITABLE)?,
            timer: Timer::new()?,
            spin,
            stop,
            stopping: None,
            deadline: None,
            frames: VecDeque::with_capacity(BURST),
            packets: Vec::with_capacity(BURST),
            unread: false,
            strays: Vec::new(),
            woken: Woken::default(),
        })
    }

    pub(super) async fn run(mut self) -> io::Result<()> {
        let result = self.serve().await;
        match &result {
            Ok(()) => self.shared.end("the stack was shut down"),
            Err(error) => self.shared.end(format!("the stack's device failed: {error}")),
        }
        result
    }

    async fn serve(&mut self) -> io::Result<()> {
        let mut more = false;
        loop {
            if !more {
                if !self.look().await? {
                    poll_fn(|cx| self.poll_wait(cx)).await?;
                }
                self.shared.count_wake_up();
            }
            self.read(!more)?;
            // Applications answer now, so that their data and the acknowledgements leave in the same frames. Turns are given even
            // when nobody was woken: packets that concern no application must not keep the thread for themselves.
            self.woken.wake();
            self.take_turns().await;
            more = self.write()?;
            if self.unread && self.packets.is_empty() {
                self.recv(BURST)?;
                more |= !self.packets.is_empty();
            }
            if self.is_finished() {
                return self.finish();
            }
        }
    }

    /// Looks for work for a while, so as to need no wake-up; true if there is some. The other tasks of this thread and the other threads
    /// of this core get their turns meanwhile: they may be what the work comes from.
    async fn look(&mut self) -> io::Result<bool> {
        let most = self.spin.begin();
        // What is left over waits for the device, which no looking tells.
        if most.is_zero() || !self.frames.is_empty() {
            return Ok(false);
        }
        let until = self.shared.now() + most;
        loop {
            for _ in 0..LOOKS {
                self.unread = true;
                self.recv(1)?;
                if self.unread || self.shared.is_kicked() || self.is_due() {
                    self.spin.hit();
                    return Ok(true);
                }
            }
            if self.shared.now() >= until {
                self.spin.miss();
                return Ok(false);
            }
            std::thread::yield_now();
            if self.take_turns().await {
                return Ok(true);
            }
        }
    }

    /// Lets the tasks that are ready run, and hears of the stop, which a driver that never sleeps would miss: true when it has just been
    /// asked for. Unlike tokio's `yield_now` this does not have the runtime ask for events first: that is a system call between a packet
    /// and its answer.
    async fn take_turns(&mut self) -> bool {
        let (mut others_ran, mut stop) = (false, false);
        poll_fn(|cx| {
            stop |= self.poll_stop(cx);
            if std::mem::replace(&mut others_ran, true) {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
        stop
    }

    /// A timer of the stack has to fire.
    fn is_due(&self) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= self.shared.now())
    }

    /// Waits for packets, room, a deadline, a socket call or the stop, whichever comes first.
    fn poll_wait(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut ready = false;
        if let Poll::Ready(guard) = self.device.poll_read_ready(cx) {
            guard?.retain_ready();
            ready = true;
        }
        // A socket call can bring nothing but frames, for which there is no room while some are left over.
        if self.frames.is_empty() {
            ready |= self.shared.poll_kicked(cx).is_ready();
        } else if let Poll::Ready(guard) = self.device.poll_write_ready(cx) {
            guard?.retain_ready();
            ready = true;
        }
        if let Poll::Ready(expired) = self.timer.poll_expired(cx) {
            expired?;
            ready = true;
        }
        ready |= self.poll_stop(cx);
        if ready { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    /// True when the stop has just been asked for.
    fn poll_stop(&mut self, cx: &mut Context<'_>) -> bool {
        if self.stopping.is_some() || self.stop.is_terminated() {
            return false;
        }
        // An error means that the handle was dropped: the task goes on.
        let Poll::Ready(Ok(grace)) = Pin::new(&mut self.stop).poll(cx) else { return false };
        self.stopping = Some(Stopping { at: self.shared.now() + grace, busy: true });
        true
    }

    /// Reads up to `max` packets if the runtime has heard of some, or the device was not read to its end.
    fn recv(&mut self, max: usize) -> io::Result<()> {
        let (packets, unread) = (&mut self.packets, &mut self.unread);
        let may_have_more = std::mem::take(unread);
        let mut read = |device: &mut Descriptor<D>| {
            // Fewer than asked for means that nothing more waits, which readiness must learn.
            *unread = device.0.recv(packets, max)? == max;
            if *unread { Ok(()) } else { Err(io::ErrorKind::WouldBlock.into()) }
        };
        let mut heard = false;
        let result = self.device.try_io_mut(Interest::READABLE, |device| {
            heard = true;
            read(device)
        });
        unless_blocked(if !heard && may_have_more { read(self.device.get_mut()) } else { result })
    }

    /// Hands a burst of packets to the stack and lets its timers fire, in one lock hold. A small packet that ended a wait is a burst of its
    /// own: somebody may wait for the answer, and to learn that it came alone takes a call.
    fn read(&mut self, waited: bool) -> io::Result<()> {
        if self.packets.is_empty() {
            self.recv(if waited { 1 } else { BURST })?;
        }
        let alone = matches!(&self.packets[..], [packet] if packet.buffer.written().len() <= SMALL);
        if self.unread && !(waited && alone) {
            self.recv(BURST - self.packets.len())?;
        }
        let due = self.is_due();
        if self.packets.is_empty() && !due {
            return Ok(());
        }
        let (packets, strays) = (&mut self.packets, &mut self.strays);
        if !packets.is_empty() {
            self.spin.brought(packets.iter().map(|packet| packet.buffer.written().len()).sum());
        }
        self.shared.enter(&mut self.woken, |stack, now| {
            stack.look_ahead(packets);
            for packet in packets.drain(..) {
                stack.receive(packet, now);
            }
            strays.extend(std::iter::from_fn(|| stack.poll_stray()));
            if due {
                stack.handle_timeout(now);
            }
        });
        self.pass_on();
        Ok(())
    }

    /// Offers the stacks of the other queues what came here and is for none of this one's sockets; what nobody wants is answered here.
    /// Never two locks at once.
    fn pass_on(&mut self) {
        let woken = &mut self.woken;
        for stray in self.strays.drain(..) {
            let left = self.peers.iter().try_fold(stray, |stray, peer| peer.offer(stray, woken));
            if let Some(stray) = left {
                self.shared.enter(woken, |stack, now| stack.refuse(stray, now));
            }
        }
    }

    /// Sends what is left over or else the next burst. True if there may be more to send at once.
    fn write(&mut self) -> io::Result<bool> {
        let full = if self.frames.is_empty() {
            self.gather();
            self.frames.len() == BURST
        } else {
            true
        };
        self.woken.wake();
        self.timer.arm(earliest(self.deadline, self.stopping.as_ref().map(|stopping| stopping.at)))?;
        self.send()?;
        Ok(full && self.frames.is_empty())
    }

    /// Takes frames from the stack, as many as one burst holds, and its next deadline.
    fn gather(&mut self) {
        let (frames, stopping, deadline) = (&mut self.frames, &mut self.stopping, &mut self.deadline);
        self.shared.enter(&mut self.woken, |stack, now| {
            while frames.len() < BURST
                && let Some(frame) = stack.poll_transmit(now)
            {
                frames.push_back(frame);
            }
            *deadline = stack.poll_timeout();
            if let Some(stopping) = stopping {
                stopping.busy = frames.len() == BURST || stack.tcp().open_connections() > 0;
            }
        });
    }

    /// Writes frames until the device is full or none is left.
    fn send(&mut self) -> io::Result<()> {
        if self.frames.is_empty() {
            return Ok(());
        }
        let frames = &mut self.frames;
        let sent = unless_blocked(self.device.try_io_mut(Interest::WRITABLE, |device| {
            device.0.send(frames)?;
            if frames.is_empty() { Ok(()) } else { Err(io::ErrorKind::WouldBlock.into()) }
        }));
        self.shared.set_device_counters(self.device.get_ref().0.counters());
        match sent {
            // The link is down, which is no more than loss.
            Err(error) if error.kind() == io::ErrorKind::NetworkDown => {
                self.frames.clear();
                Ok(())
            }
            sent => sent,
        }
    }

    fn is_finished(&self) -> bool {
        let Some(stopping) = &self.stopping else { return false };
        (!stopping.busy && self.frames.is_empty()) || stopping.at <= self.shared.now()
    }

    /// Resets what is still open. The device gets one chance to take the RSTs: the grace period is over.
    fn finish(&mut self) -> io::Result<()> {
        self.shared.enter(&mut self.woken, |stack, now| stack.tcp_abort_all(now));
        self.frames.clear();
        while self.frames.is_empty() {
            self.gather();
            if self.frames.is_empty() {
                break;
            }
            self.send()?;
        }
        Ok(())
    }
}

impl<D: Device> Drop for Task<D> {
    /// However the task ends, a runtime that stops included, nobody may wait for it any more.
    fn drop(&mut self) {
        self.shared.end("the stack's driver was stopped with its runtime");
    }
}

/// "Would block" is no error here: it has cleared the readiness, and that was all.
fn unless_blocked(result: io::Result<()>) -> io::Result<()> {
    result.or_else(|error| if error.kind() == io::ErrorKind::WouldBlock { Ok(()) } else { Err(error) })
}

fn earliest(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    one.into_iter().chain(other).min()
}
