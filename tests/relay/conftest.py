"""Fixtures of the relay's tests: a whole tunnel, and one half of it."""

from __future__ import annotations

import asyncio

import pytest
from relay_doubles import Half, Tunnel

from quictunnel.protocol.codes import Code


@pytest.fixture(autouse=True)
async def nothing_goes_wrong_unseen():
    """What is raised in a callback fails the test too."""
    errors = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
    yield
    assert errors == []


@pytest.fixture
async def tunnel():
    it = Tunnel()
    await it.stand()
    yield it
    await it.close()


@pytest.fixture
async def narrow_tunnel():
    """A tunnel whose sockets hold little, so that a few hundred kilobytes fill it."""
    it = Tunnel(small=True)
    await it.stand()
    yield it
    await it.close()


@pytest.fixture
async def half():
    """A relay with neither side standing yet."""
    it = Half(Code.ORIGIN_RESET, small=True)
    yield it
    await it.close()


@pytest.fixture(params=["client", "origin server"])
def way(request):
    """Who acts first: each ending is tested both ways."""
    return request.param
