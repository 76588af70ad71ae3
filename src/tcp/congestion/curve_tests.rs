//! The curve against RFC 9438 §4.2 to §4.7; the formulas of §4.2 once more in floating point.

use super::*;

const MSS: u32 = 1000;
const RTT: Duration = Duration::from_millis(100);

/// A curve after a loss at `segments`, and the window of seven tenths that it begins with.
fn after_loss(segments: u32) -> (Curve, u32) {
    let mut curve = Curve::new();
    curve.reduce(segments * MSS);
    (curve, segments * MSS / 10 * 7)
}

fn begun(segments: u32) -> (Curve, u32) {
    let (mut curve, window) = after_loss(segments);
    curve.begin_stage(window, MSS, Instant::ZERO);
    (curve, window)
}

/// A round trip from `now` on, ten acknowledgements for a window: what the window is then.
fn round(curve: &mut Curve, window: u32, now: Instant) -> u32 {
    (1..=10).fold(window, |cwnd, tenth| {
        let ack = Ack { now: now + RTT / 10 * tenth, min_rtt: Some(RTT), ..Ack::of(window / 10, MSS) };
        curve.grow(cwnd, &ack)
    })
}

/// Rounds one behind the other; the window after each.
fn rounds(curve: &mut Curve, mut window: u32, count: u32) -> Vec<u32> {
    let grown = (0..count).map(|n| {
        window = round(curve, window, Instant::ZERO + RTT * n);
        window
    });
    grown.collect()
}

fn segments(window: u32) -> f64 {
    f64::from(window) / f64::from(MSS)
}

/// §4.2, figures 1 and 2, in segments and seconds.
fn reference(t: f64, w_max: f64, start: f64) -> f64 {
    0.4 * (t - ((w_max - start) / 0.4).cbrt()).powi(3) + w_max
}

/// §4.2: the integer arithmetic is that of figures 1 and 2 to a hundredth of a segment.
#[test]
fn the_curve_is_that_of_the_formulas() {
    for w_max in [10, 100, 10_000, 1_000_000] {
        let (curve, window) = begun(w_max);
        for t in [0_u32, 1, 700, 5_000, 60_000, 100_000] {
            let expected = reference(f64::from(t) / 1e3, f64::from(w_max), segments(window));
            let found = segments(curve.w_cubic(t * 1_000, MSS));
            assert!(
                (found - expected).abs() < 0.01 + expected * 1e-5,
                "W_max {w_max}, t {t} ms: {found} {expected}"
            );
        }
    }
}

/// §4.4, §4.5: the window follows the curve, concave up to W_max and convex behind it, never further than a round trip ahead.
#[test]
fn the_window_follows_the_curve() {
    let (mut curve, window) = after_loss(1_000);
    for (n, window) in rounds(&mut curve, window, 150).into_iter().enumerate() {
        let t = n as f64 / 10.0;
        let (behind, ahead) = (reference(t, 1_000.0, 700.0), reference(t + 0.2, 1_000.0, 700.0));
        let window = segments(window);
        assert!(behind - 1.0 <= window && window <= ahead + 1.0, "{t} s: {behind} {window} {ahead}");
    }
}

/// §4.2: the target is never below the window, nor more than half of it above, however far away the curve is.
#[test]
fn the_target_is_between_one_and_one_and_a_half_windows() {
    let (mut curve, window) = begun(100);
    assert_eq!(curve.target(200 * MSS, RTT, MSS), 200 * MSS);
    curve.elapsed = 60_000_000;
    assert_eq!(curve.target(window, RTT, MSS), window / 2 * 3);
}

/// §4.3: with a small window and a short round trip Reno has more, and so has CUBIC: α = 9/17 of a segment for each window
/// up to where the loss was, a whole one from there on.
#[test]
fn the_window_is_renos_where_that_is_larger() {
    let (mut curve, mut window) = after_loss(20);
    let mut growth = |below: u32| {
        let (mut first, mut count) = (None, 0);
        while window < below * MSS {
            let acked = window / 10;
            for _ in 0..10 {
                window = curve.grow(window, &Ack::of(acked, MSS));
            }
            first = first.or(Some(window));
            count += 1;
        }
        f64::from(window - first.unwrap()) / f64::from(MSS) / f64::from(count - 1)
    };
    let (to_the_loss, beyond) = (growth(20), growth(40));
    assert!((to_the_loss - 9.0 / 17.0).abs() < 0.02, "{to_the_loss}");
    assert!((beyond - 1.0).abs() < 0.03, "{beyond}");
}

/// §4.7: a window that was reduced before it came back to W_max leaves W_max lower than itself; one that did come back does not.
#[test]
fn fast_convergence_gives_room_to_others() {
    let mut curve = Curve::new();
    let mut w_max_after = |window: u32| {
        curve.reduce(window * MSS);
        (curve.w_max, curve.cwnd_prior)
    };
    assert_eq!(w_max_after(100), (100 * MSS, 100 * MSS));
    assert_eq!(w_max_after(70), (59_500, 70 * MSS));
    assert_eq!(w_max_after(60), (60 * MSS, 60 * MSS));
    assert_eq!(w_max_after(60), (60 * MSS, 60 * MSS));
}

/// §4.8, §4.10: where no loss told of a limit, K is 0 and W_max where the stage begins.
#[test]
fn an_unknown_limit_is_where_the_stage_begins() {
    let (mut curve, window) = begun(100);
    assert!(curve.k > 0 && curve.w_max == 100 * MSS);
    curve.forget_limit();
    curve.begin_stage(window, MSS, Instant::ZERO);
    assert_eq!((curve.k, curve.w_max), (0, window));
}

/// As Linux: while no loss has told of a limit, a twentieth per round trip. The loss ends it.
#[test]
fn an_unknown_limit_is_looked_for_faster() {
    let mut curve = Curve::new();
    let windows = rounds(&mut curve, 1_000 * MSS, 2);
    assert!(windows[0] > 1_045 * MSS && windows[1] > 1_090 * MSS, "{windows:?}");
    let (mut curve, window) = after_loss(1_000);
    assert!(round(&mut curve, window, Instant::ZERO) < window + window / 50);
}

/// Growth does not depend on how the window is acknowledged: a byte at a time (hostile case M8) or at once.
#[test]
fn divided_acknowledgements_grow_the_window_no_more() {
    let (mut whole, window) = begun(20);
    let mut divided = whole.clone();
    let now = Instant::from_millis(100);
    let at_once = whole.grow(window, &Ack { now, ..Ack::of(10 * MSS, MSS) });
    let ack = Ack { now, ..Ack::of(1, MSS) };
    let in_pieces = (0..10 * MSS).fold(window, |cwnd, _| divided.grow(cwnd, &ack));
    assert!(in_pieces > window && in_pieces <= at_once, "{in_pieces} {at_once}");
}

/// The root is exact at its edges.
#[test]
fn cube_roots_are_integers() {
    for root in [0, 1, 2, 3, 1_000, 0x7fff_ffff, (1 << 34) + 7] {
        let cube = u128::from(root).pow(3);
        assert_eq!((cube_root(cube), cube_root(cube + 1)), (root, root.max(1)));
        assert!(root < 2 || cube_root(cube - 1) == root - 1);
    }
}
