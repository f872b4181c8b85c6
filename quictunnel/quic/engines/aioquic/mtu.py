"""Search for the path's MTU (RFC 8899, RFC 9000 14.3). No I/O.

Every path carries 1200 bytes. Most carry more, some (PPPoE, mobile, VPN) a little less than
Ethernet, so the search tries likely sizes from the largest down.
"""

from __future__ import annotations

SIZES = (1452, 1404, 1350, 1280)
"""UDP payloads: Ethernet with IPv6, then what tunnels and mobile networks commonly leave."""

TRIES = 3
"""Probes of one size before the next smaller one is tried (RFC 8899, 5.1.2: MAX_PROBES)."""

BLACK_HOLE_PTOS = 3
"""Probe timeouts in a row after which the size in use counts as too large (4.3)."""


class PathMtu:
    """The search on one path.

    :param base: the size that every path carries.
    """

    def __init__(self, base: int) -> None:
        self.base = base
        self.size = base
        """The largest size that the path is known to carry."""
        self.search = object()
        """Identifies this search: probes of an earlier one say nothing about the path."""
        self._untried = [size for size in SIZES if size > base]
        self._tries = 0
        self._in_flight = False

    def next_probe(self) -> int | None:
        """Return the size to probe now; None during a probe or when the search is over."""
        if self._in_flight or not self._untried:
            return None
        self._in_flight = True
        return self._untried[0]

    def on_probe(self, size: int, *, arrived: bool) -> bool:
        """Handle the fate of a probe; return whether `size` has changed."""
        self._in_flight = False
        if not self._untried or size != self._untried[0]:
            return False  # the search is over, or the probe was of another size
        if arrived:
            self.size = size
            self._untried.clear()
            return True
        self._tries += 1
        if self._tries >= TRIES:
            self._tries = 0
            self._untried.pop(0)
        return False

    def on_timeouts(self, count: int) -> bool:
        """Handle `count` probe timeouts in a row; return whether `size` fell back to the base."""
        if count < BLACK_HOLE_PTOS or self.size == self.base:
            return False
        self.restart()
        return True

    def restart(self) -> None:
        """Start over: the path is a different one, or has changed."""
        self.__init__(self.base)  # type: ignore[misc]  # all fields start over
