# Load by ab: many requests over kept connections and over new ones, none of which may fail.

case_ab_over_kept_connections_fails_no_request() {
    bench "$AB_KEEPALIVE" -k "http://$STACK4/hello"
}

case_ab_over_new_connections_fails_no_request() {
    bench "$AB_NEW" "http://$STACK4/hello"
}

case_ab_over_ipv6_fails_no_request() {
    bench "$AB_NEW" -k "http://[$STACK6]/hello"
}

# bench REQUESTS ARGUMENT...: 100 at a time.
bench() {
    local requests=$1 said
    shift
    said=$(on_host timeout 180 ab -q -s 20 -c 100 -n "$requests" "$@" 2>&1) || fail "ab: $(tail -n 3 <<<"$said")"
    same "completed" "$requests" "$(awk '/^Complete requests:/ { print $3 }' <<<"$said")"
    same "failed" 0 "$(awk '/^Failed requests:/ { print $3 }' <<<"$said")"
    same "not 2xx" "" "$(grep '^Non-2xx' <<<"$said" || true)"
    say "    $(grep '^Requests per second' <<<"$said")"
}
