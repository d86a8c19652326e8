"""Two thousand targets for tests/bench/health: one listener for all addresses of
127.0.0.0/8 that accepts, answers whoever asks over HTTP, and closes.

    targets.py PORT

Says `ready`, and goes on until nobody is there to hear it.
"""

import select
import socket
import sys

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"


class Targets:
    """The listener and its connections."""

    def __init__(self, port):
        self.listener = socket.create_server(("0.0.0.0", port), backlog=4096)
        self.listener.setblocking(False)
        self.poll = select.epoll()
        self.poll.register(self.listener, select.EPOLLIN)
        self.poll.register(sys.stdin, select.EPOLLIN)
        self.open = {}

    def accept(self):
        """Takes in who waits."""
        while True:
            try:
                connection, _ = self.listener.accept()
            except BlockingIOError:
                return
            connection.setblocking(False)
            self.open[connection.fileno()] = connection
            self.poll.register(connection, select.EPOLLIN)

    def serve(self, number):
        """Answers a question; whoever says nothing is only waited for."""
        connection = self.open.pop(number)
        try:
            if connection.recv(4096):
                connection.send(ANSWER)
        except OSError:
            pass
        connection.close()

    def run(self):
        """Until nobody asks any more."""
        print("ready", flush=True)
        while True:
            for number, _ in self.poll.poll():
                if number == self.listener.fileno():
                    self.accept()
                elif number != sys.stdin.fileno():
                    self.serve(number)
                else:
                    return


if __name__ == "__main__":
    Targets(int(sys.argv[1])).run()
