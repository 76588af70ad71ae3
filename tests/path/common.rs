//! Settings, paths and committed files that the tests share.

use std::fs;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use tidegate::base::time::{Duration, Instant};
use tidegate::sim::flows::{Dumbbell, Flow, Report};
use tidegate::sim::{LinkConfig, Queue};
use tidegate::tcp::config::TcpConfig;
use tidegate::tcp::congestion::CongestionControl;

/// The algorithms that figures are made of.
pub const ALGORITHMS: &[CongestionControl] =
    &[CongestionControl::NewReno, CongestionControl::Cubic, CongestionControl::Bbr];

/// Payload of a full segment, and the packet around it: IPv4 and timestamps.
pub const SEGMENT: u64 = 1448;
pub const PACKET: u64 = 1500;

pub const MBIT: u64 = 1_000_000;

/// Settings under which nothing but the path and the algorithm limits a sender.
pub fn roomy(congestion: CongestionControl) -> TcpConfig {
    TcpConfig {
        congestion,
        receive_buffer: 256 << 20,
        receive_buffer_initial: 256 << 20,
        send_buffer: 128 << 20,
        send_buffer_initial: 128 << 20,
        ..TcpConfig::default()
    }
}

/// The default settings with an algorithm.
pub fn plain(congestion: CongestionControl) -> TcpConfig {
    TcpConfig { congestion, ..TcpConfig::default() }
}

pub fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Bytes that are under way on a path that is full.
pub fn bandwidth_delay(rate: u64, rtt: Duration) -> usize {
    (u128::from(rate) * rtt.as_nanos() / 8_000_000_000) as usize
}

/// One direction of a path of this rate and round trip; the queue holds one bandwidth-delay product, or `least` bytes.
pub fn link(rate: u64, rtt: Duration, least: usize) -> LinkConfig {
    let queue = Queue::Bytes(bandwidth_delay(rate, rtt).max(least));
    LinkConfig { delay: rtt / 2, rate: Some(rate), queue, ..LinkConfig::default() }
}

/// One flow of these settings over `forward`; acknowledgements meet the same rate and delay, and no faults.
pub fn one_flow(tcp: TcpConfig, forward: LinkConfig) -> Dumbbell {
    let clean = LinkConfig { delay: forward.delay, rate: forward.rate, ..LinkConfig::default() };
    let flows = vec![Flow { tcp: tcp.clone(), ..Flow::default() }];
    Dumbbell { backward: clean, receiver: tcp, flows, ..Dumbbell::symmetric(forward) }
}

/// Goodput as a share of what a path of `rate` and `loss` could carry. What arrives out of order counts as it arrives: the application
/// gets it later, but at the end of a measurement that may be megabytes.
pub fn share(report: &Report, over: Duration, rate: u64, loss: f64) -> f64 {
    let most = rate as f64 / 8.0 * (1.0 - loss) * SEGMENT as f64 / PACKET as f64;
    report.received as f64 / over.as_secs_f64() / most
}

pub fn at(time: Duration) -> Instant {
    Instant::ZERO + time
}

/// True if the committed files are to be written anew.
pub fn rewriting() -> bool {
    std::env::var_os("TIDEGATE_WRITE_TABLES").is_some()
}

/// The text of a committed file; nothing if there is none yet.
pub fn committed(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_default()
}

/// Fails if the committed file differs from `text`, or writes it if asked to.
pub fn check_file(path: &str, text: &str) {
    let old = committed(path);
    if rewriting() && old != text {
        fs::create_dir_all(root().join(path).parent().unwrap()).unwrap();
        fs::write(root().join(path), text).unwrap();
        return;
    }
    if old != text {
        let (at, (was, is)) = difference(&old, text);
        panic!("{path}:{at}: the code gives other figures; scripts/figures writes them anew\n-{was}\n+{is}");
    }
}

/// The first line in which two texts differ.
fn difference<'a>(old: &'a str, new: &'a str) -> (usize, (&'a str, &'a str)) {
    let (mut old, mut new) = (old.lines(), new.lines());
    let pairs = std::iter::from_fn(|| match (old.next(), new.next()) {
        (None, None) => None,
        (a, b) => Some((a.unwrap_or("(nothing)"), b.unwrap_or("(nothing)"))),
    });
    pairs.enumerate().find(|(_, (a, b))| a != b).map_or((0, ("", "")), |(at, lines)| (at + 1, lines))
}

/// `text` with what stands between the marks of `name` replaced.
pub fn with_block(text: &str, name: &str, block: &str) -> String {
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- end of {name} -->"));
    let (before, rest) = text.split_once(&begin).unwrap_or_else(|| panic!("no mark '{name}'"));
    let (_, after) = rest.split_once(&end).unwrap_or_else(|| panic!("no end of '{name}'"));
    format!("{before}{begin}{block}{end}{after}")
}

/// What stands between the marks of `name`.
pub fn block<'a>(text: &'a str, name: &str) -> &'a str {
    let rest = text.split_once(&format!("<!-- {name} -->\n")).map_or("", |(_, rest)| rest);
    rest.split_once(&format!("<!-- end of {name} -->")).map_or("", |(block, _)| block)
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// [`check_file`] for one block of it.
pub fn write_block(path: &str, name: &str, block: &str) {
    // Tests run side by side, and several of them write into one file.
    static FILE: Mutex<()> = Mutex::new(());
    let _guard = FILE.lock().unwrap_or_else(PoisonError::into_inner);
    check_file(path, &with_block(&committed(path), name, block));
}
