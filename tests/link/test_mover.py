"""When a link leaves its path: what is heard, what is asked, which way is tried next."""

from __future__ import annotations

import asyncio
import errno
import itertools
from types import SimpleNamespace

import pytest
from virtual_time import seconds, virtual_time

from quictunnel.link.candidates import ASK_AGAIN, LOOKUP_WITHIN, Candidates
from quictunnel.link.mover import (
    ANSWER_SOON,
    ASK_AT_MOST_EVERY,
    PATIENCE,
    QUICK_PATIENCE,
    QUICK_TRIES,
    Mover,
)
from quictunnel.link.network import JOINED
from quictunnel.protocol.address import Address

FOUR, SIX = "203.0.113.1", "2001:db8:1::1"
UNREACHABLE = OSError(errno.ENETUNREACH, "Network is unreachable")
RTT = 0.02


class FakeSocket:
    def __init__(self, machine: Machine, local: str, peer: str) -> None:
        self.machine = machine
        self.local = (local, next(machine.ports))
        self.peer = peer
        self.is_open = True
        machine.sockets.append(self)

    def getsockname(self) -> tuple[str, int]:
        return self.local

    def close(self) -> None:
        self.is_open = False


class Machine:
    """A machine with routes, and a link from it to a peer that answers where it can be reached.

    :param routes: which local address a datagram of a family leaves from.
    """

    def __init__(self, *, hosts: tuple[str, ...] = (FOUR, SIX), **routes: str) -> None:
        self.loop = asyncio.get_running_loop()
        self.routes = routes
        self.answers_at: set[str] = {FOUR, SIX}
        self.ports = itertools.count(40000)
        self.sockets: list[FakeSocket] = []
        self.asked: list[float] = []
        self.moves: list[tuple[str, str]] = []
        self.moved_at: list[float] = []
        self.has_room = True
        self.resolved: list[float] = []
        self.resolver: asyncio.Future[list[str]] | None = None
        self.name: list[str] | OSError = list(hosts)
        self.takes = 0.0
        self.link = SimpleNamespace(
            lost=None,
            rtt=RTT,
            local=None,
            engine=SimpleNamespace(pto=0.05, answered_at=0.0),
            ask=self._ask,
        )
        self.candidates = Candidates(
            hosts[0],
            9001,
            hosts=hosts,
            resolve=self._resolve,
            found=self._found,
            loop=self.loop,
            connect=self._connect,
        )
        self.mover = Mover(self.link, self.candidates, self._take, self.loop)
        way = self.candidates.open(another=False)
        self.socket = way.sock
        self.link.local = Address.of(self.socket.local)

    def _connect(self, host: str, port: int) -> FakeSocket:
        family = "six" if ":" in host else "four"
        if family not in self.routes:
            raise UNREACHABLE
        return FakeSocket(self, self.routes[family], host)

    def _found(self) -> None:
        self.mover.found()

    async def _resolve(self) -> list[str]:
        self.resolved.append(self.loop.time())
        if self.resolver is not None:
            return await asyncio.shield(self.resolver)
        name = self.name
        await asyncio.sleep(self.takes)
        if isinstance(name, OSError):
            raise name
        return name

    def _take(self, way, local: Address) -> None:
        if not self.has_room:
            raise OSError(errno.EMFILE, "Too many open files")
        self.socket.close()
        self.socket = way.sock
        self.link.local = local
        self.link.rtt = None
        self.moves.append((way.sock.local[0], way.host))
        self.moved_at.append(self.loop.time())
        self._ask_unheard()

    def _ask(self) -> None:
        self.asked.append(self.loop.time())
        self._ask_unheard()

    def _ask_unheard(self) -> None:
        sock = self.socket
        if sock.peer in self.answers_at and sock.local[0] in self.routes.values():
            self.loop.call_later(RTT, self._answer, sock)

    def _answer(self, sock: FakeSocket) -> None:
        if sock.is_open:
            self.link.engine.answered_at = self.loop.time()
            self.link.rtt = RTT

    def close(self) -> None:
        self.mover.close()
        assert [sock for sock in self.sockets if sock.is_open] == [self.socket]


@virtual_time
async def test_a_hundred_changes_that_change_nothing_cost_a_question_or_two():
    machine = Machine(four="192.0.2.7")
    for _ in range(100):
        machine.mover.changed("the network has changed")
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
        machine.mover.changed("the network has changed")
        await seconds(0.05)
    assert len(machine.asked) <= 60 / ASK_AT_MOST_EVERY + 1
    assert machine.moves == []
    machine.close()


@virtual_time
async def test_with_another_local_address_it_moves_at_once_and_then_stays():
    machine = Machine(four="192.0.2.7")
    machine.routes["four"] = "198.51.100.3"
    machine.mover.changed("the network has changed")
    assert machine.moves == [("198.51.100.3", FOUR)]
    await seconds(10)
    assert len(machine.moves) == 1
    assert machine.asked == []
    machine.close()


@virtual_time
async def test_a_path_that_does_not_answer_soon_is_left():
    machine = Machine(four="192.0.2.7")
    machine.answers_at.clear()
    machine.mover.changed("the network has changed")
    await seconds(ANSWER_SOON - 0.01)
    assert machine.moves == []
    await seconds(0.02)
    assert machine.moves == [("192.0.2.7", FOUR)], "from a new socket, to the same place first"
    machine.close()


@virtual_time
async def test_a_slow_path_has_three_probe_timeouts_to_answer():
    machine = Machine(four="192.0.2.7")
    machine.link.engine.pto = 0.4
    machine.answers_at.clear()
    machine.mover.changed("the network has changed")
    await seconds(1.19)
    assert machine.moves == []
    await seconds(0.02)
    assert len(machine.moves) == 1
    machine.close()


@virtual_time
async def test_ways_are_tried_quickly_at_first_then_every_second_until_one_answers():
    machine = Machine(hosts=(FOUR,), four="192.0.2.7")
    machine.answers_at.clear()
    machine.mover.suspect()
    for _ in range(20):
        await seconds(1)
        machine.mover.suspect()
    quick = [number * QUICK_PATIENCE for number in range(QUICK_TRIES + 1)]
    assert machine.moved_at[: QUICK_TRIES + 1] == pytest.approx(quick, abs=1e-3)
    assert machine.moved_at[5] - machine.moved_at[4] == pytest.approx(PATIENCE, abs=1e-3)
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
    machine.mover.suspect()
    await seconds(10)
    gaps = [after - before for before, after in itertools.pairwise(machine.moved_at)]
    assert min(gaps) == pytest.approx(1.2, abs=1e-3)
    machine.close()


@virtual_time
async def test_from_ipv4_only_to_ipv6_only_and_back():
    machine = Machine(four="192.0.2.7")
    machine.routes = {"six": "2001:db8:7::7"}
    machine.mover.changed("the network has changed")
    assert machine.moves == [("2001:db8:7::7", SIX)]
    await seconds(10)
    machine.routes = {"four": "198.51.100.3"}
    machine.mover.changed("the network has changed")
    assert machine.moves[1:] == [("198.51.100.3", FOUR)]
    await seconds(10)
    assert len(machine.moves) == 2
    machine.close()


@virtual_time
async def test_the_families_take_turns_where_both_have_routes_and_one_leads_nowhere():
    machine = Machine(four="192.0.2.7", six="2001:db8:7::7")
    machine.answers_at = {SIX}
    machine.mover.suspect()
    await seconds(10)
    assert [host for _, host in machine.moves] == [FOUR, SIX]
    assert machine.candidates.host == SIX
    machine.close()


@virtual_time
async def test_without_any_route_the_old_socket_stays_and_the_next_address_is_taken_at_once():
    machine = Machine(four="192.0.2.7")
    old = machine.socket
    machine.routes = {}
    machine.mover.changed("the network has changed")
    await seconds(30)
    assert machine.moves == []
    assert machine.socket is old
    assert len(machine.asked) <= 31, "nothing spins"
    machine.routes = {"four": "198.51.100.3"}
    machine.mover.changed("the network has changed")
    assert machine.moves == [("198.51.100.3", FOUR)]
    machine.close()


@virtual_time
async def test_a_route_that_nobody_tells_of_is_found_within_a_second():
    machine = Machine(four="192.0.2.7")
    machine.routes = {}
    machine.mover.suspect()
    await seconds(30)
    machine.routes = {"four": "198.51.100.3"}
    await seconds(PATIENCE)
    assert machine.moves == [("198.51.100.3", FOUR)]
    machine.close()


@virtual_time
async def test_what_the_kernel_refuses_is_looked_into_once_for_many_datagrams():
    machine = Machine(four="192.0.2.7")
    for _ in range(500):
        machine.mover.refused(UNREACHABLE)
    assert machine.asked == []
    await seconds(JOINED)
    assert len(machine.asked) == 1
    for _ in range(500):  # and again while it is asked about
        machine.mover.refused(UNREACHABLE)
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
    machine.mover.changed("the network has changed")
    await seconds(5)
    assert machine.socket is old
    assert old.is_open
    machine.has_room = True
    await seconds(PATIENCE)
    assert machine.moves == [("198.51.100.3", FOUR)]
    machine.close()


@virtual_time
async def test_the_name_is_asked_for_beside_and_old_answers_hold_until_there_are_new_ones():
    machine = Machine(hosts=(FOUR,), four="192.0.2.7")
    machine.resolver = machine.loop.create_future()  # which hangs
    machine.routes = {"six": "2001:db8:7::7"}
    machine.mover.changed("the network has changed")
    await seconds(5)
    assert machine.moves == []
    assert len(machine.resolved) >= 5 / ASK_AGAIN, "it is asked again"
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
    machine.mover.changed("the network has changed")
    await seconds(5.1)
    assert machine.moves == [("2001:db8:7::7", SIX)]
    machine.close()


@virtual_time
async def test_of_two_answers_that_of_the_later_question_counts():
    machine = Machine(hosts=(FOUR,), four="192.0.2.7")
    machine.name, machine.takes = ["2001:db8::dead"], 10.0
    machine.candidates.refresh()
    await seconds(ASK_AGAIN)
    machine.name, machine.takes = [SIX], 1.0
    machine.candidates.refresh()
    await seconds(20)
    machine.routes = {"six": "2001:db8:7::7"}
    assert machine.candidates.open(another=False).host == SIX
    machine.sockets.pop().close()
    machine.close()


@virtual_time
async def test_questions_to_a_resolver_that_hangs_are_given_up():
    machine = Machine(hosts=(FOUR,), four="192.0.2.7")
    machine.resolver = machine.loop.create_future()
    for _ in range(100):
        machine.candidates.refresh()
        await seconds(ASK_AGAIN)
        asking = [task for task in asyncio.all_tasks() if task.get_name() == "addresses"]
        assert len(asking) <= LOOKUP_WITHIN / ASK_AGAIN
    assert asking
    machine.candidates.close()
    await seconds(0)
    assert not any(task.get_name() == "addresses" for task in asyncio.all_tasks())


@virtual_time
async def test_a_resolver_that_fails_takes_nothing_away():
    machine = Machine(four="192.0.2.7")
    machine.name = OSError("Temporary failure in name resolution")
    machine.routes = {"six": "2001:db8:7::7"}
    machine.mover.changed("the network has changed")
    assert machine.moves == [("2001:db8:7::7", SIX)]
    machine.close()


@virtual_time
async def test_addresses_that_have_answered_are_kept_when_the_name_gives_others():
    machine = Machine(four="192.0.2.7")
    machine.name = ["2001:db8:64::cb00:7101"]  # as a network with IPv6 alone translates (DNS64)
    machine.answers_at.add(machine.name[0])
    machine.routes = {"six": "2001:db8:7::7"}
    machine.mover.changed("the network has changed")
    await seconds(5)
    machine.routes = {"four": "192.0.2.7"}
    machine.mover.changed("the network has changed")
    assert machine.moves[-1] == ("192.0.2.7", FOUR)
    machine.close()


@virtual_time
async def test_a_link_that_is_lost_moves_no_more():
    machine = Machine(four="192.0.2.7")
    machine.answers_at.clear()
    machine.mover.suspect()
    machine.mover.refused(UNREACHABLE)
    before = len(machine.moves)
    machine.link.lost = OSError("it is over")
    machine.routes["four"] = "198.51.100.3"
    machine.mover.changed("the network has changed")
    await seconds(10)
    assert len(machine.moves) == before
    machine.close()
