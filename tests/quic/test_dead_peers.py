"""The peer's process has ended: its machine reports a closed port, and pings confirm it."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from typing import TYPE_CHECKING

import pytest
from endpoints import TIMEOUT, Trusting, closed, dialled, echo, listening
from link_pair import LinkPair, Spied, over_links, seconds, until
from pair import CLIENT_TLS, Engines

from quictunnel.errors import LinkLost
from quictunnel.protocol.address import Address
from quictunnel.protocol.codes import Code
from quictunnel.quic.dialer import LinkDialer
from quictunnel.quic.engines.selection import select
from quictunnel.quic.link import NOT_ANSWERED, PEER_ENDED
from quictunnel.quic.path import retired_sockets, udp
from quictunnel.quic.path.error_queue import IcmpError
from quictunnel.quic.path.liveness import (
    ACCEPTOR_PATIENCE,
    BUSY_PATIENCE,
    CONFIRMATION_ANSWER,
    CONFIRMATION_INTERVAL,
    PING_AFTER,
    PING_WHEN_BUSY_AFTER,
)
from quictunnel.quic.path.network_monitor import NetworkMonitor
from quictunnel.quic.path.retired_sockets import RetiredSockets
from quictunnel.quic.settings import LinkSettings
from testkit.clock import virtual_time

if TYPE_CHECKING:
    from collections.abc import Callable

    from quictunnel.quic.link import Link

CONFIRMED_WITHIN = 2 * CONFIRMATION_INTERVAL + CONFIRMATION_ANSWER + 0.1

LONG_HEADER = 0x80
"""The first bit of a datagram (RFC 9000, section 17)."""


def count_pings(link: Link) -> list[float]:
    """Return a list to which the times of the link's pings are added."""
    pings: list[float] = []
    engine = link.engine

    def ping() -> None:
        pings.append(link.loop.time())
        engine.ping()

    link.engine = Spied(engine, ping=ping)
    return pings


@over_links
async def test_a_closed_port_that_no_ping_disproves_ends_the_link(engines: Engines) -> None:
    for end in ("server", "client"):
        pair = await LinkPair.made(engines=engines)
        ours, theirs = await pair.streams()
        stream = theirs if end == "server" else ours
        link, session = getattr(pair, end), getattr(pair, f"{end}_session")
        pair.network.cut = True
        since = asyncio.get_running_loop().time()
        link.port_closed()
        await until(lambda stream=stream: stream.lost, limit=CONFIRMED_WITHIN)
        assert asyncio.get_running_loop().time() - since > 3
        await seconds(1)
        assert str(session.exc) == str(stream.exc) == PEER_ENDED
        assert isinstance(session.exc, LinkLost)
        assert session.exc.code is None


@over_links
async def test_a_peer_that_lives_costs_two_pings(engines: Engines) -> None:
    pair = await LinkPair.made(engines=engines)
    for link in (pair.client, pair.server):
        pings = count_pings(link)
        for _ in range(100):
            link.port_closed()
            await seconds(0.02)
        assert len(pings) == 2
    await seconds(60)
    assert pair.client_session.calls == pair.server_session.calls == ["link_made"]


@over_links
async def test_a_rejection_of_less_than_3_s_loses_nothing(engines: Engines) -> None:
    pair = await LinkPair.made(engines=engines)
    ours, theirs = await pair.streams()
    pair.network.cut = True
    for tenth in range(29):
        if tenth % 5 == 0:
            pair.server.port_closed()
            pair.client.port_closed()
        await seconds(0.1)
    pair.network.cut = False
    theirs.stream.write(b"still here")
    await until(lambda: ours.data == b"still here", limit=5)
    await seconds(30)
    assert not ours.lost
    assert not theirs.lost


@over_links
async def test_reports_about_a_silent_peer_mean_nothing(engines: Engines) -> None:
    """A suspended laptop's address belongs to another machine, or its router has forgotten it."""
    pair = await LinkPair.made(engines=engines)
    ours, theirs = await pair.streams()
    pair.network.cut = True
    await until(lambda: pair.server.is_silent)
    for _ in range(100):
        pair.server.port_closed()
        await seconds(1)
    pair.network.cut = False
    ours.stream.write(b"awake")
    await until(lambda: theirs.data == b"awake", limit=30)
    assert not theirs.lost


@over_links
async def test_a_living_peer_learns_that_it_was_given_up(engines: Engines) -> None:
    pair = await LinkPair.made(engines=engines)
    arrive = pair.server_socket._arrive
    pair.server_socket._arrive = lambda data: None  # what the client sends is lost
    pair.server.port_closed()
    await until(lambda: pair.server.is_closed, limit=CONFIRMED_WITHIN)
    pair.server_socket._arrive = arrive
    await until(lambda: pair.client.is_closed, limit=10)
    await seconds(1)
    assert pair.client_session.exc.code == Code.NO_ERROR
    assert str(pair.client_session.exc) == NOT_ANSWERED


@over_links
async def test_on_a_path_without_an_answer_a_closed_port_means_nothing(engines: Engines) -> None:
    """The first machine behind a captive portal may answer for all addresses."""
    pair = await LinkPair.made(engines=engines)
    pair.network.cut = True
    pair.client.move(pair.client_socket, Address("198.51.100.9", 7), pair.client.peer)
    pings = count_pings(pair.client)
    for _ in range(10):
        pair.client.port_closed()
        await seconds(0.1)
    assert pings == []
    await seconds(60)
    assert not pair.client.is_closed
    pair.network.cut = False
    await until(lambda: not pair.client.is_silent, limit=10)
    pair.client.port_closed()
    assert len(pings) > 0


@over_links
async def test_another_network_ends_the_suspicion(engines: Engines) -> None:
    pair = await LinkPair.made(engines=engines)
    pair.network.cut = True
    pair.client.port_closed()
    await seconds(2)
    pair.client.path_changed()
    await seconds(60)
    assert not pair.client.is_closed


@over_links
async def test_with_clients_the_death_of_an_idle_peer_is_noticed_in_10_s(engines: Engines) -> None:
    """Nothing is reported before something is sent."""
    pair = await LinkPair.made(engines=engines)
    await pair.streams()
    _, theirs = await pair.streams()
    pings = count_pings(pair.server)
    await seconds(30)
    assert pings == [], "the peer pings"
    since = pair.client.engine.heard_at
    pair.network.cut = True
    await until(lambda: len(pings) > 0, limit=PING_WHEN_BUSY_AFTER + BUSY_PATIENCE + 0.1)
    pair.server.port_closed()
    await until(lambda: theirs.lost, limit=CONFIRMED_WITHIN)
    assert asyncio.get_running_loop().time() - since < 10


@over_links
async def test_without_clients_the_accepting_end_waits_as_before(engines: Engines) -> None:
    pair = await LinkPair.made(engines=engines)
    pings = count_pings(pair.server)
    await seconds(30)
    before, heard_at = len(pings), pair.server.engine.heard_at
    pair.network.cut = True
    await until(lambda: len(pings) > before)
    assert pings[-1] - heard_at >= PING_AFTER + ACCEPTOR_PATIENCE


@over_links
async def test_the_latest_datagram_identifies_the_link(engines: Engines) -> None:
    pair = await LinkPair.made(engines=engines)
    ours, _ = await pair.streams()
    sent: list[bytes] = []
    real = pair.server_socket._arrive
    pair.server_socket._arrive = lambda data: (sent.append(data), real(data))
    for _ in range(5):
        ours.stream.write(b"data")
        await seconds(0.1)
        assert pair.client.engine.latest_sent == sent[-1][:16]
    assert not any(data[0] & LONG_HEADER for data in sent)
    assert all(pair.client.is_quoted_by(data) for data in sent)
    assert not any(pair.server.is_quoted_by(data) for data in sent), "another connection's"
    assert not pair.client.is_quoted_by(sent[-1][:8])
    pair.client.move(pair.client_socket, pair.client.local, pair.client.peer)
    await seconds(1)
    assert not pair.client.is_quoted_by(sent[0]), "it has another connection ID"


# On real sockets

IS_LINUX = udp._ON_LINUX
on_linux = pytest.mark.skipif(not IS_LINUX, reason="only Linux has the queue of errors")


def unwatched(loop: asyncio.AbstractEventLoop, changed: Callable[[str], None]) -> NetworkMonitor:
    """Return a network monitor that sees no change."""
    return NetworkMonitor(loop, changed, source=None, look=lambda: None)


async def dialler_of(
    port: int, engine: str, connect: Callable[[str, int], socket.socket] = udp.open_connected
) -> LinkDialer:
    dialler = LinkDialer(
        select(engine, None),
        connect("127.0.0.1", port),
        ("127.0.0.1", port),
        protocol=Trusting(),
        client_tls=CLIENT_TLS,
        settings=LinkSettings(),
        monitor=unwatched,
        connect=connect,
    )
    async with asyncio.timeout(TIMEOUT):
        await dialler.made
    return dialler


@on_linux
@pytest.mark.parametrize("host", ["127.0.0.1", "::"])
async def test_a_listener_loses_a_peer_whose_socket_is_gone(alike: Engines, host: str) -> None:
    sessions: list[Trusting] = []

    class Recorded(Trusting):
        def __init__(self) -> None:
            super().__init__()
            sessions.append(self)

    async with listening(host, engine=alike[1], protocol_factory=Recorded) as listener:
        dead, alive = [await dialler_of(listener.address.port, alike[0]) for _ in range(2)]
        assert await echo(dead.link, b"before") == b"before"
        dead.link.terminate()  # as `kill -9` does: nothing is sent
        link = await sessions[0].made
        link.ping()
        async with asyncio.timeout(TIMEOUT):
            exc = await sessions[0].lost
        assert str(exc) == PEER_ENDED
        assert await echo(alive.link, b"beside") == b"beside"
        assert not sessions[1].lost.done()
        await closed(alive.link)


@on_linux
async def test_errors_of_one_peer_cost_the_others_no_packet(alike: Engines) -> None:
    """Each makes the next system call fail, which sends the packets of another link here."""
    sessions: list[Trusting] = []

    class Recorded(Trusting):
        def __init__(self) -> None:
            super().__init__()
            sessions.append(self)

    async with listening(engine=alike[1], protocol_factory=Recorded) as listener:
        dialler = await dialler_of(listener.address.port, alike[0])
        assert await echo(dialler.link, bytes(100_000)) == bytes(100_000)
        link = await sessions[0].made
        with udp.open_bound("127.0.0.1", 0) as sock:
            nobody = sock.getsockname()
        raw = listener._socket._socket
        raw = getattr(raw, "_sock", raw)
        before = link.statistics.engine
        for _ in range(20):
            with contextlib.suppress(ConnectionRefusedError):
                raw.sendto(b"?", nobody)
            link.ping()
            link.send_now()
            await asyncio.sleep(0.02)
        after = link.statistics.engine
        assert after.packets_sent >= before.packets_sent + 20
        assert after.packets_lost == before.packets_lost
        await closed(dialler.link)


@on_linux
async def test_a_dialer_loses_a_peer_whose_socket_is_gone(alike: Engines) -> None:
    async with listening(engine=alike[1]) as listener:
        protocol = Trusting()
        link = await dialled(listener.address.port, engine=alike[0], protocol=protocol)
        assert await echo(link, b"before") == b"before"
        for accepted in tuple(listener._links.values()):
            accepted.terminate()
        listener._socket.close()
        listener._socket.close = lambda: None
        link.ping()
        async with asyncio.timeout(TIMEOUT):
            exc = await protocol.lost
        assert str(exc) == PEER_ENDED
        await link.wait_closed()


async def test_forged_errors_cost_a_dialer_nothing(alike: Engines) -> None:
    async with listening(engine=alike[1]) as listener:
        dialler = await dialler_of(listener.address.port, alike[0])
        assert await echo(dialler.link, b"before") == b"before"
        pings = count_pings(dialler.link)
        failures: list[OSError] = []
        dialler._migration.send_failed = failures.append
        sent = dialler.link.engine.latest_sent
        forged = IcmpError(
            listener.address,
            errno.ECONNREFUSED,
            is_final=True,
            is_closed_port=True,
            quoted=sent[:1] + bytes(63),
        )
        for error in (forged, forged._replace(quoted=b""), forged._replace(is_final=False)):
            dialler._on_icmp_error(error)
        assert pings == failures == []
        router = forged._replace(quoted=sent, is_closed_port=False)
        dialler._on_icmp_error(router)
        assert pings == []
        assert [exc.errno for exc in failures] == [errno.ECONNREFUSED]
        dialler._on_icmp_error(router._replace(is_closed_port=True))
        assert len(pings) == 1
        assert await echo(dialler.link, b"after") == b"after"
        await closed(dialler.link)


async def test_the_socket_that_a_link_leaves_stays_open_for_a_while(alike: Engines) -> None:
    opened: list[socket.socket] = []

    def connect(host: str, port: int) -> socket.socket:
        opened.append(udp.open_connected(host, port))
        return opened[-1]

    async with listening(engine=alike[1]) as listener:
        dialler = await dialler_of(listener.address.port, alike[0], connect)
        first = opened[0].getsockname()
        dialler._migration.peer_unanswered()
        assert await echo(dialler.link, b"moved") == b"moved"
        assert opened[-1].getsockname() != first
        with pytest.raises(OSError, match="in use"):
            udp.open_bound(*first)
        await closed(dialler.link)
        udp.open_bound(*first).close()


@virtual_time
async def test_the_sockets_that_are_kept_are_few_and_for_a_time() -> None:
    retired = RetiredSockets(asyncio.get_running_loop())
    left = []
    for _ in range(3 * retired_sockets.KEPT_MAX):
        with udp.open_bound("127.0.0.1", 0) as sock:
            left.append(sock.getsockname())
            retired.add(sock)
    assert [is_open(address) for address in left].count(True) == retired_sockets.KEPT_MAX
    assert is_open(left[-1])
    await seconds(retired_sockets.KEPT_FOR - 1)
    assert is_open(left[-1])
    with udp.open_bound("127.0.0.1", 0) as sock:
        late = sock.getsockname()
        retired.add(sock)
    await seconds(2)
    assert not is_open(left[-1])
    assert is_open(late)
    retired.close()
    assert not is_open(late)


def is_open(address: tuple[str, int]) -> bool:
    """Return whether a socket has this address."""
    try:
        udp.open_bound(*address).close()
    except OSError:
        return True
    return False
