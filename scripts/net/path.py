#!/usr/bin/env python3
"""What scripts/bench-path is made of: the transfers, each timed at its receiving end, their records, and the table from them.

Each command is one function. A transfer prints one JSON object; `record` adds what the caller knows and appends it to the results;
`has` tells whether a run is there, `others` how many are of other conditions; `report` makes the table.
"""

import collections
import json
import math
import os
import socket
import statistics
import string
import struct
import sys
import time

TCP_CONGESTION = 13
TCP_INFO_BYTES_ACKED = 120
# Of the data sent, and of that sent again.
TCP_INFO_BYTES_SENT, TCP_INFO_BYTES_RETRANS = 200, 208
# IPv4 and TCP headers with timestamps, in each full segment.
HEADERS = 52
BLOCK = 1 << 20
# A run in which neighbours took more than this share of the machine is made again.
MOST_STOLEN = 0.06
# What must be equal for two runs to be of one kind; older lines may not have them.
CONDITIONS = ("seconds_most", "queue", "buffers", "commit")


# --- transfers ---


def processor_ticks():
    """All ticks of all processors, and those that the hypervisor gave to others."""
    with open("/proc/stat") as stat:
        ticks = [int(field) for field in stat.readline().split()[1:9]]
    return sum(ticks), ticks[7]


def timed(move):
    """Runs a transfer and prints what it returns, with its time and the share of the machine stolen meanwhile."""
    (all_before, stolen_before), started = processor_ticks(), time.monotonic()
    result = move(started)
    result.setdefault("seconds", time.monotonic() - started)
    all_after, stolen_after = processor_ticks()
    result["stolen"] = round((stolen_after - stolen_before) / max(1, all_after - all_before), 4)
    print(json.dumps(result))


def get(host, port, path, most_seconds, warm="0"):
    """Fetches PATH. `bytes` are the body's; `rate` is bits per second from WARM seconds on."""
    most, warm = float(most_seconds), float(warm)

    def move(started):
        buffer, received, wanted, fields = bytearray(BLOCK), 0, 1, {}
        mark, warmed = started, 0
        with socket.create_connection((host, int(port)), timeout=most) as stream:
            stream.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            head = b""
            while b"\r\n\r\n" not in head:
                part = stream.recv(4096)
                if not part:
                    sys.exit(f"no answer from {host}:{port}")
                head += part
            head, _, body = head.partition(b"\r\n\r\n")
            if not head.split(b" ", 2)[1] == b"200":
                sys.exit(f"{host}:{port}{path}: {head.splitlines()[0].decode()}")
            fields = dict(line.lower().split(": ", 1) for line in head.decode().split("\r\n")[1:])
            wanted, received = int(fields["content-length"]), len(body)
            while received < wanted and (now := time.monotonic()) < started + most:
                if warm and now >= started + warm and not warmed:
                    mark, warmed = now, received
                stream.settimeout(max(0.001, started + most - now))
                try:
                    step = stream.recv_into(buffer)
                except socket.timeout:
                    break
                if step == 0:
                    break
                received += step
            ended = time.monotonic()
        rate = 8 * (received - warmed) / (ended - mark) if ended > mark else 0
        done = received == wanted
        return {"bytes": received, "done": done, "rate": rate, "seconds": ended - started, "cc": fields.get("x-congestion")}

    timed(move)


def put(host, port, size, algorithm, most_seconds):
    """Sends SIZE bytes with the kernel's ALGORITHM; done when the server, having read the end, closes."""
    size, most = int(size), float(most_seconds)

    def move(started):
        sent, block, done = 0, bytes(BLOCK), False
        with socket.socket() as stream:
            stream.setsockopt(socket.IPPROTO_TCP, TCP_CONGESTION, algorithm.encode())
            stream.settimeout(most)
            stream.connect((host, int(port)))
            try:
                while sent < size:
                    stream.settimeout(max(0.001, started + most - time.monotonic()))
                    sent += stream.send(block[: min(BLOCK, size - sent)])
                stream.shutdown(socket.SHUT_WR)
                stream.settimeout(max(0.001, started + most - time.monotonic()))
                done = stream.recv(1) == b""
            except socket.timeout:
                pass
            ended = time.monotonic()
            info = stream.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 232)
            told = lambda at: struct.unpack_from("Q", info, at)[0]
            moved, counts = size if done else told(TCP_INFO_BYTES_ACKED), [told(TCP_INFO_BYTES_SENT), told(TCP_INFO_BYTES_RETRANS)]
            # What is left unsent must not use the wire of the next run.
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            used = name_of(stream)
        rate = 8 * moved / (ended - started)
        result = {"bytes": moved, "done": done, "rate": rate, "seconds": ended - started, "cc": used}
        return result | dict(zip(("sent", "sent_again"), counts))

    timed(move)


def name_of(stream):
    """The algorithm that the kernel really uses for this socket, as `ss -ti` tells it."""
    return stream.getsockopt(socket.IPPROTO_TCP, TCP_CONGESTION, 16).split(b"\0")[0].decode()


def algorithms(*names):
    """Those of NAMES that this kernel lets a socket have."""
    for name in names:
        with socket.socket() as stream:
            try:
                stream.setsockopt(socket.IPPROTO_TCP, TCP_CONGESTION, name.encode())
                print(name)
            except OSError as error:
                print(f"the kernel has no {name}: {error.strerror}", file=sys.stderr)


# --- records ---


def record(results, transfer, wire, *fields):
    """Appends a run: what the transfer printed, the wire's counters in its direction, and NAME=VALUE fields."""
    line = dict(field.split("=", 1) for field in fields)
    line |= json.loads(transfer)
    counters = dict(pair.split("=") for pair in wire.split() if "=" in pair)
    way = "ab_" if line["variant"].startswith("up-") else "ba_"
    packets, size = int(counters[way + "packets"]), int(counters[way + "bytes"])
    line["wire_payload"] = max(0, size - HEADERS * packets)
    line["lost"], line["queue_full"] = int(counters[way + "lost"]), int(counters[way + "queue_full"])
    with open(results, "a") as file:
        file.write(json.dumps(line) + "\n")


def load(results):
    """All runs on which nobody leaned, and the checks of the clean wire."""
    if not os.path.exists(results):
        return []
    with open(results) as file:
        lines = [json.loads(line) for line in file if line.strip()]
    return [line for line in lines if line["stolen"] <= MOST_STOLEN]


def is_of(line, fields):
    """Whether a run has these NAME=VALUE fields; one that does not name them has them not."""
    return all(line.get(name) == value for name, value in (field.split("=", 1) for field in fields))


def has(results, *fields):
    """Status 0 if the run with these NAME=VALUE fields is recorded."""
    sys.exit(0 if any(is_of(line, fields) for line in load(results)) else 1)


def others(results, *fields):
    """Prints a line if there are runs without these NAME=VALUE fields."""
    lines = [line for line in load(results) if line.get("variant") != "check"]
    count = sum(not is_of(line, fields) for line in lines)
    if count:
        wanted = ", ".join(field.replace("=", " ") for field in fields)
        print(f"{results}: {count} of {len(lines)} runs are not of {wanted}, or do not say so; they stay, and are made again")


def bits(rate):
    number, unit = rate.removesuffix("bit"), 1
    if number[-1] in "kmg":
        number, unit = number[:-1], {"k": 1e3, "m": 1e6, "g": 1e9}[number[-1]]
    return float(number) * unit


def carried(line):
    """The share of the set rate that a run filled, in full IP packets."""
    return line["rate"] * (1448 + HEADERS) / 1448 / bits(line["rate_set"])


def check(transfer, rate):
    """Prints the share of RATE that a transfer over the clean wire filled, and whether that is 95 %."""
    share = carried(json.loads(transfer) | {"rate_set": rate})
    print(f"{share:.3f} {'ok' if share >= 0.95 else 'short'}")


def machine():
    with open("/proc/cpuinfo") as info:
        model = next((line.split(":")[1].strip() for line in info if line.startswith("model name")), "unknown processor")
    uname = os.uname()
    print(f"{os.cpu_count()} processors, {model}, {uname.sysname} {uname.release}")


# --- the table ---


def spread(values):
    """Quartiles; of fewer than five values the extremes."""
    values, skipped = sorted(values), (len(values) - 1) // 4
    return values[skipped], values[-1 - skipped]


def cell(values, scale, digits):
    def text(value):
        return "unfinished" if value == math.inf else f"{value * scale:.{digits}f}"

    if not values:
        return "–"
    low, high = spread(values)
    middle = text(statistics.median_low(values))
    return middle if low == high else f"{middle} ({text(low)}–{text(high)})"


def is_behind(ours, theirs, more_is_better):
    """Beyond both spreads; one or two values have none."""
    if min(len(ours), len(theirs)) < 3:
        return False
    (low, high), (their_low, their_high) = spread(ours), spread(theirs)
    return high < their_low if more_is_better else low > their_high


def number(text):
    """The number before a unit."""
    return float(text.rstrip(string.ascii_letters + "%"))


def size_order(text):
    return number(text) * {"kB": 1e3, "MB": 1e6}.get(text[-2:], 1)


def table(out, title, cells, columns, pairs, value, scale, digits, more_is_better):
    """One table: a row for each round trip and loss, a column for each variant, and what is behind in bold."""
    out.append(f"\n### {title}\n")
    out.append("| round trip, loss | " + " | ".join(name for _, name in columns) + " |")
    out.append("|---|" + "---:|" * len(columns))
    behind = []
    for key in sorted(cells, key=lambda key: (number(key[0]), number(key[1]))):
        values = {variant: [value(line) for line in cells[key].get(variant, []) if value(line) is not None] for variant, _ in columns}
        texts = {variant: cell(found, scale, digits) for variant, found in values.items()}
        for ours, theirs in pairs:
            if is_behind(values.get(ours, []), values.get(theirs, []), more_is_better):
                texts[ours] = f"**{texts[ours]} behind**"
                behind.append(f"{title}: {key[0]}, {key[1]}, {dict(columns)[ours]}")
        out.append(f"| {key[0]}, {key[1]} | " + " | ".join(texts[variant] for variant, _ in columns) + " |")
    return behind


DOWN = [
    ("kernel-cubic", "kernel CUBIC"),
    ("tidegate-cubic", "tidegate CUBIC"),
    ("kernel-bbr", "kernel BBR"),
    ("tidegate-bbr", "tidegate BBR"),
]
UP = [("up-kernel", "CUBIC to the kernel"), ("up-tidegate", "CUBIC to tidegate")]
PAIRS = [("tidegate-cubic", "kernel-cubic"), ("tidegate-bbr", "kernel-bbr"), ("up-tidegate", "up-kernel")]


def retransmitted(line):
    """As the sender counted it. Else by what the wire carried, which a run that ended early does not tell: some was under way."""
    if "sent" in line:
        return int(line["sent_again"]) / max(1, int(line["sent"]))
    return max(0.0, 1 - line["bytes"] / line["wire_payload"]) if line["done"] and line["wire_payload"] else None


def finished(line):
    return line["seconds"] if line["done"] else math.inf


def of_rate(out, rate, runs):
    """The tables of one rate; returns what is behind."""
    sizes = sorted({line["size"] for line in runs}, key=size_order)
    by_size = {size: collections.defaultdict(lambda: collections.defaultdict(list)) for size in sizes}
    for line in runs:
        by_size[line["size"]][(line["rtt"], line["loss"])][line["variant"]].append(line)
    behind = []
    for way, columns in (("sent to the kernel", DOWN), ("received from the kernel", UP)):
        columns = [(variant, name) for variant, name in columns if any(line["variant"] == variant for line in runs)]
        if not columns:
            continue
        big = by_size[sizes[-1]]
        title = f"{rate}, {way}: "
        behind += table(out, title + "goodput, Mbit/s", big, columns, PAIRS, lambda line: line["rate"], 1e-6, 1, True)
        table(out, title + "retransmitted, % of the bytes", big, columns, [], retransmitted, 100, 2, False)
        for size in sizes:
            behind += table(out, title + f"seconds to finish {size}", by_size[size], columns, PAIRS, finished, 1, 3, False)
    return behind


def kinds(out, runs):
    """The conditions that these runs were made under, since a file of results may hold several."""
    told = lambda line, name: line.get(name, "unknown")
    groups, cells = collections.defaultdict(list), collections.defaultdict(set)
    for line in runs:
        key = (line["rate_set"], *(told(line, name) for name in CONDITIONS if name != "queue"))
        groups[key].append(line)
        cell = tuple(line[name] for name in ("rate_set", "rtt", "loss", "variant", "size"))
        cells[cell].add(tuple(told(line, name) for name in CONDITIONS))
    out.append("\n| rate | at most, s | buffers, bytes | commit | the wire's queue | variants | runs |")
    out.append("|---|---:|---:|---|---|---|---:|")
    for key in sorted(groups, key=lambda key: (bits(key[0]), key[1:])):
        found = groups[key]
        queues = sorted({told(line, "queue") for line in found}, key=lambda queue: (len(queue), queue))
        variants = sorted({line["variant"] for line in found})
        out.append(f"| {' | '.join(key)} | {', '.join(queues)} | {', '.join(variants)} | {len(found)} |")
    mixed = sum(len(found) > 1 for found in cells.values())
    out.append(f"\nCells of the tables below that mix conditions: {mixed}. What older runs do not say is unknown.")


def report(results, *title):
    """The whole document, on stdout."""
    lines = load(results)
    runs, checks = [line for line in lines if "variant" in line and line["variant"] != "check"], [
        line for line in lines if line.get("variant") == "check"
    ]
    if not runs:
        sys.exit(f"{results} holds no run: make some with scripts/bench-path")
    out = ["# Over a path: tidegate and the Linux kernel", "", *title]
    machines = sorted({line["machine"] for line in runs})
    rounds = len({line["round"] for line in runs})
    out += ["", f"Machine: {'; '.join(machines)}. {len(runs)} runs in {rounds} rounds."]
    used = {line["cc"] for line in runs if line["variant"].startswith(("kernel", "up-")) and line.get("cc")}
    out.append(f"The kernel's sockets really used: {', '.join(sorted(used))}.")
    kinds(out, runs)
    behind = []
    for rate in sorted({line["rate_set"] for line in runs}, key=bits):
        out.append(f"\n## {rate}")
        tried = [line for line in checks if line["rate_set"] == rate]
        if tried:
            found, rtts = [carried(line) for line in tried], ", ".join(sorted({line["rtt"] for line in tried}, key=number))
            verdict = "" if statistics.median(found) >= 0.95 else ": **not measurable here**, the figures below are the machine's"
            out.append(f"\nKernel to kernel over the clean wire ({rtts}) fills {100 * statistics.median(found):.1f} % of the rate{verdict}.")
        behind += of_rate(out, rate, [line for line in runs if line["rate_set"] == rate])
    out.append("\n## Where tidegate is behind\n")
    out += [f"- {where}" for where in behind] or ["Nowhere beyond both spreads."]
    print("\n".join(out))


COMMANDS = {
    "get": get,
    "put": put,
    "algorithms": algorithms,
    "record": record,
    "has": has,
    "others": others,
    "check": check,
    "machine": machine,
    "report": report,
}

if __name__ == "__main__":
    COMMANDS[sys.argv[1]](*sys.argv[2:])
