# Reaching the stack at all: ping in every size, closed ports, peers beyond the subnet, other names and devices.

case_ping_answers_ipv4() {
    same "packets lost" " 0% packet loss" "$(on_host timeout 20 ping -q -c 5 -i 0.05 "$STACK4" | grep -o ' 0% packet loss')"
}

case_ping_answers_ipv6() {
    same "packets lost" " 0% packet loss" "$(on_host timeout 20 ping -q -c 5 -i 0.05 "$STACK6" | grep -o ' 0% packet loss')"
}

case_ping_flood_loses_nothing() {
    local said
    said=$(on_host timeout 60 ping -q -f -c "$PING_FLOOD" "$STACK4")
    contains "ping -f" "$said" "$PING_FLOOD received, 0% packet loss"
}

case_ping_of_60000_bytes_is_reassembled_and_answered_ipv4() {
    contains "ping -s 60000" "$(on_host timeout 20 ping -q -c 5 -i 0.05 -s 60000 "$STACK4")" "5 received, 0% packet loss"
}

case_ping_of_60000_bytes_is_reassembled_and_answered_ipv6() {
    contains "ping -s 60000" "$(on_host timeout 20 ping -q -c 5 -i 0.05 -s 60000 "$STACK6")" "5 received, 0% packet loss"
}

case_closed_tcp_port_refuses_at_once() {
    local address
    for address in "$STACK4" "$STACK6"; do
        refuses 10 ip netns exec "$NS" nc -zv "$address" 81
        contains "nc" "$SAID" "refused"
    done
}

case_closed_udp_port_is_unreachable_at_once() {
    on_host timeout 10 "$TOOL" udp-refused "$STACK4" 81
    on_host timeout 10 "$TOOL" udp-refused "$STACK6" 81
}

case_a_client_beyond_the_subnet_is_answered_and_no_route_is_touched() {
    local server client before
    new_netns && server=$NETNS
    new_netns && client=$NETNS
    join_by_router "$server" "$client"
    before=$(routes_beyond_tide "$server")
    start "$server"
    same "routes of others while serving" "$before" "$(routes_beyond_tide "$server")"
    same "IPv4" 200 "$(in_ns "$client" curl -sS -m 10 -o /dev/null -w '%{http_code}' "http://$STACK4/hello")"
    same "IPv6" 200 "$(in_ns "$client" curl -sS -m 10 -o /dev/null -w '%{http_code}' -g "http://[$STACK6]/hello")"
    contains "ping" "$(in_ns "$client" timeout 10 ping -q -c 2 -i 0.05 "$STACK4")" " 0% packet loss"
    stop
    same "routes after" "$before" "$(routes_beyond_tide "$server")"
}

case_two_instances_serve_side_by_side() {
    local first
    new_netns
    start "$NETNS" && first=$PID
    start "$NETNS" --tun tide1 --host-addr 10.78.0.1/24 --addr 10.78.0.2 --host-addr6 fd78::1/64 --addr6 fd78::2
    same "ready line" "ready tide1 10.78.0.2 fd78::2" "$LINE"
    for address in "$STACK4" 10.78.0.2 "[$STACK6]" "[fd78::2]"; do
        same "$address" 200 "$(in_ns "$NETNS" curl -sS -m 10 -o /dev/null -w '%{http_code}' -g "http://$address/hello")"
    done
    stop
    has_device "$NETNS" tide0 || fail "the first instance lost its device when the second ended"
    PID=$first && stop
}

case_a_smaller_mtu_is_set_and_used() {
    new_netns
    start "$NETNS" --mtu 1280
    contains "device" "$(ip -n "$NETNS" link show dev tide0)" "mtu 1280"
    same "echo" "$(cat "$ECHO_FILE.sha256")" "$(in_ns "$NETNS" timeout "$(bound_for "$ECHO_BYTES")" nc -N "$STACK4" 7 <"$ECHO_FILE" | hash_of)"
    stop
}

# A veth pair between the namespaces; the first forwards for the second.
join_by_router() {
    ip link add veth0 netns "$1" type veth peer name veth0 netns "$2"
    # Without link-local addresses, whose routes appear at their own pace.
    ip -n "$1" link set veth0 addrgenmode none
    ip -n "$2" link set veth0 addrgenmode none
    ip -n "$1" address add 192.0.2.1/24 dev veth0
    ip -n "$2" address add 192.0.2.2/24 dev veth0
    ip -n "$1" address add 2001:db8::1/64 dev veth0 nodad
    ip -n "$2" address add 2001:db8::2/64 dev veth0 nodad
    ip -n "$1" link set veth0 up
    ip -n "$2" link set veth0 up
    ip -n "$2" route add default via 192.0.2.1
    ip -n "$2" route add default via 2001:db8::1
    in_ns "$1" sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
}

# All routes that do not belong to a tidegate device.
routes_beyond_tide() {
    ip -n "$1" route show table all | grep -v 'dev tide' | sort
    ip -n "$1" -6 route show table all | grep -v 'dev tide' | sort
}
