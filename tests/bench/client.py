"""A client of the proxy on port 8080: for each line of standard input, exchanges
of 64 octets over one connection for so many seconds; then a line with the
milliseconds of each."""

import socket
import sys
import time


def exchange(connection):
    start = time.monotonic()
    connection.sendall(bytes(64))
    left = 64
    while left:
        left -= len(connection.recv(left))
    return (time.monotonic() - start) * 1000


def main():
    connection = socket.create_connection(("127.0.0.1", 8080))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for line in sys.stdin:
        seen, until = [], time.monotonic() + float(line)
        while time.monotonic() < until:
            seen.append(exchange(connection))
        print(*(f"{one:.4f}" for one in seen), flush=True)


if __name__ == "__main__":
    main()
