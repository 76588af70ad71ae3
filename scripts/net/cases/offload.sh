# Segmentation offload: super-segments stay whole, and plain packets give the same bytes.

case_upload_super_segments_stay_whole() {
    left_out_without_offload "super-segments are what it is about"
    new_netns
    start "$NETNS"
    in_ns "$NETNS" timeout "$(bound_for "$FILE_BYTES")" "$TOOL" upload "$STACK4" 9 "$BIG_FILE"
    stop
    above "mean bytes per device read" "$WHOLE_SEGMENT_BYTES" "$(mean "$LOG" device_read_bytes device_reads)"
    above "mean payload per packet" "$WHOLE_SEGMENT_BYTES" "$(mean "$LOG" tcp_in_bytes tcp_in_data)"
    above "payload bytes" $((FILE_BYTES - 1)) "$(counter "$LOG" tcp_in_bytes)"
}

case_download_super_segments_stay_whole() {
    left_out_without_offload "super-segments are what it is about"
    new_netns
    start "$NETNS" --http-root "$WWW"
    same "hash" "$(cat "$BIG_FILE.sha256")" "$(download)"
    stop
    above "mean bytes per device write" "$WHOLE_SEGMENT_BYTES" "$(mean "$LOG" device_write_bytes device_writes)"
    above "mean payload per frame" "$WHOLE_SEGMENT_BYTES" "$(mean "$LOG" tcp_out_bytes tcp_out_data)"
    above "payload bytes" $((FILE_BYTES - 1)) "$(counter "$LOG" tcp_out_bytes)"
}

case_without_offload_the_bytes_are_the_same() {
    left_out_without_offload "it runs without offload anyway"
    local back
    new_netns
    start "$NETNS" --http-root "$WWW" --no-offload
    same "hash of the download" "$(cat "$BIG_FILE.sha256")" "$(download)"
    back=$(in_ns "$NETNS" timeout "$(bound_for "$ECHO_BYTES")" nc -N "$STACK6" 7 <"$ECHO_FILE" | hash_of)
    same "hash of the echo" "$(cat "$ECHO_FILE.sha256")" "$back"
    stop
    above "packets are no larger than the MTU" "$(mean "$LOG" device_read_bytes device_reads)" 1501
    above "frames are no larger than the MTU" "$(mean "$LOG" device_write_bytes device_writes)" 1501
}

# 40 bursts of 45 datagrams, the last one shorter, over both IP versions; half of them to a socket that takes them as one.
udp_bursts() {
    local host gro together=0
    for host in "$STACK4" "$STACK6"; do
        for gro in no gro; do
            together=$((together + $(in_ns "$NETNS" timeout 60 "$TOOL" udp-segments "$host" 7 1400 44 10 "$gro"))) || fail "no equal answer"
        done
    done
    TOGETHER=$together
}

# UDP segmentation offload: one read and one write for each burst.
case_udp_super_datagrams_stay_whole() {
    left_out_without_offload "super-segments are what it is about"
    new_netns
    start "$NETNS"
    udp_bursts
    stop
    same "super-datagrams read" 40 "$(counter "$LOG" device_read_supers)"
    same "super-datagrams written" 40 "$(counter "$LOG" device_write_supers)"
    same "datagrams of the application in" 1800 "$(counter "$LOG" udp_in_datagrams)"
    same "datagrams of the application out" 1800 "$(counter "$LOG" udp_out_datagrams)"
    same "bursts that the kernel's socket took as one" 20 "$TOGETHER"
    balanced "$LOG"
}

case_without_offload_the_datagrams_are_the_same() {
    left_out_without_offload "it runs without offload anyway"
    new_netns
    start "$NETNS" --no-offload
    udp_bursts
    stop
    same "super-datagrams" "0 0" "$(counter "$LOG" device_read_supers) $(counter "$LOG" device_write_supers)"
    same "datagrams of the application" 1800 "$(counter "$LOG" udp_in_datagrams)"
    above "frames are no larger than the MTU" "$(mean "$LOG" device_write_bytes device_writes)" 1501
}

case_the_device_queue_is_lengthened() {
    above "queue length" 1999 "$(ip -n "$NS" link show dev tide0 | sed -n 's/.* qlen \([0-9]*\).*/\1/p')"
}

case_no_packet_is_dropped_in_a_large_transfer() {
    local name
    new_netns
    start "$NETNS" --http-root "$WWW"
    same "hash" "$(cat "$BIG_FILE.sha256")" "$(download)"
    stop
    # The kernel's own multicast chatter (router solicitations, MLD) is not for us and may be dropped.
    for name in $(sed -n 's/^counters //p' "$LOG" | tr ' ' '\n' | sed -n 's/^\(drop_[a-z0-9_]*\)=[1-9].*/\1/p'); do
        case $name in
            *multicast* | *not_local* | *not_for_us* | *unknown_protocol* | *martian*) ;;
            *) fail "$name=$(counter "$LOG" "$name")" ;;
        esac
    done
}

download() {
    in_ns "$NETNS" curl -sS -f -m "$(bound_for "$FILE_BYTES")" "http://$STACK4/big.bin" | hash_of
}
