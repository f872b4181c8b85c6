"""ICMP errors that say nothing about the peer's process: forged ones, and those of NAT routers."""

from __future__ import annotations

import random
import struct
import time

import pytest
from nat import PORT_UNREACHABLE, QUOTED, flow_of, icmp_error, rejection
from uplinks import MOBILE, WIFI

WATCHED = 6
"""Seconds in which packets are counted, with and without forged ones."""

IDLE = 0.1
"""Seconds between two looks at the packets, and between two floods of forged ones."""

UDP_HEADER = 20 + 8
"""Bytes at which the payload of a quoted packet begins. RFC 792 demands no more than these."""


def packets_in(scenario, seconds: float, *forged: bytes) -> int:
    """Return how many packets the remote sends in a time in which forged ones arrive."""
    before, _ = scenario.lab.packets_of_remote()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        scenario.lab.forge(*forged)
        time.sleep(IDLE)
    return scenario.lab.packets_of_remote()[0] - before


def with_other_payload(packet: bytes, dice: random.Random) -> bytes:
    """Return a packet that only its addresses and ports have in common with another one."""
    return packet[:UDP_HEADER] + dice.randbytes(len(packet) - UDP_HEADER)


def test_forged_errors(scenario):
    """An attacker who guesses all addresses and ports has not seen the link's connection IDs."""
    scenario.up()
    scenario.pause_traffic()
    dice = random.Random(19)
    quiet = packets_in(scenario, WATCHED)
    _, latest = scenario.lab.packets_of_remote()
    guessed = with_other_payload(latest, dice)
    offender, victim = latest[16:20], latest[12:16]
    header = bytearray(latest[:UDP_HEADER])
    header[2:4] = struct.pack(">H", UDP_HEADER)
    forged = [
        rejection(guessed),
        icmp_error(offender, victim, PORT_UNREACHABLE, latest[:UDP_HEADER]),
        icmp_error(offender, victim, PORT_UNREACHABLE, bytes(header)),
        icmp_error(b"\x08\x08\x08\x08", victim, PORT_UNREACHABLE, latest[:QUOTED]),
        icmp_error(offender, victim, (3, 1), latest[:QUOTED]),
        icmp_error(offender, victim, PORT_UNREACHABLE, dice.randbytes(100)),
    ]
    flooded = packets_in(scenario, WATCHED, *forged)
    scenario.note("packets without forged errors", quiet)
    scenario.note("packets with forged errors", flooded)
    assert flooded <= quiet + 3
    # An attacker that sees the link's packets can quote them, which costs a ping in 5 s.
    flow = flow_of(latest)
    end = time.monotonic() + WATCHED
    while time.monotonic() < end:
        _, latest = scenario.lab.packets_of_remote()
        if flow_of(latest) == flow:
            scenario.lab.forge(rejection(latest))
        time.sleep(IDLE)
    scenario.traffic.let("echo", "bulk")
    scenario.wait_for_data(scenario.traffic.connections)
    scenario.nothing_is_lost()


@pytest.mark.mixed
def test_nat_router_rejects_what_it_has_forgotten(scenario):
    """Many home routers answer so. The origin is heard from its next port."""
    scenario.lab.reject_strangers()
    scenario.up()
    scenario.data_is_back("data flowing", scenario.lab.rebind_senders(), bound=1)
    scenario.pause_traffic()
    scenario.lab.rebind_senders()
    time.sleep(5)
    since = time.monotonic()
    scenario.traffic.let("echo", "bulk")
    scenario.data_is_back("idle before", since, bound=1)
    scenario.lab.leave(WIFI)
    scenario.lab.rebind_senders()
    time.sleep(0.1)
    scenario.data_is_back("another uplink", scenario.lab.join(MOBILE), bound=1)
    scenario.nothing_is_lost()


def test_nat_router_forgets_an_idle_origin_and_rejects(scenario):
    """Clients come before the next ping of the origin, which knows nothing of them."""
    scenario.lab.reject_strangers()
    scenario.lab.start_remote()
    scenario.lab.start_origin()
    time.sleep(8)
    answered, _ = scenario.lab.packets_of_remote()
    while scenario.lab.packets_of_remote()[0] == answered:
        time.sleep(IDLE)
    time.sleep(IDLE)  # for the answer of the last ping
    scenario.lab.rebind_senders()
    scenario.connect_clients()
    scenario.nothing_is_lost()


def test_nat_router_forgets_a_sleeping_machine_and_rejects(scenario):
    scenario.lab.reject_strangers()
    scenario.up()
    with scenario.lab.stopped(scenario.lab.origin):
        scenario.lab.remote.wait_for("^silent")
        scenario.lab.rebind_senders()
        time.sleep(10)
    scenario.data_is_back("continued", time.monotonic(), bound=1)
    scenario.nothing_is_lost()


def test_blackout_of_5_s_behind_a_nat_router_that_rejects(scenario):
    scenario.lab.reject_strangers()
    scenario.up()
    scenario.lab.darken()
    time.sleep(5)
    scenario.lab.rebind_senders()
    scenario.data_is_back("back", scenario.lab.lighten(), bound=1)
    scenario.nothing_is_lost()
