"""Decides whether a link is silent, from pings with a deadline. Pure: no I/O.

QUIC's idle timeout is the hold, which is minutes long so that streams outlive an outage. A link is
silent much sooner.
"""

from __future__ import annotations

import enum

PING_AFTER = 5.0
"""Seconds without a packet from the peer before a ping. Pings also keep NAT mappings alive, which
expire after 30 s at worst (RFC 4787, section 4.3)."""

PING_WHEN_BUSY_AFTER = 1.0
"""The same at the dialing end while it has clients. A NAT that has dropped or changed our mapping
blocks the peer's packets until we send one."""

ANSWER_WITHIN = 2.0
"""Seconds to wait for an answer before the link is silent; at least three probe timeouts."""

SILENT_PING_INTERVAL = 0.5
"""Seconds between pings to a silent peer, so that an answer arrives within a second of the
network's return."""

ACCEPTOR_PATIENCE = 1.0
"""Seconds that the accepting end waits longer, so that usually only one end pings."""


class Step(enum.Enum):
    """The next action of a link."""

    NOTHING = enum.auto()
    PING = enum.auto()
    SILENT = enum.auto()
    BACK = enum.auto()


class Liveness:
    """Tracks when the peer of one link was heard.

    :param now: seconds of a monotonic clock.
    :param ping_after: seconds without a packet before a ping.
    """

    def __init__(self, now: float, *, ping_after: float = PING_AFTER) -> None:
        self.ping_after = ping_after
        self.heard_at = now
        self.is_busy = False
        """Whether this end must keep the path open for its clients."""
        self.silent_since: float | None = None
        """When a silent peer was last heard, or sent an unanswered packet; None if not silent."""
        self._waiting_since: float | None = None

    def agree(self, hold: float) -> None:
        """Ping often enough for a link that is held for `hold` seconds."""
        self.ping_after = min(self.ping_after, hold / 3)

    @property
    def is_waiting(self) -> bool:
        """Whether an answer is due."""
        return self._waiting_since is not None

    def sent(self, now: float) -> None:
        """Record that a packet was sent that the peer must acknowledge."""
        if self._waiting_since is None:
            self._waiting_since = now

    def heard(self, now: float) -> None:
        """Record that a packet from the peer arrived. It does not prove that the peer hears us."""
        self.heard_at = now

    def answered(self, now: float) -> Step:
        """Record that the peer has acknowledged a packet, and return the next action."""
        self.heard_at = now
        self._waiting_since = None
        if self.silent_since is None:
            return Step.NOTHING
        self.silent_since = None
        return Step.BACK

    def deadline(self, pto: float) -> float:
        """Return when `check` is due, given the probe timeout in seconds."""
        if self._waiting_since is None:
            after = PING_WHEN_BUSY_AFTER if self.is_busy else self.ping_after
            return self.heard_at + min(after, self.ping_after)
        if self.silent_since is not None:
            return self._waiting_since + SILENT_PING_INTERVAL
        return self._waiting_since + max(ANSWER_WITHIN, 3 * pto)

    def check(self, now: float, pto: float) -> Step:
        """Return the action that is due at `now`."""
        if now < self.deadline(pto):
            return Step.NOTHING
        if self._waiting_since is None or self.silent_since is not None:
            self._waiting_since = now
            return Step.PING
        self.silent_since = min(self.heard_at, self._waiting_since)
        return Step.SILENT
