# Starting and stopping: signals, drain, devices that were there before, and one-line messages for what is missing.

case_ready_line_names_device_and_addresses() {
    new_netns
    start "$NETNS"
    same "ready line" "$READY" "$LINE"
    contains "host address" "$(ip -n "$NETNS" -4 address show dev tide0)" "$HOST4/24"
    contains "host address" "$(ip -n "$NETNS" -6 address show dev tide0)" "$HOST6/64"
    contains "device" "$(ip -n "$NETNS" link show dev tide0)" "mtu 1500"
    stop
}

case_sigterm_when_idle_ends_within_a_second() {
    new_netns
    start "$NETNS"
    stop 1
    no_device_left
}

case_sigint_when_idle_ends_within_a_second() {
    new_netns
    start "$NETNS"
    kill -INT "$PID"
    gone "$PID" 1 || fail "still runs 1 s after SIGINT"
    wait "$PID" || fail "status $?"
    no_device_left
}

case_idle_kept_connections_do_not_delay_the_end() {
    new_netns
    start "$NETNS" --grace 30s
    in_ns "$NETNS" nc -d "$STACK4" 80 &
    PIDS+=("$!")
    in_ns "$NETNS" curl -sS -m 10 -o /dev/null "http://$STACK4/hello"
    stop 1
    no_device_left
}

case_sigterm_lets_a_transfer_finish_within_the_grace() {
    new_netns
    start "$NETNS" --http-root "$WWW" --grace 60s
    start_reader "$NETNS" "$STACK4" /echo.bin
    kill -TERM "$PID"
    read_on "$(bound_for "$ECHO_BYTES")"
    same "the transfer" "complete $(cat "$ECHO_FILE.sha256")" "$RESULT"
    gone "$PID" 5 || fail "still runs 5 s after the last transfer"
    wait "$PID" || fail "status $?"
    no_device_left
}

case_sigterm_cuts_a_stalled_transfer_after_the_grace() {
    new_netns
    start "$NETNS" --http-root "$WWW" --grace 1s
    start_reader "$NETNS" "$STACK4" /big.bin
    kill -TERM "$PID"
    gone "$PID" 5 || fail "still runs 5 s after SIGTERM with a grace of 1 s"
    wait "$PID" || fail "status $?"
    no_device_left
}

case_sigterm_while_draining_refuses_new_connections() {
    new_netns
    start "$NETNS" --http-root "$WWW" --grace 20s
    start_reader "$NETNS" "$STACK4" /big.bin
    kill -TERM "$PID"
    # Until the signal has been heard, connections are still taken.
    timeout 5 bash -c 'while ip netns exec "$1" timeout 1 nc -z "$2" 80; do :; done' - "$NETNS" "$STACK4" ||
        fail "port 80 still takes connections 5 s after SIGTERM"
    kill -0 "$PID" || fail "did not wait for the transfer"
    kill -TERM "$PID"
    gone "$PID" 1 || fail "still runs 1 s after the second SIGTERM"
    no_device_left
}

case_started_and_stopped_many_times_leaves_no_device() {
    local round before
    new_netns
    before=$(ip -n "$NETNS" -o link | wc -l)
    for ((round = 1; round <= STARTS; round++)); do
        start "$NETNS"
        same "round $round" 200 "$(in_ns "$NETNS" curl -sS -m 10 -o /dev/null -w '%{http_code}' "http://$STACK4/hello")"
        stop
    done
    same "devices" "$before" "$(ip -n "$NETNS" -o link | wc -l)"
}

case_killed_it_leaves_no_device_and_starts_again() {
    new_netns
    start "$NETNS"
    kill -KILL "$PID"
    # The shell would report the killed job.
    { gone "$PID" 5 && wait "$PID" || true; } 2>/dev/null
    no_device_left
    start "$NETNS"
    stop
}

case_a_device_made_before_is_used_and_kept() {
    new_netns
    ip -n "$NETNS" tuntap add dev tg7 mode tun
    start "$NETNS" --tun tg7
    same "ready line" "ready tg7 $STACK4 $STACK6" "$LINE"
    same "hello" 200 "$(in_ns "$NETNS" curl -sS -m 10 -o /dev/null -w '%{http_code}' "http://$STACK4/hello")"
    stop
    has_device "$NETNS" tg7 || fail "the device made before was removed"
    same "addresses left" "" "$(ip -n "$NETNS" address show dev tg7 | grep -E "$HOST4|$HOST6" || true)"
    start "$NETNS" --tun tg7
    stop
}

case_a_device_in_use_is_named_in_one_line() {
    new_netns
    start "$NETNS"
    refuses 5 ip netns exec "$NETNS" "$TIDEGATE" serve
    one_line "serve" "$SAID"
    contains "message" "$SAID" tide0
    same "the first instance" 200 "$(in_ns "$NETNS" curl -sS -m 10 -o /dev/null -w '%{http_code}' "http://$STACK4/hello")"
    stop
}

case_an_open_descriptor_is_taken() {
    new_netns
    start_command "$NETNS" "$TOOL" tun-fd tg8 "$TIDEGATE" serve --tun-fd FD
    same "ready line" "ready tg8 $STACK4 $STACK6" "$LINE"
    same "hello" 200 "$(in_ns "$NETNS" curl -sS -m 10 -o /dev/null -w '%{http_code}' "http://$STACK4/hello")"
    same "echo" "$(cat "$ECHO_FILE.sha256")" \
        "$(in_ns "$NETNS" timeout "$(bound_for "$ECHO_BYTES")" nc -N "$STACK4" 7 <"$ECHO_FILE" | hash_of)"
    stop
    same "device after" "" "$(ip -n "$NETNS" -o link show dev tg8 2>/dev/null || true)"
}

case_without_permission_one_line_says_what_is_missing() {
    new_netns
    refuses 5 ip netns exec "$NETNS" setpriv --reuid=65534 --regid=65534 --clear-groups "$TIDEGATE" serve
    one_line "serve" "$SAID"
    grep -qiE 'root|sudo|CAP_NET_ADMIN' <<<"$SAID" || fail "the line does not say how to get permission: $SAID"
    no_device_left
}

case_without_the_device_node_one_line_says_what_is_missing() {
    new_netns
    refuses 5 ip netns exec "$NETNS" unshare -m sh -c 'mount -t tmpfs none /dev/net && exec "$1" serve' - "$TIDEGATE"
    one_line "serve" "$SAID"
    contains "message" "$SAID" /dev/net/tun
    no_device_left
}
