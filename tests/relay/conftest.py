"""Fixtures of the relay's tests: a whole tunnel, one half of it, and a socket's transport."""

from __future__ import annotations

import asyncio

import pytest
from relay_doubles import Half, Tunnel, Wire, tcp_pair, until
from transport_owner import Owner, turns

from quictunnel.protocol.codes import Code
from quictunnel.relay.readiness import LoopReadiness, readiness
from quictunnel.relay.tcp_transport import SocketTransport


@pytest.fixture(autouse=True)
async def nothing_goes_wrong_unseen():
    """An exception in a callback fails the test too."""
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
    """The side that acts first: each ending is tested both ways."""
    return request.param


@pytest.fixture(params=["epoll", "loop"])
async def joined(request):
    """The far end of a connection, and the owner of its near end; by both kinds of readiness."""
    kind = {"epoll": readiness, "loop": LoopReadiness}[request.param]
    async for pair in _join(kind(asyncio.get_running_loop())):
        yield pair


@pytest.fixture
async def by_hand():
    """The same, where only the test tells what has happened to the socket."""
    async for far, owner in _join(readiness(asyncio.get_running_loop())):
        await turns()  # that there is room to write has been told by then
        owner.transport._readiness._epoll.unregister(owner.transport._fd)
        yield far, owner


async def _join(by):
    outer, inner = tcp_pair(small=True)
    owner = Owner()
    far = Wire(outer)
    SocketTransport(inner, by).attach(owner)
    yield far, owner
    owner.transport.abort()
    await until(lambda: owner.lost)
    assert len(owner.lost) == 1
    far.close()
