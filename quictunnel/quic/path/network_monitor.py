"""Word of what may have changed a path: networks that come and go, and naps. It decides nothing.

Linux tells of its links, addresses and routes over rtnetlink (rtnetlink(7)). Elsewhere, and where
that is refused, it is asked now and then which local address a datagram would leave from. A nap,
of the machine (sleep) or of this process alone (SIGSTOP), shows in a timer that fires much too
late by a clock that sleep does not stop.
"""

from __future__ import annotations

import contextlib
import socket
import time
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

JOINED = 0.05
"""Seconds in which word of changes is joined: an interface that comes up tells of itself, of its
addresses and of its routes one by one."""

TICK = 1.0
"""Seconds between two looks at the clock, and at the local address where nobody tells of it."""

NAP = 2.0
"""Seconds by which a look at the clock must be late to be called a nap. The event loop of a busy
process is late by less; of shorter naps a path takes no harm."""

GROUPS = 0x1 | 0x10 | 0x40 | 0x100 | 0x400
"""RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV4_ROUTE, RTMGRP_IPV6_IFADDR and RTMGRP_IPV6_ROUTE
(linux/rtnetlink.h)."""

READS_MAX = 64
"""Reads in one wake-up: a machine with many containers must not keep the loop from its work."""

ANYWHERE = ("198.51.100.1", "2001:db8::1")
"""Addresses far away that are nobody's (RFC 5737, RFC 3849). None of them is sent anything."""

_NETLINK_ROUTE = 0  # linux/netlink.h
_BOOT_TIME: int | None = getattr(time, "CLOCK_BOOTTIME", None)  # Linux, and some others


class Source(Protocol):
    """Tells of changes through a descriptor. Implemented by `Rtnetlink`."""

    def fileno(self) -> int:
        """Return what becomes readable."""

    def drain(self) -> bool:
        """Take what there is; return whether there was any."""

    def close(self) -> None:
        """Tell no more."""


class Rtnetlink:
    """The kernel's word of its links, addresses and routes.

    What it says is not read: who is told looks for himself what has become of his own path.

    :raises OSError: there is no such thing here, or not for us.
    """

    def __init__(self) -> None:
        family = getattr(socket, "AF_NETLINK", None)
        if family is None:
            raise OSError("rtnetlink is Linux's alone")
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
        """See `Source`. More than the kernel could keep for us (ENOBUFS) is a change as well."""
        for count in range(READS_MAX):
            try:
                self._sock.recv(1)  # the rest of the message goes with it
            except (BlockingIOError, InterruptedError):
                return count > 0
            except OSError:
                return True
        return True

    def close(self) -> None:
        """See `Source`."""
        self._sock.close()


def local_addresses(towards: tuple[str, ...] = ANYWHERE) -> tuple[str | None, ...]:
    """Return the local address of a datagram to each of these; None where no route leads.

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


def clock_with_sleep() -> float:
    """Return seconds of a clock that goes on while the machine sleeps.

    Where only the wall clock does, setting it forward looks like a nap, which does little harm.
    """
    return time.time() if _BOOT_TIME is None else time.clock_gettime(_BOOT_TIME)


class NetworkMonitor:
    """Calls `changed`, with words for logs, when paths may not be what they were.

    :param source: who tells of changes; None where nobody does and `look` is asked instead.
    :param look: returns what is compared from one `TICK` to the next.
    :param clock: seconds that go on in sleep.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        changed: Callable[[str], None],
        *,
        source: Source | None,
        look: Callable[[], object],
        clock: Callable[[], float] = clock_with_sleep,
    ) -> None:
        self._loop = loop
        self._changed = changed
        self._source = source
        self._look = look
        self._clock = clock
        self._joining: asyncio.TimerHandle | None = None
        self._looked_at = clock()
        self._seen = None if source is not None else look()
        if source is not None:
            loop.add_reader(source.fileno(), self._told)
        self._timer = loop.call_later(TICK, self._tick)

    @classmethod
    def of_this_machine(
        cls, loop: asyncio.AbstractEventLoop, changed: Callable[[str], None]
    ) -> NetworkMonitor:
        """Return a watch over what the kernel tells, or lets find out."""
        source: Source | None = None
        with contextlib.suppress(OSError):
            source = Rtnetlink()
        return cls(loop, changed, source=source, look=local_addresses)

    def close(self) -> None:
        """Watch no more; `changed` is not called again."""
        self._timer.cancel()
        if self._joining is not None:
            self._joining.cancel()
            self._joining = None
        if self._source is not None:
            self._loop.remove_reader(self._source.fileno())
            self._source.close()
            self._source = None

    def _told(self) -> None:
        if self._source is not None and self._source.drain() and self._joining is None:
            self._joining = self._loop.call_later(JOINED, self._tell_joined)

    def _tell_joined(self) -> None:
        self._joining = None
        self._changed("the network has changed")

    def _tick(self) -> None:
        self._timer = self._loop.call_later(TICK, self._tick)
        now = self._clock()
        late = now - self._looked_at - TICK
        self._looked_at = now
        if self._source is None:
            seen = self._look()
            if seen != self._seen:
                self._seen = seen
                self._changed("the local address has changed")
                return
        if late > NAP:
            self._changed(f"back from a nap of {late:.0f} s")
