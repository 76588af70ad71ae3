//! One flow of the limit: the numbers without which no segment can be made.

/// The first sequence number of every flow; the client trusts it.
pub const ISS: u32 = 1_000_000;

/// A flow, found by the client's port.
#[derive(Clone, Copy, Debug, Default)]
pub struct Flow {
    pub port: u16,
    pub snd_nxt: u32,
    pub snd_una: u32,
    pub rcv_nxt: u32,
    /// What the client takes, in bytes.
    pub window: u32,
    pub scale: u8,
    /// Acknowledgements in a row that acknowledged nothing.
    pub repeated: u8,
    /// In the list of flows that are owed an acknowledgement.
    pub owed: bool,
    /// In the list of flows that are sent to.
    pub sending: bool,
    pub closing: bool,
}

impl Flow {
    /// Answers a SYN.
    pub fn new(port: u16, seq: u32, window: u16, scale: u8) -> Flow {
        let rcv_nxt = seq.wrapping_add(1);
        Flow {
            port,
            snd_nxt: ISS + 1,
            snd_una: ISS + 1,
            rcv_nxt,
            window: window.into(),
            scale,
            ..Flow::default()
        }
    }

    pub fn in_flight(&self) -> u32 {
        self.snd_nxt.wrapping_sub(self.snd_una)
    }

    /// Takes an acknowledgement. Three in a row that acknowledge nothing new: everything from there goes again.
    pub fn acknowledged(&mut self, ack: u32, window: u16, alone: bool) {
        let window = u32::from(window) << self.scale;
        let progress = ack.wrapping_sub(self.snd_una);
        if progress > 0 && progress <= self.in_flight() {
            self.snd_una = ack;
            self.repeated = 0;
        } else if progress == 0 && alone && self.in_flight() > 0 && window == self.window {
            self.repeated += 1;
            if self.repeated == 3 {
                self.snd_nxt = self.snd_una;
            }
        }
        self.window = window;
    }
}
