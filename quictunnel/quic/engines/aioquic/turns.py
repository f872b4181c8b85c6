"""Whose turn it is to fill a packet, of the streams that have something to send. Sends nothing.

Turns go round, a packet each, so that streams share by bytes. Each has a clock that runs with what
it sends; one that has had nothing to send, and so is behind the others, has its first turn before
them: a keystroke does not wait for downloads. It saves up no more than that one turn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quictunnel.quic.engines.aioquic.streams import StreamState

TURN = 1500
"""Bytes, about a packet's."""


class Turns(dict[int, "StreamState"]):
    """The streams with frames to write, by number, those that have waited longest first."""

    def __init__(self) -> None:
        super().__init__()
        self._clock = 0  # the furthest of those that have had a turn
        self._furthest = 0  # the same, after that turn
        self._first: dict[int, None] = {}

    def begin(self, state: StreamState) -> None:
        """Let a stream wait for its turn, if it does not do so yet."""
        if state.number in self:
            return
        self[state.number] = state
        state.clock = max(state.clock, self._clock - TURN)
        if state.clock <= self._clock:
            self._first[state.number] = None

    def next(self) -> StreamState:
        """Return who is next; there must be somebody."""
        while self._first:
            number = next(iter(self._first))
            if number in self:
                return self[number]
            del self._first[number]  # it has ended, or is held back
        return self[next(iter(self))]

    def end(self, state: StreamState, size: int) -> None:
        """Note that a stream has had its turn, and sent so much; it waits again for more."""
        self._clock = max(self._clock, state.clock)
        state.clock += size
        self._first.pop(state.number, None)
        if self.pop(state.number, None) is not None and state.wants_to_send:
            self[state.number] = state
        self._furthest = max(self._furthest, state.clock)
        if not self:  # all streams are idle: those that write next have their turns in that order
            self._clock = self._furthest
