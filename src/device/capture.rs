//! A pcapng file of what passes a device, as Wireshark reads it: wire packets, super-segments split, checksums complete.
//!
//! Three block types of the format (draft-ietf-opsawg-pcapng §4.1 to §4.3), one interface of raw IP packets, times in
//! nanoseconds as the caller tells them. Nothing is read back.

use std::io::{self, Write};

use super::segment;
use crate::base::buffer::Buffer;
use crate::base::time::Instant;
use crate::wire::packet::{Frame, Offload, Packet};

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
const ENHANCED_PACKET: u32 = 6;
/// Packets begin with an IP header of either version.
const LINKTYPE_RAW: u16 = 101;

/// Which way a packet goes, as the capturing side sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Received by the stack.
    In,
    /// Sent by the stack.
    Out,
}

/// Writes packets to `W` as they are recorded; give it a `BufWriter` for files.
#[derive(Debug)]
pub struct Capture<W: Write> {
    out: W,
    /// Nanoseconds from 1970 to the origin of the recorded times.
    epoch: u64,
}

impl<W: Write> Capture<W> {
    /// Starts a capture. `epoch` is the time of day at [`Instant::ZERO`], in nanoseconds since 1970; zero in a simulation.
    ///
    /// # Errors
    /// Those of writing.
    pub fn new(mut out: W, epoch: u64) -> io::Result<Self> {
        // Byte order mark, version 1.0, section length unknown.
        let header = [&0x1a2b_3c4d_u32.to_ne_bytes()[..], &1u16.to_ne_bytes(), &[0; 2], &[0xff; 8]];
        write_block(&mut out, SECTION_HEADER, &header)?;
        // Link type, snap length without limit; if_tsresol (9): ten to the minus nine.
        let resolution = option(9, &[9]);
        let interface = [&LINKTYPE_RAW.to_ne_bytes()[..], &[0; 6], &resolution];
        write_block(&mut out, INTERFACE_DESCRIPTION, &interface)?;
        Ok(Capture { out, epoch })
    }

    /// Records what arrived or left as `bytes` with `offload`, as the wire packets that it stands for.
    ///
    /// # Errors
    /// Those of writing.
    pub fn record(
        &mut self,
        direction: Direction,
        bytes: &[u8],
        offload: Offload,
        now: Instant,
    ) -> io::Result<()> {
        self.record_packet(direction, Packet { buffer: Buffer::copy_of(bytes), offload }, now)
    }

    /// Records a frame that is sent.
    ///
    /// # Errors
    /// Those of writing.
    pub fn record_frame(&mut self, frame: &Frame, now: Instant) -> io::Result<()> {
        self.record_packet(Direction::Out, frame.to_packet(), now)
    }

    /// Hands everything to the system.
    ///
    /// # Errors
    /// Those of writing.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    fn record_packet(&mut self, direction: Direction, packet: Packet, now: Instant) -> io::Result<()> {
        let time = self.epoch.saturating_add(now.as_nanos());
        let (high, low) = ((time >> 32) as u32, time as u32);
        // epb_flags (2): inbound 1, outbound 2.
        let flags = option(2, &(if direction == Direction::In { 1u32 } else { 2 }).to_ne_bytes());
        for packet in segment::to_wire(packet) {
            let len = packet.bytes().len() as u32;
            let fixed: Vec<u8> = [0, high, low, len, len].into_iter().flat_map(u32::to_ne_bytes).collect();
            let padding = &[0; 3][..len.next_multiple_of(4) as usize - len as usize];
            write_block(&mut self.out, ENHANCED_PACKET, &[&fixed, packet.bytes(), padding, &flags])?;
        }
        Ok(())
    }
}

/// One option and the end of options.
fn option(code: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = [code.to_ne_bytes(), (value.len() as u16).to_ne_bytes()].concat();
    bytes.extend_from_slice(value);
    bytes.resize(bytes.len().next_multiple_of(4) + 4, 0);
    bytes
}

/// A block's length stands at both ends, so that readers can go backwards. The parts make up whole words.
fn write_block(out: &mut impl Write, kind: u32, parts: &[&[u8]]) -> io::Result<()> {
    let len = 12 + parts.iter().map(|part| part.len()).sum::<usize>() as u32;
    out.write_all(&kind.to_ne_bytes())?;
    out.write_all(&len.to_ne_bytes())?;
    parts.iter().try_for_each(|part| out.write_all(part))?;
    out.write_all(&len.to_ne_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The file's blocks: kind and body. Both lengths of each agree and are whole words.
    fn blocks(mut file: &[u8]) -> Vec<(u32, Vec<u8>)> {
        let word = |bytes: &[u8]| u32::from_ne_bytes(bytes[..4].try_into().unwrap());
        let mut blocks = Vec::new();
        while !file.is_empty() {
            let len = word(&file[4..]) as usize;
            assert_eq!((len % 4, word(&file[len - 4..]) as usize), (0, len));
            blocks.push((word(file), file[8..len - 4].to_vec()));
            file = &file[len..];
        }
        blocks
    }

    #[test]
    fn a_capture_is_a_section_with_one_interface_and_whole_blocks() {
        let mut capture = Capture::new(Vec::new(), 1 << 40).unwrap();
        capture.record(Direction::In, b"12345", Offload::None, Instant::from_nanos(7)).unwrap();
        let blocks = blocks(&capture.out);
        assert_eq!(
            blocks.iter().map(|block| block.0).collect::<Vec<_>>(),
            [SECTION_HEADER, INTERFACE_DESCRIPTION, ENHANCED_PACKET]
        );
        let words = [0u32, 1 << 8, 7, 5, 5].map(u32::to_ne_bytes).concat();
        let flags = [[2, 0, 4, 0], [1, 0, 0, 0], [0; 4]].concat();
        assert_eq!(blocks[2].1, [&words, &b"12345\0\0\0"[..], &flags].concat());
    }

    #[test]
    fn a_super_segment_is_recorded_as_wire_packets() {
        let mut bytes = vec![0; 40 + 250];
        (bytes[0], bytes[32]) = (0x45, 0x50);
        let mut capture = Capture::new(Vec::new(), 0).unwrap();
        let offload = Offload::Tcp { mss: 100, start: 20 };
        capture.record(Direction::Out, &bytes, offload, Instant::ZERO).unwrap();
        assert_eq!(blocks(&capture.out).len(), 2 + 3);
        let offload = Offload::Udp { size: 100, start: 20 };
        capture.record(Direction::Out, &bytes[..28 + 250], offload, Instant::ZERO).unwrap();
        assert_eq!(blocks(&capture.out).len(), 2 + 3 + 3);
    }
}
