//! BBR in a closed loop with a pipe of a fixed rate and a queue, and its rules one by one (draft-ietf-ccwg-bbr-06).

use std::collections::VecDeque;

use super::*;
use crate::tcp::congestion::RateSample;

const MSS: u32 = 1000;

/// A packet under way, with what the sender remembers of it (§4.1).
#[derive(Clone, Copy)]
struct Packet {
    /// When its acknowledgement comes; `None`: it was dropped.
    acked_at: Option<Instant>,
    sent_at: Instant,
    first_sent_at: Instant,
    delivered: u64,
    delivered_at: Instant,
    lost: u64,
    tx_in_flight: u32,
}

/// A sender that always has something to send, a bottleneck with a queue, and a receiver that acknowledges every packet.
struct Pipe {
    bbr: Bbr,
    /// Bytes per second, the round trip without a queue, and the queue's size in bytes.
    rate: u64,
    rtt: Duration,
    queue: u64,
    /// One packet of so many is lost; 0: none.
    loss: u64,
    now: Instant,
    busy_until: Instant,
    next_send: Instant,
    under_way: VecDeque<Packet>,
    in_flight: u32,
    sent: u64,
    delivered: u64,
    lost: u64,
    delivered_at: Instant,
    first_sent_at: Instant,
    round_end: u64,
    recovery_end: Option<u64>,
    states: Vec<State>,
    max_in_flight: u32,
    min_in_flight: u32,
}

impl Pipe {
    fn new(rate: u64, rtt_ms: u64, queue: u64) -> Self {
        // Not at the origin of time: nothing may take it for "long ago".
        let now = Instant::from_millis(100_000);
        Pipe {
            bbr: Bbr::new(10 * MSS),
            rate,
            rtt: Duration::from_millis(rtt_ms),
            queue,
            loss: 0,
            now,
            busy_until: now,
            next_send: now,
            under_way: VecDeque::new(),
            in_flight: 0,
            sent: 0,
            delivered: 0,
            lost: 0,
            delivered_at: now,
            first_sent_at: now,
            round_end: 0,
            recovery_end: None,
            states: vec![State::Startup],
            max_in_flight: 0,
            min_in_flight: u32::MAX,
        }
    }

    /// Bytes of the bandwidth-delay product.
    fn bdp(&self) -> u64 {
        (u128::from(self.rate) * self.rtt.as_nanos() / 1_000_000_000) as u64
    }

    fn time_for(bytes: u64, rate: u64) -> Duration {
        Duration::from_nanos(bytes * 1_000_000_000 / rate)
    }

    fn send(&mut self) {
        if self.in_flight == 0 {
            (self.first_sent_at, self.delivered_at) = (self.now, self.now);
        }
        self.in_flight += MSS;
        self.sent += 1;
        let queued = u128::from(self.rate) * self.busy_until.since(self.now).as_nanos() / 1_000_000_000;
        let unlucky = self.loss > 0 && self.sent.is_multiple_of(self.loss);
        let dropped = unlucky || queued as u64 + u64::from(MSS) > self.queue;
        if !dropped {
            self.busy_until = self.busy_until.max(self.now) + Self::time_for(MSS.into(), self.rate);
        }
        self.under_way.push_back(Packet {
            acked_at: (!dropped).then(|| self.busy_until + self.rtt),
            sent_at: self.now,
            first_sent_at: self.first_sent_at,
            delivered: self.delivered,
            delivered_at: self.delivered_at,
            lost: self.lost,
            tx_in_flight: self.in_flight,
        });
        let rate = self.bbr.pacing_rate().unwrap();
        self.next_send = self.next_send.max(self.now) + Self::time_for(MSS.into(), rate);
        self.max_in_flight = self.max_in_flight.max(self.in_flight);
    }

    /// The acknowledgement of the first packet that was not dropped; those before it are lost.
    fn acknowledge(&mut self) {
        let flight = self.in_flight;
        let mut newly_lost = 0;
        let packet = loop {
            let packet = self.under_way.pop_front().unwrap();
            self.in_flight -= MSS;
            if packet.acked_at.is_some() {
                break packet;
            }
            newly_lost += MSS;
        };
        self.lost += u64::from(newly_lost);
        self.delivered += u64::from(MSS);
        let send_elapsed = packet.sent_at.since(packet.first_sent_at);
        let ack_elapsed = self.now.since(packet.delivered_at);
        (self.first_sent_at, self.delivered_at) = (packet.sent_at, self.now);
        if newly_lost > 0 && self.recovery_end.is_none() {
            self.recovery_end = Some(self.delivered + u64::from(self.in_flight));
            let at = Reduction { mss: MSS, flight, now: self.now };
            self.bbr.on_congestion(Congestion::Loss, &at);
        }
        self.recovery_end = self.recovery_end.filter(|&end| self.delivered < end);
        let round_ended = packet.delivered >= self.round_end;
        if round_ended {
            self.round_end = self.delivered;
        }
        let rate = RateSample {
            delivered: (self.delivered - packet.delivered) as u32,
            interval: send_elapsed.max(ack_elapsed),
            prior_delivered: packet.delivered,
            total_delivered: self.delivered,
            tx_in_flight: packet.tx_in_flight,
            lost: (self.lost - packet.lost) as u32,
            app_limited: false,
        };
        self.bbr.on_ack(&Ack {
            lost: newly_lost,
            flight,
            in_flight: self.in_flight,
            in_recovery: self.recovery_end.is_some(),
            round_ended,
            rtt: Some(self.now.since(packet.sent_at)),
            rate: Some(rate),
            now: self.now,
            ..Ack::of(MSS, MSS)
        });
        if self.states.last() != Some(&self.bbr.state) {
            self.states.push(self.bbr.state);
        }
        self.min_in_flight = self.min_in_flight.min(self.in_flight);
    }

    /// Goes on for `millis`; bytes per second that were delivered.
    fn run(&mut self, millis: u64) -> u64 {
        let (end, before) = (self.now + Duration::from_millis(millis), self.delivered);
        (self.max_in_flight, self.min_in_flight) = (0, u32::MAX);
        while self.now < end {
            let room = self.in_flight + MSS <= self.bbr.window();
            let acked_at = self.under_way.iter().find_map(|packet| packet.acked_at);
            match (room, acked_at) {
                (true, acked_at) if acked_at.is_none_or(|at| self.next_send <= at) => {
                    self.now = self.now.max(self.next_send);
                    self.send();
                }
                (_, Some(at)) => {
                    self.now = at;
                    self.acknowledge();
                }
                (_, None) => panic!("everything under way is lost"),
            }
        }
        (self.delivered - before) * 1_000 / millis
    }

    fn visited(&self, state: State) -> usize {
        self.states.iter().filter(|&&visited| visited == state).count()
    }
}

/// 10 MB/s and 40 ms, a bandwidth-delay product of 400 segments; the queue holds one and a half of it.
fn pipe() -> Pipe {
    Pipe::new(10_000_000, 40, 600_000)
}

fn share(value: u64, whole: u64) -> f64 {
    value as f64 / whole as f64
}

/// §5.3: the bandwidth is found within a second, Startup is left for Drain, and the pipe stays full.
#[test]
fn the_bandwidth_is_found_and_used() {
    let mut pipe = pipe();
    pipe.run(1_000);
    // The acknowledgement that ends Drain finds the queue empty: Down is over as it begins.
    assert_eq!(pipe.states[..3], [State::Startup, State::Drain, State::Cruise]);
    assert!((0.97..1.01).contains(&share(pipe.bbr.bw(), pipe.rate)), "{}", pipe.bbr.bw());
    let goodput = pipe.run(3_500);
    assert!(share(goodput, pipe.rate) > 0.96, "{goodput}");
    assert_eq!(pipe.lost, 0);
}

/// However much room there is: §5.3.1.1, the queue of Startup is about a bandwidth-delay product at most; §5.6.4.2, that of a probe
/// 1.25; §5.3.3.2, while cruising there is none.
#[test]
fn the_queue_is_short() {
    let mut pipe = Pipe::new(10_000_000, 40, 40_000_000);
    let in_flight = |pipe: &Pipe| share(pipe.max_in_flight.into(), pipe.bdp());
    pipe.run(1_000);
    assert!(in_flight(&pipe) < 2.3, "{}", in_flight(&pipe));
    assert_eq!(pipe.bbr.state, State::Cruise);
    pipe.run(500);
    assert_eq!(pipe.bbr.state, State::Cruise);
    assert!(in_flight(&pipe) < 1.05, "{}", in_flight(&pipe));
    pipe.run(3_000);
    assert!(in_flight(&pipe) < 2.3, "{}", in_flight(&pipe));
    assert!(share(pipe.min_in_flight.into(), pipe.bdp()) < 1.01, "{}", pipe.min_in_flight);
}

/// §5.3.3: down, cruise, refill, up, and again; a probe every two to three seconds or 63 rounds.
#[test]
fn the_cycle_goes_down_cruise_refill_up() {
    let mut pipe = pipe();
    pipe.run(4_900);
    let cycle = [State::Cruise, State::Refill, State::Up, State::Down];
    let expected: Vec<State> = cycle.iter().copied().cycle().take(pipe.states.len() - 2).collect();
    assert_eq!(pipe.states[2..], expected);
    assert!((1..=2).contains(&pipe.visited(State::Up)), "{:?}", pipe.states);
}

/// §5.3.3.7, §5.5.10: in a queue of an eighth of the bandwidth-delay product losses bound what is under way, and stay few.
#[test]
fn losses_bound_what_is_under_way() {
    let mut pipe = Pipe::new(10_000_000, 40, 50_000);
    pipe.run(2_000);
    assert_ne!(pipe.bbr.inflight_longterm, INFINITE);
    let (sent, lost) = (pipe.sent, pipe.lost);
    let goodput = pipe.run(20_000);
    let lost = share(pipe.lost - lost, (pipe.sent - sent) * u64::from(MSS));
    assert!(lost < 0.01, "{lost}");
    assert!(share(goodput, pipe.rate) > 0.85, "{goodput}");
}

/// §3.1, §5.3.3.8.3: with one packet in a hundred lost at random it slows down by a hundredth per round while it cruises, and finds the
/// whole bandwidth again in each probe.
#[test]
fn random_loss_slows_it_down_a_little() {
    let mut pipe = Pipe { loss: 101, ..pipe() };
    pipe.run(1_000);
    let goodput = pipe.run(10_000);
    assert!(share(goodput, pipe.rate) > 0.75, "{goodput}");
}

/// §5.5.10: the model follows a path that became slower.
#[test]
fn a_slower_path_is_followed() {
    let mut pipe = pipe();
    pipe.run(3_000);
    pipe.rate /= 2;
    pipe.run(12_000);
    assert!(share(pipe.bbr.bw(), pipe.rate) < 1.05, "{}", pipe.bbr.bw());
    pipe.run(2_000);
    assert!(share(pipe.max_in_flight.into(), pipe.bdp()) < 2.3, "{}", pipe.max_in_flight);
}

/// §5.3.3.5: bandwidth that becomes free is found within a few probes.
#[test]
fn a_faster_path_is_found() {
    let mut pipe = pipe();
    pipe.run(3_000);
    pipe.rate *= 4;
    pipe.run(10_000);
    assert!(share(pipe.bbr.bw(), pipe.rate) > 0.9, "{}", pipe.bbr.bw());
}

/// §5.3.4: five seconds without a shorter round trip: for 200 ms and a round trip half of the bytes are under way; the next time
/// five seconds later. The window comes back at once.
#[test]
fn probe_rtt_lets_go_of_half_the_window() {
    let mut pipe = pipe();
    pipe.run(4_000);
    assert_eq!(pipe.visited(State::ProbeRtt), 0);
    let window = pipe.bbr.window();
    pipe.run(1_500);
    assert_eq!(pipe.visited(State::ProbeRtt), 1);
    assert!((0.4..0.55).contains(&share(pipe.min_in_flight.into(), pipe.bdp())), "{}", pipe.min_in_flight);
    assert!(share(pipe.bbr.window().into(), window.into()) > 0.9);
    let after = pipe.states.iter().position(|&state| state == State::ProbeRtt).unwrap() + 1;
    assert!(matches!(pipe.states.get(after), None | Some(State::Cruise)), "{:?}", pipe.states);
    pipe.run(10_000);
    assert!((2..=3).contains(&pipe.visited(State::ProbeRtt)), "{:?}", pipe.states);
}

/// §5.3.4.1: ProbeRTT corrects a round trip that has become longer.
#[test]
fn a_longer_round_trip_is_learnt() {
    let mut pipe = pipe();
    pipe.run(2_000);
    pipe.rtt *= 2;
    pipe.run(14_000);
    let found = pipe.bbr.min_rtt.get().unwrap();
    assert!(found >= Duration::from_millis(80) && found < Duration::from_millis(84), "{found:?}");
    assert!(share(pipe.run(4_000), pipe.rate) > 0.9);
}

/// §5.6.2: pacing at 99 % of the bandwidth times the gain, and before anything was measured ten segments in a millisecond times 2.77.
#[test]
fn pacing_follows_the_bandwidth() {
    assert_eq!(Bbr::new(10 * MSS).pacing_rate(), Some(27_700_000));
    let mut pipe = pipe();
    pipe.run(1_500);
    assert_eq!(pipe.bbr.state, State::Cruise);
    assert_eq!(pipe.bbr.pacing_rate(), Some(pipe.bbr.bw() * 99 / 100));
}

fn at(flight: u32, now: Instant) -> Reduction {
    Reduction { mss: MSS, flight, now }
}

/// §5.6.4.4: a timeout leaves one segment; when what was under way is delivered, the window is as before.
#[test]
fn a_timeout_leaves_one_segment_for_a_while() {
    let mut pipe = pipe();
    pipe.run(1_500);
    let (window, flight) = (pipe.bbr.window(), pipe.in_flight);
    pipe.bbr.on_timeout(true, &at(flight, pipe.now));
    assert_eq!(pipe.bbr.window(), MSS);
    pipe.bbr.on_timeout(false, &at(flight, pipe.now));
    pipe.run(20);
    assert!(pipe.bbr.window() < window / 2);
    pipe.run(60);
    assert!(pipe.bbr.window() > window / 10 * 9, "{} {window}", pipe.bbr.window());
}

/// §5.5.11: a spurious episode in Startup leads back to Startup, with the bounds and the window from before.
#[test]
fn undo_leads_back_to_startup() {
    let mut pipe = pipe();
    pipe.run(150);
    assert_eq!(pipe.bbr.state, State::Startup);
    let window = pipe.bbr.window();
    pipe.bbr.on_congestion(Congestion::Loss, &at(pipe.in_flight, pipe.now));
    pipe.bbr.end_startup_for_loss();
    pipe.run(10);
    assert_ne!(pipe.bbr.state, State::Startup);
    assert_ne!(pipe.bbr.inflight_longterm, INFINITE);
    pipe.bbr.undo();
    assert_eq!((pipe.bbr.state, pipe.bbr.full_pipe.reached), (State::Startup, false));
    assert_eq!((pipe.bbr.inflight_longterm, pipe.bbr.bw_shortterm), (INFINITE, INFINITE));
    assert!(pipe.bbr.window() >= window);
    pipe.bbr.set_window(MSS);
    pipe.bbr.undo();
    assert_eq!(pipe.bbr.window(), MSS, "once");
}

/// §5.5.11.2: a probe that spurious losses ended begins again with Refill.
#[test]
fn undo_leads_back_to_the_probe() {
    let mut pipe = pipe();
    while pipe.bbr.state != State::Up {
        pipe.run(5);
    }
    pipe.bbr.on_congestion(Congestion::Loss, &at(pipe.in_flight, pipe.now));
    let sample = Sample { now: pipe.now, lost: 100, tx_in_flight: 1_000, ..Sample::default() };
    pipe.bbr.on_loss(&sample);
    assert_eq!(pipe.bbr.state, State::Down);
    assert_ne!(pipe.bbr.inflight_longterm, INFINITE);
    pipe.bbr.undo();
    assert_eq!((pipe.bbr.state, pipe.bbr.inflight_longterm), (State::Refill, INFINITE));
}

/// §5.4.1: after idleness the window is as it was and the pace that of the bandwidth, and ProbeRTT is not needed.
#[test]
fn idleness_is_no_reason_to_start_anew() {
    let mut pipe = pipe();
    while pipe.bbr.state != State::Up {
        pipe.run(5);
    }
    let window = pipe.bbr.window();
    let rtt = pipe.rtt;
    pipe.bbr.on_idle(Duration::from_secs(30), rtt, Some(10 * MSS), pipe.now);
    assert_eq!((pipe.bbr.window(), pipe.bbr.pacing_rate()), (window, Some(pipe.bbr.bw() * 99 / 100)));
    pipe.under_way.clear();
    pipe.in_flight = 0;
    pipe.now += Duration::from_secs(30);
    pipe.run(200);
    assert_eq!(pipe.visited(State::ProbeRtt), 0);
}

/// §3.7: a congestion mark is congestion: it ends Startup, and a probe.
#[test]
fn a_congestion_mark_counts() {
    let mut pipe = pipe();
    pipe.run(150);
    assert_eq!(pipe.bbr.state, State::Startup);
    pipe.bbr.on_congestion(Congestion::Mark, &at(pipe.in_flight, pipe.now));
    pipe.run(10);
    assert_ne!(pipe.bbr.state, State::Startup);
    let mut pipe = self::pipe();
    while pipe.bbr.state != State::Up {
        pipe.run(5);
    }
    pipe.bbr.on_congestion(Congestion::Mark, &at(pipe.in_flight, pipe.now));
    assert_eq!(pipe.bbr.state, State::Down);
    assert_ne!(pipe.bbr.inflight_longterm, INFINITE);
}

/// §5.3.3.8: the wait is between two and three seconds, the same for the same past.
#[test]
fn the_wait_is_random_and_repeatable() {
    let waits = |delivered| {
        let mut bbr = Bbr::new(10 * MSS);
        bbr.rounds.delivered = delivered;
        bbr.start_down(Instant::from_millis(delivered));
        bbr.cycle.wait
    };
    let many: Vec<Duration> = (0..100).map(waits).collect();
    assert!(many.iter().all(|wait| (2_000..3_000).contains(&wait.as_millis())), "{many:?}");
    let distinct: std::collections::HashSet<&Duration> = many.iter().collect();
    assert!(distinct.len() > 60, "{}", distinct.len());
    assert_eq!(waits(7), waits(7));
}

/// §5.3.1.2: three rounds without a quarter more.
#[test]
fn three_rounds_without_growth_fill_the_pipe() {
    let mut full = FullPipe::default();
    let at_rate = |rate, app_limited| Sample { rate, app_limited, ..Sample::default() };
    for rate in [100, 125, 157, 190, 190] {
        full.update(&at_rate(rate, false), true);
    }
    assert!(!full.reached);
    full.update(&at_rate(190, true), true);
    full.update(&at_rate(190, false), false);
    assert!(!full.reached, "application-limited, no round");
    full.update(&at_rate(195, false), true);
    assert!(full.reached && full.now);
}

/// §5.5.6: a rate is remembered for this cycle and the next.
#[test]
fn the_bandwidth_is_that_of_two_cycles() {
    let mut max = MaxBandwidth::default();
    max.update(100);
    max.advance();
    max.advance();
    assert_eq!(max.get(), 100, "a cycle without a rate is none");
    max.update(50);
    assert_eq!(max.get(), 100);
    max.advance();
    assert_eq!(max.get(), 50);
}

/// §5.3.4.3: five seconds for ProbeRTT, ten for the shortest round trip.
#[test]
fn round_trips_expire() {
    let (secs, ms) = (|secs: u64| Instant::from_millis(secs * 1_000), Duration::from_millis);
    let mut min = MinRtt::default();
    min.begin(secs(100));
    min.update(Some(ms(40)), secs(100));
    min.update(Some(ms(60)), secs(105));
    assert!(!min.expired && min.get() == Some(ms(40)));
    min.update(Some(ms(60)), secs(106));
    assert!(min.expired && min.get() == Some(ms(40)));
    min.update(Some(ms(70)), secs(111));
    assert_eq!(min.get(), Some(ms(60)));
}

/// §5.5.9: what comes at once beyond the expected is remembered for five to ten rounds.
#[test]
fn aggregation_is_remembered_for_some_rounds() {
    let mut aggregation = Aggregation::default();
    let mut ack = |millis, newly_acked, round| {
        let sample = Sample { now: Instant::from_millis(millis), newly_acked, ..Sample::default() };
        aggregation.update(&sample, 1_000_000, 100_000, true, round);
        aggregation.extra_acked()
    };
    assert_eq!(ack(1_000, 30_000, 5), 30_000);
    assert_eq!(ack(1_005, 20_000, 6), 45_000);
    assert_eq!(ack(1_100, 1_000, 10), 45_000);
    assert_eq!(ack(1_200, 1_000, 15), 1_000);
}
