# The Linux kernel as peer in both roles, with its TCP set to unusual ways and its connections ended in unusual ones.

# RFC 7323 section 1.3, RFC 2018 section 2: what one side does not offer is not used; RFC 3168 section 6.1.1: ECN may be asked for in vain.
case_a_kernel_with_options_off_or_ecn_on_exchanges_files() {
    local setting
    kernel_pair
    for setting in tcp_timestamps=0 tcp_sack=0 "tcp_window_scaling=0" "tcp_timestamps=0 tcp_sack=0 tcp_window_scaling=0" tcp_ecn=1; do
        in_ns "$NETNS" sysctl -qw net.ipv4.tcp_timestamps=1 net.ipv4.tcp_sack=1 net.ipv4.tcp_window_scaling=1
        # shellcheck disable=SC2086
        in_ns "$NETNS" sysctl -qw $(printf 'net.ipv4.%s ' $setting)
        exchange "$setting"
    done
    PID=$SERVE_PID && stop
}

# RFC 9293 section 3.8.6: through a window of one small segment at a time.
case_a_kernel_with_a_tiny_receive_buffer_gets_all_bytes() {
    kernel_pair
    in_ns "$NETNS" sysctl -qw net.ipv4.tcp_rmem='4096 4096 4096'
    exchange "tcp_rmem 4096"
    PID=$SERVE_PID && stop
}

# RFC 4987 section 3.6: the kernel's cookies, whose SYN-ACKs carry options in their timestamps, are answered like any SYN-ACK.
case_a_kernel_that_answers_with_syn_cookies_is_fetched_from() {
    kernel_pair
    in_ns "$NETNS" sysctl -qw net.ipv4.tcp_syncookies=2
    exchange "tcp_syncookies 2"
    above "cookies that the kernel took back" 0 "$(in_ns "$NETNS" nstat -asz TcpExtSyncookiesRecv | awk '/Syncookies/ { print $2 }')"
    PID=$SERVE_PID && stop
}

# RFC 9293 section 3.5.2: linger 0 resets in the middle of a download, at its beginning, and before anything was said.
case_clients_that_leave_with_a_reset_are_forgotten() {
    new_netns
    start "$NETNS" --http-root "$WWW"
    in_ns "$NETNS" timeout 60 "$TOOL" leave "$STACK4" /big.bin 0 1 1000000
    in_ns "$NETNS" timeout 60 "$TOOL" leave "$STACK6" /big.bin 0 1 1000000
    same "the server after it" 200 "$(in_ns "$NETNS" curl -sS -m 10 -o /dev/null -w '%{http_code}' "http://$STACK4/hello")"
    stop
    same "RSTs taken" 6 "$(counter "$LOG" tcp_rst_in)"
}

# RFC 9293 section 3.6, half-close the other way round: the stack closes first and the kernel stays in CLOSE-WAIT, as long as it likes, until it closes, too.
case_a_kernel_that_stays_in_close_wait_closes_cleanly() {
    new_netns
    start "$NETNS" --http-root "$WWW"
    in_ns "$NETNS" timeout 30 "$TOOL" close-wait "$STACK4" /small.bin
    in_ns "$NETNS" timeout 30 "$TOOL" close-wait "$STACK6" /small.bin
    stop
    same "RSTs sent" 0 "$(counter "$LOG" tcp_rst_out)"
}

# MUST-14: a route with a smaller MTU makes the kernel announce a smaller MSS and send shorter segments, from one
# connection to the next; what is under way when the device's MTU shrinks goes on.
case_a_route_whose_mtu_changes_carries_on() {
    local mtu
    new_netns
    start "$NETNS" --http-root "$WWW"
    for mtu in 576 1280 1400; do
        ip -n "$NETNS" route change "${STACK4%.*}.0/24" dev tide0 src "$HOST4" mtu "$mtu"
        same "echo over an MTU of $mtu" "$(cat "$SMALL_FILE.sha256")" "$(in_ns "$NETNS" timeout 30 nc -N "$STACK4" 7 <"$SMALL_FILE" | hash_of)"
    done
    start_reader "$NETNS" "$STACK6" /echo.bin
    ip -n "$NETNS" link set dev tide0 mtu 1280
    read_on "$(bound_for "$ECHO_BYTES")"
    same "a download across the change" "complete $(cat "$ECHO_FILE.sha256")" "$RESULT"
    stop
}

# RFC 1191, RFC 8201: behind the host the path is narrower than the client knows; the router says so, and the download arrives.
case_a_path_that_is_narrower_than_both_ends_is_found_out() {
    local server client
    new_netns && server=$NETNS
    new_netns && client=$NETNS
    join_by_router "$server" "$client"
    start "$server" --http-root "$WWW"
    ip -n "$server" link set dev veth0 mtu 1280
    same "IPv4" "$(cat "$SMALL_FILE.sha256")" "$(in_ns "$client" curl -sS -m 30 "http://$STACK4/small.bin" | hash_of)"
    same "IPv6" "$(cat "$SMALL_FILE.sha256")" "$(in_ns "$client" curl -sS -m 30 -g "http://[$STACK6]/small.bin" | hash_of)"
    above "what the router said by IPv4" 0 "$(in_ns "$server" nstat -asz IcmpOutDestUnreachs | awk '/^Icmp/ { print $2 }')"
    above "what the router said by IPv6" 0 "$(in_ns "$server" nstat -asz Icmp6OutPktTooBigs | awk '/^Icmp/ { print $2 }')"
    stop
}

# kernel_pair: `serve`, and the kernel's own HTTP server, in one namespace. The server's process is SERVE_PID.
kernel_pair() {
    new_netns
    start "$NETNS" --http-root "$WWW"
    SERVE_PID=$PID
    start_command "$NETNS" "$TOOL" serve-files "$WWW" 8000
}

# exchange WHAT: the same bytes both ways through `serve`, and out of the kernel's server.
exchange() {
    local address back
    for address in "$STACK4" "$STACK6"; do
        back=$(in_ns "$NETNS" timeout 60 nc -N "$address" 7 <"$SMALL_FILE" | hash_of)
        same "echo with $1" "$(cat "$SMALL_FILE.sha256")" "$back"
    done
    back=$(in_ns "$NETNS" timeout 60 "$TIDEGATE" get "http://$CLIENT_HOST4:8000/small.bin" | hash_of)
    same "from the kernel with $1" "$(cat "$SMALL_FILE.sha256")" "$back"
}
