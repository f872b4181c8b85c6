"""Reports of links' paths become events and records."""

from __future__ import annotations

from quictunnel.config.addresses import HostPort
from quictunnel.config.urls import parse_websocket_url
from quictunnel.events import PathKind, UdpProbeChanged, UdpProbeKind, WebSocketNotOpened
from quictunnel.origin.path_events import path_reports
from quictunnel.origin.path_memory import PathMemory

REMOTE = HostPort("vps.example", 9001)
URL = parse_websocket_url("wss://vps.example/quictunnel")


def test_probes_and_failed_websockets_are_events():
    events = []
    reports = path_reports(REMOTE, URL, None, events.append)
    reports.probed(UdpProbeKind.UNANSWERED, "192.0.2.1:9001 does not answer")
    reports.not_opened("the proxy refuses")
    reports.moved(PathKind.UDP, "UDP answers")
    assert events == [
        UdpProbeChanged(
            "vps.example:9001", UdpProbeKind.UNANSWERED, "192.0.2.1:9001 does not answer"
        ),
        WebSocketNotOpened("over the WebSocket wss://vps.example/quictunnel: the proxy refuses"),
    ]


def test_a_move_to_another_kind_of_path_is_recorded():
    memory = PathMemory(str(REMOTE), None, lambda _: None, identify=lambda: "hotel")
    reports = path_reports(REMOTE, URL, memory, lambda _: None)
    reports.moved(PathKind.WEBSOCKET, "UDP does not answer")
    assert memory.has_udp_failed()
    reports.moved(PathKind.UDP, "UDP answers")
    assert not memory.has_udp_failed()
