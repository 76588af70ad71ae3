//! Packets out: waits for the next one of the connection under test, and compares it with what the script expects.

use super::clock::Due;
use super::describe;
use super::host::{START, seconds};
use super::join::{self, Joined};
use super::matching::{Difference, Differences, Rules, protocol_name};
use super::numbers::Numbers;
use super::record::Record;
use super::run::Runner;
use super::script::{Body, OptionsSpec, PacketSpec, Ports, TcpOptionSpec, TcpSpec};
use super::verdict::Stop;
use super::view::View;
use crate::base::time::{Duration, Instant};
use crate::wire::tcp::Flags;

/// How long beyond the latest time a packet is waited for, to tell a late one from a missing one.
const PATIENCE: Duration = Duration::from_secs(2);
/// The same for `*`.
const PATIENCE_ANY: Duration = Duration::from_secs(3600);

/// A packet that was compared.
struct Compared {
    differences: Vec<Difference>,
    /// In script notation.
    actual: String,
    /// The stamp of the last packet it is made of.
    stamp: Instant,
    /// How many packets of the queue it is made of.
    count: usize,
}

impl Runner<'_> {
    /// The next packet must be this one, in time.
    pub(super) fn expect(&mut self, spec: &PacketSpec, due: &Due) -> Result<(), Stop> {
        if matches!(&spec.body, Body::Tcp(tcp) if tcp.flags.ace.is_some()) {
            return Err(Stop::skip("accurate ECN (RFC 9768) is not supported"));
        }
        let ports = explicit_ports(spec);
        self.await_packet(spec, ports, due)?;
        if let Body::Tcp(tcp) = &spec.body {
            self.learn_script_isn(tcp, ports);
        }
        let places = self.owned(ports);
        let mut compared = self.compare(spec, &places)?;
        if let Some(miss) = due.miss(compared.stamp) {
            let difference = Difference {
                field: "time",
                expected: time_range(due),
                actual: format!("{} ({miss})", seconds(compared.stamp)),
            };
            compared.differences.push(difference);
        }
        if compared.differences.is_empty() {
            self.learn_timestamps(spec, &places[..compared.count]);
            places[..compared.count].iter().rev().for_each(|&place| drop(self.queue.remove(place)));
            return Ok(());
        }
        Err(mismatch(spec, due, &compared))
    }

    /// Waits until a packet of this event's connection is queued.
    fn await_packet(&mut self, spec: &PacketSpec, ports: Option<Ports>, due: &Due) -> Result<(), Stop> {
        let limit = due.latest().map_or(self.host.now() + PATIENCE_ANY, |latest| latest + PATIENCE);
        loop {
            self.drop_foreign(ports);
            if !self.queue.is_empty() && !self.owned(ports).is_empty() {
                return Ok(());
            }
            let deadline = self.pending.as_ref().and_then(|pending| pending.deadline());
            let next = [self.host.next_timer(), deadline].into_iter().flatten().min();
            match next.filter(|&next| next <= limit) {
                Some(next) => self.step(next)?,
                None => {
                    let until = seconds(due.latest().map_or(self.host.now(), |_| limit));
                    return Err(Stop::fail(format!("nothing sent until {until}"))
                        .with([format!("expected: {spec}  at {}", time_range(due))]));
                }
            };
        }
    }

    /// Takes packets of other connections from the queue's front; where silence is asserted, the first is remembered.
    fn drop_foreign(&mut self, ports: Option<Ports>) {
        while let Some(view) = self.queue.front().map(|stamped| View::new(&stamped.bytes)) {
            let keep = view.is_some_and(|view| {
                self.records.owner(&view, ports).is_some()
                    || self.records.owner(&view, None).is_some()
                    || self.records.is_beside(&view)
            });
            if keep {
                return;
            }
            let foreign = self.queue.pop_front();
            self.passed_over = self.passed_over.take().or(foreign);
        }
    }

    /// The places in the queue of the packets of this event's connection.
    fn owned(&self, ports: Option<Ports>) -> Vec<usize> {
        let owner = |bytes: &[u8]| View::new(bytes).and_then(|view| self.records.owner(&view, ports));
        let mut first = None;
        let mut places = Vec::new();
        for (place, stamped) in self.queue.iter().enumerate() {
            let index = owner(&stamped.bytes);
            if index.is_some() && (first.is_none() || first == index) {
                first = index;
                places.push(place);
            }
        }
        places
    }

    /// The record whose numbers count for the first of these packets.
    fn record_of(&self, place: Option<&usize>, ports: Option<Ports>) -> Option<usize> {
        let stamped = self.queue.get(*place?)?;
        self.records.owner(&View::new(&stamped.bytes)?, ports)
    }

    /// The first `> S` or `> S.` event tells what the script calls the stack's initial number.
    fn learn_script_isn(&mut self, tcp: &TcpSpec, ports: Option<Ports>) {
        let index = self.record_of(self.owned(ports).first(), ports);
        if let Some(record) = index.and_then(|index| self.records.get_mut(index))
            && Flags(tcp.flags.bits).has(Flags::SYN)
        {
            record.numbers.script_isn.get_or_insert(tcp.range.first);
        }
    }

    fn compare(&self, spec: &PacketSpec, places: &[usize]) -> Result<Compared, Stop> {
        let queued: Vec<_> = places.iter().filter_map(|&place| self.queue.get(place)).collect();
        let views: Vec<View<'_>> = queued.iter().filter_map(|stamped| View::new(&stamped.bytes)).collect();
        let (Some(first), Some(stamped)) = (views.first(), queued.first()) else {
            return Err(Stop::fail("nothing sent"));
        };
        let index = self.record_of(places.first(), explicit_ports(spec));
        let record = index.and_then(|index| self.records.get(index));
        let fallback = Numbers::default();
        let numbers = record.map_or(&fallback, |record| &record.numbers);
        let mut differences = Differences::default();
        let mut actual = describe::packet(first, numbers).map_or("?".to_owned(), |spec| spec.to_string());
        let (mut count, mut stamp) = (1, stamped.at);
        match &spec.body {
            Body::Tcp(tcp) => match self.join(&views, tcp) {
                Some((joined, problem)) => {
                    differences.tcp(tcp, &joined, numbers, last_byte(record), self.match_rules());
                    differences.ip(&spec.notes, &joined.last);
                    if let Some(problem) = problem {
                        differences.note("burst", format!("{} bytes", tcp.range.len), problem);
                    }
                    actual = describe_joined(&joined, numbers).unwrap_or(actual);
                    count = joined.count;
                    stamp = queued[count - 1].at;
                }
                None => differences.note("protocol", "tcp", protocol_name(first)),
            },
            Body::Udp { len, .. } => {
                differences.udp(*len, first);
                differences.ip(&spec.notes, first);
            }
            Body::Icmp(message) => {
                differences.icmp(message, first)?;
                differences.ip(&spec.notes, first);
            }
        }
        Ok(Compared { differences: differences.0, actual, stamp, count })
    }

    fn join<'a>(&self, views: &[View<'a>], tcp: &TcpSpec) -> Option<(Joined<'a>, Option<String>)> {
        let wanted = if self.options.strict_segments { 0 } else { tcp.range.len as usize };
        join::join(views, wanted)
    }

    fn match_rules(&self) -> Rules {
        let since = self.host.now().since(START);
        let tolerance = self.tolerance().of(since);
        Rules {
            psh_strict: self.options.psh_strict,
            ts_ecr: self.options.ts_ecr,
            ts_tick_usecs: self.options.ts_tick_usecs,
            ts_tolerance_usecs: tolerance.as_micros() as u64,
        }
    }

    fn learn_timestamps(&mut self, spec: &PacketSpec, places: &[usize]) {
        let Body::Tcp(TcpSpec { options: OptionsSpec::List(expected), .. }) = &spec.body else { return };
        let written = expected.iter().find_map(timestamp);
        let last = places.last().and_then(|&place| self.queue.get(place));
        let tcp = last.and_then(|stamped| View::new(&stamped.bytes)).and_then(|view| view.tcp());
        let real = tcp.and_then(|tcp| tcp.options().0.iter().find_map(timestamp));
        let index = self.record_of(places.first(), explicit_ports(spec));
        if let (Some(written), Some(real), Some(index)) = (written, real, index)
            && let Some(record) = self.records.get_mut(index)
        {
            record.numbers.learn_timestamp(written, real);
        }
    }

    /// Silence is asserted: nothing may have been sent that no event looked at, by whatever connection.
    pub(super) fn no_leftovers(&mut self) -> Result<(), Stop> {
        let Some(stamped) = self.passed_over.as_ref().or(self.queue.front()) else { return Ok(()) };
        let view = View::new(&stamped.bytes);
        let index = view.and_then(|view| self.records.of_packet(&view));
        let fallback = Numbers::default();
        let numbers = index.and_then(|index| self.records.get(index)).map_or(&fallback, |r| &r.numbers);
        let what = view.and_then(|view| describe::packet(&view, numbers)).map(|spec| spec.to_string());
        let what = what.unwrap_or_else(|| "a packet".to_owned());
        Err(Stop::fail(format!("left over at the end: {what}  at {}", seconds(stamped.at))))
    }
}

fn explicit_ports(spec: &PacketSpec) -> Option<Ports> {
    match &spec.body {
        Body::Tcp(tcp) => tcp.ports,
        Body::Udp { ports, .. } => *ports,
        Body::Icmp(_) => None,
    }
}

fn timestamp(option: &TcpOptionSpec) -> Option<u32> {
    match option {
        TcpOptionSpec::Timestamps { val, .. } => Some(*val),
        _ => None,
    }
}

/// The sequence number behind the last byte that the application has written.
fn last_byte(record: Option<&Record>) -> u32 {
    let Some(record) = record else { return 0 };
    record.numbers.local_isn.unwrap_or(0).wrapping_add(1).wrapping_add(record.written as u32)
}

fn describe_joined(joined: &Joined<'_>, numbers: &Numbers) -> Option<String> {
    let mut spec = describe::packet(&joined.last, numbers)?;
    if let Body::Tcp(tcp) = &mut spec.body {
        let syn = Flags(joined.flags).has(Flags::SYN);
        tcp.range.first = numbers.local_to_script(joined.seq, syn);
        tcp.range.len = joined.payload.len() as u32;
        tcp.flags.bits = joined.flags;
    }
    Some(spec.to_string())
}

fn time_range(due: &Due) -> String {
    match due.range {
        None => "any time".to_owned(),
        Some((start, end)) => {
            let range =
                if start == end { seconds(start) } else { format!("{}~{}", seconds(start), seconds(end)) };
            format!("{range} (+-{:.6})", due.tolerance.as_secs_f64())
        }
    }
}

fn mismatch(spec: &PacketSpec, due: &Due, compared: &Compared) -> Stop {
    let fields: Vec<_> = compared.differences.iter().map(|difference| difference.field).collect();
    let lines = [
        format!("expected: {spec}  at {}", time_range(due)),
        format!("actual:   {}  at {}", compared.actual, seconds(compared.stamp)),
    ];
    let each = compared
        .differences
        .iter()
        .map(|d| format!("{}: expected {}, got {}", d.field, d.expected, d.actual));
    Stop::fail(format!("the packet differs in {}", fields.join(", "))).with(lines).with(each)
}
