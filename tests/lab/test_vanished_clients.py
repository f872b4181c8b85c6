"""Clients whose host is gone: nothing is heard of them any more, not even a reset."""

from __future__ import annotations

import platform
import time
from pathlib import Path

from scenario import allowed

KEEPALIVE = 1
"""Idle seconds before the first probe. Four probes follow, a second apart."""

LOST_AFTER = 5 * KEEPALIVE

GIVEN_UP_AFTER = 15
"""Seconds of retransmissions, at most one second apart."""

NEW_LINUX = (6, 15)
"""The version of Linux that limits the time between retransmissions (TCP_RTO_MAX_MS)."""


def descriptors(program) -> int:
    """Return how many files and sockets a program has open."""
    return len(list(Path(f"/proc/{program.process.pid}/fd").iterdir()))


def test_clients_vanish(scenario):
    lab = scenario.lab
    lab.start_remote("--client-keepalive", f"{KEEPALIVE}s")
    lab.start_origin()
    before = descriptors(lab.remote)
    lab.put_clients_far_away()
    scenario.traffic.open("echo", "client", 5)
    if tuple(map(int, platform.release().split(".")[:2])) >= NEW_LINUX:
        scenario.traffic.open("bulk", "server")
    scenario.traffic.let("echo", "bulk")
    scenario.wait_for_data(scenario.traffic.connections)
    scenario.traffic.let("bulk")
    time.sleep(1)
    idle, busy = scenario.traffic.led("echo"), scenario.traffic.led("bulk")
    scenario.traffic.retire()
    assert descriptors(lab.remote) == before + len(idle) + len(busy)
    gone = lab.lose_far_clients()
    scenario.are_reset(idle, "server", "idle ones", gone, bound=LOST_AFTER)
    if busy:
        scenario.are_reset(busy, "server", "busy ones", gone, bound=GIVEN_UP_AFTER)
    assert scenario.traffic.wait_until(lambda: descriptors(lab.remote) == before, allowed(1))
    assert "timed out" in lab.remote.stderr
    scenario.nothing_is_lost()
