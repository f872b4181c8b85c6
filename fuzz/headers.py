"""Feeds a decoder of a header that other bytes follow, so that its outcomes can be compared."""

from __future__ import annotations

from typing import Protocol

from quictunnel.protocol.preamble import Preamble


class HeaderDecoder(Protocol):
    """A decoder of one header."""

    def feed(self, data: bytes) -> tuple[Preamble, bytes] | None:
        """Return the content of the header and the bytes after it, or None while it is short."""


class HeaderReader:
    """Returns the content of a header and its length, which do not depend on the split."""

    def __init__(self, decoder: HeaderDecoder) -> None:
        self._decoder = decoder
        self._fed = b""

    def feed(self, data: bytes) -> tuple[Preamble, int] | None:
        """Return the result, or None while more bytes are needed."""
        self._fed += data
        found = self._decoder.feed(data)
        if found is None:
            return None
        preamble, rest = found
        assert self._fed.endswith(rest), "the bytes after the header are not those that came"
        return preamble, len(self._fed) - len(rest)
