"""A neighbour with a full table: AS 65000 on port 179. It prints `listening`;
at a line of standard input it sends the feed, and prints `sent`, once or
`over` and over until the next line; at another it prints how often it sent the
feed, and the longest gap between two keepalives of the other side.

    feed.py COUNT once|over

The feed is COUNT IPv4 prefixes with the lengths of a real table, in UPDATEs
that share attributes as real ones do: 4.6 prefixes on average, AS paths of 3
to 10 ASes, communities on most, large communities on some.
"""

import random
import select
import socket
import struct
import sys
import threading
import time

from observer import END_OF_RIB, exactly, listen, message, open_message

# Share of each prefix length in percent, from a table of May 2026.
LENGTHS = {8: 0.01, 12: 0.05, 16: 1.4, 18: 1.3, 19: 2.5, 20: 4.4, 21: 5.0, 22: 11.0, 23: 10.3,
           24: 64.0}


def attribute(flags, code, value):
    if len(value) > 255:
        return struct.pack("!BBH", flags | 0x10, code, len(value)) + value
    return struct.pack("!BBB", flags, code, len(value)) + value


def attributes(source):
    """Path attributes of one UPDATE, as a transit provider sends them."""
    path = [65000] + [source.randrange(1, 400000) for _ in range(source.randint(2, 7))]
    path += [path[-1]] * source.choice((0, 0, 0, 1, 2))
    value = struct.pack("!BB", 2, len(path)) + b"".join(struct.pack("!I", asn) for asn in path)
    out = attribute(0x40, 1, bytes([source.choice((0, 0, 0, 2))]))
    out += attribute(0x40, 2, value) + attribute(0x40, 3, bytes([10, 99, 0, 1]))
    if source.random() < 0.3:
        out += attribute(0x80, 4, struct.pack("!I", source.randrange(1000)))
    if source.random() < 0.7:
        many = [source.getrandbits(32) for _ in range(source.randint(1, 8))]
        out += attribute(0xC0, 8, b"".join(struct.pack("!I", one) for one in many))
    if source.random() < 0.15:
        many = [source.getrandbits(32) for _ in range(3 * source.randint(1, 4))]
        out += attribute(0xC0, 32, b"".join(struct.pack("!I", one) for one in many))
    return out


def prefixes(source, count):
    """`count` different prefixes in ascending order, as NLRI."""
    lengths = source.choices(list(LENGTHS), list(LENGTHS.values()), k=count)
    address = 1 << 24
    for length in lengths:
        size = 1 << (32 - max(length, 20))
        address = (address + size - 1) & -size
        yield bytes([length]) + struct.pack("!I", address)[:(length + 7) // 8]
        address += size
        if address >> 24 >= 224:
            address = 1 << 24


def feed(count):
    """The whole feed as bytes, and the number of its UPDATEs."""
    source = random.Random(7)
    rest = list(prefixes(source, count))
    out, updates, at = bytearray(), 0, 0
    while at < count:
        share = min(int(source.paretovariate(1.06)), 200)
        block = attributes(source)
        body = struct.pack("!HH", 0, len(block)) + block + b"".join(rest[at:at + share])
        out += message(2, body)
        updates, at = updates + 1, at + share
    return bytes(out), updates


class Watch(threading.Thread):
    """Reads what the other side sends, and times its keepalives."""

    def __init__(self, connection):
        super().__init__(daemon=True)
        self.connection, self.longest, self.last = connection, 0.0, None

    def run(self):
        try:
            while True:
                header = exactly(self.connection, 19)
                exactly(self.connection, struct.unpack("!H", header[16:18])[0] - 19)
                now = time.monotonic()
                if self.last is not None:
                    self.longest = max(self.longest, now - self.last)
                self.last = now
        except (ConnectionError, OSError):
            pass


def keep_alive(connection, lock):
    while True:
        time.sleep(2)
        try:
            with lock:
                connection.sendall(message(4))
        except OSError:
            return


def main():
    count, over = int(sys.argv[1]), sys.argv[2] == "over"
    data, updates = feed(count)
    listener = listen(179)
    print(f"listening {updates} {len(data)}", flush=True)
    # A router's buffer; the kernel doubles it. With the megabytes that a socket
    # may have here, the feed would go through this machine's own network stack
    # in bursts that no other machine could cause.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 32 * 1024)
    connection, _ = listener.accept()
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.sendall(open_message() + message(4) + END_OF_RIB)
    watch, lock = Watch(connection), threading.Lock()
    watch.start()
    threading.Thread(target=keep_alive, args=(connection, lock), daemon=True).start()
    sys.stdin.readline()
    times = 0
    while not times or over and not select.select([sys.stdin], [], [], 0)[0]:
        with lock:
            connection.sendall(data)
        times += 1
    print("sent", flush=True)
    sys.stdin.readline()
    print(times, watch.longest, flush=True)


if __name__ == "__main__":
    main()
