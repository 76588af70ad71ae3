//! When less than a full segment is sent: Nagle, cork and `MSG_MORE`, and the PSH that goes with it (RFC 9293 §3.7.4, §3.9.1.2).

use super::*;

const MORE: SendFlags = SendFlags { more: true, urgent: false };

/// Policy 14: a corked socket sends full segments only; taking the cork out sends the rest, under Nagle's rule.
#[test]
fn a_cork_holds_what_is_less_than_a_segment() {
    let mut b = Bench::established(plain());
    b.set_options(|options| options.cork = true);
    b.write(&bytes(600)).unwrap();
    b.silent();
    b.write(&bytes(600)).unwrap();
    b.sends_data(ACK, 1, 1, MSS);
    b.gets(seg(ACK, 1, 1_001));
    b.silent();
    b.set_options(|options| options.cork = false);
    b.sends_data(ACK.with(PSH), 1_001, 1, 200);
}

/// A cork is stronger than `TCP_NODELAY`, but switching Nagle off sends what waits, as on Linux.
#[test]
fn a_cork_holds_without_nagle_too() {
    let mut b = Bench::established(plain());
    b.set_options(|options| (options.cork, options.nodelay) = (true, true));
    b.write(b"held").unwrap();
    b.silent();
    b.set_options(|options| options.nodelay = false);
    b.silent();
    b.set_options(|options| options.nodelay = true);
    b.sends_data(ACK.with(PSH), 1, 1, 4);
    b.write(b"held again").unwrap();
    b.gets(seg(ACK, 1, 5));
    b.silent();
}

/// MUST-60, policy 14: not for ever. With nothing under way the rest goes after one retransmission timeout, pushed.
#[test]
fn a_cork_holds_for_one_retransmission_timeout() {
    let mut b = Bench::established(plain());
    b.set_options(|options| options.cork = true);
    b.write(b"forgotten").unwrap();
    b.silent();
    b.after(ms(300));
    b.sends_data(ACK.with(PSH), 1, 1, 9);
    b.gets(seg(ACK, 1, 10));
    b.write(b"again").unwrap();
    b.silent();
    b.until_timer();
    b.sends_data(ACK.with(PSH), 10, 1, 5);
}

/// RFC 9293 §3.6: a FIN follows at once whatever is corked, and pushes (MUST-61).
#[test]
fn a_close_takes_the_cork_out() {
    let mut b = Bench::established(plain());
    b.set_options(|options| options.cork = true);
    b.write(b"last").unwrap();
    b.silent();
    b.shutdown();
    b.sends_data(FIN_ACK.with(PSH), 1, 1, 4);
}

/// `MSG_MORE`: the write waits for the next one, and the two leave together with one PSH (SHLD-27, policy 13).
#[test]
fn a_write_that_announces_more_waits_for_it() {
    let mut b = Bench::established(plain());
    b.write_with(b"head", MORE).unwrap();
    b.silent();
    b.write_with(&bytes(996), MORE).unwrap();
    b.sends_data(ACK, 1, 1, MSS);
    b.write_with(b"tail", MORE).unwrap();
    b.silent();
    b.write(b"end").unwrap();
    b.sends_data(ACK.with(PSH), 1_001, 1, 7);
}

/// As on Linux: an acknowledgement sends what `MSG_MORE` held, if Nagle lets it, and one retransmission timeout does in any case.
#[test]
fn what_more_held_goes_with_an_acknowledgement_or_a_timeout() {
    let mut b = Bench::established(plain());
    b.write_with(&bytes(MSS + 4), MORE).unwrap();
    b.sends_data(ACK, 1, 1, MSS);
    b.silent();
    b.gets(seg(ACK, 1, 1_001));
    b.sends_data(ACK.with(PSH), 1_001, 1, 4);
    b.gets(seg(ACK, 1, 1_005));
    b.write_with(b"alone", MORE).unwrap();
    b.silent();
    b.until_timer();
    b.sends_data(ACK.with(PSH), 1_005, 1, 5);
}

/// RFC 9293 §3.9.1.2 (MUST-60, MUST-61): there is no push call, so what is queued goes by itself and its last segment has PSH.
#[test]
fn the_last_segment_of_what_is_queued_is_pushed() {
    let mut b = Bench::established(plain());
    b.write(&bytes(2_300)).unwrap();
    b.sends_data(ACK, 1, 1, MSS);
    b.sends_data(ACK, 1_001, 1, MSS);
    b.sends_data(ACK.with(PSH), 2_001, 1, 300);
}

/// SHLD-27, SHLD-28: writes that leave together are one segment with one PSH, also when it is sent again.
#[test]
fn successive_pushes_are_collapsed() {
    let mut b = Bench::established(plain());
    b.write(b"a").unwrap();
    b.sends_data(ACK.with(PSH), 1, 1, 1);
    (0..3).for_each(|_| assert_eq!(b.write(b"bc"), Ok(2)));
    b.gets(seg(ACK, 1, 2));
    b.sends_data(ACK.with(PSH), 2, 1, 6);
    b.until_timer();
    b.sends_data(ACK.with(PSH), 2, 1, 6);
}

/// Nagle (SHLD-7): less than a segment waits, also where it fills the peer's window to the byte.
#[test]
fn nagle_holds_what_fills_the_window_to_the_byte() {
    let mut b = Bench::established_with(plain(), 1_500);
    b.write(&bytes(750)).unwrap();
    b.sends_data(ACK.with(PSH), 1, 1, 750);
    b.write(&bytes(750)).unwrap();
    b.silent();
    b.gets(seg(ACK, 1, 751).window(1_500));
    b.sends_data(ACK.with(PSH), 751, 1, 750);
}
