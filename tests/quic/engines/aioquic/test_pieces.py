"""The sending half of a stream: it cuts what was written into the same pieces as aioquic's does."""

from __future__ import annotations

from aioquic.buffer import size_uint_var
from aioquic.quic.packet_builder import QuicDeliveryState
from aioquic.quic.stream import QuicStreamSender
from hypothesis import given, settings, strategies

from quictunnel.quic.engines.aioquic.streams import Sender

steps = strategies.one_of(
    strategies.tuples(strategies.just("write"), strategies.integers(0, 50)),
    strategies.tuples(strategies.just("finish"), strategies.just(0)),
    strategies.tuples(strategies.just("take"), strategies.integers(-3, 20)),
    strategies.tuples(strategies.just("acked"), strategies.integers(0, 9)),
    strategies.tuples(strategies.just("lost"), strategies.integers(0, 9)),
)


@given(
    steps=strategies.lists(steps, max_size=40), limits=strategies.lists(strategies.integers(0, 200))
)
@settings(deadline=None, max_examples=300)
def test_pieces_are_aioquics(steps: list[tuple[str, int]], limits: list[int]) -> None:
    ours, theirs = Sender(0, lambda: None), QuicStreamSender(0, writable=True)
    finished = False
    flying: list[tuple[int, int, bool]] = []
    limit = 100
    for what, number in steps:
        if what == "write" and not finished:
            for sender in (ours, theirs):
                sender.write(bytes(range(number)))
        elif what == "finish" and not finished:
            finished = True
            for sender in (ours, theirs):
                sender.write(b"", end_stream=True)
        elif what == "take":
            limit = max(limit, limits.pop()) if limits else limit
            offset = ours.next_offset
            assert offset == theirs.next_offset
            header = 3 + size_uint_var(0) + (size_uint_var(offset) if offset else 0)
            piece = ours.take(number + header, limit)
            frame = theirs.get_frame(number, limit)
            assert (piece is None) == (frame is None)
            if piece is not None:
                assert piece == (frame.offset, frame.data, frame.fin)
                flying.append((offset, offset + len(piece[1]), piece[2]))
        elif what in ("acked", "lost") and flying:
            sent = flying.pop(number % len(flying))
            for sender in (ours, theirs):
                sender.on_data_delivery(QuicDeliveryState[what.upper()], *sent)
        for name in ("highest_offset", "is_finished", "_buffer", "_buffer_start", "next_offset"):
            assert getattr(ours, name) == getattr(theirs, name), name
        assert list(ours._pending) == list(theirs._pending)
        pending = bool(ours._pending)
        assert ours.buffer_is_empty == (not pending and not ours._pending_eof)
        assert ours.is_held(limit) == (pending and ours.next_offset >= limit)
