"""Renders metrics in the text format of Prometheus, with prometheus_client, in short steps.

Nothing is registered globally. A scrape makes what it shows, and forgets it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from quictunnel.admin.metric_table import MetricDefinition, Value, metrics_of
from quictunnel.admin.metrics_reading import MetricsReader, Reading
from quictunnel.escaping import escape
from quictunnel.observe.histogram import Histogram

SAMPLES_PER_TURN = 200
"""Samples that are rendered before other callbacks of the event loop run. It takes 1 or 2 ms."""

HEADER_COST = 8
"""Samples that take as long as the rest of a piece of a metric."""

CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4
"""The format that every version of Prometheus reads."""

_HEADER_LINES = 2
"""The lines `# HELP` and `# TYPE` before the samples of a metric."""


class MetricsCollector(Collector):
    """A collector for `prometheus_client` that shows one reading."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading

    def describe(self) -> Iterator[Metric]:
        """Yield all metrics, without samples."""
        for definition in metrics_of(self._reading.role.role):
            yield _metric(definition, ())

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics. The samples of each are made now."""
        for definition in metrics_of(self._reading.role.role):
            yield _metric(definition, _samples(definition, self._reading))

    def collect_pieces(self) -> Iterator[tuple[Metric, bool]]:
        """Yield all metrics, each in pieces that take a turn at most.

        :return: also yields whether the piece is the first one of its metric.
        """
        for definition in metrics_of(self._reading.role.role):
            samples = _samples(definition, self._reading)
            is_first = True
            while piece := list(islice(samples, SAMPLES_PER_TURN - HEADER_COST)):
                yield _metric(definition, piece), is_first
                is_first = False


async def render(reader: MetricsReader) -> bytes:
    """Return the metrics of a role in the format of `CONTENT_TYPE`. Other callbacks run meanwhile.

    Metrics without a value are left out.
    """
    collector = MetricsCollector(await reader.read())
    parts: list[bytes] = []
    work = 0
    for piece, is_first in collector.collect_pieces():
        work += len(piece.samples) + HEADER_COST
        if work > SAMPLES_PER_TURN:
            await asyncio.sleep(0)
            work = len(piece.samples) + HEADER_COST
        text = _render_piece(piece)
        parts.append(text if is_first else text.split(b"\n", _HEADER_LINES)[_HEADER_LINES])
    return b"".join(parts)


class _OnePiece(Collector):
    """A collector of one metric that exists already."""

    def __init__(self, metric: Metric) -> None:
        self._metric = metric

    def collect(self) -> Iterable[Metric]:
        """Return the metric."""
        return (self._metric,)


def _render_piece(metric: Metric) -> bytes:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_OnePiece(metric))
    return generate_latest(registry)


def _metric(definition: MetricDefinition, samples: Iterable[Sample]) -> Metric:
    # prometheus_client adds the suffix to the names of counters.
    metric = Metric(definition.name.removesuffix("_total"), definition.help, definition.type)
    metric.samples = list(samples)
    return metric


def _samples(definition: MetricDefinition, reading: Reading) -> Iterator[Sample]:
    # All at once: other callbacks may count something new while a part of these is rendered.
    for values, value in tuple(definition.read(reading)):
        # Names of peers may have control characters, and people read this on terminals, too.
        labels = dict(zip(definition.labels, map(escape, values), strict=True))
        yield from _samples_of(definition.name, labels, value)


def _samples_of(name: str, labels: dict[str, str], value: Value) -> Iterator[Sample]:
    if not isinstance(value, Histogram):
        yield Sample(name, labels, value)
        return
    for bound, count in value.cumulated():
        yield Sample(f"{name}_bucket", {**labels, "le": str(float(bound))}, count)
    yield Sample(f"{name}_bucket", {**labels, "le": "+Inf"}, value.count)
    yield Sample(f"{name}_count", labels, value.count)
    yield Sample(f"{name}_sum", labels, value.sum)
