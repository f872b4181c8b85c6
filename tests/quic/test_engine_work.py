"""Work per datagram, counted in lines of Python and not in time: idle streams add none to it."""

from __future__ import annotations

from pair import Engines, Pair

from testkit.lines import lines_of

FEW, MANY = 10, 10_000
EXCHANGES = 20


def beside_idle_streams(count: int, engines: Engines) -> tuple[Pair, int]:
    """Return a pair with `count` idle streams that have each carried a byte, and one to use."""
    pair = Pair.trusting(streams=count + 10, engines=engines)
    for _ in range(count):
        pair.client.open(b"!")
    pair.run(lambda: len(pair.server.inbox) == count)
    busy = pair.client.open(b"!")
    pair.run(lambda: busy in pair.server.inbox)
    pair.run_for(1.0)
    return pair, busy


def exchange(pair: Pair, stream: int) -> None:
    """Ask a question and answer it, `EXCHANGES` times."""
    for _ in range(EXCHANGES):
        pair.client.write(stream, b"question")
        pair.run_for(0.05)
        pair.server.write(stream, b"answer")
        pair.run_for(0.05)


def test_idle_streams_cost_no_work(engines: Engines) -> None:
    work = []
    for idle in (FEW, MANY):
        pair, busy = beside_idle_streams(idle, engines)
        before = pair.client.sent + pair.server.sent
        work.append(lines_of(lambda pair=pair, busy=busy: exchange(pair, busy)))
        assert pair.server.inbox[busy] == b"!" + b"question" * EXCHANGES
        assert pair.client.inbox[busy] == b"answer" * EXCHANGES
        # A question or an answer, its ACK, and a ping behind it that shows its loss.
        datagrams = pair.client.sent + pair.server.sent - before
        assert 2 * EXCHANGES <= datagrams < 6 * EXCHANGES + 10
    few, many = work
    assert few > 4 * EXCHANGES, "the lines of each write and each read, at least"
    assert many < 1.05 * few
