//! The listener: what may begin a connection, the accept queue, deferred accept (RFC 9293 §3.10.7.2).

use super::*;

fn deferring(time: u64) -> Bench {
    deferring_with(time, plain())
}

fn deferring_with(time: u64, config: TcpConfig) -> Bench {
    let mut b = Bench::listening(config);
    let id = b.listener.unwrap();
    let mut options = b.tcp.options(id).unwrap();
    options.defer_accept = Some(ms(time));
    b.tcp.set_options(id, options, b.now).unwrap();
    b.gets(seg(SYN, 0, 0));
    b.sends(SYN_ACK, 0, 1);
    b
}

fn accept(b: &mut Bench) -> Result<(), SocketError> {
    let (id, _) = b.tcp.accept(b.listener.unwrap())?;
    b.id = Some(id);
    Ok(())
}

/// `TCP_DEFER_ACCEPT` as on Linux: the bare ACK begins nothing, the first data does.
#[test]
fn a_deferred_connection_is_accepted_with_its_data() {
    let mut b = deferring(3_000);
    b.gets(seg(ACK, 1, 1));
    b.silent();
    assert_eq!((b.state(), accept(&mut b)), (State::SynReceived, Err(SocketError::WouldBlock)));
    assert_eq!(b.dropped(DropReason::TcpDeferred), 1);
    b.quiet_for(ms(500));
    b.gets(seg(ACK.with(PSH), 1, 1).data(b"GET"));
    assert_eq!((b.state(), accept(&mut b), b.read()), (State::Established, Ok(()), Ok(b"GET".to_vec())));
}

/// `TCP_DEFER_ACCEPT` as on Linux: a client that said it is there is left in peace; at the end of the time one more SYN-ACK draws an
/// ACK that is accepted without data.
#[test]
fn a_deferred_connection_without_data_is_accepted_after_the_time() {
    let mut b = deferring(3_000);
    b.gets(seg(ACK, 1, 1));
    b.after(ms(1_000));
    b.silent();
    b.after(ms(2_000));
    b.sends(SYN_ACK, 0, 1);
    b.gets(seg(ACK, 1, 1));
    assert_eq!((b.state(), accept(&mut b)), (State::Established, Ok(())));
}

/// `TCP_DEFER_ACCEPT` does not stop the SYN-ACKs to a client that never answered, nor keep its entry.
#[test]
fn a_deferred_entry_that_nobody_answers_is_forgotten() {
    let mut b = deferring(30_000);
    for i in 0..5 {
        b.after(ms(1000 << i));
        b.sends(SYN_ACK, 0, 1);
    }
    b.after(ms(32_000));
    assert_eq!((b.state(), b.tcp.poll_timeout()), (State::Closed, None));
}

/// `TCP_DEFER_ACCEPT`: a FIN is worth accepting, too.
#[test]
fn a_deferred_connection_is_accepted_with_its_fin() {
    let mut b = deferring(3_000);
    b.gets(seg(FIN_ACK, 1, 1));
    b.sends(ACK, 1, 2);
    assert_eq!((accept(&mut b), b.read()), (Ok(()), Ok(vec![])));
}

/// Hostile case M10: a SYN with another number in SYN-RECEIVED is out of the window or in it, and draws a challenge ACK (RFC 5961
/// §4.2); the peer's RST then clears the entry and its next SYN works. The entry is not replaced by whoever guesses.
#[test]
fn a_new_syn_in_syn_received_draws_a_challenge() {
    for seq in [10, 100_000] {
        let mut b = Bench::listening(plain());
        b.gets(seg(SYN, 0, 0));
        b.sends(SYN_ACK, 0, 1);
        b.gets(seg(SYN, seq, 0));
        b.sends(ACK, 1, 1);
        assert_eq!(b.state(), State::SynReceived);
        b.gets(seg(RST, 1, 0));
        assert_eq!(b.state(), State::Closed);
        b.gets(seg(SYN, seq, 0));
        b.sends(SYN_ACK, 0, seq + 1);
    }
}

/// Policy 20 (hostile case M10): the completing ACK may come without a timestamp though one was agreed.
#[test]
fn a_completing_ack_without_timestamp_is_taken() {
    let mut b = Bench::listening(TcpConfig::default());
    b.gets(seg(SYN, 0, 0).mss(1460).ts(7, 0));
    b.sends(SYN_ACK, 0, 1);
    b.gets(seg(ACK, 1, 1));
    assert_eq!(b.state(), State::Established);
}

/// Hostile case M10 (null, FIN, xmas scans): silence from a listener for what carries neither SYN, ACK nor RST, data or not.
#[test]
fn scans_of_a_listener_are_dropped_in_silence() {
    let mut b = Bench::listening(plain());
    let xmas = FIN.with(PSH).with(Flags::URG);
    for flags in
        [Flags::NONE, FIN, xmas, PSH, Flags::URG, Flags::ECE.with(Flags::CWR), SYN.with(FIN).with(xmas)]
    {
        b.gets(seg(flags, 0, 0));
        b.gets(seg(flags, 5, 0).data(b"scan"));
        b.silent();
    }
    assert_eq!((b.tcp.connections().count(), b.dropped(DropReason::TcpFlags)), (0, 14));
}

/// RFC 9293 §3.10.7.1 (hostile case M10): the same scans of a closed port are reset, as the RFC asks.
#[test]
fn scans_of_a_closed_port_are_reset() {
    let mut b = Bench::new(plain());
    for flags in [Flags::NONE, FIN, FIN.with(PSH).with(Flags::URG)] {
        b.gets(seg(flags, 0, 0));
        assert_eq!(b.next().map(|sent| sent.flags), Some(RST_ACK));
    }
    b.gets(seg(SYN.with(RST), 0, 0));
    b.silent();
}

/// Hostile case M10 (gvisor 11535): a connection that dies in the accept queue does not keep its slot for ever; whoever accepts it
/// learns of its end.
#[test]
fn a_reset_in_the_accept_queue_frees_its_slot_on_accept() {
    let mut b = Bench::new(plain()).listen(1);
    b.gets(seg(SYN, 0, 0));
    b.sends(SYN_ACK, 0, 1);
    b.gets(seg(ACK, 1, 1));
    b.gets(seg(RST, 1, 0));
    assert_eq!(b.state(), State::Closed);
    assert_eq!((accept(&mut b), b.read()), (Ok(()), Err(SocketError::ConnectionReset)));
    b.gets(seg(SYN, 50_000, 0));
    b.sends(SYN_ACK, 0, 50_001);
}

/// Hostile case M10 (gvisor 11535): entries that a RST or a timeout ends leave their slot in the SYN queue.
#[test]
fn half_open_entries_give_their_slot_back() {
    let mut b = Bench::listening(TcpConfig { syn_queue: 1, syn_cookies: config::SynCookies::Off, ..plain() });
    for i in 0..5 {
        b.gets(seg(SYN, i, 0));
        b.sends(SYN_ACK, 0, i + 1);
        if i % 2 == 0 {
            b.gets(seg(RST, i + 1, 0));
        } else {
            while b.tcp.poll_timeout().is_some() {
                b.until_timer();
                b.next();
            }
        }
        assert_eq!((b.tcp.half_open.len(), b.tcp.owners.len()), (0, 0));
    }
}

/// RFC 9293 §3.10.7.2: the backlog bounds what waits for accept, and what was accepted makes room.
#[test]
fn the_backlog_bounds_the_accept_queue() {
    let mut b = Bench::new(plain()).listen(2);
    for port in 5000..5004 {
        b.tuple.remote.port = port;
        b.gets(seg(SYN, 0, 0));
        if b.next().is_some() {
            b.gets(seg(ACK, 1, 1));
        }
    }
    assert_eq!((b.counters.tcp_passive_opens, b.dropped(DropReason::TcpAcceptQueueFull)), (2, 2));
    accept(&mut b).unwrap();
    b.gets(seg(SYN, 0, 0));
    b.sends(SYN_ACK, 0, 1);
}

/// MUST-41, MUST-42: a listener takes SYNs beside connections of the same port, opening or open.
#[test]
fn a_listener_works_beside_its_connections() {
    let mut b = Bench::established(plain());
    let first = (b.tuple, b.iss);
    b.tuple.remote.port = 5001;
    b.gets(seg(SYN, 0, 0));
    b.sends(SYN_ACK, 0, 1);
    b.tuple.remote.port = 5002;
    b.gets(seg(SYN, 0, 0));
    b.sends(SYN_ACK, 0, 1);
    b.gets(seg(ACK, 1, 1));
    (b.tuple, b.iss) = first;
    b.gets(seg(ACK.with(PSH), 1, 1).data(b"still here"));
    assert_eq!(b.read(), Ok(b"still here".to_vec()));
}

/// `TCP_DEFER_ACCEPT` longer than the SYN-ACK's retries: a client that said it is there is kept for all of that time.
#[test]
fn a_deferred_entry_outlives_the_retries() {
    let mut b = deferring_with(30_000, TcpConfig { syn_ack_retries: 1, ..plain() });
    b.gets(seg(ACK, 1, 1));
    b.quiet_for(ms(29_000));
    assert_eq!(b.state(), State::SynReceived);
    b.gets(seg(ACK, 1, 1).data(b"late"));
    assert_eq!((b.state(), accept(&mut b), b.read()), (State::Established, Ok(()), Ok(b"late".to_vec())));
}

/// `TCP_DEFER_ACCEPT`: the SYN-ACK at the end of the time is the last one; who does not answer it is forgotten.
#[test]
fn a_deferred_entry_is_asked_once_at_the_end() {
    let mut b = deferring_with(3_000, TcpConfig { syn_ack_retries: 1, ..plain() });
    b.gets(seg(ACK, 1, 1));
    b.after(ms(3_000));
    b.sends(SYN_ACK, 0, 1);
    b.after(ms(4_000));
    b.silent();
    assert_eq!((b.state(), b.tcp.poll_timeout()), (State::Closed, None));
}

/// `TCP_DEFER_ACCEPT` of a year: as good as for ever.
#[test]
fn an_absurd_time_to_defer_does_no_harm() {
    let mut b = deferring(365 * 24 * 3_600_000);
    b.gets(seg(ACK, 1, 1));
    b.after(ms(1_000_000));
    b.silent();
    assert_eq!(b.state(), State::SynReceived);
}

/// A listener that is closed takes its own half-open entries along, and no other's.
#[test]
fn closing_a_listener_leaves_the_entries_of_others() {
    let mut b = Bench::listening(plain());
    let other = b.tcp.listen("0.0.0.0:81".parse().unwrap(), 10).unwrap();
    b.gets(seg(SYN, 0, 0));
    b.sends(SYN_ACK, 0, 1);
    b.tuple.local.port = 81;
    b.gets(seg(SYN, 0, 0));
    b.sends(SYN_ACK, 0, 1);
    let closed = b.listener.unwrap();
    b.tcp.close_listener(closed, &mut b.counters, b.now);
    b.gets(seg(ACK, 1, 1));
    b.silent();
    assert!(b.tcp.accept(other).is_ok());
    b.tuple.local.port = 80;
    assert_eq!(b.state(), State::Closed);
}
