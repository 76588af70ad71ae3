//! Opening: passive and active, simultaneous, retried, refused (RFC 9293 §3.5, §3.10.7.2, §3.10.7.3).

use super::*;
use crate::tcp::config::SynCookies;

/// RFC 9293 §3.5, figure 6.
#[test]
fn passive_open_reaches_established_by_three_segments() {
    let mut b = Bench::listening(plain());
    b.gets(seg(SYN, 0, 0).mss(1460));
    assert_eq!(b.state(), State::SynReceived);
    assert_eq!(b.sends(SYN_ACK, 0, 1).options.mss, Some(MSS as u16));
    assert_eq!(b.counters.tcp_out, 1);
    b.gets(seg(ACK, 1, 1));
    assert_eq!(b.state(), State::Established);
    assert!(
        std::iter::from_fn(|| b.tcp.poll_event())
            .any(|event| event == TcpEvent::Acceptable(b.listener.unwrap()))
    );
    b.silent();
}

/// RFC 9293 §3.5, figure 6, the other side.
#[test]
fn active_open_reaches_established_by_three_segments() {
    let mut b = Bench::opening(plain());
    assert_eq!(b.sends(SYN, 0, 0).options.mss, Some(MSS as u16));
    assert_eq!((b.state(), b.write(b"x")), (State::SynSent, Err(SocketError::WouldBlock)));
    b.gets(seg(SYN_ACK, 0, 1));
    b.sends(ACK, 1, 1);
    assert_eq!(b.state(), State::Established);
    assert!(b.tcp.readiness(b.id()).has(Readiness::OUT));
}

/// RFC 9293 §3.5, figure 7 (MUST-10).
#[test]
fn simultaneous_open_reaches_established() {
    let mut b = Bench::opening(plain());
    b.sends(SYN, 0, 0);
    b.gets(seg(SYN, 0, 0));
    assert_eq!(b.state(), State::SynReceived);
    b.sends(SYN_ACK, 0, 1);
    // The peer's SYN-ACK completes it: answered with another, both sides would answer each other for ever.
    b.gets(seg(SYN_ACK, 0, 1));
    assert_eq!(b.state(), State::Established);
    b.silent();
}

/// Policy 1: what was not offered is not answered, and the order is Linux's.
#[test]
fn a_syn_ack_echoes_only_offered_options() {
    let mut b = Bench::listening(TcpConfig::default());
    b.gets(seg(SYN, 0, 0).mss(1460));
    let options = b.sends(SYN_ACK, 0, 1).options;
    assert_eq!(options, Options { mss: Some(MSS as u16), ..Options::default() });
    let mut b = Bench::listening(TcpConfig::default());
    b.gets(seg(SYN, 0, 0).mss(1460).scale(3).sack_permitted().ts(77, 0));
    let options = b.sends(SYN_ACK, 0, 1).options;
    assert!(options.sack_permitted && options.window_scale.is_some());
    assert_eq!(options.timestamps.map(|ts| ts.ecr), Some(77));
}

/// RFC 7323 §2.2: the window of a SYN or SYN-ACK is never scaled, later ones are.
#[test]
fn windows_are_scaled_after_the_handshake_only() {
    let mut b = Bench::opening(TcpConfig {
        receive_buffer: 2 << 20,
        receive_buffer_initial: 2 << 20,
        ..TcpConfig::default()
    });
    let syn = b.sends(SYN, 0, 0);
    assert_eq!((syn.options.window_scale, syn.window), (Some(6), Some(65_000)));
    b.gets(seg(SYN_ACK, 0, 1).mss(1460).scale(4).window(1000));
    assert_eq!(b.sends(ACK, 1, 1).window, Some(((1u32 << 20) >> 6) as u16));
    assert_eq!(b.tcp.info(b.id()).unwrap().send_window, 1000);
    b.gets(seg(ACK, 1, 1).window(1000));
    assert_eq!(b.tcp.info(b.id()).unwrap().send_window, 16_000);
}

/// Policy 17: 1, 2, 4, … s, seven times, 255 s in all (MUST-23 asks for three minutes); then the open fails.
#[test]
fn a_lost_syn_is_repeated_for_more_than_three_minutes() {
    let mut b = Bench::opening(plain());
    b.sends(SYN, 0, 0);
    for i in 0..7 {
        b.after(ms(1000 << i));
        b.sends(SYN, 0, 0);
        b.silent();
    }
    b.after(ms(128_000));
    b.silent();
    assert_eq!(b.tcp.take_error(b.id()), Some(SocketError::TimedOut));
    assert_eq!(b.tcp.poll_timeout(), None);
}

/// Policy 17: five times, then the half-open entry is gone and an ACK to it is a stranger's.
#[test]
fn a_lost_syn_ack_is_repeated_and_then_forgotten() {
    let mut b = Bench::listening(plain());
    b.gets(seg(SYN, 0, 0));
    b.sends(SYN_ACK, 0, 1);
    for i in 0..5 {
        b.after(ms(1000 << i));
        b.sends(SYN_ACK, 0, 1);
    }
    b.after(ms(32_000));
    b.silent();
    assert_eq!((b.state(), b.tcp.poll_timeout()), (State::Closed, None));
    b.gets(seg(ACK, 1, 1));
    b.sends(RST, 1, 0);
}

/// RFC 9293 §3.10.7.4: a repeated SYN in SYN-RECEIVED repeats the SYN-ACK (policy 19).
#[test]
fn a_repeated_syn_repeats_the_syn_ack() {
    let mut b = Bench::listening(plain());
    b.gets(seg(SYN, 0, 0));
    let first = b.sends(SYN_ACK, 0, 1);
    b.gets(seg(SYN, 0, 0));
    assert_eq!(b.sends(SYN_ACK, 0, 1), first);
    b.gets(seg(ACK, 1, 1));
    assert_eq!(b.state(), State::Established);
}

/// Policy 17: SYNs that come again and again do not keep a half-open entry beyond its retries.
#[test]
fn repeated_syns_do_not_keep_a_half_open_entry() {
    let mut b = Bench::listening(TcpConfig { syn_ack_retries: 1, ..plain() });
    b.gets(seg(SYN, 0, 0));
    b.sends(SYN_ACK, 0, 1);
    b.jump(ms(900));
    b.gets(seg(SYN, 0, 0));
    b.sends(SYN_ACK, 0, 1);
    b.after(ms(100));
    b.sends(SYN_ACK, 0, 1);
    b.jump(ms(1_900));
    b.gets(seg(SYN, 0, 0));
    b.sends(SYN_ACK, 0, 1);
    b.after(ms(100));
    b.silent();
    assert_eq!((b.state(), b.tcp.poll_timeout()), (State::Closed, None));
}

/// RFC 9293 §3.10.7.3: refused by RST, which counts only if it acknowledges our SYN.
#[test]
fn a_refused_open_fails_at_once() {
    let mut b = Bench::opening(plain());
    b.sends(SYN, 0, 0);
    b.gets(seg(RST, 0, 0));
    b.gets(seg(RST_ACK, 0, 9));
    assert_eq!(b.state(), State::SynSent);
    b.gets(seg(RST_ACK, 0, 1));
    assert_eq!((b.state(), b.read()), (State::Closed, Err(SocketError::ConnectionRefused)));
    b.silent();
}

/// RFC 9293 §3.10.7.3 (hostile case M10: SYN-ACK with ack ± 1, ACK without SYN).
#[test]
fn a_wrong_acknowledgement_in_syn_sent_is_reset() {
    let mut b = Bench::opening(plain());
    b.sends(SYN, 0, 0);
    b.gets(seg(SYN_ACK, 0, 2));
    b.sends(RST, 2, 0);
    b.gets(seg(ACK, 0, 1));
    b.silent();
    assert_eq!(b.state(), State::SynSent);
}

/// RFC 9293 §3.10.7.4: an ACK that is not of our SYN-ACK draws a RST and leaves the entry (hostile case M10).
#[test]
fn a_wrong_acknowledgement_in_syn_received_is_reset() {
    let mut b = Bench::listening(plain());
    b.gets(seg(SYN, 0, 0));
    b.sends(SYN_ACK, 0, 1);
    b.gets(seg(ACK, 1, 7));
    b.sends(RST, 7, 0);
    b.gets(seg(ACK, 1, 1));
    assert_eq!(b.state(), State::Established);
}

/// A half-open entry holds no buffer: data on a SYN is not acknowledged, and taken when it comes again.
#[test]
fn data_on_a_syn_waits_for_its_retransmission() {
    let mut b = Bench::listening(plain());
    b.gets(seg(SYN, 0, 0).data(b"early"));
    b.sends(SYN_ACK, 0, 1);
    b.gets(seg(ACK, 1, 1).data(b"early"));
    b.id = Some(b.tcp.accept(b.listener.unwrap()).unwrap().0);
    assert_eq!(b.read(), Ok(b"early".to_vec()));
}

/// RFC 9293 §3.10.7.4: data on the completing ACK is taken.
#[test]
fn data_may_come_with_the_completing_ack() {
    let mut b = Bench::listening(plain());
    b.gets(seg(SYN, 0, 0));
    b.sends(SYN_ACK, 0, 1);
    b.gets(seg(ACK.with(PSH), 1, 1).data(b"hello"));
    b.id = Some(b.tcp.accept(b.listener.unwrap()).unwrap().0);
    assert_eq!(b.read(), Ok(b"hello".to_vec()));
}

/// Data with the SYN-ACK is taken after the handshake (RFC 9293 §3.10.7.3, fifth).
#[test]
fn data_and_fin_may_come_with_the_syn_ack() {
    let mut b = Bench::opening(plain());
    b.sends(SYN, 0, 0);
    b.gets(seg(SYN_ACK.with(FIN), 0, 1).data(b"hi"));
    b.sends(ACK, 1, 4);
    assert_eq!((b.read(), b.read(), b.state()), (Ok(b"hi".to_vec()), Ok(vec![]), State::CloseWait));
}

/// RFC 9293 §3.10.7.1: a closed port refuses; a RST to it is never answered.
#[test]
fn a_closed_port_refuses() {
    let mut b = Bench::new(plain());
    b.gets(seg(SYN, 0, 0));
    b.sends(RST_ACK, 0, 1);
    b.gets(seg(RST, 0, 0));
    b.silent();
    assert_eq!(b.dropped(DropReason::TcpNoSocket), 2);
}

/// Policy 25 (hostile case M10): SYN with FIN, SYN with RST, and no flag at all are dropped by a listener; SYN-ACK and ACK are
/// reset.
#[test]
fn nonsense_to_a_listener_is_dropped_and_strays_are_reset() {
    let mut b = Bench::listening(plain());
    for flags in [SYN.with(FIN), SYN.with(RST), Flags::NONE, FIN, RST] {
        b.gets(seg(flags, 0, 0));
        b.silent();
    }
    b.gets(seg(SYN_ACK, 0, 7));
    b.sends(RST, 7, 0);
    b.gets(seg(ACK, 0, 7));
    b.sends(RST, 7, 0);
    assert_eq!((b.tcp.connections().count(), b.counters.tcp_rst_out), (0, 2));
}

/// Issue: with a full accept queue SYNs are dropped, a completing ACK is ignored and the SYN-ACK is retransmitted.
#[test]
fn a_full_accept_queue_lets_the_handshake_wait() {
    let mut b = Bench::new(plain()).listen(1);
    b.gets(seg(SYN, 0, 0));
    b.sends(SYN_ACK, 0, 1);
    let waiting = (b.tuple, b.iss);
    b.tuple.remote.port = 5001;
    b.gets(seg(SYN, 0, 0));
    b.sends(SYN_ACK, 0, 1);
    b.gets(seg(ACK, 1, 1));
    assert_eq!(b.state(), State::Established);
    (b.tuple, b.iss) = waiting;
    b.gets(seg(ACK, 1, 1));
    assert_eq!((b.state(), b.dropped(DropReason::TcpAcceptQueueFull)), (State::SynReceived, 1));
    b.tuple.remote.port = 5002;
    b.gets(seg(SYN, 0, 0));
    b.silent();
    (b.tuple, b.iss) = waiting;
    b.tcp.accept(b.listener.unwrap()).unwrap();
    b.after(ms(1000));
    b.sends(SYN_ACK, 0, 1);
    b.gets(seg(ACK, 1, 1));
    assert_eq!(b.state(), State::Established);
}

/// Issue: without cookies a full SYN queue drops SYNs, and entries that end make room again.
#[test]
fn a_full_syn_queue_drops_syns() {
    let mut b = Bench::listening(TcpConfig { syn_queue: 2, syn_cookies: SynCookies::Off, ..plain() });
    for port in 5000..5003 {
        b.tuple.remote.port = port;
        b.gets(seg(SYN, 0, 0));
    }
    assert_eq!((b.tcp.connections().count(), b.dropped(DropReason::TcpSynQueueFull)), (2, 1));
    b.tuple.remote.port = 5001;
    b.gets(seg(RST, 1, 0));
    assert_eq!(b.tcp.connections().count(), 1);
    b.gets(seg(SYN, 0, 0));
    assert_eq!(b.tcp.connections().count(), 2);
}

/// Hostile case P5 (LAND): a segment from its own destination is dropped in silence.
#[test]
fn a_segment_from_its_own_destination_is_dropped() {
    let mut b = Bench::listening(plain());
    b.tuple.remote = b.tuple.local;
    b.gets(seg(SYN, 0, 0));
    b.silent();
    assert_eq!(b.dropped(DropReason::TcpMalformed), 1);
}

/// Hostile case M3: an MSS of 1 does not make segments of one byte, nor arithmetic that fails.
#[test]
fn a_tiny_mss_has_a_floor() {
    let mut b = Bench::listening(plain());
    b.gets(seg(SYN, 0, 0).mss(1));
    b.sends(SYN_ACK, 0, 1);
    b.gets(seg(ACK, 1, 1));
    b.id = Some(b.tcp.accept(b.listener.unwrap()).unwrap().0);
    b.write(&bytes(100)).unwrap();
    b.sends_data(ACK, 1, 1, 48);
}

/// MUST-41: listening twice on one address is refused, on another it is not; the listener's end resets what nobody accepted.
#[test]
fn a_closed_listener_resets_what_nobody_accepted() {
    let mut b = Bench::listening(plain());
    assert_eq!(b.tcp.listen("0.0.0.0:80".parse().unwrap(), 1), Err(SocketError::AddrInUse));
    b.gets(seg(SYN, 0, 0));
    b.sends(SYN_ACK, 0, 1);
    b.gets(seg(ACK, 1, 1));
    b.tcp.close_listener(b.listener.unwrap(), &mut b.counters, b.now);
    b.sends(RST_ACK, 1, 1);
    assert_eq!((b.tcp.connections().count(), b.tcp.poll_timeout()), (0, None));
}

/// RFC 9293 §3.10.4: a close in SYN-RECEIVED waits until the connection is established; the SYN-ACK is repeated meanwhile.
#[test]
fn a_close_in_syn_received_waits_for_the_handshake() {
    let mut b = Bench::opening(plain());
    b.sends(SYN, 0, 0);
    b.gets(seg(SYN, 0, 0).mss(1000));
    b.shutdown();
    b.sends(SYN_ACK, 0, 1);
    b.silent();
    b.after(ms(1_000));
    b.sends(SYN_ACK, 0, 1);
    b.gets(seg(SYN_ACK, 0, 1).mss(1000));
    assert_eq!(b.state(), State::FinWait1);
    b.sends(FIN_ACK, 1, 1);
    b.gets(seg(ACK, 1, 2));
    assert_eq!(b.state(), State::FinWait2);
}

/// RFC 6298 §3 (Karn): after a SYN-ACK that was sent twice for a repeated SYN no round trip is known.
#[test]
fn a_repeated_syn_ack_is_no_measurement() {
    for repeated in [false, true] {
        let mut b = Bench::listening(plain());
        b.gets(seg(SYN, 0, 0));
        b.sends(SYN_ACK, 0, 1);
        b.jump(ms(500));
        if repeated {
            b.gets(seg(SYN, 0, 0));
            b.sends(SYN_ACK, 0, 1);
        }
        b.gets(seg(ACK, 1, 1));
        let (id, _) = b.tcp.accept(b.listener.unwrap()).unwrap();
        assert_eq!(b.tcp.info(id).unwrap().srtt.is_none(), repeated);
    }
}
