"""Token buckets and throttles in virtual time: rates, bursts, turns and the end."""

from __future__ import annotations

import asyncio

import pytest

from quictunnel.relay.rate_limit import BURST, MIN_PIECE, RateLimit, TokenBucket
from quictunnel.relay.throttle import Throttle
from testkit.clock import seconds, settle, virtual_time

RATE = 1_250_000
"""Bytes per second: 10 Mbit/s."""

WANTED = 256 * 1024
"""Bytes that a reader asks for at a time, as transports do."""


class EagerSide:
    """A side of a relay whose sender always has bytes.

    :param supply: bytes that arrive; infinitely many by default.
    """

    def __init__(self, *buckets: TokenBucket, supply: float = float("inf")) -> None:
        self.may_read = True
        self.received = 0
        self.largest = 0
        self.supply = supply
        self.is_reading = False
        self.throttle = Throttle(buckets, self)
        self.resume_reading()

    def resume_reading(self) -> bool:
        if self.may_read and not self.is_reading:
            self.is_reading = True
            asyncio.get_running_loop().call_soon(self.read)
        return self.may_read

    def hold_back(self) -> None:
        self.is_reading = False

    def read(self) -> None:
        """Read one piece, as the transports do."""
        if not self.is_reading or not (size := self.throttle.allow(WANTED)):
            return
        used = min(size, self.supply)
        self.supply -= used
        self.throttle.settle(used)
        self.received += used
        self.largest = max(self.largest, used)
        if used == size:
            asyncio.get_running_loop().call_soon(self.read)

    def arrive(self, count: int) -> None:
        """Let bytes arrive at a side that has read all."""
        self.supply += count
        self.read()


def total(sides) -> int:
    return sum(side.received for side in sides)


@pytest.mark.parametrize("count", [1, 2, 50, 1000])
def test_all_readers_together_get_the_rate(count):
    @virtual_time
    async def story():
        bucket = TokenBucket(RATE)
        sides = [EagerSide(bucket) for _ in range(count)]
        await seconds(10)
        assert total(sides) == pytest.approx(10 * RATE + BURST * RATE, rel=0.01)
        amounts = [side.received for side in sides]
        assert max(amounts) <= 1.2 * min(amounts) + 2 * BURST * RATE

    story()


@pytest.mark.parametrize("rate", [1000, 8000, RATE, 10**8])
def test_rates_of_all_sizes_are_kept(rate):
    @virtual_time
    async def story():
        side = EagerSide(TokenBucket(rate))
        await seconds(20)
        burst = max(BURST * rate, MIN_PIECE)
        assert 20 * rate <= side.received <= 20 * rate + 2 * burst
        assert side.largest <= max(burst / 8, MIN_PIECE)

    story()


@pytest.mark.parametrize("count", [1, 50])
@pytest.mark.parametrize("lateness", [0.03, 0.3])
def test_a_loop_whose_timers_fire_late_keeps_the_rate(count, lateness):
    async def story():
        bucket = TokenBucket(RATE)
        sides = [EagerSide(bucket) for _ in range(count)]
        started_at = asyncio.get_running_loop().time()
        await seconds(20)
        elapsed = asyncio.get_running_loop().time() - started_at
        assert (elapsed - lateness) * RATE <= total(sides) <= (elapsed + BURST) * RATE

    virtual_time(story, lateness=lateness)()


@virtual_time
async def test_what_was_caught_up_is_no_burst_after_a_pause():
    bucket = TokenBucket(RATE)
    side = EagerSide(bucket)
    await settle()
    bucket._filled_at -= 0.8  # the loop was busy with something else
    await seconds(0.05)
    assert side.received > 0.8 * RATE
    side.supply = 0
    await seconds(60)
    before = side.received
    side.arrive(10 * RATE)
    await settle()
    assert side.received - before <= BURST * RATE


@virtual_time
async def test_after_a_pause_one_burst_may_pass():
    side = EagerSide(TokenBucket(RATE), supply=0)
    await seconds(60)
    side.arrive(10 * RATE)
    await settle()
    assert BURST * RATE - MIN_PIECE <= side.received <= BURST * RATE


@virtual_time
async def test_readers_without_bytes_keep_nothing_back():
    bucket = TokenBucket(RATE)
    idle = [EagerSide(bucket, supply=0) for _ in range(50)]
    busy = EagerSide(bucket)
    await seconds(10)
    assert busy.received == pytest.approx(10 * RATE, rel=0.02)
    for side in idle:
        side.arrive(WANTED)
    await settle()
    assert total(idle) <= BURST * RATE


@virtual_time
async def test_a_new_reader_waits_behind_those_that_wait():
    bucket = TokenBucket(8000)
    first, second = EagerSide(bucket), EagerSide(bucket)
    await settle()
    late = EagerSide(bucket)
    await seconds(3.1 * MIN_PIECE / 8000)
    assert [first.received, second.received, late.received] == [2 * MIN_PIECE, MIN_PIECE, MIN_PIECE]


@virtual_time
async def test_bytes_read_without_a_grant_are_paid_for_later():
    bucket = TokenBucket(RATE)
    side = EagerSide(bucket)
    side.throttle.charge(2 * RATE)
    await seconds(1.8)
    assert side.received == 0
    await seconds(8.2)
    assert side.received == pytest.approx(8 * RATE + BURST * RATE, rel=0.02)


@virtual_time
async def test_a_read_that_exceeds_its_grant_is_paid_for_later():
    bucket = TokenBucket(RATE)
    side = EagerSide(bucket)
    assert side.throttle.allow(1000) == 1000
    side.throttle.settle(1000 + RATE)
    await seconds(0.8)
    assert side.received == 0


@virtual_time
async def test_a_changed_rate_applies_to_those_that_wait():
    bucket = TokenBucket(1000)
    side = EagerSide(bucket)
    await seconds(1)
    bucket.change(RATE)
    before = side.received
    await seconds(10)
    assert side.received - before == pytest.approx(10 * RATE, rel=0.02)
    bucket.change(None)
    side.supply = 10 * RATE
    await settle()
    await seconds(0)
    await settle()
    assert side.supply == 0
    assert len(bucket) == 0


@virtual_time
async def test_a_reader_that_leaves_gives_its_turn_back_and_stops_the_timer():
    bucket = TokenBucket(1000)
    sides = [EagerSide(bucket) for _ in range(3)]
    await settle()
    assert len(bucket) == 3
    for side in sides:
        side.throttle.close()
    assert len(bucket) == 0
    assert bucket._timer is None
    await seconds(100)
    assert total(sides) == MIN_PIECE


@virtual_time
async def test_a_turn_of_a_side_that_cannot_write_is_not_lost():
    bucket = TokenBucket(RATE)
    stalled, busy = EagerSide(bucket), EagerSide(bucket)
    await seconds(1)
    stalled.may_read = False
    await seconds(1)
    stalled_at, busy_at = stalled.received, busy.received
    await seconds(10)
    assert stalled.received == stalled_at
    assert busy.received - busy_at == pytest.approx(10 * RATE, rel=0.02)
    stalled.may_read = True
    stalled.resume_reading()
    await seconds(10)
    assert stalled.received - stalled_at == pytest.approx(5 * RATE, rel=0.05)


@virtual_time
async def test_the_lowest_of_several_limits_counts():
    own, place, token = TokenBucket(RATE), TokenBucket(2 * RATE), TokenBucket(10 * RATE)
    sides = [EagerSide(own, place, token)]
    await seconds(10)
    assert total(sides) == pytest.approx(10 * RATE, rel=0.02)
    sides += [EagerSide(TokenBucket(RATE), place, token) for _ in range(3)]
    before = total(sides)
    await seconds(10)
    assert total(sides) - before == pytest.approx(20 * RATE, rel=0.03)


@virtual_time
async def test_a_side_in_two_busy_buckets_does_not_starve():
    place, token = TokenBucket(RATE), TokenBucket(RATE)
    others = [EagerSide(bucket) for bucket in (place, token) for _ in range(10)]
    both = EagerSide(place, token)
    await seconds(10)
    least = min(side.received for side in others)
    assert both.received > least / 3
    assert total(others) + 2 * both.received == pytest.approx(20 * RATE, rel=0.05)


@virtual_time
async def test_each_direction_has_the_whole_rate():
    rate = RateLimit(RATE)
    sides = [EagerSide(rate.from_tcp), EagerSide(rate.from_stream)]
    await seconds(10)
    for side in sides:
        assert side.received == pytest.approx(10 * RATE, rel=0.02)
    rate.change(2 * RATE)
    before = total(sides)
    await seconds(10)
    assert total(sides) - before == pytest.approx(40 * RATE, rel=0.02)


@virtual_time
async def test_a_limited_reader_wakes_the_loop_rarely():
    """There is one timer for all readers, and no busy loop."""
    bucket = TokenBucket(RATE)
    loop = asyncio.get_running_loop()
    calls = []
    call_later = loop.call_later
    loop.call_later = lambda *args: calls.append(args) or call_later(*args)
    for _ in range(50):
        EagerSide(bucket)
    await seconds(10)
    assert len(calls) < 10 / 0.005 + 10
