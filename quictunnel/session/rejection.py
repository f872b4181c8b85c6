"""Why a client is rejected: a word for programs and a sentence for people."""

from __future__ import annotations

from typing import NamedTuple

from quictunnel.events import ClientEnding


class Rejection(NamedTuple):
    """Why a client is rejected."""

    kind: ClientEnding
    """The reason in a word."""
    reason: str
    """The reason in a sentence. It may quote the client, so escape it before printing."""
