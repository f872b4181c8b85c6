"""Joins a client's TCP connection and its stream."""

from __future__ import annotations

from quictunnel.relay.half_close import LingerTimer
from quictunnel.relay.readiness import readiness
from quictunnel.relay.relay import Ending, Relay, RelayEnd
from quictunnel.relay.tcp_options import send_rst_at_close, set_options
from quictunnel.relay.tcp_transport import SocketTransport

__all__ = [
    "Ending",
    "LingerTimer",
    "Relay",
    "RelayEnd",
    "SocketTransport",
    "readiness",
    "send_rst_at_close",
    "set_options",
]
