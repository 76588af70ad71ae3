//! Times: early, late, any, ranges, tolerances; and that a run is deterministic.

use crate::common::{ESTABLISHED, LISTENING, fails, passes, verdict_with};
use tidegate::scenario::script::ScriptOption;
use tidegate::scenario::suite::run_source;

/// The SYN-ACK comes again after a second.
const HALF_OPEN: &str = "+0 < S 0:0(0) win 100\n+0 > S. 0:0(0) ack 1 <...>\n";

#[test]
fn a_timer_in_time_passes() {
    passes(&[LISTENING, HALF_OPEN, "+1 > S. 0:0(0) ack 1 <...>\n"]);
    passes(&[LISTENING, HALF_OPEN, "+.9~+1.1 > S. 0:0(0) ack 1 <...>\n"]);
    passes(&[LISTENING, HALF_OPEN, "* > S. 0:0(0) ack 1 <...>\n"]);
    passes(&[LISTENING, HALF_OPEN, "1.0 > S. 0:0(0) ack 1 <...>\n"]);
}

#[test]
fn an_early_packet_fails() {
    fails(
        &[LISTENING, HALF_OPEN, "+1.5 > S. 0:0(0) ack 1 <...> // HERE\n"],
        &["time: expected 1.5", "too early"],
    );
}

#[test]
fn a_late_packet_fails() {
    fails(
        &[LISTENING, HALF_OPEN, "+.5 > S. 0:0(0) ack 1 <...> // HERE\n"],
        &["time: expected 0.5", "too late"],
    );
    fails(&[LISTENING, HALF_OPEN, "+.5~+.8 > S. 0:0(0) ack 1 <...> // HERE\n"], &["too late"]);
}

/// The tolerance is 4 ms, or an eighth of the time since the previous event; both are settings.
#[test]
fn the_tolerance_is_a_setting() {
    passes(&[LISTENING, HALF_OPEN, "+1.1 > S. 0:0(0) ack 1 <...>\n"]);
    let exact = "--tolerance_percent=1\n";
    fails(&[exact, LISTENING, HALF_OPEN, "+1.1 > S. 0:0(0) ack 1 <...> // HERE\n"], &["too early"]);
    let wide = "--tolerance_percent=1\n--tolerance_usecs=200000\n";
    passes(&[wide, LISTENING, HALF_OPEN, "+1.1 > S. 0:0(0) ack 1 <...>\n"]);
}

/// `*` waits for an hour of virtual time, but not without any timer.
#[test]
fn any_time_gives_up_without_a_timer() {
    fails(
        &["0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n", "* > . 1:1(0) ack 1 // HERE\n"],
        &["nothing sent"],
    );
}

#[test]
fn the_first_time_is_zero_and_none_goes_back() {
    fails(&["1 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3 // HERE\n"], &["0"]);
    fails(&[ESTABLISHED, "0.05 write(4, ..., 1) = 1\n0.02 write(4, ..., 1) = 1 // HERE\n"], &["back"]);
}

/// Two packets in a row: the second one's time counts from the first one's.
#[test]
fn consecutive_packets_in_count_from_the_first() {
    let gap = "+.5 < . 1001:2001(1000) ack 1 win 257\n+.1 < . 1:1001(1000) ack 1 win 257\n";
    passes(&[ESTABLISHED, gap, "0.6 > . 1:1(0) ack 1 <nop,nop,sack 1001:2001>\n0.7 > . 1:1(0) ack 2001\n"]);
}

#[test]
fn the_same_script_gives_the_same_log() {
    let overrides = [ScriptOption { line: 0, name: "verbose".to_owned(), value: None }];
    let text = [
        ESTABLISHED,
        "+0 write(4, ..., 5000) = 5000\n+0 > P. 1:5001(5000) ack 1\n* > . 1:1001(1000) ack 1\n",
    ];
    let runs = [(); 2].map(|()| run_source("test.pkt", &text.concat(), &overrides));
    assert!(!runs[0].log.is_empty());
    assert_eq!(runs[0].log, runs[1].log);
    assert_eq!(runs[0].verdict, verdict_with(&overrides, &text));
}
