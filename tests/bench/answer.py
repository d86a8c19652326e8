"""A target on port 8000 that gives back what it is sent."""

import socket
import threading


def serve(connection):
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        while data := connection.recv(4096):
            connection.sendall(data)
    except OSError:
        pass
    connection.close()


def main():
    listener = socket.create_server(("", 8000), backlog=64)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=serve, args=(connection,), daemon=True).start()


if __name__ == "__main__":
    main()
