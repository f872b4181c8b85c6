"""One client: a TCP connection and a stream, joined. Knows nothing of QUIC, settings or roles."""

from __future__ import annotations

from quictunnel.relay.half_close import Lingers
from quictunnel.relay.readiness import readiness
from quictunnel.relay.relay import Ending, Relay, RelayEnd
from quictunnel.relay.tcp_options import prepare, reset_unless_ended
from quictunnel.relay.tcp_transport import SocketTransport

__all__ = [
    "Ending",
    "Lingers",
    "Relay",
    "RelayEnd",
    "SocketTransport",
    "prepare",
    "readiness",
    "reset_unless_ended",
]
