//! What holds for every algorithm: names, sizes, and a window within its bounds whatever is told.

use proptest::prelude::*;

use super::*;

/// `TCP_CONGESTION`: names lead to the algorithms and back.
#[test]
fn algorithms_have_names() {
    for algorithm in CongestionControl::ALL {
        assert_eq!(CongestionControl::from_name(algorithm.name()), Some(algorithm));
    }
    assert_eq!(CongestionControl::from_name("vegas"), None);
}

/// A controller is a part of every connection at rest.
#[test]
fn a_controller_is_small() {
    assert!(size_of::<Controller>() <= 64, "{}", size_of::<Controller>());
}

/// A socket that changes its algorithm goes on with the window, and with the threshold if the old algorithm had one: BBR has none.
#[test]
fn another_algorithm_goes_on_with_window_and_threshold() {
    let at = Reduction { mss: 1_000, flight: 40_000, now: Instant::ZERO };
    for (from, threshold) in [
        (CongestionControl::NewReno, 20_000),
        (CongestionControl::Cubic, 28_000),
        (CongestionControl::Bbr, u32::MAX),
    ] {
        let mut old = Controller::new(from, HyStart::PlusPlus, 40_000);
        old.on_congestion(Congestion::Loss, &at);
        for to in [CongestionControl::NewReno, CongestionControl::Cubic] {
            let next = old.switched(to, HyStart::PlusPlus);
            assert_eq!((next.window(), next.ssthresh()), (40_000, threshold), "{from:?} {to:?}");
        }
    }
}

/// Any value, and the extremes more often.
fn number() -> impl Strategy<Value = u32> {
    prop_oneof![Just(0), Just(1), Just(u32::MAX), 1_000..100_000_u32, any::<u32>()]
}

fn duration() -> impl Strategy<Value = Duration> {
    prop_oneof![
        number().prop_map(|nanos| Duration::from_nanos(nanos.into())),
        number().prop_map(|secs| Duration::from_secs(secs.into())),
        (1..1_000_u64).prop_map(Duration::from_millis),
    ]
}

fn rate_sample() -> impl Strategy<Value = RateSample> {
    let bytes = (number(), number(), number(), any::<u64>(), any::<u64>());
    (bytes, duration(), any::<bool>()).prop_map(|(bytes, interval, app_limited)| {
        let (delivered, tx_in_flight, lost, prior_delivered, total_delivered) = bytes;
        RateSample { delivered, interval, prior_delivered, total_delivered, tx_in_flight, lost, app_limited }
    })
}

/// Something that the sender's core may tell, after some time.
#[derive(Clone, Debug)]
enum Told {
    Ack(Ack),
    Congestion(Congestion, u32, u32),
    Timeout(bool, u32, u32),
    Window(u32),
    Undo,
    Idle(Duration, Duration, Option<u32>),
}

fn ack() -> impl Strategy<Value = Told> {
    let bytes = (number(), number(), number(), number(), number());
    let flags = (any::<bool>(), any::<bool>(), any::<bool>());
    let times = (prop::option::of(duration()), prop::option::of(duration()));
    (bytes, flags, times, prop::option::of(rate_sample())).prop_map(|(bytes, flags, (rtt, min_rtt), rate)| {
        let (mss, delivered, lost, flight, in_flight) = bytes;
        let (may_grow, in_recovery, round_ended) = flags;
        let now = Instant::ZERO;
        let ack = Ack {
            mss,
            delivered,
            lost,
            flight,
            in_flight,
            peer_window: u32::MAX,
            may_grow,
            in_recovery,
            round_ended,
            rtt,
            min_rtt,
            rate,
            now,
        };
        Told::Ack(ack)
    })
}

fn told() -> impl Strategy<Value = Told> {
    let why = prop_oneof![Just(Congestion::Loss), Just(Congestion::Mark)];
    prop_oneof![
        8 => ack(),
        1 => (why, number(), number()).prop_map(|(why, mss, flight)| Told::Congestion(why, mss, flight)),
        1 => (any::<bool>(), number(), number()).prop_map(|(first, mss, flight)| Told::Timeout(first, mss, flight)),
        1 => number().prop_map(Told::Window),
        1 => Just(Told::Undo),
        1 => (duration(), duration(), prop::option::of(number()))
            .prop_map(|(idle, rto, restart)| Told::Idle(idle, rto, restart)),
    ]
}

fn tell(controller: &mut Controller, told: &Told, now: Instant) {
    match *told {
        Told::Ack(ack) => controller.on_ack(&Ack { now, ..ack }),
        Told::Congestion(why, mss, flight) => controller.on_congestion(why, &Reduction { mss, flight, now }),
        Told::Timeout(first, mss, flight) => controller.on_timeout(first, &Reduction { mss, flight, now }),
        Told::Window(window) => controller.set_window(window),
        Told::Undo => controller.undo(),
        Told::Idle(idle, rto, restart) => controller.on_idle(idle, rto, restart, now),
    }
}

proptest! {
    /// Hostile case M7: whatever comes, no window is 0, none beyond the largest, and nothing panics.
    #[test]
    fn windows_stay_within_their_bounds(
        steps in prop::collection::vec((told(), duration()), 1..60),
        window in 1..=100_000_u32,
        kind in 0..5_usize,
    ) {
        let hystart = [HyStart::Off, HyStart::AckTrain, HyStart::Delay, HyStart::Classic, HyStart::PlusPlus][kind];
        for choice in CongestionControl::ALL {
            let mut controller = Controller::new(choice, hystart, window);
            let mut now = Instant::ZERO;
            for (told_now, later) in &steps {
                now += *later;
                tell(&mut controller, told_now, now);
                let window = controller.window();
                prop_assert!((1..=MAX_WINDOW).contains(&window), "{choice:?}: {window} after {told_now:?}");
            }
        }
    }
}
