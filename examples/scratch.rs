use tidegate::base::time::{Duration, Instant};
use tidegate::sim::LinkConfig;
use tidegate::sim::flows::{Dumbbell, Flow};
use tidegate::tcp::config::TcpConfig;
use tidegate::tcp::congestion::CongestionControl;
fn main() {
    let secs: u64 = std::env::args().nth(1).and_then(|s| s.parse().ok()).unwrap_or(20);
    for cc in [CongestionControl::NewReno, CongestionControl::Cubic] {
        for rate in [10_000_000u64, 100_000_000] {
            for rtt in [1u64, 20, 100] {
                for loss in [0.0, 0.001, 0.01, 0.03, 0.1] {
                    let delay = Duration::from_micros(rtt * 500);
                    let queue = tidegate::sim::Queue::Time(Duration::from_millis(50));
                    let forward =
                        LinkConfig { rate: Some(rate), delay, loss, queue, ..LinkConfig::default() };
                    let backward = LinkConfig { rate: Some(rate), delay, ..LinkConfig::default() };
                    let tcp = TcpConfig { congestion: cc, ..TcpConfig::default() };
                    let mut running = Dumbbell {
                        forward,
                        flows: vec![Flow { tcp, ..Flow::default() }],
                        ..Dumbbell::symmetric(backward)
                    }
                    .lay();
                    running.run_until(Instant::from_millis(secs * 1000));
                    let r = running.report(0);
                    let could = rate as f64 * (1.0 - loss) * 1448.0 / 1500.0 / 8.0 * secs as f64;
                    println!(
                        "{} {:>4} Mbit {:>3} ms loss {:>4} goodput {:>5.1} % {:?}",
                        cc.name(),
                        rate / 1_000_000,
                        rtt,
                        loss,
                        r.delivered as f64 / could * 100.0,
                        r
                    );
                }
            }
        }
    }
}
