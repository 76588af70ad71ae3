# nmap and hping3: what they send leaves the stack up and every packet accounted for, and what they learn is nothing.

# Hostile cases T6, T7 and P13: open, closed and unreachable are told apart rightly; numbers cannot be predicted. nmap 7.93 says
#   TCP Sequence Prediction: Difficulty=256 (Good luck!)
#   IP ID Sequence Generation: All zeros
#   No exact OS matches for host
# and its fingerprint SEQ(SP=100%GCD=1%ISR=10E%TI=Z%CI=Z%TS=21)
case_nmap_finds_the_open_ports_and_nothing_to_predict() {
    local said difficulty
    new_netns
    start "$NETNS"
    said=$(in_ns "$NETNS" timeout 60 nmap -n -Pn -v -sS -sU -O --max-os-tries 1 --max-retries 2 --host-timeout 50s \
        -p T:1-100,U:7,9,19,53,80 "$STACK4" 2>&1) || fail "nmap: $(tail -n 3 <<<"$said")"
    same "open ports" "7/tcp 9/tcp 19/tcp 80/tcp 7/udp" "$(open_in "$said")"
    contains "the other TCP ports" "$said" "Not shown: 96 closed tcp ports"
    contains "the other UDP ports" "$said" "4 closed udp ports"
    difficulty=$(sed -n 's/^TCP Sequence Prediction: Difficulty=\([0-9]*\).*/\1/p' <<<"$said")
    above "difficulty of TCP sequence prediction" 200 "$difficulty"
    contains "IP IDs" "$said" "IP ID Sequence Generation: All zeros"
    said=$(in_ns "$NETNS" timeout 30 nmap -n -Pn -6 -sS -p 1-100 "$STACK6" 2>&1)
    same "open ports on IPv6" "7/tcp 9/tcp 19/tcp 80/tcp" "$(open_in "$said")"
    intact
    balanced "$LOG"
}

# Hostile case M10: every pass with counted packets is answered as it must be, and counted as what it is.
case_hping3_passes_are_answered_and_counted() {
    local flags pid silent=()
    new_netns
    start "$NETNS"
    # To an open port: a SYN is answered, an ACK is reset, what is no beginning is dropped in silence.
    hping 200 200 -S -p 80
    hping 20 20 -A -p 80
    for flags in "-F" "-F -P -U" "" "-S -F" "-S -R" "-R" "-U" "-X -Y"; do
        # At once, since each waits a second for answers that must not come.
        # shellcheck disable=SC2086
        hping 20 0 $flags -p 80 &
        silent+=("$!")
    done
    hping 20 0 -R -p 81 &
    silent+=("$!")
    for pid in "${silent[@]}"; do wait "$pid" || exit 1; done
    # To a closed one everything but a RST is reset.
    for flags in "-S" "-A" "-F" "-F -P -U" ""; do
        # shellcheck disable=SC2086
        hping 20 20 $flags -p 81
    done
    # Sizes, and a datagram in pieces of 16 bytes: 7 for 108 bytes.
    hping 20 20 -1 -d 1400
    hping 20 20 -1 -f -d 100
    hping 20 20 -2 -p 7 -d 1400
    hping 20 20 -S -p 80 -d 1000
    intact
    same "datagrams put together" 20 "$(counter "$LOG" reassembled)"
    same "segments without a meaning to a listener" 120 "$(counter "$LOG" drop_tcp_flags)"
    balanced "$LOG" $((20 * 7))
}

# Hostile case T10: two seconds of all that hping3 can send, first from the host's own address, then from random ones.
case_hping3_floods_leave_the_stack_up() {
    local said
    new_netns
    start "$NETNS"
    for said in "-S -p 80" "-S -p 80 --rand-source" "-A -p 80 --rand-source" "-2 -p 7 -d 100 --rand-source" "-1 --rand-source"; do
        # shellcheck disable=SC2086
        in_ns "$NETNS" timeout 1 hping3 -q -n --flood $said "$STACK4" >/dev/null 2>&1 || true
    done
    intact
    balanced "$LOG"
    say "    $(counter "$LOG" ip_in) packets in, $(counter "$LOG" tcp_cookies_sent) cookies"
}

# open_in OUTPUT: the ports that nmap's table says are open.
open_in() { awk '$1 ~ /^[0-9]+\// && $2 == "open" { print $1 }' <<<"$1" | xargs; }

# hping SENT ANSWERED ARGUMENT...: that many packets, a millisecond apart, and that many answers.
hping() {
    local sent=$1 answered=$2 said
    shift 2
    said=$(in_ns "$NETNS" timeout 20 hping3 -q -n -c "$sent" -i u1000 "$@" "$STACK4" 2>&1) || true
    same "hping3 $* (${said##*---})" "$answered" "$(sed -n 's/.* \([0-9]*\) packets received.*/\1/p' <<<"$said")"
}

# Serves on, and stops at once.
intact() {
    same "HTTP afterwards" 200 "$(in_ns "$NETNS" curl -sS -m 10 -o /dev/null -w '%{http_code}' "http://$STACK4/hello")"
    same "echo afterwards" hello "$(echo hello | in_ns "$NETNS" timeout 5 nc -N "$STACK6" 7)"
    stop
}
