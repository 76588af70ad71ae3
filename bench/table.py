"""The table of scripts/bench: medians, spreads, ratios, and the targets with what was reached."""

import json
import os
import statistics

# What a work is about: title, field of a run's line, unit, digits.
WORKS = {
    "send1": ("sends, 1 stream", "gbps", "Gbit/s", 1),
    "send8": ("sends, 8 streams", "gbps", "Gbit/s", 1),
    "recv1": ("receives, 1 stream", "gbps", "Gbit/s", 1),
    "recv8": ("receives, 8 streams", "gbps", "Gbit/s", 1),
    "echo": ("echo of 1 byte, sleeping", "p50", "µs", 1),
    "echo-spin": ("echo of 1 byte, spinning", "p50", "µs", 1),
    "http": ("HTTP keep-alive, minimal responder", "rate", "req/s", 0),
    "axum": ("HTTP keep-alive, axum program", "rate", "req/s", 0),
    "connect": ("new connection per request", "rate", "/s", 0),
    "idle": ("idle connection, echo", "bytes_each", "B", 0),
    "idle-http": ("idle connection, HTTP", "bytes_each", "B", 0),
}
STACKS = ("tidegate", "tidegate-2", "veth", "limit", "limit-2", "limit-spin", "limit-read", "smoltcp", "ipstack")
# A run in which neighbours took more than this share of the machine is made again, and is left out if that does not help and there are others.
MOST_STOLEN = 0.06
BULK = ("send1", "send8", "recv1", "recv8")
# The kernel sleeps in either mode; its one figure stands for both.
SAME = {("veth", "echo-spin"): "echo"}
# gVisor's netstack beside veth on a machine of this kind (the issue that set the targets).
GVISOR = {"send1": 10.5 / 37, "send8": 8.8 / 52, "recv1": 12.6 / 39, "recv8": 18.3 / 63}


def read(path):
    """All lines of a results file; none if it is not there."""
    if not os.path.exists(path):
        return []
    with open(path) as file:
        return [json.loads(line) for line in file if line.strip()]


class Results:
    """Values by work, stack and round."""

    def __init__(self, lines):
        clean = [line for line in lines if line["stolen"] <= MOST_STOLEN]
        # Better a doubtful figure than none.
        some = {(line["work"], line["stack"]) for line in clean}
        lines, all_of_them = clean + [line for line in lines if (line["work"], line["stack"]) not in some], len(lines)
        self.stolen, self.doubtful = all_of_them - len(lines), len(lines) - len(clean)
        self.lines = {(line["work"], line["stack"], line["round"]): line for line in lines}
        self.rounds = sorted({line["round"] for line in lines})
        self.stacks = list(dict.fromkeys(line["stack"] for line in lines))
        self.works = [work for work in WORKS if any(line["work"] == work for line in lines)]

    def values(self, work, stack, field=None):
        """Round to value. Without a field, what the work is about."""
        work = SAME.get((stack, work), work)
        value = field if callable(field) else lambda line: line.get(field or WORKS[work][1])
        found = {number: value(self.lines[work, stack, number]) for number in self.rounds if (work, stack, number) in self.lines}
        return {number: value for number, value in found.items() if value is not None}

    def ratios(self, work, stack, other, field=None):
        """The ratio in each round that has both."""
        own, others = self.values(work, stack, field), self.values(work, other, field)
        return [own[number] / others[number] for number in own if others.get(number)]


def cpu_per_gb(line):
    """Processor seconds of the stack's process for 10⁹ bytes moved."""
    return line["cpu"] / (line["bytes"] / 1e9) if line.get("bytes") else None


def memory(line):
    """What a connection costs the process; for the kernel's sockets, its slab as well."""
    return line["bytes_each"] + (line["kernel_each"] if line["stack"] == "veth" else 0)


def fields_of(work):
    """The rows of a work: suffix of the title, field or function, unit, digits."""
    title, field, unit, digits = WORKS[work]
    yield title, memory if field == "bytes_each" else field, unit, digits
    if work in BULK:
        yield f"{title}: CPU", cpu_per_gb, "s/GB", 3
    if field == "p50":
        yield f"{title}: p99", "p99", "µs", 1


def rows(results):
    """The table as cells, its head first. The ratios are those of its first stack, which is tidegate if it is there."""
    first, *others = stacks = [stack for stack in STACKS if stack in results.stacks]
    yield ["work", "unit", *stacks, *(f"/ {other}" for other in others)]
    for work in results.works:
        for title, field, unit, digits in fields_of(work):
            cells = [spread(results.values(work, stack, field).values(), digits) for stack in stacks]
            ratios = [ratio(results.ratios(work, first, other, field)) for other in others]
            yield [title, unit, *cells, *ratios]


def spread(values, digits):
    """Median, and in brackets the extremes."""
    values = list(values)
    if not values:
        return "–"
    show = lambda value: f"{value:,.{digits}f}"
    if len(values) == 1:
        return show(values[0])
    return f"{show(statistics.median(values))} [{show(min(values))}–{show(max(values))}]"


def ratio(values):
    return f"{statistics.median(values):.2f}" if values else "–"


def targets():
    """Every target: work, its row's name, field, whom beside, at least or at most, bound."""
    bounds = {"send1": (1.0, 0.8), "recv1": (1.0, 0.8), "send8": (0.85, 0.8), "recv8": (0.65, 0.8)}
    for work, (veth, limit) in bounds.items():
        yield work, "", None, "veth", "≥", veth
        yield work, "", None, "limit", "≥", limit
        yield work, ": CPU", cpu_per_gb, "limit", "≤", 1.4
        yield work, " (3 × gVisor's)", None, "veth", "≥", 3 * GVISOR[work]
        yield work, "", None, "smoltcp", "≥", 8.0
    yield "echo-spin", "", None, "veth", "≤", 0.35
    yield "echo-spin", "", None, "limit", "≤", 1.15
    yield "echo", "", None, "veth", "≤", 1.0
    yield "echo", "", None, "limit", "≤", 1.15
    yield "axum", "", None, "veth", "≥", 1.2
    yield "http", "", None, "veth", "≥", 1.3
    yield "http", "", None, "limit", "≥", 0.9
    yield "connect", "", None, "veth", "≥", 1.6
    yield "connect", "", None, "limit", "≥", 0.85


def verdicts(results):
    """Each target that the runs say something about, as cells, their head first."""
    yield ["target", "beside", "wanted", "reached", "spread", "met"]
    for work, suffix, field, other, sense, bound in targets():
        values = results.ratios(work, "tidegate", other, field)
        if values:
            reached = statistics.median(values)
            met = reached >= bound if sense == "≥" else reached <= bound
            wide = f"{min(values):.2f}–{max(values):.2f}"
            yield [WORKS[work][0] + suffix, other, f"{sense} {bound:.2f}", f"{reached:.2f}", wide, "yes" if met else "NO"]
    for value in results.values("idle", "tidegate", memory).values():
        yield [WORKS["idle"][0], "", "≤ 1024 B", f"{value:.0f} B", "", "yes" if value <= 1024 else "NO"]


def text(lines):
    """Everything, for people and for Markdown alike."""
    results = Results(lines)
    if not results.works:
        return "no run succeeded"
    parts = [aligned(list(rows(results)))]
    judged = list(verdicts(results))
    if len(judged) > 1:
        parts.append(aligned(judged))
    if results.stolen or results.doubtful:
        parts.append(left_out(results, lines))
    return "\n\n".join(parts)


def left_out(results, lines):
    """What neighbours spoiled, of all runs."""
    kept = f"; {results.doubtful} more count all the same, since there are no others" if results.doubtful else ""
    return f"{results.stolen} of {len(lines)} runs lost more than 6 % of the machine to its neighbours and are left out{kept}."


def aligned(cells):
    """A Markdown table whose columns line up."""
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    line = lambda row: "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |"
    return "\n".join([line(cells[0]), "|" + "|".join("-" * (width + 2) for width in widths) + "|", *map(line, cells[1:])])
