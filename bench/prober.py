"""Sends one request after another over one connection and prints when the answer changes: `VALUE MONOTONIC_SECONDS`.

A process of its own, so that measuring takes no turn from the control plane's event loop. Called by bench/traffic.py.
"""

import socket
import sys
import time


def answers(port: int, tenant: str, header: bytes, more: str = "") -> None:
    lines = ["GET /api/0/x HTTP/1.1", "host: bench", f"x-tenant-id: {tenant}", *([more] if more else [])]
    request = "".join(f"{line}\r\n" for line in [*lines, ""]).encode()
    last = b""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while True:
            connection.sendall(request)
            head = b""
            while b"\r\n\r\n" not in head:
                got = connection.recv(65536)
                if not got:
                    return
                head += got
            now, value = time.monotonic(), head.partition(header + b": ")[2].partition(b"\r\n")[0]
            if value != last:
                print(value.decode(), now, flush=True)
                last = value


if __name__ == "__main__":
    answers(int(sys.argv[1]), sys.argv[2], sys.argv[3].encode(), *sys.argv[4:5])
