"""The two ends of tests/bench/udp: an echo, and clients that count answers.

    udp.py echo PORT
    udp.py ask PORT QUESTIONS new|kept
"""

import socket
import sys

WINDOW = 64
"""Clients that wait for their answers at a time."""
QUESTION = b"q" * 40
"""As long as a small DNS question."""


def echo(port):
    """Answers every datagram with itself, until killed."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        server.bind(("127.0.0.1", port))
        print("ready", flush=True)
        while True:
            server.sendto(*server.recvfrom(2048))


def client(port):
    """A socket of a client, with a port of its own."""
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.settimeout(1)
    made.connect(("127.0.0.1", port))
    return made


def ask(port, questions, new):
    """Asks from WINDOW clients at a time, who are new ones each time or always
    the same; prints how many answers came."""
    answers = 0
    clients = [client(port) for _ in range(WINDOW)]
    for _ in range(questions // WINDOW):
        for one in clients:
            one.send(QUESTION)
        for one in clients:
            try:
                answers += one.recv(2048) == QUESTION
            except (TimeoutError, ConnectionRefusedError):
                pass
        if new:
            for one in clients:
                one.close()
            clients = [client(port) for _ in range(WINDOW)]
    print(answers)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["echo", port]:
            echo(int(port))
        case ["ask", port, questions, who]:
            ask(int(port), int(questions), who == "new")
        case _:
            sys.exit(__doc__)
