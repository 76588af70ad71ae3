//! The application: socket calls in any order, and a check that every byte it reads is the one the peer sent at that place.

use std::io::IoSlice;
use std::net::{Shutdown, SocketAddr};

use arbitrary::{Result, Unstructured};
use tidegate::base::time::{Duration, Instant};
use tidegate::stack::Stack;
use tidegate::tcp::options::SocketOptions;
use tidegate::tcp::{ListenerId, TcpId};
use tidegate::udp::UdpId;

use super::peer::Peer;
use super::{LOCAL, PORT, REMOTE, own_byte, peer_byte};

/// Sockets that the application holds at once.
const MAX_SOCKETS: usize = 12;

struct Socket {
    id: TcpId,
    /// Bytes given to the stack so far.
    written: u32,
    /// The first sequence numbers whose bytes agree with all that was read; `None` before the first read.
    starts: Option<Vec<u32>>,
    read: u32,
}

/// The application's sockets.
pub struct Application {
    listener: ListenerId,
    datagrams: UdpId,
    sockets: Vec<Socket>,
}

impl Application {
    /// Listens on TCP port 80 and UDP port 53 of every address.
    pub fn new(stack: &mut Stack) -> Self {
        let listener = stack.tcp_listen(SocketAddr::from(([0; 16], PORT)), 3).expect("the port is free");
        let datagrams = stack.udp_bind(SocketAddr::from(([0; 16], 53))).expect("the port is free");
        Application { listener, datagrams, sockets: Vec::new() }
    }

    /// One call.
    pub fn calls(
        &mut self,
        stack: &mut Stack,
        peer: &Peer,
        now: Instant,
        input: &mut Unstructured,
    ) -> Result<()> {
        match input.int_in_range(0..=11)? {
            0 | 1 => self.accept(stack),
            2 => self.connect(stack, now, input)?,
            3 => {
                let mut buffer = [0; 700];
                while stack.udp().recv_from(self.datagrams, &mut buffer).is_ok() {}
            }
            choice => {
                if let Some(last) = self.sockets.len().checked_sub(1) {
                    let index = input.int_in_range(0..=last)?;
                    self.on_socket(index, choice, (stack, peer), now, input)?;
                }
            }
        }
        Ok(())
    }

    fn on_socket(
        &mut self,
        index: usize,
        choice: u8,
        (stack, peer): (&mut Stack, &Peer),
        now: Instant,
        input: &mut Unstructured,
    ) -> Result<()> {
        let socket = &mut self.sockets[index];
        match choice {
            4..=6 => socket.write(stack, now, input)?,
            7 | 8 => socket.read(stack, peer, now, input.int_in_range(1..=5_000)?),
            9 => drop(stack.tcp().shutdown(
                socket.id,
                *input.choose(&[Shutdown::Write, Shutdown::Read, Shutdown::Both])?,
                now,
            )),
            10 => socket.change(stack, now, input)?,
            _ => {
                let socket = self.sockets.swap_remove(index);
                if input.ratio(1, 4)? {
                    stack.tcp_abort(socket.id, now)
                } else {
                    stack.tcp_close(socket.id, now)
                }
            }
        }
        Ok(())
    }

    fn accept(&mut self, stack: &mut Stack) {
        if self.sockets.len() < MAX_SOCKETS
            && let Ok((id, _)) = stack.tcp().accept(self.listener)
        {
            self.sockets.push(Socket { id, written: 0, starts: None, read: 0 });
        }
    }

    fn connect(&mut self, stack: &mut Stack, now: Instant, input: &mut Unstructured) -> Result<()> {
        let version = input.int_in_range(0..=1)?;
        let remote = SocketAddr::new(REMOTE[version], *input.choose(&[5_000, 5_001, 9])?);
        let local = input.arbitrary::<bool>()?.then(|| SocketAddr::new(LOCAL[version], PORT));
        if self.sockets.len() < MAX_SOCKETS
            && let Ok(id) = stack.tcp_connect(local, remote, now)
        {
            self.sockets.push(Socket { id, written: 0, starts: None, read: 0 });
        }
        Ok(())
    }

    /// No socket holds more than its buffers may.
    pub fn check_limits(&self, stack: &mut Stack) {
        for info in stack.tcp().connections() {
            assert!(info.receive_queue <= 200_000 && info.send_queue <= 100_000, "{info:?}");
        }
    }

    /// Closes everything.
    pub fn close_all(&mut self, stack: &mut Stack, now: Instant) {
        self.sockets.drain(..).for_each(|socket| stack.tcp_close(socket.id, now));
        stack.tcp_close_listener(self.listener, now);
    }
}

impl Socket {
    fn write(&mut self, stack: &mut Stack, now: Instant, input: &mut Unstructured) -> Result<()> {
        let len = input.int_in_range(1..=20_000u32)?;
        let bytes: Vec<u8> = (0..len).map(|offset| own_byte(self.written.wrapping_add(offset))).collect();
        if let Ok(taken) = stack.tcp().send(self.id, &[IoSlice::new(&bytes)], now) {
            assert!(taken <= bytes.len());
            self.written = self.written.wrapping_add(taken as u32);
        }
        Ok(())
    }

    /// Changes a few options of an open socket.
    fn change(&self, stack: &mut Stack, now: Instant, input: &mut Unstructured) -> Result<()> {
        let Ok(old) = stack.tcp().options(self.id) else { return Ok(()) };
        let options = SocketOptions {
            nodelay: input.arbitrary()?,
            cork: input.arbitrary()?,
            quick_ack: input.arbitrary()?,
            keep_alive: input.arbitrary()?,
            keep_idle: Duration::from_secs(input.int_in_range(1..=100)?),
            linger: if input.arbitrary()? {
                Some(Duration::from_secs(input.int_in_range(0..=3)?))
            } else {
                None
            },
            user_timeout: if input.arbitrary()? {
                Some(Duration::from_secs(input.int_in_range(1..=100)?))
            } else {
                None
            },
            traffic_class: input.arbitrary()?,
            path_mtu_discovery: input.arbitrary()?,
            ..old
        };
        let _ = stack.tcp().set_options(self.id, options, now);
        Ok(())
    }

    fn read(&mut self, stack: &mut Stack, peer: &Peer, now: Instant, len: usize) {
        let mut bytes = vec![0; len];
        let (Ok(local), Ok(remote)) = (stack.tcp().local_addr(self.id), stack.tcp().peer_addr(self.id))
        else {
            return;
        };
        let Ok(taken @ 1..) = stack.tcp().recv(self.id, &mut bytes, now) else { return };
        self.compare(&bytes[..taken], peer.starts(local, remote));
        self.read = self.read.wrapping_add(taken as u32);
    }

    /// The peer's last SYNs name the sequence numbers at which this stream may have begun; one of them must agree with all that was
    /// read.
    fn compare(&mut self, bytes: &[u8], starts: &[u32]) {
        let (read, starts) = (self.read, self.starts.get_or_insert_with(|| starts.to_vec()));
        starts.retain(|start| {
            let first = start.wrapping_add(read);
            bytes.iter().enumerate().all(|(index, byte)| *byte == peer_byte(first.wrapping_add(index as u32)))
        });
        assert!(!starts.is_empty(), "{} bytes at {read} are not the peer's", bytes.len());
    }
}
