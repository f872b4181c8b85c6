"""Random and mutated datagrams at an open port and on a live link: dropped, or answered; no more.

The datagrams that are mutated are real ones, of a handshake and of what follows.
"""

from __future__ import annotations

import asyncio
import logging
import random
import socket
from typing import TYPE_CHECKING

import pytest
from aioquic.quic.crypto import CryptoPair
from aioquic.tls import Epoch
from endpoints import closed, dialled, echo, listening
from hypothesis import given, settings, strategies
from pair import Pair

from quictunnel.link import LinkSettings
from quictunnel.link.aioquic_engine import packets
from quictunnel.link.engine import Path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from quictunnel.link import Link, Listener

COUNT = 100_000
BATCH = 50
ECHO_EVERY = 5_000
VERSION = 1


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


async def captured(listener: Listener) -> tuple[Link, list[bytes], list[bytes]]:
    """Return a live link, and real datagrams of its life: to the listener and to the dialler."""
    to_listener: list[bytes] = []
    take = listener._carriage._take
    send = listener._carriage.send
    to_dialler: list[bytes] = []

    def tap_take(datagrams):
        to_listener.extend(data for data, _ in datagrams)
        take(datagrams)

    def tap_send(datagrams):
        to_dialler.extend(data for data, _ in datagrams)
        send(datagrams)

    listener._carriage._take, listener._carriage.send = tap_take, tap_send
    link = await dialled(listener.address.port)
    await echo(link, bytes(50_000))
    listener._carriage._take, listener._carriage.send = take, send
    return link, to_listener, to_dialler


@pytest.fixture
def deaf() -> Iterator[Path]:
    """The address of somebody on loopback who never reads."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        yield Path("127.0.0.1", sock.getsockname()[1])


def assert_no_traceback(caplog: pytest.LogCaptureFixture) -> None:
    assert not [record for record in caplog.records if record.exc_info]
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_a_listener_and_its_live_link_bear_them(
    deaf: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
    errors: list[dict] = []
    limits = LinkSettings(handshake_timeout=0.5)
    script = random.Random(5)
    async with listening(settings=limits) as listener:
        link, real, _ = await captured(listener)
        (their_link,) = listener._ids
        paths = [deaf, their_link.engine.path]
        before = len(listener._links)
        for done in range(0, COUNT, BATCH):
            batch = [
                (mutated(script.choice(real), script), script.choice(paths)) for _ in range(BATCH)
            ]
            listener._take(batch)
            if done % ECHO_EVERY == 0:
                assert await echo(link, b"still well" * 100) == b"still well" * 100
                assert len(listener._unproven) <= limits.retry_above
        assert len(their_link.engine._network_paths) <= 8
        async with asyncio.timeout(20):
            while len(listener._ids) > 1 or their_link.engine._streams:  # noqa: ASYNC110 - nobody tells of it
                await asyncio.sleep(0.02)
        assert len(listener._links) == before
        assert listener._unproven == {}
        assert await echo(link, bytes(100_000)) == bytes(100_000)
        await closed(link)
    assert errors == []
    assert_no_traceback(caplog)


async def test_a_dialler_bears_them(deaf: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    script = random.Random(6)
    async with listening() as listener:
        link, _, real = await captured(listener)
        dialler = link._carrier
        for _ in range(100):
            dialler._take([(mutated(script.choice(real), script), deaf) for _ in range(BATCH)])
        assert await echo(link, bytes(100_000)) == bytes(100_000)
        await closed(link)
    assert_no_traceback(caplog)


async def test_real_datagrams_again_and_from_elsewhere_change_nothing(deaf: Path) -> None:
    async with listening() as listener:
        link, real, _ = await captured(listener)
        (their_link,) = listener._ids
        path = their_link.engine.path
        for _ in range(20):
            listener._take([(data, deaf) for data in real])
        assert await echo(link, bytes(100_000)) == bytes(100_000)
        assert their_link.engine.path == path
        assert list(listener._ids) == [their_link]
        await closed(link)


async def test_handshake_packets_with_good_keys_and_bad_contents(
    deaf: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Anybody can seal an Initial packet: its keys follow from its header (RFC 9001, 5.2)."""
    caplog.set_level(logging.WARNING)
    script = random.Random(7)
    limits = LinkSettings(handshake_timeout=0.2, retry_above=10_000, max_unproven=10_000)
    async with listening(settings=limits) as listener:
        for _ in range(300):
            listener._take([(sealed_initial(frames(script), script), deaf)])
        assert len(listener._ids) == 300
        async with asyncio.timeout(20):
            while listener._ids:  # noqa: ASYNC110 - nobody tells of it
                await asyncio.sleep(0.02)
        assert listener._links == {}
        assert listener._budget.unread == 0
    assert_no_traceback(caplog)


def sealed_initial(payload: bytes, script: random.Random) -> bytes:
    destination, source = script.randbytes(8), script.randbytes(8)
    crypto = CryptoPair()
    crypto.setup_initial(destination, is_client=True, version=VERSION)
    payload = payload[:1160].ljust(1170, b"\0")
    header = bytes([0xC1]) + VERSION.to_bytes(4, "big") + b"\x08" + destination + b"\x08" + source
    header += b"\0" + (0x4000 | (len(payload) + 2 + 16)).to_bytes(2, "big") + b"\0\0"
    return crypto.encrypt_packet(header, payload, 0)


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
def test_a_peer_that_we_know_may_send_any_frames(seed: int) -> None:
    """At worst the link ends in order, with a reason."""
    script = random.Random(seed)
    pair = Pair.trusting(echo=seed % 2 == 0)
    pair.client.open(bytes(20_000))
    paused = pair.client.open(bytes(20_000))
    pair.server.paused.add(paused)
    pair.run_for(0.5)
    engine = pair.client.engine
    for _ in range(30):
        if pair.server.closed is not None:
            break
        payload = frames(script).ljust(20, b"\0")
        packet_number = engine._packet_number
        engine._packet_number += 1
        header = bytes([0x41]) + engine._peer_cid.cid + (packet_number & 0xFFFF).to_bytes(2, "big")
        data = engine._cryptos[Epoch.ONE_RTT].encrypt_packet(header, payload, packet_number)
        pair.server.engine.receive(data, pair.client.path, pair.now)
        pair.run_for(0.01)
    assert pair.server.closed is None or pair.server.closed[1]
    pair.server.engine.close_with(0, "")
    pair.run_for(10.0)
    assert pair.server.engine.is_terminated
    assert pair.server.engine._budget.unread == 0


@given(strategies.binary(max_size=1500))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_a_newcomer_or_are_not(data: bytes) -> None:
    packets.destination(data)
    packets.newcomer(data)
    packets.newcomer(data.ljust(1200, b"\0"))


@pytest.mark.parametrize("size", range(21))
def test_a_newcomer_chooses_an_id_that_is_long_enough(size: int) -> None:
    header = bytes([0xC0, 0, 0, 0, 1, size, *range(size), 0, 0, 0x44, 0x4C])
    found = packets.newcomer(header.ljust(1200, b"\0"))
    assert (found is not None) == (size >= packets.FIRST_ID_MIN)


async def test_nothing_is_answered_with_more_than_was_asked(deaf: Path) -> None:
    """A listener must not be of use to those who send in another's name (RFC 9000, 8.1)."""
    script = random.Random(8)
    async with listening() as listener:
        link, real, _ = await captured(listener)
        sent: list[int] = []
        send = listener._carriage.send

        def tap(datagrams):
            sent.extend(len(data) for data, path in datagrams if path == deaf)
            send(datagrams)

        listener._carriage.send = tap
        received = 0
        for _ in range(2_000):
            data = mutated(script.choice(real[:3]), script)
            received += len(data)
            listener._take([(data, deaf)])
        assert sum(sent) <= 3 * received
        listener._carriage.send = send
        await closed(link)


async def test_links_that_broke_off_count_as_unproven_until_they_are_gone(deaf: Path) -> None:
    """Else those who send one bad handshake packet each would fill the house."""
    script = random.Random(7)
    limits = LinkSettings()
    async with listening(settings=limits) as listener:
        for _ in range(300):
            listener._take([(sealed_initial(b"\x1e" + frames(script), script), deaf)])
        assert len(listener._ids) <= limits.retry_above
