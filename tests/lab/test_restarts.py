"""Either program dies and comes again, or is away for longer than the hold."""

from __future__ import annotations

import time

import pytest

AWAY = 1
"""Seconds between a death and the next start."""


@pytest.mark.mixed
def test_remote_is_killed_and_restarted(row):
    row.up()
    gone = row.traffic.retire()
    killed = row.lab.kill(row.lab.remote)
    time.sleep(AWAY)
    row.lab.start_remote()
    ready = time.monotonic()
    row.new_clients_are_served("new clients", ready, bound=1)
    row.are_reset(gone, "client", "clients reset", killed, bound=1)
    row.are_reset(gone, "server", "servers reset", ready, bound=1)
    row.nothing_is_lost()


@pytest.mark.mixed
def test_origin_is_killed_and_restarted(row):
    row.up()
    gone = row.traffic.retire()
    killed = row.lab.kill(row.lab.origin)
    time.sleep(AWAY)
    row.lab.start_origin()
    ready = time.monotonic()
    row.new_clients_are_served("new clients", ready, bound=1)
    row.are_reset(gone, "server", "servers reset", killed, bound=1)
    row.are_reset(gone, "client", "clients reset", ready, bound=1)
    row.nothing_is_lost()


def test_remote_is_out_of_reach_for_longer_than_the_hold(row):
    hold = 6
    row.up(remote=("--hold", f"{hold}s"), origin=("--hold", f"{hold}s"))
    gone = row.traffic.retire()
    row.lab.darken()
    dark = time.monotonic()
    row.are_reset(gone, "client", "reset, with a hold of 6 s", dark, bound=hold + 1)
    row.are_reset(gone, "server", "servers too", dark, bound=hold + 1)
    row.lab.lighten()
    row.new_clients_are_served("new clients", time.monotonic(), bound=20)
    row.nothing_is_lost()


def test_second_origin_of_the_same_name_takes_over(row):
    row.up()
    first = row.lab.origin
    gone = row.traffic.retire()
    row.lab.start_origin()
    ready = time.monotonic()
    row.new_clients_are_served("new clients", ready, bound=1)
    for side in ("client", "server"):
        row.are_reset(gone, side, f"{side}s reset", ready, bound=1)
    row.lab.says(first, "has taken over; a remote serves one origin at a time", within=20)
    assert first.process.wait(20) == 3
    row.nothing_is_lost()


def test_udp_is_blocked_from_the_start(row):
    row.lab.start_remote()
    row.lab.darken()
    row.lab.start_origin(waits=False)
    since = row.lab.says(row.lab.origin, "engine selected  engine=", within=20)
    row.note("said", row.lab.says(row.lab.origin, r"UDP may be blocked", within=16) - since)
    row.lab.lighten()
    row.new_clients_are_served("new clients", time.monotonic(), bound=20)
    row.nothing_is_lost()
