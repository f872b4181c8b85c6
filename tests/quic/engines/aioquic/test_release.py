"""Nothing of a connection that its endpoint has forgotten waits for the garbage collector."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest
from pair import Pair


@pytest.fixture(autouse=True)
def _no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def forgotten(pair: Pair) -> weakref.ref:
    """Let the accepting endpoint forget its connection; return a reference that keeps nothing."""
    server = pair.server
    reference = weakref.ref(server.engine)
    server.endpoint.forget(server.engine)
    server.engine = None
    return reference


def test_a_connection_whose_handshake_has_not_ended() -> None:
    pair = Pair()
    pair.server.take(
        [(data, pair.client.path) for data, _ in pair.client.engine.transmit(0.0)], 0.0
    )
    assert pair.server.engine.transmit(0.0)
    assert forgotten(pair)() is None


def test_a_connection_that_has_carried_streams() -> None:
    pair = Pair.trusting(echo=True)
    pair.client.open(bytes(100_000), fin=True)
    pair.client.open(bytes(100_000))
    pair.run_for(0.02)
    pair.server.engine.close_with(0, "")
    pair.run_for(0.01)
    assert forgotten(pair)() is None


def test_a_link_may_still_ask_a_forgotten_connection() -> None:
    pair = Pair.trusting()
    engine = pair.server.engine
    engine.close_with(0, "")
    pair.run_for(0.1)
    pair.server.endpoint.forget(engine)
    assert engine.peer == pair.client.path[:2]
    assert engine.statistics.bytes_sent
    assert engine.transmit(pair.now) == []
    engine.dispatch(pair.server)
    assert engine.deadline() is None
    engine.expire(pair.now + 100)
