"""Limits on connections to the remote's WebSocket. Constants only."""

from __future__ import annotations

MAX_UNPROVEN = 256
"""Connections without a proven link, of all sources."""

MAX_OPENING_BEHIND_PROXIES = 128
"""Connections of trusted proxies whose request has not come, so that their source is not known."""

MAX_CONNECTIONS = MAX_UNPROVEN + MAX_OPENING_BEHIND_PROXIES
"""Connections that anyone can open. Each costs a file descriptor."""
