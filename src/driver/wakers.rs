//! Who waits for which socket: tables of wakers beside the stack, indexed as its sockets are.
//!
//! A waker's code is foreign. It is therefore only stored and taken under the stack's lock; [`Woken`] carries it out, to be
//! woken and dropped after the lock is released.

use std::task::Waker;

use crate::base::paged::Paged;
use crate::base::socket::Readiness;
use crate::icmp::PingId;
use crate::stack::Event;
use crate::tcp::{ListenerId, TcpId};
use crate::udp::UdpId;

/// Tasks that wait for one direction of one socket at the same time; one more wakes the oldest, which then asks again.
const MAX_WAITING: usize = 16;

/// What wakes a task that waits to read or accept: data, the end of the stream, an error.
pub const READ: Readiness =
    Readiness(Readiness::IN.0 | Readiness::PRI.0 | Readiness::RDHUP.0 | Readiness::HUP.0 | Readiness::ERR.0);
/// What wakes a task that waits to write: room, or an error that writing would report.
pub const WRITE: Readiness = Readiness(Readiness::OUT.0 | Readiness::HUP.0 | Readiness::ERR.0);

/// A socket, whatever its protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Socket {
    /// A TCP connection.
    Tcp(TcpId),
    /// A TCP listener.
    Listener(ListenerId),
    /// A UDP socket.
    Udp(UdpId),
    /// A socket for echo requests.
    Ping(PingId),
}

/// What a task waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// Something to read or accept.
    Read,
    /// Room to write.
    Write,
}

/// The tasks that wait for one direction of a socket: two words, since a hundred thousand connections each have two of these.
#[derive(Debug)]
#[expect(clippy::box_collection, reason = "one word instead of three, for what is rarely there")]
enum Set {
    One(Waker),
    /// None, or several.
    Other(Option<Box<Vec<Waker>>>),
}

impl Default for Set {
    fn default() -> Self {
        Set::Other(None)
    }
}

impl Set {
    /// Adds a task, unless it waits already. Returns the oldest where they are too many.
    fn add(&mut self, waker: &Waker) -> Option<Waker> {
        match self {
            Set::One(known) if known.will_wake(waker) => {}
            Set::One(_) => {
                let Set::One(known) = std::mem::take(self) else { return None };
                *self = Set::Other(Some(Box::new(vec![known, waker.clone()])));
            }
            Set::Other(None) => *self = Set::One(waker.clone()),
            Set::Other(Some(all)) => {
                if all.iter().any(|known| known.will_wake(waker)) {
                    return None;
                }
                let oldest = (all.len() >= MAX_WAITING).then(|| all.remove(0));
                all.push(waker.clone());
                return oldest;
            }
        }
        None
    }

    fn drain_into(&mut self, woken: &mut Vec<Waker>) {
        match std::mem::take(self) {
            Set::One(waker) => woken.push(waker),
            Set::Other(None) => {}
            Set::Other(Some(all)) => woken.extend(*all),
        }
    }
}

/// The waiting tasks of one socket.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    read: Set,
    write: Set,
}

/// The tables, one per kind of socket. They are as long as the stack's own, so the stack's limits bound them.
#[derive(Debug, Default)]
pub(super) struct Wakers {
    tables: [Paged<Waiting>; 4],
}

impl Wakers {
    /// Remembers that a task waits. What comes back must be woken after the lock is released.
    pub(super) fn register(&mut self, socket: Socket, direction: Direction, waker: &Waker) -> Option<Waker> {
        let (table, index) = place(socket);
        let table = &mut self.tables[table];
        table.grow(index + 1, Waiting::default);
        match direction {
            Direction::Read => table[index].read.add(waker),
            Direction::Write => table[index].write.add(waker),
        }
    }

    /// Takes the tasks that an event concerns.
    pub(super) fn take(&mut self, event: Event, woken: &mut Woken) {
        let (socket, bits) = match event {
            Event::Tcp(id, bits) => (Socket::Tcp(id), bits),
            Event::Acceptable(id) => (Socket::Listener(id), Readiness::IN),
            Event::Udp(id, bits) => (Socket::Udp(id), bits),
            Event::Ping(id) => (Socket::Ping(id), Readiness::IN),
        };
        let (table, index) = place(socket);
        let Some(waiting) = self.tables[table].get_mut(index) else { return };
        if bits.any(READ) {
            waiting.read.drain_into(&mut woken.0);
        }
        if bits.any(WRITE) {
            waiting.write.drain_into(&mut woken.0);
        }
    }

    /// Forgets the tasks of a socket that is given up. What comes back is dropped after the lock is released.
    pub(super) fn forget(&mut self, socket: Socket) -> Waiting {
        let (table, index) = place(socket);
        self.tables[table].get_mut(index).map(std::mem::take).unwrap_or_default()
    }

    /// Takes every task there is.
    pub(super) fn take_all(&mut self, woken: &mut Woken) {
        for waiting in self.tables.iter_mut().flat_map(Paged::iter_mut) {
            waiting.read.drain_into(&mut woken.0);
            waiting.write.drain_into(&mut woken.0);
        }
    }
}

/// Tasks taken from the tables, to be woken once the lock is released.
#[derive(Debug, Default)]
pub struct Woken(Vec<Waker>);

impl Woken {
    /// Wakes them all and returns how many they were. Never call it with a stack's lock held.
    pub fn wake(&mut self) -> usize {
        let count = self.0.len();
        self.0.drain(..).for_each(Waker::wake);
        count
    }
}

fn place(socket: Socket) -> (usize, usize) {
    let (table, handle) = match socket {
        Socket::Tcp(id) => (0, id.0),
        Socket::Listener(id) => (1, id.0),
        Socket::Udp(id) => (2, id.0),
        Socket::Ping(id) => (3, id.0),
    };
    (table, handle.index as usize)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;
    use crate::base::socket::Handle;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn task() -> (Arc<Count>, Waker) {
        let count = Arc::new(Count::default());
        (count.clone(), count.into())
    }

    fn tcp(index: u32) -> TcpId {
        TcpId(Handle { index, generation: 0 })
    }

    fn fire(wakers: &mut Wakers, event: Event) -> usize {
        let mut woken = Woken::default();
        wakers.take(event, &mut woken);
        woken.wake()
    }

    #[test]
    fn an_event_wakes_the_direction_it_concerns_once() {
        let mut wakers = Wakers::default();
        let ((read, read_waker), (write, write_waker)) = (task(), task());
        wakers.register(Socket::Tcp(tcp(3)), Direction::Read, &read_waker);
        wakers.register(Socket::Tcp(tcp(3)), Direction::Read, &read_waker);
        wakers.register(Socket::Tcp(tcp(3)), Direction::Write, &write_waker);
        assert_eq!(fire(&mut wakers, Event::Tcp(tcp(2), Readiness::IN)), 0, "another socket");
        assert_eq!(fire(&mut wakers, Event::Tcp(tcp(3), Readiness::IN)), 1);
        assert_eq!(fire(&mut wakers, Event::Tcp(tcp(3), Readiness::IN)), 0, "nobody waits any more");
        assert_eq!((read.0.load(Ordering::Relaxed), write.0.load(Ordering::Relaxed)), (1, 0));
        assert_eq!(fire(&mut wakers, Event::Tcp(tcp(3), Readiness::ERR)), 1);
        assert_eq!(write.0.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn what_is_kept_of_a_socket_takes_32_bytes() {
        assert_eq!(size_of::<Waiting>(), 32);
    }

    #[test]
    fn an_event_beyond_the_tables_is_nobodys() {
        assert_eq!(fire(&mut Wakers::default(), Event::Tcp(tcp(9_999), Readiness::IN)), 0);
    }

    /// Tasks that waited once and went away must not pile up.
    #[test]
    fn the_tasks_that_wait_for_one_socket_are_bounded() {
        let mut wakers = Wakers::default();
        let mut displaced = 0;
        for _ in 0..MAX_WAITING + 5 {
            let (_, waker) = task();
            displaced += wakers.register(Socket::Tcp(tcp(0)), Direction::Read, &waker).into_iter().count();
        }
        assert_eq!(displaced, 5);
        assert_eq!(fire(&mut wakers, Event::Tcp(tcp(0), Readiness::IN)), MAX_WAITING);
    }

    #[test]
    fn a_forgotten_socket_wakes_nobody() {
        let mut wakers = Wakers::default();
        let (count, waker) = task();
        wakers.register(Socket::Tcp(tcp(1)), Direction::Write, &waker);
        drop(wakers.forget(Socket::Tcp(tcp(1))));
        assert_eq!(fire(&mut wakers, Event::Tcp(tcp(1), Readiness::OUT)), 0);
        assert_eq!(count.0.load(Ordering::Relaxed), 0);
    }
}
