//! Giving up on a silent peer: R1, R2, the user timeout, orphans (RFC 9293 §3.8.3, RFC 5482, RFC 6429).

use super::*;

/// Lets the retransmission timer fire `count` times and takes what it sends.
fn retransmits(b: &mut Bench, count: u32) {
    for _ in 0..count {
        b.until_timer();
        b.next().expect("a retransmission");
        b.silent();
    }
}

/// MUST-20, SHLD-9, SHLD-10: at R1 (3 by default) the application can know, and the connection goes on.
#[test]
fn trouble_is_told_between_r1_and_r2() {
    let mut b = Bench::established(plain());
    b.set_options(|options| options.report_soft_errors = true);
    b.write(b"x").unwrap();
    b.sends_data(ACK.with(PSH), 1, 1, 1);
    retransmits(&mut b, 2);
    assert_eq!(b.tcp.soft_error(b.id()), None);
    while b.tcp.poll_event().is_some() {}
    retransmits(&mut b, 1);
    assert_eq!(b.tcp.soft_error(b.id()), Some(SocketError::TimedOut));
    let event = b.tcp.poll_event();
    assert!(matches!(event, Some(TcpEvent::Connection(_, ready)) if ready.has(Readiness::ERR)), "{event:?}");
    assert_eq!(b.tcp.take_error(b.id()), Some(SocketError::TimedOut));
    assert_eq!((b.state(), b.counters.tcp_r1_notices), (State::Established, 1));
    b.gets(seg(ACK, 1, 2));
    assert_eq!((b.write(b"y"), b.read()), (Ok(1), Err(SocketError::WouldBlock)));
}

/// SHLD-20: an application that asked for no reports is left alone at R1; R1 is a setting of the socket.
#[test]
fn without_reports_r1_is_only_visible() {
    let mut b = Bench::established(plain());
    b.set_options(|options| options.r1 = 1);
    b.write(b"x").unwrap();
    b.next();
    retransmits(&mut b, 1);
    assert_eq!((b.tcp.soft_error(b.id()), b.tcp.take_error(b.id())), (Some(SocketError::TimedOut), None));
}

/// MUST-20, MUST-21, SHLD-11: fifteen retransmissions from the shortest timeout on take 924.6 s, and R2 is a setting.
#[test]
fn r2_is_fifteen_retransmissions_or_924_seconds() {
    let mut b = Bench::listening(plain());
    b.gets(seg(SYN, 0, 0).mss(1000));
    b.sends(SYN_ACK, 0, 1);
    b.gets(seg(ACK, 1, 1));
    b.id = Some(b.tcp.accept(b.listener.unwrap()).unwrap().0);
    b.write(b"x").unwrap();
    b.next().expect("data");
    let start = b.now;
    retransmits(&mut b, 15);
    assert_eq!(b.state(), State::Established);
    b.until_timer();
    b.silent();
    assert_eq!(b.state(), State::Closed);
    let took = b.now.since(start).as_millis();
    assert!((924_600..925_000).contains(&took), "{took} ms");
    assert_eq!(b.tcp.take_error(b.id()), Some(SocketError::TimedOut));
    let mut b = Bench::established(plain());
    b.set_options(|options| options.retries = 1);
    b.write(b"x").unwrap();
    b.next();
    retransmits(&mut b, 1);
    b.until_timer();
    assert_eq!(b.tcp.take_error(b.id()), Some(SocketError::TimedOut));
}

/// RFC 5482 §3: the user timeout counts from the first retransmission and cuts the last wait short, instead of R2.
#[test]
fn a_user_timeout_gives_up_at_its_time() {
    let mut b = Bench::established(plain());
    b.set_options(|options| options.user_timeout = Some(ms(1_000)));
    b.write(b"x").unwrap();
    b.sends_data(ACK.with(PSH), 1, 1, 1);
    b.after(ms(300));
    b.sends_data(ACK.with(PSH), 1, 1, 1);
    b.after(ms(600));
    b.sends_data(ACK.with(PSH), 1, 1, 1);
    b.after(ms(399));
    assert_eq!(b.state(), State::Established);
    b.after(ms(1));
    b.silent();
    assert_eq!((b.state(), b.tcp.take_error(b.id())), (State::Closed, Some(SocketError::TimedOut)));
}

/// RFC 5482 §3: a user timeout longer than R2 holds the connection beyond it.
#[test]
fn a_long_user_timeout_outlives_r2() {
    let mut b = Bench::established(TcpConfig { retries: 2, ..plain() });
    b.set_options(|options| options.user_timeout = Some(ms(60_000)));
    b.write(b"x").unwrap();
    b.next();
    retransmits(&mut b, 6);
    assert_eq!(b.state(), State::Established);
    b.gets(seg(ACK, 1, 2));
    b.quiet_for(ms(100_000));
    assert_eq!(b.state(), State::Established, "an answer ends the trouble");
}

/// RFC 5482 §3: it serves a SYN, too.
#[test]
fn a_user_timeout_ends_an_open() {
    let mut b = Bench::opening(plain());
    b.set_options(|options| options.user_timeout = Some(ms(5_000)));
    b.sends(SYN, 0, 0);
    b.after(ms(1_000));
    b.sends(SYN, 0, 0);
    b.after(ms(2_000));
    b.sends(SYN, 0, 0);
    b.after(ms(3_000));
    b.silent();
    assert_eq!((b.state(), b.tcp.take_error(b.id())), (State::Closed, Some(SocketError::TimedOut)));
    assert_eq!(b.counters.tcp_r1_notices, 0, "two retries");
}

/// RFC 6429 §4 (hostile case M4): a peer that answers every probe and never opens its window is given up by the user timeout.
#[test]
fn a_user_timeout_ends_a_closed_window() {
    let mut b = Bench::established_with(plain(), 0);
    b.set_options(|options| options.user_timeout = Some(ms(2_000)));
    b.write(b"x").unwrap();
    b.silent();
    let start = b.now;
    let mut probes = 0;
    while b.state() == State::Established {
        b.until_timer();
        if b.next().is_some() {
            probes += 1;
            b.gets(seg(ACK, 1, 1).window(0));
        }
    }
    assert_eq!((probes, b.now.since(start)), (3, ms(2_300)), "the first probe after 300 ms, then 2 s");
    assert_eq!(b.tcp.take_error(b.id()), Some(SocketError::TimedOut));
}

/// Hostile case M4: a window shrunk to nothing over data under way is no way around the user timeout.
#[test]
fn a_user_timeout_ends_a_window_shrunk_over_data() {
    let mut b = Bench::established(plain());
    b.set_options(|options| options.user_timeout = Some(ms(2_000)));
    b.write(b"x").unwrap();
    b.next();
    b.gets(seg(ACK, 1, 1).window(0));
    for _ in 0..20 {
        if b.state() == State::Closed {
            break;
        }
        b.until_timer();
        if b.next().is_some() {
            b.gets(seg(ACK, 1, 1).window(0));
        }
    }
    assert_eq!((b.state(), b.tcp.take_error(b.id())), (State::Closed, Some(SocketError::TimedOut)));
}

/// Policy 29 (hostile cases M4, M5): what the application has closed is kept for 60 s without progress, however its peer answers.
#[test]
fn an_orphan_without_progress_is_forgotten_after_a_minute() {
    let mut b = Bench::established_with(TcpConfig { orphan_retries: 200, ..plain() }, 0);
    b.write(b"never taken").unwrap();
    b.close();
    let end = b.now + ms(60_000);
    while b.tcp.orphans() > 0 {
        while b.next().is_some() {}
        b.until_timer();
        if b.next().is_some() {
            b.gets(seg(ACK, 1, 1).window(0));
        }
    }
    assert_eq!((b.now, b.state(), b.tcp.poll_timeout()), (end, State::Closed, None));
}

/// Policy 29: progress begins an orphan's minute anew; a slow reader gets all of it.
#[test]
fn an_orphan_with_progress_lives_on() {
    let mut b = Bench::established_with(plain(), 1_000);
    b.write(&bytes(4_000)).unwrap();
    b.close();
    for i in 0..4 {
        b.sends(if i == 3 { ACK.with(PSH) } else { ACK }, 1 + i * 1_000, 1);
        b.gets(seg(ACK, 1, 1_001 + i * 1_000).window(0));
        b.silent();
        let stalled = b.now;
        while b.now.since(stalled) < ms(15_000) {
            b.until_timer();
            b.next();
        }
        b.gets(seg(ACK, 1, 1_001 + i * 1_000).window(1_000));
        assert_eq!(b.tcp.orphans(), 1);
    }
    b.sends(FIN_ACK, 4_001, 1);
    b.gets(seg(FIN_ACK, 1, 4_002));
    assert_eq!((b.state(), b.tcp.orphans()), (State::TimeWait, 0));
}

/// Policy 29 (hostile case M5): CLOSING ends after 8 retransmissions, or after 60 s if that is earlier.
#[test]
fn an_orphan_in_closing_is_given_up() {
    for (orphan_timeout, expected) in [(ms(3_600_000), 8), (ms(60_000), 7)] {
        let mut b = Bench::established(TcpConfig { orphan_timeout, ..plain() });
        b.close();
        b.sends(FIN_ACK, 1, 1);
        b.gets(seg(FIN_ACK, 1, 1));
        b.sends(ACK, 2, 2);
        assert_eq!(b.state(), State::Closing);
        let mut fins = 0;
        while b.tcp.poll_timeout().is_some() {
            b.until_timer();
            fins += u32::from(b.next().is_some());
        }
        assert_eq!((fins, b.tcp.orphans(), b.tcp.connections().count()), (expected, 0, 0));
    }
}

/// Policy 29 (hostile case M5): orphans are counted, and one more than the cap is reset instead.
#[test]
fn the_number_of_orphans_is_capped() {
    let mut b = Bench::established(TcpConfig { max_orphans: 1, ..plain() });
    b.close();
    b.sends(FIN_ACK, 1, 1);
    let first = (b.tuple, b.iss);
    assert_eq!(b.tcp.orphans(), 1);
    b.tuple.remote.port = 5001;
    let mut b = b.handshake(1_000);
    b.close();
    b.sends(RST_ACK, 1, 1);
    assert_eq!((b.tcp.orphans(), b.counters.tcp_orphans_refused), (1, 1));
    (b.tuple, b.iss) = first;
    b.gets(seg(RST, 1, 0));
    assert_eq!(b.tcp.orphans(), 0, "its end makes room");
}

/// Hostile case M5: the stay of an orphan in FIN-WAIT-2 is a setting of its socket (`TCP_LINGER2`), counted from the ACK of its FIN.
#[test]
fn a_socket_sets_its_own_stay_in_fin_wait_2() {
    let mut b = Bench::established(plain());
    b.set_options(|options| options.fin_wait_2_timeout = ms(5_000));
    b.close();
    b.sends(FIN_ACK, 1, 1);
    b.quiet_for(ms(200));
    b.gets(seg(ACK, 1, 2));
    b.after(ms(4_999));
    assert_eq!((b.state(), b.tcp.orphans()), (State::FinWait2, 1));
    b.after(ms(1));
    assert_eq!((b.state(), b.tcp.orphans()), (State::Closed, 0));
    b.gets(seg(ACK, 1, 2).data(b"late"));
    b.sends(RST, 2, 0);
}

/// RFC 5482 §3: trouble is over with the answer; new data sent later has the whole user timeout again.
#[test]
fn an_answer_gives_the_whole_user_timeout_back() {
    let mut b = Bench::established(plain());
    b.set_options(|options| options.user_timeout = Some(ms(1_000)));
    for i in 0..3 {
        b.write(b"x").unwrap();
        b.sends_data(ACK.with(PSH), 1 + i, 1, 1);
        retransmits(&mut b, 1);
        b.jump(ms(1));
        b.gets(seg(ACK, 1, 2 + i));
        assert_eq!(b.state(), State::Established);
        b.quiet_for(ms(5_000));
    }
}

/// RFC 5482 §3: progress is an answer, too, though something is still under way.
#[test]
fn progress_gives_the_whole_user_timeout_back() {
    let mut b = Bench::established(plain());
    b.set_options(|options| options.user_timeout = Some(ms(1_000)));
    b.write(&bytes(2_000)).unwrap();
    (0..2).for_each(|_| drop(b.next().expect("data")));
    let start = b.now;
    b.after(ms(300));
    b.sends_data(ACK, 1, 1, MSS);
    b.jump(ms(50));
    b.gets(seg(ACK, 1, 1_001));
    b.sends_data(ACK.with(PSH), 1_001, 1, MSS);
    while b.state() == State::Established {
        b.until_timer();
        b.next();
    }
    let took = b.now.since(start).as_millis();
    assert!(took >= 350 + 1_000, "{took} ms: later than 1 s after the first retransmission");
}

/// RFC 5482 §3: a user timeout counts from the first retransmission; however short, it does not hasten that.
#[test]
fn a_short_user_timeout_does_not_hasten_the_first_retransmission() {
    let mut b = Bench::established(plain());
    b.set_options(|options| options.user_timeout = Some(ms(100)));
    b.write(b"x").unwrap();
    b.sends_data(ACK.with(PSH), 1, 1, 1);
    b.after(ms(299));
    b.silent();
    b.after(ms(1));
    b.sends_data(ACK.with(PSH), 1, 1, 1);
    b.after(ms(99));
    assert_eq!(b.state(), State::Established);
    b.after(ms(1));
    assert_eq!(b.state(), State::Closed);
}

/// RFC 9293 §3.8.3 (MUST-20): R2 counts retransmissions without progress; a peer that acknowledges the same again and again makes none.
#[test]
fn repeated_acknowledgements_do_not_put_r2_off() {
    let mut b = Bench::established(plain());
    b.set_options(|options| options.retries = 3);
    b.write(b"x").unwrap();
    b.sends_data(ACK.with(PSH), 1, 1, 1);
    let mut again = 0;
    while b.state() != State::Closed && again < 10 {
        b.until_timer();
        again += std::iter::from_fn(|| b.next()).count();
        b.gets(seg(ACK, 1, 1));
    }
    assert_eq!((again, b.tcp.take_error(b.id())), (3, Some(SocketError::TimedOut)));
}
