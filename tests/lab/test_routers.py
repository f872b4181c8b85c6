"""The router has forgotten the origin: its datagrams leave from another port, answers are lost."""

from __future__ import annotations

import time

import pytest


@pytest.mark.mixed
def test_router_forgets(row):
    row.up()
    row.data_is_back("data flowing", row.lab.forget_senders(), bound=1)
    for speaker, whose in (("server", "the origin's"), ("client", "the remote's")):
        row.hush()
        row.lab.forget_senders()
        since = time.monotonic()
        row.traffic.let("echo", by=(speaker,))
        talks = row.traffic.led("echo", by=(speaker,))
        row.data_is_back(f"idle, then {whose} data", since, bound=1, of=talks)
        row.traffic.let("echo", "bulk")
        row.flows(row.traffic.talks)
    row.nothing_is_lost()
