# HTTP by curl: files by hash, ranges, conditions, bodies, forms, cookies, connection reuse.

case_curl_fetches_a_large_file_whole_ipv4() {
    same "hash of $FILE_BYTES bytes" "$(cat "$BIG_FILE.sha256")" "$(fetch "$FILE_BYTES" "http://$STACK4/big.bin" | hash_of)"
}

case_curl_fetches_a_file_whole_ipv6() {
    same "hash of $ECHO_BYTES bytes" "$(cat "$ECHO_FILE.sha256")" "$(fetch "$ECHO_BYTES" "http://[$STACK6]/echo.bin" | hash_of)"
}

case_hello_is_answered_on_both_versions() {
    above "bytes" 0 "$(get "http://$STACK4/hello" | wc -c)"
    same "same answer" "$(get "http://$STACK4/hello")" "$(get "http://[$STACK6]/hello")"
}

case_a_missing_file_is_404_and_other_methods_are_refused() {
    same "missing" 404 "$(status "http://$STACK4/no-such-file")"
    same "outside the root" 404 "$(status --path-as-is "http://$STACK4/../../../../etc/passwd")"
    same "DELETE" 405 "$(status -X DELETE "http://$STACK4/big.bin")"
}

case_ranges_give_exactly_their_bytes() {
    cmp <(head -c 100 "$BIG_FILE") <(get -r 0-99 "http://$STACK4/big.bin")
    cmp <(tail -c 5 "$BIG_FILE") <(get -r -5 "http://$STACK4/big.bin")
    cmp <(tail -c +1001 "$BIG_FILE" | head -c 2000) <(get -r 1000-2999 "http://$STACK4/big.bin")
    same "status" 206 "$(status -r 0-99 "http://$STACK4/big.bin")"
    same "status beyond the end" 416 "$(status -r "$FILE_BYTES-" "http://$STACK4/big.bin")"
    contains "header" "$(get -I -r 0-99 "http://$STACK4/big.bin" | tr A-Z a-z)" "content-range: bytes 0-99/$FILE_BYTES"
}

case_a_broken_download_is_resumed() {
    local part=$WORK/part.bin
    head -c $((ECHO_BYTES / 3)) "$ECHO_FILE" >"$part"
    get -C - -o "$part" "http://$STACK4/echo.bin"
    cmp "$ECHO_FILE" "$part"
    rm -f "$part"
}

case_head_gives_the_headers_and_no_body() {
    local headers
    headers=$(get -I "http://$STACK4/big.bin" | tr -d '\r' | tr A-Z a-z)
    contains "headers" "$headers" "content-length: $FILE_BYTES"
    contains "headers" "$headers" "content-type: "
    contains "headers" "$headers" "accept-ranges: bytes"
}

case_an_unchanged_file_is_not_sent_again() {
    same "status" 304 "$(status -z "$(date -R)" "http://$STACK4/big.bin")"
    same "status of an older copy" 200 "$(status -z '2001-01-01' -r 0- "http://$STACK4/echo.bin" | sed s/206/200/)"
}

case_a_posted_body_comes_back_whole() {
    local back
    back=$(fetch "$ECHO_BYTES" -X POST -T "$ECHO_FILE" "http://$STACK4/echo" | hash_of)
    same "hash of $ECHO_BYTES bytes" "$(cat "$ECHO_FILE.sha256")" "$back"
    back=$(fetch "$ECHO_BYTES" -X POST -T - "http://[$STACK6]/echo" <"$ECHO_FILE" | hash_of)
    same "hash of a chunked body" "$(cat "$ECHO_FILE.sha256")" "$back"
    same "small body" "tide" "$(get -d tide "http://$STACK4/echo")"
    same "empty body" "" "$(get -d '' "http://$STACK4/echo")"
}

case_queries_are_understood() {
    local shown
    shown=$(get -G -d 'a=1&b=2' -d 'plus=x+y' --data-urlencode 'name=潮门 & Tor' "http://$STACK4/query")
    for part in a 1 b 2 'x y' '潮门'; do contains "/query" "$shown" "$part"; done
}

case_forms_are_understood() {
    local shown
    shown=$(get -d 'a=1&b=2' -d 'plus=x+y' --data-urlencode 'name=潮门' "http://$STACK4/form")
    for part in a 1 b 2 'x y' '潮门'; do contains "/form" "$shown" "$part"; done
}

case_a_cookie_is_kept_by_the_client_and_shown() {
    local jar=$WORK/cookies value
    get -c "$jar" -o /dev/null "http://$STACK4/cookies"
    value=$(awk -F'\t' 'NF == 7 { print $7 }' "$jar" | tail -n 1)
    [ -n "$value" ] || fail "no cookie was set"
    contains "/cookies with the cookie" "$(get -b "$jar" "http://$STACK4/cookies")" "$value"
}

case_a_session_counts_for_each_client_apart() {
    local jar=$WORK/session visit
    for visit in 1 2 3; do
        contains "/session" "$(get -b "$jar" -c "$jar" "http://$STACK4/session")" "session: $visit"
    done
    contains "/session of another client" "$(get "http://$STACK4/session")" "session: 1"
}

case_a_connection_is_kept_for_the_next_request() {
    same "connections made" "1 0 0" "$(connections "http://$STACK4/hello" "http://$STACK4/query?a=1" "http://$STACK4/hello")"
    contains "curl -v" "$(on_host curl -v -m 10 "http://$STACK4/hello" "http://$STACK4/hello" 2>&1)" "Re-using existing connection"
}

case_connection_close_closes() {
    same "connections made" "1 1" "$(connections -H 'Connection: close' "http://$STACK4/hello" "http://$STACK4/hello")"
    same "HTTP/1.0" "1 1" "$(connections -0 "http://$STACK4/hello" "http://$STACK4/hello")"
}

case_pipelined_requests_are_answered_in_order() {
    local request said
    request='GET /query?n=%d HTTP/1.1\r\nHost: tide\r\n'
    # shellcheck disable=SC2059
    said=$(printf "$request\r\n$request\r\n${request}Connection: close\r\n\r\n" 111 222 333 | on_host timeout 10 nc "$STACK4" 80)
    same "order" "111 222 333" "$(grep -oE '111|222|333' <<<"$said" | uniq | xargs)"
}

case_a_request_in_segments_of_one_byte_is_understood() {
    local said
    said=$(printf 'GET /hello HTTP/1.1\r\nHost: tide\r\nConnection: close\r\n\r\n' | on_host timeout 20 "$TOOL" raw-http "$STACK4" 80)
    contains "answer" "$said" "200 OK"
}

case_a_half_closed_request_is_answered() {
    local said
    said=$(printf 'GET /hello HTTP/1.1\r\nHost: tide\r\n\r\n' | on_host timeout 10 nc -N "$STACK4" 80)
    contains "answer" "$said" "200 OK"
}

get() { on_host curl -sS -g -m 20 "$@"; }

status() { get -o /dev/null -w '%{http_code}' "$@"; }

# fetch BYTES ARGUMENT...: a transfer of about that many bytes.
fetch() {
    local bound
    bound=$(bound_for "$1")
    shift
    on_host curl -sS -g -f -m "$bound" "$@"
}

# The number of new connections each transfer of one curl made.
connections() {
    on_host curl -sS -g -m 20 -w '%{stderr}%{num_connects}\n' "$@" 2>&1 >/dev/null | xargs
}
