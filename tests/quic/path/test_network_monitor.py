"""The watch over networks and naps: what it tells, and how seldom. One look at the real kernel."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from quictunnel.quic.path import network_monitor as network
from quictunnel.quic.path.network_monitor import (
    COALESCE_DELAY,
    MIN_SUSPEND,
    POLL_INTERVAL,
    NetworkMonitor,
    Rtnetlink,
    local_addresses,
)
from testkit.clock import seconds, virtual_time

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PATIENCE = 10.0
"""Seconds after which the kernel has said nothing."""


class FakeKernel:
    """Tells of changes when the test says so. See `network.Source`."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()
        os.set_blocking(self.reader, False)
        self.is_closed = False

    def call_protocol(self) -> None:
        os.write(self.writer, b"!")

    def fileno(self) -> int:
        return self.reader

    def drain(self) -> bool:
        return bool(os.read(self.reader, 1000))

    def close(self) -> None:
        self.is_closed = True
        os.close(self.reader)
        os.close(self.writer)


class World:
    """A machine that sleeps and roams, on a loop of virtual time."""

    def __init__(self, *, source: FakeKernel | None) -> None:
        self.loop = asyncio.get_running_loop()
        self.asleep = 0.0
        """Seconds in which the loop's clock stood still."""
        self.address = "192.0.2.7"
        self.told: list[tuple[float, str]] = []
        self.watch = NetworkMonitor(
            self.loop,
            lambda why: self.told.append((self.loop.time(), why)),
            source=source,
            look=lambda: self.address,
            clock=lambda: self.loop.time() + self.asleep,
        )


@virtual_time
async def test_what_the_kernel_tells_is_told_once_it_has_said_all():
    kernel = FakeKernel()
    world = World(source=kernel)
    for _ in range(20):
        kernel.call_protocol()
        await asyncio.sleep(COALESCE_DELAY / 40)
    await seconds(0.5)
    ((at, why),) = world.told
    assert at == pytest.approx(COALESCE_DELAY)
    assert why == "the network has changed"
    world.watch.close()


@virtual_time
async def test_a_storm_is_told_of_now_and_then():
    kernel = FakeKernel()
    world = World(source=kernel)
    for _ in range(1000):
        kernel.call_protocol()
        await asyncio.sleep(0.001)
    await seconds(1)
    assert 10 <= len(world.told) <= 1.0 / COALESCE_DELAY + 1
    world.watch.close()


@virtual_time
async def test_a_nap_is_noticed_when_the_clock_is_looked_at_again():
    world = World(source=FakeKernel())
    await seconds(10)
    assert world.told == []
    world.asleep += 3600
    await seconds(POLL_INTERVAL)
    ((_, why),) = world.told
    assert why == "resumed after a suspend of 3600 s"
    await seconds(10)
    assert len(world.told) == 1
    world.watch.close()


@virtual_time
async def test_being_late_a_little_is_no_nap_and_neither_is_a_clock_set_back():
    world = World(source=FakeKernel())
    for step in (MIN_SUSPEND - 0.1, -3600.0):
        await seconds(3)
        world.asleep += step
    await seconds(10)
    assert world.told == []
    world.watch.close()


@virtual_time
async def test_where_nobody_tells_the_local_address_is_looked_at():
    world = World(source=None)
    await seconds(10)
    assert world.told == []
    world.address = "198.51.100.3"
    await seconds(POLL_INTERVAL)
    assert [why for _, why in world.told] == ["the local address has changed"]
    await seconds(10)
    assert len(world.told) == 1
    world.watch.close()


@virtual_time
async def test_once_closed_it_is_quiet_and_lets_go_of_everything():
    kernel = FakeKernel()
    world = World(source=kernel)
    kernel.call_protocol()
    await seconds(COALESCE_DELAY / 2)
    world.asleep = 3600.0
    world.watch.close()
    await seconds(10)
    assert world.told == []
    assert kernel.is_closed


async def test_where_the_kernel_refuses_to_tell_it_is_polled(monkeypatch: pytest.MonkeyPatch):
    def refuse() -> Rtnetlink:
        raise PermissionError("not for you")

    addresses = iter(["192.0.2.7"] * 2 + ["198.51.100.3"] * 1000)
    monkeypatch.setattr(network, "Rtnetlink", refuse)
    monkeypatch.setattr(network, "POLL_INTERVAL", 0.01)
    monkeypatch.setattr(network, "local_addresses", lambda: next(addresses))
    told: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    watch = NetworkMonitor.of_this_machine(asyncio.get_running_loop(), told.set_result)
    async with asyncio.timeout(PATIENCE):
        assert await told == "the local address has changed"
    watch.close()


def test_a_local_address_is_found_without_a_word_on_the_wire():
    (here, nowhere) = local_addresses(("127.0.0.1", "255.255.255.255"))
    assert here == "127.0.0.1"
    assert nowhere is None, "to send to everybody takes a permission"


# The kernel of this machine


def run_ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


def why_not_here() -> str | None:
    """Return what is missing for a network of the test's own."""
    if sys.platform != "linux":
        return "rtnetlink is Linux's"
    if os.geteuid() != 0:
        return "root is needed to add an address"
    try:
        run_ip("-Version")
    except FileNotFoundError:
        return "the program ip (iproute2) is missing"
    return None


@pytest.fixture
def address() -> Iterator[Callable[[str], None]]:
    """Adds an address to the loopback interface, or takes it away again."""
    reason = why_not_here()
    if reason is not None:
        pytest.skip(reason)
    ours = f"127.42.{os.getpid() % 256}.1/32"  # of this very run
    try:
        yield lambda action: run_ip("address", action, ours, "dev", "lo")
    finally:
        subprocess.run(
            ["ip", "address", "del", ours, "dev", "lo"], check=False, capture_output=True
        )


async def test_the_kernel_tells_of_an_address_that_comes_and_goes(address):
    told: asyncio.Queue[str] = asyncio.Queue()
    watch = NetworkMonitor.of_this_machine(asyncio.get_running_loop(), told.put_nowait)
    for action in ("add", "del"):
        address(action)
        async with asyncio.timeout(PATIENCE):
            assert await told.get() == "the network has changed"
    watch.close()
