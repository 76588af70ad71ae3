//! ICMP errors about segments (RFC 9293 §3.9.2.2, RFC 5461, RFC 5927; hostile case T9).

use super::*;
use crate::wire::icmp::{ErrorKind, IcmpError};

fn reports(b: &mut Bench, kind: ErrorKind, seq: u32) {
    let error = IcmpError { kind, local: b.tuple.local, remote: b.tuple.remote, seq: b.iss + seq };
    b.tcp.icmp_error(error, &mut b.counters, b.now);
}

/// RFC 5461 §4: an unreachable host ends an open at once.
#[test]
fn an_unreachable_host_ends_an_open() {
    let mut b = Bench::opening(plain());
    b.sends(SYN, 0, 0);
    reports(&mut b, ErrorKind::HostUnreachable, 9);
    assert_eq!(b.state(), State::SynSent, "RFC 5927 §4.1: the quoted number is not under way");
    reports(&mut b, ErrorKind::HostUnreachable, 0);
    assert_eq!((b.state(), b.read()), (State::Closed, Err(SocketError::HostUnreachable)));
}

/// MUST-56: a soft error does not abort a connection; MUST-47: it is told when the connection is given up.
#[test]
fn an_established_connection_survives_and_remembers() {
    let mut b = Bench::established(TcpConfig { retries: 1, ..plain() });
    b.write(b"abc").unwrap();
    b.sends_data(ACK.with(PSH), 1, 1, 3);
    reports(&mut b, ErrorKind::PortUnreachable, 4);
    reports(&mut b, ErrorKind::HostUnreachable, 1);
    assert_eq!((b.state(), b.dropped(DropReason::IcmpIgnored)), (State::Established, 1));
    b.until_timer();
    b.sends_data(ACK.with(PSH), 1, 1, 3);
    b.until_timer();
    assert_eq!(b.read(), Err(SocketError::HostUnreachable));
}
