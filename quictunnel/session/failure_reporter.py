"""Reports failures that peers can cause at a bounded rate, so that no peer fills the log."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeAlias

from quictunnel.events import (
    AcceptPaused,
    AdminLoginFailed,
    ClientLimitReached,
    ClientRejected,
    ConnectFailed,
    Event,
    EventSink,
    HelloTimedOut,
    LinkAttemptFailed,
    OriginRejected,
    PeerDropped,
    PreambleRejected,
    ProofFailed,
    ProtocolViolated,
    UnknownServiceRequested,
)
from quictunnel.protocol.address import Address
from quictunnel.protocol.source import format_source, source_of

MAX_REPORTS = 5
"""Failures of one group that are reported one by one in any `INTERVAL`."""

MAX_SUMS = 5
"""Sums of one group that are reported in any `INTERVAL`: one for each type and `kind` of failure,
or else one for each type. There are thus at most ten lines a minute."""

INTERVAL = 60.0
"""Seconds after which a source is reported again, and after which failures that were not reported
are reported together."""

Source: TypeAlias = Callable[[Any], str]
"""Returns the source of a failure: of several from one source, one is reported."""


def _peer(event: Any) -> str:  # noqa: ANN401 - each event with a field `peer`
    """Return a peer's IPv4 address, or the /64 of its IPv6 address."""
    peer: str = event.peer
    host = peer.rpartition(":")[0].strip("[]")
    try:
        return format_source(source_of(Address.of((host, 0))))
    except (OSError, ValueError):
        return peer  # a client without an address


def _any(_event: Event) -> str:
    """Return the same source for all failures of a kind."""
    return ""


GROUPS: tuple[Mapping[type[Event], Source], ...] = (
    # Clients, before they are forwarded
    {ClientRejected: _peer, ClientLimitReached: _any, AcceptPaused: _any},
    # Failed proofs, which fail2ban reads
    {ProofFailed: _peer},
    # Links to a remote
    {
        PeerDropped: lambda event: event.source,
        OriginRejected: _peer,
        HelloTimedOut: _peer,
        ProtocolViolated: _peer,
    },
    # Clients at an origin
    {
        ConnectFailed: lambda event: event.target,
        UnknownServiceRequested: _any,
        PreambleRejected: _peer,
    },
    # Links of an origin
    {LinkAttemptFailed: lambda event: event.reason},
    # Logins to the admin interface
    {AdminLoginFailed: _peer},
)
"""The failures that are limited, each with its source. They have a field `suppressed`. Failures of
one group share a limit, so that a flood of one group does not hide failures of another one."""


_Sort: TypeAlias = tuple[type[Event], str]
"""The type of a failure, and the word in its field `kind`."""


class FailureReporter:
    """An `EventSink` that passes events on, but of the failures in `GROUPS` only a few.

    In any minute it passes on one failure of each kind and source, and at most `MAX_REPORTS` of a
    group. A minute after it has withheld some, it passes on the last one of each type and field
    `kind`, with the number of the others in `suppressed`.
    """

    def __init__(self, emit: EventSink) -> None:
        self._emit = emit
        self._limits = [_Limit(emit, group) for group in GROUPS]
        self._limit_of = {
            kind: limit for limit, group in zip(self._limits, GROUPS, strict=True) for kind in group
        }

    def __call__(self, event: Event) -> None:
        """Pass an event on, or count it."""
        limit = self._limit_of.get(type(event))
        if limit is None:
            self._emit(event)
        else:
            limit.report(event)

    def close(self) -> None:
        """Pass on the failures that were withheld so far."""
        for limit in self._limits:
            limit.close()


class _Limit:
    """Limits the failures of one group."""

    def __init__(self, emit: EventSink, sources: Mapping[type[Event], Source]) -> None:
        self._emit = emit
        self._sources = sources
        self._reported: deque[tuple[float, type[Event], str]] = deque()  # at most MAX_REPORTS
        self._withheld: dict[_Sort, tuple[int, Event]] = {}  # the number, and the last one
        self._timer: asyncio.TimerHandle | None = None

    def report(self, event: Event) -> None:
        """Emit a failure, or count it."""
        loop = asyncio.get_running_loop()
        now, kind = loop.time(), type(event)
        while self._reported and self._reported[0][0] <= now - INTERVAL:
            self._reported.popleft()
        if len(self._reported) < MAX_REPORTS:
            source = self._sources[kind](event)
            if all((kind, source) != each[1:] for each in self._reported):
                self._reported.append((now, kind, source))
                self._emit(event)
                return
        sort = kind, getattr(event, "kind", "")
        count, _ = self._withheld.get(sort, (0, event))
        self._withheld[sort] = count + 1, event
        if self._timer is None:
            self._timer = loop.call_later(INTERVAL, self._report_withheld)

    def close(self) -> None:
        """Emit the sums now."""
        if self._timer is not None:
            self._timer.cancel()
            self._report_withheld()

    def _report_withheld(self) -> None:
        self._timer = None
        withheld, self._withheld = self._withheld, {}
        sums = list(withheld.values())
        if len(sums) > MAX_SUMS:
            sums = _sums_by_type(sums)
        for count, event in sums:
            # The last one stands for all, and its own line is one of them.
            self._emit(replace(event, suppressed=count - 1))  # type: ignore[call-arg]


def _sums_by_type(sums: list[tuple[int, Event]]) -> list[tuple[int, Event]]:
    """Return the sums of all failures of each type. The last failure stands for its type."""
    joined: dict[type[Event], tuple[int, Event]] = {}
    for count, event in sums:
        before, _ = joined.get(type(event), (0, event))
        joined[type(event)] = before + count, event
    return list(joined.values())
