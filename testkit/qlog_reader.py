"""Reads qlog files and checks them against the drafts, as far as the program writes them.

The drafts are draft-ietf-quic-qlog-main-schema-04 and draft-ietf-quic-qlog-quic-events-04. qvis,
the most common reader, needs the same.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PACKET_TYPES = {"initial", "handshake", "0RTT", "1RTT", "retry", "version_negotiation"}

STATES = {
    "attempted",
    "peer_validated",
    "handshake_started",
    "early_write",
    "handshake_complete",
    "handshake_confirmed",
    "closing",
    "draining",
    "closed",
}

DROP_TRIGGERS = {
    "internal_error",
    "rejected",
    "unsupported",
    "invalid",
    "connection_unknown",
    "decryption_failure",
    "general",
}

METRICS = {
    "min_rtt",
    "smoothed_rtt",
    "latest_rtt",
    "rtt_variance",
    "pto_count",
    "congestion_window",
    "bytes_in_flight",
    "ssthresh",
    "packets_in_flight",
    "pacing_rate",
}

EVENTS: dict[str, set[str]] = {
    "connectivity:connection_closed": set(),
    "connectivity:connection_state_updated": {"new"},
    "connectivity:mtu_updated": {"new"},
    "connectivity:path_updated": {"dst_ip", "dst_port"},  # our own
    "security:key_updated": {"key_type"},
    "security:key_discarded": {"key_type"},
    "transport:version_information": set(),
    "transport:alpn_information": set(),
    "transport:parameters_set": set(),
    "transport:packet_sent": {"header"},
    "transport:packet_received": {"header"},
    "transport:packet_dropped": set(),
    "recovery:metrics_updated": set(),
    "recovery:packet_lost": {"header"},
}
"""The events that the program writes, and the members that their data must have."""

FRAMES: dict[str, set[str]] = {
    "padding": {"payload_length"},
    "ping": set(),
    "ack": {"acked_ranges"},
    "reset_stream": {"stream_id", "error_code", "final_size"},
    "stop_sending": {"stream_id", "error_code"},
    "crypto": {"offset", "length"},
    "new_token": {"token"},
    "stream": {"stream_id", "offset", "length"},
    "max_data": {"maximum"},
    "max_stream_data": {"stream_id", "maximum"},
    "max_streams": {"stream_type", "maximum"},
    "data_blocked": {"limit"},
    "stream_data_blocked": {"stream_id", "limit"},
    "streams_blocked": {"stream_type", "limit"},
    "new_connection_id": {"sequence_number", "retire_prior_to", "connection_id"},
    "retire_connection_id": {"sequence_number"},
    "path_challenge": set(),
    "path_response": set(),
    "connection_close": set(),
    "handshake_done": set(),
    "datagram": set(),
    "unknown": {"frame_type_value"},
}
"""The frames of the drafts, and the members that they must have."""


@dataclass(frozen=True)
class QlogFile:
    """A file that was checked."""

    header: dict[str, Any]
    events: list[dict[str, Any]]

    @property
    def vantage_point(self) -> str:
        """`client` or `server`."""
        kind: str = self.header["trace"]["vantage_point"]["type"]
        return kind

    @property
    def connection_id(self) -> str:
        """The destination connection ID of the client's first packet, in hexadecimal."""
        id_: str = self.header["trace"]["common_fields"]["ODCID"]
        return id_

    @property
    def counts(self) -> Counter[str]:
        """How many events of each name there are."""
        return Counter(event["name"] for event in self.events)

    @property
    def states(self) -> list[str]:
        """The states of the connection, in order."""
        name = "connectivity:connection_state_updated"
        return [event["data"]["new"] for event in self.events if event["name"] == name]

    def frames(self, event: str) -> list[dict[str, Any]]:
        """Return the frames of all packets that were sent or received."""
        packets = [each["data"] for each in self.events if each["name"] == f"transport:{event}"]
        return [frame for packet in packets for frame in packet["frames"]]


def read(path: Path) -> QlogFile:
    """Return the content of a file, checked.

    :raises AssertionError: it does not follow the drafts.
    """
    header, *events = _records(path.read_bytes())
    _check_header(header)
    check_events(events)
    return QlogFile(header, events)


def parse_events(content: bytes) -> list[dict[str, Any]]:
    """Return events without a header, checked.

    :raises AssertionError: they do not follow the drafts.
    """
    events = _records(content)
    check_events(events)
    return events


def check_events(events: list[dict[str, Any]]) -> None:
    """Check the events of one connection.

    :raises AssertionError: they do not follow the drafts.
    """
    times = [event["time"] for event in events]
    assert times == sorted(times), "events are in the order of their times"
    assert not times or times[0] >= 0
    for event in events:
        _check_event(event)


def _records(content: bytes) -> list[dict[str, Any]]:
    """Return the objects of a JSON text sequence (RFC 7464)."""
    assert content.startswith(b"\x1e"), "a text sequence begins with a record separator"
    records = content[1:].split(b"\x1e")
    assert all(each.endswith(b"\n") for each in records), "each record is complete"
    return [json.loads(each) for each in records]


def _check_header(header: dict[str, Any]) -> None:
    assert header["qlog_version"] == "0.3"
    assert header["qlog_format"] == "JSON-SEQ"
    trace = header["trace"]
    assert trace["vantage_point"]["type"] in ("client", "server")
    common = trace["common_fields"]
    assert common["protocol_type"] == ["QUIC"]
    assert common["time_format"] == "relative"
    assert common["reference_time"] > 1.7e12, "milliseconds since the epoch"
    assert bytes.fromhex(common["ODCID"])


def _check_event(event: dict[str, Any]) -> None:
    assert set(event) == {"time", "name", "data"}, event
    name, data = event["name"], event["data"]
    assert name in EVENTS, name
    assert EVENTS[name] <= set(data), event
    if "header" in data:
        assert data["header"]["packet_type"] in PACKET_TYPES, event
        if data["header"]["packet_type"] in ("initial", "handshake", "1RTT"):
            assert data["header"]["packet_number"] >= 0
    for frame in data.get("frames", ()):
        assert FRAMES[frame["frame_type"]] <= set(frame), frame
        for pair in frame.get("acked_ranges", ()):
            assert pair[0] <= pair[1], frame
    if name in ("transport:packet_sent", "transport:packet_received"):
        assert data["raw"]["length"] > 0
    elif name == "connectivity:connection_state_updated":
        assert data["new"] in STATES
    elif name == "transport:packet_dropped":
        assert data["trigger"] in DROP_TRIGGERS
    elif name == "recovery:metrics_updated":
        assert data
        assert all(value >= 0 for value in data.values())
        assert set(data) & METRICS
    elif name == "connectivity:connection_closed":
        assert data["owner"] in ("local", "remote")
