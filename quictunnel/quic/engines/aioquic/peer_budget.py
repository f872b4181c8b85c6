"""The budgets of a peer that has not proven itself. No I/O."""

from __future__ import annotations

from quictunnel.quic.limits import (
    UNPROVEN_DATAGRAMS,
    UNPROVEN_DATAGRAMS_FREE,
    UNPROVEN_FRAMES,
)


class PeerBudget:
    """One connection's budgets of datagrams and frames, until the peer is proven.

    :param counts_datagrams: whether datagrams are limited too. Only an accepting end limits them:
        a dialing end has chosen its peer, which may send clients' data with its proof.
    """

    def __init__(self, *, counts_datagrams: bool) -> None:
        self.is_proven = False
        """Whether the peer has proven itself. Nothing is limited then."""
        self.frames = UNPROVEN_FRAMES
        """Frames that an unproven peer may still send."""
        self._counts_datagrams = counts_datagrams
        self._datagram_count = 0

    @property
    def has_free_datagram(self) -> bool:
        """Whether the next datagram does not count for the rate of all unproven peers."""
        return (
            self.is_proven
            or not self._counts_datagrams
            or self._datagram_count < UNPROVEN_DATAGRAMS_FREE
        )

    def take_datagram(self) -> bool:
        """Count a datagram; return whether it may be processed."""
        if self.is_proven or not self._counts_datagrams:
            return True
        self._datagram_count += 1
        return self._datagram_count <= UNPROVEN_DATAGRAMS
