"""Floods of new peers at a listener, in virtual time: honest peers get in, and nothing grows."""

from __future__ import annotations

import asyncio
import ipaddress
import itertools
import random

import pytest
from flooded_listener import Caller, Flood, Flooded
from link_pair import over_links, seconds, until
from pair import Engines
from probes import PROBES

from quictunnel.events import PeerDropped
from quictunnel.quic.engine import Path, ReceivedBatch
from quictunnel.quic.limits import UNPROVEN_LINKS

ADMITTED_WITHIN = 3.0
"""Seconds from an honest peer's first packet to its proof."""

RATE = 250
"""Packets per second of a flood. A real one has more; tests should be fast."""

HONEST, PORT = "198.51.100.7", 4711
ATTACKER = "192.0.2.66"


def ports(host: str):
    """Return paths from one host, each with another port."""
    return (Path(host, 1024 + port % 60_000) for port in itertools.count())


def forged():
    """Return paths from addresses all over the internet."""
    script = random.Random(3)
    return (
        Path(f"{script.randrange(1, 200)}.{script.randrange(256)}.{script.randrange(256)}.9", 5000)
        for _ in itertools.count()
    )


def networks(count: int):
    """Return paths from so many IPv6 networks, each with many ports."""
    return (
        Path(f"2001:db8:{number % count:x}::1", 1024 + number // count % 60_000)
        for number in itertools.count()
    )


def site(count: int):
    """Return paths from so many networks of one IPv6 site."""
    first = int(ipaddress.IPv6Address("2001:db8:1::1"))
    return (
        Path(
            str(ipaddress.IPv6Address(first + (number % count << 64))),
            1024 + number // count % 60_000,
        )
        for number in itertools.count()
    )


FLOODS = {
    "one address": (lambda: ports(ATTACKER), True),
    "one address that answers no Retry": (lambda: ports(ATTACKER), False),
    "one socket": (lambda: itertools.repeat(Path(ATTACKER, 5000)), True),
    "forged addresses": (forged, False),
    "the origin's address, forged": (lambda: ports(HONEST), False),
    "100 networks": (lambda: networks(100), True),
    "all networks of one site": (lambda: site(65_536), True),
}


async def check(flooded: Flooded, end_flood) -> None:
    """Check that an honest peer gets in, that limits hold, and that nothing is left afterwards."""
    await seconds(3)
    caller = flooded.honest(HONEST, PORT)
    await until(lambda: PORT in flooded.proven_at)
    assert flooded.proven_at[PORT] - caller.called_at < ADMITTED_WITHIN
    await seconds(2)
    assert caller.closed is None
    assert flooded.most_unproven <= UNPROVEN_LINKS
    end_flood()
    await seconds(30)
    listener = flooded.listener
    assert listener._admission.unproven == 0
    assert not listener._admission.has_waiting
    assert not listener._handshake_timers
    assert len(listener._links) == PROBES[flooded.engine].connections(listener._endpoint) == 1
    assert caller.closed is None


@pytest.mark.parametrize("kind", FLOODS)
@over_links
async def test_an_origin_gets_in_during_a_flood(kind: str, alike: Engines) -> None:
    flooded = Flooded(alike[1])
    paths, answers = FLOODS[kind]
    flood = Flood(flooded, paths(), rate=RATE, answers=answers)
    await check(flooded, flood.stop)
    dropped = {event.source for event in flooded.events if isinstance(event, PeerDropped)}
    assert dropped


@pytest.mark.parametrize("options", [{}, {"closes": True}, {"alpn": "h3"}], ids=str)
@over_links
async def test_an_origin_gets_in_during_a_flood_of_complete_handshakes(
    options: dict, alike: Engines
) -> None:
    flooded = Flooded(alike[1])
    callers: list[Caller] = []

    async def flood() -> None:
        for port in itertools.count(10_000):
            callers.append(Caller(flooded, ATTACKER, port, **options))
            await asyncio.sleep(0.025)

    task = asyncio.create_task(flood())

    def end_flood() -> None:
        task.cancel()
        for caller in callers:
            caller.stop()

    await check(flooded, end_flood)


@over_links
async def test_an_origin_returns_beside_an_attacker_behind_the_same_nat(alike: Engines) -> None:
    flooded = Flooded(alike[1])
    first = flooded.honest(HONEST, PORT)
    await until(lambda: PORT in flooded.proven_at)
    flood = Flood(flooded, itertools.repeat(Path(HONEST, 5000)), rate=RATE, answers=True)
    await seconds(3)
    first.stop()
    second = flooded.honest(HONEST, PORT + 1)
    await until(lambda: PORT + 1 in flooded.proven_at)
    assert flooded.proven_at[PORT + 1] - second.called_at < ADMITTED_WITHIN
    flood.stop()


@over_links
async def test_a_known_origin_returns_while_1000_networks_flood(alike: Engines) -> None:
    flooded = Flooded(alike[1])
    first = flooded.honest(HONEST, PORT)
    await until(lambda: PORT in flooded.proven_at)
    flood = Flood(flooded, networks(1000), rate=RATE, answers=True)
    await seconds(3)
    first.stop()
    second = flooded.honest(HONEST, PORT + 1)
    await until(lambda: PORT + 1 in flooded.proven_at)
    assert flooded.proven_at[PORT + 1] - second.called_at < 1.0
    flood.stop()


@over_links
async def test_all_origins_behind_one_nat_connect_at_once(alike: Engines) -> None:
    flooded = Flooded(alike[1])
    callers = [flooded.honest(HONEST, PORT + number) for number in range(64)]
    await until(lambda: len(flooded.proven_at) == len(callers))
    last = max(flooded.proven_at.values())
    assert last - callers[0].called_at < ADMITTED_WITHIN
    assert all(caller.closed is None for caller in callers)


@over_links
async def test_all_networks_of_one_site_connect_at_once(alike: Engines) -> None:
    flooded = Flooded(alike[1])
    paths = itertools.islice(site(64), 64)
    callers = [flooded.honest(path[0], PORT + number) for number, path in enumerate(paths)]
    await until(lambda: len(flooded.proven_at) == len(callers))
    last = max(flooded.proven_at.values())
    assert last - callers[0].called_at < ADMITTED_WITHIN
    assert all(caller.closed is None for caller in callers)


@over_links
async def test_a_silent_handshake_is_dropped_with_all_that_it_holds(alike: Engines) -> None:
    flooded = Flooded(alike[1])
    flood = Flood(flooded, ports(ATTACKER), rate=1000, answers=False)
    await seconds(0.0301)
    flood.stop()
    await seconds(1)
    listener = flooded.listener
    held = listener._admission.unproven
    assert held > 0
    await seconds(10)
    assert listener._admission.unproven == 0
    assert PROBES[flooded.engine].connections(listener._endpoint) == 0
    reasons = [event.reason for event in flooded.events]
    assert reasons.count("no handshake in time") == held


@over_links
async def test_one_handshake_starts_in_each_turn_of_the_loop(alike: Engines) -> None:
    flooded = Flooded(alike[1])
    loop = asyncio.get_running_loop()
    order: list[str] = []
    accept = flooded.listener._endpoint.accept

    def accept_and_record(*args: object) -> object:
        order.append("accept")
        loop.call_soon(order.append, "turn")
        return accept(*args)

    flooded.listener._endpoint.accept = accept_and_record
    for number in range(8):
        flooded.honest(f"192.0.2.{number}", PORT + number)
    await until(lambda: len(flooded.proven_at) == 8)
    assert order == ["accept", "turn"] * 8


@over_links
async def test_proven_links_are_served_first(alike: Engines) -> None:
    flooded = Flooded(alike[1])
    flooded.honest(HONEST, PORT)
    Caller(flooded, ATTACKER, PORT + 1)
    await seconds(2)
    links = list(flooded.listener._links.values())
    assert sorted(link.is_trusted for link in links) == [False, True]
    served = []
    for link in links:
        link.datagrams_received = lambda link=link: served.append(link.is_trusted)
    for engines in (links, links[::-1]):
        flooded.listener._on_received(ReceivedBatch([link.engine for link in engines], []))
    assert served == [True, False] * 2
