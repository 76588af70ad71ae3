//! The path MTU of a connection: too-big messages, checked as RFC 5927 §7 asks, and what is resent after them (RFC 1191, RFC 8201);
//! black holes, where such messages are lost (RFC 2923 §2.1, RFC 4821 §7.7).
//!
//! The effective send MSS is the agreed one, or less where the path carries less (MUST-16, SHLD-6); the MSS option in a SYN says
//! what this side can receive and is not lowered (policy 2). What paths carry is remembered for all connections in `ip::path_mtu`.
//!
//! A black hole is a guess of one connection: full segments time out again and again. Then smaller ones are tried, and after a while
//! larger ones again. RFC 4821's search in between, by probes of sizes nobody asked for, is not made.

use std::net::IpAddr;

use crate::base::time::{Duration, Instant};
use crate::ip::path_mtu::{FLOOR_V4, FLOOR_V6, LIFETIME, PathMtu, PathMtus, plausible};
use crate::wire::seq::SeqNum;
use crate::wire::tcp::TIMESTAMP_LEN;

use super::delivered::Delivered;
use super::segment::fixed_headers;
use super::tcb::{Env, Tcb};

/// Beyond R1 timeouts (Linux alike): times that a size is sent before a smaller one is tried.
const TRIES: u8 = 2;
/// What is tried in a black hole, in bytes of packet: Linux's `tcp_base_mss` with its headers, then the floor.
const STEPS_V4: [u16; 2] = [1_064, FLOOR_V4];
/// IPv6 has one size that every path carries.
const STEPS_V6: [u16; 1] = [FLOOR_V6];
/// When larger packets are tried again for the first time; each vain attempt costs a timeout and doubles this, up to [`LIFETIME`].
const FIRST_RETRY: Duration = Duration::from_secs(30);

/// What a connection knows of its path.
#[derive(Debug)]
pub struct PathState {
    /// The version of the stack's path MTUs that `mss` was taken from.
    version: u32,
    /// When the segment of `proven` bytes was sent, in milliseconds that wrap around.
    proven_at: u32,
    /// Payload bytes of the largest segment that the last acknowledgement covered.
    proven: u16,
    /// The largest payload that the path carries; [`u16::MAX`]: no limit known.
    mss: u16,
}

impl Default for PathState {
    fn default() -> Self {
        PathState { version: 0, proven_at: 0, proven: 0, mss: u16::MAX }
    }
}

/// A path that seems to swallow full segments.
#[derive(Debug)]
pub struct BlackHole {
    /// The largest packet that is thought to pass, in bytes.
    mtu: u16,
    /// A larger one is being tried.
    trying: bool,
    /// When a larger one is tried, known since the smaller ones pass.
    retry_at: Option<Instant>,
    /// How long that is put off.
    wait: Duration,
}

impl BlackHole {
    fn is_due(&self, now: Instant) -> bool {
        !self.trying && self.retry_at.is_some_and(|at| at <= now)
    }
}

impl PathState {
    /// The largest payload that the path carries.
    pub fn mss(&self) -> u16 {
        self.mss
    }
}

impl Tcb {
    /// Brings the MSS up to date with what the stack knows of the path: lower after a message, to whichever connection it came,
    /// higher when that has expired or a black hole is put to the test.
    pub fn follow_path(&mut self, paths: &PathMtus, env: &Env) {
        // Before that it is not known which options every segment will carry.
        if !self.state.is_synchronized() {
            return;
        }
        if let Some(hole) = self.black_hole_mut().filter(|hole| hole.is_due(env.now)) {
            hole.trying = true;
        } else if self.path.version == paths.version() {
            return;
        }
        self.path.version = paths.version();
        if !self.options.path_mtu_discovery {
            return;
        }
        let known = paths.for_segments(self.tuple.remote.addr);
        let hole = self.trouble.black_hole.as_ref().filter(|hole| !hole.trying).map(|hole| hole.mtu);
        self.path.mss = self.payload_of(hole.unwrap_or(u16::MAX).min(known.mtu));
        self.may_fragment = known.may_fragment;
        if self.snd.nxt == self.snd.iss + 1 {
            // Nothing was sent yet: the initial window counts segments of this size (RFC 6928).
            self.begin_congestion(env.config);
        }
    }

    /// A router says that the segment at `seq` was too big. False if that is not to be believed.
    pub fn on_packet_too_big(
        &mut self,
        reported: u32,
        seq: SeqNum,
        paths: &mut PathMtus,
        env: &mut Env,
    ) -> bool {
        let dst = self.tuple.remote.addr;
        // RFC 5927 §4.1: the quoted number must be under way.
        let Some(record) = self.flight.sent.find(seq).filter(|_| self.options.path_mtu_discovery) else {
            return false;
        };
        let (size, sent_at) = (self.packet_of(record.segment), record.sent_at);
        let Some(path) = plausible(dst, reported, size).filter(|path| !self.disproves(path, sent_at)) else {
            return false;
        };
        if path.may_fragment && self.may_fragment {
            // It goes without DF already.
            return false;
        }
        paths.lower_for_segments(dst, path, env.now);
        self.follow_path(paths, env);
        // Below the floor everything is sent anew, now without DF.
        self.resend_larger(if path.may_fragment { 0 } else { self.path.mss }, env);
        true
    }

    /// RFC 5927 §7.2 (hostile case T9): a packet larger than that was acknowledged and was sent no earlier, so the path carries it.
    /// Should it have changed in between, the message that the retransmission draws is believed.
    fn disproves(&self, path: &PathMtu, sent_at: Instant) -> bool {
        let later = self.path.proven_at.wrapping_sub(sent_at.as_millis() as u32) as i32 >= 0;
        later && self.packet_of(self.path.proven) > path.mtu
    }

    /// What was too big is sent again at once, with neither a smaller window nor a longer timeout: nothing was lost to congestion
    /// (RFC 1191 §6.5, RFC 8201 §5.4; policy 22).
    fn resend_larger(&mut self, mss: u16, env: &Env) {
        if self.flight.sent.mark_larger(mss, self.snd.fin) {
            self.recovery.repeat(self.snd.nxt);
            (self.flight.dup_acks, self.flight.departed) = (0, 0);
            self.arm_retransmit(env);
        }
    }

    /// The retransmission timer fired: is it that full segments vanish on the path? (RFC 4821 §7.7)
    pub fn suspect_black_hole(&mut self, env: &Env) {
        let Some(first) = self.flight.sent.first().filter(|_| env.config.black_hole_detection) else {
            return;
        };
        // Packets that routers may fragment fall into no black hole.
        if !self.options.path_mtu_discovery {
            return;
        }
        let size = self.packet_of(first.segment);
        let mtu = match self.black_hole_mut().filter(|hole| hole.trying) {
            Some(hole) if size > hole.mtu => {
                hole.trying = false;
                hole.wait = (hole.wait * 2).min(LIFETIME);
                hole.retry_at = None;
                hole.mtu
            }
            Some(_) => return,
            None => {
                let wait = self.trouble.black_hole.as_ref().map_or(FIRST_RETRY, |hole| hole.wait);
                let beyond = self.retries.saturating_sub(self.options.r1);
                let due = beyond % TRIES == 1;
                let Some(mtu) = next_step(self.tuple.remote.addr, size).filter(|_| due) else { return };
                let hole = BlackHole { mtu, trying: false, retry_at: None, wait };
                self.trouble.black_hole = Some(hole);
                mtu
            }
        };
        self.path.mss = self.path.mss.min(self.payload_of(mtu));
    }

    /// The peer acknowledged what was sent: segments of that size arrive.
    pub fn note_delivered(&mut self, delivered: &Delivered, now: Instant) {
        if let Some(hole) = self.black_hole_mut().filter(|hole| !hole.trying) {
            hole.retry_at.get_or_insert(now + hole.wait);
        }
        let Some(sent_at) = delivered.sent_at.filter(|_| delivered.segment > 0) else { return };
        self.path.proven = delivered.segment;
        self.path.proven_at = sent_at.as_millis() as u32;
        let size = self.packet_of(delivered.segment);
        if self.trouble.black_hole.as_ref().is_some_and(|hole| hole.trying && size > hole.mtu) {
            self.trouble.black_hole = None;
        }
    }

    fn black_hole_mut(&mut self) -> Option<&mut BlackHole> {
        self.trouble.as_mut()?.black_hole.as_mut()
    }

    /// The largest packet that the path is known to carry, in bytes, behind a device with this MTU.
    pub fn path_mtu(&self, device: usize) -> u32 {
        u32::from(self.packet_of(self.path.mss)).min(device as u32)
    }

    /// Bytes of a packet with so much payload; SACK blocks, which come and go, not counted.
    fn packet_of(&self, payload: u16) -> u16 {
        payload.saturating_add(self.overhead())
    }

    /// Bytes of payload in a packet of this size (MUST-16).
    fn payload_of(&self, packet: u16) -> u16 {
        packet.saturating_sub(self.overhead()).max(1)
    }

    fn overhead(&self) -> u16 {
        let options = if self.agreed.timestamps { TIMESTAMP_LEN } else { 0 };
        (fixed_headers(self.tuple.remote.addr) + options) as u16
    }
}

fn next_step(dst: IpAddr, size: u16) -> Option<u16> {
    let steps: &[u16] = if dst.is_ipv4() { &STEPS_V4 } else { &STEPS_V6 };
    steps.iter().copied().find(|&step| step < size)
}
