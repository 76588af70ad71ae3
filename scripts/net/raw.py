"""Packets as the kernel never sends them: built here, put on the stack's device and taken from it by a packet socket.

Sources are addresses that the host does not own, so its kernel takes no part: what the stack answers to them, it drops.
"""

import collections
import itertools
import os
import random
import socket
import struct
import time

STACK4, STACK6 = "10.77.0.2", "fd77::2"
HOST = ("10.77.0.1", "fd77::1")
# The crafted peers' addresses: within the stack's subnets, not the host's.
PEER4, PEER6 = "10.77.0.50", "fd77::50"
FENCE = "10.77.0.250"

FIN, SYN, RST, PSH, ACK, URG = 1, 2, 4, 8, 16, 32
TCP, UDP, ICMP, ICMP6, FRAGMENT = 6, 17, 1, 58, 44
MORE = 0x2000

TIMEOUT = 10
SOL_PACKET, PACKET_IGNORE_OUTGOING, PACKET_OUTGOING, SO_RCVBUFFORCE = 263, 23, 4, 33


class Unexpected(Exception):
    """What came, or did not come, against what had to."""


def expect(what, wanted, got):
    if wanted != got:
        raise Unexpected(f"{what}: expected {wanted!r}, got {got!r}")


def packed(address):
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)


def sum16(data):
    """The one's complement sum, not complemented."""
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def checksum(data):
    return sum16(data) ^ 0xFFFF


def pseudo(src, dst, protocol, length):
    return packed(src) + packed(dst) + struct.pack("!II", length, protocol)


# --- building ---


def ip(src, dst, protocol, payload, ident=0, fragment=0, ttl=64, options=b""):
    """A packet of either version; `fragment` is IPv4's field: flags and offset in units of 8 bytes."""
    if ":" in dst:
        return struct.pack("!IHBB", 6 << 28, len(payload), protocol, ttl) + packed(src) + packed(dst) + payload
    size = 20 + len(options)
    head = struct.pack("!BBHHHBBH", 0x40 | size // 4, 0, size + len(payload), ident, fragment, ttl, protocol, 0)
    head += packed(src) + packed(dst) + options
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def tcp(src, dst, ports, flags, seq=0, ack=0, window=64000, options=b"", data=b"", wrong_sum=0, **rest):
    options += b"\1" * (-len(options) % 4)
    offset = (20 + len(options)) // 4 << 4
    head = struct.pack("!HHIIBBHHH", *ports, seq & 0xFFFFFFFF, ack & 0xFFFFFFFF, offset, flags, window, 0, 0) + options
    body = head + data
    total = checksum(pseudo(src, dst, TCP, len(body)) + body) ^ wrong_sum
    return ip(src, dst, TCP, body[:16] + struct.pack("!H", total) + body[18:], **rest)


def udp(src, dst, ports, data, **rest):
    body = struct.pack("!HHHH", *ports, 8 + len(data), 0) + data
    total = checksum(pseudo(src, dst, UDP, len(body)) + body) or 0xFFFF
    return ip(src, dst, UDP, body[:6] + struct.pack("!H", total) + body[8:], **rest)


def echo_message(src, dst, ident, data):
    """An ICMP or ICMPv6 echo request, without its IP header."""
    kind, extra = (128, pseudo(src, dst, ICMP6, 8 + len(data))) if ":" in dst else (8, b"")
    body = struct.pack("!BBHHH", kind, 0, 0, ident, 1) + data
    return body[:2] + struct.pack("!H", checksum(extra + body)) + body[4:]


def echo(src, dst, ident, data=b"", **rest):
    return ip(src, dst, ICMP6 if ":" in dst else ICMP, echo_message(src, dst, ident, data), **rest)


def fragment(src, dst, protocol, ident, start, data, more):
    """One fragment: `data` at byte `start` of the datagram; nothing checks that this makes sense."""
    if ":" in dst:
        head = struct.pack("!BBHI", protocol, 0, start & 0xFFF8 | more, ident)
        return ip(src, dst, FRAGMENT, head + data)
    return ip(src, dst, protocol, data, ident=ident, fragment=(MORE if more else 0) | start // 8)


# --- reading ---

Packet = collections.namedtuple("Packet", "src dst protocol payload ident from_stack")
Segment = collections.namedtuple("Segment", "src dst sport dport seq ack flags window options data")


def parse(raw, from_stack):
    """The parts of an IP packet without extension headers, None for what is none."""
    version = raw[0] >> 4
    if version == 4 and len(raw) >= 20:
        size, total, ident = (raw[0] & 15) * 4, *struct.unpack("!HH", raw[2:6])
        src, dst, protocol = socket.inet_ntop(socket.AF_INET, raw[12:16]), socket.inet_ntop(socket.AF_INET, raw[16:20]), raw[9]
        return Packet(src, dst, protocol, raw[size:total], ident, from_stack)
    if version == 6 and len(raw) >= 40:
        src, dst = socket.inet_ntop(socket.AF_INET6, raw[8:24]), socket.inet_ntop(socket.AF_INET6, raw[24:40])
        return Packet(src, dst, raw[6], raw[40:], 0, from_stack)
    return None


def segment(packet):
    """The TCP segment in a packet; None if it holds none."""
    if packet is None or packet.protocol != TCP:
        return None
    sport, dport, seq, ack, offset, flags, window = struct.unpack("!HHIIBBH", packet.payload[:16])
    size = offset >> 4 << 2
    options = packet.payload[20:size]
    return Segment(packet.src, packet.dst, sport, dport, seq, ack, flags, window, options, packet.payload[size:])


def flags_of(segment):
    """`SA` for a SYN-ACK, `.` for a plain ACK."""
    letters = "".join(letter for bit, letter in zip((FIN, SYN, RST, PSH, ACK), "FSRPA") if segment.flags & bit)
    return "." if letters == "A" else letters


# --- the wire ---


class Wire:
    """The device, from outside of both stacks: what is sent here reaches tidegate, what is seen here came from either side."""

    fences = itertools.count(1)

    def __init__(self, device="tide0", host_too=False):
        self.device = device
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        # Before the bind, which is what starts the flow of packets.
        if not host_too:
            self.socket.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 256 << 20)
        self.socket.bind((device, 3))

    def send(self, *packets):
        for packet in packets:
            self.socket.send(packet)

    def packets(self, seconds=TIMEOUT):
        """What passes, until the time is over."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self.socket.settimeout(left)
            try:
                raw, address = self.socket.recvfrom(70000)
            except TimeoutError:
                return
            if packet := parse(raw, address[2] != PACKET_OUTGOING):
                yield packet

    def drain(self):
        """Forgets what passed so far."""
        self.socket.setblocking(False)
        try:
            while self.socket.recv(1):
                pass
        except BlockingIOError:
            return

    def wait(self, what, find, seconds=TIMEOUT):
        """The first that `find` makes something of."""
        for packet in self.packets(seconds):
            if found := find(packet):
                return found
        raise Unexpected(f"{what} did not come within {seconds} s")

    def answers(self, *packets):
        """Sends, and returns what the stack sent up to a moment when it has surely dealt with all of it: it answers a
        second ping, sent after its answer to the first, in a later burst than these packets."""
        self.drain()
        self.send(*packets)
        seen = []
        for _ in range(2):
            ident = 0xF000 | next(self.fences) & 0xFFF
            self.send(echo(FENCE, STACK4, ident))
            for packet in self.packets():
                if packet.dst == FENCE and packet.payload[4:6] == struct.pack("!H", ident):
                    break
                if packet.from_stack:
                    seen.append(packet)
            else:
                raise Unexpected("the stack does not answer to ping any more")
        return seen

    def silence(self, what, *packets):
        """None of these may be answered."""
        for packet in packets:
            got = [answer for answer in self.answers(packet) if answer.dst not in HOST]
            expect(f"answers to {what}, packet {packet.hex()}", [], got)


class Peer:
    """One end of a connection with the stack, without a mind of its own: it sends what it is told."""

    ports = itertools.count(random.SystemRandom().randrange(20000, 50000))

    def __init__(self, wire, port, dst=STACK4, src=None, sport=None, isn=None):
        self.wire, self.dst, self.src = wire, dst, src or (PEER6 if ":" in dst else PEER4)
        self.ports = (sport or next(Peer.ports), port)
        self.isn = int.from_bytes(os.urandom(4), "big") if isn is None else isn
        self.seq, self.ack, self.window = self.isn, 0, 64000

    def packet(self, flags, data=b"", offset=0, ack=None, **rest):
        """A segment `offset` beyond the next sequence number."""
        rest.setdefault("window", self.window)
        ack = self.ack if ack is None and flags & ACK else ack or 0
        return tcp(self.src, self.dst, self.ports, flags, self.seq + offset, ack, data=data, **rest)

    def send(self, flags, data=b"", **rest):
        """The same, sent; the sequence number moves on."""
        self.wire.send(self.packet(flags, data, **rest))
        self.seq = self.seq + len(data) + bool(flags & SYN) + bool(flags & FIN) & 0xFFFFFFFF

    def is_for_me(self, packet):
        got = segment(packet)
        mine = got and (got.src, got.dst, got.dport, got.sport) == (self.dst, self.src, *self.ports)
        return got if mine else None

    def receive(self, what, accept=lambda got: True, seconds=TIMEOUT):
        """The next segment of this connection that is wanted."""
        return self.wire.wait(what, lambda packet: (got := self.is_for_me(packet)) and accept(got) and got, seconds)

    def answers(self, *packets):
        """What the stack says at once in this connection."""
        return [got for packet in self.wire.answers(*packets) if (got := self.is_for_me(packet))]

    def connect(self, options=b"", acknowledge=True):
        """Through the handshake, or half through it; returns the SYN-ACK."""
        self.send(SYN, options=options)
        got = self.receive("SYN-ACK")
        expect("the answer to a SYN", "SA", flags_of(got))
        expect("its acknowledgement", self.seq, got.ack)
        self.ack = got.seq + 1 & 0xFFFFFFFF
        if acknowledge:
            self.send(ACK)
        return got

    def read(self, wanted):
        """Takes data in order and acknowledges it until `wanted` bytes or the FIN have come; also the sizes of the segments."""
        data, sizes = b"", []
        while wanted(data) if callable(wanted) else len(data) < wanted:
            got = self.receive(f"more than {len(data)} bytes")
            if got.flags & RST:
                raise Unexpected("a RST came in the middle of the data")
            if got.seq == self.ack and (got.data or got.flags & FIN):
                data, sizes = data + got.data, sizes + [len(got.data)]
                self.ack = self.ack + len(got.data) + bool(got.flags & FIN) & 0xFFFFFFFF
                self.send(ACK)
                if got.flags & FIN:
                    break
        return data, sizes

    def leave(self):
        """Ends the connection, so that the server has none to wait for."""
        self.send(RST)


def learn(wire, sock):
    """A Peer that speaks in the name of an established kernel connection: its numbers are read off the next exchange."""
    (src, sport), (dst, port) = sock.getsockname()[:2], sock.getpeername()[:2]
    peer = Peer(wire, port, dst, src, sport)
    sock.sendall(b"x")
    got = peer.receive("the echo", lambda got: got.data == b"x")
    sock.recv(1)
    peer.seq, peer.ack = got.ack, got.seq + 1 & 0xFFFFFFFF
    return peer
