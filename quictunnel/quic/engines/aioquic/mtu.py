"""How large a datagram the path carries (RFC 8899, RFC 9000 14.3). Decides; sends nothing.

QUIC may count on 1200 bytes. Most paths carry more, some (PPPoE, mobile, VPN) a little less than
Ethernet, so the likely sizes are tried from the largest down.
"""

from __future__ import annotations

SIZES = (1452, 1404, 1350, 1280)
"""UDP payloads: Ethernet with IPv6, then what tunnels and mobile networks commonly leave."""

TRIES = 3
"""How often a size is tried before the next smaller one (RFC 8899, 5.1.2: MAX_PROBES)."""

BLACK_HOLE_PTOS = 3
"""After so many probe timeouts in a row the larger size is suspected, and given up (4.3)."""


class PathMtu:
    """The search for one path.

    :param base: the size that is always good.
    """

    def __init__(self, base: int) -> None:
        self.base = base
        self.size = base
        """The largest size known to be carried."""
        self.search = object()
        """This search and no other: probes that left before it began say nothing of its path."""
        self._untried = [size for size in SIZES if size > base]
        self._tries = 0
        self._under_way = False

    def next_probe(self) -> int | None:
        """Return the size to try now; None while one is under way, or when all is known."""
        if self._under_way or not self._untried:
            return None
        self._under_way = True
        return self._untried[0]

    def on_probe(self, size: int, *, arrived: bool) -> bool:
        """Take word of a probe; return whether `size` has changed."""
        self._under_way = False
        if not self._untried or size != self._untried[0]:
            return False  # all is known, or it is of another size
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
        """Take note of `count` probe timeouts in a row; return whether `size` fell back."""
        if count < BLACK_HOLE_PTOS or self.size == self.base:
            return False
        self.restart()
        return True

    def restart(self) -> None:
        """Begin anew: the path is another, or no longer what it was."""
        self.__init__(self.base)  # type: ignore[misc]  # every field starts over
