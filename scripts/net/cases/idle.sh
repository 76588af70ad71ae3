# Idle connections: no system call, no wake-up, little memory. TIDEGATE_HELD sets how many are held.

case_idle_connections_make_no_system_call_and_no_wake_up() {
    left_out_without_offload "what is idle sends nothing that offload could change"
    local before after
    held_by_partners "$HELD"
    quiet_host
    # A packet of the host's own (neighbour discovery, multicast reports) is a reason to wake: then it is looked at again.
    for _ in 1 2 3 4 5; do
        before=$(host_packets) WOKE=$(wake_ups)
        ! gone "$PID" 3 || fail "serve ended"
        after=$(host_packets)
        [ "$before" != "$after" ] || break
    done
    same "packets in 3 s" "$before" "$after"
    same "voluntary switches, reads, writes and CPU ticks in 3 s" "$WOKE" "$(wake_ups)"
    say "    $HELD connections, 3 s"
    let_go
}

case_an_idle_echo_connection_takes_a_kilobyte_of_memory_at_most() {
    left_out_without_offload "what is idle sends nothing that offload could change"
    local before each
    held_by_partners 1000
    before=$(resident)
    hold "$HELD"
    each=$((($(resident) - before) * 1024 / HELD))
    say "    $each bytes each with $HELD connections"
    below "resident bytes for each idle connection" 1025 "$each"
    let_go
}

# held_by_partners COUNT: a server of the case's own, on a host without router solicitations, and so many connections to its echo, over
# each of which a byte went to and fro.
held_by_partners() {
    PARTNERS=()
    new_netns
    in_ns "$NETNS" sysctl -qw net.ipv6.conf.default.router_solicitations=0 net.ipv6.conf.default.dad_transmits=0
    start "$NETNS"
    hold "$1"
}

# hold COUNT: so many connections more; a process has 10,000 at most, from an address of its own.
hold() {
    local left=$1 part source
    while [ "$left" -gt 0 ]; do
        part=$((left < 10000 ? left : 10000)) left=$((left - part))
        source=10.77.0.$((10 + ${#PARTNERS[@]}))
        ip -n "$NETNS" address add "$source/24" dev tide0
        start_partner "$NETNS" "$TOOL" hold "$STACK4" 7 "$part" "$source"
        PARTNERS+=("$PARTNER_GO $PARTNER_SAYS")
        same "connections held" "held $part" "$RESULT"
    done
}

# let_go: the connections still echo.
let_go() {
    local partner
    for partner in "${PARTNERS[@]}"; do
        read -r PARTNER_GO PARTNER_SAYS <<<"$partner"
        read_on 60
        contains "connections that still echo" "$RESULT" "echoed"
    done
}

# quiet_host: returns when nothing crossed the device for a second.
quiet_host() {
    local before
    for _ in $(seq 30); do
        before=$(host_packets)
        ! gone "$PID" 1 || fail "serve ended"
        [ "$before" != "$(host_packets)" ] || return 0
    done
    fail "the host sends for 30 s"
}

host_packets() {
    in_ns "$NETNS" sed -n 's/^ *tide0: *\([0-9]* *[0-9]*\).*/received \1/p' /proc/net/dev
    ip -n "$NETNS" -s link show dev tide0 | awk 'prev ~ /TX/ { print "sent", $1, $2 } { prev = $0 }'
}

# wake_ups: what changes when any thread of the server runs.
wake_ups() {
    awk '/^voluntary_ctxt/ { sum += $2 } END { print "switches", sum }' "/proc/$PID"/task/*/status
    awk '/^sysc/ { print $1, $2 }' "/proc/$PID/io"
    awk '{ sub(/.*\) /, ""); print "ticks", $12, $13 }' "/proc/$PID/stat"
}

# resident: kilobytes.
resident() { awk '/^VmRSS/ { print $2 }' "/proc/$PID/status"; }
