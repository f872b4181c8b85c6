"""Limits on connections to the remote's WebSocket. Constants only."""

from __future__ import annotations

from quictunnel.quic.limits import MAX_LINKS, UNPROVEN_DATAGRAMS

MAX_UNPROVEN = 256
"""Connections without a proven link, of all sources."""

MAX_OPENING_BEHIND_PROXIES = 128
"""Connections of trusted proxies whose request has not come, so that their source is not known."""

UNPROVEN_BYTES = UNPROVEN_DATAGRAMS * 1024
"""Bytes of frames that a connection without a proven link may send. The largest hello needs about
half of them. Frames without a purpose, down to 6 bytes each, cost time to parse."""

MAX_CONNECTIONS = MAX_LINKS + MAX_UNPROVEN + MAX_OPENING_BEHIND_PROXIES
"""Connections in total, those with a proven link included. Each costs a file descriptor."""
