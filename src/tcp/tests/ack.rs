//! Delayed acknowledgements (RFC 9293 §3.8.6.3) and one acknowledgement per burst (§3.10.7.4).

use super::*;

/// SHLD-18, MUST-40: a lone short segment is acknowledged after 40 ms, or on the data that answers it.
#[test]
fn a_lone_segment_is_acknowledged_late_or_on_the_answer() {
    let mut b = Bench::established(plain());
    b.gets(seg(ACK.with(PSH), 1, 1).data(b"ping"));
    b.silent();
    b.after(ms(40));
    b.sends(ACK, 1, 5);
    b.gets(seg(ACK.with(PSH), 5, 1).data(b"ping"));
    b.silent();
    b.write(b"pong").unwrap();
    b.sends_data(ACK.with(PSH), 1, 9, 4);
    b.quiet_for(ms(41));
    b.gets(seg(ACK, 9, 5));
    b.silent();
}

/// A deadline that comes before the one that is armed moves the connection's timer forward.
#[test]
fn a_withheld_acknowledgement_does_not_wait_for_the_retransmission_timer() {
    let mut b = Bench::established(plain());
    b.write(b"unanswered").unwrap();
    b.sends_data(ACK.with(PSH), 1, 1, 10);
    b.gets(seg(ACK.with(PSH), 1, 1).data(b"ping"));
    b.silent();
    b.after(ms(40));
    b.sends(ACK, 11, 5);
}

/// MUST-58, MUST-59: a burst of segments draws one acknowledgement, after all of it.
#[test]
fn a_burst_draws_one_acknowledgement() {
    let mut b = Bench::established(TcpConfig { receive_buffer: 60_000, ..plain() });
    for i in 0..9 {
        b.gets(seg(ACK, 1 + i * 1_000, 1).data(&bytes(MSS)));
    }
    b.sends(ACK, 1, 9_001);
    b.silent();
}

/// Policy 12: the first acknowledgements of a connection are quick.
#[test]
fn the_first_segments_are_acknowledged_at_once() {
    let mut b = Bench::established(TcpConfig { quick_acks: 2, ..plain() });
    for i in 0..2 {
        b.gets(seg(ACK, 1 + i, 1).data(b"x"));
        b.sends(ACK, 1, 2 + i);
    }
    b.gets(seg(ACK, 3, 1).data(b"x"));
    b.silent();
}

/// Policy 12: a FIN is acknowledged at once.
#[test]
fn a_fin_is_acknowledged_at_once() {
    let mut b = Bench::established(plain());
    b.gets(seg(FIN_ACK, 1, 1));
    b.sends(ACK, 1, 2);
    b.silent();
}
