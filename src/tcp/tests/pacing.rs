//! Pacing: what a rate lets leave when, where the algorithm has one (draft-ietf-ccwg-bbr §5.6.2).

use super::*;

fn paced(capabilities: Capabilities, initial_window: u32) -> Bench {
    let congestion = congestion::CongestionControl::Bbr;
    Bench::on(TcpConfig { congestion, initial_window, ..plain() }, capabilities).listen(10).handshake(60_000)
}

/// A segment is sent and acknowledged after `rtt`: the rate is of that.
fn measure(b: &mut Bench, rtt: Duration) {
    b.write(&bytes(MSS)).unwrap();
    b.sends_data(ACK.with(PSH), 1, 1, MSS);
    b.silent();
    b.after(rtt);
    b.gets(seg(ACK, 1, 1_001));
    b.silent();
    b.after(ms(1_000));
}

/// How long `len` bytes take at the rate.
fn time(b: &Bench, len: usize) -> Duration {
    Duration::from_nanos(len as u64 * 1_000_000_000 / b.statistics().pacing_rate.unwrap())
}

/// Nothing leaves for so long, and then something does.
#[track_caller]
fn leaves_after(b: &mut Bench, wait: Duration) -> Seg {
    let moment = Duration::from_nanos(1);
    b.quiet_for(wait - moment);
    b.silent();
    b.after(moment);
    b.next().expect("a segment in time")
}

/// Each segment leaves when the one before has had its time at the rate.
#[test]
fn segments_leave_at_the_rate() {
    let mut b = paced(Capabilities::plain(MSS + 40), 10);
    measure(&mut b, ms(100));
    b.write(&bytes(5 * MSS)).unwrap();
    b.sends_data(ACK, 1_001, 1, MSS);
    let gap = time(&b, MSS);
    assert!(gap > ms(1), "{gap:?}");
    for i in 2..6 {
        assert_eq!(leaves_after(&mut b, gap).seq, 1 + i * 1_000);
    }
}

/// A timer that is late is made up for, by two milliseconds at most; a pause in which there was nothing to send is not.
#[test]
fn lateness_is_made_up_for_and_pauses_are_not() {
    let mut b = paced(Capabilities::plain(MSS + 40), 10);
    measure(&mut b, ms(100));
    b.write(&bytes(5 * MSS)).unwrap();
    b.sends_data(ACK, 1_001, 1, MSS);
    let gap = time(&b, MSS);
    for (late, made_up) in [(ms(1), ms(1)), (ms(50), ms(2))] {
        b.silent();
        b.jump(gap + late);
        b.next().expect("a late segment");
        leaves_after(&mut b, gap - made_up);
    }
    b.gets(seg(ACK, 1, 6_001));
    b.silent();
    b.after(ms(250));
    b.write(&bytes(2 * MSS)).unwrap();
    b.sends_data(ACK, 6_001, 1, MSS);
    let gap = time(&b, MSS);
    leaves_after(&mut b, gap);
}

/// A frame is of a millisecond at most, but of two segments.
#[test]
fn a_paced_frame_is_of_a_millisecond_or_of_two_segments() {
    for (rtt, initial_window) in [(100, 10), (10, 40)] {
        let mut b = paced(Capabilities::offload(MSS + 40), initial_window);
        measure(&mut b, ms(rtt));
        let millisecond = (b.statistics().pacing_rate.unwrap() / 1_000) as usize / MSS * MSS;
        b.write(&bytes(30 * MSS)).unwrap();
        let len = b.next().unwrap().payload.len();
        assert_eq!(len, millisecond.max(2 * MSS), "{rtt} ms");
        let gap = time(&b, len);
        leaves_after(&mut b, gap);
    }
}

/// What was held back is sent, and a pause follows, however short: nothing is left to be made up for.
#[test]
fn a_short_pause_is_not_made_up_for() {
    let mut b = paced(Capabilities::plain(MSS + 40), 10);
    measure(&mut b, ms(100));
    b.write(&bytes(2 * MSS)).unwrap();
    b.sends_data(ACK, 1_001, 1, MSS);
    let gap = time(&b, MSS);
    leaves_after(&mut b, gap);
    b.after(gap + ms(1));
    b.write(&bytes(2 * MSS)).unwrap();
    b.sends_data(ACK, 3_001, 1, MSS);
    leaves_after(&mut b, gap);
}

/// What waited may leave before its timer is looked at; that then changes nothing of what is under way.
#[test]
fn a_late_timer_takes_nothing_of_what_is_under_way() {
    let mut b = paced(Capabilities::plain(MSS + 40), 10);
    measure(&mut b, ms(100));
    b.write(&bytes(2 * MSS)).unwrap();
    b.sends_data(ACK, 1_001, 1, MSS);
    b.silent();
    b.now += time(&b, MSS);
    b.gets(seg(ACK, 1, 1_001).window(50_000));
    b.sends_data(ACK.with(PSH), 2_001, 1, MSS);
    b.tcp.handle_timeout(&mut b.counters, b.now);
    assert_eq!(b.statistics().unacknowledged, 2);
}

/// Another rate counts at once (`SO_MAX_PACING_RATE`); another option ends no wait.
#[test]
fn an_option_that_is_no_rate_ends_no_wait() {
    let mut b = paced(Capabilities::plain(MSS + 40), 10);
    measure(&mut b, ms(100));
    b.write(&bytes(2 * MSS)).unwrap();
    b.sends_data(ACK, 1_001, 1, MSS);
    b.set_options(|options| options.report_soft_errors = true);
    let gap = time(&b, MSS);
    leaves_after(&mut b, gap);
}
