//! Every way in which a packet out can deviate fails the script, beside a right one that passes.

use crate::common::{ESTABLISHED, LISTENING, fails, passes, skips};

const WRITE: &str = "+0 write(4, ..., 500) = 500\n";

#[test]
fn a_right_packet_passes() {
    passes(&[ESTABLISHED, WRITE, "+0 > P. 1:501(500) ack 1\n"]);
}

#[test]
fn a_wrong_sequence_number_fails() {
    fails(&[ESTABLISHED, WRITE, "+0 > P. 2:502(500) ack 1 // HERE\n"], &["seq: expected 2, got 1"]);
}

#[test]
fn a_wrong_acknowledgement_fails() {
    fails(&[ESTABLISHED, WRITE, "+0 > P. 1:501(500) ack 2 // HERE\n"], &["ack: expected 2, got 1"]);
}

#[test]
fn a_wrong_flag_fails() {
    fails(&[ESTABLISHED, WRITE, "+0 > FP. 1:501(500) ack 1 // HERE\n"], &["flags: expected FP., got P."]);
    fails(&[ESTABLISHED, WRITE, "+0 > P 1:501(500) // HERE\n"], &["flags: expected P, got P."]);
    fails(&[ESTABLISHED, WRITE, "+0 > PE. 1:501(500) ack 1 // HERE\n"], &["flags: expected PE., got P."]);
}

/// §7.4: PSH counts where the script has it and the packet carries the last byte written.
#[test]
fn push_is_compared_on_the_last_byte_written() {
    passes(&[ESTABLISHED, WRITE, "+0 > . 1:501(500) ack 1\n"]);
    let strict = "--psh=strict\n";
    fails(&[strict, ESTABLISHED, WRITE, "+0 > . 1:501(500) ack 1 // HERE\n"], &["flags: expected ., got P."]);
    // The last byte written is on the second segment: what PSH the first has is the stack's choice.
    let two = "+0 write(4, ..., 1500) = 1500\n";
    passes(&[ESTABLISHED, two, "+0 > P. 1:1001(1000) ack 1\n+0 > P. 1001:1501(500) ack 1\n"]);
    let cork = "+0 setsockopt(4, SOL_TCP, TCP_NODELAY, [1], 4) = 0\n+0 send(4, ..., 100, MSG_MORE) = 100\n";
    let _ = cork;
}

#[test]
fn a_wrong_window_fails_where_one_is_written() {
    fails(
        &[LISTENING, "+0 < S 0:0(0) win 100\n+0 > S. 0:0(0) ack 1 win 1 <...> // HERE\n"],
        &["win: expected 1, got "],
    );
}

#[test]
fn a_wrong_length_fails() {
    fails(&[ESTABLISHED, WRITE, "+0 > P. 1:401(400) ack 1 // HERE\n"], &["length: expected 400, got 500"]);
    fails(&[ESTABLISHED, WRITE, "+0 > P. 1:601(600) ack 1 // HERE\n"], &["length: expected 600, got 500"]);
}

#[test]
fn options_are_compared_in_order_and_content() {
    let syn = "+0 < S 0:0(0) win 100 <mss 1000,nop,wscale 3>\n";
    passes(&[LISTENING, syn, "+0 > S. 0:0(0) ack 1 <mss 1460,nop,wscale 7>\n"]);
    fails(
        &[LISTENING, syn, "+0 > S. 0:0(0) ack 1 <nop,wscale 7,mss 1460> // HERE\n"],
        &["options: expected <nop,wscale,mss>, got <mss,nop,wscale>"],
    );
    fails(&[LISTENING, syn, "+0 > S. 0:0(0) ack 1 <mss 1400,nop,wscale 7> // HERE\n"], &["mss: expected"]);
    fails(&[LISTENING, syn, "+0 > S. 0:0(0) ack 1 // HERE\n"], &["header length: expected 20, got 28"]);
    fails(
        &[LISTENING, syn, "+0 > S. 0:0(0) ack 1 <mss 1460,wscale 7,nop> // HERE\n"],
        &["options: expected <mss,wscale,nop>"],
    );
}

#[test]
fn sack_edges_are_the_remote_sides_numbers() {
    let gap = "+0 < . 1001:2001(1000) ack 1 win 257\n";
    passes(&[ESTABLISHED, gap, "+0 > . 1:1(0) ack 1 <nop,nop,sack 1001:2001>\n"]);
    fails(
        &[ESTABLISHED, gap, "+0 > . 1:1(0) ack 1 <nop,nop,sack 1001:2002> // HERE\n"],
        &["sack: expected 1001:2002, got 1001:2001"],
    );
}

#[test]
fn a_missing_packet_fails() {
    fails(&[ESTABLISHED, "+0 > . 1:1(0) ack 1 // HERE\n"], &["nothing sent until 2.104"]);
}

/// A packet too many is caught by the next one that is expected, or at the end where silence is asserted.
#[test]
fn an_extra_packet_fails() {
    fails(
        &[
            ESTABLISHED,
            WRITE,
            "+.1 < . 1:1(0) ack 501 win 257\n+0 close(4) = 0\n+0 > F. 501:501(0) ack 1 // HERE\n",
        ],
        &["seq: expected 501, got 1", "length: expected 0, got 500"],
    );
    passes(&[ESTABLISHED, WRITE]);
    fails(
        &["--leftover=fail\n", ESTABLISHED, "+0 write(4, ..., 500) = 500 // HERE\n"],
        &["left over at the end: > P. 1:501(500) ack 1"],
    );
    passes(&["--leftover=fail\n", ESTABLISHED, WRITE, "+0 > P. 1:501(500) ack 1\n"]);
}

/// §7.2: one line stands for a burst of equal segments; not where they are asked for one by one.
#[test]
fn a_burst_is_joined_only_if_it_is_uniform() {
    let write = "+0 write(4, ..., 2500) = 2500\n";
    passes(&[ESTABLISHED, write, "+0 > P. 1:2501(2500) ack 1\n"]);
    passes(&[ESTABLISHED, write, "+0 > . 1:2001(2000) ack 1\n+0 > P. 2001:2501(500) ack 1\n"]);
    passes(&["--strict_segments\n", ESTABLISHED, write, "+0 > . 1:1001(1000) ack 1\n"]);
    fails(
        &["--strict_segments\n", ESTABLISHED, write, "+0 > P. 1:2501(2500) ack 1 // HERE\n"],
        &["length: expected 2500, got 1000"],
    );
    fails(
        &[ESTABLISHED, write, "+0 > P. 1:2301(2300) ack 1 // HERE\n"],
        &["length: expected 2300, got 2500"],
    );
    let apart = "+0 write(4, ..., 500) = 500\n+.01 write(4, ..., 1000) = 1000\n";
    let nodelay = "+0 setsockopt(4, SOL_TCP, TCP_NODELAY, [1], 4) = 0\n";
    fails(
        &[ESTABLISHED, nodelay, apart, "+0 > P. 1:1501(1500) ack 1 // HERE\n"],
        &["burst: expected 1500 bytes, got packet 2 of the burst is larger"],
    );
}

#[test]
fn notes_on_the_ip_header_are_compared() {
    passes(&[ESTABLISHED, WRITE, "+0 > [noecn, ttl 64] P. 1:501(500) ack 1\n"]);
    fails(
        &[ESTABLISHED, WRITE, "+0 > [ect0] P. 1:501(500) ack 1 // HERE\n"],
        &["ECN: expected ect0, got noecn"],
    );
    fails(
        &[ESTABLISHED, WRITE, "+0 > [ttl 63] P. 1:501(500) ack 1 // HERE\n"],
        &["TTL: expected 63, got 64"],
    );
    fails(&[ESTABLISHED, WRITE, "+0 > [tos 0x10] P. 1:501(500) ack 1 // HERE\n"], &["TOS: expected 0x10"]);
}

/// §5: without the ACK flag the field is compared raw and must be 0, in the script as on the wire.
#[test]
fn an_ack_without_its_flag_must_be_zero() {
    let open = "0 socket(..., SOCK_STREAM|SOCK_NONBLOCK, IPPROTO_TCP) = 3\n+0 connect(3, ..., ...) = -1 EINPROGRESS\n";
    passes(&[open, "+0 > S 0:0(0) <...>\n"]);
    passes(&[open, "+0 > S 0:0(0) ack 0 <...>\n"]);
    let wrong = "written ack without ACK: expected 0, got 77";
    fails(&[open, "+0 > S 0:0(0) ack 77 <...> // HERE\n"], &[wrong]);
}

/// §7.4: PSH counts only on the segment with the last byte written, and an empty FIN carries none.
#[test]
fn psh_is_compared_on_the_last_byte_only() {
    let close = "+.1 < . 1:1(0) ack 501 win 257\n+0 close(4) = 0\n";
    let sent = "+0 > P. 1:501(500) ack 1\n";
    passes(&[ESTABLISHED, WRITE, sent, close, "+0 > FP. 501:501(0) ack 1\n"]);
    let strict = "--psh=strict\n";
    let fin = "+0 > FP. 501:501(0) ack 1 // HERE\n";
    fails(&[strict, ESTABLISHED, WRITE, sent, close, fin], &["flags: expected FP., got F."]);
    passes(&[ESTABLISHED, WRITE, "+0 > . 1:501(500) ack 1\n"]);
}

#[test]
fn accurate_ecn_is_skipped() {
    skips(&[ESTABLISHED, WRITE, "+0 > P.5 1:501(500) ack 1 // HERE\n"], &["accurate ECN"]);
    skips(&[ESTABLISHED, "+0 > .5 1:1(0) ack 1 // HERE\n"], &["accurate ECN"]);
}

/// §5: an echoed timestamp must be one that the stack has sent, as the script calls it.
#[test]
fn timestamps_are_mapped_pair_by_pair() {
    let open =
        [LISTENING, "+0 < S 0:0(0) win 100 <mss 1000,sackOK,TS val 100 ecr 0,nop,wscale 7>\n"].concat();
    let syn_ack = "+0 > S. 0:0(0) ack 1 <mss 1460,sackOK,TS val 700 ecr 100,nop,wscale 7>\n";
    let ack = "+.1 < . 1:1(0) ack 1 win 100 <nop,nop,TS val 200 ecr 700>\n+0 accept(3, ..., ...) = 4\n";
    let data = "+0 write(4, ..., 100) = 100\n";
    passes(&[&open, syn_ack, ack, data, "+0 > P. 1:101(100) ack 1 <nop,nop,TS val 800 ecr 200>\n"]);
    fails(
        &[&open, syn_ack, ack, data, "+0 > P. 1:101(100) ack 1 <nop,nop,TS val 800 ecr 201> // HERE\n"],
        &["TS ecr: expected 201, got 200"],
    );
    fails(
        &[&open, syn_ack, "+.1 < . 1:1(0) ack 1 win 100 <nop,nop,TS val 200 ecr 701> // HERE\n"],
        &["no timestamp that the script calls 701"],
    );
    let ticks = "--tcp_ts_tick_usecs=1000\n";
    passes(&[ticks, &open, syn_ack, ack, data, "+0 > P. 1:101(100) ack 1 <nop,nop,TS val 800 ecr 200>\n"]);
    fails(
        &[
            ticks,
            &open,
            syn_ack,
            ack,
            data,
            "+0 > P. 1:101(100) ack 1 <nop,nop,TS val 900 ecr 200> // HERE\n",
        ],
        &["TS val: expected 900, got 800"],
    );
}

#[test]
fn icmp_and_udp_packets_are_compared() {
    let echo = "0 < icmp echo_request id 7\n";
    passes(&[echo, "+0 > icmp echo_reply id 7\n"]);
    fails(&[echo, "+0 > icmp echo_reply id 8 // HERE\n"], &["id: expected 8, got 7"]);
    fails(&[echo, "+0 > icmp unreachable port_unreachable // HERE\n"], &["ICMP type"]);
    let udp = "0 socket(..., SOCK_DGRAM, IPPROTO_UDP) = 3\n+0 connect(3, ..., ...) = 0\n+0 write(3, ..., 100) = 100\n";
    passes(&[udp, "+0 > udp (100)\n"]);
    fails(&[udp, "+0 > udp (99) // HERE\n"], &["length: expected 99, got 100"]);
    fails(&[udp, "+0 > . 1:1(0) ack 1 // HERE\n"], &["protocol: expected tcp, got udp"]);
}
