# Several queues, each with a stack and a thread of its own: the same bytes, whichever queue they come on.

# in_parallel COUNT COMMAND...: all must end well; prints what they print.
in_parallel() {
    local count=$1 number pids=()
    shift
    for ((number = 0; number < count; number++)); do
        "$@" &
        pids+=("$!")
    done
    for number in "${pids[@]}"; do wait "$number" || fail "one of $count failed: $*"; done
}

fetch_hash() { in_ns "$NETNS" curl -sS -f -m "$(bound_for $((ECHO_BYTES * 8)))" "http://$1/echo.bin" | hash_of; }
echo_hash() { in_ns "$NETNS" timeout "$(bound_for $((ECHO_BYTES * 8)))" nc -N "$1" 7 <"$2" | hash_of; }

# eight_at_once WHAT FILE COMMAND...: eight streams, each of which brings the file.
eight_at_once() {
    local what=$1 file=$2
    shift 2
    same "hashes of 8 $what" "8 $(cat "$file.sha256")" "$(in_parallel 8 "$@" | sort | uniq -c | xargs)"
}

case_several_queues_carry_the_same_bytes() {
    new_netns
    start "$NETNS" --queues 2 --http-root "$WWW"
    same "queues of the device" 2 "$(in_ns "$NETNS" ls /sys/class/net/tide0/queues | grep -c tx)"
    eight_at_once downloads "$ECHO_FILE" fetch_hash "$STACK4"
    eight_at_once downloads "$ECHO_FILE" fetch_hash "[$STACK6]"
    eight_at_once echoes "$ECHO_FILE" echo_hash "$STACK4" "$ECHO_FILE"
    eight_at_once echoes "$ECHO_FILE" echo_hash "$STACK6" "$ECHO_FILE"
    stop
    same "resets sent" 0 "$(counter "$LOG" tcp_rst_out)"
    same "connections" 32 "$(counter "$LOG" tcp_passive_opens)"
    balanced "$LOG"
}

case_several_queues_without_offload_carry_the_same_bytes() {
    new_netns
    start "$NETNS" --queues 2 --no-offload --http-root "$WWW"
    eight_at_once downloads "$ECHO_FILE" fetch_hash "$STACK4"
    eight_at_once echoes "$SMALL_FILE" echo_hash "$STACK6" "$SMALL_FILE"
    udp_bursts
    stop
    same "super-segments" "0 0" "$(counter "$LOG" device_read_supers) $(counter "$LOG" device_write_supers)"
    same "datagrams of the application in" 1800 "$(counter "$LOG" udp_in_datagrams)"
    balanced "$LOG"
}

case_several_queues_share_sessions_connections_and_datagrams() {
    local visit host last said
    new_netns
    start "$NETNS" --queues 2
    for visit in {1..9}; do
        last=$(in_ns "$NETNS" curl -sS -f -m 5 -b "$WORK/queues" -c "$WORK/queues" "http://$STACK4/session")
    done
    contains "the ninth visit, each over a connection of its own" "$last" "session: 9"
    for host in "$STACK4" "$STACK6"; do
        # In fragments, which come on another queue than the datagrams of the same ends.
        in_ns "$NETNS" ping -q -c 3 -i 0.2 -s 4000 "$host" >/dev/null || fail "no answer from $host"
        in_ns "$NETNS" timeout 20 "$TOOL" udp-echo "$host" 7 1 1472 9000 30000 || fail "no datagram from $host"
        in_ns "$NETNS" timeout 20 "$TOOL" udp-refused "$host" 4000 || fail "a closed port of $host was not refused"
    done
    udp_bursts
    said=$(in_ns "$NETNS" timeout 60 ab -q -s 20 -c 50 -n 2000 "http://$STACK4/hello" 2>&1) || fail "ab: $(tail -n 3 <<<"$said")"
    same "failed" 0 "$(awk '/^Failed requests:/ { print $3 }' <<<"$said")"
    stop
    same "resets sent" 0 "$(counter "$LOG" tcp_rst_out)"
    same "HTTP servers that had connections" 2 "$(grep -c 'stopped: [1-9][0-9]* connections.* requests' "$LOG")"
}

# The device keeps its addresses until the last thread has ended.
case_sigterm_lets_the_transfers_of_all_queues_finish() {
    local go=() says=() number
    new_netns
    ip -n "$NETNS" tuntap add dev tide0 mode tun multi_queue
    start "$NETNS" --queues 2 --http-root "$WWW" --grace 60s
    for number in {1..6}; do
        start_reader "$NETNS" "$STACK4" /echo.bin
        go+=("$PARTNER_GO") says+=("$PARTNER_SAYS")
    done
    kill -TERM "$PID"
    for number in {0..5}; do
        PARTNER_GO=${go[number]} PARTNER_SAYS=${says[number]}
        read_on "$(bound_for "$ECHO_BYTES")"
        same "the transfer" "complete $(cat "$ECHO_FILE.sha256")" "$RESULT"
    done
    gone "$PID" 5 || fail "still runs 5 s after the last transfer"
    wait "$PID" || fail "status $?"
    same "addresses left" 0 "$(ip -n "$NETNS" -4 -o address show dev tide0 | wc -l)"
}

case_a_device_of_one_queue_is_told_of() {
    new_netns
    ip -n "$NETNS" tuntap add dev single mode tun
    refuses 5 ip netns exec "$NETNS" "$TIDEGATE" serve --tun single --queues 2
    one_line "the error" "$SAID"
    contains "the remedy" "$SAID" "ip tuntap add single mode tun multi_queue"
    refuses 5 ip netns exec "$NETNS" "$TIDEGATE" serve --queues 0
    contains "the bounds" "$SAID" "1..=256"
}
