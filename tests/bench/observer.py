"""A neighbour that waits: AS 65000 on port 179. Prints `listening`, and the
monotonic time at which the first UPDATE with a prefix in it arrived. Port 8000
accepts connections, for health checks."""

import socket
import struct
import threading
import time

MARKER = b"\xff" * 16


def message(kind, body=b""):
    return MARKER + struct.pack("!HB", 19 + len(body), kind) + body


END_OF_RIB = message(2, bytes(4))


def open_message():
    # Multiprotocol for IPv4 unicast, route refresh, four-octet AS.
    capabilities = b"\x01\x04\x00\x01\x00\x01\x02\x00\x41\x04" + struct.pack("!I", 65000)
    parameters = bytes([2, len(capabilities)]) + capabilities
    body = struct.pack("!BHH4sB", 4, 65000, 90, bytes([10, 99, 0, 1]), len(parameters))
    return message(1, body + parameters)


def exactly(connection, count):
    data = b""
    while len(data) < count:
        piece = connection.recv(count - len(data))
        if not piece:
            raise ConnectionError("closed")
        data += piece
    return data


def has_prefix(body):
    """Whether the UPDATE announces an IPv4 prefix in its NLRI field."""
    withdrawn = struct.unpack("!H", body[:2])[0]
    attributes = struct.unpack("!H", body[2 + withdrawn:4 + withdrawn])[0]
    return len(body) > 4 + withdrawn + attributes


def session(connection):
    connection.sendall(open_message() + message(4) + END_OF_RIB)
    while True:
        header = exactly(connection, 19)
        body = exactly(connection, struct.unpack("!H", header[16:18])[0] - 19)
        if header[18] == 2 and has_prefix(body):
            print(time.monotonic(), flush=True)


def listen(port):
    listener = socket.create_server(("", port), backlog=64)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def serve_checks(listener):
    while True:
        listener.accept()[0].close()


def main():
    bgp, checks = listen(179), listen(8000)
    threading.Thread(target=serve_checks, args=(checks,), daemon=True).start()
    print("listening", flush=True)
    while True:
        connection, _ = bgp.accept()
        try:
            session(connection)
        except ConnectionError:
            connection.close()


if __name__ == "__main__":
    main()
