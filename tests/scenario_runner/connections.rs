//! Which packets belong to the connection under test, how its numbers are mapped, and what the matrix records of it.

use crate::common::{ESTABLISHED, LISTENING, fails, passes};
use tidegate::scenario::matrix::Event;
use tidegate::scenario::script::ScriptOption;
use tidegate::scenario::suite::{own_ip_version, run_source};
use tidegate::scenario::verdict::Verdict;
use tidegate::tcp::state::State;

/// §5: after `connect` the stack's SYN tells the numbers; a SYN's are absolute, others relative.
#[test]
fn a_simultaneous_open_maps_both_sides() {
    passes(&["\
0 socket(..., SOCK_STREAM|SOCK_NONBLOCK, IPPROTO_TCP) = 3
+0 connect(3, ..., ...) = -1 EINPROGRESS
+0 > S 77:77(0) <...>
+.1 < S 500:500(0) win 5792 <mss 1460>
+0 > S. 77:77(0) ack 501 <...>
+.1 < . 1:1(0) ack 1 win 500
+0 write(3, ..., 10) = 10
+0 > P. 1:11(10) ack 1
"]);
}

/// Packets with ports of their own make connections beside the current one, each with its numbers.
#[test]
fn explicit_ports_are_connections_of_their_own() {
    passes(&[
        "0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n+0 bind(3, ..., ...) = 0\n+0 listen(3, 5) = 0\n",
        "\
+0 < 1001 > 8080 S 0:0(0) win 1000
+0 > 8080 > 1001 S. 0:0(0) ack 1 <...>
+0 < S 9:9(0) win 1000
+0 > S. 5:5(0) ack 10 <...>
+.1 < . 1:1(0) ack 1 win 100
+0 < 1001 > 8080 . 1:1(0) ack 1 win 100
+0 accept(3, ..., ...) = 4
+0 accept(3, ..., ...) = 5
+0 write(4, ..., 10) = 10
+0 > P. 1:11(10) ack 1
+0 write(5, ..., 20) = 20
+0 > 8080 > 1001 P. 1:21(20) ack 1
",
    ]);
}

const REOPENED: &str = "\
+0 < S 0:0(0) win 1000
+0 > S. 0:0(0) ack 1 <...>
+.1 < . 1:1(0) ack 1 win 100
+0 accept(3, ..., ...) = 4
+0 close(4) = 0
+0 > F. 1:1(0) ack 1
+.1 < F. 1:1(0) ack 2 win 100
+0 > . 2:2(0) ack 2
+1 < S 100000:100000(0) win 1000
+0 > S. 7:7(0) ack 100001 <...>
+.1 < . 1:1(0) ack 1 win 100
+0 accept(3, ..., ...) = 4
+0 write(4, ..., 10) = 10
+0 > P. 1:11(10) ack 1
";

/// A SYN that reopens a connection in TIME-WAIT begins new numbers.
#[test]
fn a_reopened_connection_has_new_numbers() {
    passes(&["--leftover=fail\n", LISTENING, REOPENED]);
}

/// What the stack itself says decides: the state before each event, and where the numbers lie.
#[test]
fn the_matrix_records_states_before_events() {
    let report = run_source("test.pkt", &[LISTENING, REOPENED].concat(), &[]);
    assert_eq!(report.verdict, Verdict::Pass);
    let met = |state, event| report.matrix.count(state, event);
    assert_eq!(met(State::Listen, Event::Syn), 1);
    assert_eq!(met(State::SynReceived, Event::AckInWindow), 2);
    assert_eq!((met(State::Established, Event::Close), met(State::FinWait1, Event::Fin)), (1, 1));
    assert_eq!((met(State::TimeWait, Event::Syn), met(State::Established, Event::Drop)), (1, 1));
    assert_eq!(met(State::Listen, Event::Drop), 1);
    assert_eq!(report.matrix.holes().count(), 11 * 16 - 18 - 7, "18 are impossible");
}

/// Half-open entries have windows, too, and a connection given up for silence has met its user timeout.
#[test]
fn the_matrix_sees_half_open_entries_and_timeouts() {
    let text =
        [LISTENING, "+0 < S 0:0(0) win 1000\n+0 > S. 0:0(0) ack 1 <...>\n+.1 < R 9:9(0) win 0\n"].concat();
    let report = run_source("test.pkt", &text, &[]);
    assert_eq!(report.matrix.count(State::SynReceived, Event::RstInWindow), 1);
    let silence = "+0 setsockopt(4, SOL_TCP, TCP_USER_TIMEOUT, [500], 4) = 0\n+0 write(4, ..., 10) = 10\n+9 close(4) = 0\n";
    let report = run_source("test.pkt", &[ESTABLISHED, silence].concat(), &[]);
    assert_eq!(report.verdict, Verdict::Pass);
    assert_eq!(report.matrix.count(State::Established, Event::UserTimeout), 1);
    assert_eq!(report.matrix.count(State::Closed, Event::Close), 1);
}

/// §6: an ICMP error quotes a packet of the connection; datagrams have their own flows.
#[test]
fn errors_and_datagrams_find_their_socket() {
    passes(&["\
0 socket(..., SOCK_DGRAM, IPPROTO_UDP) = 3
+0 bind(3, ..., ...) = 0
+0 < udp (100)
+0 recvfrom(3, ..., 1000, 0, ..., ...) = 100
+0 sendto(3, ..., 50, 0, ..., ...) = 50
+0 > udp (50)
+0 close(3) = 0
+0 < udp (10)
+0 > icmp unreachable port_unreachable
"]);
    passes(&["\
0 socket(..., SOCK_DGRAM, IPPROTO_UDP) = 3
+0 connect(3, ..., ...) = 0
+0 write(3, ..., 200) = 200
+0 > udp (200)
+0 < [udp (200)] icmp unreachable port_unreachable
+0 read(3, ..., 100) = -1 ECONNREFUSED
"]);
    passes(&["\
0 socket(..., SOCK_STREAM|SOCK_NONBLOCK, IPPROTO_TCP) = 3
+0 connect(3, ..., ...) = -1 EINPROGRESS
+0 > S 0:0(0) <...>
+.1 < [0:0(0)] icmp unreachable host_unreachable
+0 getsockopt(3, SOL_SOCKET, SO_ERROR, [EHOSTUNREACH], [4]) = 0
"]);
}

/// §4: a packet that nobody listens for has a connection of its own; without a SYN its numbers still map.
#[test]
fn a_closed_port_answers_with_a_reset() {
    passes(&["0 < S 10:10(0) win 100\n+0 > R. 0:0(0) ack 1\n"]);
    passes(&["0 < . 1:1(0) ack 7 win 100\n+0 > R 7:7(0)\n"]);
    fails(&["0 < . 1:1(0) ack 7 win 100\n+0 > R 8:8(0) // HERE\n"], &["seq: expected 8, got 7"]);
}

/// §6 and §11: with offload the burst on the wire is the same, and a coalesced segment is one.
#[test]
fn offload_changes_nothing_on_the_wire() {
    let text = "\
+0 write(4, ..., 5500) = 5500
+0 > P. 1:5501(5500) ack 1
+.1 < . 1:1(0) ack 5501 win 257
+0 < P. 1:10001(10000) ack 5501 win 257
+0 > . 5501:5501(0) ack 10001
+0 read(4, ..., 100000) = 10000
";
    passes(&["--offload\n--mss=1000\n--leftover=fail\n", ESTABLISHED, text]);
    passes(&["--leftover=fail\n", ESTABLISHED, text]);
}

/// Both IP versions give the same verdict; a script that exists for one says so.
#[test]
fn the_ip_version_is_an_option() {
    let v6 = ScriptOption { line: 0, name: "ip_version".to_owned(), value: Some("ipv6".to_owned()) };
    let text = [LISTENING, REOPENED].concat();
    assert_eq!(run_source("test.pkt", &text, &[v6]).verdict, Verdict::Pass);
    assert_eq!(own_ip_version(&text), None);
    assert_eq!(own_ip_version("// x\n--ip-version=ipv6\n--mtu=1400\n"), Some("ipv6"));
    assert_eq!(own_ip_version("--strict_segments --ip_version=ipv4\n"), Some("ipv4"));
}

/// `--leftover=fail` sees what a connection sends that is not under test any more, at the end and before.
#[test]
fn leftovers_of_older_connections_count() {
    let old = "+0 write(4, ..., 10) = 10\n";
    let new = "+0 socket(..., SOCK_STREAM|SOCK_NONBLOCK, IPPROTO_TCP) = 5\n+0 connect(5, ..., ...) = -1 EINPROGRESS\n";
    let syn = "+0 > S 0:0(0) <...>\n";
    passes(&[ESTABLISHED, old, new, syn]);
    let failing = syn.replace('\n', " // HERE\n");
    let words = ["left over at the end: > P. 1:11(10) ack 1"];
    fails(&["--leftover=fail\n", ESTABLISHED, old, new, &failing], &words);
    let late = "+0 write(4, ..., 10) = 10 // HERE\n";
    fails(&["--leftover=fail\n", ESTABLISHED, new, syn, late], &words);
    passes(&["--leftover=fail\n", ESTABLISHED, old, "+0 > P. 1:11(10) ack 1\n", new, syn]);
}
