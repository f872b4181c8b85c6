"""Why a peer without a proof is dropped: a word for programs and a sentence for people."""

from __future__ import annotations

from typing import NamedTuple

from quictunnel.events import DropKind


class DropReason(NamedTuple):
    """Why a peer is dropped."""

    kind: DropKind
    """The reason in a word."""
    sentence: str
    """The reason in words for people."""
