//! What POSIX promises of a stream socket: readiness as `poll(2)` tells it, shutdown in both directions, and lingering closes.

use super::*;
use crate::base::time::Duration;
use std::net::Shutdown;

const IN: Readiness = Readiness::IN;
const OUT: Readiness = Readiness::OUT;
const RDHUP: Readiness = Readiness::RDHUP;
const HUP: Readiness = Readiness::HUP;
const ERR: Readiness = Readiness::ERR;

fn shut(b: &mut Bench, how: Shutdown) -> Result<(), SocketError> {
    b.tcp.shutdown(b.id(), how, b.now)
}

fn linger(seconds: u64) -> impl FnOnce(&mut SocketOptions) {
    move |options| options.linger = Some(Duration::from_secs(seconds))
}

fn poll_close(b: &mut Bench) -> Result<(), SocketError> {
    let id = b.id();
    b.tcp.poll_close(id, &mut b.counters, b.now)
}

/// `poll(2)`: an open in progress is ready for nothing; refused, for everything, with the error until it is read.
#[test]
fn an_open_is_ready_when_it_has_an_outcome() {
    let mut b = Bench::opening(plain());
    assert_eq!((b.readiness(), b.read()), (Readiness::NONE, Err(SocketError::WouldBlock)));
    b.sends(SYN, 0, 0);
    b.gets(seg(SYN_ACK, 0, 1));
    b.sends(ACK, 1, 1);
    assert_eq!(b.readiness(), OUT);
    let mut b = Bench::opening(plain());
    b.sends(SYN, 0, 0);
    b.gets(seg(RST_ACK, 0, 1));
    assert_eq!(b.readiness(), IN | OUT | RDHUP | HUP | ERR);
    assert_eq!(b.tcp.take_error(b.id()), Some(SocketError::ConnectionRefused));
    assert_eq!((b.readiness(), b.tcp.take_error(b.id())), (IN | OUT | RDHUP | HUP, None));
}

/// `poll(2)`: a simultaneous open is still an open in progress.
#[test]
fn a_simultaneous_open_is_ready_for_nothing() {
    let mut b = Bench::opening(plain());
    b.sends(SYN, 0, 0);
    b.gets(seg(SYN, 0, 0));
    assert_eq!((b.state(), b.readiness()), (State::SynReceived, Readiness::NONE));
}

/// `poll(2)`: a listener is readable while a connection waits for accept.
#[test]
fn a_listener_is_readable_while_a_connection_waits() {
    let mut b = Bench::listening(plain());
    let listener = b.listener.unwrap();
    assert_eq!(b.tcp.readiness(listener), Readiness::NONE);
    b.gets(seg(SYN, 0, 0));
    b.sends(SYN_ACK, 0, 1);
    assert_eq!(b.tcp.readiness(listener), Readiness::NONE);
    b.gets(seg(ACK, 1, 1));
    assert_eq!(b.tcp.readiness(listener), IN);
    b.tcp.accept(listener).unwrap();
    assert_eq!(b.tcp.readiness(listener), Readiness::NONE);
    b.tcp.close_listener(listener, &mut b.counters, b.now);
    assert_eq!(b.tcp.readiness(listener), HUP | ERR);
}

/// `poll(2)` through a connection's life: data, the peer's FIN (MUST-12), our own, the end.
#[test]
fn readiness_follows_the_connection() {
    let mut b = Bench::established(plain());
    assert_eq!(b.readiness(), OUT);
    b.gets(seg(ACK, 1, 1).data(b"x"));
    assert_eq!(b.readiness(), IN | OUT);
    b.read().unwrap();
    assert_eq!(b.readiness(), OUT);
    b.gets(seg(FIN_ACK, 2, 1));
    b.sends(ACK, 1, 3);
    assert_eq!(b.readiness(), IN | OUT | RDHUP);
    b.shutdown();
    assert_eq!(b.readiness(), IN | OUT | RDHUP | HUP);
    b.sends(FIN_ACK, 1, 3);
    b.gets(seg(ACK, 3, 2));
    assert_eq!((b.state(), b.readiness()), (State::Closed, IN | OUT | RDHUP | HUP));
}

/// `poll(2)`: after our FIN alone writing does not block (it fails) and reading does.
#[test]
fn a_half_closed_socket_is_ready_to_fail_writing() {
    let mut b = Bench::established(plain());
    b.shutdown();
    assert_eq!((b.readiness(), b.write(b"x")), (OUT, Err(SocketError::BrokenPipe)));
    let mut b = Bench::established(TcpConfig { send_buffer: 100, ..plain() });
    assert_eq!((b.write(&bytes(200)), b.readiness()), (Ok(100), Readiness::NONE));
    b.told();
    b.set_options(|options| options.send_buffer = Some(200));
    assert_eq!((b.readiness(), b.told()), (OUT, OUT), "room by a larger buffer is told");
}

/// A RST (MUST-12): the error is told once, then the stream is at its end; writing is a broken pipe.
#[test]
fn a_reset_is_told_once() {
    let mut b = Bench::established(plain());
    b.told();
    b.gets(seg(RST, 1, 0));
    assert_eq!((b.readiness(), b.told()), (IN | OUT | RDHUP | HUP | ERR, IN | OUT | RDHUP | HUP | ERR));
    assert_eq!(b.write(b"x"), Err(SocketError::ConnectionReset));
    assert_eq!((b.write(b"x"), b.read()), (Err(SocketError::BrokenPipe), Ok(vec![])));
    assert_eq!(shut(&mut b, Shutdown::Both), Err(SocketError::NotConnected));
}

/// `SHUT_RD` as on Linux: the peer is not told, what has come and still comes can be read, and nobody waits for more.
#[test]
fn shutting_reading_down_waits_for_nothing_more() {
    let mut b = Bench::established(plain());
    b.gets(seg(ACK, 1, 1).data(b"kept"));
    shut(&mut b, Shutdown::Read).unwrap();
    b.silent();
    assert_eq!(b.readiness(), IN | OUT | RDHUP);
    assert_eq!((b.read(), b.read()), (Ok(b"kept".to_vec()), Ok(vec![])));
    b.gets(seg(ACK, 5, 1).data(b"more"));
    assert_eq!((b.read(), b.read()), (Ok(b"more".to_vec()), Ok(vec![])));
    assert_eq!((b.state(), b.write(b"x")), (State::Established, Ok(1)));
}

/// RFC 9293 §3.6.1, half-duplex close (MAY-1): with both directions shut, new data is answered with a RST, as on Linux.
#[test]
fn data_after_both_directions_are_shut_is_reset() {
    let mut b = Bench::established(plain());
    shut(&mut b, Shutdown::Both).unwrap();
    assert_eq!(b.readiness(), IN | OUT | RDHUP | HUP);
    b.sends(FIN_ACK, 1, 1);
    b.gets(seg(ACK, 1, 2).data(b"late"));
    b.sends(RST_ACK, 2, 1);
    assert_eq!((b.state(), b.tcp.take_error(b.id())), (State::Closed, Some(SocketError::ConnectionReset)));
}

/// RFC 9293 §3.10.4: a close in SYN-SENT gives the open up. In TIME-WAIT there is no connection to shut.
#[test]
fn shutting_down_an_open_gives_it_up() {
    let mut b = Bench::opening(plain());
    b.sends(SYN, 0, 0);
    assert_eq!(shut(&mut b, Shutdown::Write), Ok(()));
    assert_eq!((b.state(), b.read()), (State::Closed, Err(SocketError::ConnectionReset)));
    let mut b = Bench::established(plain());
    b.shutdown();
    b.sends(FIN_ACK, 1, 1);
    b.gets(seg(FIN_ACK, 1, 2));
    assert_eq!((b.state(), shut(&mut b, Shutdown::Write)), (State::TimeWait, Err(SocketError::NotConnected)));
}

/// `SO_LINGER` zero: closing resets, without unread data too.
#[test]
fn lingering_for_zero_seconds_resets() {
    let mut b = Bench::established(plain());
    b.set_options(linger(0));
    b.write(b"lost").unwrap();
    b.close();
    b.sends(RST_ACK, 1, 1);
    b.silent();
    let mut b = Bench::established(plain());
    b.set_options(linger(0));
    assert_eq!(poll_close(&mut b), Ok(()), "nothing to wait for");
    b.sends(RST_ACK, 1, 1);
}

/// RFC 9293 §3.10.5: once the peer has all data and the FIN, an abort has nothing to tell.
#[test]
fn an_abort_in_last_ack_is_silent() {
    let mut b = Bench::established(plain());
    b.gets(seg(FIN_ACK, 1, 1));
    b.sends(ACK, 1, 2);
    b.shutdown();
    b.sends(FIN_ACK, 1, 2);
    b.tcp.abort(b.id(), &mut b.counters, b.now);
    b.silent();
    assert_eq!(b.state(), State::Closed);
}

/// `SO_LINGER` with a time: the close waits until the peer has acknowledged everything, and is told.
#[test]
fn a_lingering_close_waits_for_the_peer() {
    let mut b = Bench::established(plain());
    b.set_options(linger(5));
    b.write(b"all").unwrap();
    b.told();
    assert_eq!(poll_close(&mut b), Err(SocketError::WouldBlock));
    b.sends_data(FIN_ACK.with(PSH), 1, 1, 3);
    b.after(ms(200));
    assert_eq!(poll_close(&mut b), Err(SocketError::WouldBlock));
    b.told();
    b.gets(seg(ACK, 1, 5));
    assert!(b.told().has(HUP));
    assert_eq!(poll_close(&mut b), Ok(()));
    assert_eq!((b.tcp.info(b.id()).err(), b.state()), (Some(SocketError::NoSocket), State::FinWait2));
}

/// As on Linux: when the time is over the close returns, and the connection goes on in the background.
#[test]
fn a_lingering_close_ends_with_its_time() {
    let mut b = Bench::established(TcpConfig { min_rto: ms(10_000), ..plain() });
    b.set_options(linger(5));
    assert_eq!(poll_close(&mut b), Err(SocketError::WouldBlock));
    b.sends(FIN_ACK, 1, 1);
    b.told();
    b.after(ms(5_000));
    assert!(b.told().has(HUP));
    assert_eq!(poll_close(&mut b), Err(SocketError::TimedOut));
    b.silent();
    assert_eq!((b.tcp.info(b.id()).err(), b.state()), (Some(SocketError::NoSocket), State::FinWait1));
    b.gets(seg(ACK, 1, 2));
    assert_eq!(b.state(), State::FinWait2);
}

/// A lingering close that the peer resets says so; unread data resets at once (SHLD-3).
#[test]
fn a_lingering_close_tells_how_it_ended() {
    let mut b = Bench::established(plain());
    b.set_options(linger(5));
    assert_eq!(poll_close(&mut b), Err(SocketError::WouldBlock));
    b.sends(FIN_ACK, 1, 1);
    b.gets(seg(RST, 1, 0));
    assert_eq!(poll_close(&mut b), Err(SocketError::ConnectionReset));
    let mut b = Bench::established(plain());
    b.set_options(linger(5));
    b.gets(seg(ACK, 1, 1).data(b"unread"));
    assert_eq!(poll_close(&mut b), Ok(()));
    b.sends(RST_ACK, 1, 7);
}

/// `SIOCINQ`, `SIOCOUTQ`, `SIOCOUTQNSD`: what waits to be read, to be acknowledged, to be sent.
#[test]
fn queues_tell_their_lengths() {
    let mut b = Bench::established_with(plain(), 1_000);
    b.gets(seg(FIN_ACK, 1, 1).data(b"unread"));
    b.sends(ACK, 1, 8);
    b.write(&bytes(1_500)).unwrap();
    b.sends_data(ACK, 1, 8, MSS);
    let info = b.tcp.info(b.id()).unwrap();
    assert_eq!((info.receive_queue, info.send_queue, b.statistics().not_sent), (6, 1_500, 500));
    let mut peeked = [0; 4];
    assert_eq!((b.tcp.peek(b.id(), &mut peeked), &peeked), (Ok(4), b"unre"));
    assert_eq!(b.tcp.info(b.id()).unwrap().receive_queue, 6);
}

/// `TCP_QUICKACK`: off, acknowledgements are delayed from now on; on again, what is owed goes at once and the next ones do.
#[test]
fn quick_acknowledgements_are_switched() {
    let mut b = Bench::established(TcpConfig { quick_acks: 2, ..plain() });
    assert!(b.tcp.options(b.id()).unwrap().quick_ack);
    b.set_options(|options| options.quick_ack = false);
    b.gets(seg(ACK, 1, 1).data(b"a"));
    b.silent();
    b.set_options(|options| options.quick_ack = true);
    b.sends(ACK, 1, 2);
    b.gets(seg(ACK, 2, 1).data(b"b"));
    b.sends(ACK, 1, 3);
    b.gets(seg(ACK, 3, 1).data(b"c"));
    b.silent();
    assert!(!b.tcp.options(b.id()).unwrap().quick_ack);
}

/// Closing a listener forgets its own half-open connections, and not those of another.
#[test]
fn closing_a_listener_leaves_the_others_alone() {
    let mut b = Bench::listening(plain());
    let other = b.tcp.listen("0.0.0.0:81".parse().unwrap(), 10).unwrap();
    for port in [80, 81] {
        b.tuple.local.port = port;
        b.gets(seg(SYN, 0, 0));
        b.sends(SYN_ACK, 0, 1);
    }
    b.tcp.close_listener(b.listener.unwrap(), &mut b.counters, b.now);
    b.gets(seg(ACK, 1, 1));
    b.silent();
    assert!(b.tcp.accept(other).is_ok());
}

/// A stack that ends resets every connection: the peers are told, and the sockets, which stay.
#[test]
fn ending_the_stack_resets_every_connection() {
    let mut b = Bench::established(plain());
    b.tcp.abort_all(&mut b.counters, b.now);
    b.sends(RST_ACK, 1, 1);
    assert_eq!((b.state(), b.read()), (State::Closed, Err(SocketError::ConnectionAborted)));
}

/// A lent slice is sent like bytes that were written; where the buffer is full it is not taken.
#[test]
fn a_lent_slice_is_sent_or_refused() {
    let mut b = Bench::established(TcpConfig { send_buffer: 1_000, send_buffer_initial: 1_000, ..plain() });
    let slice = Buffer::copy_of(&bytes(MSS)).into();
    assert_eq!(b.tcp.send_slice(b.id(), &slice, b.now), Ok(()));
    assert_eq!(b.tcp.send_slice(b.id(), &slice, b.now), Err(SocketError::WouldBlock));
    assert_eq!(b.sends_data(ACK.with(PSH), 1, 1, MSS).payload, bytes(MSS));
}
