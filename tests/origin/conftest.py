"""Fixtures of the origin's tests."""

from __future__ import annotations

import asyncio

import pytest
from world import OriginScenario

from quictunnel.origin.upstream import Upstream
from testkit.clock import virtual_time


@pytest.fixture
def world(monkeypatch):
    """Run a test in virtual time, with a scenario of its own."""

    def run_test(story, **kwargs):
        @virtual_time
        async def run():
            world = OriginScenario(monkeypatch, **kwargs)
            # The origin server never answers in these tests.
            monkeypatch.setattr(Upstream, "connect", lambda *_: asyncio.Future())
            await story(world)
            await world.end()

        run()

    return run_test
