"""When a link leaves its path: what is heard, what is asked, which way is tried next."""

from __future__ import annotations

import itertools

import pytest
from machine import FOUR, SIX, UNREACHABLE, Machine

from quictunnel.quic.path.migration import (
    ANSWER_TIMEOUT,
    ATTEMPT_TIMEOUT,
    PING_INTERVAL,
    QUICK_ATTEMPTS,
    QUICK_TIMEOUT,
)
from quictunnel.quic.path.network_monitor import COALESCE_DELAY
from testkit.clock import seconds, virtual_time


@virtual_time
async def test_a_hundred_changes_that_change_nothing_cost_a_question_or_two():
    machine = Machine(four="192.0.2.7")
    for _ in range(100):
        machine.mover.network_changed("the network has changed")
        await seconds(0.01)
    await seconds(10)
    assert 1 <= len(machine.asked) <= 2
    assert machine.asked[-1] >= 0.99, "the last of them is asked about too"
    assert machine.moves == []
    machine.close()


@virtual_time
async def test_noise_without_end_costs_a_question_a_second():
    machine = Machine(four="192.0.2.7")
    for _ in range(1200):
        machine.mover.network_changed("the network has changed")
        await seconds(0.05)
    assert len(machine.asked) <= 60 / PING_INTERVAL + 1
    assert machine.moves == []
    machine.close()


@virtual_time
async def test_with_another_local_address_it_moves_at_once_and_then_stays():
    machine = Machine(four="192.0.2.7")
    machine.routes["four"] = "198.51.100.3"
    machine.mover.network_changed("the network has changed")
    assert machine.moves == [("198.51.100.3", FOUR)]
    await seconds(10)
    assert len(machine.moves) == 1
    assert machine.asked == []
    machine.close()


@virtual_time
async def test_only_a_change_of_this_network_clears_the_peer_of_suspicion():
    machine = Machine(four="192.0.2.7")
    machine.answers_at.clear()
    machine.mover.network_changed("the network has changed")
    await seconds(10)
    assert machine.moves, "to other sockets"
    assert machine.acquittals == []
    machine.routes["four"] = "198.51.100.3"
    machine.mover.network_changed("the network has changed")
    assert machine.acquittals == [10.0]
    machine.routes = {}
    machine.mover.network_changed("the network has changed")
    assert len(machine.acquittals) == 2
    machine.close()


@virtual_time
async def test_a_path_that_does_not_answer_soon_is_left():
    machine = Machine(four="192.0.2.7")
    machine.answers_at.clear()
    machine.mover.network_changed("the network has changed")
    await seconds(ANSWER_TIMEOUT - 0.01)
    assert machine.moves == []
    await seconds(0.02)
    assert machine.moves == [("192.0.2.7", FOUR)], "from a new socket, to the same place first"
    machine.close()


@virtual_time
async def test_a_slow_path_has_three_probe_timeouts_to_answer():
    machine = Machine(four="192.0.2.7")
    machine.link.engine.pto = 0.4
    machine.answers_at.clear()
    machine.mover.network_changed("the network has changed")
    await seconds(1.19)
    assert machine.moves == []
    await seconds(0.02)
    assert len(machine.moves) == 1
    machine.close()


@virtual_time
async def test_ways_are_tried_quickly_at_first_then_every_second_until_one_answers():
    machine = Machine(hosts=(FOUR,), four="192.0.2.7")
    machine.answers_at.clear()
    machine.mover.peer_unanswered()
    for _ in range(20):
        await seconds(1)
        machine.mover.peer_unanswered()
    quick = [number * QUICK_TIMEOUT for number in range(QUICK_ATTEMPTS + 1)]
    assert machine.moved_at[: QUICK_ATTEMPTS + 1] == pytest.approx(quick, abs=1e-3)
    assert machine.moved_at[5] - machine.moved_at[4] == pytest.approx(ATTEMPT_TIMEOUT, abs=1e-3)
    machine.answers_at.add(FOUR)
    await seconds(2)
    before = len(machine.moves)
    await seconds(60)
    assert len(machine.moves) == before
    machine.close()


@virtual_time
async def test_far_peers_have_time_to_answer_on_each_way():
    """Else every answer would come to a socket that was left already."""
    machine = Machine(hosts=(FOUR,), four="192.0.2.7")
    machine.link.rtt = 0.6
    machine.answers_at.clear()
    machine.mover.peer_unanswered()
    await seconds(10)
    gaps = [after - before for before, after in itertools.pairwise(machine.moved_at)]
    assert min(gaps) == pytest.approx(1.2, abs=1e-3)
    machine.close()


@virtual_time
async def test_each_outage_waits_for_the_round_trip_time_measured_just_before_it():
    """The path that answered after the last move may be much slower than the one before it."""
    machine = Machine(hosts=(FOUR,), four="192.0.2.7")
    machine.routes["four"] = "198.51.100.3"
    machine.mover.network_changed("the network has changed")
    await seconds(10)
    assert len(machine.moves) == 1
    machine.link.rtt = 0.6
    machine.answers_at.clear()
    machine.mover.peer_unanswered()
    await seconds(10)
    gaps = [after - before for before, after in itertools.pairwise(machine.moved_at[1:])]
    assert min(gaps) == pytest.approx(1.2, abs=1e-3)
    machine.close()


@virtual_time
async def test_from_ipv4_only_to_ipv6_only_and_back():
    machine = Machine(four="192.0.2.7")
    machine.routes = {"six": "2001:db8:7::7"}
    machine.mover.network_changed("the network has changed")
    assert machine.moves == [("2001:db8:7::7", SIX)]
    await seconds(10)
    machine.routes = {"four": "198.51.100.3"}
    machine.mover.network_changed("the network has changed")
    assert machine.moves[1:] == [("198.51.100.3", FOUR)]
    await seconds(10)
    assert len(machine.moves) == 2
    machine.close()


@virtual_time
async def test_the_families_take_turns_where_both_have_routes_and_one_leads_nowhere():
    machine = Machine(four="192.0.2.7", six="2001:db8:7::7")
    machine.answers_at = {SIX}
    machine.mover.peer_unanswered()
    await seconds(10)
    assert [host for _, host in machine.moves] == [FOUR, SIX]
    assert machine.candidates.host == SIX
    machine.close()


@virtual_time
async def test_without_any_route_the_old_socket_stays_and_the_next_address_is_taken_at_once():
    machine = Machine(four="192.0.2.7")
    old = machine.socket
    machine.routes = {}
    machine.mover.network_changed("the network has changed")
    await seconds(30)
    assert machine.moves == []
    assert machine.socket is old
    assert len(machine.asked) <= 31, "nothing spins"
    machine.routes = {"four": "198.51.100.3"}
    machine.mover.network_changed("the network has changed")
    assert machine.moves == [("198.51.100.3", FOUR)]
    machine.close()


@virtual_time
async def test_a_route_that_nobody_tells_of_is_found_within_a_second():
    machine = Machine(four="192.0.2.7")
    machine.routes = {}
    machine.mover.peer_unanswered()
    await seconds(30)
    machine.routes = {"four": "198.51.100.3"}
    await seconds(ATTEMPT_TIMEOUT)
    assert machine.moves == [("198.51.100.3", FOUR)]
    machine.close()


@virtual_time
async def test_what_the_kernel_refuses_is_looked_into_once_for_many_datagrams():
    machine = Machine(four="192.0.2.7")
    for _ in range(500):
        machine.mover.send_failed(UNREACHABLE)
    assert machine.asked == []
    await seconds(COALESCE_DELAY)
    assert len(machine.asked) == 1
    for _ in range(500):  # and again while it is asked about
        machine.mover.send_failed(UNREACHABLE)
        await seconds(0.01)
    await seconds(3)
    assert len(machine.asked) <= 7
    assert machine.moves == []
    machine.close()


@virtual_time
async def test_a_move_that_fails_loses_nothing():
    machine = Machine(four="192.0.2.7")
    old = machine.socket
    machine.has_room = False
    machine.routes["four"] = "198.51.100.3"
    machine.mover.network_changed("the network has changed")
    await seconds(5)
    assert machine.socket is old
    assert old.is_open
    machine.has_room = True
    await seconds(ATTEMPT_TIMEOUT)
    assert machine.moves == [("198.51.100.3", FOUR)]
    machine.close()


@virtual_time
async def test_a_link_that_is_lost_moves_no_more():
    machine = Machine(four="192.0.2.7")
    machine.answers_at.clear()
    machine.mover.peer_unanswered()
    machine.mover.send_failed(UNREACHABLE)
    before = len(machine.moves)
    machine.link.is_closed = True
    machine.routes["four"] = "198.51.100.3"
    machine.mover.network_changed("the network has changed")
    await seconds(10)
    assert len(machine.moves) == before
    machine.close()
