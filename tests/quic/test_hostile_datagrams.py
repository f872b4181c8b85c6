"""Random and mutated datagrams at an open port and on a live link: dropped, or answered; no more.

The datagrams that are mutated are real ones, of a handshake and of what follows.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import socket
import sys
from typing import TYPE_CHECKING

import pytest
from endpoints import closed, dialled, echo, listening
from pair import Engines, Pair
from probes import PROBES

from quictunnel.quic.engine import Path
from quictunnel.quic.path import udp
from quictunnel.quic.settings import LinkSettings
from testkit.crafted_packets import PacketCrafter, sealed_initial
from testkit.forwarder import Forwarder

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from quictunnel.quic.dialer import LinkDialer
    from quictunnel.quic.engine import Datagram
    from quictunnel.quic.link import Link
    from quictunnel.quic.listener import Listener

COUNT = 10_000
BATCH = 50
ECHO_EVERY = 500
ON_LINUX = sys.platform == "linux"


def mutated(data: bytes, script: random.Random) -> bytes:
    """Return `data`, or what a bad network or a bad person makes of it."""
    kind = script.randrange(8)
    changed = bytearray(data)
    if kind == 0:
        for _ in range(script.randrange(1, 8)):
            changed[script.randrange(len(changed))] ^= 1 << script.randrange(8)
    elif kind == 1:
        del changed[script.randrange(len(changed)) :]
    elif kind == 2:
        changed += script.randbytes(script.randrange(1, 300))
    elif kind == 3:
        start = script.randrange(len(changed))
        changed[start:] = script.randbytes(len(changed) - start)
    elif kind == 4:
        changed[0] = script.randrange(256)
    elif kind == 5:
        changed[1:5] = script.choice([b"\0\0\0\0", b"\0\0\0\1", script.randbytes(4)])
    elif kind == 6:
        changed[script.randrange(min(40, len(changed)))] = script.randrange(256)
    else:
        changed = bytearray(script.randbytes(script.choice([0, 1, 5, 20, 100, 1200, 1452])))
    return bytes(changed)


@contextlib.asynccontextmanager
async def captured(listener: Listener, engine: str) -> AsyncIterator[tuple[Link, tuple, tuple]]:
    """A live link, and real datagrams of its life: to the listener and to the dialler."""
    to_listener: list[bytes] = []
    to_dialler: list[bytes] = []

    def record(way: str, data: bytes) -> None:
        (to_listener if way == "up" else to_dialler).append(data)

    with Forwarder(listener.address.port, on_datagram=record) as forwarder:
        link = await dialled(forwarder.port, engine=engine)
        await echo(link, bytes(50_000))
        try:
            yield link, tuple(to_listener), tuple(to_dialler)
        finally:
            await closed(link)


def take(end: Listener | LinkDialer, datagrams: list[Datagram]) -> None:
    """Let an end have datagrams, as if its socket had given them."""
    now = asyncio.get_running_loop().time()
    end._on_received(end._endpoint.receive(datagrams, now))


def path_of(link: Link) -> Path:
    """Where the datagrams of a listener's link come from, as its socket says it."""
    return Path(*link.engine.peer, socket.inet_aton("127.0.0.1") if ON_LINUX else b"")


@pytest.fixture
def somebody() -> Iterator[socket.socket]:
    """A socket on loopback from which the test has sent nothing."""
    with udp.open_bound("127.0.0.1", 0) as sock:
        sock.setblocking(False)
        yield sock


@pytest.fixture
def deaf(somebody: socket.socket) -> Path:
    """The address of a socket that is never read."""
    return Path(*somebody.getsockname())


def assert_no_traceback(caplog: pytest.LogCaptureFixture) -> None:
    assert not [record for record in caplog.records if record.exc_info]
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_a_listener_and_its_live_link_bear_them(
    deaf: Path, caplog: pytest.LogCaptureFixture, alike: Engines
) -> None:
    caplog.set_level(logging.WARNING)
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
    errors: list[dict] = []
    limits = LinkSettings(handshake_timeout=0.5)
    script = random.Random(5)
    async with (
        listening(settings=limits, engine=alike[1]) as listener,
        captured(listener, alike[0]) as (link, real, _),
    ):
        (their_link,) = listener._links.values()
        paths = [deaf, path_of(their_link)]
        for done in range(0, COUNT, BATCH):
            batch = [
                (mutated(script.choice(real), script), script.choice(paths)) for _ in range(BATCH)
            ]
            take(listener, batch)
            if done % ECHO_EVERY == 0:
                assert await echo(link, b"still well" * 100) == b"still well" * 100
                assert listener._admission.unproven <= limits.retry_above
        async with asyncio.timeout(20):
            while len(listener._links) > 1 or their_link.stream_count:  # noqa: ASYNC110 - no callback reports it
                await asyncio.sleep(0.02)
        assert list(listener._links.values()) == [their_link]
        assert PROBES[alike[1]].connections(listener._endpoint) == 1
        assert listener._admission.unproven == 0
        assert await echo(link, bytes(100_000)) == bytes(100_000)
    assert errors == []
    assert_no_traceback(caplog)


async def test_a_dialler_bears_them(
    deaf: Path, caplog: pytest.LogCaptureFixture, alike: Engines
) -> None:
    caplog.set_level(logging.WARNING)
    script = random.Random(6)
    async with (
        listening(engine=alike[1]) as listener,
        captured(listener, alike[0]) as (link, _, real),
    ):
        for _ in range(100):
            batch = [(mutated(script.choice(real), script), deaf) for _ in range(BATCH)]
            take(link._owner, batch)
        assert await echo(link, bytes(100_000)) == bytes(100_000)
    assert_no_traceback(caplog)


async def test_real_datagrams_again_and_from_elsewhere_change_nothing(
    deaf: Path, alike: Engines
) -> None:
    async with (
        listening(engine=alike[1]) as listener,
        captured(listener, alike[0]) as (link, real, _),
    ):
        (their_link,) = listener._links.values()
        peer = their_link.peer
        for _ in range(20):
            take(listener, [(data, deaf) for data in real])
        assert await echo(link, bytes(100_000)) == bytes(100_000)
        assert their_link.peer == peer
        assert list(listener._links.values()) == [their_link]


async def test_handshake_packets_with_good_keys_and_bad_contents(
    deaf: Path, caplog: pytest.LogCaptureFixture, alike: Engines
) -> None:
    """Anybody can seal an Initial packet: its keys follow from its header (RFC 9001, 5.2)."""
    caplog.set_level(logging.WARNING)
    script = random.Random(7)
    limits = LinkSettings(handshake_timeout=0.2, retry_above=10_000, max_unproven=10_000)
    async with listening(settings=limits, engine=alike[1]) as listener:
        for _ in range(300):
            take(listener, [(full_initial(frames(script), script), deaf)])
        assert len(listener._links) <= 300  # quinn lets none of them in
        async with asyncio.timeout(20):
            while listener._links:  # noqa: ASYNC110 - no callback reports it
                await asyncio.sleep(0.02)
        assert PROBES[alike[1]].connections(listener._endpoint) == 0
        assert not PROBES[alike[1]].unread(listener._endpoint)
    assert_no_traceback(caplog)


def full_initial(payload: bytes, script: random.Random) -> bytes:
    return sealed_initial(
        payload[:1160].ljust(1170, b"\0"),
        destination=script.randbytes(8),
        source=script.randbytes(8),
    )


def frames(script: random.Random) -> bytes:
    """Return a few frames of any type, with numbers small, large, and made up."""
    parts = []
    for _ in range(script.randrange(1, 6)):
        parts.append(bytes([script.randrange(0x20)]))
        parts.extend(number(script) for _ in range(script.randrange(6)))
        parts.append(script.randbytes(script.choice([0, 0, 1, 8, 24, 50])))
    return b"".join(parts)


def number(script: random.Random) -> bytes:
    """Return a variable-length integer (RFC 9000, 16)."""
    kind = script.randrange(4)
    if kind == 0:
        return bytes([script.randrange(64)])
    if kind == 1:
        return (0x4000 | script.randrange(1 << 14)).to_bytes(2, "big")
    if kind == 2:
        return (0x80000000 | script.randrange(1 << 30)).to_bytes(4, "big")
    return ((3 << 62) | script.randrange(1 << 62)).to_bytes(8, "big")


@pytest.mark.parametrize("seed", range(30))
def test_a_peer_that_we_know_may_send_any_frames(seed: int, met_by_aioquic: Engines) -> None:
    """At worst the link ends in order, with a reason."""
    script = random.Random(seed)
    pair = Pair.trusting(echo=seed % 2 == 0, engines=met_by_aioquic)
    pair.client.open(bytes(20_000))
    paused = pair.client.open(bytes(20_000))
    pair.server.paused.add(paused)
    pair.run_for(0.5)
    crafter = PacketCrafter(pair.client.engine)
    for _ in range(30):
        if pair.server.closed is not None:
            break
        pair.server.take([(crafter.packet(frames(script)), pair.client.path)], pair.now)
        pair.run_for(0.01)
    assert pair.server.closed is None or pair.server.closed[1]
    pair.server.engine.close_with(0, "")
    pair.run_for(10.0)
    assert pair.server.engine.is_terminated
    assert not pair.server.probe.unread(pair.server.endpoint)


async def test_nothing_is_answered_with_more_than_was_asked(
    somebody: socket.socket, alike: Engines
) -> None:
    """A listener must not be of use to those who send in another's name (RFC 9000, 8.1)."""
    script = random.Random(8)
    async with (
        listening(engine=alike[1]) as listener,
        captured(listener, alike[0]) as (_, real, _),
    ):
        path = Path(*somebody.getsockname())
        asked = answered = 0
        for _ in range(2_000):
            data = mutated(script.choice(real[:3]), script)
            asked += len(data)
            take(listener, [(data, path)])
            with contextlib.suppress(BlockingIOError):
                while True:
                    answered += len(somebody.recv(2000))
        assert 0 < answered <= 3 * asked


async def test_links_that_broke_off_count_as_unproven_until_they_are_gone(
    deaf: Path, alike: Engines
) -> None:
    """Otherwise peers that send one bad handshake packet each would use up all places."""
    script = random.Random(7)
    limits = LinkSettings()
    async with listening(settings=limits, engine=alike[1]) as listener:
        for _ in range(300):
            take(listener, [(full_initial(b"\x1e" + frames(script), script), deaf)])
        assert len(listener._links) <= limits.retry_above
