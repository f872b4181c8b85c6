"""One client: a TCP connection and a stream, joined. Knows nothing of QUIC, settings or roles."""

from __future__ import annotations

from quictunnel.relay.relay import Ending, Relay, RelayEnd
from quictunnel.relay.tcp import reset_unless_ended

__all__ = ["Ending", "Relay", "RelayEnd", "reset_unless_ended"]
