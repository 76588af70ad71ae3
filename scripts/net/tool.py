#!/usr/bin/env python3
"""What the namespace cases need and no packaged program does: many sockets at once, a paused reader, an open TUN descriptor.

Each command is one function; it ends with status 0 when all went well, else says in one line what did not.
"""

import fcntl
import functools
import hashlib
import http.server
import os
import resource
import socket
import struct
import sys
import threading
import time

TIMEOUT = 60


def connect(host, port):
    return socket.create_connection((host, int(port)), timeout=TIMEOUT)


def parallel(host, port, count, size):
    """COUNT connections, all open at the same moment, each echoing SIZE bytes of its own and half-closing."""
    count, size = int(count), int(size)
    all_open = threading.Barrier(count, timeout=TIMEOUT)
    failures = []

    def one(number):
        try:
            data = hashlib.shake_128(b"%d" % number).digest(size)
            with connect(host, port) as stream:
                all_open.wait()
                sender = threading.Thread(target=lambda: (stream.sendall(data), stream.shutdown(socket.SHUT_WR)))
                sender.start()
                echoed = b"".join(iter(lambda: stream.recv(65536), b""))
                sender.join()
            if echoed != data:
                failures.append(f"connection {number}: {len(echoed)} bytes back, or not the same")
        except (OSError, threading.BrokenBarrierError) as error:
            failures.append(f"connection {number}: {error!r}")

    threads = [threading.Thread(target=one, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        sys.exit(f"{len(failures)} of {count} failed, first: {failures[0]}")


def udp_echo(host, port, *sizes):
    """One datagram of each size; the answer must be the same. UDP may lose, so each is tried three times."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as udp:
        udp.connect((host, int(port)))
        udp.settimeout(2)
        for size in map(int, sizes):
            data = os.urandom(size)
            for _ in range(3):
                udp.send(data)
                try:
                    if udp.recv(65536) == data:
                        break
                except socket.timeout:
                    pass
            else:
                sys.exit(f"{size} bytes: no equal answer")


def udp_segments(host, port, size, count, rounds, gro):
    """ROUNDS bursts of COUNT datagrams of SIZE bytes and a shorter one, each burst in one call (UDP_SEGMENT). The echo must bring
    every datagram back as it was, in order; with GRO `gro` the kernel hands over what came together (UDP_GRO)."""
    SOL_UDP, UDP_SEGMENT, UDP_GRO = 17, 103, 104
    size, count, rounds = int(size), int(count), int(rounds)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    together = 0
    with socket.socket(family, socket.SOCK_DGRAM) as udp:
        udp.connect((host, int(port)))
        udp.settimeout(10)
        udp.setsockopt(SOL_UDP, UDP_SEGMENT, size)
        if gro == "gro":
            udp.setsockopt(SOL_UDP, UDP_GRO, 1)
        for number in range(rounds):
            data = os.urandom(size * count + size // 2)
            udp.send(data)
            sent = [data[at : at + size] for at in range(0, len(data), size)]
            back = []
            while len(back) < len(sent):
                try:
                    part, ancillary, _, _ = udp.recvmsg(65536, 64)
                except socket.timeout:
                    sys.exit(f"round {number}: {len(back)} of {len(sent)} datagrams came back")
                strides = [struct.unpack_from("=H", value)[0] for level, kind, value in ancillary if (level, kind) == (SOL_UDP, UDP_GRO)]
                stride = strides[0] if strides else len(part)
                back += [part[at : at + stride] for at in range(0, len(part), stride)]
                together += len(part) > stride
            if back != sent:
                sys.exit(f"round {number}: other datagrams came back")
    print(together)


def udp_refused(host, port):
    """A datagram to a closed port must come back as an error of the socket (port unreachable)."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as udp:
        udp.connect((host, int(port)))
        udp.settimeout(5)
        udp.send(b"anyone?")
        try:
            udp.recv(1)
        except ConnectionRefusedError:
            return
        except socket.timeout:
            sys.exit("no port unreachable came back")
        sys.exit("a datagram came back")


def raw_http(host, port):
    """Writes stdin to the server, one byte a segment, and the answer to stdout; the server must close."""
    with connect(host, port) as stream:
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in sys.stdin.buffer.read():
            stream.send(bytes([byte]))
        for part in iter(lambda: stream.recv(65536), b""):
            sys.stdout.buffer.write(part)


def reader(host, path):
    """GET with a pause after the first megabyte: prints `midway`, waits for a line, then `complete HASH` or `cut BYTES`."""
    with connect(host, 80) as stream:
        stream.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        data = b""
        while len(data) < 1_000_000:
            part = stream.recv(65536)
            if not part:
                sys.exit("closed before the first megabyte")
            data += part
        head, _, body = data.partition(b"\r\n\r\n")
        fields = dict(line.lower().split(": ", 1) for line in head.decode().split("\r\n")[1:])
        left = int(fields["content-length"]) - len(body)
        digest = hashlib.sha256(body)
        print("midway", flush=True)
        sys.stdin.readline()
        try:
            while left > 0 and (part := stream.recv(1 << 20)):
                digest.update(part)
                left -= len(part)
        except ConnectionError:
            pass
    print(f"complete {digest.hexdigest()}" if left == 0 else f"cut {left} bytes before the end", flush=True)


def tun_fd(name, *command):
    """Opens TUN device NAME with the virtio-net header and runs COMMAND, `FD` in it replaced by the descriptor's number."""
    TUNSETIFF, IFF_TUN, IFF_NO_PI, IFF_VNET_HDR = 0x400454CA, 0x0001, 0x1000, 0x4000
    tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI | IFF_VNET_HDR))
    os.set_inheritable(tun, True)
    arguments = [str(tun) if argument == "FD" else argument for argument in command]
    os.execv(arguments[0], arguments)


def serve_files(folder, port):
    """The kernel's side of `tidegate get`: an HTTP server on all addresses; prints `ready`."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=folder)
    http.server.ThreadingHTTPServer.address_family = socket.AF_INET6
    with http.server.ThreadingHTTPServer(("::", int(port)), handler) as server:
        print("ready", flush=True)
        server.serve_forever()


def upload(host, port, path):
    """A whole file to the discard service, in large writes, ended by a half-close."""
    with connect(host, port) as stream, open(path, "rb") as file:
        while block := file.read(1 << 20):
            stream.sendall(block)
        stream.shutdown(socket.SHUT_WR)
        if stream.recv(1):
            sys.exit("discard answered")


def leave(host, path, *sizes):
    """For each of SIZES: asks for a file (not for size 0), reads so much of it, and leaves with a RST (linger 0)."""
    for size in map(int, sizes):
        with connect(host, 80) as stream:
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            if size:
                stream.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
                stream.recv(size, socket.MSG_WAITALL)


def tcp_state(stream):
    return stream.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]


def close_wait(host, path):
    """Lets the server close first, then closes; the connection must end by that alone."""
    CLOSE, CLOSE_WAIT = 7, 8
    with connect(host, 80) as stream:
        stream.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        while stream.recv(1 << 20):
            pass
        if tcp_state(stream) != CLOSE_WAIT:
            sys.exit(f"not in CLOSE-WAIT after the server closed, but in state {tcp_state(stream)}")
        stream.shutdown(socket.SHUT_WR)
        deadline = time.monotonic() + 5
        while tcp_state(stream) != CLOSE:
            if time.monotonic() > deadline:
                sys.exit(f"our FIN was not acknowledged, state {tcp_state(stream)}")
            time.sleep(0.002)
        if error := stream.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            sys.exit(f"the connection ended with {os.strerror(error)}")


def hold(host, port, count, source):
    """COUNT connections from SOURCE, a byte echoed over each; then a line from stdin, and a byte over each again."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    held = []
    for _ in range(int(count)):
        held.append(socket.create_connection((host, int(port)), TIMEOUT, (source, 0)))
        echo_byte(held[-1])
    print("held", len(held), flush=True)
    sys.stdin.readline()
    for stream in held:
        echo_byte(stream)
    print("echoed", len(held), flush=True)


def echo_byte(stream):
    stream.send(b"?")
    if stream.recv(2) != b"?":
        sys.exit("a connection does not echo")


COMMANDS = {
    "parallel": parallel,
    "udp-echo": udp_echo,
    "udp-segments": udp_segments,
    "udp-refused": udp_refused,
    "raw-http": raw_http,
    "reader": reader,
    "tun-fd": tun_fd,
    "serve-files": serve_files,
    "upload": upload,
    "leave": leave,
    "hold": hold,
    "close-wait": close_wait,
}

if __name__ == "__main__":
    COMMANDS[sys.argv[1]](*sys.argv[2:])
