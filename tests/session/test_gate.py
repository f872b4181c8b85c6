"""Which clients a policy accepts: lists, limits and rates."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from quictunnel.config.networks import NetworkSet
from quictunnel.config.policy import Policy
from quictunnel.errors import SettingsError
from quictunnel.events import ClientEnding
from quictunnel.protocol.address import Address
from quictunnel.relay.relay import NO_LIMITS
from quictunnel.session import gate as module
from quictunnel.session.gate import Gate
from testkit.clock import virtual_time


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


def client(host: str) -> Address:
    return Address(host, 5555)


def networks(*texts: str):
    return NetworkSet(map(ip_network, texts))


HERE, THERE = client("192.0.2.7"), client("198.51.100.7")


@pytest.mark.parametrize(
    ("policy", "here", "there"),
    [
        (Policy(), True, True),
        (Policy(allow=networks("192.0.2.0/24")), True, False),
        (Policy(deny=networks("192.0.2.0/24")), False, True),
        (Policy(allow=networks("0.0.0.0/0"), deny=networks("192.0.2.7")), False, True),
        (Policy(allow=networks("2001:db8::/32")), False, False),
    ],
)
def test_lists(policy, here, there, clock):
    gate = Gate(policy, clock, "port 22")
    assert (gate.enter(HERE) is None) == here
    assert (gate.enter(THERE) is None) == there


def test_clients_at_a_time(clock):
    gate = Gate(Policy(max_clients=3, max_clients_per_address=2), clock, "port 22")
    assert [gate.enter(HERE) for _ in range(3)] == [
        None,
        None,
        (ClientEnding.LIMIT, "the limit per address is reached (2)"),
    ]
    assert gate.enter(THERE) is None
    assert gate.enter(THERE) == (ClientEnding.LIMIT, "the limit of clients is reached (3)")
    gate.leave(HERE)
    assert gate.enter(HERE) is None
    for address in (HERE, HERE, THERE):
        gate.leave(address)
    assert not gate._by_source


def test_new_clients_a_minute(clock):
    gate = Gate(Policy(max_rate_per_address=6), clock, "port 22")

    def accepted(count: int) -> int:
        return sum(gate.enter(HERE) is None for _ in range(count))

    assert accepted(10) == 6
    assert gate.enter(THERE) is None
    clock.now += 10
    assert accepted(3) == 1
    clock.now += 3600
    assert accepted(10) == 6
    assert "the rate per address is exceeded (6 a minute)" in gate.enter(HERE)


def test_the_memory_of_rates_is_bounded(clock, monkeypatch):
    monkeypatch.setattr(module, "MAX_SOURCES", 10)
    gate = Gate(Policy(max_rate_per_address=1), clock, "port 22")
    for number in range(100):
        assert gate.enter(client(f"192.0.2.{number}")) is None
    assert len(gate._tokens) == 10


def test_a_policy_that_changes_keeps_its_clients(clock):
    gate = Gate(Policy(), clock, "port 22")
    assert [gate.enter(HERE) for _ in range(3)] == [None] * 3
    gate.apply(Policy(max_clients=3))
    assert gate.enter(HERE) is not None
    gate.leave(HERE)
    assert gate.enter(HERE) is None


def test_a_limit_is_a_reasonable_number():
    with pytest.raises(SettingsError, match="max-rate-per-address must be from 1 to 1,000,000"):
        Policy(max_rate_per_address=0)


@pytest.mark.parametrize("policy", [Policy(allow=networks("::/0")), Policy(deny=networks("::1"))])
def test_lists_reject_a_client_without_an_address(policy, clock):
    gate = Gate(policy, clock, "the service web")
    assert gate.enter(None) == (
        ClientEnding.POLICY,
        "the policy of the service web needs an address, and the client has none",
    )


def test_clients_without_an_address_are_one_source(clock):
    gate = Gate(Policy(max_clients_per_address=1), clock, "the service web")
    assert gate.enter(None) is None
    assert gate.enter(None) == (ClientEnding.LIMIT, "the limit per address is reached (1)")
    assert gate.enter(HERE) is None
    gate.leave(None)
    assert gate.enter(None) is None


def test_a_policy_without_rates_limits_no_relay(clock):
    assert Gate(Policy(max_clients=1), clock, "port 22").limits() is NO_LIMITS


@virtual_time
async def test_clients_share_the_rate_and_the_idle_timer_and_have_a_rate_each():
    gate = Gate(Policy(rate_per_client=1000, rate=5000, idle_timeout=60), Clock(), "port 22")
    one, other = gate.limits(), gate.limits()
    assert one.rates[0] is not other.rates[0]
    assert one.rates[1] is other.rates[1]
    assert one.idle_timer is other.idle_timer is not None


@virtual_time
async def test_a_changed_rate_is_that_of_current_clients_too():
    gate = Gate(Policy(rate=5000), Clock(), "port 22")
    before = gate.limits()
    gate.apply(Policy(rate=8000))
    assert gate.limits() == before
    assert before.rates[0].from_tcp._rate == before.rates[0].from_stream._rate == 8000
    gate.apply(Policy())
    assert gate.limits() is NO_LIMITS
    assert before.rates[0].from_tcp._rate is None


@virtual_time
async def test_a_changed_idle_timeout_is_for_new_clients():
    gate = Gate(Policy(idle_timeout=60), Clock(), "port 22")
    before = gate.limits().idle_timer
    gate.apply(Policy(idle_timeout=60, max_clients=3))
    assert gate.limits().idle_timer is before
    gate.apply(Policy(idle_timeout=90))
    assert gate.limits().idle_timer is not before
    gate.apply(Policy())
    assert gate.limits() is NO_LIMITS
