//! The answers: what the limit does with a segment, and what it sends of its own accord.

use tidegate_bench::http::{self, ANSWER, LAST_ANSWER};
use tidegate_bench::{CHARGEN, DISCARD, ECHO, HTTP};

use super::flow::{Flow, ISS};
use super::packet::{ACK, FIN, PSH, RST, SUPER, SYN, SYN_OPTIONS, Segment, Template};
use super::wire::Wire;

/// All flows, and a template for each kind of packet.
pub struct Responder {
    /// By the client's port.
    flows: Vec<Flow>,
    owed: Vec<u16>,
    sending: Vec<u16>,
    /// Acknowledge each packet at once.
    at_once: bool,
    in_flight: u32,
    syn_ack: Template,
    plain: Template,
    echo: Template,
    answer: Template,
    last_answer: Template,
    bulk: Template,
}

impl Responder {
    pub fn new(at_once: bool, in_flight: u32) -> Self {
        let with = |payload: &[u8]| {
            let mut template = Template::new(0, 0);
            template.set_payload(payload);
            template
        };
        let mut syn_ack = with(&SYN_OPTIONS);
        syn_ack.payload_is_options();
        Responder {
            flows: vec![Flow::default(); 1 << 16],
            owed: Vec::new(),
            sending: Vec::new(),
            at_once,
            in_flight,
            syn_ack,
            plain: with(b""),
            echo: with(b"."),
            answer: with(ANSWER),
            last_answer: with(LAST_ANSWER),
            bulk: Template::new(0, SUPER),
        }
    }

    /// Takes a packet, and answers it unless that can wait for the end of the burst.
    pub fn receive(&mut self, wire: &Wire, bytes: &[u8]) {
        let Some(segment) = Segment::parse(bytes) else { return };
        let client = segment.client_port;
        let flow = &mut self.flows[usize::from(client)];
        if segment.flags & SYN != 0 {
            let sending = flow.sending;
            *flow = Flow { sending, ..Flow::new(segment.port, segment.seq, segment.window, segment.scale()) };
            return wire.write(self.syn_ack.fill(segment.port, client, ISS, flow.rcv_nxt, SYN | ACK));
        }
        if segment.flags & RST != 0 || flow.port != segment.port {
            flow.port = 0;
            return;
        }
        flow.acknowledged(segment.ack, segment.window, segment.payload.is_empty());
        if flow.port == CHARGEN && !flow.sending && !flow.closing {
            flow.sending = true;
            self.sending.push(client);
        }
        if segment.payload.is_empty() && segment.flags & FIN == 0 {
            return;
        }
        self.take(wire, &segment);
    }

    /// Payload or FIN. What is out of order tells the client so by the number acknowledged.
    fn take(&mut self, wire: &Wire, segment: &Segment) {
        let client = segment.client_port;
        let flow = &mut self.flows[usize::from(client)];
        let in_order = segment.seq == flow.rcv_nxt;
        if in_order {
            flow.rcv_nxt = flow.rcv_nxt.wrapping_add(segment.payload.len() as u32);
        }
        if in_order && segment.flags & FIN != 0 {
            flow.rcv_nxt = flow.rcv_nxt.wrapping_add(1);
            let fin = if flow.closing { 0 } else { FIN };
            flow.closing = true;
            wire.write(self.plain.fill(flow.port, client, flow.snd_nxt, flow.rcv_nxt, ACK | fin));
            flow.snd_nxt = flow.snd_nxt.wrapping_add(u32::from(fin));
            return;
        }
        match flow.port {
            ECHO | HTTP if in_order => self.answer(wire, segment),
            DISCARD if !self.at_once => {
                if !flow.owed {
                    flow.owed = true;
                    self.owed.push(client);
                }
            }
            _ => wire.write(self.plain.fill(flow.port, client, flow.snd_nxt, flow.rcv_nxt, ACK)),
        }
    }

    fn answer(&mut self, wire: &Wire, segment: &Segment) {
        let client = segment.client_port;
        let flow = &mut self.flows[usize::from(client)];
        let close = flow.port == HTTP && http::answer(segment.payload) == http::Answer::Close;
        let (template, len) = match (flow.port, close) {
            (ECHO, _) => {
                self.echo.set_payload(segment.payload);
                (&mut self.echo, segment.payload.len())
            }
            (_, true) => (&mut self.last_answer, LAST_ANSWER.len() + 1),
            (_, false) => (&mut self.answer, ANSWER.len()),
        };
        let flags = if close { ACK | PSH | FIN } else { ACK | PSH };
        wire.write(template.fill(flow.port, client, flow.snd_nxt, flow.rcv_nxt, flags));
        flow.snd_nxt = flow.snd_nxt.wrapping_add(len as u32);
        flow.closing |= close;
    }

    /// Acknowledgements that were put off, then a run of super-segments for each flow that has room for one. True if there was any.
    pub fn transmit(&mut self, wire: &Wire) -> bool {
        for client in self.owed.drain(..) {
            let flow = &mut self.flows[usize::from(client)];
            flow.owed = false;
            wire.write(self.plain.fill(flow.port, client, flow.snd_nxt, flow.rcv_nxt, ACK));
        }
        let (flows, bulk, most) = (&mut self.flows, &mut self.bulk, self.in_flight);
        let mut sent = false;
        self.sending.retain(|&client| {
            let flow = &mut flows[usize::from(client)];
            flow.sending = flow.port == CHARGEN && !flow.closing;
            // A run is worth it once half of what may be in flight has arrived.
            if flow.sending && flow.in_flight() <= most / 2 {
                let room = most.min(flow.window);
                while flow.in_flight() + SUPER as u32 <= room {
                    wire.write(bulk.fill(flow.port, client, flow.snd_nxt, flow.rcv_nxt, ACK | PSH));
                    flow.snd_nxt = flow.snd_nxt.wrapping_add(SUPER as u32);
                    sent = true;
                }
            }
            flow.sending
        });
        sent
    }

    /// Nothing has happened for long: what is in flight is lost.
    pub fn start_over(&mut self) {
        for &client in &self.sending {
            let flow = &mut self.flows[usize::from(client)];
            flow.snd_nxt = flow.snd_una;
        }
    }
}
