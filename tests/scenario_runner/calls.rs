//! Calls: results, errors, blocking ones, and what reads find.

use crate::common::{ESTABLISHED, LISTENING, fails, passes, skips};

#[test]
fn a_wrong_result_fails() {
    fails(&[ESTABLISHED, "+0 write(4, ..., 500) = 400 // HERE\n"], &["write returned 500, not 400"]);
    fails(&[ESTABLISHED, "+0 write(4, ..., 500) = -1 // HERE\n"], &["write returned 500, not -1"]);
    skips(&[ESTABLISHED, "+0 write(4, ..., 500) = ... // HERE\n"], &["a result that may be anything"]);
}

#[test]
fn a_wrong_errno_fails() {
    let nonblocking = "+0 fcntl(4, F_SETFL, O_RDWR|O_NONBLOCK) = 0\n";
    passes(&[ESTABLISHED, nonblocking, "+0 read(4, ..., 500) = -1 EAGAIN\n"]);
    passes(&[ESTABLISHED, nonblocking, "+0 read(4, ..., 500) = -1 EWOULDBLOCK\n"]);
    passes(&[ESTABLISHED, nonblocking, "+0 read(4, ..., 500) = -1\n"]);
    fails(
        &[ESTABLISHED, nonblocking, "+0 read(4, ..., 500) = -1 ECONNRESET // HERE\n"],
        &["read returned -1 EAGAIN, not -1 ECONNRESET"],
    );
    passes(&[ESTABLISHED, "+0 read(9, ..., 500) = -1 EBADF\n"]);
}

/// §8: a call without an end must not block, not even on a blocking socket.
#[test]
fn a_call_that_blocks_fails() {
    fails(&[ESTABLISHED, "+0 read(4, ..., 500) = 500 // HERE\n"], &["read would block"]);
    fails(&[LISTENING, "+0 accept(3, ..., ...) = 4 // HERE\n"], &["accept would block"]);
}

#[test]
fn a_blocking_call_ends_when_it_is_written() {
    let data = "+.2 < P. 1:501(500) ack 1 win 257\n";
    passes(&[ESTABLISHED, "+0...0.2 read(4, ..., 500) = 500\n", data]);
    passes(&[ESTABLISHED, "0.1...0.3 read(4, ..., 500) = 500\n", data]);
    fails(&[ESTABLISHED, "0.1...0.5 read(4, ..., 500) = 500 // HERE\n", data], &["read ended too early"]);
    fails(&[ESTABLISHED, "0.1...0.2 read(4, ..., 500) = 500 // HERE\n", data], &["read ended too late"]);
    fails(
        &[ESTABLISHED, "0.1...0.3 read(4, ..., 500) = 400 // HERE\n", data],
        &["read returned 500, not 400"],
    );
}

#[test]
fn a_call_still_pending_at_the_end_fails() {
    fails(&[ESTABLISHED, "0.1...0.3 read(4, ..., 500) = 500 // HERE\n"], &["read still blocks at the end"]);
    let later = "+.5 write(4, ..., 10) = 10\n";
    fails(
        &[ESTABLISHED, "0.1...0.3 read(4, ..., 500) = 500 // HERE\n", later],
        &["read still blocks 1 s after"],
    );
}

#[test]
fn connecting_tells_how_it_goes() {
    let open = "0 socket(..., SOCK_STREAM|SOCK_NONBLOCK, IPPROTO_TCP) = 3\n+0 connect(3, ..., ...) = -1 EINPROGRESS\n";
    let syn = "+0 > S 0:0(0) <...>\n";
    let again = "+0 connect(3, ..., ...) = -1 EALREADY\n";
    let answer = "+.1 < S. 0:0(0) ack 1 win 100 <mss 1000>\n+0 > . 1:1(0) ack 1\n";
    passes(&[
        open,
        syn,
        again,
        answer,
        "+0 connect(3, ..., ...) = 0\n+0 connect(3, ..., ...) = -1 EISCONN\n",
    ]);
    passes(&[open, syn, answer, "+0 getsockopt(3, SOL_SOCKET, SO_ERROR, [0], [4]) = 0\n"]);
    let refusal = "+.1 < R. 0:0(0) ack 1 win 0\n";
    passes(&[open, syn, refusal, "+0 getsockopt(3, SOL_SOCKET, SO_ERROR, [ECONNREFUSED], [4]) = 0\n"]);
    fails(
        &[open, syn, refusal, "+0 getsockopt(3, SOL_SOCKET, SO_ERROR, [0], [4]) = 0 // HERE\n"],
        &["getsockopt gave 111 for SO_ERROR, not 0"],
    );
    let blocking = "0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n0...0.1 connect(3, ..., ...) = 0\n";
    passes(&[blocking, syn, answer]);
}

#[test]
fn options_come_back_as_they_were_set() {
    let set = |name, value| format!("+0 setsockopt(4, {name}, [{value}], 4) = 0\n");
    let get = |name, value| format!("+0 getsockopt(4, {name}, [{value}], [4]) = 0\n");
    for (name, value, back) in [
        ("SOL_SOCKET, SO_SNDBUF", 10_000, 20_000),
        ("SOL_SOCKET, SO_RCVBUF", 10_000, 20_000),
        ("SOL_SOCKET, SO_KEEPALIVE", 1, 1),
        ("SOL_TCP, TCP_NODELAY", 1, 1),
        ("SOL_TCP, TCP_CORK", 1, 1),
        ("SOL_TCP, TCP_KEEPIDLE", 7, 7),
        ("SOL_TCP, TCP_KEEPINTVL", 8, 8),
        ("IPPROTO_TCP, TCP_KEEPCNT", 3, 3),
        ("SOL_TCP, TCP_USER_TIMEOUT", 2_500, 2_500),
        ("SOL_TCP, TCP_LINGER2", 5, 5),
        ("SOL_TCP, TCP_SYNCNT", 4, 4),
        ("SOL_TCP, TCP_DEFER_ACCEPT", 6, 6),
        ("SOL_IP, IP_TOS", 0x20, 0x20),
        ("SOL_IP, IP_TTL", 33, 33),
        ("SOL_IP, IP_MTU_DISCOVER", 2, 2),
        ("SOL_IPV6, IPV6_TCLASS", 0x40, 0x40),
        ("SOL_IPV6, IPV6_UNICAST_HOPS", 34, 34),
    ] {
        passes(&[ESTABLISHED, &set(name, value), &get(name, back)]);
        let wrong = get(name, back + 1).replace('\n', " // HERE\n");
        fails(&[ESTABLISHED, &set(name, value), &wrong], &["getsockopt gave"]);
    }
    let linger = "+0 setsockopt(4, SOL_SOCKET, SO_LINGER, {onoff=1, linger=5}, 8) = 0\n";
    passes(&[ESTABLISHED, linger, "+0 getsockopt(4, SOL_SOCKET, SO_LINGER, {onoff=1, linger=5}, [8]) = 0\n"]);
    passes(&[ESTABLISHED, "+0 getsockopt(4, SOL_TCP, TCP_CONGESTION, \"cubic\", [5]) = 0\n"]);
    skips(&[ESTABLISHED, "+0 setsockopt(4, SOL_TCP, TCP_MD5SIG, [1], 4) = 0 // HERE\n"], &["TCP_MD5SIG"]);
    passes(&[ESTABLISHED, "+0 setsockopt(4, SOL_TCP, TCP_MAXSEG, [20], 4) = -1 EINVAL\n"]);
}

#[test]
fn poll_compares_events_exactly() {
    let data = "+0 < P. 1:501(500) ack 1 win 257\n";
    let poll = |revents, result| {
        format!("+0 poll([{{fd=4, events=POLLIN|POLLOUT, revents={revents}}}], 1, 0) = {result}\n")
    };
    passes(&[ESTABLISHED, &poll("POLLOUT", 1)]);
    passes(&[ESTABLISHED, data, &poll("POLLIN|POLLOUT", 1)]);
    let wrong = poll("POLLIN", 1).replace('\n', " // HERE\n");
    fails(&[ESTABLISHED, data, &wrong], &["poll found POLLIN|POLLOUT on descriptor 4, not POLLIN"]);
    passes(&[
        ESTABLISHED,
        "+0...0.3 poll([{fd=4, events=POLLIN, revents=0}], 1, 300) = 0\n+.4 write(4, ..., 1) = 1\n",
    ]);
    fails(
        &[ESTABLISHED, "+0 poll([{fd=4, events=POLLIN, revents=0}], 1, 300) = 0 // HERE\n"],
        &["would block"],
    );
}

#[test]
fn vectors_and_messages_are_read_and_written() {
    let write = "+0 writev(4, [{..., 100}, {..., 200}], 2) = 300\n+0 > P. 1:301(300) ack 1\n";
    let send = "+0 sendmsg(4, {msg_name(...)=..., msg_iov(1)=[{..., 50}], msg_flags=0}, 0) = 50\n";
    let data = "+.1 < P. 1:501(500) ack 301 win 257\n";
    let read = "+0 readv(4, [{..., 100}, {..., 150}], 2) = 250\n";
    let peek = "+0 recv(4, ..., 1000, MSG_PEEK) = 250\n";
    let receive = "+0 recvmsg(4, {msg_name(...)=..., msg_iov(1)=[{..., 500}], msg_flags=0}, 0) = 250\n";
    passes(&[ESTABLISHED, write, data, read, peek, receive, send]);
    fails(
        &[ESTABLISHED, "+0 writev(4, [{..., 100}], 2) = 100 // HERE\n"],
        &["1 buffers, but 2 are announced"],
    );
    skips(&[ESTABLISHED, "+0 write(4, NULL, 10) = 10 // HERE\n"], &["only `...`"]);
}

/// No number of a script exhausts memory.
#[test]
fn huge_buffers_are_skipped() {
    for huge in ["9000000000000000000", "200000000000", "67108865"] {
        for call in ["read", "write"] {
            let call = format!("+0 {call}(4, ..., {huge}) = 1 // HERE\n");
            skips(&[ESTABLISHED, &call], &["bytes are not supported"]);
        }
    }
    let half = "9223372036854775807";
    let vectors = format!("+0 readv(4, [{{..., {half}}}, {{..., {half}}}], 2) = 1 // HERE\n");
    skips(&[ESTABLISHED, &vectors], &["bytes are not supported"]);
    let sum = "+0 writev(4, [{..., 60000000}, {..., 60000000}], 2) = 1 // HERE\n";
    skips(&[ESTABLISHED, sum], &["buffers of 120000000 bytes are not supported"]);
}

/// Words behind a result are only for people: any text up to the matching parenthesis.
#[test]
fn words_behind_a_result_are_free() {
    for words in ["(100% sure)", "((really)! (nested (twice)))", "(don't, I/O; \"half // `x)", "(a\nb)", "()"]
    {
        passes(&[ESTABLISHED, &format!("+0 write(4, ..., 500) = 500 {words}\n+0 > P. 1:501(500) ack 1\n")]);
        passes(&[ESTABLISHED, &format!("+0 read(9, ..., 500) = -1 EBADF {words}\n")]);
    }
    fails(&[ESTABLISHED, "+0 write(4, ..., 500) = 500 (open (still) // HERE\n"], &["`(` is not closed"]);
    fails(&[ESTABLISHED, "+0 write(4, ..., 500) = 500 (a) (b) // HERE\n"], &["parse error"]);
}

#[test]
fn what_the_text_does_not_define_is_skipped() {
    skips(&[ESTABLISHED, "+0 sendfile(4, 5, [0], 1000) = 1000 // HERE\n"], &["sendfile is not supported"]);
    skips(&[ESTABLISHED, "+0 send(4, ..., 10, MSG_ZEROCOPY) = 10 // HERE\n"], &["MSG_ZEROCOPY"]);
    skips(&["0 socket(..., SOCK_RAW, IPPROTO_TCP) = 3 // HERE\n"], &["SOCK_RAW"]);
    skips(&[ESTABLISHED, "+0 `rm -rf /` // HERE\n"], &["rm"]);
    skips(&[ESTABLISHED, "+0 %{ assert tcpi_nonsense == 1 }% // HERE\n"], &["tcpi_nonsense"]);
}

#[test]
fn a_script_that_does_not_parse_fails_with_its_line() {
    fails(&[ESTABLISHED, "+0 write(4, ..., 10 = 10 // HERE\n"], &["parse error"]);
    fails(&[ESTABLISHED, "+0 < . 1:5(3) ack 1 win 257 // HERE\n"], &["parse error"]);
}

#[test]
fn a_false_assertion_fails() {
    passes(&[ESTABLISHED, "+0 %{ assert tcpi_state == TCP_ESTABLISHED }%\n"]);
    fails(&[ESTABLISHED, "+0 %{ assert tcpi_state == TCP_CLOSE_WAIT }% // HERE\n"], &["tcpi_state"]);
    passes(&[ESTABLISHED, "+0 %{ x = tcpi_snd_mss }%\n+0 %{ assert x == 1000, 'mss' }%\n"]);
}

/// A close that lingers blocks until the peer has everything, or the time is over.
#[test]
fn a_lingering_close_blocks() {
    let linger =
        "+0 setsockopt(4, SOL_SOCKET, SO_LINGER, {onoff=1, linger=2}, 8) = 0\n+0 write(4, ..., 100) = 100\n";
    let sent = "+0 > P. 1:101(100) ack 1\n+0 > F. 101:101(0) ack 1\n+.2 < . 1:1(0) ack 102 win 257\n";
    passes(&[ESTABLISHED, linger, "+0...0.2 close(4) = 0\n", sent]);
    fails(&[ESTABLISHED, linger, "+0 close(4) = 0 // HERE\n"], &["close would block"]);
}

/// MSG_MORE holds a short segment back; SIOCINQ tells what waits, SIOCATMARK where urgent data ends.
#[test]
fn flags_and_requests_reach_the_stack() {
    let more = "+0 send(4, ..., 100, MSG_MORE) = 100\n";
    passes(&["--leftover=fail\n", ESTABLISHED, more]);
    passes(&[ESTABLISHED, more, "+.01 send(4, ..., 100, 0) = 100\n+0 > P. 1:201(200) ack 1\n"]);
    let urgent = "+0 send(4, ..., 10, MSG_OOB) = 10\n";
    passes(&[ESTABLISHED, urgent, "+0 > PU. 1:11(10) ack 1 urg 10\n"]);
    let data = "+0 < PU. 1:11(10) ack 1 win 257 urg 10\n+0 ioctl(4, SIOCINQ, [10]) = 0\n";
    passes(&[ESTABLISHED, data, "+0 read(4, ..., 100) = 9\n+0 ioctl(4, SIOCATMARK, [1]) = 0\n"]);
    fails(&[ESTABLISHED, data, "+0 ioctl(4, FIONREAD, [9]) = 0 // HERE\n"], &["ioctl gave 10, not 9"]);
}

/// What an argument says is either followed or refused; nothing in it is passed over.
#[test]
fn arguments_that_are_not_followed_are_skipped() {
    let nothing = "+0 fcntl(4, F_SETFL, O_NONBLOCK) = 0\n";
    for address in ["..., ...", "NULL, NULL", "0, 0", "NULL, 0"] {
        passes(&[ESTABLISHED, nothing, &format!("+0 recvfrom(4, ..., 10, 0, {address}) = -1 EAGAIN\n")]);
        passes(&[ESTABLISHED, &format!("+0 sendto(4, ..., 10, 0, {address}) = 10\n")]);
    }
    let message = |fields: &str| format!("sendmsg(4, {{{fields}}}, 0) = 5");
    for call in [
        "recvfrom(4, ..., 10, 0, {sa_family=AF_INET}, ...) = 10".to_owned(),
        "sendto(4, ..., 10, 0, ..., 16) = 10".to_owned(),
        "fcntl(4, F_GETFL, 7) = O_RDWR".to_owned(),
        "fcntl(4, F_SETFL, O_RDWR, 7) = 0".to_owned(),
        "poll([{fd=4, events=POLLOUT, revents=POLLOUT, more=1}], 1, 0) = 1".to_owned(),
        "poll([{fd=4, events=POLLOUT, revents=POLLOUT, 5}], 1, 0) = 1".to_owned(),
        "poll([{fd=4, fd=4, events=POLLOUT, revents=POLLOUT}], 1, 0) = 1".to_owned(),
        "poll([{fd(1)=4, events=POLLOUT, revents=POLLOUT}], 1, 0) = 1".to_owned(),
        "setsockopt(4, SOL_SOCKET, SO_LINGER, {onoff=1, linger=5, onoff=0}, 8) = 0".to_owned(),
        "setsockopt(4, SOL_SOCKET, SO_LINGER, {1, 5}, 8) = 0".to_owned(),
        message("msg_iov(1)=[{..., 5}], msg_iov(1)=[{..., 5}]"),
        message("msg_iov(1)=[{..., 5, 6}]"),
        message("msg_iov(1)=[{..., 5}], msg_flags(2)=0"),
        message("msg_name(...)=..., msg_flags=0"),
        message("msg_iov(1)=[{..., 5}], ..."),
    ] {
        skips(&[ESTABLISHED, &format!("+0 {call} // HERE\n")], &[]);
    }
}

/// Lengths of option values: what Linux gives back, what it refuses, and what nobody here follows.
#[test]
fn lengths_of_options_are_compared() {
    let call = |call: &str, mark: &str| format!("+0 {call}{mark}\n");
    for wrong in [
        "getsockopt(4, SOL_TCP, TCP_NODELAY, [0], [8]) = 0",
        "getsockopt(4, SOL_SOCKET, SO_LINGER, {onoff=0, linger=0}, [9]) = 0",
    ] {
        fails(&[ESTABLISHED, &call(wrong, " // HERE")], &["getsockopt gave length"]);
    }
    passes(&[ESTABLISHED, &call("getsockopt(4, SOL_TCP, TCP_NODELAY, [0], [-1]) = -1 EINVAL", "")]);
    passes(&[ESTABLISHED, &call("getsockopt(4, SOL_TCP, TCP_CONGESTION, \"cubic\", [16]) = 0", "")]);
    for (name, value, len) in [
        ("SOL_TCP, TCP_NODELAY", "[1]", 3),
        ("SOL_SOCKET, SO_LINGER", "{onoff=1, linger=1}", 4),
        ("SOL_IP, IP_TTL", "[9]", -1),
        ("SOL_TCP, TCP_CONGESTION", "\"reno\"", 0),
    ] {
        passes(&[ESTABLISHED, &call(&format!("setsockopt(4, {name}, {value}, {len}) = -1 EINVAL"), "")]);
    }
    for odd in [
        "setsockopt(4, SOL_TCP, TCP_NODELAY, [1], 8) = 0",
        "setsockopt(4, SOL_IP, IP_TOS, [16], 1) = 0",
        "setsockopt(4, SOL_TCP, TCP_CONGESTION, \"reno\", 2) = 0",
        "getsockopt(4, SOL_TCP, TCP_CONGESTION, \"reno\", [2]) = 0",
        "getsockopt(4, SOL_TCP, TCP_NODELAY, [0], [1]) = 0",
    ] {
        skips(&[ESTABLISHED, &call(odd, " // HERE")], &["not supported"]);
    }
}

/// §9: a name that nothing gives a value is looked for before anything is evaluated.
#[test]
fn unknown_names_are_skipped_wherever_they_stand() {
    for text in [
        "assert 1 or tcpi_nonsense",
        "x = 0 and nonsense",
        "assert 2 < 1 < nonsense or 1",
        "print(nonsense)",
        "print(\"%d\" % tcpi_nonsense)",
        "assert 1 == 2; print(nonsense)",
        "x += 1",
    ] {
        skips(&[ESTABLISHED, &format!("+0 %{{ {text} }}% // HERE\n")], &["is not known"]);
    }
    passes(&[ESTABLISHED, "+0 %{ x = 1; print(x, tcpi_rto); assert 1 or x }%\n+0 %{ print(x) }%\n"]);
}
