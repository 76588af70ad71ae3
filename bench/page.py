"""docs/benchmarks.md from the results: where and when, the tables, the plots. What people have written below NOTES stays."""

import os
import statistics
import subprocess
import time

import table

# The rest of the page from this heading on is written by hand.
NOTES = "## Notes"

HEAD = """# Beside the device's limit

`scripts/bench` made this; run it again with `{command}`. What answers sits behind a TUN device of MTU 1500 in a network
namespace (veth: in a second namespace), and the kernel's TCP is the client. Medians of {rounds} rounds in which the stacks took turns, in brackets
least and most; a ratio is the median of the rounds' ratios. Each run has a server of its own and measures {seconds} s.

{date}, {machine}, load average {load}, commit {commit}. {stolen}

- **tidegate**: `tidegate serve`; for HTTP a minimal responder, and an axum program, on `tidegate::net`.
- **veth**: the kernel's TCP, one thread with epoll; the same axum program on `tokio::net`.
- **limit**: `bench/src/bin/limit`, which has no TCP in it, and does what a TUN device allows at best.
- **smoltcp** 0.14 over `tun-tap`, **ipstack** 1.0 over `tun-rs`: the same services, one program each.

Bulk is chargen and discard over long-lived connections; CPU is user and system time of the stack's process, in which for a TUN device the
client's whole receive path runs too. HTTP is `wrk -t1 -c64`. A new connection per request is connect, request, answer, close, 64 at a
time. An idle connection has echoed a byte (or answered a request); what the process has grown by is divided among {connections} of them (ipstack: a
tenth), in one run of each; for veth the kernel's slab is counted too.
"""


def write(path, lines, command, load, programs):
    """Writes the page and its plots, which lie in a folder named after it; PROGRAMS is the folder of the program that draws."""
    results = table.Results(lines)
    folder = os.path.splitext(path)[0]
    os.makedirs(folder, exist_ok=True)
    plotted = plots(results, folder, os.path.dirname(path), os.path.join(programs, "plots"))
    held = max((line.get("connections", 0) for line in lines), default=0)
    head = HEAD.format(
        command=command,
        rounds=len(results.rounds),
        seconds=f"{lines[-1]['seconds']:g}",
        date=time.strftime("%d %B %Y"),
        machine=machine(),
        commit=commit(os.path.dirname(path)),
        load=load,
        stolen=table.left_out(results, lines),
        connections=f"{held:,}",
    )
    parts = [head, "## Figures\n", table.aligned(list(table.rows(results))), ""]
    parts += [f"![{title}]({name})\n" for title, name in plotted]
    parts += ["## Targets\n", table.aligned(list(table.verdicts(results))), "", notes(path)]
    with open(path + ".new", "w") as file:
        file.write("\n".join(parts))
    os.replace(path + ".new", path)


def notes(path):
    """The part of the page that is not written anew."""
    if not os.path.exists(path):
        return ""
    with open(path) as file:
        text = file.read()
    return text[text.index(NOTES) :] if NOTES in text else ""


def commit(folder):
    """What was built, shortened; with a plus where files differ from it."""
    git = ["git", "-C", folder or ".", "-c", "safe.directory=*", "describe", "--always", "--dirty=+", "--exclude=*"]
    return subprocess.run(git, capture_output=True, text=True).stdout.strip() or "unknown"


def machine():
    with open("/proc/cpuinfo") as info:
        model = next((line.split(":")[1].strip() for line in info if line.startswith("model name")), "unknown processor")
    uname = os.uname()
    return f"{os.cpu_count()} processors ({model}), {uname.sysname} {uname.release}"


def plots(results, folder, base, program):
    """Draws what there are results for; titles and files, seen from the page."""
    drawn = []
    for name, title, unit, works, field, log in [
        ("throughput", "Throughput of bulk transfers", "Gbit/s", table.BULK, None, False),
        ("cpu", "Processor time of the stack's process", "s/GB", table.BULK, table.cpu_per_gb, True),
        ("latency", "Round trip of one byte, median", "µs", ("echo", "echo-spin"), "p50", False),
        ("tail", "Round trip of one byte, 99th percentile", "µs", ("echo", "echo-spin"), "p99", True),
        ("requests", "Requests and connections a second", "1/s", ("http", "axum", "connect"), None, False),
    ]:
        bars = list(lines_of(results, works, field))
        if bars:
            path = os.path.join(folder, name + ".svg")
            options = [f"--title={title}", f"--unit={unit}", *(["--log"] if log else [])]
            subprocess.run([program, *options, path], input="\n".join(bars), text=True, check=True)
            drawn.append((title, os.path.relpath(path, base)))
    return drawn


def lines_of(results, works, field):
    """What the plots program reads."""
    for work in works:
        for stack in table.STACKS:
            values = [value for value in results.values(work, stack, field).values() if value]
            if values:
                title = table.WORKS[work][0].replace("HTTP keep-alive, ", "")
                yield f"{title}\t{stack}\t{statistics.median(values)}\t{min(values)}\t{max(values)}"

