"""Links between real UDP sockets and other paths: the native socket is detached and attached."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from endpoints import TIMEOUT, Trusting, closed, echo, listening
from pair import CLIENT_TLS, Engines

from quictunnel.errors import LinkFailed
from quictunnel.protocol.address import Address
from quictunnel.quic.dialer import dial, dial_over
from quictunnel.quic.path import return_policy
from quictunnel.quic.path.datagram_path import PathKind
from quictunnel.quic.path.path_reports import PathReports
from quictunnel.quic.settings import LinkSettings
from testkit.carried_path import SimulatedOpener

if TYPE_CHECKING:
    from quictunnel.quic.link import Link
    from quictunnel.quic.listener import Listener

UDP, WEBSOCKET = PathKind.UDP, PathKind.WEBSOCKET
DATA = bytes(range(256)) * 4096


def opener_to(listener: Listener) -> SimulatedOpener:
    peer = Address("127.0.0.1", 40_443)
    return SimulatedOpener(
        lambda path: listener.attach_path(path, peer, on_proven=lambda: None),
        delay=0.001,
        opening_time=0.01,
    )


async def test_a_link_starts_on_a_path_and_changes_between_it_and_udp(
    engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(return_policy, "STEADY_TIME", 0.3)
    moves: asyncio.Queue[PathKind] = asyncio.Queue()
    async with listening(engine=engines[1]) as listener:
        link = await dial_over(
            opener_to(listener),
            listener.address.port,
            protocol=Trusting(),
            client_tls=CLIENT_TLS,
            settings=replace(LinkSettings(), engine=engines[0]),
            within=TIMEOUT,
            hosts=["127.0.0.1"],
            reports=PathReports(moved=lambda kind, _: moves.put_nowait(kind)),
        )
        for _ in range(3):
            assert await echo(link, DATA) == DATA
            async with asyncio.timeout(TIMEOUT):
                assert await moves.get() is UDP
            assert link.peer == listener.address
            assert await echo(link, DATA) == DATA
            link.on_unanswered()
            assert moves.get_nowait() is WEBSOCKET
            assert await echo(link, DATA) == DATA
        await closed(link)


async def test_a_path_that_cannot_be_opened_fails_the_dial(engines: Engines) -> None:
    async with listening(engine=engines[1]) as listener:
        opener = opener_to(listener)
        opener.obstacle = "the proxy asks for a password"
        with pytest.raises(LinkFailed, match=r"^the proxy asks for a password$"):
            await over(opener, listener, engines)
        opener.obstacle, opener.opening_time = None, 3600
        with pytest.raises(LinkFailed, match=r"^the path was not open within 0\.1 s$"):
            await over(opener, listener, engines, within=0.1)


async def test_a_path_that_carries_nothing_fails_the_dial(engines: Engines) -> None:
    opener = SimulatedOpener(lambda _: None)
    async with listening(engine=engines[1]) as listener:
        opener.opening_time = 0.0
        opener._accept = lambda path: (
            listener.attach_path(path, Address("127.0.0.1", 1), on_proven=lambda: None),
            opener.lines[-1].stall(),
        )
        with pytest.raises(LinkFailed, match=r"^no answer within 0\.2 s$"):
            await over(opener, listener, engines, within=0.2)
        assert opener.lines[-1].is_closed


async def over(
    opener: SimulatedOpener, listener: Listener, engines: Engines, *, within: float = TIMEOUT
) -> Link:
    return await dial_over(
        opener,
        listener.address.port,
        protocol=Trusting(),
        client_tls=CLIENT_TLS,
        settings=replace(LinkSettings(), engine=engines[0]),
        within=within,
    )


async def test_a_link_on_udp_opens_no_path_as_long_as_udp_answers(engines: Engines) -> None:
    async with listening(engine=engines[1]) as listener:
        opener = opener_to(listener)
        link = await dial(
            "127.0.0.1",
            listener.address.port,
            protocol=Trusting(),
            client_tls=CLIENT_TLS,
            settings=replace(LinkSettings(), engine=engines[0]),
            within=TIMEOUT,
            opener=opener,
        )
        assert await echo(link, DATA) == DATA
        assert link.path_kind is UDP
        assert opener.lines == []
        await closed(link)
