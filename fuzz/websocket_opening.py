"""Fuzz target: the request of a client that opens a WebSocket, and all others."""

from __future__ import annotations

from fuzz.fuzzer import run
from fuzz.outcomes import outcome_of_any_split
from quictunnel.errors import ProtocolError
from quictunnel.quic.path.websocket_handshake import (
    MAX_HEAD,
    METHOD,
    HeadReader,
    OpeningRequest,
    parse_opening,
    status_of,
)


class _OpeningReader:
    """Parses a head once it is complete."""

    def __init__(self) -> None:
        self._reader = HeadReader(METHOD)
        self._size = 0

    def feed(self, data: bytes) -> OpeningRequest | None:
        """Return the request, or None while more bytes are needed."""
        self._size += len(data)
        found = self._reader.feed(data)
        if found is None:
            assert self._size <= MAX_HEAD, "it keeps more than a head"
            return None
        head, rest = found
        assert len(head) + len(rest) == self._size, "bytes were lost"
        assert 0 <= status_of(head) <= 999
        return parse_opening(head)


def check(data: bytes) -> None:
    """Check that a split changes nothing, and that only a whole request opens a WebSocket."""
    found = outcome_of_any_split(_OpeningReader, data)
    if isinstance(found, OpeningRequest):
        assert data.startswith(b"GET ")
        assert b"websocket" in data.lower()
        assert status_of(found.response) == 101
        assert b"\r\nSec-WebSocket-Accept: " in found.response
        assert all(value.count("\n") == 0 for value in found.forwarded_for)
    elif found is not None:
        assert isinstance(found, tuple)
        assert issubclass(found[0], ProtocolError)


if __name__ == "__main__":
    run("fuzz.websocket_opening", also=("websockets",))
