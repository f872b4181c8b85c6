"""Computes how fast each client sends and receives, from one request for the list to the next."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import TypeAlias

from quictunnel.snapshots import ClientSnapshot

MIN_INTERVAL = 0.9
"""Seconds between two samples, at least. Requests in between get the rates of the last one."""

MAX_INTERVAL = 15.0
"""Seconds after which a sample is too old to compare with. The average since the start counts."""

SLICE = 500
"""Clients that are handled before other tasks get their turn."""

Rates: TypeAlias = tuple[float, float]
"""Bytes per second up and down."""


class ClientRates:
    """The rates of all clients. It samples only when it is asked.

    The rate of a client without an earlier sample is its average since it was accepted.

    :param now: a monotonic clock, in seconds.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._taken = -MAX_INTERVAL
        self._bytes: dict[str, tuple[int, int]] = {}
        self._rates: dict[str, Rates] = {}
        self._sampling = asyncio.Lock()

    async def of(self, clients: Sequence[ClientSnapshot]) -> dict[str, Rates]:
        """Return the rates of clients, by their ids.

        :param clients: all clients of the role.
        """
        async with self._sampling:
            passed = self._now() - self._taken
            if passed < MIN_INTERVAL:
                return {client.id: self._known(client) for client in clients}
            taken = self._now()
            before = self._bytes if passed <= MAX_INTERVAL else {}
            sizes: dict[str, tuple[int, int]] = {}
            rates: dict[str, Rates] = {}
            for count, client in enumerate(clients, 1):
                sizes[client.id] = client.bytes_up, client.bytes_down
                then = before.get(client.id)
                rates[client.id] = (
                    _average(client) if then is None else _rates(client, then, passed)
                )
                if count % SLICE == 0:
                    await asyncio.sleep(0)
            self._taken, self._bytes, self._rates = taken, sizes, rates
            return rates

    def _known(self, client: ClientSnapshot) -> Rates:
        return self._rates.get(client.id) or _average(client)


def _rates(client: ClientSnapshot, before: tuple[int, int], passed: float) -> Rates:
    up, down = before
    return round((client.bytes_up - up) / passed), round((client.bytes_down - down) / passed)


def _average(client: ClientSnapshot) -> Rates:
    age = max(client.age, 1.0)
    return round(client.bytes_up / age), round(client.bytes_down / age)
