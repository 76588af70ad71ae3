#!/usr/bin/env python3
"""Hostile and broken peers, as commands: each plays one of shared/hostile-cases' families against a running `tidegate serve`.

Ends with status 0 when the stack behaved, else says in one line what it did instead.
"""

import os
import socket
import struct
import subprocess
import sys
import threading

sys.dont_write_bytecode = True

import raw
from raw import ACK, FIN, PSH, RST, SYN, URG, Peer, Unexpected, Wire, expect, flags_of

STACKS = (raw.STACK4, raw.STACK6)
MSS = b"\2\4\5\xb4"
ECHO, DISCARD, CHARGEN, HTTP, CLOSED = 7, 9, 19, 80, 81


def works(dst=raw.STACK4):
    """A plain connection to the echo service, by the kernel."""
    with socket.create_connection((dst, ECHO), timeout=raw.TIMEOUT) as sock:
        sock.sendall(b"works")
        expect("echo", b"works", sock.recv(5, socket.MSG_WAITALL))


# --- floods ---


def crowd(count, ports=(HTTP,)):
    """COUNT SYNs, each from an address (198.18.0.0/15, RFC 2544) and a port of its own."""
    for number in range(count):
        src = f"198.18.{number >> 8 & 255}.{number & 255}"
        where = (1024 + number % 60000, ports[number % len(ports)])
        yield (src, where), raw.tcp(src, raw.STACK4, where, SYN, seq=number * 7919, options=MSS)


def flood(wire, packets, unanswered=400):
    """Sends as fast as answers come, at most so many ahead of them, or the device's queue would drop what honest clients
    send, too. Returns the SYN-ACKs by the tuple they are for, and the tuples of those that came again meanwhile."""
    wanted, seen, again = set(), {}, set()
    packets = iter(packets)

    def fill():
        for key, packet in packets:
            wanted.add(key)
            wire.send(packet)
            if len(wanted) >= unanswered:
                break

    fill()
    for packet in wire.packets(60):
        got = raw.segment(packet)
        key = got and (got.dst, (got.dport, got.sport))
        if key in seen:
            again.add(key)
        if key in wanted and flags_of(got) == "SA":
            wanted.remove(key)
            seen[key] = got
            fill()
            if not wanted:
                return seen, again
    raise Unexpected(f"{len(wanted)} SYNs were not answered, {len(seen)} were")


def syn_flood(count):
    """COUNT spoofed SYNs to HTTP, none ever completed: each is answered, if only with a cookie."""
    wire = Wire()
    seen, _ = flood(wire, crowd(int(count)))
    print(len(seen))


def half_open(count):
    """COUNT handshakes begun over three services and none completed. All are kept, which shows when each SYN-ACK comes
    again after its second; `held` is printed then. After a line on stdin each is reset, and not one speaks again."""
    count, wire = int(count), Wire()
    seen, again = flood(wire, crowd(count, (ECHO, DISCARD, CHARGEN)))
    left = set(seen) - again
    for packet in wire.packets(20):
        got = raw.segment(packet)
        left.discard(got and (got.dst, (got.dport, got.sport)))
        if not left:
            break
    expect("half-open connections whose SYN-ACK did not come again", 0, len(left))
    print("held", flush=True)
    sys.stdin.readline()
    for (src, where), got in seen.items():
        wire.send(raw.tcp(src, raw.STACK4, where, RST, seq=got.ack))
        if where[0] % 64 == 0:
            wire.answers()
    wire.answers()
    speaking = [packet for packet in wire.packets(3) if packet.dst.startswith("198.18.")]
    expect("segments for connections that were reset", 0, len(speaking))
    print("gone", flush=True)


def fragment_flood(count):
    """COUNT first fragments of datagrams that never end (row P9); a fragmented ping of somebody else is answered after it."""
    wire = Wire()
    part = b"\x08\0\0\0" + bytes(60)
    for number in range(int(count)):
        src = f"198.18.{number >> 8 & 255}.{number & 255}"
        wire.send(raw.fragment(src, raw.STACK4, raw.ICMP, number & 0xFFFF, 0, part, True))
        if number % 256 == 0:
            wire.answers()
    fragmented_ping_works(wire)


# --- blind attackers ---


def victim(wire, dst):
    """A connection of the kernel with the echo service, and an attacker who knows everything about it."""
    sock = socket.create_connection((dst, ECHO), timeout=raw.TIMEOUT)
    return sock, raw.learn(wire, sock)


def lives(sock, attacker):
    sock.sendall(b"alive")
    expect("echo", b"alive", sock.recv(5, socket.MSG_WAITALL))
    attacker.seq, attacker.ack = attacker.seq + 5, attacker.ack + 5


def blind_resets():
    """RFC 5961 section 3: only the exact number resets; another in the window draws a challenge, one outside nothing."""
    for dst in STACKS:
        wire = Wire()
        sock, attacker = victim(wire, dst)
        got = attacker.answers(attacker.packet(RST, offset=1000))
        expect("the answer to a RST in the window", [(".", attacker.ack, attacker.seq)], [(flags_of(s), s.seq, s.ack) for s in got])
        for offset in (1, 60000, -1, -1000, 1 << 30):
            expect(f"the answer to another RST at {offset}", [], attacker.answers(attacker.packet(RST, offset=offset)))
        other_sock, other = victim(wire, dst)
        expect("challenges of another connection meanwhile", 1, len(other.answers(other.packet(RST, offset=1))))
        lives(other_sock, other)
        lives(sock, attacker)
        expect("the answer to an exact RST", [], attacker.answers(attacker.packet(RST)))
        ended(sock)


def ended(sock):
    """The stack knows the connection no more: what the kernel still sends is reset."""
    sock.sendall(b"anyone?")
    try:
        got = sock.recv(1)
    except ConnectionResetError:
        return
    raise Unexpected(f"the connection lives after an exact RST: {got!r}")


def blind_data():
    """RFC 5961 section 5: data in the window with an acknowledgement from the future or from long ago is not delivered."""
    for dst in STACKS:
        wire = Wire()
        sock, attacker = victim(wire, dst)
        forged = [attacker.packet(PSH | ACK, b"forged", ack=attacker.ack + off) for off in (1, 1 << 20, -(1 << 30), 1 << 31)]
        got = attacker.answers(*forged)
        expect("the answer", [(".", attacker.ack, attacker.seq)], [(flags_of(s), s.seq, s.ack) for s in got])
        lives(sock, attacker)
        sock.shutdown(socket.SHUT_WR)
        expect("what else was echoed", b"", sock.recv(100))


def blind_syn():
    """RFC 5961 section 4: a SYN draws a challenge, wherever it lies, and the connection lives. A peer that did reboot
    answers the challenge with a RST, and its next SYN is taken."""
    for dst in STACKS:
        wire = Wire()
        for offset in (-1, 0, 1000, 1 << 30):
            sock, attacker = victim(wire, dst)
            got = attacker.answers(attacker.packet(SYN, offset=offset))
            expect(f"the answer to a SYN at {offset}", [(".", attacker.ack)], [(flags_of(s), s.ack - attacker.seq + s.seq) for s in got])
            lives(sock, attacker)
            sock.close()
        before = Peer(wire, ECHO, dst)
        before.connect()
        after = Peer(wire, ECHO, dst, sport=before.ports[0], isn=before.seq + 5000)
        challenge = after.answers(after.packet(SYN))
        expect("the answer to a rebooted peer's SYN", [(".", before.seq)], [(flags_of(s), s.ack) for s in challenge])
        expect("the answer to its RST", [], after.answers(raw.tcp(after.src, dst, after.ports, RST, challenge[0].ack)))
        after.connect(MSS)
        after.send(PSH | ACK, b"again")
        expect("echo", b"again", after.read(5)[0])
        after.leave()


# --- what never should be on the wire ---


def land():
    """Segments and datagrams from the stack to itself, and datagrams from another host's echo or chargen service: dropped in
    silence, and no loop begins."""
    wire = Wire()
    for me in STACKS:
        for port in (ECHO, HTTP, CLOSED):
            tcp = [raw.tcp(me, me, (port, port), flags) for flags in (SYN, SYN | ACK, ACK, RST, FIN)]
            wire.silence("LAND", *tcp, raw.udp(me, me, (port, port), b"loop"), raw.echo(me, me, 1))
        peer = raw.PEER6 if ":" in me else raw.PEER4
        wire.silence("a loop", *(raw.udp(peer, me, (port, ECHO), b"loop") for port in (ECHO, CHARGEN)))


def martians():
    """Addresses that cannot be a peer's, groups as either end, a dead hop limit, a wrong checksum, port 0: all silent."""
    wire = Wire()
    sources = {raw.STACK4: ("0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255", "10.77.0.255"),
               raw.STACK6: ("::", "::1", "ff02::1", "::ffff:10.77.0.1")}
    for dst, strangers in sources.items():
        for src in strangers:
            wire.silence(f"a martian {src}", *knocks(src, dst))
    for src, groups in ((raw.PEER4, ("10.77.0.255", "255.255.255.255", "224.0.0.1")), (raw.PEER6, ("ff02::1",))):
        for group in groups:
            wire.silence(f"a packet to {group}", *knocks(src, group))
    for src, dst in ((raw.PEER4, raw.STACK4), (raw.PEER6, raw.STACK6)):
        dead = [raw.tcp(src, dst, (5000, HTTP), SYN, ttl=0), raw.udp(src, dst, (5000, ECHO), b"x", ttl=0)]
        broken = [raw.tcp(src, dst, (5000, HTTP), SYN, wrong_sum=0x1111)]
        ports = [raw.tcp(src, dst, where, SYN) for where in ((0, HTTP), (5000, 0))]
        wire.silence("a dead, broken or portless packet", *dead, *broken, *ports)
    for dst in STACKS:
        works(dst)


def knocks(src, dst):
    """What would be answered if it came from an honest peer to the stack."""
    tcp = [raw.tcp(src, dst, (5000, port), SYN) for port in (HTTP, CLOSED)]
    return *tcp, *(raw.udp(src, dst, (5000, port), b"x") for port in (ECHO, CLOSED)), raw.echo(src, dst, 1)


def ip_options():
    """IPv4 options: broken lists and source routes are dropped, the others ignored, and none comes back in an answer."""
    wire = Wire()
    route = b"\3\7\4" + raw.packed("10.77.0.9")
    bad = {"a loose source route": b"\x83" + route[1:] + b"\0", "a strict one": b"\x89" + route[1:] + b"\0",
           "two source routes": (b"\x83" + route[1:] + b"\1") * 2, "length 0": b"\7\0\4\0", "length 1": b"\7\1\4\0",
           "a length beyond the header": b"\7\x2c\4\0"}
    for what, options in bad.items():
        for packet in (raw.tcp(raw.PEER4, raw.STACK4, (5000, HTTP), SYN, ttl=64), raw.echo(raw.PEER4, raw.STACK4, 1)):
            wire.silence(what, with_options(packet, options))
    good = {"padding alone": b"\1" * 40, "a record route that is full": b"\7\7\x08" + bytes(4) + b"\0",
            "timestamps with a pointer beyond the end": b"\x44\x08\xff\0" + bytes(4)}
    for what, options in good.items():
        got = wire.answers(with_options(raw.echo(raw.PEER4, raw.STACK4, 9, b"data"), options))
        expect(f"the answer to a ping with {what}", [b"\0\0"], [packet.payload[:2] for packet in got])
        expect("its size", 12, len(got[0].payload))
        peer = Peer(wire, ECHO)
        syn = with_options(peer.packet(SYN), options)
        expect(f"the answer to a SYN with {what}", ["SA"], [flags_of(s) for s in peer.answers(syn)])


def with_options(packet, options):
    src, dst = socket.inet_ntoa(packet[12:16]), socket.inet_ntoa(packet[16:20])
    return raw.ip(src, dst, packet[9], packet[20:], options=options)


# --- fragments ---


def overlapping_fragments():
    """Teardrop and its kin: a datagram with an overlap is discarded whole and in silence, what comes of it later too.
    Only an exact duplicate is forgiven."""
    wire = Wire()
    for number, dst in enumerate(STACKS):
        def tried(*parts, same=b"", ident):
            src = raw.PEER6 if ":" in dst else raw.PEER4
            data = raw.echo_message(src, dst, 77, bytes(range(120)))
            protocol = raw.ICMP6 if ":" in dst else raw.ICMP
            other = bytes(128)
            packets = [raw.fragment(src, dst, protocol, ident, start, (other if lie else data)[start:end], more)
                       for start, end, more, lie in parts]
            return [packet.payload[0] for packet in wire.answers(*packets)]

        reply = 129 if ":" in dst else 0
        whole = [(0, 64, True, False), (64, 128, False, False)]
        expect("the answer to whole fragments", [reply], tried(*whole, ident=1000))
        expect("the answer with one twice", [reply], tried(whole[0], *whole, ident=1001))
        expect("the answer in reverse order", [reply], tried(*whole[::-1], ident=1002))
        for ident, bad in enumerate((
            [(0, 64, True, False), (32, 40, True, False), (64, 128, False, False)],  # inside the first
            [(0, 64, True, False), (56, 128, False, False)],  # over the first's end
            [(8, 16, True, False), (0, 64, True, False), (64, 128, False, False)],  # around one
            [(0, 64, True, False), (0, 64, True, True), (64, 128, False, False)],  # other bytes at the same place
            [(64, 128, False, False), (64, 120, False, False), (0, 64, True, False)],  # two ends
            [(64, 96, False, False), (96, 128, True, False), (0, 64, True, False)],  # beyond the end
            [(0, 64, True, False), (24, 24, True, False), (64, 128, False, False)],  # nothing at all
        )):
            expect(f"the answer to {bad}", [], tried(*bad, *whole, ident=2000 + ident))
    fragmented_ping_works(wire)


def ping_of_death():
    """Fragments that end beyond 65,535 bytes: no answer, no harm; the largest ping there can be is answered."""
    wire = Wire()
    for dst in STACKS:
        src, protocol = (raw.PEER6, raw.ICMP6) if ":" in dst else (raw.PEER4, raw.ICMP)
        data = raw.echo_message(src, dst, 78, bytes(65528 - 8))
        parts = [(start, data[start:start + 1400], True) for start in range(0, 65528 - 1400, 1400)]
        packets = [raw.fragment(src, dst, protocol, 3000, *part) for part in parts]
        death = raw.fragment(src, dst, protocol, 3000, 65528, bytes(1400), False)
        expect("the answer to a ping of death", [], wire.answers(*packets, death))
    fragmented_ping_works(wire)


def fragmented_ping_works(wire):
    for dst in STACKS:
        src, protocol = (raw.PEER6, raw.ICMP6) if ":" in dst else (raw.PEER4, raw.ICMP)
        data = raw.echo_message(src, dst, 79, os.urandom(1200))
        ident = int.from_bytes(os.urandom(2), "big")
        got = wire.answers(*(raw.fragment(src, dst, protocol, ident, start, data[start:start + 400], start + 400 < len(data))
                             for start in range(0, len(data), 400)))
        expect("the answer to an honest fragmented ping", [data[4:]], [packet.payload[4:] for packet in got])


# --- peers that misbehave in a connection ---


def tiny_mss():
    """A page for clients that announce a tiny MSS, or none: segments keep the floor of 48 bytes with their options, and
    536 (1220 by version 6) where nothing was said. The server must run without offload."""
    wire = Wire()
    stamps = b"\1\1\x08\x0a\0\0\0\1\0\0\0\0"
    for dst, default in ((raw.STACK4, 536), (raw.STACK6, 1220)):
        for mss, floor in ((0, 48), (1, 48), (8, 48), (48, 48), (100, 100), (None, default)):
            option = b"" if mss is None else b"\2\4" + struct.pack("!H", mss)
            for stamped in (b"", stamps):
                peer = Peer(wire, HTTP, dst)
                peer.connect(option + stamped)
                peer.send(PSH | ACK, b"GET / HTTP/1.0\r\nAccept: text/html\r\n\r\n", options=stamped)
                page, sizes = peer.read(lambda page: True)
                expect(f"status with MSS {mss}", b"HTTP/1.1 200", page[:12].replace(b"1.0", b"1.1"))
                expect("the end of the page", True, page.rstrip().endswith(b"</html>"))
                expect(f"the largest segment with MSS {mss} and {len(stamped)} bytes of options", floor - len(stamped), max(sizes))
                peer.leave()


def stalled(count, path):
    """COUNT clients that ask for a large file, or for chargen without end, and read nothing, by the kernel, which answers
    the probes of their closed windows for ever. Prints `stalled`; leaves at a line on stdin."""
    socks = []
    for number in range(int(count)):
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(raw.TIMEOUT)
        sock.connect((raw.STACK4, HTTP if number % 2 else CHARGEN))
        if number % 2:
            sock.sendall(f"GET {path} HTTP/1.1\r\nHost: tide\r\n\r\n".encode())
        socks.append(sock)
    print("stalled", flush=True)
    sys.stdin.readline()
    for sock in socks:
        sock.close()
    print("gone", flush=True)


def handshake_oddities():
    """What is no honest beginning: SYN with FIN or RST, no flag, all flags, a FIN or an ACK out of nothing; data on a SYN;
    a SYN-ACK to a listener; a SYN with another number in the middle of a handshake."""
    wire = Wire()
    for dst in STACKS:
        open_port = lambda flags: Peer(wire, ECHO, dst).packet(flags, ack=1)
        silent = (0, FIN, PSH | URG | FIN, SYN | FIN, SYN | RST, RST, RST | ACK, URG, SYN | FIN | RST | PSH | URG | ACK)
        wire.silence("a scan of an open port", *map(open_port, silent))
        for flags, answer in ((ACK, "R"), (SYN | ACK, "R"), (FIN | ACK, "R")):
            peer = Peer(wire, ECHO, dst)
            got = peer.answers(peer.packet(flags, ack=5000))
            expect(f"the answer to flags {flags} out of nothing", [(answer, 5000)], [(flags_of(s), s.seq) for s in got])
        data_on_a_syn(Peer(wire, ECHO, dst))
        other_syn(Peer(wire, ECHO, dst))
        works(dst)


def data_on_a_syn(peer):
    """It is not kept (no cookie of RFC 7413 came with it): the SYN alone is acknowledged, the data comes again."""
    syn = peer.packet(SYN, b"early")
    got = peer.answers(syn)
    expect("the answer to data on a SYN", [("SA", peer.seq + 1 & 0xFFFFFFFF)], [(flags_of(s), s.ack) for s in got])
    peer.seq, peer.ack = peer.seq + 1 & 0xFFFFFFFF, got[0].seq + 1 & 0xFFFFFFFF
    peer.send(PSH | ACK, b"early")
    expect("echo", b"early", peer.read(5)[0])
    peer.leave()


def other_syn(peer):
    """A second SYN with another number does not replace the first, which can still be completed."""
    peer.connect(acknowledge=False)
    peer.answers(raw.tcp(peer.src, peer.dst, peer.ports, SYN, peer.isn + 70000))
    peer.send(ACK)
    peer.send(PSH | ACK, b"first")
    expect("echo", b"first", peer.read(5)[0])
    peer.leave()


# --- tidegate as the client ---


def odd_server(kind, device, tidegate):
    """`tidegate get` from a server whose handshake is none of the usual: `split` (ACK, then SYN) or `simultaneous`
    (a SYN that crosses the client's)."""
    address, page = "10.78.0.50", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"
    wire = Wire(device)
    get = subprocess.Popen([tidegate, "get", "--tun", device, f"http://{address}/"], stdout=subprocess.PIPE)
    syn = wire.wait("the client's SYN", lambda packet: (got := raw.segment(packet)) and got.dst == address and got)
    peer = Peer(wire, syn.sport, syn.src, address, syn.dport)
    peer.ack = syn.seq + 1 & 0xFFFFFFFF
    if kind == "split":
        wire.send(peer.packet(ACK))
    peer.send(SYN, options=MSS)
    got = peer.receive("the client's SYN-ACK", lambda got: got.flags & SYN and got.flags & ACK)
    expect("what it acknowledges", peer.seq, got.ack)
    peer.send(ACK)
    request, _ = peer.read(lambda data: not data.endswith(b"\r\n\r\n"))
    expect("the request", b"GET / HTTP/1.1", request[:14])
    peer.send(PSH | FIN | ACK, page)
    peer.read(lambda data: True)
    expect("what was fetched", (b"hello", 0), (get.communicate(timeout=raw.TIMEOUT)[0], get.returncode))


COMMANDS = {
    function.__name__.replace("_", "-"): function
    for function in (
        syn_flood, half_open, fragment_flood, blind_resets, blind_data, blind_syn, land, martians, ip_options,
        overlapping_fragments, ping_of_death, tiny_mss, stalled, handshake_oddities, odd_server,
    )
}

if __name__ == "__main__":
    try:
        COMMANDS[sys.argv[1]](*sys.argv[2:])
    except (Unexpected, OSError) as error:
        sys.exit(f"    {sys.argv[1]}: {error}")
