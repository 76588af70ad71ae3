# The benchmarks themselves: that they measure everything they say, not how fast anything is.

case_the_benchmark_prints_a_whole_table() {
    left_out_without_offload "it starts its own servers"
    local said rows
    said=$("$ROOT/scripts/bench" --stacks tidegate,veth,limit --work send1,recv8,echo,http,axum,connect --rounds 1 --seconds 0.1) ||
        fail "scripts/bench failed"
    # Below the head and its rule: bulk has a row of CPU, echo one of its 99th percentile.
    rows=$(sed -n '3,/^$/p' <<<"$said" | grep -c '^| ')
    same "rows" 9 "$rows"
    # Nothing but the limit's axum program, and so what is divided by it, is left out.
    same "cells without a value" 2 "$(sed -n '3,/^$/p' <<<"$said" | grep -o '| – ' | wc -l)"
    contains "targets" "$said" "| sends, 1 stream "
}

# path_run FILE COMMIT SECONDS BYTES [FIELD]: a made-up run of 1,000,000 bytes, of which so many arrived in time
path_run() {
    local done=false
    [ "$4" -lt 1000000 ] || done=true
    "$ROOT/scripts/net/path.py" record "$1" "{\"bytes\": $4, \"done\": $done, \"rate\": 8e6, \"seconds\": 1, \"stolen\": 0, \"cc\": null}" \
        "counters ba_packets=1000 ba_bytes=1152000 ba_lost=0 ba_queue_full=0" "${PATH_RUN[@]}" machine=m seed=1 queue=10000us \
        buffers=65536 "commit=$2" "seconds_most=$3" "${@:5}"
}

PATH_RUN=(round=1 rate_set=100mbit rtt=1ms loss=0% variant=tidegate-cubic size=1MB)

case_a_run_over_a_path_counts_for_its_commit_and_length_only() {
    left_out_without_offload "no server runs"
    local tool=$ROOT/scripts/net/path.py results=$WORK/path.jsonl said
    path_run "$results" aaa 30 1000000
    "$tool" has "$results" "${PATH_RUN[@]}" commit=aaa seconds_most=30 queue=10000us buffers=65536 || fail "the run is not found"
    for other in commit=bbb seconds_most=10 queue=20000us buffers=1; do
        ! "$tool" has "$results" "${PATH_RUN[@]}" "$other" || fail "found, though $other"
    done
    same "what is of other kinds" "" "$("$tool" others "$results" commit=aaa seconds_most=30)"
    # As runs were recorded before they told it.
    sed 's/, "commit": "aaa", "seconds_most": "30"//' "$results" >"$results.old"
    ! "$tool" has "$results.old" "${PATH_RUN[@]}" commit=aaa || fail "found, though it names no commit"
    said=$("$tool" others "$results.old" commit=aaa seconds_most=30)
    one_line "what is of other kinds" "$said"
    contains "what is of other kinds" "$said" "1 of 1 runs are not of commit aaa, seconds_most 30"
}

case_the_report_over_a_path_tells_what_it_mixes_and_keeps_the_causes() {
    left_out_without_offload "no server runs"
    local tool=$ROOT/scripts/net/path.py results=$WORK/mixed.jsonl page=$WORK/path.md said
    path_run "$results" aaa 30 1000000
    path_run "$results" bbb 10 500000
    path_run "$results" bbb 10 500000 loss=1%
    path_run "$results" bbb 10 500000 loss=3% sent=600000 sent_again=30000
    "$ROOT/scripts/bench-path" --results "$results" --report "$page"
    said=$(<"$page")
    contains "one kind" "$said" "| 100mbit | 30 | 65536 | aaa | 10000us | tidegate-cubic | 1 |"
    contains "the other" "$said" "| 100mbit | 10 | 65536 | bbb | 10000us | tidegate-cubic | 3 |"
    contains "cells" "$said" "Cells of the tables below that mix conditions: 1."
    # A tenth of what the wire carried was carried again; of what was cut off the sender alone knows, since some was under way.
    contains "retransmitted" "$said" $'| round trip, loss | tidegate CUBIC |\n|---|---:|\n| 1ms, 0% | 9.09 |\n| 1ms, 1% | – |\n| 1ms, 3% | 5.00 |'
    printf '\n## Causes\n\nWritten by hand.\n\n### Further\n\nMore.\n' >>"$page"
    for again in once twice; do
        "$ROOT/scripts/bench-path" --results "$results" --report "$page"
        same "the page written $again more" "$said"$'\n\n## Causes\n\nWritten by hand.\n\n### Further\n\nMore.' "$(<"$page")"
    done
}
