# The benchmark itself: that it measures everything it says, not how fast anything is.

case_the_benchmark_prints_a_whole_table() {
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
