//! Keep-alive (RFC 9293 §3.8.4): probing a peer that has been silent for long.

use super::*;

const HOUR: u64 = 3_600_000;

fn watched() -> Bench {
    let mut b = Bench::established(plain());
    b.set_options(|options| options.keep_alive = true);
    b
}

/// MUST-25: off unless asked for; an idle connection has no timer.
#[test]
fn nothing_is_probed_unless_asked_for() {
    let mut b = Bench::established(plain());
    assert_eq!(b.tcp.poll_timeout(), None);
    b.quiet_for(ms(24 * HOUR));
}

/// MUST-24, MUST-28, SHLD-12: after two hours of silence an empty segment at SND.UNA - 1, and its answer is enough for two more.
#[test]
fn a_silent_peer_is_probed_after_two_hours() {
    let mut b = watched();
    b.after(ms(2 * HOUR - 1));
    b.silent();
    b.after(ms(1));
    b.sends_data(ACK, 0, 1, 0);
    b.gets(seg(ACK, 1, 1));
    b.after(ms(2 * HOUR - 1));
    b.silent();
    b.after(ms(1));
    b.sends(ACK, 0, 1);
    assert_eq!(b.counters.tcp_keep_alives, 2);
}

/// MUST-29: nine probes, 75 s apart, must stay unanswered; then the application is told, and the peer by a RST if it lives.
#[test]
fn nine_unanswered_probes_end_the_connection() {
    let mut b = watched();
    b.after(ms(2 * HOUR));
    for _ in 0..9 {
        b.sends(ACK, 0, 1);
        b.silent();
        assert_eq!(b.state(), State::Established);
        b.after(ms(75_000));
    }
    b.sends(RST_ACK, 1, 1);
    assert_eq!((b.state(), b.tcp.take_error(b.id())), (State::Closed, Some(SocketError::TimedOut)));
    assert_eq!(b.tcp.poll_timeout(), None);
}

/// MUST-29: an answer to a late probe begins the count anew.
#[test]
fn an_answer_begins_the_count_anew() {
    let mut b = watched();
    b.after(ms(2 * HOUR));
    for _ in 0..9 {
        b.sends(ACK, 0, 1);
        b.after(ms(75_000));
        if b.counters.tcp_keep_alives == 9 {
            break;
        }
    }
    b.sends(ACK, 0, 1);
    b.gets(seg(ACK, 1, 1));
    b.quiet_for(ms(HOUR));
    assert_eq!(b.state(), State::Established);
}

/// MUST-27: idle time, interval and number are settings of the socket.
#[test]
fn times_and_number_can_be_set() {
    let mut b = Bench::established(plain());
    b.set_options(|options| {
        options.keep_alive = true;
        options.keep_idle = ms(10_000);
        options.keep_interval = ms(1_000);
        options.keep_probes = 2;
    });
    b.after(ms(10_000));
    b.sends(ACK, 0, 1);
    b.after(ms(1_000));
    b.sends(ACK, 0, 1);
    b.after(ms(1_000));
    b.sends(RST_ACK, 1, 1);
}

/// MUST-26: whatever the peer says counts as life, data included.
#[test]
fn data_from_the_peer_puts_the_probe_off() {
    let mut b = watched();
    b.quiet_for(ms(HOUR));
    b.gets(seg(ACK.with(PSH), 1, 1).data(b"hello"));
    b.silent();
    b.after(ms(40));
    b.sends(ACK, 1, 6);
    b.after(ms(2 * HOUR - 41));
    b.silent();
    b.after(ms(1));
    b.sends(ACK, 0, 6);
}

/// MUST-26: while something is outstanding retransmissions find out, not probes; nor while a closed window is probed.
#[test]
fn outstanding_data_is_not_probed() {
    let mut b = watched();
    b.set_options(|options| options.keep_idle = ms(1_000));
    b.write(b"x").unwrap();
    b.sends_data(ACK.with(PSH), 1, 1, 1);
    for _ in 0..5 {
        b.until_timer();
        if let Some(sent) = b.next() {
            assert_eq!(sent.payload.len(), 1, "{sent:?}");
        }
    }
    b.gets(seg(ACK, 1, 2).window(0));
    b.write(b"y").unwrap();
    b.silent();
    for _ in 0..8 {
        b.until_timer();
        if b.next().is_some() {
            b.gets(seg(ACK, 1, 2).window(0));
        }
    }
    assert_eq!(b.counters.tcp_keep_alives, 0);
}

/// As on Linux a user timeout (RFC 5482) decides in place of the number of probes.
#[test]
fn a_user_timeout_decides_instead_of_the_count() {
    let mut b = watched();
    b.set_options(|options| options.user_timeout = Some(ms(2 * 3_600_000 + 150_000)));
    b.after(ms(2 * HOUR));
    b.sends(ACK, 0, 1);
    b.after(ms(75_000));
    b.sends(ACK, 0, 1);
    b.after(ms(75_000));
    b.sends(RST_ACK, 1, 1);
    assert_eq!(b.tcp.take_error(b.id()), Some(SocketError::TimedOut));
}

/// A user timeout shorter than the idle time: the peer is asked once before it counts as gone. Until then nothing wakes the stack.
#[test]
fn a_peer_is_asked_before_a_short_user_timeout_counts() {
    let mut b = watched();
    assert_eq!(b.tcp.poll_timeout(), Some(b.now + ms(2 * HOUR)));
    b.set_options(|options| options.user_timeout = Some(ms(1_000)));
    b.after(ms(2 * HOUR));
    b.sends(ACK, 0, 1);
    b.after(ms(75_000));
    b.sends(RST_ACK, 1, 1);
}

/// MUST-24: switched off again, or given up by the application, nothing is probed any more.
#[test]
fn keep_alive_can_be_switched_off() {
    let mut b = watched();
    b.set_options(|options| options.keep_alive = false);
    assert_eq!(b.tcp.poll_timeout(), None);
    let mut b = watched();
    b.set_options(|options| options.keep_idle = ms(1_000));
    b.close();
    b.sends(FIN_ACK, 1, 1);
    b.gets(seg(ACK, 1, 2));
    b.quiet_for(ms(59_000));
    assert_eq!(b.state(), State::FinWait2);
}

/// A connection from a listener inherits its keep-alive, and an active open takes the stack's.
#[test]
fn new_connections_are_watched_from_the_start() {
    let mut b = Bench::established(TcpConfig { keep_alive: true, ..plain() });
    b.after(ms(2 * HOUR));
    b.sends(ACK, 0, 1);
}

/// `TCP_USER_TIMEOUT` as on Linux: however short, a silent peer is asked before it counts as gone; one probe is enough then.
#[test]
fn a_short_user_timeout_still_asks_first() {
    let mut b = watched();
    b.set_options(|options| options.user_timeout = Some(ms(5_000)));
    b.after(ms(2 * HOUR));
    b.sends(ACK, 0, 1);
    assert_eq!(b.state(), State::Established);
    b.after(ms(75_000));
    b.sends(RST_ACK, 1, 1);
}

/// A probe that is due goes also where data leaves at the same time: the connection does not rest before it.
#[test]
fn data_in_the_same_moment_does_not_swallow_a_probe() {
    let mut b = watched();
    b.after(ms(2 * HOUR));
    b.write(b"x").unwrap();
    b.sends_data(ACK.with(PSH), 1, 1, 1);
    b.sends(ACK, 0, 1);
    b.silent();
}
