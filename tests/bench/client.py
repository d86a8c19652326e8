"""A client of the proxy on port 8080: for each line of standard input one
exchange of 64 octets over one connection, then a line of output."""

import socket
import sys


def main():
    connection = socket.create_connection(("127.0.0.1", 8080))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for _ in sys.stdin:
        connection.sendall(bytes(64))
        left = 64
        while left:
            left -= len(connection.recv(left))
        print(flush=True)


if __name__ == "__main__":
    main()
