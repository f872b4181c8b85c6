"""Either program is restarted, replaced, or unreachable for longer than the hold."""

from __future__ import annotations

import time

import pytest

from testkit.programs import ENGINE_SELECTED, PROCESS_ENDED, TAKEN_OVER, UDP_BLOCKED, logged

AWAY = 1
"""Seconds between the death of a program and its restart."""

NOTICED = 3
"""The bound for the death of a program to be noticed. With the allowance it is 10 s."""


@pytest.mark.mixed
def test_remote_is_killed_and_restarted(scenario):
    scenario.up()
    gone = scenario.traffic.retire()
    killed = scenario.lab.kill(scenario.lab.remote)
    time.sleep(AWAY)
    scenario.lab.start_remote()
    ready = time.monotonic()
    scenario.new_clients_are_served("new clients", ready, bound=1)
    scenario.are_reset(gone, "client", "clients reset", killed, bound=1)
    scenario.are_reset(gone, "server", "servers reset", ready, bound=1)
    scenario.nothing_is_lost()


@pytest.mark.mixed
def test_origin_is_killed_and_restarted(scenario):
    scenario.up()
    gone = scenario.traffic.retire()
    killed = scenario.lab.kill(scenario.lab.origin)
    time.sleep(AWAY)
    scenario.lab.start_origin()
    ready = time.monotonic()
    scenario.new_clients_are_served("new clients", ready, bound=1)
    scenario.are_reset(gone, "server", "servers reset", killed, bound=1)
    scenario.are_reset(gone, "client", "clients reset", ready, bound=1)
    scenario.nothing_is_lost()


@pytest.mark.mixed
def test_origin_is_killed_without_a_successor(scenario):
    scenario.up()
    gone = scenario.traffic.retire()
    killed = scenario.lab.kill(scenario.lab.origin)
    scenario.are_reset(gone, "server", "servers reset", killed, bound=1)
    scenario.are_reset(gone, "client", "clients reset", killed, bound=NOTICED)
    assert PROCESS_ENDED in scenario.lab.remote.stdout


def test_idle_origin_is_killed_without_a_successor(scenario):
    """Nothing is sent to it but pings."""
    scenario.up()
    scenario.pause_traffic()
    gone = scenario.traffic.retire()
    killed = scenario.lab.kill(scenario.lab.origin)
    scenario.are_reset(gone, "client", "clients reset", killed, bound=NOTICED)
    assert PROCESS_ENDED in scenario.lab.remote.stdout


def test_remote_is_killed_without_a_successor(scenario):
    scenario.up()
    gone = scenario.traffic.retire()
    killed = scenario.lab.kill(scenario.lab.remote)
    scenario.are_reset(gone, "client", "clients reset", killed, bound=1)
    scenario.are_reset(gone, "server", "servers reset", killed, bound=NOTICED)
    assert PROCESS_ENDED in scenario.lab.origin.stdout


def test_remote_is_out_of_reach_for_longer_than_the_hold(scenario):
    hold = 6
    scenario.up(remote=("--hold", f"{hold}s"), origin=("--hold", f"{hold}s"))
    gone = scenario.traffic.retire()
    scenario.lab.darken()
    dark = time.monotonic()
    scenario.are_reset(gone, "client", "reset, with a hold of 6 s", dark, bound=hold + 1)
    scenario.are_reset(gone, "server", "servers too", dark, bound=hold + 1)
    scenario.lab.lighten()
    scenario.new_clients_are_served("new clients", time.monotonic(), bound=20)
    scenario.nothing_is_lost()


def test_second_origin_of_the_same_name_takes_over(scenario):
    scenario.up()
    first = scenario.lab.origin
    gone = scenario.traffic.retire()
    scenario.lab.start_origin("--take-over")
    ready = time.monotonic()
    scenario.new_clients_are_served("new clients", ready, bound=1)
    for side in ("client", "server"):
        scenario.are_reset(gone, side, f"{side}s reset", ready, bound=1)
    assert first.wait() == 3
    assert TAKEN_OVER in first.stderr
    scenario.nothing_is_lost()


def test_udp_is_blocked_from_the_start(scenario):
    scenario.lab.start_remote()
    scenario.lab.darken()
    origin = scenario.lab.tunnel.start_origin()
    origin.wait_for_log(logged(ENGINE_SELECTED))
    since = time.monotonic()
    origin.wait_for_log(UDP_BLOCKED, within=16)
    scenario.note("reported", time.monotonic() - since)
    scenario.lab.lighten()
    scenario.new_clients_are_served("new clients", time.monotonic(), bound=20)
    scenario.nothing_is_lost()
