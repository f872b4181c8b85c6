"""A socket that is read on the event loop, and pauses between useless reads."""

from __future__ import annotations

import asyncio
import socket

from quictunnel.quic.path.socket_reader import SocketReader


async def test_a_paused_reader_reads_everything_later() -> None:
    loop = asyncio.get_running_loop()
    receiving, sending = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    received: list[bytes] = []
    complete = asyncio.Event()

    def read() -> None:
        received.append(receiving.recv(10))
        reader.pause()
        if len(received) == 3:
            complete.set()

    with receiving, sending:
        reader = SocketReader(receiving, loop, read)
        for data in (b"1", b"2", b"3"):
            sending.send(data)
        await complete.wait()
        assert received == [b"1", b"2", b"3"]
        reader.close()


async def test_a_closed_reader_reads_nothing() -> None:
    loop = asyncio.get_running_loop()
    receiving, sending = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    reads: list[None] = []
    with receiving, sending:
        for is_paused in (False, True):
            reader = SocketReader(receiving, loop, lambda: reads.append(None))
            if is_paused:
                reader.pause()
            reader.close()
            reader.pause()
        sending.send(b"1")
        await asyncio.sleep(0.02)
    assert not reads
