//! `SO_MAX_PACING_RATE`: what the application allows at most holds at every moment, whatever the algorithm, the path and the losses.

use std::cell::Cell;
use std::rc::Rc;

use tidegate::base::rng::Rng;
use tidegate::base::time::{Duration, Instant};
use tidegate::device::Capabilities;
use tidegate::sim::LinkConfig;
use tidegate::tcp::config::TcpConfig;
use tidegate::tcp::congestion::CongestionControl;
use tidegate::tcp::options::SocketOptions;
use tidegate::wire::tcp::TcpHeader;

use crate::pair::{Pair, Plan, converse};

/// Bytes per second.
const RATE: u64 = 1_000_000;
/// Bytes of a transfer: 0.3 s at that rate.
const BYTES: usize = 300_000;

/// Sends over a path of this delay and loss; returns how long the data took. No byte may leave before its time, but for two segments.
fn transfer(
    algorithm: CongestionControl,
    capabilities: Capabilities,
    delay: Duration,
    loss: f64,
) -> Duration {
    let tcp = TcpConfig { congestion: algorithm, ..TcpConfig::default() };
    let link = LinkConfig { delay, loss, ..LinkConfig::default() };
    let mut pair = Pair::new(1, false, [tcp.clone(), tcp], [capabilities; 2], link);
    let mut apps = pair.open([writes(BYTES), writes(0)], &mut Rng::from_u64(1));
    let (id, now) = (apps[0].id.unwrap(), pair.network.now());
    let tcp = pair.network.stack(pair.hosts[0]).tcp();
    let options = SocketOptions { max_pacing_rate: Some(RATE), ..tcp.options(id).unwrap() };
    tcp.set_options(id, options, now).unwrap();
    let span: Rc<Cell<Option<(Instant, Instant)>>> = Rc::default();
    let (seen, mut sent) = (span.clone(), 0);
    pair.network.set_filter(pair.hosts[0], pair.hosts[1], move |packet, at| {
        let (_, header) = TcpHeader::parse(&packet[20..]).unwrap();
        let len = (packet.len() - 20 - header) as u64;
        if len > 0 {
            let first = seen.get().map_or(at, |(first, _)| first);
            let due = Duration::from_nanos(sent * (1_000_000_000 / RATE));
            let early = Duration::from_nanos(2 * 1_460 * (1_000_000_000 / RATE));
            assert!(at.since(first) + early >= due, "{sent} bytes within {:?}", at.since(first));
            seen.set(Some((first, at)));
            sent += len;
        }
        true
    });
    converse(&mut pair.network, &mut apps, Duration::from_secs(60));
    let (first, last) = span.get().unwrap();
    last.since(first)
}

fn writes(writes: usize) -> Plan {
    Plan { writes, chunk: 100_000, waits_for_eof: false, drops: false, pauses: 0.0 }
}

/// Also where each segment is acknowledged before the next may leave, and with super-segments. The algorithms that do not pace use all of
/// the rate that the window has room for.
#[test]
fn a_largest_rate_holds_at_every_moment() {
    for algorithm in CongestionControl::ALL {
        for capabilities in [Capabilities::plain(1_500), Capabilities::offload(1_500)] {
            for delay in [Duration::from_micros(3), Duration::from_millis(10)] {
                let took = transfer(algorithm, capabilities, delay, 0.0);
                let most = Duration::from_millis(if algorithm == CongestionControl::Bbr { 600 } else { 330 });
                assert!(took <= most, "{algorithm:?} needs {took:?} with a delay of {delay:?}");
            }
        }
    }
}

/// What is sent again counts, too.
#[test]
fn a_largest_rate_holds_while_losses_are_repaired() {
    for algorithm in CongestionControl::ALL {
        transfer(algorithm, Capabilities::plain(1_500), Duration::from_millis(10), 0.03);
    }
}
