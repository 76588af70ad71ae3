//! Runs a script: walks through its events under the virtual clock, and ends with a verdict.

use std::collections::VecDeque;

use super::calls::{Descriptor, Descriptors, Pending, Socket};
use super::clock::{Timeline, Tolerance};
use super::expression::Variables;
use super::host::{Host, Stamped, seconds};
use super::icmp;
use super::inject;
use super::log::Log;
use super::matrix::{Event as Cell, Matrix};
use super::options::RunOptions;
use super::record::{Ends, Kind, Records};
use super::script::{Action, Body, Direction, Event, PacketSpec, Ports, Script, TcpSpec};
use super::verdict::{Stop, Verdict};
use super::view::View;
use crate::base::time::{Duration, Instant};
use crate::tcp::Standing;
use crate::tcp::config::TcpConfig;
use crate::tcp::state::State;
use crate::wire::ip::{Endpoint, protocol};
use crate::wire::packet::Packet;
use crate::wire::seq::SeqNum;
use crate::wire::tcp::Flags;

/// What a run gave.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// How it ended.
    pub verdict: Verdict,
    /// Every packet and call, where `--verbose` asks for them.
    pub log: Vec<String>,
    /// Which events met which state.
    pub matrix: Matrix,
}

/// Runs a script against a fresh stack. The same script and options give the same outcome.
pub fn run(script: &Script, options: &RunOptions) -> Outcome {
    match Runner::new(options) {
        Ok(runner) => runner.run(script),
        Err(stop) => Outcome { verdict: stop.into_verdict(), log: Vec::new(), matrix: Matrix::default() },
    }
}

/// A script at work.
pub(super) struct Runner<'s> {
    pub host: Host,
    pub records: Records,
    pub descriptors: Descriptors,
    /// The descriptor that the call at hand has made and that has no number yet.
    pub made: Option<Descriptor>,
    pub pending: Option<Pending<'s>>,
    pub log: Log,
    pub options: &'s RunOptions,
    pub config: TcpConfig,
    /// The script's own names in code blocks.
    pub variables: Variables,
    /// What the stack has sent and no event has looked at.
    pub queue: VecDeque<Stamped>,
    /// The first packet that was dropped from the queue because it is not of the connection under test.
    pub passed_over: Option<Stamped>,
    timeline: Timeline,
    matrix: Matrix,
}

impl<'s> Runner<'s> {
    fn run(mut self, script: &'s Script) -> Outcome {
        let result = self.walk(script);
        let verdict = match result {
            Ok(()) => Verdict::Pass,
            Err(stop) => stop.into_verdict(),
        };
        self.log.note(&format!("{} {}", seconds(self.host.now()), verdict.name()));
        Outcome { verdict, log: self.log.into_lines(), matrix: self.matrix }
    }

    fn walk(&mut self, script: &'s Script) -> Result<(), Stop> {
        if let Some(command) = &script.setup {
            self.command(command).map_err(|stop| stop.at(command.line))?;
        }
        for event in &script.events {
            self.event(event).map_err(|stop| self.explain(stop, event))?;
        }
        let last = script.events.last().map_or(0, |event| event.line);
        self.finish().map_err(|stop| stop.at(last).with(self.log.last_packets()))?;
        script
            .cleanup
            .as_ref()
            .map_or(Ok(()), |command| self.command(command).map_err(|stop| stop.at(command.line)))
    }

    /// Adds to a diagnosis what event it was, when, and what went before.
    fn explain(&self, stop: Stop, event: &Event) -> Stop {
        let stop = stop.at(event.line);
        let Stop::Fail(found) = &stop else { return stop };
        // A pending call fails during a later event.
        let word = if found.line == event.line { "event" } else { "during" };
        let what = [format!("{word}: {event}"), format!("virtual time: {}", seconds(self.host.now()))];
        stop.with(what).with(self.log.last_packets())
    }

    fn event(&mut self, event: &'s Event) -> Result<(), Stop> {
        let direction = match &event.action {
            Action::Packet(spec) => Some(spec.direction),
            _ => None,
        };
        let inbound = direction == Some(Direction::Inbound);
        let outbound = direction == Some(Direction::Outbound);
        let due = self.timeline.due(event.when, self.host.now(), inbound, outbound)?;
        if !outbound {
            self.advance(due.scheduled(self.host.now()))?;
        }
        match &event.action {
            Action::Packet(spec) if inbound => {
                self.log.inbound(self.host.now(), spec);
                self.inject(spec)?;
            }
            Action::Packet(spec) => self.expect(spec, &due)?,
            Action::Call(call) => {
                self.log.note(&format!("{} {event}", seconds(self.host.now())));
                self.call(event.line, call, &due)?;
            }
            Action::Command(command) => self.command(command)?,
            Action::Code(block) => self.code(block)?,
        }
        self.collect();
        self.try_pending()?;
        self.timeline.done(&due, self.host.now(), inbound);
        Ok(())
    }

    /// The end of the script: nothing may be pending, and with `--leftover=fail` nothing unlooked at. Then the process is gone,
    /// with the sockets that are still open.
    fn finish(&mut self) -> Result<(), Stop> {
        if let Some(pending) = &self.pending {
            return Err(pending.unfinished());
        }
        if self.options.leftover_fails {
            self.no_leftovers()?;
        }
        self.drop_all()
    }

    pub(super) fn tolerance(&self) -> Tolerance {
        self.timeline.tolerance()
    }

    /// Moves the clock to `to`, timer by timer.
    fn advance(&mut self, to: Instant) -> Result<(), Stop> {
        while !self.step(to)? {}
        Ok(())
    }

    /// Moves the clock to the next thing that happens, at most to `to`; true when that is reached.
    pub(super) fn step(&mut self, to: Instant) -> Result<bool, Stop> {
        let deadline = self.pending.as_ref().and_then(Pending::deadline);
        let limit = deadline.map_or(to, |deadline| deadline.max(self.host.now()).min(to));
        let before = self.standing().state;
        let reached = self.host.step(limit).map_err(Stop::fail)?;
        if !reached {
            self.note_timeout(before);
        }
        self.collect();
        self.try_pending()?;
        Ok(reached && limit == to)
    }

    /// Takes what the stack has sent at this instant.
    pub(super) fn collect(&mut self) {
        for stamped in self.host.collect() {
            if let Some(view) = View::new(&stamped.bytes) {
                self.records.learn(&view);
                let ports = view.tcp().map(|tcp| Ports { src: tcp.src_port(), dst: tcp.dst_port() });
                let owner = self.records.owner(&view, None).or_else(|| self.records.owner(&view, ports));
                let numbers = owner.and_then(|index| self.records.get(index)).map(|record| &record.numbers);
                self.log.outbound(stamped.at, &view, numbers);
            }
            self.queue.push_back(stamped);
        }
    }

    fn inject(&mut self, spec: &PacketSpec) -> Result<(), Stop> {
        let ends = self.records.ends();
        let packet = match &spec.body {
            Body::Tcp(tcp) => return self.inject_segment(tcp, spec),
            &Body::Udp { ports, len } => {
                let index = self.records.inbound(protocol::UDP, ports, 0, false);
                let record = self.records.get(index).ok_or_else(|| Stop::fail("no such flow"))?;
                inject::datagram(ports, len, &spec.notes, record, ends)?
            }
            Body::Icmp(message) => icmp::message(message, &spec.notes, self.records.current(), ends)?,
        };
        self.host.deliver(packet);
        Ok(())
    }

    fn inject_segment(&mut self, tcp: &TcpSpec, spec: &PacketSpec) -> Result<(), Stop> {
        let (ends, now, flags) = (self.records.ends(), self.host.now(), Flags(tcp.flags.bits));
        let rules = self.inject_rules();
        let index = self.records.inbound(protocol::TCP, tcp.ports, tcp.range.first, flags.has(Flags::SYN));
        let record = self.records.get_mut(index).ok_or_else(|| Stop::fail("no such connection"))?;
        let (mut local, mut remote) = (record.local, record.remote);
        if let Some(ports) = tcp.ports {
            (local.port, remote.port) = (ports.dst, ports.src);
        }
        let before = self.host.stack().tcp().standing(local, remote, now);
        if flags.has(Flags::SYN) && record.kind == Kind::Connecting && before.state == State::SynSent {
            record.numbers.remote_isn = tcp.range.first;
        }
        let packet = inject::segment(tcp, &spec.notes, record, ends, rules)?;
        self.note_segment(&before, &packet);
        self.host.deliver(packet);
        let opens = flags.has(Flags::SYN) && !flags.has(Flags::ACK);
        if opens && matches!(before.state, State::Closed | State::Listen | State::TimeWait) {
            self.open_anew(index, tcp.range.first, local, remote);
        }
        Ok(())
    }

    /// A SYN has opened a connection, perhaps in the place of one that is over: its numbers begin anew.
    fn open_anew(&mut self, index: usize, isn: u32, local: Endpoint, remote: Endpoint) {
        let now = self.host.now();
        let opened = self.host.stack().tcp().standing(local, remote, now).state == State::SynReceived;
        if let Some(record) = self.records.get_mut(index).filter(|_| opened) {
            record.numbers = super::numbers::Numbers::from_remote(isn);
            record.written = 0;
        }
    }

    fn inject_rules(&self) -> inject::Rules {
        inject::Rules { scaled_echo: self.options.ts_ecr_scaled, coalesced: self.options.mss }
    }

    /// Where the current record stands in the stack itself.
    pub(super) fn standing(&mut self) -> Standing {
        let ends = self.records.ends();
        let (local, remote) = match self.records.current() {
            Some(record) if record.protocol == protocol::TCP => (record.local, record.remote),
            _ => (Endpoint::new(ends.local, 0), Endpoint::new(ends.remote, 0)),
        };
        let now = self.host.now();
        self.host.stack().tcp().standing(local, remote, now)
    }

    fn note_segment(&mut self, before: &Standing, packet: &Packet) {
        let Some(tcp) = View::new(packet.bytes()).and_then(|view| view.tcp()) else { return };
        let (seq, ack, len) = (SeqNum(tcp.seq()), SeqNum(tcp.ack()), tcp.payload.len() as u32);
        if let Some(event) = Cell::of_segment(before, seq, ack, Flags(tcp.flags()), len) {
            self.matrix.record(before.state, event);
        }
    }

    /// Timers ran: if they ended a connection that was not over, its time was up (RFC 9293 §3.10.8).
    fn note_timeout(&mut self, before: State) {
        let over = matches!(before, State::Closed | State::Listen | State::TimeWait);
        let ended = matches!(self.standing().state, State::Closed | State::Listen);
        if !over && ended {
            self.matrix.record(before, Cell::UserTimeout);
        }
    }

    /// A call meets the state of the socket it is made on.
    pub(super) fn note_call(&mut self, fd: i64, event: Cell) {
        let Some(descriptor) = self.descriptors.get(&fd) else { return };
        let state = match descriptor.socket {
            Socket::Stream => State::Closed,
            Socket::Listener(_) => State::Listen,
            Socket::Connection(id) => {
                self.host.stack().tcp().info(id).map_or(State::Closed, |info| info.state)
            }
            Socket::Datagram | Socket::Udp(_) => return,
        };
        self.matrix.record(state, event);
    }

    fn new(options: &'s RunOptions) -> Result<Self, Stop> {
        let ends = Ends {
            local: options.local_ip(),
            remote: options.remote_ip(),
            bind_port: options.bind_port,
            connect_port: options.connect_port,
        };
        let mut config = options.profile.config();
        config.syn_queue = options.syn_queue.unwrap_or(config.syn_queue);
        let host = Host::new(ends, &config, options.mtu(), options.offload)
            .map_err(|error| Stop::fail(error.to_string()))?;
        let tolerance = Tolerance {
            floor: Duration::from_micros(options.tolerance_usecs),
            percent: options.tolerance_percent,
        };
        Ok(Runner {
            host,
            records: Records::new(ends),
            descriptors: Descriptors::new(),
            made: None,
            pending: None,
            log: Log::new(options.verbose),
            options,
            config,
            variables: Variables::new(),
            queue: VecDeque::new(),
            passed_over: None,
            timeline: Timeline::new(tolerance),
            matrix: Matrix::default(),
        })
    }
}
