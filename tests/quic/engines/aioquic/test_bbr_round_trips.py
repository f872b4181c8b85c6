"""How far a path is by its round-trip times, and whether it must be emptied, or packets wait."""

from __future__ import annotations

import pytest

from quictunnel.quic.engines.aioquic.bbr_round_trips import INTERVAL, KEPT, WAITING, RoundTrips

RTT = 0.1


@pytest.mark.parametrize(("longer", "is_emptied"), [(1.04, False), (1.2, True)])
def test_a_path_that_is_seen_nearly_empty_is_not_emptied(longer: float, is_emptied: bool) -> None:
    trips = RoundTrips(0.0)
    trips.add(RTT, 0.0)
    stale = []
    for step in range(1, 60):
        trips.add(longer * RTT, step * INTERVAL / 10)
        stale.append(trips.is_stale)
    assert any(stale) is is_emptied


def test_a_longer_path_is_believed_in_time() -> None:
    trips = RoundTrips(0.0)
    trips.add(RTT, 0.0)
    for step in range(1, 13):
        trips.add(2 * RTT, step * KEPT / 10)
        assert trips.least == (RTT if step <= 10 else 2 * RTT)


def test_all_packets_of_late_must_have_waited() -> None:
    trips = RoundTrips(0.0)
    waiting = []
    for step, wait in enumerate([0.0, 0.5, 0.0, 0.3, 0.2, 0.4]):
        trips.add((1 + wait) * RTT, step * 0.6 * RTT)
        waiting.append(trips.waiting)
    assert waiting == pytest.approx([0.0, 0.0, 0.0, 0.0, 0.2, 0.2])
    assert WAITING < 0.2
