"""Records a connection as qlog: aioquic's own events, in the terms of one revision of the drafts.

The revisions are draft-ietf-quic-qlog-main-schema-04 and -quic-events-04. aioquic keeps all events
in memory, and some of its names are older. Tokens are left out, because they are secrets: with the
token of a stateless reset, an attacker could end the connection.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

import msgspec
from aioquic.quic.logger import QuicLogger, QuicLoggerTrace

if TYPE_CHECKING:
    from aioquic.quic.packet import QuicTransportParameters

    from quictunnel.quic.engine import Qlog, QlogTrace

_NAMES = {"security:key_retired": "security:key_discarded"}
"""Events that the drafts have renamed."""

_NOT_RECORDED = frozenset(
    {"connectivity:spin_bit_updated", "transport:datagrams_received", "transport:datagrams_sent"}
)
"""Events that add nothing to those of packets: each datagram has one packet, but in a handshake."""

_DROP_TRIGGERS = {
    "unknown_server_address": "rejected",
    "header_parse_error": "invalid",
    "initial_packet_datagram_too_small": "invalid",
    "unknown_connection_id": "connection_unknown",
    "unsupported_version": "unsupported",
    "unexpected_source_connection_id": "invalid",
    "key_unavailable": "decryption_failure",
    "payload_decrypt_error": "decryption_failure",
    "duplicate": "rejected",
    "unexpected_packet": "invalid",
}
"""The reasons for which aioquic drops packets, and those of the draft."""

_RECORD = b"\x1e%b\n"


class Recording(QuicLoggerTrace):
    """The recording of one connection, for aioquic and for `AioquicEngine`.

    aioquic adds frames to an event after it has logged the event. Events therefore wait until
    `flush`.
    """

    def __init__(self, trace: QlogTrace, *, is_client: bool, odcid: bytes) -> None:
        super().__init__(is_client=is_client, odcid=odcid)
        self._trace = trace
        self._start = time.monotonic()
        self._waiting: list[dict[str, Any]] = []

    def log_event(self, *, category: str, event: str, data: dict[str, Any]) -> None:
        """Let an event wait."""
        name = f"{category}:{event}"
        name = _NAMES.get(name, name)
        if name not in _NOT_RECORDED:
            elapsed = (time.monotonic() - self._start) * 1000
            self._waiting.append({"time": round(elapsed, 3), "name": name, "data": data})

    def flush(self) -> None:
        """Write the events that wait. Nothing may change them any more."""
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            self._trace.write(
                b"".join([_RECORD % _encode(_translated(event)) for event in waiting])
            )

    def close(self) -> None:
        """Write the last events, and end the recording."""
        self.flush()
        self._trace.close()

    # Events that aioquic does not have

    def record_state(self, state: str) -> None:
        """Record a state of the connection."""
        self.log_event(
            category="connectivity", event="connection_state_updated", data={"new": state}
        )

    def record_path(self, path: tuple[str, int, bytes]) -> None:
        """Record where datagrams are sent to. The event is our own: the drafts have none."""
        self.log_event(
            category="connectivity",
            event="path_updated",
            data={"dst_ip": path[0], "dst_port": path[1]},
        )

    def record_mtu(self, old: int, new: int) -> None:
        """Record the largest UDP payload that is sent from now on."""
        if new != old:
            self.log_event(
                category="connectivity", event="mtu_updated", data={"old": old, "new": new}
            )

    def record_close(self, code: int | None, reason: str, *, by_peer: bool) -> None:
        """Record the end of the connection, in the terms of `Observer.on_closed`."""
        data: dict[str, Any] = {"owner": "remote" if by_peer else "local", "reason": reason}
        if code is not None:
            data["application_code"] = code
        self.log_event(category="connectivity", event="connection_closed", data=data)

    # Secrets

    def encode_new_connection_id_frame(
        self,
        connection_id: bytes,
        retire_prior_to: int,
        sequence_number: int,
        stateless_reset_token: bytes,
    ) -> dict[str, Any]:
        """Return a frame without the token."""
        frame: dict[str, Any] = super().encode_new_connection_id_frame(
            connection_id, retire_prior_to, sequence_number, stateless_reset_token
        )
        del frame["reset_token"]
        return frame

    def encode_new_token_frame(self, token: bytes) -> dict[str, Any]:
        """Return a frame with the length of its token only."""
        return {"frame_type": "new_token", "token": {"raw": {"length": len(token)}}}

    def encode_transport_parameters(
        self, owner: str, parameters: QuicTransportParameters
    ) -> dict[str, Any]:
        """Return parameters without the token."""
        encoded: dict[str, Any] = super().encode_transport_parameters(owner, parameters)
        encoded.pop("stateless_reset_token", None)
        return encoded


class Recorder(QuicLogger):
    """Starts and ends recordings, for aioquic."""

    def __init__(self, qlog: Qlog) -> None:
        super().__init__()
        self._qlog = qlog

    def start_trace(self, is_client: bool, odcid: bytes) -> Recording | None:  # type: ignore[override]  # aioquic takes None
        """Start a recording; return None if the connection is not recorded."""
        trace = self._qlog.start_trace(is_client=is_client, connection_id=odcid)
        return None if trace is None else Recording(trace, is_client=is_client, odcid=odcid)

    def end_trace(self, trace: QuicLoggerTrace) -> None:
        """Do nothing: `AioquicEngine.release` ends the recording."""


_encode = msgspec.json.encode


def _translated(event: dict[str, Any]) -> dict[str, Any]:
    """Return an event in the terms of the drafts."""
    name, data = event["name"], event["data"]
    if "frames" in data:
        # A padding frame must have its length, which aioquic does not say. `raw` has the packet's.
        data["frames"] = [each for each in data["frames"] if each["frame_type"] != "padding"]
    if name == "recovery:packet_lost":
        header = {"packet_type": data["type"], "packet_number": data["packet_number"]}
        event["data"] = {"header": header}
    elif name == "recovery:metrics_updated":
        if "cwnd" in data:
            data["congestion_window"] = data.pop("cwnd")
        event["data"] = {key: value for key, value in data.items() if math.isfinite(value)}
    elif name == "transport:packet_dropped":
        why = data.get("trigger", "")
        data["trigger"] = _DROP_TRIGGERS.get(why, "general")
        data["details"] = {"reason": why}
    return event
