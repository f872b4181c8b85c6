"""The simulated path: what other tests rely on."""

from __future__ import annotations

import pytest

from quictunnel.errors import LinkFailed
from testkit.carried_path import CLOSED_BY_PEER, CarriedLine, SimulatedOpener, SimulatedPath
from testkit.clock import seconds, settle, virtual_time


class Ears:
    """Implements `quictunnel.quic.path.datagram_path.PathHandler`."""

    def __init__(self, path: SimulatedPath) -> None:
        self.heard: list[bytes] = []
        self.reasons: list[str] = []
        path.handler = self

    def datagrams_received(self, datagrams: list[bytes]) -> None:
        self.heard += datagrams

    def path_closed(self, reason: str) -> None:
        self.reasons.append(reason)


def numbered(count: int, size: int = 1000) -> list[bytes]:
    return [bytes([number]) * size for number in range(count)]


@virtual_time
async def test_datagrams_arrive_in_order_after_the_delay() -> None:
    line = CarriedLine(delay=0.5)
    ears = Ears(line.accepting)
    line.dialing.send(numbered(50))
    await seconds(0.4)
    assert not ears.heard
    await seconds(0.2)
    assert ears.heard == numbered(50)


@virtual_time
async def test_the_queue_is_as_long_as_the_rate_sends_in_its_time() -> None:
    line = CarriedLine(delay=0, rate=100_000, queue=0.05)
    ears = Ears(line.accepting)
    line.dialing.send(numbered(20))
    assert [line.dialing.queued, line.dialing.dropped] == [5000, 15]
    await seconds(0.025)
    assert len(ears.heard) == 2
    await seconds(1)
    assert ears.heard == numbered(5)
    assert not line.dialing.queued


@virtual_time
async def test_a_stall_holds_data_back_and_loses_only_what_the_queue_cannot_hold() -> None:
    line = CarriedLine(delay=0.1)
    ears = Ears(line.accepting)
    line.dialing.send(numbered(3))
    line.stall()
    await seconds(1)
    line.dialing.send(numbered(4)[3:])
    await seconds(1)
    line.dialing.send([b"too late"])
    assert line.dialing.dropped == 1
    assert not ears.heard
    line.resume()
    await seconds(0.2)
    assert ears.heard == numbered(4)


@virtual_time
async def test_datagrams_above_the_mtu_are_dropped() -> None:
    line = CarriedLine(mtu=1300)
    ears = Ears(line.accepting)
    line.dialing.send([bytes(1301), bytes(1300)])
    await seconds(1)
    assert ears.heard == [bytes(1300)]


@virtual_time
async def test_a_close_reaches_the_other_end_behind_the_data() -> None:
    line = CarriedLine(delay=0.1)
    dialing, accepting = Ears(line.dialing), Ears(line.accepting)
    line.dialing.send([b"last"])
    line.dialing.close()
    await seconds(1)
    assert [accepting.heard, accepting.reasons] == [[b"last"], [CLOSED_BY_PEER]]
    assert not dialing.reasons
    line.accepting.close()
    line.fail()
    await settle()
    assert [len(dialing.reasons), len(accepting.reasons)] == [0, 1]


@virtual_time
async def test_a_failure_ends_both_ends_at_once() -> None:
    line = CarriedLine(delay=0.1)
    both = [Ears(end) for end in line.ends]
    line.dialing.send([b"lost"])
    line.fail("the proxy has ended")
    await seconds(1)
    assert [ears.reasons for ears in both] == [["the proxy has ended"]] * 2
    assert not both[1].heard


@virtual_time
async def test_an_opener_opens_lines_or_says_why_not() -> None:
    accepted: list[SimulatedPath] = []
    opener = SimulatedOpener(accepted.append, delay=0.2, rate=1e6)
    path = await opener.open()
    assert accepted == [opener.lines[0].accepting]
    assert path is opener.lines[0].dialing
    opener.obstacle = "the proxy refuses"
    with pytest.raises(LinkFailed, match="the proxy refuses"):
        await opener.open()
