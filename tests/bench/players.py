"""Many neighbours that wait: AS 65000 on port 179 of every address, all played
by one loop. Prints `listening`; then, with their monotonic times, `up` when
COUNT neighbours have heard a KEEPALIVE and `told` when they have heard of a
prefix.

    players.py COUNT
"""

import contextlib
import selectors
import socket
import struct
import sys
import time

from observer import END_OF_RIB, has_prefix, listen, message, open_message

HELLO = open_message() + message(4) + END_OF_RIB
# Seconds; the speakers' hold time is 9.
KEEPALIVE_INTERVAL = 2
# How long a speaker may take, in seconds.
PATIENCE = 60


class Neighbour:
    """One connection, and what was heard on it."""

    def __init__(self, connection):
        self.connection, self.rest, self.heard = connection, b"", set()

    def read(self):
        """Whether the connection still stands."""
        try:
            data = self.connection.recv(65536)
        except ConnectionError:
            return False
        self.rest += data
        while len(self.rest) >= 19:
            length = struct.unpack("!H", self.rest[16:18])[0]
            if len(self.rest) < length:
                break
            kind, body = self.rest[18], self.rest[19:length]
            self.rest = self.rest[length:]
            if kind == 4:
                self.heard.add("up")
            elif kind == 2 and has_prefix(body):
                self.heard.add("told")
        return bool(data)

    def keep_alive(self):
        with contextlib.suppress(OSError):
            self.connection.sendall(message(4))


def main():
    count = int(sys.argv[1])
    listener = listen(179)
    listener.listen(1024)
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ)
    print("listening", flush=True)
    standing, due = {}, ["up", "told"]
    began = kept_alive = time.monotonic()
    while True:
        if time.monotonic() - kept_alive > KEEPALIVE_INTERVAL:
            kept_alive = time.monotonic()
            for neighbour in standing.values():
                neighbour.keep_alive()
        for key, _ in selector.select(KEEPALIVE_INTERVAL):
            if key.fileobj is listener:
                connection, (address, _) = listener.accept()
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connection.sendall(HELLO)
                standing[connection] = Neighbour(connection)
                selector.register(connection, selectors.EVENT_READ)
            elif not standing[key.fileobj].read():
                selector.unregister(key.fileobj)
                del standing[key.fileobj]
                key.fileobj.close()
        if due and time.monotonic() - began > PATIENCE:
            sys.exit(f"not all are {due[0]} after {PATIENCE} s")
        while due and sum(due[0] in one.heard for one in standing.values()) >= count:
            print(due.pop(0), time.monotonic(), flush=True)


if __name__ == "__main__":
    main()
