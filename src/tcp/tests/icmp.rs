//! ICMP errors about segments (RFC 9293 §3.9.2.2, RFC 5461, RFC 5927; hostile case T9).

use super::super::options::SocketOptions;
use super::*;
use crate::wire::icmp::{ErrorKind, IcmpError};

/// Every error but "packet too big", with what an application hears of it.
const ERRORS: [(ErrorKind, SocketError); 8] = [
    (ErrorKind::NetUnreachable, SocketError::NetworkUnreachable),
    (ErrorKind::HostUnreachable, SocketError::HostUnreachable),
    (ErrorKind::Prohibited, SocketError::HostUnreachable),
    (ErrorKind::ProtocolUnreachable, SocketError::ProtocolOption),
    (ErrorKind::PortUnreachable, SocketError::ConnectionRefused),
    (ErrorKind::HopLimitExceeded, SocketError::HostUnreachable),
    (ErrorKind::ReassemblyTimeout, SocketError::HostUnreachable),
    (ErrorKind::ParameterProblem { code: 0, pointer: 20 }, SocketError::Protocol),
];

fn reports(b: &mut Bench, kind: ErrorKind, seq: u32) {
    let error = IcmpError { kind, local: b.tuple.local, remote: b.tuple.remote, seq: b.iss + seq };
    b.tcp.icmp_error(error, &mut b.layer, &mut b.counters, b.now);
}

/// Hostile case T9, RFC 5461 §4 (a deviation from MUST-56), MUST-54: every error about a SYN ends the open at once with what it
/// says, soft ones too; only if it quotes the SYN's number (RFC 5927 §4.1).
#[test]
fn an_unreachable_host_ends_an_open() {
    for (kind, heard) in ERRORS {
        let mut b = Bench::opening(plain());
        b.sends(SYN, 0, 0);
        for forged in [1, 9, u32::MAX] {
            reports(&mut b, kind, forged);
        }
        assert_eq!((b.state(), b.dropped(DropReason::IcmpIgnored)), (State::SynSent, 3));
        reports(&mut b, kind, 0);
        assert_eq!((b.state(), b.read()), (State::Closed, Err(heard)), "{kind:?}");
    }
}

/// Hostile case T9: the same in SYN-RECEIVED after a simultaneous open.
#[test]
fn an_unreachable_host_ends_a_simultaneous_open() {
    let mut b = Bench::opening(plain());
    b.sends(SYN, 0, 0);
    b.gets(seg(SYN, 0, 0));
    b.sends(SYN_ACK, 0, 1);
    reports(&mut b, ErrorKind::HostUnreachable, 0);
    assert_eq!((b.state(), b.read()), (State::Closed, Err(SocketError::HostUnreachable)));
}

/// RFC 5461 §4: a SYN-ACK that reached nobody leaves no half-open entry; but only its own number counts, and a message that
/// something was too big says nothing about it.
#[test]
fn an_error_about_a_syn_ack_ends_the_half_open_entry() {
    for (kind, _) in ERRORS {
        let mut b = Bench::listening(plain());
        b.gets(seg(SYN, 0, 0));
        b.sends(SYN_ACK, 0, 1);
        reports(&mut b, kind, 1);
        reports(&mut b, ErrorKind::PacketTooBig { mtu: 600 }, 0);
        assert_eq!((b.state(), b.dropped(DropReason::IcmpIgnored)), (State::SynReceived, 2));
        reports(&mut b, kind, 0);
        assert_eq!((b.state(), b.tcp.poll_timeout()), (State::Closed, None));
    }
}

/// Hostile case T9; MUST-56, and RFC 5927 §6 for those that SHLD-26 would have abort: in a synchronized state no error ends the
/// connection. MUST-47, SHLD-25: the last one is told if the connection is given up for want of an answer.
#[test]
fn an_established_connection_survives_and_remembers() {
    for (kind, heard) in ERRORS {
        let mut b = Bench::established(TcpConfig { retries: 1, ..plain() });
        reports(&mut b, kind, 1);
        b.write(b"abc").unwrap();
        b.sends_data(ACK.with(PSH), 1, 1, 3);
        reports(&mut b, kind, 0);
        reports(&mut b, kind, 4);
        assert_eq!(b.dropped(DropReason::IcmpIgnored), 3, "nothing of this is under way");
        reports(&mut b, kind, 3);
        assert_eq!((b.state(), b.read()), (State::Established, Err(SocketError::WouldBlock)));
        b.until_timer();
        b.sends_data(ACK.with(PSH), 1, 1, 3);
        b.until_timer();
        assert_eq!((b.state(), b.read()), (State::Closed, Err(heard)));
    }
}

/// An answer of the peer proves a soft error wrong: it is not what a later timeout is about.
#[test]
fn progress_forgets_a_soft_error() {
    let mut b = Bench::established(TcpConfig { retries: 0, ..plain() });
    b.write(b"abc").unwrap();
    b.sends_data(ACK.with(PSH), 1, 1, 3);
    reports(&mut b, ErrorKind::HostUnreachable, 1);
    b.gets(seg(ACK, 1, 4));
    b.write(b"def").unwrap();
    b.sends_data(ACK.with(PSH), 4, 1, 3);
    while b.state() == State::Established {
        b.until_timer();
    }
    assert_eq!(b.read(), Err(SocketError::TimedOut));
}

/// SHLD-20, SHLD-25, MUST-47: a socket may ask to be told of soft errors at once. It is told once, and the connection goes on.
#[test]
fn soft_errors_are_told_at_once_where_the_socket_asks() {
    let mut b = Bench::established(plain());
    let id = b.id();
    let options = SocketOptions { report_soft_errors: true, ..b.tcp.options(id).unwrap() };
    b.tcp.set_options(id, options, b.now).unwrap();
    while b.tcp.poll_event().is_some() {}
    b.write(b"abc").unwrap();
    b.sends_data(ACK.with(PSH), 1, 1, 3);
    reports(&mut b, ErrorKind::HostUnreachable, 1);
    assert!(matches!(b.tcp.poll_event(), Some(TcpEvent::Connection(_, ready)) if ready.has(Readiness::ERR)));
    assert_eq!(b.read(), Err(SocketError::HostUnreachable));
    assert_eq!((b.read(), b.state()), (Err(SocketError::WouldBlock), State::Established));
    b.gets(seg(ACK, 1, 4).data(b"on"));
    assert_eq!(b.read(), Ok(b"on".to_vec()));
}

/// RFC 5927 §4.1: a connection that is gone, or in TIME-WAIT, has nothing under way.
#[test]
fn an_error_about_nothing_is_ignored() {
    let mut b = Bench::established(plain());
    b.shutdown();
    b.sends(FIN_ACK, 1, 1);
    b.gets(seg(FIN_ACK, 1, 2));
    b.sends(ACK, 2, 2);
    reports(&mut b, ErrorKind::PortUnreachable, 1);
    assert_eq!((b.state(), b.dropped(DropReason::IcmpIgnored)), (State::TimeWait, 1));
    b.tuple.remote.port += 1;
    reports(&mut b, ErrorKind::PortUnreachable, 1);
    assert_eq!(b.dropped(DropReason::IcmpIgnored), 2);
}
