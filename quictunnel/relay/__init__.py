"""One client: a TCP connection and a stream, joined. Knows nothing of QUIC, settings or roles."""

from __future__ import annotations

from quictunnel.relay.linger import Lingers
from quictunnel.relay.readiness import readiness
from quictunnel.relay.relay import Ending, Relay, RelayEnd
from quictunnel.relay.tcp import prepare, reset_unless_ended
from quictunnel.relay.transport import SocketTransport

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
