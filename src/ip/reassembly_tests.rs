//! Reassembly against a plain model and against hostile cases P7, P8 and P9.

use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};

use super::*;
use crate::device::Capabilities;
use crate::ip::Ip;
use crate::ip::testing::*;
use crate::wire::ip::protocol;

/// Data of which no two bytes in a small region are alike, so that a misplaced piece shows.
fn data(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i % 251) as u8).collect()
}

struct Host {
    ip: Ip,
    counters: Counters,
    now: Instant,
}

impl Host {
    fn new() -> Self {
        Host { ip: layer(Capabilities::plain(1_500)), counters: Counters::default(), now: Instant::ZERO }
    }

    /// Takes a packet in; the payload, if it completed a datagram.
    fn receive(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        let packet = Packet::from_slice(bytes);
        match self.ip.receive(packet, &mut self.counters, self.now) {
            crate::ip::input::Input::Datagram(datagram) => Some(datagram.payload().to_vec()),
            _ => None,
        }
    }

    fn part(&mut self, v6: bool, id: u32, start: u16, bytes: &[u8], more: bool) -> Option<Vec<u8>> {
        let fragment = Fragment { id, offset: start, more };
        let header = header(v6, protocol::UDP);
        self.receive(&[&header.encode(bytes.len(), Some(fragment))[..], bytes].concat())
    }

    fn dropped(&self, reason: DropReason) -> u64 {
        self.counters.dropped(reason)
    }
}

proptest! {
    /// RFC 791 §3.2, RFC 8200 §4.5: in any order and with any exact duplicates, the datagram comes out once and whole.
    #[test]
    fn fragments_in_any_order_make_the_datagram(
        v6: bool,
        len in 9usize..5_000,
        eighths in 16usize..100,
        order in prop::collection::vec(any::<prop::sample::Index>(), 0..100),
        twice in prop::collection::vec(any::<prop::sample::Index>(), 0..10),
    ) {
        let (mut host, bytes) = (Host::new(), data(len));
        let mut parts = fragments(&header(v6, protocol::UDP), 9, &bytes, eighths * 8);
        for (i, other) in order.iter().enumerate() {
            let (a, b) = (i % parts.len(), other.index(parts.len()));
            parts.swap(a, b);
        }
        let last = parts.pop().unwrap();
        for index in twice {
            if !parts.is_empty() {
                let copy = parts[index.index(parts.len())].clone();
                parts.insert(index.index(parts.len()), copy);
            }
        }
        for part in &parts {
            prop_assert_eq!(host.receive(part), None);
        }
        prop_assert_eq!(host.receive(&last), Some(bytes));
        prop_assert_eq!(host.counters.drops().count(), 0);
        prop_assert!(host.ip.poll_timeout().is_none(), "nothing is left");
        prop_assert_eq!(host.ip.reassembly.memory, 0);
    }

    /// Against a model that remembers, byte for byte, what arrived: any sequence of parts of one datagram (RFC 5722, RFC 8200
    /// §4.5; hostile case P8) completes it exactly when the model says so.
    #[test]
    fn reassembly_agrees_with_a_model(parts in prop::collection::vec((0u16..6, 1u16..4, any::<bool>()), 1..12)) {
        let (mut host, mut model) = (Host::new(), Model::default());
        for (start, len, more) in parts {
            // Atomic fragments are no fragments, and the first one must hold the headers.
            if start == 0 && !more {
                continue;
            }
            let bytes = data(usize::from(len) * 8);
            let out = host.part(false, 1, start * 8, &bytes, more);
            prop_assert_eq!(out.map(|out| out.len() / 8), model.insert(usize::from(start), usize::from(len), more));
        }
    }
}

/// One datagram as a list of intervals and a flag; units are eight bytes.
#[derive(Default)]
struct Model {
    held: Vec<(usize, usize, bool)>,
    spoiled: bool,
}

impl Model {
    fn insert(&mut self, start: usize, len: usize, more: bool) -> Option<usize> {
        let part = (start, start + len, more);
        if self.spoiled || self.held.contains(&part) {
            return None;
        }
        let overlaps = self.held.iter().any(|&(s, e, _)| s < part.1 && part.0 < e);
        self.held.push(part);
        let ends: Vec<_> = self.held.iter().filter(|part| !part.2).map(|part| part.1).collect();
        let beyond = |&(_, end, more): &(usize, usize, bool)| {
            ends.first().is_some_and(|&total| end > total || !more && end != total)
        };
        if overlaps || self.held.iter().any(beyond) {
            self.spoiled = true;
            return None;
        }
        let held: usize = self.held.iter().map(|(s, e, _)| e - s).sum();
        let whole = ends.first().copied().filter(|&total| total == held)?;
        *self = Model::default();
        Some(whole)
    }
}

/// Hostile case P7 (ping of death): nothing reaches beyond 65,535 bytes, and what was held of such a datagram is gone.
#[test]
fn a_fragment_beyond_the_largest_datagram_spoils_it() {
    for v6 in [false, true] {
        let mut host = Host::new();
        assert_eq!(host.part(v6, 1, 0, &data(64), true), None);
        assert_eq!(host.part(v6, 1, 65_528, &[1; 100], false), None);
        assert_eq!(host.dropped(DropReason::FragmentInvalid), 1);
        let completed = host.part(v6, 1, 64, &data(8), false);
        if v6 {
            // RFC 8200 §4.5: that fragment is discarded, no more.
            assert_eq!(completed.map(|whole| whole.len()), Some(72));
        } else {
            assert_eq!(completed, None);
            assert_eq!(host.dropped(DropReason::FragmentInvalid), 2);
        }
        assert_eq!(host.ip.reassembly.memory, 0);
    }
}

/// RFC 791 §3.1, RFC 8200 §4.5: the largest datagram that a length field can say arrives in fragments, too.
#[test]
fn the_largest_datagram_is_put_together() {
    for (v6, longest) in [(false, 65_515), (true, 65_535)] {
        let (mut host, bytes) = (Host::new(), data(longest));
        let parts = fragments(&header(v6, protocol::UDP), 1, &bytes, 32_768);
        assert_eq!(host.receive(&parts[0]), None);
        assert_eq!(host.receive(&parts[1]), Some(bytes));
        assert_eq!(host.part(v6, 2, 8, &data(8), true), None);
        let last = (longest % 8) as u16;
        assert_eq!(host.part(v6, 2, longest as u16 - last, &data(last.into()), false), None);
        assert_eq!(host.dropped(DropReason::FragmentInvalid), 0);
    }
}

/// Hostile case P8 (teardrop); RFC 5722 §4, RFC 8200 §4.5: overlap spoils the datagram, in silence; so do two ends.
#[test]
fn overlap_spoils_the_datagram_and_its_later_fragments() {
    let cases: [&[(u16, usize, bool)]; 8] = [
        &[(0, 24, true), (8, 16, true)],
        &[(0, 24, true), (16, 16, true)],
        &[(8, 16, true), (0, 16, true)],
        &[(8, 8, true), (0, 24, true)],
        &[(8, 16, false), (0, 16, true)],
        &[(16, 8, false), (24, 8, true)],
        &[(16, 8, false), (24, 8, false)],
        &[(24, 8, true), (8, 8, false)],
    ];
    for (v6, case) in [false, true].into_iter().flat_map(|v6| cases.map(|case| (v6, case))) {
        let mut host = Host::new();
        for &(start, len, more) in case {
            assert_eq!(host.part(v6, 1, start, &data(len), more), None);
        }
        assert_eq!(host.dropped(DropReason::FragmentInvalid), 1, "{case:?}");
        assert_eq!(host.ip.reassembly.memory, 0);
        // What would complete it comes too late.
        for start in [0u16, 8, 16, 24] {
            assert_eq!(host.part(v6, 1, start, &data(8), start < 24), None, "{case:?}");
        }
        assert_eq!(host.part(v6, 2, 0, &data(8), true), None);
        assert_eq!(
            host.part(v6, 2, 8, &data(8), false).map(|whole| whole.len()),
            Some(16),
            "another is fine"
        );
        // The spoiled one is forgotten without a word.
        host.now += TIMEOUT;
        assert!(host.ip.expire(&mut host.counters, host.now).is_empty());
        assert_eq!(host.dropped(DropReason::FragmentTimeout), 0);
    }
}

/// Hostile case P8: the same place with other bytes is an overlap, not a duplicate.
#[test]
fn a_duplicate_is_exact_or_spoils_the_datagram() {
    let mut host = Host::new();
    host.part(false, 1, 0, &data(16), true);
    host.part(false, 1, 0, &data(16), true);
    assert_eq!(host.counters.drops().count(), 0);
    assert_eq!(host.part(false, 1, 16, &data(8), false).map(|whole| whole.len()), Some(24));
    host.part(false, 2, 0, &data(16), true);
    host.part(false, 2, 0, &[9; 16], true);
    assert_eq!(host.dropped(DropReason::FragmentInvalid), 1);
}

/// RFC 791 §3.2: parts are multiples of eight bytes but for the last, and none is empty.
#[test]
fn odd_and_empty_parts_are_invalid() {
    let mut host = Host::new();
    host.part(false, 1, 0, &data(12), true);
    host.part(false, 2, 8, &[], false);
    assert_eq!(host.dropped(DropReason::FragmentInvalid), 2);
}

/// Hostile case P9 (Rose, FragmentSmack): nothing but first fragments, and honest traffic still passes.
#[test]
fn a_flood_of_first_fragments_is_bounded_and_honest_traffic_passes() {
    let mut host = Host::new();
    let first = |id| {
        [
            &header(false, protocol::UDP).encode(1_400, Some(Fragment { id, offset: 0, more: true }))[..],
            &[1; 1_400],
        ]
        .concat()
    };
    for id in 0..10_000 {
        host.receive(&first(id));
        assert!(host.ip.reassembly.order.len() <= MAX_DATAGRAMS);
        assert!(host.ip.reassembly.memory <= MAX_MEMORY);
    }
    assert_eq!(host.dropped(DropReason::FragmentLimit), 10_000 - MAX_DATAGRAMS as u64);
    let honest = IpHeader { src: addr("10.77.0.7"), ..header(false, protocol::UDP) };
    let bytes = data(60_000);
    let parts = fragments(&honest, 1, &bytes, 1_480);
    let out: Vec<_> = parts.iter().filter_map(|part| host.receive(part)).collect();
    assert_eq!(out, [bytes]);
}

/// Hostile case P9: tiny fragments in reverse order end at the bound.
#[test]
fn fragments_of_one_datagram_are_bounded() {
    let mut host = Host::new();
    for i in (0..8_000u16).rev() {
        host.part(false, 1, i * 8, &data(8), i < 7_999);
    }
    assert_eq!(host.dropped(DropReason::FragmentLimit), 1);
    assert_eq!(host.dropped(DropReason::FragmentInvalid), 8_000 - MAX_FRAGMENTS as u64 - 1);
    assert_eq!(host.ip.reassembly.memory, 0);
}

/// Hostile case P9: memory is charged by what is really held, and the oldest makes room.
#[test]
fn memory_is_bounded_by_evicting_the_oldest() {
    let mut host = Host::new();
    for id in 0..60 {
        for i in 0..40u16 {
            host.part(true, id, i * 1_448, &data(1_448), true);
            assert!(host.ip.reassembly.memory <= MAX_MEMORY);
        }
    }
    assert!(host.dropped(DropReason::FragmentLimit) > 0);
    let held: usize = host.ip.reassembly.partials.values().map(Partial::memory).sum();
    assert_eq!(held, host.ip.reassembly.memory, "the count is right");
}

/// Hostile case P9: what fits into the bound exactly is held; what goes beyond it, if only by a little, drives the oldest out.
#[test]
fn reassembly_holds_as_much_as_its_bound_and_no_more() {
    let mut host = Host::new();
    // A large part takes a chunk of 64 KiB, a small one 2 KiB.
    let large = MAX_MEMORY / 65_536;
    (1..=large as u32).for_each(|id| drop(host.part(false, id, 8, &data(4_096), true)));
    assert_eq!((host.ip.reassembly.memory, host.dropped(DropReason::FragmentLimit)), (MAX_MEMORY, 0));
    host.part(false, large as u32, 8_192, &data(64), true);
    assert_eq!(host.dropped(DropReason::FragmentLimit), 1);
    host.part(false, large as u32, 16_384, &data(4_096), true);
    assert!(host.ip.reassembly.memory <= MAX_MEMORY, "{}", host.ip.reassembly.memory);
}

/// RFC 1122 §3.3.2, RFC 8200 §4.5; hostile case P9: after sixty seconds the datagram is given up, and its sender told if the first
/// part came.
#[test]
fn a_datagram_that_takes_too_long_is_given_up() {
    for (v6, start) in [(false, 20), (true, 48)] {
        let mut host = Host::new();
        host.part(v6, 1, 0, &data(64), true);
        host.now = Instant::from_millis(10_000);
        host.part(v6, 2, 8, &data(64), true);
        assert_eq!(host.ip.poll_timeout(), Some(Instant::from_millis(60_000)));
        let expire =
            |host: &mut Host, millis| host.ip.expire(&mut host.counters, Instant::from_millis(millis));
        assert!(expire(&mut host, 59_999).is_empty());
        let told = expire(&mut host, 60_000);
        assert_eq!(told.len(), 1);
        assert_eq!((told[0].payload(), told[0].payload.start), (&data(64)[..], start));
        assert!(expire(&mut host, 70_000).is_empty(), "without the first part there is nothing to quote");
        assert_eq!(host.dropped(DropReason::FragmentTimeout), 2);
        assert_eq!((host.ip.poll_timeout(), host.ip.reassembly.memory), (None, 0));
    }
}

/// RFC 8200 §4.5: the fragments' next headers may differ; source, destination and identification say what belongs together.
#[test]
fn datagrams_are_told_apart_by_addresses_protocol_and_identification() {
    let mut host = Host::new();
    host.part(false, 1, 0, &data(8), true);
    let other = |src: &str, protocol, id| {
        let header = IpHeader { src: addr(src), protocol, ..header(false, protocol) };
        fragments(&header, id, &data(16), 8).remove(1)
    };
    let (mine, tcp) = (other("10.77.0.1", protocol::UDP, 1), other("10.77.0.1", protocol::TCP, 1));
    for wrong in [other("10.77.0.3", protocol::UDP, 1), other("10.77.0.1", protocol::UDP, 2), tcp] {
        assert_eq!(host.receive(&wrong), None);
    }
    assert!(host.receive(&mine).is_some());
    host.part(true, 1, 0, &data(16), true);
    let chain = fragments(&header(true, protocol::DESTINATION_OPTIONS), 1, &data(24), 16).remove(1);
    assert!(host.receive(&chain).is_some());
}

/// RFC 3168 §5.3: a congestion mark survives; beside "not ECN-capable" it spoils the datagram.
#[test]
fn ecn_marks_of_fragments_are_merged() {
    const MARKED: Option<u8> = Some(0b11);
    for (first, second, merged) in
        [(2u8, 2u8, Some(2u8)), (2, 3, MARKED), (3, 1, MARKED), (0, 0, Some(0)), (0, 3, None)]
    {
        let (mut ip, mut counters) = (layer(Capabilities::plain(1_500)), Counters::default());
        let with = |ecn: u8| IpHeader { traffic_class: 0xb8 | ecn, ..header(false, protocol::UDP) };
        receive(&mut ip, &fragments(&with(first), 1, &data(16), 8)[0], &mut counters);
        let whole = receive(&mut ip, &fragments(&with(second), 1, &data(16), 8)[1], &mut counters);
        assert_eq!(whole.map(|whole| whole.header.traffic_class), merged.map(|ecn| 0xb8 | ecn));
        assert_eq!(counters.dropped(DropReason::FragmentInvalid), u64::from(merged.is_none()));
    }
}
