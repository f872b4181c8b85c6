"""A socket for probes: what is sent and received, and errors that are no more than losses."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import pytest

from quictunnel.quic.path.udp import open_bound, open_connected
from quictunnel.quic.path.udp_probe_socket import UdpProbeSocket

if TYPE_CHECKING:
    from collections.abc import Iterator

TIMEOUT = 20.0


@pytest.fixture
def peer() -> Iterator[socket.socket]:
    with open_bound("127.0.0.1", 0) as sock:
        sock.settimeout(TIMEOUT)
        yield sock


async def test_probes_go_out_and_answers_come_in(peer: socket.socket) -> None:
    answers: asyncio.Queue[bytes] = asyncio.Queue()
    sock = open_connected(*peer.getsockname())
    probes = UdpProbeSocket(sock, asyncio.get_running_loop(), answers.put_nowait)
    for number in range(3):
        probes.send(bytes([number]) * 1200)
        data, source = peer.recvfrom(2048)
        assert data == bytes([number]) * 1200
        peer.sendto(b"answer", source)
    async with asyncio.timeout(TIMEOUT):
        assert [await answers.get() for _ in range(3)] == [b"answer"] * 3
    probes.close()
    assert sock.fileno() < 0


async def test_the_owner_may_close_it_while_it_reads(peer: socket.socket) -> None:
    answers: list[bytes] = []
    closed = asyncio.Event()

    def receive(data: bytes) -> None:
        answers.append(data)
        probes.close()
        closed.set()

    sock = open_connected(*peer.getsockname())
    probes = UdpProbeSocket(sock, asyncio.get_running_loop(), receive)
    for _ in range(2):
        peer.sendto(b"answer", sock.getsockname())
    async with asyncio.timeout(TIMEOUT):
        await closed.wait()
    await asyncio.sleep(0)
    assert answers == [b"answer"]


async def test_a_closed_port_is_a_loss() -> None:
    with open_bound("127.0.0.1", 0) as gone:
        name = gone.getsockname()
    answers: list[bytes] = []
    probes = UdpProbeSocket(open_connected(*name), asyncio.get_running_loop(), answers.append)
    for _ in range(3):
        probes.send(b"probe")
        await asyncio.sleep(0.05)
    probes.close()
    assert answers == []
