"""Backends that say their name, clients that count, and connections held open.

Run as a program it is the process inside the namespace:

    traffic.py backend NAME ADDRESS:PORT...
    traffic.py client TARGET:PORT SOURCE...
    traffic.py hold TARGET:PORT SOURCE
    traffic.py once TARGET:PORT SOURCE

A backend greets with its name on a line and then echoes. A client opens one
connection after another, from each source address in turn, and writes one
JSON line for each: when it was opened (monotonic clock), whether it was
served from greeting to echo, by whom, and else the error.
"""

import dataclasses
import itertools
import json
import pathlib
import socket
import socketserver
import sys
import threading
import time

CLIENT_THREADS = 4
PERIOD = 0.02
"""Seconds between two connections of one client thread."""

PATIENCE = 10.0
"""Seconds after which an exchange that hangs counts as failed."""


@dataclasses.dataclass(frozen=True)
class Attempt:
    """One connection as the client saw it."""

    opened: float
    ok: bool
    server: str
    error: str
    source: str


def split_address(text):
    """`HOST:PORT` or `[HOST]:PORT` as a pair."""
    host, port = text.rsplit(":", 1)
    return host.strip("[]"), int(port)


class Client:
    """The parent's view of a running client process."""

    def __init__(self, process):
        self.process = process

    def attempts(self, since=0.0):
        """All attempts opened at or after `since`, that have ended."""
        lines = self.process.log_text().splitlines(keepends=True)
        records = [Attempt(**json.loads(line)) for line in lines if line.endswith("\n")]
        return [attempt for attempt in records if attempt.opened >= since]

    def served(self, since=0.0):
        """How many connections each backend served: name → count."""
        counts = {}
        for attempt in self.attempts(since):
            if attempt.ok:
                counts[attempt.server] = counts.get(attempt.server, 0) + 1
        return counts

    def failed(self, since=0.0, before=float("inf")):
        """Attempts opened in the half-open window that were not served."""
        return [a for a in self.attempts(since) if not a.ok and a.opened < before]


class _Echo(socketserver.StreamRequestHandler):
    def handle(self):
        try:
            self.wfile.write(self.server.greeting)
            for line in self.rfile:
                self.wfile.write(line)
        except ConnectionError:
            # A health check looks at the connection only, then resets it.
            pass


class _Backend(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 512

    def __init__(self, address):
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, _Echo)


def serve(name, addresses):
    """Runs a backend on every address until it is killed."""
    servers = []
    for address in addresses:
        server = _Backend(split_address(address))
        server.greeting = name.encode() + b"\n"
        servers.append(threading.Thread(target=server.serve_forever))
    for thread in servers:
        thread.start()


def exchange(target, source):
    """One connection from greeting to echo and end of file; returns the greeting."""
    with socket.create_connection(target, PATIENCE, (source, 0)) as connection:
        connection.sendall(b"ahoy\n")
        connection.shutdown(socket.SHUT_WR)
        answer = connection.makefile("rb").read()
    server, _, echo = answer.decode().partition("\n")
    if echo != "ahoy\n":
        raise OSError(f"truncated answer {answer!r}")
    return server


def attempt(target, source):
    """An exchange as a record."""
    opened = time.monotonic()
    try:
        return Attempt(opened, True, exchange(target, source), "", source)
    except OSError as error:
        return Attempt(opened, False, "", str(error) or type(error).__name__, source)


def knock(target, sources, report):
    """Opens connections one after another, for ever."""
    for source in itertools.cycle(sources):
        started = time.monotonic()
        report(attempt(target, source))
        time.sleep(max(0.0, started + PERIOD - time.monotonic()))


def run_client(target, sources):
    """Runs the client threads until killed."""
    lock = threading.Lock()

    def report(record):
        with lock:
            sys.stdout.write(json.dumps(dataclasses.asdict(record)) + "\n")
            sys.stdout.flush()

    for _ in range(CLIENT_THREADS):
        threading.Thread(target=knock, args=(split_address(target), sources, report)).start()


def hold(target, source):
    """One connection kept open and used: a line forth and back, again and again.
    Prints each answer, and what ended it."""
    with socket.create_connection(split_address(target), PATIENCE, (source, 0)) as connection:
        stream = connection.makefile("rwb", buffering=0)
        print(stream.readline().decode().strip(), flush=True)
        while True:
            stream.write(b"ahoy\n")
            answer = stream.readline()
            if answer != b"ahoy\n":
                sys.exit(f"held connection ended: {answer!r}")
            print("ahoy", flush=True)
            time.sleep(PERIOD)


SCRIPT = pathlib.Path(__file__)

if __name__ == "__main__":
    match sys.argv[1:]:
        case ["backend", name, *addresses]:
            serve(name, addresses)
        case ["client", target, *sources]:
            run_client(target, sources)
        case ["hold", target, source]:
            hold(target, source)
        case ["once", target, source]:
            print(exchange(split_address(target), source))
        case _:
            sys.exit(__doc__)
