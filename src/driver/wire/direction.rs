//! One direction of a wire: from a device's packets over the link, through the time they are under way, to the other device.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::io;

use crate::base::rng::Rng;
use crate::base::time::Instant;
use crate::device::link::{Carried, Fate, Link, LinkConfig, LinkCounters};
use crate::device::segment::to_wire;
use crate::device::{Device, DeviceCounters, coalesce};
use crate::wire::packet::{Frame, Packet};

/// Packets or super-segments read at once: few, because the other direction waits meanwhile.
const BURST: usize = 8;
/// Packets that may be under way: half a second of 3 Gbit/s. What exceeds it is dropped and counted.
const MOST_UNDER_WAY: usize = 1 << 17;

/// What one direction did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DirectionCounters {
    /// The link's counts.
    pub link: LinkCounters,
    /// Copies that found too many under way already.
    pub overflow: u64,
    /// Copies that the receiving device refused, because it was down for example.
    pub refused: u64,
}

impl DirectionCounters {
    /// Every counter by its name, stable for scripts.
    pub fn named(&self) -> impl Iterator<Item = (&'static str, u64)> {
        // A wire has no filter.
        let link = self.link.named().into_iter().filter(|(name, _)| *name != "filtered");
        link.chain([("overflow", self.overflow), ("refused", self.refused)])
    }
}

/// The link of one direction and what is on it.
pub(super) struct Direction {
    link: Link<Packet>,
    /// By arrival, and then by the order they were sent in.
    under_way: BTreeMap<(Instant, u64), Packet>,
    number: u64,
    overflow: u64,
    /// The writing device's counts.
    written: DeviceCounters,
    /// Due, and not yet taken by the device.
    frames: VecDeque<Frame>,
    packets: Vec<Packet>,
}

impl Direction {
    pub(super) fn new(config: LinkConfig, rng: Rng) -> Self {
        Direction {
            link: Link::new(config, rng),
            under_way: BTreeMap::new(),
            number: 0,
            overflow: 0,
            written: DeviceCounters::default(),
            frames: VecDeque::new(),
            packets: Vec::with_capacity(BURST),
        }
    }

    /// Puts on the link what the device has, and on their way what the link lets out.
    pub(super) fn read(&mut self, from: &mut impl Device, now: impl Fn() -> Instant) -> io::Result<()> {
        from.recv(&mut self.packets, BURST)?;
        let now = now();
        for packet in self.packets.drain(..) {
            to_wire(packet).into_iter().for_each(|packet| self.link.push(packet, now));
        }
        while let Some(carried) = self.link.poll(now) {
            self.depart(carried);
        }
        Ok(())
    }

    /// Writes what is due.
    pub(super) fn write(&mut self, to: &mut impl Device, now: Instant) -> io::Result<()> {
        // What a full device left over goes first; the rest stays under way, where it is bounded.
        if self.frames.is_empty() {
            let (under_way, frames) = (&mut self.under_way, &mut self.frames);
            let due = std::iter::from_fn(|| {
                under_way.first_entry().filter(|entry| entry.key().0 <= now).map(|entry| entry.remove())
            });
            if to.capabilities().tcp_segmentation {
                coalesce::join(due, |frame| frames.push_back(frame));
            } else {
                frames.extend(due.map(Frame::from));
            }
        }
        if self.frames.is_empty() {
            return Ok(());
        }
        let sent = to.send(&mut self.frames);
        self.written = to.counters();
        match sent {
            // No more than a loss; the device has counted it.
            Err(error) if error.kind() == io::ErrorKind::NetworkDown => {
                self.frames.clear();
                Ok(())
            }
            sent => sent,
        }
    }

    /// When there is something to do without a packet coming in. A full device says itself when it has room.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let arrival = self.under_way.first_key_value().map(|(&(at, _), _)| at);
        arrival.filter(|_| self.frames.is_empty()).into_iter().chain(self.link.poll_timeout()).min()
    }

    pub(super) fn counters(&self) -> DirectionCounters {
        DirectionCounters {
            link: self.link.counters(),
            overflow: self.overflow,
            refused: self.written.refused,
        }
    }

    fn depart(&mut self, carried: Carried<Packet>) {
        let Carried { packet, passages, .. } = carried;
        let Some((first, copies)) = passages.split_first() else { return };
        for copy in copies {
            self.arrive(copy.fate, Packet::from_slice(&copy.apply(packet.bytes())));
        }
        let changed = match first.apply(packet.bytes()) {
            Cow::Borrowed(_) => None,
            Cow::Owned(bytes) => Some(Packet::from_slice(&bytes)),
        };
        self.arrive(first.fate, changed.unwrap_or(packet));
    }

    fn arrive(&mut self, fate: Fate, packet: Packet) {
        let Fate::Arrives(at) = fate else { return };
        if self.under_way.len() >= MOST_UNDER_WAY {
            self.overflow += 1;
            return;
        }
        self.number += 1;
        self.under_way.insert((at, self.number), packet);
    }
}
