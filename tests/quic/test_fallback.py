"""A dialed link leaves UDP when UDP carries nothing, and returns. In virtual time."""

from __future__ import annotations

import itertools

import pytest
from dialed_links import AWAY, HOME, Exchange, Machine, ended, established
from link_pair import over_links, until
from pair import Engines

from quictunnel.config.via import Via
from quictunnel.errors import LinkFailed, LinkForgotten
from quictunnel.events import PathKind, UdpProbeKind
from quictunnel.protocol.codes import Code
from testkit.clock import seconds

UDP, WEBSOCKET = PathKind.UDP, PathKind.WEBSOCKET


@over_links
async def test_a_bad_network_that_delivers_is_kept(engines: Engines) -> None:
    machine = await established(engines)
    exchange = Exchange(machine)
    machine.network.loss = 0.3
    await seconds(60)
    assert machine.link.path_kind is UDP
    await exchange.finish()
    await ended(machine)


@over_links
async def test_udp_that_answers_while_the_path_is_opened_keeps_the_link(engines: Engines) -> None:
    machine = await established(engines)
    exchange = Exchange(machine)
    await seconds(1)
    machine.opener.opening_time = 3.0
    machine.network.cut = True
    await until(lambda: machine.link.is_silent, limit=4)
    await seconds(1)
    machine.network.cut = False
    await seconds(10)
    assert machine.paths == []
    assert len(machine.opener.lines) == 1
    assert machine.line.is_closed
    await exchange.finish()
    await ended(machine)


@over_links
async def test_a_link_that_started_on_a_path_goes_to_udp_when_that_works(engines: Engines) -> None:
    machine = Machine(engines)
    machine.network.cut = True
    await machine.dial(over=True)
    exchange = Exchange(machine)
    assert machine.link.path_kind is WEBSOCKET
    await seconds(30)
    assert machine.link.udp_probe == "192.0.2.2:9001 does not answer"
    machine.network.cut = False
    await until(lambda: machine.link.path_kind is UDP, limit=10)
    assert machine.link.udp_probe == "192.0.2.2:9001 answered after 40 ms"
    assert machine.probe_results == [UdpProbeKind.UNANSWERED, UdpProbeKind.ANSWERED]
    await exchange.finish()
    await ended(machine)


@over_links
async def test_a_link_without_an_address_for_udp_says_so(engines: Engines) -> None:
    machine = Machine(engines, hosts=())
    await machine.dial(over=True)
    assert machine.link.udp_probe == "the remote's address is not known yet"
    await ended(machine)


@over_links
async def test_probes_become_rare_where_udp_stays_blocked(engines: Engines) -> None:
    machine = Machine(engines)
    machine.network.cut = True
    await machine.dial(over=True)
    await seconds(600)
    assert len(machine.probes) == pytest.approx(300, abs=5)
    before = len(machine.probes)
    await seconds(3600)
    assert len(machine.probes) - before == pytest.approx(15, abs=3)
    assert machine.open_sockets <= 1
    await ended(machine)


@over_links
async def test_a_link_that_may_use_a_websocket_only_never_tries_udp(engines: Engines) -> None:
    machine = await established(engines, over=True, via=Via.WEBSOCKET)
    exchange = Exchange(machine)
    await seconds(30)
    machine.line.fail()
    assert await exchange.moves(limit=3) < 3
    machine.roam(AWAY)
    machine.line.stall()
    assert await exchange.moves(limit=5) < 5
    assert machine.sockets == []
    assert machine.probes == []
    await exchange.finish()
    await ended(machine)


@over_links
async def test_a_link_that_may_use_udp_only_never_opens_a_path(engines: Engines) -> None:
    machine = await established(engines, via=Via.UDP)
    exchange = Exchange(machine)
    await seconds(1)
    machine.network.cut = True
    await seconds(30)
    machine.network.cut = False
    assert await exchange.moves(limit=3) < 3
    assert machine.opener.lines == []
    await exchange.finish()
    await ended(machine)


@over_links
async def test_a_path_that_ends_is_replaced(engines: Engines) -> None:
    machine = Machine(engines)
    machine.network.cut = True
    await machine.dial(over=True)
    exchange = Exchange(machine)
    await seconds(30)
    for _ in range(3):
        machine.line.fail()
        assert await exchange.moves(limit=2) < 2
        await seconds(10)
    machine.opener.obstacle = "connection refused"  # the proxy restarts
    machine.line.fail()
    await seconds(10)
    machine.opener.obstacle = None
    assert await exchange.moves(limit=6) < 6
    assert machine.paths == []
    assert machine.open_failures == ["connection refused"]
    await exchange.finish()
    await ended(machine)


@over_links
async def test_a_path_that_carries_nothing_is_replaced(engines: Engines) -> None:
    machine = Machine(engines)
    machine.network.cut = True
    await machine.dial(over=True)
    exchange = Exchange(machine)
    await seconds(30)
    machine.line.stall()
    assert await exchange.moves(limit=4) < 4
    assert machine.opener.lines[0].is_closed
    await exchange.finish()
    await ended(machine)


@over_links
async def test_udp_carries_the_link_at_once_when_the_path_ends(engines: Engines) -> None:
    machine = Machine(engines)
    machine.network.cut = True
    await machine.dial(over=True)
    await seconds(1000)  # UDP is probed rarely now
    exchange = Exchange(machine)
    await seconds(1)
    machine.network.cut = False
    machine.opener.obstacle = "connection refused"
    machine.line.fail()
    assert await exchange.moves(limit=2) < 2
    assert machine.link.path_kind is UDP
    await exchange.finish()
    await ended(machine)


@pytest.mark.parametrize("first", ["udp", "websocket"])
@over_links
async def test_with_both_ways_dead_the_first_that_returns_is_used(
    first: str, engines: Engines
) -> None:
    machine = await established(engines)
    exchange = Exchange(machine)
    await seconds(1)
    machine.opener.obstacle = "connection refused"
    machine.network.cut = True
    await seconds(60)
    assert machine.link.is_silent
    if first == "udp":
        machine.network.cut = False
    else:
        machine.opener.obstacle = None
    assert await exchange.moves(limit=6) < 6
    assert machine.link.path_kind == first
    await exchange.finish()
    await ended(machine)


@over_links
async def test_five_seconds_without_an_address_lose_no_stream(engines: Engines) -> None:
    machine = Machine(engines)
    machine.network.cut = True
    await machine.dial(over=True)
    exchange = Exchange(machine)
    await seconds(30)
    for address in (AWAY, HOME):
        machine.roam(None)
        await seconds(5)
        machine.roam(address)
        assert await exchange.moves(limit=1) < 1
        await seconds(20)
    assert machine.paths == []
    await exchange.finish()
    await ended(machine)


@over_links
async def test_changes_that_change_nothing_keep_the_path(engines: Engines) -> None:
    machine = Machine(engines)
    machine.network.cut = True
    await machine.dial(over=True)
    await seconds(10)
    before = len(machine.probes)
    for _ in range(100):
        machine.network_changed("the network has changed")
        await seconds(0.05)
    await seconds(10)
    assert len(machine.opener.lines) == 1
    assert len(machine.probes) - before < 15
    await ended(machine)


@over_links
async def test_the_path_is_replaced_at_once_after_a_suspend(engines: Engines) -> None:
    machine = Machine(engines)
    machine.network.cut = True
    await machine.dial(over=True)
    exchange = Exchange(machine)
    await seconds(10)
    machine.line.stall()  # a NAT has forgotten it
    machine.loop.jump(300)
    machine.network_changed("resumed after a suspend of 300 s")
    assert await exchange.moves(limit=3) < 3
    assert len(machine.opener.lines) == 2
    await exchange.finish()
    await ended(machine)


@over_links
async def test_a_path_that_works_after_a_suspend_is_kept(engines: Engines) -> None:
    machine = Machine(engines)
    machine.network.cut = True
    await machine.dial(over=True)
    exchange = Exchange(machine)
    await seconds(10)
    machine.loop.jump(60)
    machine.network_changed("resumed after a suspend of 60 s")
    assert await exchange.moves(limit=2) < 2
    await seconds(10)
    assert machine.link.path_kind is WEBSOCKET
    await exchange.finish()
    await ended(machine)


@over_links
async def test_a_return_that_fails_goes_back_to_the_same_path_and_waits_longer(
    engines: Engines,
) -> None:
    """The network answers probes, and drops everything else: it knows QUIC."""
    machine = Machine(engines)
    machine.network.cut = True
    await machine.dial(over=True)
    exchange = Exchange(machine)
    await seconds(10)
    returned_at = []
    machine.network.cut = False
    for _ in range(3):
        await until(lambda: machine.link.path_kind is UDP, limit=60)
        returned_at.append(machine.loop.time())
        machine.network.cut = True
        assert await exchange.moves(limit=4) < 4
        assert machine.link.path_kind is WEBSOCKET
        machine.network.cut = False
    assert len(machine.opener.lines) == 1
    first, second = (b - a for a, b in itertools.pairwise(returned_at))
    assert 10 < first < 20 < second < 35
    await exchange.finish()
    await ended(machine)


@over_links
async def test_probes_answered_before_the_path_do_not_move_a_silent_link_back(
    engines: Engines,
) -> None:
    """The network lets only probes pass, and UDP is quicker than the path."""
    machine = await established(engines)
    exchange = Exchange(machine)
    machine.opener.options["delay"] = 0.1
    await seconds(1)
    machine.blocks_links = True
    for _ in range(3):
        assert await exchange.moves(limit=5) < 5
        assert machine.link.path_kind is WEBSOCKET
        await until(lambda: machine.link.path_kind is UDP, limit=60)
    await exchange.finish()
    await ended(machine)


@over_links
async def test_a_return_that_has_failed_in_one_network_delays_none_in_another(
    engines: Engines,
) -> None:
    machine = await established(engines)
    exchange = Exchange(machine)
    await seconds(1)
    machine.blocks_links = True
    for _ in range(3):
        assert await exchange.moves(limit=5) < 5
        await until(lambda: machine.link.path_kind is UDP, limit=60)
    assert await exchange.moves(limit=5) < 5
    machine.roam(AWAY)
    machine.blocks_links = False
    await until(lambda: machine.link.path_kind is UDP, limit=10)
    await exchange.finish()
    await ended(machine)


@over_links
async def test_a_path_in_doubt_does_not_delay_the_return(engines: Engines) -> None:
    machine = Machine(engines)
    machine.network.cut = True
    await machine.dial(over=True)
    exchange = Exchange(machine)
    await seconds(10)
    machine.network.cut = False
    returning = machine.loop.time()
    await seconds(3)
    machine.line.stall()
    machine.network_changed("the network has changed")
    await until(lambda: len(machine.opener.lines) == 2, limit=2)
    await until(lambda: machine.link.path_kind is UDP, limit=10)
    assert machine.loop.time() - returning < 7
    await exchange.finish()
    await ended(machine)


@over_links
async def test_probes_while_nothing_carries_the_link_do_not_make_later_ones_rarer(
    engines: Engines,
) -> None:
    machine = Machine(engines)
    machine.network.cut = True
    await machine.dial(over=True)
    await seconds(605)
    machine.opener.obstacle = "connection refused"
    machine.line.fail()
    await seconds(20)
    machine.opener.obstacle = None
    await until(lambda: machine.link.path_kind is WEBSOCKET and not machine.link.is_silent)
    await seconds(10)
    before = len(machine.probes)
    await seconds(100)
    assert len(machine.probes) > before
    await ended(machine)


@over_links
async def test_udp_that_has_carried_the_link_after_a_return_is_trusted_again(
    engines: Engines,
) -> None:
    machine = await established(engines)
    exchange = Exchange(machine)
    await seconds(1)
    for _ in range(5):
        machine.network.cut = True
        assert await exchange.moves(limit=4) < 4
        assert machine.link.path_kind is WEBSOCKET
        machine.network.cut = False
        await until(lambda: machine.link.path_kind is UDP, limit=10)
        await seconds(0.5)
    await exchange.finish()
    await ended(machine)


@over_links
async def test_returns_are_limited(engines: Engines) -> None:
    machine = await established(engines)
    exchange = Exchange(machine)
    await seconds(1)
    start = machine.loop.time()
    while machine.loop.time() < start + 300:
        machine.network.cut = True
        await until(lambda: machine.link.path_kind is WEBSOCKET, limit=5)
        machine.network.cut = False
        await until(lambda: machine.link.path_kind is UDP, limit=120)
        await seconds(11)
    returns = [kind for kind, _ in machine.paths].count(UDP)
    assert returns <= 6 + 5 + 2
    await exchange.finish()
    await ended(machine)


@over_links
async def test_a_restarted_remote_is_noticed_on_the_path(engines: Engines) -> None:
    machine = Machine(engines)
    machine.network.cut = True
    await machine.dial(over=True)
    exchange = Exchange(machine)
    await seconds(10)
    exchange.stop()
    machine.restart_listener()
    await machine.link.wait_closed()
    assert isinstance(machine.session.exc, LinkForgotten)
    await ended(machine)


@over_links
async def test_a_restarted_remote_is_noticed_over_udp(engines: Engines) -> None:
    machine = Machine(engines)
    await machine.dial(over=True)
    machine.opener.obstacle = "connection refused"
    exchange = Exchange(machine)
    await seconds(1)
    exchange.stop()
    machine.restart_listener()
    await machine.link.wait_closed()
    assert isinstance(machine.session.exc, LinkForgotten)
    await ended(machine)


@over_links
async def test_a_path_that_ends_during_the_handshake_fails_the_dial(engines: Engines) -> None:
    machine = Machine(engines)
    machine.loop.call_later(0.11, lambda: machine.line.fail("the proxy has closed the connection"))
    with pytest.raises(LinkFailed, match="the proxy has closed the connection"):
        await machine.dial(over=True)
    await ended(machine)


@over_links
async def test_a_remote_that_closes_the_link_ends_everything(engines: Engines) -> None:
    machine = Machine(engines)
    machine.network.cut = True
    await machine.dial(over=True)
    await seconds(3)
    machine.listener.link.close(Code.GOODBYE)
    await machine.link.wait_closed()
    await ended(machine)


@over_links
async def test_a_link_that_is_closed_while_a_path_is_opened_leaves_nothing(
    engines: Engines,
) -> None:
    machine = await established(engines)
    machine.opener.opening_time = 5.0
    machine.network.cut = True
    await until(lambda: machine.link.is_silent, limit=10)
    await seconds(1)
    await ended(machine)
    assert machine.opener.lines == []
