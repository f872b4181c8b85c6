"""Samples the links of a role, for the timelines of the last ten minutes."""

from __future__ import annotations

import asyncio
import math
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from quictunnel.admin.link_changes import LinkChange, LinkChanges
from quictunnel.events import EventSink, InternalErrorOccurred
from quictunnel.snapshots import LinkSnapshot, ObservedRole, RoleName

PERIOD = 600.0
"""Seconds that a sample is kept."""

MAX_LINKS = 64
"""Links that are sampled. Others have no history until one of these ends."""

WATCHED_INTERVAL = 1.0
"""Seconds between two samples while programs or pages ask for them."""

IDLE_INTERVAL = 5.0
"""Seconds between two samples otherwise."""

WATCHED_FOR = 60.0
"""Seconds after a request in which samples are taken at the shorter interval."""

_FIELDS = 6
_MAX_SAMPLES = int(PERIOD / WATCHED_INTERVAL)
_DROPPED = 60
"""Samples that are dropped at once when there are too many."""


@dataclass(frozen=True, slots=True)
class LinkSample:
    """A link at one moment, and since the moment before."""

    time: float
    """Seconds since 1970."""
    rtt: float | None
    """Smoothed round-trip time in seconds; None before the first one."""
    loss: float
    """Lost packets per packet sent, since the last sample: 0 to 1."""
    silent: bool
    """Whether the peer does not answer."""
    rate_up: float
    """Bytes per second on the link towards the origin, since the last sample."""
    rate_down: float
    """Bytes per second on the link towards the remote, since the last sample."""


class LinkHistory:
    """Samples links until `close`, with 48 bytes for each sample.

    :param role: the role to sample.
    :param name: which role it is.
    :param changes: the silences and moves of its links.
    :param emit: receives an `InternalErrorOccurred` if a sample fails. There are no more then.
    :param now: returns the time in seconds since 1970.
    """

    def __init__(
        self,
        role: ObservedRole,
        name: RoleName,
        changes: LinkChanges,
        *,
        emit: EventSink,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._role = role
        self._is_remote = name == "remote"
        self._changes = changes
        self._emit = emit
        self._now = now
        self._timelines: dict[str, _Timeline] = {}
        self._task: asyncio.Task[None] | None = None
        self._watched_until = -math.inf  # on the clock of the event loop
        self._watched = asyncio.Event()

    def start(self) -> None:
        """Start to sample."""
        self._task = asyncio.create_task(self._run(), name="link history")

    async def close(self) -> None:
        """Stop. It may be called again."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def watch(self) -> None:
        """Sample at the shorter interval for the next `WATCHED_FOR` seconds."""
        self._watched_until = asyncio.get_running_loop().time() + WATCHED_FOR
        self._watched.set()

    def samples(self, link: str, since: float = 0.0, most: int | None = None) -> list[LinkSample]:
        """Return the samples of a link, the oldest first; none if it is not sampled.

        :param since: leaves out older samples, in seconds since 1970.
        :param most: how many of the last ones; None for all.
        """
        timeline = self._timelines.get(link)
        start = max(since, self._now() - PERIOD)
        return [] if timeline is None else list(timeline.since(start, most))

    def changes(self, link: str) -> list[LinkChange]:
        """Return the silences and moves of a link, the oldest first."""
        return self._changes.of_link(link)

    def rates(self) -> tuple[float, float]:
        """Return the bytes per second of all sampled links, up and down, in the last sample."""
        last = [timeline.last for timeline in self._timelines.values()]
        rates = [sample for sample in last if sample is not None]
        return sum(each.rate_up for each in rates), sum(each.rate_down for each in rates)

    def sample(self) -> None:
        """Take a sample of every link now."""
        now = self._now()
        links = self._role.list_links()
        present = {link.id for link in links}
        for gone in self._timelines.keys() - present:
            del self._timelines[gone]
        for link in self._chosen(links):
            timeline = self._timelines.get(link.id)
            if timeline is None:
                timeline = self._timelines[link.id] = _Timeline(is_remote=self._is_remote)
            timeline.add(link, now)

    def _chosen(self, links: Sequence[LinkSnapshot]) -> Iterator[LinkSnapshot]:
        """Yield the links that are sampled already, and others while there is room."""
        room = MAX_LINKS - len(self._timelines)
        for link in links:
            if link.id in self._timelines:
                yield link
            elif room > 0:
                room -= 1
                yield link

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                self.sample()
            except Exception as exc:  # a bug must not end the role
                self._emit(InternalErrorOccurred("sampling links", exc, None))
                return
            if loop.time() < self._watched_until:
                await asyncio.sleep(WATCHED_INTERVAL)
                continue
            self._watched.clear()
            try:
                async with asyncio.timeout(IDLE_INTERVAL):
                    await self._watched.wait()
            except TimeoutError:
                continue


class _Timeline:
    """The samples of one link, as numbers in a row.

    :param is_remote: whether the remote takes the samples. The bytes that it sends go up.
    """

    def __init__(self, *, is_remote: bool) -> None:
        self._is_remote = is_remote
        self._numbers = array("d")
        self._before: tuple[float, LinkSnapshot] | None = None

    def add(self, link: LinkSnapshot, now: float) -> None:
        """Add a sample of the link."""
        loss = sent = received = 0.0
        if self._before is not None:
            then, before = self._before
            passed = max(now - then, 0.001)  # the system's clock may be set back
            sent = max(0, link.bytes_sent - before.bytes_sent) / passed
            received = max(0, link.bytes_received - before.bytes_received) / passed
            packets = link.packets_sent - before.packets_sent
            lost = link.packets_lost - before.packets_lost
            loss = min(1.0, max(0.0, lost / packets)) if packets > 0 else 0.0
        self._before = now, link
        rtt = math.nan if link.rtt is None else link.rtt
        up, down = (sent, received) if self._is_remote else (received, sent)
        self._numbers.extend((now, rtt, loss, link.silent_for is not None, up, down))
        if len(self._numbers) > (_MAX_SAMPLES + _DROPPED) * _FIELDS:
            del self._numbers[: _DROPPED * _FIELDS]

    @property
    def last(self) -> LinkSample | None:
        """The last sample; None before the first one."""
        return self._sample(len(self._numbers) - _FIELDS) if self._numbers else None

    def since(self, start: float, most: int | None) -> Iterator[LinkSample]:
        """Yield the samples from a time on, the oldest first.

        :param most: how many of the last ones; None for all.
        """
        first = 0 if most is None else max(0, len(self._numbers) - most * _FIELDS)
        for position in range(first, len(self._numbers), _FIELDS):
            if self._numbers[position] >= start:
                yield self._sample(position)

    def _sample(self, position: int) -> LinkSample:
        at, rtt, loss, silent, up, down = self._numbers[position : position + _FIELDS]
        shown = None if math.isnan(rtt) else round(rtt, 6)
        return LinkSample(round(at, 3), shown, round(loss, 4), bool(silent), round(up), round(down))
