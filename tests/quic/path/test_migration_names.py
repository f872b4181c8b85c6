"""Where a peer is by its name when a link leaves its path: who is asked, how often, and heard."""

from __future__ import annotations

import asyncio

from machine import FOUR, SIX, Machine

from quictunnel.quic.path.candidates import LOOKUP_INTERVAL, LOOKUP_TIMEOUT
from testkit.clock import seconds, virtual_time


@virtual_time
async def test_the_name_is_asked_for_beside_and_old_answers_hold_until_there_are_new_ones():
    machine = Machine(hosts=(FOUR,), four="192.0.2.7")
    machine.resolver = machine.loop.create_future()  # which hangs
    machine.routes = {"six": "2001:db8:7::7"}
    machine.mover.network_changed("the network has changed")
    await seconds(5)
    assert machine.moves == []
    assert len(machine.resolved) >= 5 / LOOKUP_INTERVAL, "it is asked again"
    machine.resolver.set_result([SIX])
    await seconds(0)
    assert machine.moves == [("2001:db8:7::7", SIX)], "at once"
    machine.close()


@virtual_time
async def test_a_resolver_that_takes_longer_than_the_time_to_the_next_question_is_heard():
    """As one that first asks a name server of the network before, for five seconds."""
    machine = Machine(hosts=(FOUR,), four="192.0.2.7")
    machine.name, machine.takes = [SIX], 5.0
    machine.routes = {"six": "2001:db8:7::7"}
    machine.mover.network_changed("the network has changed")
    await seconds(5.1)
    assert machine.moves == [("2001:db8:7::7", SIX)]
    machine.close()


@virtual_time
async def test_of_two_answers_that_of_the_later_question_counts():
    machine = Machine(hosts=(FOUR,), four="192.0.2.7")
    machine.name, machine.takes = ["2001:db8::dead"], 10.0
    machine.candidates.refresh()
    await seconds(LOOKUP_INTERVAL)
    machine.name, machine.takes = [SIX], 1.0
    machine.candidates.refresh()
    await seconds(20)
    machine.routes = {"six": "2001:db8:7::7"}
    assert machine.candidates.open(next_host=False).host == SIX
    machine.sockets.pop().close()
    machine.close()


@virtual_time
async def test_questions_to_a_resolver_that_hangs_are_given_up():
    machine = Machine(hosts=(FOUR,), four="192.0.2.7")
    machine.resolver = machine.loop.create_future()
    for _ in range(100):
        machine.candidates.refresh()
        await seconds(LOOKUP_INTERVAL)
        asking = [task for task in asyncio.all_tasks() if task.get_name() == "lookup of the remote"]
        assert len(asking) <= LOOKUP_TIMEOUT / LOOKUP_INTERVAL
    assert asking
    machine.candidates.close()
    await seconds(0)
    assert not any(task.get_name() == "lookup of the remote" for task in asyncio.all_tasks())


@virtual_time
async def test_a_resolver_that_fails_takes_nothing_away():
    machine = Machine(four="192.0.2.7")
    machine.name = OSError("Temporary failure in name resolution")
    machine.routes = {"six": "2001:db8:7::7"}
    machine.mover.network_changed("the network has changed")
    assert machine.moves == [("2001:db8:7::7", SIX)]
    machine.close()


@virtual_time
async def test_addresses_that_have_answered_are_kept_when_the_name_gives_others():
    machine = Machine(four="192.0.2.7")
    machine.name = ["2001:db8:64::cb00:7101"]  # as a network with IPv6 alone translates (DNS64)
    machine.answers_at.add(machine.name[0])
    machine.routes = {"six": "2001:db8:7::7"}
    machine.mover.network_changed("the network has changed")
    await seconds(5)
    machine.routes = {"four": "192.0.2.7"}
    machine.mover.network_changed("the network has changed")
    assert machine.moves[-1] == ("192.0.2.7", FOUR)
    machine.close()
