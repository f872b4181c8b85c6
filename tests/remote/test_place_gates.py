"""The gates of routes: which clients are counted together, and for how long."""

from __future__ import annotations

from quictunnel.config.policy import Policy
from quictunnel.config.ports import PortRange
from quictunnel.protocol.address import Address
from quictunnel.remote.place_gates import PlaceGates

SSH = PortRange(2222, 2222)
NEAR = PortRange(2000, 2999)
ADDRESS = Address("192.0.2.7", 5555)


def test_a_route_has_a_gate_for_each_policy_of_its_clients():
    gates = PlaceGates({SSH: Policy(), NEAR: Policy(), "*.test": Policy()})
    ports = [gates.obtain("a", PortRange(port, port)) for port in (2222, 2223, 2224, 3000)]
    assert ports[0] is not ports[1]
    assert ports[1] is ports[2]
    assert ports[3] is None
    assert gates.obtain("b", SSH) is not ports[0]
    assert gates.obtain("c", "a.test") is gates.obtain("c", "b.test")
    assert gates.obtain("a", None) is None
    assert [gate.place for gate in ports[:2]] == [SSH, NEAR]
    assert len(gates) == 4


def test_a_gate_whose_policy_is_gone_gets_the_next_more_general_one():
    gates = PlaceGates({SSH: Policy(max_clients=1), NEAR: Policy(max_clients=2)})
    gate = gates.obtain("a", SSH).gate
    entered = []
    for policies in ({NEAR: Policy(max_clients=1)}, {}, {SSH: Policy(max_clients=1)}):
        gates.apply(policies)
        entered.append([gate.enter(ADDRESS) is None for _ in range(2)])
    assert entered == [[True, False], [True, True], [False, False]]


def test_a_gate_is_forgotten_once_its_route_is_closed_and_its_clients_have_left():
    gates = PlaceGates({SSH: Policy(), NEAR: Policy()})
    used, unused = gates.obtain("a", SSH), gates.obtain("a", PortRange(2223, 2223))
    assert used.gate.enter(ADDRESS) is unused.gate.enter(ADDRESS) is None
    gates.leave(unused, ADDRESS)
    assert len(gates) == 2
    for route in ("a", "never used"):
        gates.close_route(route)
    assert len(gates) == 1
    assert gates.obtain("a", SSH) is used
    gates.leave(used, ADDRESS)
    assert len(gates) == 1  # the route is open again
    assert used.gate.enter(ADDRESS) is None
    gates.close_route("a")
    gates.leave(used, ADDRESS)
    assert (len(gates), gates._closed) == (0, set())
