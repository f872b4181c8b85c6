"""How fast the path delivers: a sample of the rate for each acknowledgement. Decides nothing.

From draft-ietf-ccwg-bbr-04, section 4.1.2 ("Delivery Rate Sampling"). Sizes are bytes, times
seconds.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Departure:
    """What was known when a packet left (4.1.2.2, P.*)."""

    sent_at: float
    size: int
    delivered: int
    """Bytes delivered before."""
    delivered_at: float
    """When the last of them were."""
    first_sent_at: float
    """When the first of the packets left from which the sample begins."""
    lost: int
    """Bytes lost before."""
    in_flight: int
    """Bytes, this packet among them."""
    app_limited: bool
    """There was less to send than could have been sent."""


@dataclass(slots=True)
class Sample:
    """What an acknowledgement says of the path (4.1.2.2, RS.*)."""

    newest: Departure
    """The packet that left last, of those acknowledged."""
    delivered: int
    """Bytes delivered since it left."""
    lost: int
    """Bytes lost since it left."""
    rate: float
    """Bytes a second; 0 if the time was too short to say."""
    acked: int
    """Bytes newly acknowledged."""
    newly_lost: int
    """Bytes newly lost."""


class DeliveryRate:
    """The account of what was delivered and lost (4.1.2.2, C.*)."""

    def __init__(self) -> None:
        self.delivered = 0
        self.lost = 0
        self._delivered_at = 0.0
        self._first_sent_at = 0.0
        self._limited_until = 0  # bytes delivered, from which on samples are full ones again
        self._newest: Departure | None = None
        self._newly_acked = 0
        self._newly_lost = 0

    @property
    def is_app_limited(self) -> bool:
        """What leaves now says less of the path than of those who send."""
        return self._limited_until > 0

    @property
    def resolved(self) -> int:
        """Bytes that were delivered or lost."""
        return self.delivered + self.lost

    def limit(self, in_flight: int) -> None:
        """There is less to send than could be sent (4.1.2.4): samples of what flies say little."""
        self._limited_until = max(1, self.delivered + in_flight)

    def departs(self, size: int, *, in_flight: int, now: float) -> Departure:
        """Take note of a packet that leaves, beside `in_flight` bytes before it (4.1.2.2)."""
        if not in_flight:
            self._first_sent_at = self._delivered_at = now
        return Departure(
            sent_at=now,
            size=size,
            delivered=self.delivered,
            delivered_at=self._delivered_at,
            first_sent_at=self._first_sent_at,
            lost=self.lost,
            in_flight=in_flight + size,
            app_limited=self._limited_until > 0,
        )

    def arrives(self, departure: Departure, now: float) -> None:
        """Take word that a packet has arrived; `sample` follows when all of an ACK are known."""
        self.delivered += departure.size
        self._newly_acked += departure.size
        self._delivered_at = now
        newest = self._newest
        if newest is None or departure.sent_at >= newest.sent_at:
            self._newest = departure

    def vanishes(self, departure: Departure) -> None:
        """Take word that a packet was lost."""
        self.lost += departure.size
        self._newly_lost += departure.size

    def reappears(self, size: int) -> None:
        """Take word that a packet arrived which had been taken for lost."""
        self.lost -= size
        self.delivered += size
        self._newly_acked += size

    def sample(self, min_rtt: float) -> Sample | None:
        """Return what has arrived since the last one says, if anything has (4.1.2.3)."""
        newest, self._newest = self._newest, None
        if newest is None:
            return None
        if self._limited_until and self.delivered > self._limited_until:
            self._limited_until = 0
        acked, self._newly_acked = self._newly_acked, 0
        newly_lost, self._newly_lost = self._newly_lost, 0
        self._first_sent_at = newest.sent_at
        delivered = self.delivered - newest.delivered
        interval = max(
            newest.sent_at - newest.first_sent_at, self._delivered_at - newest.delivered_at
        )
        # Shorter than any round trip, it tells of how ACKs came together, and not of the path.
        is_good = interval >= min_rtt and interval > 0
        return Sample(
            newest=newest,
            delivered=delivered,
            lost=self.lost - newest.lost,
            rate=delivered / interval if is_good else 0.0,
            acked=acked,
            newly_lost=newly_lost,
        )
