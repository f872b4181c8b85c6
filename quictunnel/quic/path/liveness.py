"""Decides whether a link is silent or dead, from pings with a deadline. Pure: no I/O.

QUIC's idle timeout is the hold, which is minutes long so that streams outlive an outage. A link is
silent much sooner. It is dead if the peer's machine says that the peer's port is closed, and three
pings confirm it.
"""

from __future__ import annotations

import enum

PING_AFTER = 5.0
"""Seconds without a packet from the peer before a ping. Pings also keep NAT mappings alive, which
expire after 30 s at worst (RFC 4787, section 4.3)."""

PING_WHEN_BUSY_AFTER = 1.0
"""The same at the dialing end while it has clients. A NAT that has dropped or changed our mapping
blocks the peer's packets until we send one. The accepting end then waits for `BUSY_PATIENCE` more,
so that it soon notices the death of a peer without traffic."""

ANSWER_WITHIN = 2.0
"""Seconds to wait for an answer before the link is silent; at least three probe timeouts."""

SILENT_PING_INTERVAL = 0.5
"""Seconds between pings to a silent peer, so that an answer arrives within a second of the
network's return."""

ACCEPTOR_PATIENCE = 1.0
"""Seconds that the accepting end waits longer, so that usually only one end pings."""

BUSY_PATIENCE = 2.0
"""The same while there are clients."""

CONFIRMATION_PINGS = 3
"""Pings that confirm that the peer's port is closed."""

CONFIRMATION_INTERVAL = 1.5
"""Seconds between these pings. A firewall that rejects packets for up to 3 s, as while its rules
are loaded, ends no link."""

CONFIRMATION_ANSWER = 3.0
"""Seconds to wait for an answer to the last of them; at least three probe timeouts.

All in all, a confirmation lasts longer than `PING_AFTER`. A router that has forgotten an idle link
may reject our pings until the origin behind it sends its next one."""

LATE_PACKETS = 1.0
"""Seconds after the report in which packets of the peer disprove nothing: it may have sent them
before it died. The report can overtake them in the network, and the kernel queues it apart."""

SUSPICION_INTERVAL = 5.0
"""Shortest time in seconds between the first pings of two confirmations. It bounds the effect of a
stranger who sees the link's datagrams and forges ICMP messages."""


class Step(enum.Enum):
    """The next action of a link."""

    NOTHING = enum.auto()
    PING = enum.auto()
    SILENT = enum.auto()
    BACK = enum.auto()
    DEAD = enum.auto()


class Liveness:
    """Tracks when the peer of one link was heard.

    :param now: seconds of a monotonic clock.
    :param ping_after: seconds without a packet before a ping.
    :param ping_when_busy_after: the same while `is_busy` is set.
    """

    def __init__(
        self,
        now: float,
        *,
        ping_after: float = PING_AFTER,
        ping_when_busy_after: float = PING_WHEN_BUSY_AFTER,
    ) -> None:
        self.ping_after = ping_after
        self.ping_when_busy_after = ping_when_busy_after
        self.heard_at = now
        self.is_busy = False
        """Whether the link has clients."""
        self.silent_since: float | None = None
        """When a silent peer was last heard, or sent an unanswered packet; None if not silent."""
        self._waiting_since: float | None = None
        self._confirmation: _Confirmation | None = None
        self._suspected_at: float | None = None

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

    def suspect(self, now: float) -> Step:
        """Record that the peer's machine reports a closed port, and return the next action.

        It counts only while the peer is not silent. When a laptop sleeps or is offline, its address
        may come to belong to another machine, which reports a closed port as well. A process that
        dies is reported before the silence begins.
        """
        if self.silent_since is not None or self._confirmation is not None:
            return Step.NOTHING
        if self._suspected_at is not None and now < self._suspected_at + SUSPICION_INTERVAL:
            return Step.NOTHING
        self._suspected_at = now
        self._confirmation = _Confirmation(now)
        return Step.PING

    def trust_again(self) -> None:
        """Forget a report that has not been confirmed: this end has another path now."""
        self._confirmation = None

    def deadline(self, pto: float) -> float:
        """Return when `check` is due, given the probe timeout in seconds."""
        deadline = self._silence_deadline(pto)
        if self._confirmation is not None:
            deadline = min(deadline, self._confirmation.deadline(pto))
        return deadline

    def _silence_deadline(self, pto: float) -> float:
        if self._waiting_since is None:
            after = self.ping_when_busy_after if self.is_busy else self.ping_after
            return self.heard_at + min(after, self.ping_after)
        if self.silent_since is not None:
            return self._waiting_since + SILENT_PING_INTERVAL
        return self._waiting_since + max(ANSWER_WITHIN, 3 * pto)

    def check(self, now: float, pto: float) -> Step:
        """Return the action that is due at `now`."""
        confirmation = self._confirmation
        if confirmation is not None:
            if self.heard_at > confirmation.since + LATE_PACKETS:
                self._confirmation = None
            elif now >= confirmation.deadline(pto):
                return confirmation.continue_at(now)
        if now < self._silence_deadline(pto):
            return Step.NOTHING
        if self._waiting_since is None or self.silent_since is not None:
            self._waiting_since = now
            return Step.PING
        self.silent_since = min(self.heard_at, self._waiting_since)
        return Step.SILENT


class _Confirmation:
    """The pings after a report that the peer's port is closed, the first of which is sent now."""

    def __init__(self, now: float) -> None:
        self.since = now
        self._pinged_at = now
        self._pings = 1

    def deadline(self, pto: float) -> float:
        """Return when `continue_at` is due."""
        is_last = self._pings == CONFIRMATION_PINGS
        wait = max(CONFIRMATION_ANSWER, 3 * pto) if is_last else CONFIRMATION_INTERVAL
        return self._pinged_at + wait

    def continue_at(self, now: float) -> Step:
        """Return the next action if the peer has not been heard."""
        if self._pings == CONFIRMATION_PINGS:
            return Step.DEAD
        self._pinged_at = now
        self._pings += 1
        return Step.PING
