//! Socket options: given at open, inherited from the listener, changed while open (RFC 9293 §3.9.1).

use super::*;
use crate::base::time::Duration;

/// The options of the bench's stack, changed.
fn options(b: &Bench, change: impl FnOnce(&mut SocketOptions)) -> SocketOptions {
    let mut options = b.tcp.default_options().clone();
    change(&mut options);
    options
}

/// A listener's options are those of its connections, then each has its own.
#[test]
fn a_connection_inherits_its_listeners_options() {
    let mut b = Bench::listening(plain());
    let listener = b.listener.unwrap();
    let inherited = options(&b, |options| options.user_timeout = Some(Duration::from_secs(9)));
    b.tcp.set_options(listener, inherited.clone(), b.now).unwrap();
    let mut b = b.handshake(60_000);
    assert_eq!(b.tcp.options(b.id()), Ok(SocketOptions { quick_ack: false, ..inherited.clone() }));
    b.set_options(|options| options.nodelay = true);
    assert_eq!(b.tcp.options(listener), Ok(inherited), "the listener's stay");
    assert!(b.tcp.options(b.id()).unwrap().nodelay);
}

/// What cannot be is refused, and the two ECN bits are not the application's.
#[test]
fn impossible_options_are_refused() {
    let mut b = Bench::established(plain());
    let refused: [fn(&mut SocketOptions); 6] = [
        |options| options.hop_limit = 0,
        |options| options.max_mss = Some(87),
        |options| options.keep_probes = 0,
        |options| options.keep_idle = Duration::ZERO,
        |options| options.keep_interval = Duration::ZERO,
        |options| options.max_pacing_rate = Some(0),
    ];
    for change in refused {
        let options = options(&b, change);
        assert_eq!(b.tcp.set_options(b.id(), options, b.now), Err(SocketError::Invalid));
    }
    b.set_options(|options| options.max_mss = Some(88));
    b.set_options(|options| options.traffic_class = 0xff);
    assert_eq!(b.tcp.options(b.id()).unwrap().traffic_class, 0xfc);
    b.close();
    assert_eq!(b.tcp.options(b.id()), Err(SocketError::NoSocket));
}

/// RFC 9293 §3.9.1.9, §3.9.2 (MUST-48, MUST-49, SHLD-22): DSCP and hop limit are on the SYN-ACK, its repetition, data, its
/// retransmission, the FIN and the ACK from TIME-WAIT.
#[test]
fn every_segment_carries_dscp_and_hop_limit() {
    let mut b = Bench::listening(plain());
    let marked = options(&b, |options| (options.traffic_class, options.hop_limit) = (0xb8, 7));
    b.tcp.set_options(b.listener.unwrap(), marked, b.now).unwrap();
    b.gets(seg(SYN, 0, 0).mss(MSS as u16));
    b.sends(SYN_ACK, 0, 1);
    assert_eq!(b.ip, (0xb8, 7));
    b.until_timer();
    b.sends(SYN_ACK, 0, 1);
    assert_eq!(b.ip, (0xb8, 7));
    b.gets(seg(ACK, 1, 1));
    let (id, _) = b.tcp.accept(b.listener.unwrap()).unwrap();
    b.id = Some(id);
    b.write(b"x").unwrap();
    b.sends_data(ACK.with(PSH), 1, 1, 1);
    assert_eq!(b.ip, (0xb8, 7));
    b.until_timer();
    b.sends_data(ACK.with(PSH), 1, 1, 1);
    assert_eq!(b.ip, (0xb8, 7));
    b.gets(seg(ACK, 1, 2));
    b.shutdown();
    b.sends(FIN_ACK, 2, 1);
    b.gets(seg(FIN_ACK, 1, 3));
    b.sends(ACK, 3, 2);
    b.gets(seg(FIN_ACK, 1, 3));
    b.sends(ACK, 3, 2);
    assert_eq!((b.state(), b.ip), (State::TimeWait, (0xb8, 7)));
}

/// MUST-48 for the active side, and for the RST of an abort.
#[test]
fn a_syn_carries_dscp_and_hop_limit() {
    let mut b = Bench::new(plain());
    let marked = options(&b, |options| (options.traffic_class, options.hop_limit) = (0x20, 255));
    let (source, remote) = ((b.tuple.local.addr, 0), b.tuple.remote.into());
    let id = b.tcp.connect_with(source, remote, &marked, &mut b.counters, b.now).unwrap();
    b.sends(SYN, 0, 0);
    assert_eq!(b.ip, (0x20, 255));
    b.gets(seg(SYN_ACK, 0, 1));
    b.sends(ACK, 1, 1);
    b.tcp.abort(id, &mut b.counters, b.now);
    b.sends(RST_ACK, 1, 1);
    assert_eq!(b.ip, (0x20, 255));
}

/// SHLD-21: the DSCP may change while the connection is open.
#[test]
fn dscp_and_hop_limit_change_while_the_connection_is_open() {
    let mut b = Bench::established(plain());
    b.write(b"x").unwrap();
    b.sends_data(ACK.with(PSH), 1, 1, 1);
    assert_eq!(b.ip, (0, 64));
    b.set_options(|options| (options.traffic_class, options.hop_limit) = (0x48, 1));
    b.until_timer();
    b.sends_data(ACK.with(PSH), 1, 1, 1);
    assert_eq!(b.ip, (0x48, 1));
}

/// Policy 2, RFC 9293 §3.7.1 (MUST-14, MUST-16): a configured maximum is announced, and bounds what is sent.
#[test]
fn a_maximum_segment_size_clamps_both_directions() {
    let mut b = Bench::listening(plain());
    let small = options(&b, |options| options.max_mss = Some(500));
    b.tcp.set_options(b.listener.unwrap(), small, b.now).unwrap();
    b.gets(seg(SYN, 0, 0).mss(MSS as u16));
    assert_eq!(b.sends(SYN_ACK, 0, 1).options.mss, Some(500));
    b.gets(seg(ACK, 1, 1));
    b.id = Some(b.tcp.accept(b.listener.unwrap()).unwrap().0);
    b.write(&bytes(600)).unwrap();
    b.sends_data(ACK, 1, 1, 500);
    b.sends_data(ACK.with(PSH), 501, 1, 100);
    let mut b = Bench::listening(plain());
    let large = options(&b, |options| options.max_mss = Some(9_000));
    b.tcp.set_options(b.listener.unwrap(), large, b.now).unwrap();
    b.gets(seg(SYN, 0, 0).mss(9_000));
    assert_eq!(b.sends(SYN_ACK, 0, 1).options.mss, Some(MSS as u16), "MUST-67: what the MTU allows");
}

/// Buffers are the socket's own: the receive buffer sets the window, the send buffer what a write takes.
#[test]
fn buffers_are_per_socket() {
    let mut b = Bench::listening(plain());
    let own = options(&b, |options| {
        (options.receive_buffer, options.send_buffer) = (Some(8_000), Some(1_500));
    });
    b.tcp.set_options(b.listener.unwrap(), own, b.now).unwrap();
    b.gets(seg(SYN, 0, 0).mss(MSS as u16));
    assert_eq!(b.sends(SYN_ACK, 0, 1).window, Some(4_000));
    b.gets(seg(ACK, 1, 1));
    b.id = Some(b.tcp.accept(b.listener.unwrap()).unwrap().0);
    assert_eq!(b.write(&bytes(2_000)), Ok(1_500));
    assert_eq!(b.write(b"x"), Err(SocketError::WouldBlock));
    b.set_options(|options| options.send_buffer = Some(1_600));
    assert_eq!(b.write(&bytes(2_000)), Ok(100));
}

/// R2 and the retries of a SYN are the socket's own (MUST-21, MUST-22).
#[test]
fn retries_are_per_socket() {
    let mut b = Bench::established(plain());
    b.set_options(|options| options.retries = 1);
    b.write(b"x").unwrap();
    b.sends_data(ACK.with(PSH), 1, 1, 1);
    b.until_timer();
    b.sends_data(ACK.with(PSH), 1, 1, 1);
    b.until_timer();
    assert_eq!((b.state(), b.read()), (State::Closed, Err(SocketError::TimedOut)));
    let mut b = Bench::opening(plain());
    b.set_options(|options| options.syn_retries = 1);
    b.sends(SYN, 0, 0);
    b.until_timer();
    b.sends(SYN, 0, 0);
    b.until_timer();
    assert_eq!(b.state(), State::Closed);
}

/// `SO_MAX_PACING_RATE`, as Linux has it, under an algorithm that does not pace: each segment waits until the last has had its time, also
/// when nothing is under way any more; at the end no timer and no memory is left.
#[test]
fn a_largest_rate_spreads_what_is_sent() {
    let mut b = Bench::established(plain());
    b.set_options(|options| options.max_pacing_rate = Some(10_000));
    b.write(&bytes(3_000)).unwrap();
    b.sends_data(ACK, 1, 1, MSS);
    b.silent();
    b.gets(seg(ACK, 1, 1_001));
    b.silent();
    b.quiet_for(ms(99));
    b.after(ms(1));
    b.sends_data(ACK, 1_001, 1, MSS);
    b.after(ms(100));
    b.sends_data(ACK.with(PSH), 2_001, 1, MSS);
    b.gets(seg(ACK, 1, 3_001));
    b.silent();
    let held = |b: &Bench| b.tcp.connections.get(b.id().0).unwrap().flight.is_held();
    assert!(held(&b), "the third has not had its time");
    b.after(ms(100));
    assert!(!held(&b));
    assert_eq!(b.tcp.poll_timeout(), None);
}

/// A limit that is raised holds nothing back any more; while it does no window is probed.
#[test]
fn a_largest_rate_may_be_raised() {
    let mut b = Bench::established(plain());
    b.set_options(|options| options.max_pacing_rate = Some(1));
    b.write(&bytes(2_000)).unwrap();
    b.sends_data(ACK, 1, 1, MSS);
    b.gets(seg(ACK, 1, 1_001));
    b.silent();
    b.quiet_for(Duration::from_secs(100));
    b.set_options(|options| options.max_pacing_rate = Some(1_000_000));
    b.sends_data(ACK.with(PSH), 1_001, 1, MSS);
    b.after(ms(1));
    b.gets(seg(ACK, 1, 2_001));
    assert_eq!(b.tcp.poll_timeout(), None);
}

/// What sockets have that ask for nothing is what the stack's settings say.
#[test]
fn the_settings_are_the_defaults_of_sockets() {
    let b = Bench::new(TcpConfig { hop_limit: 7, ..plain() });
    assert_eq!(b.tcp.default_options().hop_limit, 7);
}
