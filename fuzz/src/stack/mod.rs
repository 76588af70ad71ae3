//! The whole stack from arbitrary packets, mixed with socket calls and time. The [`peer`] patches live sequence numbers in, so that a
//! run gets past the SYN; [`calls`] is the application. What must always hold is checked in [`World::settle`].

mod calls;
mod peer;

use std::collections::BTreeMap;
use std::net::IpAddr;

use arbitrary::{Result, Unstructured};
use tidegate::base::time::{Duration, Instant};
use tidegate::device::Capabilities;
use tidegate::stack::{Stack, StackConfig};
use tidegate::tcp::config::TcpConfig;
use tidegate::wire::packet::Packet;

use calls::Application;
use peer::{Line, Peer};

/// The stack's addresses, then the peer's, of both IP versions.
const LOCAL: [IpAddr; 2] = [IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2)), v6(2)];
const REMOTE: [IpAddr; 2] = [IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1)), v6(1)];
/// Where the stack listens.
const PORT: u16 = 80;
/// Steps of one run: enough for a whole life of several connections, few enough for thousands of runs a second.
const STEPS: usize = 400;
/// Frames that one step may draw out. Two sockets with 32 KiB each in 64-byte segments are 1,000.
const FRAMES: usize = 20_000;
/// Timers that may fire at one point of time, and after the last socket was closed.
const FIRINGS: usize = 2_000;
/// What a run may hold, beside what was there before it: the limits of `config` for a dozen connections, and reassembly's 4 MiB.
const MEMORY: usize = 24 << 20;

const fn v6(last: u16) -> IpAddr {
    IpAddr::V6(std::net::Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, last))
}

/// Runs one history. `allocated` tells how many bytes the program holds.
pub fn run(bytes: &[u8], allocated: impl Fn() -> usize) {
    let before = allocated();
    let mut input = Unstructured::new(bytes);
    let Ok(mut world) = World::new(&mut input) else { return };
    for _ in 0..STEPS {
        if input.is_empty() || world.step(&mut input).is_err() {
            break;
        }
        let held = allocated().saturating_sub(before);
        assert!(held <= MEMORY, "{held} bytes are held");
    }
    world.ends();
}

/// A stack, its application, and the other end of the wire.
struct World {
    stack: Stack,
    now: Instant,
    application: Application,
    peer: Peer,
}

impl World {
    fn new(input: &mut Unstructured) -> Result<Self> {
        let addrs = vec![(LOCAL[0], 24), (LOCAL[1], 64)];
        let capabilities =
            if input.arbitrary()? { Capabilities::offload(1500) } else { Capabilities::plain(1500) };
        let config = StackConfig { addrs, tcp: config(input)? };
        let mut stack = Stack::new(config, capabilities, [7; 32]).expect("the addresses are sound");
        let application = Application::new(&mut stack);
        Ok(World { stack, now: Instant::from_millis(1), application, peer: Peer::default() })
    }

    fn step(&mut self, input: &mut Unstructured) -> Result<()> {
        match input.int_in_range(0..=15)? {
            0..=8 => self.peer_sends(input)?,
            9..=12 => self.application.calls(&mut self.stack, &self.peer, self.now, input)?,
            13 => self.now = self.now + Duration::from_micros(input.int_in_range(0..=3_000_000)?),
            // Hours and weeks pass too: timestamps wrap, everything times out.
            14 if input.ratio(1, 8)? => {
                self.now = self.now + Duration::from_secs(input.int_in_range(0..=3_000_000)?)
            }
            _ => self.now = self.stack.poll_timeout().map_or(self.now, |next| next.max(self.now)),
        }
        self.settle();
        Ok(())
    }

    fn peer_sends(&mut self, input: &mut Unstructured) -> Result<()> {
        if let Some(bytes) = self.peer.packet(input)? {
            self.stack.receive(Packet::from_slice(&bytes), self.now);
        }
        // A burst: nothing is drawn out in between.
        if !input.is_empty() && input.ratio(1, 4)? { self.peer_sends(input) } else { Ok(()) }
    }

    /// Lets what is due happen, and checks all that comes out.
    fn settle(&mut self) {
        let mut firings = 0;
        loop {
            self.stack.handle_timeout(self.now);
            self.drain();
            if self.stack.poll_timeout().is_none_or(|next| next > self.now) {
                break;
            }
            firings += 1;
            assert!(firings < FIRINGS, "a timer fires for ever at {:?}", self.now);
        }
        while self.stack.poll_event().is_some() {}
        self.application.check_limits(&mut self.stack);
    }

    fn drain(&mut self) {
        let mut frames = 0;
        while let Some(frame) = self.stack.poll_transmit(self.now) {
            frames += 1;
            assert!(frames < FRAMES, "the stack sends for ever");
            self.peer.takes(frame);
        }
    }

    /// Nobody answers any more and every socket is closed: the stack comes to rest.
    fn ends(mut self) {
        self.application.close_all(&mut self.stack, self.now);
        for _ in 0..FIRINGS {
            self.settle();
            match self.stack.poll_timeout() {
                Some(next) => self.now = next.max(self.now),
                None => {
                    return assert_eq!(
                        self.stack.tcp().connections().count(),
                        0,
                        "connections without a timer"
                    );
                }
            }
        }
        panic!(
            "timers still fire after the last socket was closed: {:?}",
            self.stack.tcp().connections().collect::<Vec<_>>()
        );
    }
}

/// Small limits, so that they are met.
fn config(input: &mut Unstructured) -> Result<TcpConfig> {
    Ok(TcpConfig {
        receive_buffer: input.int_in_range(1_000..=200_000)?,
        send_buffer: input.int_in_range(1_000..=100_000)?,
        timestamps: input.arbitrary()?,
        window_scaling: input.arbitrary()?,
        sack: input.arbitrary()?,
        quick_acks: input.int_in_range(0..=16)?,
        nagle: input.arbitrary()?,
        syn_queue: input.int_in_range(1..=4)?,
        max_time_wait: input.int_in_range(1..=4)?,
        max_connections: input.int_in_range(1..=12)?,
        ..TcpConfig::default()
    })
}

/// What the peer sends at a sequence number.
fn peer_byte(seq: u32) -> u8 {
    (seq.wrapping_mul(0x9e37_79b1) >> 21) as u8
}

/// What the application sends at an offset of its stream.
fn own_byte(offset: u32) -> u8 {
    (offset.wrapping_mul(0x85eb_ca6b) >> 19) as u8
}

/// Four-tuples by the peer's port, the stack's port and the IP version.
type Lines = BTreeMap<(u16, u16, usize), Line>;
