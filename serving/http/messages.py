"""Messages between the service and its process for large requests: a head and a content, over a socket.

One call reads megabytes; `multiprocessing.connection` would return to Python after each 200 KiB.
"""

import socket
import struct

SIZES = struct.Struct("<QQ")


def send(connection: socket.socket, head: bytes, content: bytes = b"") -> None:
    connection.sendall(SIZES.pack(len(head), len(content)) + head)
    connection.sendall(content)


def receive(connection: socket.socket) -> tuple[bytes, bytes]:
    """Receive a message. Raises EOFError if the other end has closed the connection."""
    head, content = SIZES.unpack(_exactly(connection, SIZES.size))
    return _exactly(connection, head), _exactly(connection, content)


def _exactly(connection: socket.socket, size: int) -> bytes:
    parts = []
    while size:
        part = connection.recv(size, socket.MSG_WAITALL)  # a signal may end it early
        if not part:
            raise EOFError
        parts.append(part)
        size -= len(part)
    return b"".join(parts)  # without a copy of a single part
