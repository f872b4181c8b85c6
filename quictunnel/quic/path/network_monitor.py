"""Reports events that may have changed a link's path: network changes and suspends.

Linux announces changes of links, addresses and routes over rtnetlink (rtnetlink(7)). Elsewhere, and
where rtnetlink is refused, the local address of an outgoing datagram is polled. A suspend of the
machine, or of this process (SIGSTOP), shows in a timer that fires late on a clock that continues
during suspend.
"""

from __future__ import annotations

import contextlib
import socket
import time
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

COALESCE_DELAY = 0.05
"""Seconds for which changes are combined into one report. An interface that comes up announces
itself, its addresses and its routes one by one."""

POLL_INTERVAL = 1.0
"""Seconds between checks of the clock, and of the local address if it is polled."""

MIN_SUSPEND = 2.0
"""Seconds by which a check must be late to count as a suspend. A busy event loop is late by less,
and a shorter suspend does not harm a path."""

GROUPS = 0x1 | 0x10 | 0x40 | 0x100 | 0x400
"""RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV4_ROUTE, RTMGRP_IPV6_IFADDR and RTMGRP_IPV6_ROUTE
(linux/rtnetlink.h)."""

READS_MAX = 64
"""Messages read per wake-up. A machine with many containers sends many."""

ANYWHERE = ("198.51.100.1", "2001:db8::1")
"""Documentation addresses (RFC 5737, RFC 3849), used to look up routes. Nothing is sent to them."""

_NETLINK_ROUTE = 0  # linux/netlink.h
_BOOT_TIME: int | None = getattr(time, "CLOCK_BOOTTIME", None)  # Linux, and some others


class Source(Protocol):
    """A file that becomes readable when the network changes. Implemented by `Rtnetlink`."""

    def fileno(self) -> int:
        """Return the file descriptor."""

    def drain(self) -> bool:
        """Read all pending messages; return whether there were any."""

    def close(self) -> None:
        """Close the file."""


class Rtnetlink:
    """The kernel's announcements of changed links, addresses and routes.

    The messages are not parsed: the callback re-checks its own route.

    :raises OSError: rtnetlink does not exist here, or access is refused.
    """

    def __init__(self) -> None:
        family = getattr(socket, "AF_NETLINK", None)
        if family is None:
            raise OSError("rtnetlink exists only on Linux")
        self._sock = socket.socket(family, socket.SOCK_RAW, _NETLINK_ROUTE)
        self._sock.setblocking(False)
        try:
            self._sock.bind((0, GROUPS))
        except OSError:
            self._sock.close()
            raise

    def fileno(self) -> int:
        """See `Source`."""
        return self._sock.fileno()

    def drain(self) -> bool:
        """See `Source`. An overflow of the kernel's buffer (ENOBUFS) counts as a change."""
        for count in range(READS_MAX):
            try:
                self._sock.recv(1)  # discards the rest of the message
            except (BlockingIOError, InterruptedError):
                return count > 0
            except OSError:
                return True
        return True

    def close(self) -> None:
        """See `Source`."""
        self._sock.close()


def local_addresses(towards: tuple[str, ...] = ANYWHERE) -> tuple[str | None, ...]:
    """Return the local address of a datagram to each destination; None if there is no route.

    Nothing is sent.
    """
    return tuple(map(_local_address, towards))


def _local_address(towards: str) -> str | None:
    family = socket.AF_INET6 if ":" in towards else socket.AF_INET
    with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.connect((towards, 9))
        host: str = sock.getsockname()[0]
        return host
    return None


def suspend_aware_clock() -> float:
    """Return seconds of a clock that continues while the machine is suspended.

    If only the wall clock does, setting it forward looks like a suspend, which does little harm.
    """
    return time.time() if _BOOT_TIME is None else time.clock_gettime(_BOOT_TIME)


class NetworkMonitor:
    """Calls `changed` with a reason when a path may have changed.

    :param source: announces changes; None to poll `look` instead.
    :param look: returns a value that differs after a change.
    :param clock: seconds that continue during suspend.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        changed: Callable[[str], None],
        *,
        source: Source | None,
        look: Callable[[], object],
        clock: Callable[[], float] = suspend_aware_clock,
    ) -> None:
        self._loop = loop
        self._changed = changed
        self._source = source
        self._look = look
        self._clock = clock
        self._coalescing: asyncio.TimerHandle | None = None
        self._looked_at = clock()
        self._seen = None if source is not None else look()
        if source is not None:
            loop.add_reader(source.fileno(), self._on_readable)
        self._timer = loop.call_later(POLL_INTERVAL, self._tick)

    @classmethod
    def of_this_machine(
        cls, loop: asyncio.AbstractEventLoop, changed: Callable[[str], None]
    ) -> NetworkMonitor:
        """Return a monitor of this machine: rtnetlink if possible, polling otherwise."""
        source: Source | None = None
        with contextlib.suppress(OSError):
            source = Rtnetlink()
        return cls(loop, changed, source=source, look=local_addresses)

    def close(self) -> None:
        """Stop. `changed` is not called again."""
        self._timer.cancel()
        if self._coalescing is not None:
            self._coalescing.cancel()
            self._coalescing = None
        if self._source is not None:
            self._loop.remove_reader(self._source.fileno())
            self._source.close()
            self._source = None

    def _on_readable(self) -> None:
        if self._source is not None and self._source.drain() and self._coalescing is None:
            self._coalescing = self._loop.call_later(COALESCE_DELAY, self._report)

    def _report(self) -> None:
        self._coalescing = None
        self._changed("the network has changed")

    def _tick(self) -> None:
        self._timer = self._loop.call_later(POLL_INTERVAL, self._tick)
        now = self._clock()
        late = now - self._looked_at - POLL_INTERVAL
        self._looked_at = now
        if self._source is None:
            seen = self._look()
            if seen != self._seen:
                self._seen = seen
                self._changed("the local address has changed")
                return
        if late > MIN_SUSPEND:
            self._changed(f"resumed after a suspend of {late:.0f} s")
