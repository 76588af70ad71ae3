# `tidegate link`: the kernel at both ends of a wire with faults; and the same wire before the stack's own device.

WIRE_A=10.9.0.1 WIRE_B=10.9.0.2

# wire [OPTION...]: `tidegate link` between two new namespaces, FAR and NEAR, with an address each. Sets PID and LOG.
wire() {
    new_netns && FAR=$NETNS
    new_netns && NEAR=$NETNS
    start_command "$NEAR" "$TIDEGATE" link wa wb "$@"
    same "ready line" "ready wa wb" "$LINE"
    # The process holds the device's descriptor, wherever the device goes.
    ip -n "$NEAR" link set wb netns "$FAR"
    lay "$NEAR" wa "$WIRE_A" "$WIRE_B"
    lay "$FAR" wb "$WIRE_B" "$WIRE_A"
}

# lay NS DEVICE OWN PEER: an address, without IPv6, whose neighbours' chatter would take draws.
lay() {
    in_ns "$1" sysctl -qw "net.ipv6.conf.$2.disable_ipv6=1"
    ip -n "$1" addr add "$3" peer "$4" dev "$2"
    ip -n "$1" link set "$2" up
}

# rtt_min PING-OUTPUT: in whole milliseconds
rtt_min() { sed -n 's|^rtt min/avg/max/mdev = \([0-9]*\)\..*|\1|p' <<<"$1"; }

# received PING-OUTPUT
received() { sed -n 's/.* \([0-9]*\) received.*/\1/p' <<<"$1"; }

case_a_wire_delays_and_loses_what_it_is_told_to() {
    local said lost
    wire --delay 20ms --ab "loss 20%" --ba "delay 30ms"
    said=$(in_ns "$NEAR" ping -q -c 200 -i 0.01 -W 2 "$WIRE_B") || fail "nothing came back"
    above "round trip, ms" 49 "$(rtt_min "$said")"
    stop
    lost=$(counter "$LOG" ab_lost)
    same "answers" "$((200 - lost))" "$(received "$said")"
    above "echo requests lost of 200" 15 "$lost" && below "echo requests lost of 200" 70 "$lost"
    same "packets back" "$((200 - lost))" "$(counter "$LOG" ba_delivered)"
}

case_bytes_are_equal_over_a_wire_with_every_fault() {
    local name
    wire --delay 3ms --jitter 1ms --rate 100mbit --queue 50ms --loss 1% --burst 0.5%/3 --reorder 1%/2ms --dup 1% --corrupt 1% --seed 5
    start_wire_server
    same "the file" "$(cat "$SMALL_FILE.sha256")" "$(in_ns "$NEAR" curl -sS -m 100 "http://$WIRE_B:8080/small.bin" | hash_of)"
    stop
    for name in lost reordered duplicated corrupted; do
        above "packets $name" 0 "$(counter "$LOG" "ba_$name")"
    done
    # Two megabytes are 1,370 packets or more, however large the kernel's own were.
    above "packets on the wire" 1370 "$(counter "$LOG" ba_packets)"
}

# Two megabytes at 8 Mbit/s take two seconds, but for what TCP does not need to send twice.
case_a_wire_is_as_fast_as_its_rate() {
    local started
    wire --delay 1ms --ba "rate 8mbit queue 100ms"
    start_wire_server
    started=$(date +%s%N)
    same "the file" "$(cat "$SMALL_FILE.sha256")" "$(in_ns "$NEAR" curl -sS -m 60 "http://$WIRE_B:8080/small.bin" | hash_of)"
    above "milliseconds" 1999 $((($(date +%s%N) - started) / 1000000))
    stop
}

# start_wire_server: the kernel's HTTP server in FAR; keeps PID and LOG.
start_wire_server() {
    local pid=$PID log=$LOG
    start_command "$FAR" "$TOOL" serve-files "$WWW" 8080
    PID=$pid LOG=$log
}

case_a_wire_ends_with_its_time_or_a_signal_and_leaves_no_device() {
    wire --for 300ms
    gone "$PID" 5 || fail "still runs 5 s after its time"
    wait "$PID" || fail "status $?"
    wire
    kill -INT "$PID"
    gone "$PID" 1 || fail "still runs 1 s after SIGINT"
    wait "$PID" || fail "status $?"
    NETNS=$NEAR no_device_left
    NETNS=$FAR no_device_left
}

case_a_wire_whose_device_is_removed_says_so() {
    local status=0
    wire
    ip -n "$FAR" link delete wb
    gone "$PID" 2 || fail "still runs 2 s after its device went"
    wait "$PID" || status=$?
    same "status" 1 "$status"
    one_line "stderr" "$(cat "$LOG")"
    contains "stderr" "$(cat "$LOG")" "device wb is gone"
}

case_a_wire_that_cannot_be_says_so_in_one_line() {
    new_netns
    refuses 5 ip netns exec "$NETNS" "$TIDEGATE" link wa wa
    one_line "the same device twice" "$SAID"
    contains "the same device twice" "$SAID" "in use"
    refuses 5 ip netns exec "$NETNS" "$TIDEGATE" link wa lo
    contains "not a TUN device" "$SAID" "lo exists already"
    refuses 5 ip netns exec "$NETNS" "$TIDEGATE" link wa wb --delay 25
    contains "a time without a unit" "$SAID" "a time ends in us, ms or s"
    no_device_left
}

case_serve_has_the_same_wire_before_its_stack() {
    local said
    new_netns
    start "$NETNS" --http-root "$WWW" --link "delay 10ms loss 1% reorder 1%/3ms dup 1% corrupt 1%" --link-in "delay 15ms"
    said=$(in_ns "$NETNS" ping -q -c 20 -i 0.02 -W 2 "$STACK4") || fail "nothing came back"
    above "round trip, ms" 24 "$(rtt_min "$said")"
    same "the file" "$(cat "$SMALL_FILE.sha256")" "$(in_ns "$NETNS" curl -sS -m 100 "http://$STACK4/small.bin" | hash_of)"
    stop
    contains "counters of the wire" "$(grep '^link ' "$LOG")" " out_corrupted="
    no_device_left
}
