"""The socket of aioquic's connections, on a kernel that helps little or is busy."""

from __future__ import annotations

import asyncio
import random

import pytest
from endpoints import TIMEOUT, closed, dialled, echo, listening

from quictunnel.quic.engine import Path, Peer
from quictunnel.quic.engines.aioquic.endpoint_socket import AioquicEndpointSocket
from quictunnel.quic.path.udp import UdpSocket, open_bound, open_connected


async def test_many_megabytes_come_over_a_kernel_that_joins_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(UdpSocket, "_set_linux_options", lambda self, sock: None)
    data = random.Random(1).randbytes(2_000_000)
    async with listening(engine="aioquic") as listener:
        link = await dialled(listener.address.port, engine="aioquic")
        backs = await asyncio.gather(*(echo(link, data[n:]) for n in range(2)))
        assert backs == [data[n:] for n in range(2)]
        await closed(link)


class Said:
    """Stands in for an endpoint and for a connection: has datagrams to send."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.words: list[bytes] = []

    def transmit(self, now: float = 0.0) -> list[tuple[bytes, Path]]:
        words, self.words = self.words, []
        return [(word, self.path) for word in words]


async def test_what_the_kernel_does_not_take_is_sent_first_when_it_does() -> None:
    with open_bound("127.0.0.1", 0) as bound:
        bound.settimeout(TIMEOUT)
        said = Said(Path(*bound.getsockname()))
        ready = asyncio.Event()
        endpoint_socket = AioquicEndpointSocket(
            said,
            open_connected(*bound.getsockname()),
            peer=Peer(bound.getsockname(), bound.getsockname()),
            loop=asyncio.get_running_loop(),
            received=lambda batch: None,
            send_error=lambda exc: None,
            icmp_error=lambda error: None,
            writable=ready.set,
        )
        real = endpoint_socket._socket.send
        full = True
        endpoint_socket._socket.send = lambda datagrams: 0 if full else real(datagrams)

        def send(word: bytes) -> bool:
            said.words.append(word)
            return endpoint_socket.transmit(said, 0.0)

        assert send(b"first")
        assert endpoint_socket.is_full
        assert send(b"second")
        said.words.append(b"an answer to somebody else")
        endpoint_socket.answer()
        await asyncio.sleep(0)
        assert not ready.is_set()
        full = False
        async with asyncio.timeout(TIMEOUT):
            await ready.wait()
        assert not endpoint_socket.is_full
        assert send(b"third")
        assert not endpoint_socket.transmit(said, 0.0), "there was nothing left"
        assert [bound.recv(100) for _ in range(3)] == [b"first", b"second", b"third"]
        endpoint_socket.close()
