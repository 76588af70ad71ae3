#!/usr/bin/env python3
"""Makes the runs of scripts/bench and prints their table: a server in a stack's namespace, a load beside it, one JSON line a run."""

import argparse
import json
import os
import resource
import select
import shlex
import signal
import subprocess
import sys
import time

import page
import table

# A run of which neighbours stole too much is made again, but not for ever.
MOST_TRIES = 4
READY_SECONDS = 10
RUN_SECONDS = 180
STACK = "10.77.0.2"

# What the load does for each work.
LOADS = {
    "send1": ["receive"],
    "send8": ["receive", "--streams", "8"],
    "recv1": ["send"],
    "recv8": ["send", "--streams", "8"],
    "echo": ["echo"],
    "echo-spin": ["echo"],
    "http": ["wrk"],
    "axum": ["wrk"],
    "connect": ["connects"],
    "idle": ["idle"],
    "idle-http": ["idle", "--http"],
}
# smoltcp looks at every socket for each packet; its program has those of one port alone.
SMOLTCP_PORTS = {"send1": "19", "send8": "19", "recv1": "9", "recv8": "9", "echo": "7", "http": "80", "connect": "80"}
# Two queues and a thread for each; and the limit's variants: the others are there to find out which is best for what.
TWO_QUEUES = ["--queues", "2"]
LIMITS = {"limit": [], "limit-2": TWO_QUEUES, "limit-spin": ["--spin", "50"], "limit-read": ["--ack", "read"]}
# As long as tidegate spins; what its HTTP responders do too.
SPINNING = ("echo-spin", "http", "connect")
# How `tidegate serve` is told not to spin.
SLEEPING = ["--busy-poll", "0"]
# Memory repeats: one run of each is enough.
ONCE = ("idle", "idle-http")
# Which work says something about a stack, where not all of it does: echo-spin is for those that can spin, the axum program runs on two
# stacks, memory is nothing where there are no connections, and fixed buffers where there are no others.
LEFT_OUT = {
    "veth": ("echo-spin", "idle-http"),
    "tidegate-2": ("axum", "idle", "idle-http"),
    **dict.fromkeys(LIMITS, ("axum", "idle", "idle-http")),
    "smoltcp": ("echo-spin", "axum", "idle", "idle-http"),
    "ipstack": ("echo-spin", "axum", "idle-http"),
}


def server(stack, work, arguments):
    """The command of the server that a stack does this work with."""
    programs = arguments.programs
    program = lambda name, *rest: [os.path.join(programs, name), *rest]
    if stack == "veth":
        return program("axum-app", "kernel") if work == "axum" else program("kernel-services")
    if stack in LIMITS:
        own = LIMITS["limit-spin"] if stack == "limit" and work in SPINNING else LIMITS[stack]
        return program("limit", *own)
    if stack == "ipstack":
        return program("ipstack-services")
    if stack == "smoltcp":
        return program("smoltcp-services", SMOLTCP_PORTS[work])
    queues = TWO_QUEUES if stack == "tidegate-2" else []
    if work in ("http", "connect"):
        return program("tidegate-http", *queues)
    if work == "axum":
        return program("axum-app", "tidegate")
    return program("tidegate", "serve", *queues, *shlex.split(arguments.serve), *(SLEEPING if work == "echo" else []))


class Server:
    """A server in a namespace, for one run."""

    def __init__(self, namespace, command):
        self.process = subprocess.Popen(
            ["ip", "netns", "exec", namespace, *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ | {"RUST_LOG": "error"},
        )

    def __enter__(self):
        # `ip netns exec` becomes the server, so its process is this one.
        readable, _, _ = select.select([self.process.stdout], [], [], READY_SECONDS)
        if not readable or not self.process.stdout.readline().startswith(b"ready"):
            self.process.kill()
            said = self.process.communicate()[1].decode(errors="replace").strip().splitlines()
            raise RuntimeError(f"the server does not start: {said[-1] if said else 'it says nothing'}")
        return self.process.pid

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()


def load(namespace, arguments, pid, work, stack):
    """Runs the load of a work and returns what it found."""
    inside = ["ip", "netns", "exec", namespace]
    kind = LOADS[work]
    if kind[0] == "wrk":
        # Whole seconds are all it knows; one thread, since the other core is the server's.
        seconds = max(1, round(arguments.seconds))
        text = run([*inside, "wrk", "-t1", "-c64", f"-d{seconds}s", "--latency", f"http://{STACK}/"])
        return wrk_result(text)
    own = [os.path.join(arguments.programs, "load"), "--pid", str(pid), "--seconds", str(arguments.seconds)]
    if kind[0] == "idle":
        many = arguments.connections // 10 if stack == "ipstack" else arguments.connections
        if stack == "veth":
            # Its server needs a file for each.
            many = min(many, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 100)
        kind = [*kind, "--connections", str(many), "--sources", "8"]
    if kind[0] == "connects" and stack == "ipstack":
        # It never sends a FIN of its own accord after an answer.
        kind = [*kind, "--close-first"]
    return json.loads(run([*inside, *own, *kind]))


def run(command):
    """A command's output; a message when it fails."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=RUN_SECONDS)
    if done.returncode != 0:
        said = done.stderr.strip().splitlines()
        raise RuntimeError("; ".join(said[:2]) if said else f"{command[3]} failed with {done.returncode}")
    return done.stdout


def wrk_result(text):
    """Requests a second and the latencies in microseconds."""
    found, units = {"failed": 0}, {"us": 1, "ms": 1e3, "s": 1e6}
    for line in text.splitlines():
        words = line.split()
        if line.startswith("Requests/sec:"):
            found["rate"] = float(words[1])
        elif words and words[0] in ("50%", "99%"):
            number = words[1].rstrip("mus")
            found["p" + words[0][:-1]] = float(number) * units[words[1][len(number) :]]
        elif "Socket errors" in line:
            found["failed"] = sum(int(word.rstrip(",")) for word in words if word.rstrip(",").isdigit())
    if not found.get("rate"):
        raise RuntimeError("wrk had no answer")
    return found


def processor_ticks():
    """All ticks of all processors, and those that the hypervisor gave to others."""
    with open("/proc/stat") as stat:
        ticks = [int(field) for field in stat.readline().split()[1:9]]
    return sum(ticks), ticks[7]


def one(arguments, places, stack, work):
    """One run that counts, or the last of several in which too much was stolen."""
    command = server(stack, work, arguments)
    for _ in range(MOST_TRIES):
        before = processor_ticks()
        with Server(places["far" if stack == "veth" else stack], command) as pid:
            result = load(places[stack], arguments, pid, work, stack)
        after = processor_ticks()
        result["stolen"] = round((after[1] - before[1]) / max(1, after[0] - before[0]), 4)
        if result["stolen"] <= table.MOST_STOLEN:
            break
    return result


def all_runs(arguments, places, works):
    """Round by round, each work with every stack in turn, so that whatever the machine does it does to all."""
    done = {(line["round"], line["work"], line["stack"]) for line in table.read(arguments.results)}
    stacks = [stack for stack in places if stack != "far"]
    for number in range(arguments.rounds):
        for work in works:
            for stack in stacks[number % len(stacks) :] + stacks[: number % len(stacks)]:
                if work in LEFT_OUT.get(stack, ()) or (work in ONCE and number > 0) or (number, work, stack) in done:
                    continue
                try:
                    result = one(arguments, places, stack, work)
                except (RuntimeError, subprocess.TimeoutExpired) as error:
                    print(f"    {work} {stack}: {error}", file=sys.stderr)
                    continue
                line = {"round": number, "work": work, "stack": stack, "seconds": arguments.seconds} | result
                with open(arguments.results, "a") as file:
                    file.write(json.dumps(line) + "\n")
        print(f"round {number + 1} of {arguments.rounds} done at {time.strftime('%T')}", file=sys.stderr)


def main():
    parser = argparse.ArgumentParser(description="the runs of scripts/bench")
    parser.add_argument("--programs", required=True)
    parser.add_argument("--results", required=True)
    parser.add_argument("--work", default=",".join(LOADS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--connections", type=int, default=100_000)
    parser.add_argument("--serve", default="", help="further arguments of tidegate serve")
    parser.add_argument("--report", help="write this page too")
    parser.add_argument("--command", help="what the page says that made it")
    parser.add_argument("places", nargs="+", help="STACK=NAMESPACE")
    arguments = parser.parse_args()
    works = arguments.work.split(",")
    for work in works:
        if work not in LOADS:
            sys.exit(f"bench: no work '{work}'; there is {','.join(LOADS)}")
    # Told to end, end what was started first.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    # Before the load adds its own.
    load_average = os.getloadavg()[0]
    places = dict(place.split("=", 1) for place in arguments.places)
    all_runs(arguments, places, works)
    lines = table.read(arguments.results)
    print(table.text(lines))
    if arguments.report and lines:
        page.write(arguments.report, lines, arguments.command, f"{load_average:.1f}", arguments.programs)


if __name__ == "__main__":
    main()
