# tidegate as the client, the demo without a device, and a browser as the peer.

case_demo_prints_the_handshake_and_the_close_without_privilege() {
    local said
    said=$(cd / && timeout 30 setpriv --reuid=65534 --regid=65534 --clear-groups "$TIDEGATE" demo)
    for part in SYN ACK FIN ESTABLISHED TIME-WAIT; do contains "ladder" "$said" "$part"; done
}

case_demo_with_a_seed_prints_the_same_ladder() {
    local first second
    first=$(timeout 60 "$TIDEGATE" demo --loss 10% --delay 20ms --seed 7)
    second=$(timeout 60 "$TIDEGATE" demo --loss 10% --delay 20ms --seed 7)
    same "the second ladder" "$(hash_of <<<"$first")" "$(hash_of <<<"$second")"
    [ "$first" != "$(timeout 60 "$TIDEGATE" demo --loss 10% --delay 20ms --seed 8)" ] || fail "the seed changes nothing"
}

case_tidegate_ping_reaches_the_host() {
    new_netns
    contains "ping" "$(in_ns "$NETNS" timeout 20 "$TIDEGATE" ping -c 3 "$CLIENT_HOST4" 2>&1)" "3 received"
    contains "ping" "$(in_ns "$NETNS" timeout 20 "$TIDEGATE" ping -c 3 "$CLIENT_HOST6" 2>&1)" "3 received"
    no_device_left
}

case_tidegate_get_fetches_from_the_host() {
    new_netns
    start_command "$NETNS" "$TOOL" serve-files "$WWW" 8000
    same "by IPv4" "$(cat "$ECHO_FILE.sha256")" "$(tidegate_get "http://$CLIENT_HOST4:8000/echo.bin")"
    same "by IPv6" "$(cat "$ECHO_FILE.sha256")" "$(tidegate_get "http://[$CLIENT_HOST6]:8000/echo.bin")"
    no_device_left
}

case_tidegate_get_asks_the_system_for_names() {
    new_netns
    start_command "$NETNS" "$TOOL" serve-files "$WWW" 8000
    echo "$CLIENT_HOST4 harbour.test" >"$WORK/hosts"
    # shellcheck disable=SC2016
    same "by name" "$(cat "$ECHO_FILE.sha256")" "$(in_ns "$NETNS" timeout 60 unshare -m sh -c \
        'mount --bind "$1" /etc/hosts && exec "$2" get http://harbour.test:8000/echo.bin' - "$WORK/hosts" "$TIDEGATE" | hash_of)"
}

case_tidegate_get_of_a_refusing_host_fails_with_one_line() {
    new_netns
    refuses 20 ip netns exec "$NETNS" "$TIDEGATE" get "http://$CLIENT_HOST4:8001/"
    grep -qi refused <<<"$SAID" || fail "the message does not say refused: $SAID"
}

case_a_browser_shows_the_start_page() {
    local page
    new_netns
    start "$NETNS"
    page=$(browse "http://$STACK4/") || fail "chromium failed: $(tail -n 3 "$WORK/chromium.log")"
    contains "page" "$page" tidegate
    contains "page" "$page" "</html>"
    page=$(browse "http://[$STACK6]/query?name=%E6%BD%AE%E9%97%A8") || fail "chromium failed on IPv6"
    contains "page" "$page" 潮门
    stop
}

tidegate_get() {
    in_ns "$NETNS" timeout "$(bound_for "$ECHO_BYTES")" "$TIDEGATE" get "$1" | hash_of
}

# Headless, without its own traffic, with a profile that lives as long as the case.
browse() {
    in_ns "$NETNS" timeout 60 chromium --headless --no-sandbox --disable-gpu --disable-quic --no-first-run \
        --disable-background-networking --disable-component-update --disable-sync --disable-dev-shm-usage \
        --user-data-dir="$(mktemp -d "$WORK/chromium.XXXXXX")" --dump-dom "$1" 2>"$WORK/chromium.log"
}
