"""Links share what a process may hold unread: a closed one gives its share back."""

from __future__ import annotations

from pair import CLIENT_PATH, CLIENT_TLS, SERVER_PATH, End, Engines, Pair
from probes import PROBES

MIB = 1024 * 1024
LIMIT = 4 * MIB
STREAMS = 30


def trust(pair: Pair) -> None:
    pair.run(lambda: all(end.handshakes for end in pair.ends))
    for end in pair.ends:
        end.engine.trust()
        end.engine.allow_streams(STREAMS)
    pair.run_for(1.0)


def replace_link(pair: Pair, engines: Engines) -> None:
    """Close the link, and connect the same two endpoints once more."""
    pair.client.engine.close_with(0, "")
    pair.run(lambda: all(end.closed for end in pair.ends))
    pair.run(lambda: all(end.engine.is_terminated for end in pair.ends))
    for end in pair.ends:
        end.endpoint.forget(end.engine)
    pair.client = End(pair.client.endpoint, CLIENT_PATH, PROBES[engines[0]], echo=False)
    pair.server = End(pair.server.endpoint, SERVER_PATH, PROBES[engines[1]], echo=False)
    pair.client.engine = pair.client.endpoint.connect(
        SERVER_PATH[:2], CLIENT_TLS.server_name, pair.now
    )
    pair.ends = (pair.client, pair.server)
    trust(pair)


def sent_unread(pair: Pair) -> int:
    """Return how many bytes the client may send in a second that the server does not read."""
    pair.server.paused = None
    streams = [pair.client.open(bytes(MIB)) for _ in range(STREAMS)]
    pair.run_for(1.0)
    return pair.client.sent_of(*streams)


def test_a_closed_link_gives_its_share_of_the_budget_back(alike: Engines) -> None:
    fresh = sent_unread(Pair.trusting(engines=alike, unread_limit=LIMIT, streams=STREAMS))
    assert fresh > LIMIT / 4, "the budget is what holds the client back"

    pair = Pair.trusting(engines=alike, unread_limit=LIMIT, streams=STREAMS)
    for _ in range(9):
        replace_link(pair, alike)
    assert sent_unread(pair) > 0.9 * fresh
