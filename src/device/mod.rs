//! The link layer: what packets come from and frames go to. A device knows nothing of the stack; driver and simulator join them.

pub mod capture;
pub mod coalesce;
mod error;
pub mod link;
pub mod netconfig;
pub mod pipe;
pub mod segment;
pub mod tun;
pub mod vnet;

use std::collections::VecDeque;
use std::io;
use std::os::fd::AsFd;

use crate::wire::packet::{Frame, Offload, Packet};

pub use error::TunError;

/// What a device can do for the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// The largest IP packet on the wire, in bytes.
    pub mtu: usize,
    /// The device completes checksums (`Offload::Checksum`).
    pub checksum: bool,
    /// The device takes TCP super-segments (`Offload::Tcp`) up to 65,535 bytes of IP packet.
    pub tcp_segmentation: bool,
    /// The device takes UDP super-datagrams (`Offload::Udp`) of that length.
    pub udp_segmentation: bool,
}

impl Capabilities {
    /// A device that carries complete wire packets only.
    pub const fn plain(mtu: usize) -> Self {
        Capabilities { mtu, checksum: false, tcp_segmentation: false, udp_segmentation: false }
    }

    /// A device with checksum and segmentation offload.
    pub const fn offload(mtu: usize) -> Self {
        Capabilities { mtu, checksum: true, tcp_segmentation: true, udp_segmentation: true }
    }

    /// True if the device takes what is left undone in `offload`.
    pub fn can_carry(&self, offload: Offload) -> bool {
        match offload {
            Offload::None => true,
            Offload::Checksum { .. } => self.checksum,
            Offload::Tcp { .. } => self.tcp_segmentation,
            Offload::Udp { .. } => self.udp_segmentation,
        }
    }
}

/// What a device did, counted. Bytes are those of IP packets, without the virtio-net header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeviceCounters {
    /// Packets read, super-segments counting once.
    pub reads: u64,
    /// Bytes read.
    pub read_bytes: u64,
    /// Super-segments and super-datagrams among the packets read.
    pub read_supers: u64,
    /// Packets written, super-segments counting once.
    pub writes: u64,
    /// Bytes written.
    pub write_bytes: u64,
    /// Super-segments and super-datagrams among the packets written.
    pub write_supers: u64,
    /// Packets dropped on reading, because their offload contradicts them.
    pub invalid: u64,
    /// Frames dropped on writing, because the device refused them.
    pub refused: u64,
}

impl DeviceCounters {
    /// Every counter by its name, stable for scripts.
    pub fn named(&self) -> [(&'static str, u64); 8] {
        [
            ("device_reads", self.reads),
            ("device_read_bytes", self.read_bytes),
            ("device_read_supers", self.read_supers),
            ("device_writes", self.writes),
            ("device_write_bytes", self.write_bytes),
            ("device_write_supers", self.write_supers),
            ("device_invalid", self.invalid),
            ("device_refused", self.refused),
        ]
    }
}

impl DeviceCounters {
    /// Adds what another queue or device counted.
    pub fn add(&mut self, other: &DeviceCounters) {
        self.reads += other.reads;
        self.read_bytes += other.read_bytes;
        self.read_supers += other.read_supers;
        self.writes += other.writes;
        self.write_bytes += other.write_bytes;
        self.write_supers += other.write_supers;
        self.invalid += other.invalid;
        self.refused += other.refused;
    }

    /// Counts a packet that was read.
    fn read(&mut self, len: usize, offload: Offload) {
        self.reads += 1;
        self.read_bytes += len as u64;
        self.read_supers += u64::from(offload.is_super());
    }

    /// Counts a frame that was written.
    fn written(&mut self, frame: &Frame) {
        self.writes += 1;
        self.write_bytes += frame.len() as u64;
        self.write_supers += u64::from(frame.offload.is_super());
    }
}

/// A packet device: bursts in, bursts out, never blocking. Its descriptor becomes readable when packets wait.
pub trait Device: AsFd {
    /// What the device can do; fixed for its life.
    fn capabilities(&self) -> Capabilities;

    /// Reads up to `max` packets that wait already, appends them to `packets` and returns how many there were: fewer than
    /// `max` means that nothing more waits.
    fn recv(&mut self, packets: &mut Vec<Packet>, max: usize) -> io::Result<usize>;

    /// Writes frames from the front of `frames` until it is empty or the device is full (`Ok` with frames left over).
    /// A frame that the device refuses for good is taken out and counted by the device. [`io::ErrorKind::NetworkDown`] means
    /// that the link is down for now and the frames were dropped as a cut cable would; any other error, here and in `recv`,
    /// that the device is gone.
    fn send(&mut self, frames: &mut VecDeque<Frame>) -> io::Result<()>;

    /// What the device did so far.
    fn counters(&self) -> DeviceCounters {
        DeviceCounters::default()
    }
}
