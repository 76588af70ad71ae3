# What the namespace cases share: namespaces, servers in them, bounded waits and checks.
#
# Sourced by scripts/net/run. One `tidegate serve` runs for all cases that only talk to a server ($NS, $SERVER_LOG); a case
# that needs its own calls `new_netns` and `start`. Cleanup ends only processes started here and deletes only namespaces
# made here. Waits are for events (a line, the end of a process), each bounded; nothing sleeps for a guess.

# Sizes; scripts/test sets them all from its table.
FILE_BYTES=${TIDEGATE_FILE_BYTES:-1073741824}
ECHO_BYTES=${TIDEGATE_ECHO_BYTES:-104857600}
SMALL_BYTES=2000000
PARALLEL=${TIDEGATE_PARALLEL:-200}
PING_FLOOD=${TIDEGATE_PING_FLOOD:-2000}
AB_KEEPALIVE=${TIDEGATE_AB_KEEPALIVE:-50000}
AB_NEW=${TIDEGATE_AB_NEW:-10000}
STARTS=${TIDEGATE_STARTS:-50}
HELD=${TIDEGATE_HELD:-10000}
SPOOFED_SYNS=${TIDEGATE_SPOOFED_SYNS:-100000}
# A mean payload per device read or write above this shows that super-segments stay whole.
WHOLE_SEGMENT_BYTES=20000

HOST4=10.77.0.1 HOST6=fd77::1 STACK4=10.77.0.2 STACK6=fd77::2
# The host side of the devices that `tidegate ping` and `tidegate get` make for themselves.
CLIENT_HOST4=10.78.0.1 CLIENT_HOST6=fd78::1
READY="ready tide0 $STACK4 $STACK6"

# The status of a case that left itself out.
LEFT_OUT=77

NAMESPACES=()
PIDS=()

# --- namespaces ---

# new_netns: makes a namespace of this process's own and sets NETNS to its name.
new_netns() {
    NETNS=tg-$BASHPID-${#NAMESPACES[@]}
    ip netns add "$NETNS"
    NAMESPACES+=("$NETNS")
    ip -n "$NETNS" link set lo up
    # Machines with BBR as default pace, which says nothing about this stack. Reno where CUBIC is not allowed in here.
    in_ns "$NETNS" sysctl -qw net.ipv4.tcp_congestion_control=cubic 2>/dev/null ||
        in_ns "$NETNS" sysctl -qw net.ipv4.tcp_congestion_control=reno
}

in_ns() {
    local ns=$1
    shift
    ip netns exec "$ns" "$@"
}

# on_host COMMAND...: on the host side of the shared server.
on_host() { in_ns "$NS" "$@"; }

has_device() { ip -n "$1" link show dev "$2" >/dev/null 2>&1; }

# --- servers ---

# start NS [ARGUMENT...]: `tidegate serve` in the namespace, with the switches in TIDEGATE_SERVE besides; returns when it is ready. Sets PID,
# LINE (the ready line) and LOG.
start() {
    local ns=$1 more
    shift
    # The program refuses what is given twice.
    for more in ${TIDEGATE_SERVE:-}; do
        [[ " $* " == *" $more "* ]] || set -- "$@" "$more"
    done
    start_command "$ns" "$TIDEGATE" serve "$@"
}

# start_command NS COMMAND...: any command that prints one line when it is ready. Fails with a message when it does not.
start_command() {
    local ns=$1 out fd
    shift
    out=$(mktemp -u "$WORK/out.XXXXXX")
    LOG=$(mktemp "$WORK/log.XXXXXX")
    mkfifo "$out"
    ip netns exec "$ns" "$@" >"$out" 2>"$LOG" </dev/null &
    PID=$!
    PIDS+=("$PID")
    # Stays open until this shell ends, so that a later line on stdout finds a reader.
    exec {fd}<"$out"
    rm -f "$out"
    read -r -t 20 LINE <&"$fd" || {
        say "    no ready line from '$*': $(tail -n 3 "$LOG" | tr '\n' '|')"
        return 1
    }
}

# start_partner NS COMMAND...: a program that stops midway, says so in a line, and waits for one. Returns when it does, with the
# line in RESULT; `read_on SECONDS` lets it go on and sets RESULT to its last line.
start_partner() {
    local ns=$1 go out
    shift
    go=$(mktemp -u "$WORK/go.XXXXXX") out=$(mktemp -u "$WORK/out.XXXXXX")
    mkfifo "$go" "$out"
    # Read and write, or this open would wait for the client while the client waits for us.
    exec {PARTNER_GO}<>"$go"
    ip netns exec "$ns" "$@" <"$go" >"$out" &
    PIDS+=("$!")
    exec {PARTNER_SAYS}<"$out"
    rm -f "$go" "$out"
    read -r -t 30 RESULT <&"$PARTNER_SAYS" || fail "nothing came from $*"
}

read_on() {
    echo go >&"$PARTNER_GO"
    read -r -t "$1" RESULT <&"$PARTNER_SAYS" || fail "the partner did not end within $1 s"
}

# start_reader NS PORT-80-HOST PATH: a partner that fetches a file and stops after the first megabyte; in the end its RESULT is
# `complete HASH` or `cut BYTES`.
start_reader() {
    start_partner "$1" "$TOOL" reader "$2" "$3"
    same "the reader" midway "$RESULT"
}

# gone PID SECONDS: the process ends within the time. It must be a child of this shell; `wait` gives its status after.
gone() {
    timeout "$2" tail -s 0.02 --pid="$1" -f /dev/null
}

# stop: SIGTERM to the server of the last `start`; it must end with status 0 and within a second, since it is idle.
stop() {
    kill -TERM "$PID"
    gone "$PID" "${1:-1}" || fail "serve still runs ${1:-1} s after SIGTERM"
    wait "$PID" || fail "serve ended with status $?: $(tail -n 3 "$LOG" | tr '\n' '|')"
}

# cleanup: ends what this shell started and deletes what it made.
cleanup() {
    set +e
    trap - ERR
    local pid ns
    for pid in "${PIDS[@]}"; do
        kill -TERM "$pid" 2>/dev/null && { gone "$pid" 3 || kill -KILL "$pid" 2>/dev/null; }
        wait "$pid" 2>/dev/null
    done
    for ns in "${NAMESPACES[@]}"; do ip netns delete "$ns"; done
    PIDS=() NAMESPACES=()
}

# --- checks: each prints what was expected and what came, and ends the case ---

fail() {
    say "    $*"
    exit 1
}

# left_out_without_offload WHY: ends a case that shows nothing when every `serve` runs without offload; it is counted apart.
left_out_without_offload() {
    case " ${TIDEGATE_SERVE:-} " in
        *" --no-offload "*) say "    $*" && exit "$LEFT_OUT" ;;
    esac
}

# same WHAT EXPECTED ACTUAL
same() {
    [ "$2" = "$3" ] || fail "$1: expected '$2', got '$3'"
}

# contains WHAT TEXT PART
contains() {
    case $2 in
        *"$3"*) ;;
        *) fail "$1: '$3' is not in: $(head -c 400 <<<"$2")" ;;
    esac
}

# above WHAT BOUND NUMBER
above() {
    [ "$3" -gt "$2" ] || fail "$1: expected more than $2, got $3"
}

# below WHAT BOUND NUMBER
below() {
    [ "$3" -lt "$2" ] || fail "$1: expected less than $2, got $3"
}

# refuses SECONDS COMMAND...: fails by itself, not by the bound. Sets SAID to all it printed.
refuses() {
    local bound=$1 status=0
    shift
    SAID=$(timeout "$bound" "$@" 2>&1) || status=$?
    [ "$status" -ne 124 ] || fail "no answer within $bound s: $*"
    [ "$status" -ne 0 ] || fail "succeeded, but should not: $*"
}

# no_device_left: the namespace has its loopback and nothing else.
no_device_left() {
    same "devices left" "lo" "$(ip -n "$NETNS" -o link | awk -F': ' '{ print $2 }' | xargs)"
}

# one_line WHAT TEXT
one_line() {
    same "$1: lines printed" 1 "$(grep -c '' <<<"$2")"
}

# --- data ---

hash_of() { openssl dgst -sha256 -r | cut -d' ' -f1; }

# bound_for BYTES: a time bound for moving that many bytes: 20 s, and 1 s more for each 10 MiB.
bound_for() { echo $((20 + $1 / 10485760)); }

# random_file PATH BYTES: made once and kept with its hash beside it.
random_file() {
    if [ "$(stat -c %s "$1" 2>/dev/null)" != "$2" ] || [ ! -s "$1.sha256" ]; then
        head -c "$2" /dev/urandom >"$1"
        hash_of <"$1" >"$1.sha256"
    fi
}

# counter LOG NAME: a value from the line `counters name=value …` that serve prints on stderr when it ends.
counter() {
    local value
    value=$(sed -n 's/^counters //p' "$1" | tr ' ' '\n' | sed -n "s/^$2=//p")
    [ -n "$value" ] || fail "serve printed no counter '$2' when it ended"
    echo "$value"
}

# balanced LOG [FRAGMENTS]: no packet is lost from the books. What came in was dropped by IP for a reason, or was one of so many
# fragments (a datagram put together counts once), or reached TCP, UDP or ICMP; what went out came from one of them. None of the
# answers may have been longer than the MTU: fragments sent count for themselves.
balanced() {
    sed -n 's/^counters //p' "$1" | tr ' ' '\n' | awk -F= -v fragments="${2:-0}" '
        { n[$1] = $2 }
        /^drop_(ip_|offload_invalid|udp_|icmp_malformed)/ { dropped += $2 }
        /^drop_tcp_/ { tcp += $2 }
        END {
            in_ = dropped + fragments - n["reassembled"] + n["tcp_in"] + n["udp_in"] + n["icmp_in"]
            out = n["tcp_out"] + n["udp_out"] + n["icmp_out"] - n["drop_output_queue_full"]
            if (n["ip_in"] != in_) printf "    packets in: %d, accounted for: %d\n", n["ip_in"], in_
            if (n["ip_out"] != out) printf "    packets out: %d, accounted for: %d\n", n["ip_out"], out
            if (tcp > n["tcp_in"]) printf "    segments in: %d, dropped: %d\n", n["tcp_in"], tcp
            exit n["ip_in"] != in_ || n["ip_out"] != out || tcp > n["tcp_in"]
        }' >&2 || fail "the counters do not add up"
}

# mean LOG SUM COUNT: the mean of two counters, 0 without any.
mean() {
    local sum count
    sum=$(counter "$1" "$2") && count=$(counter "$1" "$3") || exit 1
    echo $((count > 0 ? sum / count : 0))
}
