"""Fixtures of the origin's tests: a world to tell a story in."""

from __future__ import annotations

import asyncio

import pytest
from world import OriginScenario

from quictunnel.origin import connector as reaching
from testkit.clock import virtual_time


@pytest.fixture
def world(monkeypatch):
    """A story told in virtual time, with a world of its own that is tidied up behind it."""

    def tell(story, **kwargs):
        @virtual_time
        async def run():
            world = OriginScenario(monkeypatch, **kwargs)
            # No origin server is there in these stories: nobody ever answers.
            monkeypatch.setattr(reaching.Dialler, "dial", lambda *_: asyncio.Future())
            await story(world)
            await world.end()

        run()

    return tell
