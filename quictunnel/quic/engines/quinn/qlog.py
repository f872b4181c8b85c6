"""Passes the recordings of the native endpoint on: each connection's events to its trace."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import quictunnel_quinn

    from quictunnel.quic.engine import Qlog, QlogTrace


class QlogCollector:
    """Takes the events of an endpoint's connections whenever `collect` is called."""

    def __init__(self, native: quictunnel_quinn.Endpoint, qlog: Qlog) -> None:
        self._native = native
        self._qlog = qlog
        self._traces: dict[int, QlogTrace | None] = {}

    def collect(self) -> None:
        """Write the events since the last call."""
        for number, is_client, connection_id, events, is_final in self._native.take_qlog():
            if number not in self._traces:
                self._traces[number] = self._qlog.start_trace(
                    is_client=is_client, connection_id=connection_id
                )
            trace = self._traces[number]
            if trace is not None and events:
                trace.write(events)
            if is_final:
                del self._traces[number]
                if trace is not None:
                    trace.close()
