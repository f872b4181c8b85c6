"""The origin server of the bench: `python -m bench.server`. Serves what a client's header asks for.

One port, for a tunnel has one service; so each client says in its first nine bytes what it wants.
Buffers are shared and large, to leave the processor to what is measured.
"""

from __future__ import annotations

import asyncio
import gc
import struct

from bench.limits import raise_descriptors

HEADER = struct.Struct(">cQ")
"""The client's first bytes: the kind of service, and a number of bytes where the kind has one."""

DOWNLOAD = b"D"
"""So many bytes to the client, then EOF."""

UPLOAD = b"U"
"""So many bytes from the client, then the answer DONE and EOF."""

REQUESTS = b"R"
"""For each REQUEST bytes, RESPONSE bytes; for ever."""

IDLE = b"I"
"""The answer DONE at once, then nothing."""

DONE = b"!"
REQUEST = 128
RESPONSE = 1024

PIECE = bytes(256 * 1024)
BACKLOG = 4096
"""Connections that may wait to be accepted: more than the clients that arrive at once."""

_buffer = memoryview(bytearray(1024 * 1024))
"""What all clients' bytes are read into; nobody looks at them again."""


class Client(asyncio.BufferedProtocol):
    """One client."""

    def __init__(self) -> None:
        self.header = b""
        self.kind = b""
        self.left = 0
        self.paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.set_write_buffer_limits(high=0)

    def get_buffer(self, sizehint: int) -> memoryview:
        return _buffer

    def buffer_updated(self, nbytes: int) -> None:
        start = 0
        if not self.kind:
            start = min(HEADER.size - len(self.header), nbytes)
            self.header += _buffer[:start]
            if len(self.header) < HEADER.size:
                return
            self.kind, self.left = HEADER.unpack(self.header)
            self.begin()
        self.received(nbytes - start)

    def begin(self) -> None:
        if self.kind == DOWNLOAD:
            self.pour()
        elif self.kind == IDLE:
            self.transport.write(DONE)
        elif self.kind == REQUESTS:
            self.left = REQUEST

    def received(self, size: int) -> None:
        self.left -= size if self.kind != DOWNLOAD else 0
        if self.kind == UPLOAD and self.left <= 0 and size:
            self.transport.write(DONE)
            self.transport.write_eof()
        while self.kind == REQUESTS and self.left <= 0:
            self.left += REQUEST
            self.transport.write(PIECE[:RESPONSE])

    def pour(self) -> None:
        while self.left and not self.paused:
            piece = PIECE[: min(self.left, len(PIECE))]
            self.left -= len(piece)
            self.transport.write(piece)
            if not self.left:
                self.transport.write_eof()

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False
        if self.kind == DOWNLOAD:
            self.pour()


async def serve() -> None:
    """Listen on a free port of 127.0.0.1 and serve for ever."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Client, "127.0.0.1", 0, backlog=BACKLOG)
    host, port = server.sockets[0].getsockname()
    print(f"ready: {host}:{port}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    raise_descriptors()
    gc.disable()  # ten thousand idle clients are walked at each full collection otherwise
    asyncio.run(serve())
