"""The ways that an origin may use to its remote."""

from __future__ import annotations

import enum


class Via(enum.StrEnum):
    """Which paths may carry a link's datagrams."""

    AUTO = "auto"
    """UDP where it works, otherwise a WebSocket."""
    UDP = "udp"
    """Only UDP."""
    WEBSOCKET = "websocket"
    """Only a WebSocket."""
