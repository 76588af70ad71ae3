//! Reassembly against a model that keeps every byte in its place and knows nothing of lists: the same datagrams must come out whole,
//! at the same fragment, with the same bytes.

use std::net::IpAddr;

use arbitrary::{Result, Unstructured};
use tidegate::base::counters::Counters;
use tidegate::base::rng::Rng;
use tidegate::base::time::{Duration, Instant};
use tidegate::ip::reassembly::{MAX_FRAGMENTS, Outcome, Reassembly, TIMEOUT};
use tidegate::wire::ip::{Fragment, IpHeader, MAX_PACKET, protocol};

/// Datagrams that the fuzzer works on at once: few, so that none is evicted for want of room.
const DATAGRAMS: usize = 3;

/// Runs one list of fragments.
pub fn run(bytes: &[u8]) {
    // Running out of input ends the run.
    let _ = fragments(&mut Unstructured::new(bytes));
}

fn fragments(input: &mut Unstructured) -> Result<()> {
    let mut reassembly = Reassembly::new(&mut Rng::from_seed([1; 32]));
    let (mut counters, mut now) = (Counters::default(), Instant::ZERO);
    let mut models: [Model; DATAGRAMS * 2] = Default::default();
    while !input.is_empty() {
        let which = input.int_in_range(0..=2 * DATAGRAMS - 1)?;
        if input.ratio(1, 16)? {
            now = now + Duration::from_millis(input.int_in_range(0..=70_000)?);
            while reassembly.expire(&mut counters, now).is_some() {}
            models
                .iter_mut()
                .filter(|model| model.deadline <= now)
                .for_each(|model| *model = Model::default());
        }
        let (header, part, body) = fragment(input, which)?;
        let outcome = reassembly.insert(&header, part, &body, 0..body.len(), &mut counters, now);
        let room = MAX_PACKET - if header.dst.is_ipv4() { 20 } else { 0 };
        let expected = models[which].insert(part, &body, room, now);
        match (outcome, expected) {
            (Outcome::Complete(_, buffer), Expected::Complete(bytes)) => {
                assert_eq!(buffer.written(), bytes);
                models[which] = Model::default();
            }
            (Outcome::Held, Expected::Held) | (Outcome::Dropped(_), Expected::Dropped) => {}
            (outcome, expected) => panic!("{outcome:?}, but the model says {expected:?}"),
        }
    }
    while reassembly.expire(&mut counters, now + TIMEOUT).is_some() {}
    assert!(reassembly.poll_timeout().is_none(), "something is left after the timeout");
    Ok(())
}

fn fragment(input: &mut Unstructured, which: usize) -> Result<(IpHeader, Fragment, Vec<u8>)> {
    let (src, dst): (IpAddr, IpAddr) = if which % 2 == 0 {
        ([10, 0, 0, 1].into(), [10, 0, 0, 2].into())
    } else {
        ([0xfd77, 0, 0, 0, 0, 0, 0, 1].into(), [0xfd77, 0, 0, 0, 0, 0, 0, 2].into())
    };
    let header = IpHeader { src, dst, protocol: protocol::UDP, hop_limit: 64, traffic_class: 0 };
    // Small datagrams meet their own edges more often than large ones.
    let units = if input.ratio(1, 8)? { 8_191 } else { 12 };
    let offset = input.int_in_range(0..=units)? * 8;
    let len =
        if input.ratio(7, 8)? { 8 * input.int_in_range(1..=4)? } else { input.int_in_range(0..=3_000)? };
    let seed: u8 = if input.ratio(1, 8)? { input.arbitrary()? } else { 0 };
    let body = (0..len).map(|index| (usize::from(offset) + index) as u8 ^ seed).collect();
    Ok((header, Fragment { id: which as u32, offset, more: input.ratio(3, 4)? }, body))
}

#[derive(Debug)]
enum Expected {
    Complete(Vec<u8>),
    Held,
    Dropped,
}

/// A datagram as a row of places, each empty or taken by a fragment.
#[derive(Debug)]
struct Model {
    deadline: Instant,
    places: Vec<Option<u8>>,
    /// Start, end and "more" of what was taken.
    taken: Vec<(usize, usize, bool)>,
    spoiled: bool,
}

impl Default for Model {
    fn default() -> Self {
        Model {
            deadline: Instant::from_nanos(u64::MAX),
            places: Vec::new(),
            taken: Vec::new(),
            spoiled: false,
        }
    }
}

impl Model {
    fn insert(&mut self, part: Fragment, body: &[u8], room: usize, now: Instant) -> Expected {
        self.deadline = self.deadline.min(now + TIMEOUT);
        let (start, end) = (usize::from(part.offset), usize::from(part.offset) + body.len());
        if self.spoiled || !self.is_possible(start, end, part.more, room) {
            self.spoiled = true;
            return Expected::Dropped;
        }
        if self.taken.contains(&(start, end, part.more)) {
            let same = self.places[start..end].iter().zip(body).all(|(place, byte)| *place == Some(*byte));
            self.spoiled = !same;
            return if same { Expected::Held } else { Expected::Dropped };
        }
        self.places.resize(self.places.len().max(end), None);
        if self.places[start..end].iter().any(Option::is_some) || self.taken.len() >= MAX_FRAGMENTS {
            self.spoiled = true;
            return Expected::Dropped;
        }
        self.taken.push((start, end, part.more));
        self.places[start..end].iter_mut().zip(body).for_each(|(place, byte)| *place = Some(*byte));
        let ended = self.taken.iter().any(|&(_, _, more)| !more);
        match self.places.iter().copied().collect::<Option<Vec<u8>>>() {
            Some(bytes) if ended => Expected::Complete(bytes),
            _ => Expected::Held,
        }
    }

    /// Sizes that can be, and at most one end, behind everything else.
    fn is_possible(&self, start: usize, end: usize, more: bool, room: usize) -> bool {
        let whole = !more || (end - start) % 8 == 0;
        let end_agrees = self.taken.iter().all(|&(_, other_end, other_more)| match (more, other_more) {
            (false, false) => end == other_end,
            (false, true) => other_end <= end,
            (true, false) => end <= other_end,
            (true, true) => true,
        });
        end > start && end <= room && whole && end_agrees
    }
}
