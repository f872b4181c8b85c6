"""Short versions of the attacks of `make attacks`, on the laboratory's network.

An attacker with a line of its own to the remote attacks while an origin starts that the remote has
never seen. The bounds are those of a busy machine: several tests share two processors.
"""

from __future__ import annotations

import time

import pytest
from scenario import allowed

from testkit.programs import PATIENCE

SLOW = 2.0
"""Mbit/s of an attack that is decisive even if it is slow."""

FILLED = 3.0
"""Seconds in which an attacker has taken all the places that it can get."""

ATTACKS = {
    "half-open-spoofed": SLOW,
    "silent-many": SLOW,
    "replayed-retry": SLOW,
    "empty-frames": SLOW,
    "crypto-gaps": SLOW,
    "failed-proofs-many": SLOW,
    "icmp-guessed": 10.0,  # all ports are guessed within 6 s
}
"""The attacks, and their rates in Mbit/s."""

LASTS = 6.0
"""Seconds in which clients are served during an attack."""

ADMITTED = 3.0
"""Seconds in which an origin is ready, without the allowance for a busy machine."""

LOG_LINES = 30
"""Lines of a remote's log, with those of the honest origin and its 22 clients excluded."""

GROWTH = 48 * 1024 * 1024
"""Bytes by which the remote may grow, with what its honest clients need."""


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_stops_neither_a_new_origin_nor_its_clients(scenario, attack):
    lab = scenario.lab
    scenario.figures["event"] = f"attack: {attack}"
    remote = lab.start_remote()
    before = remote.resident_memory()
    with lab.attacked(attack, ATTACKS[attack]):
        time.sleep(FILLED)
        since = time.monotonic()
        lab.start_origin()
        scenario.note("origin admitted", time.monotonic() - since)
        scenario.connect_clients()
        time.sleep(LASTS)
        scenario.data_is_back("data goes on", time.monotonic(), bound=1)
        scenario.new_clients_are_served("new clients", time.monotonic(), bound=1)
        grown = remote.resident_memory() - before
    assert scenario.figures["seconds"]["origin admitted"] <= min(allowed(ADMITTED), PATIENCE)
    assert grown < GROWTH
    warnings = [line for line in remote.stderr.splitlines() if "  remote  client " not in line]
    assert len(warnings) < LOG_LINES, lab.logs()
    scenario.nothing_is_lost()
