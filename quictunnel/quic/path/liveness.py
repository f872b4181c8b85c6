"""Whether a link is silent: pings with a deadline, on top of whatever else is heard. No I/O.

QUIC's own idle timeout is the hold, minutes long, so that streams outlive an outage. What *silent*
means meanwhile is decided here.
"""

from __future__ import annotations

import enum

PING_AFTER = 5.0
"""Seconds without a word from the peer after which it is asked for one. It also keeps the mappings
of NATs alive, which forget UDP after 30 s at worst (RFC 4787, 4.3)."""

PING_WHEN_BUSY_AFTER = 1.0
"""The same for the end that dialled, while there are clients: a NAT that has forgotten us, or has
another port for us now, lets nothing of the peer's in until we have sent something."""

ANSWER_WITHIN = 2.0
"""Seconds an answer may take, and never less than three probe timeouts."""

ASK_AGAIN = 0.5
"""Seconds between the questions to a silent peer: within a second of the network's return one has
gone there and its answer come back."""

ACCEPTOR_PATIENCE = 1.0
"""Seconds that the accepting end waits longer, so that mostly one end asks and not both."""


class Step(enum.Enum):
    """What the link is to do now."""

    NOTHING = enum.auto()
    PING = enum.auto()
    SILENT = enum.auto()
    BACK = enum.auto()


class Liveness:
    """One link's silence, watched.

    :param now: seconds, any clock that does not go back.
    :param ping_after: seconds of quiet after which to ping.
    """

    def __init__(self, now: float, *, ping_after: float = PING_AFTER) -> None:
        self.ping_after = ping_after
        self.heard_at = now
        self.is_busy = False
        """There are clients, and it is for us to keep the path open for what they are sent."""
        self.silent_since: float | None = None
        """Since when the peer counts as silent: it was last heard then, or last heard us."""
        self._asked_at: float | None = None

    def agree(self, hold: float) -> None:
        """Ask often enough that a living peer is heard within the hold (seconds)."""
        self.ping_after = min(self.ping_after, hold / 3)

    @property
    def is_asking(self) -> bool:
        """Something was sent that is yet to be answered."""
        return self._asked_at is not None

    def sent(self, now: float) -> None:
        """Something was sent that must be answered."""
        if self._asked_at is None:
            self._asked_at = now

    def heard(self, now: float) -> None:
        """Something came from the peer at `now`; whether it hears us is another question."""
        self.heard_at = now

    def answered(self, now: float) -> Step:
        """The peer has acknowledged something of ours at `now`."""
        self.heard_at = now
        self._asked_at = None
        if self.silent_since is None:
            return Step.NOTHING
        self.silent_since = None
        return Step.BACK

    def deadline(self, pto: float) -> float:
        """Return when `check` is due, given the probe timeout in seconds."""
        if self._asked_at is None:
            after = PING_WHEN_BUSY_AFTER if self.is_busy else self.ping_after
            return self.heard_at + min(after, self.ping_after)
        if self.silent_since is not None:
            return self._asked_at + ASK_AGAIN
        return self._asked_at + max(ANSWER_WITHIN, 3 * pto)

    def check(self, now: float, pto: float) -> Step:
        """Return what is due at `now`."""
        if now < self.deadline(pto):
            return Step.NOTHING
        if self._asked_at is None or self.silent_since is not None:
            self._asked_at = now
            return Step.PING
        self.silent_since = min(self.heard_at, self._asked_at)
        return Step.SILENT
