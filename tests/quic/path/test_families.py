"""A link goes from one family to the other and back: over real sockets, by engines that know of
one address only, to a remote that follows."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import pytest
from endpoints import TIMEOUT, Trusting, closed, listening
from pair import CLIENT_TLS, Engines

from quictunnel.protocol.address import Address
from quictunnel.quic.dialer import LinkDialer
from quictunnel.quic.engines.selection import select
from quictunnel.quic.path import udp
from quictunnel.quic.settings import LinkSettings

if TYPE_CHECKING:
    from collections.abc import Callable

FOUR, SIX = "127.0.0.1", "::1"
UNREACHABLE = OSError(101, "Network is unreachable")


class Roaming:
    """A machine whose networks have the families that the test says."""

    def __init__(self) -> None:
        self.routes = {FOUR}
        self.changed: Callable[[str], None] | None = None

    def connect(self, host: str, port: int) -> socket.socket:
        if host not in self.routes:
            raise UNREACHABLE
        return udp.open_connected(host, port)

    def watch(self, loop: asyncio.AbstractEventLoop, changed: Callable[[str], None]) -> Roaming:
        self.changed = changed
        return self

    def close(self) -> None:
        """Watch no more."""

    def roam(self, *routes: str) -> None:
        self.routes = set(routes)
        self.changed("the network has changed")


async def dialled(machine: Roaming, port: int, engine: str) -> LinkDialer:
    dialler = LinkDialer(
        select(engine, None),
        machine.connect(FOUR, port),
        (FOUR, port),
        protocol=Trusting(),
        client_tls=CLIENT_TLS,
        settings=LinkSettings(),
        hosts=(FOUR, SIX),
        monitor=machine.watch,
        connect=machine.connect,
    )
    async with asyncio.timeout(TIMEOUT):
        await dialler.made
    return dialler


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
            sock.bind((SIX, 0))
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="the loopback interface has no IPv6")


@needs_ipv6
async def test_a_stream_goes_on_from_ipv4_to_ipv6_and_back(engines: Engines) -> None:
    protocol = Trusting()
    machine = Roaming()
    async with listening("::", protocol_factory=lambda: protocol, engine=engines[1]) as listener:
        dialler = await dialled(machine, listener.address.port, engines[0])
        link = dialler.link
        reader = asyncio.StreamReader()
        stream = link.open_stream(asyncio.StreamReaderProtocol(reader))
        remotes_link = await protocol.made
        async with asyncio.timeout(TIMEOUT):
            for number, host in enumerate((FOUR, SIX, FOUR, SIX)):
                if number:
                    machine.roam(host)
                assert link.local.host == host
                assert link.peer == Address(host, listener.address.port)
                for size in (1, 100_000):
                    data = bytes([number]) * size
                    stream.write(data)
                    assert await reader.readexactly(size) == data
                assert remotes_link.peer == link.local
        stream.abort()
        await closed(link)


@needs_ipv6
async def test_what_the_remote_has_to_say_finds_the_new_family(engines: Engines) -> None:
    """The origin writes nothing of its own: its move and the remote's answers must do."""
    protocol = Trusting()
    machine = Roaming()
    async with listening("::", protocol_factory=lambda: protocol, engine=engines[1]) as listener:
        dialler = await dialled(machine, listener.address.port, engines[0])
        reader = asyncio.StreamReader()
        stream = dialler.link.open_stream(asyncio.StreamReaderProtocol(reader))
        data = bytes(range(256)) * 8192
        async with asyncio.timeout(TIMEOUT):
            stream.write(data)
            for host in (SIX, FOUR):
                await reader.readexactly(len(data) // 4)
                machine.roam(host)
            await reader.readexactly(len(data) // 2)
        stream.abort()
        await closed(dialler.link)
