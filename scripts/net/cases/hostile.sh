# Crafted packets from addresses that no kernel owns (scripts/net/hostile.py): each family of attack against a server of its own,
# which must still be up, answering, and able to account for every packet afterwards.

HOSTILE=$ROOT/scripts/net/hostile.py

# Hostile case T10: all of 100,000 spoofed SYNs are answered, most with a cookie, and an honest client is served throughout.
case_a_flood_of_spoofed_syns_leaves_memory_flat_and_an_honest_client_served() {
    local before flood served=0
    crafted_server
    before=$(resident)
    in_ns "$NETNS" timeout 120 "$HOSTILE" syn-flood "$SPOOFED_SYNS" >/dev/null &
    flood=$!
    PIDS+=("$flood")
    while kill -0 "$flood" 2>/dev/null; do
        same "an honest client during the flood" 200 "$(hello)"
        served=$((served + 1))
    done
    wait "$flood" || fail "the flood was not answered"
    below "KiB that the flood took" 8192 $(($(resident) - before))
    say "    $served honest requests meanwhile, $(($(resident) - before)) KiB more than the $before before"
    above "honest requests served during the flood" 4 "$served"
    still_up
    above "SYNs answered with a cookie" $((SPOOFED_SYNS * 9 / 10)) "$(counter "$LOG" tcp_cookies_sent)"
    above "connections begun by a cookie" 0 "$(counter "$LOG" tcp_cookies_accepted)"
}

# Hostile case T10: 10,000 half-open handshakes are held within a bound, their SYN-ACKs sent again, and a RST frees each. That they
# expire by themselves after their minute shows `ten_thousand_half_open_entries_expire` in virtual time.
case_ten_thousand_half_open_handshakes_are_held_and_others_served() {
    local before
    crafted_server
    before=$(resident)
    start_partner "$NETNS" "$HOSTILE" half-open 10000
    same "the half-open crowd" held "$RESULT"
    below "KiB that 10,000 half-open handshakes take" 12288 $(($(resident) - before))
    say "    $(($(resident) - before)) KiB for 10,000 half-open handshakes"
    same "HTTP meanwhile" 200 "$(hello)"
    same "echo meanwhile" hello "$(echo hello | in_ns "$NETNS" timeout 5 nc -N "$STACK4" 7)"
    read_on 30
    same "the crowd" gone "$RESULT"
    still_up
    above "handshakes ended by a RST" 9999 "$(counter "$LOG" tcp_rst_in)"
}

# Hostile case P9: 100,000 first fragments of datagrams that never end; the oldest make room, an honest datagram is put together.
case_a_flood_of_first_fragments_is_bounded() {
    local before
    crafted_server
    before=$(resident)
    crafted fragment-flood 100000
    below "KiB that the flood took" 8192 $(($(resident) - before))
    still_up 100008
    above "fragments whose datagram made room" 90000 "$(counter "$LOG" drop_fragment_limit)"
}

# Hostile cases T1 and T4: a RST in the window is challenged once and the connection lives, the exact one ends it; that one
# connection's challenge is spent says nothing about another's.
case_a_blind_reset_is_challenged_and_an_exact_one_ends() {
    crafted_server
    crafted blind-resets
    still_up
    same "RSTs in the window, not exact" 8 "$(counter "$LOG" drop_tcp_rst)"
    same "RSTs that ended a connection" 2 "$(counter "$LOG" tcp_rst_in)"
}

# Hostile case T3: data with an acknowledgement that cannot be is not delivered.
case_blind_data_is_not_delivered() {
    crafted_server
    crafted blind-data
    still_up
    same "impossible acknowledgements" 8 "$(counter "$LOG" drop_tcp_bad_ack)"
}

# Hostile case T2: a SYN is challenged; a peer that did reboot clears the old connection by its RST and gets a new one.
case_a_blind_syn_is_challenged_and_a_rebooted_peer_gets_in() {
    crafted_server
    crafted blind-syn
    still_up
}

# Hostile cases P5 and M13: LAND over both versions, TCP, UDP and ICMP; UDP echo between echoes.
case_land_packets_and_echo_loops_are_dropped_in_silence() {
    crafted_server
    crafted land
    still_up
}

# Hostile cases P6, P11 and M13: martians, groups as source or destination, dead hop limits, wrong checksums, port 0.
case_martians_and_broadcasts_are_never_answered() {
    crafted_server
    crafted martians
    still_up
}

# Hostile case P2: broken option lists and source routes are dropped, other IPv4 options do no harm and come back in nothing.
case_ip_options_are_dropped_or_ignored() {
    crafted_server
    crafted ip-options
    still_up
}

# Hostile case P8: teardrop and its kin over both versions.
case_overlapping_fragments_spoil_their_datagram_only() {
    crafted_server
    crafted overlapping-fragments
    same "a long ping by the kernel" "3 received" "$(in_ns "$NETNS" timeout 20 ping -q -c 3 -i 0.05 -s 20000 "$STACK4" | grep -o '3 received')"
    stop
    # From the one that does not fit on, all of its datagram: 27 over either version.
    same "fragments dropped" 54 "$(counter "$LOG" drop_fragment_invalid)"
}

# Hostile case P7: a datagram that would end beyond 65,535 bytes.
case_a_ping_of_death_does_no_harm() {
    crafted_server
    crafted ping-of-death
    same "the longest ping by the kernel" "1 received" "$(in_ns "$NETNS" timeout 20 ping -q -c 1 -s 65507 "$STACK4" | grep -o '1 received')"
    stop
}

# Hostile case M3: segments keep a floor of 48 bytes, options included.
case_a_client_with_a_tiny_mss_gets_its_page() {
    crafted_server --no-offload
    crafted tiny-mss
    still_up
}

# Hostile case M4: clients that ask for much, read nothing and never leave cost their send buffers (4 MiB each) and nobody else's
# service. That an orphan among them is given up shows `an_orphan_does_not_probe_for_ever` in virtual time.
case_clients_that_never_read_cost_no_more_than_their_buffers() {
    local before
    crafted_server --http-root "$WWW"
    before=$(resident)
    start_partner "$NETNS" "$HOSTILE" stalled 64 /big.bin
    same "the stalled clients" stalled "$RESULT"
    same "a download meanwhile" "$(cat "$SMALL_FILE.sha256")" "$(in_ns "$NETNS" curl -sS -f -m 60 "http://$STACK4/small.bin" | hash_of)"
    below "KiB for 64 clients that read nothing" $((64 * 4400)) $(($(resident) - before))
    say "    $(($(resident) - before)) KiB for 64 clients that read nothing"
    read_on 20
    same "the stalled clients" gone "$RESULT"
    still_up
    above "RSTs of those who left" 63 "$(counter "$LOG" tcp_rst_in)"
}

# Hostile case M10: null, Xmas and FIN scans, SYN with FIN or RST, ACKs out of nothing, data on a SYN, a second SYN.
case_handshake_oddities_open_nothing() {
    crafted_server
    crafted handshake-oddities
    still_up
}

# Hostile case M10; RFC 9293 section 3.5 (MUST-10): a server whose SYN crosses ours.
case_a_simultaneous_open_fetches_a_page() {
    odd_server simultaneous
}

# Hostile case M10: a server that answers the SYN with an ACK and begins a handshake of its own.
case_a_split_handshake_fetches_a_page() {
    odd_server split
}

# crafted_server [ARGUMENT...]: a server in a namespace whose kernel forwards nothing, so that it takes no part in what is crafted,
# and puts no timestamp into its segments, which a blind attacker could not know.
crafted_server() {
    new_netns
    in_ns "$NETNS" sysctl -qw net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0 net.ipv4.tcp_timestamps=0
    start "$NETNS" "$@"
}

# crafted COMMAND [ARGUMENT...]: says itself what went wrong.
crafted() { in_ns "$NETNS" timeout 60 "$HOSTILE" "$@" || exit 1; }

hello() { in_ns "$NETNS" curl -sS -m 10 -o /dev/null -w '%{http_code}' "http://$STACK4/hello"; }

# Resident memory of the server in KiB.
resident() { awk '/^VmRSS:/ { print $2 }' "/proc/$PID/status"; }

# still_up [FRAGMENTS]: serves both versions, stops at once, and its counters add up.
still_up() {
    same "HTTP afterwards" 200 "$(hello)"
    same "ping afterwards" "1 received" "$(in_ns "$NETNS" timeout 5 ping -q -c 1 "$STACK6" | grep -o '1 received')"
    stop
    balanced "$LOG" "$@"
}

# The device is made before, so that not one packet of the handshake is missed.
odd_server() {
    new_netns
    in_ns "$NETNS" sysctl -qw net.ipv4.ip_forward=0
    ip -n "$NETNS" tuntap add dev tg9 mode tun
    ip -n "$NETNS" address add "$CLIENT_HOST4/24" dev tg9
    ip -n "$NETNS" link set tg9 up
    crafted odd-server "$1" tg9 "$TIDEGATE"
}
