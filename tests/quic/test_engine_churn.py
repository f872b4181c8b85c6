"""Connections come and go at one endpoint: the end of one does not affect the others."""

from __future__ import annotations

from pair import CLIENT_PATH, CLIENT_TLS, SERVER_PATH, End, Engines, Pair, endpoint
from probes import PROBES

from quictunnel.quic.settings import LinkSettings


def dialled_again(pair: Pair, engine: str) -> None:
    """Let another client take the place of the pair's, and be met by the same server."""
    client = endpoint(engine, LinkSettings(), accepts=False, streams=16, now=pair.now)
    end = End(client, CLIENT_PATH, PROBES[engine], echo=False)
    end.engine = client.connect(SERVER_PATH[:2], CLIENT_TLS.server_name, pair.now)
    server = End(pair.server.endpoint, SERVER_PATH, pair.server.probe, echo=False)
    pair.client, pair.server = end, server
    pair.ends = (end, server)


def test_one_that_is_forgotten_late_takes_nothing_from_the_next(engines: Engines) -> None:
    pair = Pair.trusting(engines=engines)
    first = pair.server.engine
    pair.client.engine.close_with(0, "")
    pair.run(lambda: first.is_terminated)
    dialled_again(pair, engines[0])
    pair.run(lambda: all(end.handshakes for end in pair.ends))
    pair.server.endpoint.forget(first)
    stream = pair.client.open(b"still heard", fin=True)
    pair.run(lambda: stream in pair.server.fins)
    assert pair.server.probe.connections(pair.server.endpoint) == 1


def test_a_hundred_in_turn_leave_nothing(engines: Engines) -> None:
    pair = Pair.trusting(engines=engines)
    for _ in range(100):
        stream = pair.client.open(b"hello", fin=True)
        pair.run(lambda stream=stream: stream in pair.server.fins)
        pair.client.engine.close_with(0, "")
        over = pair.server.engine
        pair.run(lambda over=over: over.is_terminated)
        pair.server.endpoint.forget(over)
        assert pair.server.probe.connections(pair.server.endpoint) == 0
        dialled_again(pair, engines[0])
        pair.run(lambda: all(end.handshakes for end in pair.ends))
