"""A socket that is there and sends nothing any more is left for another one, and nothing spins."""

from __future__ import annotations

import asyncio
import errno
import socket
import sys
from typing import TYPE_CHECKING

import pytest
from endpoints import TIMEOUT, Trusting, closed, echo, listening
from pair import CLIENT_TLS, Engines

from quictunnel.quic.dialer import LinkDialer
from quictunnel.quic.engines.selection import select
from quictunnel.quic.path import udp
from quictunnel.quic.settings import LinkSettings

if TYPE_CHECKING:
    from collections.abc import Callable

REMOTE, NOBODY = "127.0.0.1", "127.0.0.2"
"""Where a listener is, and where none is."""


class Machine:
    """A machine whose sockets the test keeps hold of, and whose network says nothing."""

    def __init__(self) -> None:
        self.sockets: list[socket.socket] = []
        self.routes = {REMOTE, NOBODY}

    def connect(self, host: str, port: int) -> socket.socket:
        if host not in self.routes:
            raise OSError(errno.ENETUNREACH, "no route")
        self.sockets.append(udp.open_connected(host, port))
        return self.sockets[-1]

    def watch(self, loop: asyncio.AbstractEventLoop, changed: Callable[[str], None]) -> Machine:
        return self

    def close(self) -> None:
        """Watch no more."""

    async def dial(self, port: int, engine: str) -> LinkDialer:
        dialler = LinkDialer(
            select(engine, None),
            self.connect(REMOTE, port),
            (REMOTE, port),
            protocol=Trusting(),
            client_tls=CLIENT_TLS,
            settings=LinkSettings(),
            hosts=(REMOTE, NOBODY),
            monitor=self.watch,
            connect=self.connect,
        )
        async with asyncio.timeout(TIMEOUT):
            await dialler.made
        return dialler


async def test_what_cannot_be_sent_is_heard_of_and_the_link_goes_on(alike: Engines) -> None:
    machine = Machine()
    async with listening(engine=alike[1]) as listener:
        dialler = await machine.dial(listener.address.port, alike[0])
        assert await echo(dialler.link, b"before") == b"before"
        heard: list[int | None] = []
        refused = dialler._migration.send_failed
        dialler._migration.send_failed = lambda exc: (heard.append(exc.errno), refused(exc))
        before = len(machine.sockets)
        machine.sockets[-1].shutdown(socket.SHUT_WR)
        assert await echo(dialler.link, b"after") == b"after"
        assert errno.EPIPE in heard
        assert len(heard) < 100
        assert before < len(machine.sockets) < before + 10
        await closed(dialler.link)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere loopback has but one address")
async def test_a_way_that_leads_to_nobody_is_left_again_and_costs_little(alike: Engines) -> None:
    """The kernel there answers each datagram with word of it."""
    machine = Machine()
    async with listening(engine=alike[1]) as listener:
        dialler = await machine.dial(listener.address.port, alike[0])
        heard: list[int | None] = []
        told = asyncio.Event()
        refused = dialler._migration.send_failed
        dialler._migration.send_failed = lambda exc: (
            heard.append(exc.errno),
            told.set(),
            refused(exc),
        )
        machine.routes = {NOBODY}
        dialler._migration.peer_unanswered()
        async with asyncio.timeout(TIMEOUT):
            await told.wait()
        machine.routes = {REMOTE}
        assert await echo(dialler.link, b"back") == b"back"
        assert errno.ECONNREFUSED in heard
        assert len(heard) < 100
        assert len(machine.sockets) < 10
        await closed(dialler.link)
