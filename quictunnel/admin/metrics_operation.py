"""Answers Prometheus at `/metrics`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from starlette.requests import Request
from starlette.responses import Response

from quictunnel.admin.metrics_reading import MetricsReader
from quictunnel.admin.operations import Operation
from quictunnel.observe.loop_delay import LoopDelay
from quictunnel.observe.tallies import Tallies
from quictunnel.snapshots import ObservedRole

METRICS_PATH = "/metrics"
"""The path that Prometheus requests by default."""

Renderer: TypeAlias = tuple[Callable[[MetricsReader], Awaitable[bytes]], str]
"""Renders metrics, and the media type of the result."""


def metrics_operation(role: ObservedRole, tallies: Tallies, loop_delay: LoopDelay) -> Operation:
    """Return the operation `METRICS_PATH`.

    :param role: its state is shown.
    :param tallies: receives the events of the role and its program.
    :param loop_delay: measures while requests come. The caller closes it.
    """
    return Operation(
        "GET",
        METRICS_PATH,
        "Return the metrics, in the text format of Prometheus.",
        MetricsEndpoint(role, tallies, loop_delay).answer,
        media_type="text/plain",
    )


class MetricsEndpoint:
    """Answers scrapes, one after the other. See `metrics_operation`."""

    def __init__(self, role: ObservedRole, tallies: Tallies, loop_delay: LoopDelay) -> None:
        self._reader = MetricsReader(role, tallies, loop_delay)
        self._loop_delay = loop_delay
        self._turn = asyncio.Lock()  # a reading starts from what the one before has shown
        self._renderer: Renderer | None = None

    async def answer(self, _request: Request) -> Response:
        """Return the metrics."""
        self._loop_delay.watch()
        async with self._turn:
            if self._renderer is None:
                self._renderer = await asyncio.to_thread(_load_renderer)
            render, media_type = self._renderer
            return Response(await render(self._reader), media_type=media_type)


def _load_renderer() -> Renderer:
    """Import the renderer. It takes a tenth of a second, and some megabytes for its library."""
    from quictunnel.admin.metrics import CONTENT_TYPE, render  # noqa: PLC0415

    return render, CONTENT_TYPE
