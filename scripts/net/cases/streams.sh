# Byte streams and datagrams: echo compared by hash, half-close, many connections at once, discard, chargen, UDP.

case_nc_echo_returns_the_same_bytes_and_half_closes_ipv4() {
    echo_by_nc "$STACK4"
}

case_nc_echo_returns_the_same_bytes_and_half_closes_ipv6() {
    echo_by_nc "$STACK6"
}

case_a_line_typed_into_nc_comes_back() {
    same "echo" "hello" "$(echo hello | on_host timeout 5 nc -N "$STACK4" 7)"
}

case_an_empty_stream_closes_cleanly() {
    same "bytes" 0 "$(on_host timeout 5 nc -N "$STACK4" 7 </dev/null | wc -c)"
}

case_many_connections_at_once_each_get_their_own_bytes() {
    on_host timeout 90 "$TOOL" parallel "$STACK4" 7 "$PARALLEL" 100000
    on_host timeout 90 "$TOOL" parallel "$STACK6" 7 "$PARALLEL" 1000
}

case_discard_takes_all_and_returns_nothing() {
    same "bytes back" 0 "$(on_host timeout "$(bound_for "$ECHO_BYTES")" nc -N "$STACK4" 9 <"$ECHO_FILE" | wc -c)"
}

case_chargen_sends_printable_lines_until_the_client_leaves() {
    local lines
    # head closes the pipe, nc ends on its next write: a reset in the middle of our stream.
    lines=$(on_host timeout 20 nc -d "$STACK4" 19 | head -c 1000000 | tr -d '\r' | grep -cx '[[:print:]]*') || true
    above "whole lines" 10000 "$lines"
    same "the server after it" "hello" "$(echo hello | on_host timeout 5 nc -N "$STACK4" 7)"
}

case_udp_echo_answers_any_size_ipv4() {
    on_host timeout 60 "$TOOL" udp-echo "$STACK4" 7 0 1 1472 1473 9000 60000 65507
}

case_udp_echo_answers_any_size_ipv6() {
    on_host timeout 60 "$TOOL" udp-echo "$STACK6" 7 0 1 1452 1453 9000 60000 65507
}

case_udp_echo_answers_nc() {
    same "echo" "hello" "$(echo hello | on_host timeout 5 nc -u -W 1 "$STACK4" 7)"
}

case_each_connection_is_a_line_in_the_log() {
    new_netns
    start "$NETNS"
    echo hello | in_ns "$NETNS" timeout 5 nc -N "$STACK4" 7 >/dev/null
    in_ns "$NETNS" curl -sS -m 10 -o /dev/null "http://$STACK4/hello"
    stop
    above "log lines that name the client" 1 "$(grep -c "$HOST4" "$LOG")"
}

echo_by_nc() {
    local back
    back=$(on_host timeout "$(bound_for "$ECHO_BYTES")" nc -N "$1" 7 <"$ECHO_FILE" | hash_of)
    same "hash of $ECHO_BYTES bytes" "$(cat "$ECHO_FILE.sha256")" "$back"
}
