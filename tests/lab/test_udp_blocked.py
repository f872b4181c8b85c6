"""The network drops UDP, or most of it. The link moves to the remote's WebSocket, and back.

The remote's certificate is self-signed, so the origin warns, and uses the WebSocket all the same.
"""

from __future__ import annotations

import time

import pytest
from laboratory import PATIENCE
from uplinks import MOBILE, PROXY_PORT, REMOTE_NAME, WEBSOCKET_PORT, WIFI

from testkit.netfilter import MISSING, NFT

SERVED = ("--websocket", f"[::]:{WEBSOCKET_PORT}")
"""The remote's options. The origin derives the WebSocket's URL from the remote's name."""

MOVED = 4
"""Seconds until data moves after UDP is dropped: the silence is noticed after 2 s."""

RETURNED = 10
"""Seconds until the data is on UDP again: UDP must answer steadily for 5 s."""

PROVEN = 1
"""Seconds on UDP after which the return has not failed."""

IN_FLIGHT = 0.4
"""Seconds in which packets arrive that were in a queue of the network before."""

FAST = 6_000_000
"""Bytes per second in each direction for rows with much data."""

GIGABYTE = 1_000_000_000

THROTTLED = 1 - 0.03**0.5
"""The share of UDP packets to lose in each direction, for a loss of 97 % of a round trip."""


@pytest.fixture
def blocking(scenario):
    """A scenario over IPv6 in which UDP can be dropped."""
    if NFT is None:
        pytest.skip(MISSING)
    scenario.lab.use_ipv6()
    scenario.lab.put_up_firewall()
    return scenario


def up_on_websocket(scenario) -> None:
    """Drop UDP, and start both programs with all traffic."""
    scenario.lab.drop("udp")
    scenario.up(SERVED)
    scenario.carries_data("tcp", "on the websocket", time.monotonic(), bound=1)


def block_and_allow(scenario, times: int) -> None:
    """Drop UDP and allow it again, so many times."""
    for number in range(1, times + 1):
        dropped = scenario.lab.drop("udp")
        scenario.data_is_back(
            f"data after drop {number}", dropped, bound=MOVED, flushed_after=IN_FLIGHT
        )
        scenario.carries_data("tcp", f"websocket after drop {number}", dropped, bound=MOVED + 1)
        allowed = scenario.lab.drop()
        scenario.carries_data("udp", f"udp after return {number}", allowed, bound=RETURNED)
        time.sleep(PROVEN)


@pytest.mark.mixed
def test_udp_is_dropped_and_allowed_twice(blocking):
    blocking.up(SERVED)
    block_and_allow(blocking, 2)
    blocking.nothing_is_lost()


@pytest.mark.nightly
@pytest.mark.mixed
def test_udp_is_dropped_and_allowed_five_times_in_a_download_of_1_gb(blocking):
    blocking.lab.change(rate=FAST)
    blocking.up(SERVED)
    block_and_allow(blocking, 5)
    (download,) = blocking.traffic.led("bulk", by=("server",))
    client = download.ends["client"]
    assert blocking.traffic.wait_until(lambda: client.received > GIGABYTE, 20 * PATIENCE)
    blocking.nothing_is_lost()


@pytest.mark.mixed
def test_udp_is_blocked_from_the_start(blocking):
    blocking.lab.drop("udp")
    blocking.lab.start_remote(*SERVED)
    started = time.monotonic()
    blocking.lab.tunnel.start_origin()
    blocking.new_clients_are_served("first clients", started, bound=2)
    blocking.nothing_is_lost()


def test_udp_is_throttled_to_a_loss_of_97_percent_from_the_start(blocking):
    blocking.lab.lose_udp(THROTTLED)
    blocking.lab.start_remote(*SERVED)
    started = time.monotonic()
    blocking.lab.tunnel.start_origin()
    blocking.new_clients_are_served("first clients", started, bound=6)
    blocking.nothing_is_lost()


def test_udp_is_throttled_while_the_link_is_up(blocking):
    blocking.up(SERVED)
    blocking.lab.lose_udp(THROTTLED)
    throttled = time.monotonic()
    blocking.carries_data("tcp", "on the websocket", throttled, bound=6)
    blocking.data_is_back("data", throttled, bound=6, flushed_after=IN_FLIGHT)
    blocking.nothing_is_lost()


def test_no_address_for_5_s_on_the_websocket_path_then_another(blocking):
    up_on_websocket(blocking)
    blocking.lab.leave(WIFI)
    time.sleep(5)
    blocking.data_is_back("back", blocking.lab.join(MOBILE, 6), bound=1)
    blocking.nothing_is_lost()


def test_no_address_for_5_s_on_the_websocket_path_then_the_same(blocking):
    up_on_websocket(blocking)
    blocking.lab.leave(WIFI)
    time.sleep(5)
    blocking.data_is_back("back", blocking.lab.join(WIFI, 6), bound=1)
    blocking.nothing_is_lost()


def test_proxy_is_killed_and_started_again(blocking):
    proxy = blocking.lab.start_proxy()
    blocking.lab.drop("udp")
    blocking.up(SERVED, ("--proxy", f"http://{REMOTE_NAME}:{PROXY_PORT}"))
    blocking.lab.kill(proxy)
    time.sleep(3)
    blocking.lab.start_proxy()
    blocking.data_is_back("back", time.monotonic(), bound=2)
    blocking.nothing_is_lost()


def stall_tcp(scenario, seconds: float, *, bound: float) -> None:
    """Drop all packets of the link for a while, as data flows over the WebSocket."""
    scenario.lab.change(rate=FAST)
    up_on_websocket(scenario)
    before = scenario.memory_at_rest()
    scenario.traffic.let("echo", "bulk")
    scenario.wait_for_data(scenario.traffic.connections)
    scenario.lab.drop("udp", "tcp")
    time.sleep(seconds)
    scenario.holds_little(before)
    scenario.data_is_back("back", scenario.lab.drop("udp"), bound=bound)
    scenario.has_not_grown(before)
    scenario.nothing_is_lost()


def test_memory_while_the_tcp_connection_is_stalled(blocking):
    stall_tcp(blocking, 8, bound=6)


def test_memory_while_tcp_is_stalled_until_the_websocket_is_given_up(blocking):
    stall_tcp(blocking, 20, bound=6)


def test_memory_while_the_origin_does_not_read_the_websocket(blocking):
    blocking.lab.change(rate=FAST)
    up_on_websocket(blocking)
    before = blocking.memory_at_rest()
    blocking.traffic.let("echo", "bulk")
    blocking.wait_for_data(blocking.traffic.connections)
    with blocking.lab.stopped(blocking.lab.origin):
        time.sleep(8)
        blocking.holds_little(before)
    blocking.data_is_back("back", time.monotonic(), bound=2)
    blocking.has_not_grown(before)
    blocking.nothing_is_lost()
