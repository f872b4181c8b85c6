"""Fixtures of the origin's tests."""

from __future__ import annotations

import asyncio

import pytest
from virtual_time import virtual_time
from world import World

from quictunnel.origin.upstream import Upstream


@pytest.fixture
def world(monkeypatch):
    """Run a test in virtual time, with a `World` of its own that is cleaned up afterwards."""

    def run_test(story, **kwargs):
        @virtual_time
        async def run():
            world = World(monkeypatch, **kwargs)
            # The origin server never answers in these tests.
            monkeypatch.setattr(Upstream, "connect", lambda *_: asyncio.Future())
            await story(world)
            await world.end()

        run()

    return run_test
