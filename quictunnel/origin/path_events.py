"""Reports what happens to the paths of an origin's links: as events, and to the record."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quictunnel.errors import LinkFailed
from quictunnel.events import UdpProbeChanged, UdpProbeKind, WebSocketNotOpened
from quictunnel.origin.diagnosis import explain_websocket
from quictunnel.quic.path.path_reports import PathReports

if TYPE_CHECKING:
    from quictunnel.config.addresses import HostPort
    from quictunnel.config.urls import WebSocketUrl
    from quictunnel.events import EventSink, PathKind
    from quictunnel.origin.path_memory import PathMemory


def path_reports(
    remote: HostPort, websocket: WebSocketUrl, memory: PathMemory | None, emit: EventSink
) -> PathReports:
    """Return the functions that take the reports of links.

    A change of a link's kind of path is no event here: `LinkReporter` reports it, at both ends.

    :param websocket: the URL of the remote's WebSocket, for events.
    :param memory: records which path carries a link; None for no record.
    """

    def moved(kind: PathKind, _reason: str) -> None:
        if memory is not None:
            memory.record(kind)

    def not_opened(reason: str) -> None:
        emit(WebSocketNotOpened(explain_websocket(websocket, LinkFailed(reason))))

    def probed(result: UdpProbeKind, phrase: str) -> None:
        emit(UdpProbeChanged(str(remote), result, phrase))

    return PathReports(moved=moved, not_opened=not_opened, probed=probed)
