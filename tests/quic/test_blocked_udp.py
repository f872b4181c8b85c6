"""Links survive a network that blocks UDP or throttles it. In virtual time."""

from __future__ import annotations

from dialed_links import Exchange, ended, established
from link_pair import over_links, until
from pair import Engines

from quictunnel.events import PathKind, PathReason
from testkit.clock import seconds

UDP, WEBSOCKET = PathKind.UDP, PathKind.WEBSOCKET


@over_links
async def test_five_times_udp_is_blocked_and_back_and_no_stream_is_lost(engines: Engines) -> None:
    machine = await established(engines)
    exchange = Exchange(machine)
    await seconds(5)
    for _ in range(5):
        machine.network.cut = True
        assert await exchange.moves(limit=4) < 4
        assert machine.link.path_kind is WEBSOCKET
        await seconds(5)
        assert machine.listener.link.path_kind is WEBSOCKET
        machine.network.cut = False
        await until(lambda: machine.link.path_kind is UDP, limit=10)
        assert await exchange.moves(limit=1) < 1
        assert machine.listener.link.path_kind is UDP
        await seconds(15)
    await exchange.finish()
    assert machine.paths == [(WEBSOCKET, PathReason.UDP_SILENT), (UDP, PathReason.UDP_ANSWERS)] * 5
    assert machine.link.path_reason == PathReason.UDP_ANSWERS
    await ended(machine)


@over_links
async def test_a_network_that_loses_97_percent_is_left(engines: Engines) -> None:
    machine = await established(engines)
    exchange = Exchange(machine)
    await seconds(5)
    machine.network.loss = 0.97
    await until(lambda: machine.link.path_kind is WEBSOCKET, limit=6)
    assert await exchange.moves(limit=3) < 3
    await seconds(120)
    assert machine.link.path_kind is WEBSOCKET
    assert len(machine.paths) == 1
    machine.network.loss = 0.0
    await until(lambda: machine.link.path_kind is UDP, limit=10)
    await exchange.finish()
    await ended(machine)
