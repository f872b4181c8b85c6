"""Limits on what a peer may cost. Constants only; docs/reference/protocol.md lists them.

A peer that has not proven that it knows a token is unproven. Its link gets little of everything.
"""

from __future__ import annotations

UNPROVEN_DATAGRAMS = 256
"""Datagrams that the accepting end processes for a link without proof. A handshake and the largest
hello need fewer than 100 on a good path."""

UNPROVEN_FRAMES = 2048
"""Frames, other than PADDING, that either end processes for a link without proof."""

FRAMES_PER_PACKET = 512
"""Frames, other than PADDING, that any packet may contain. The smallest frames with a purpose take
5 bytes, so honest packets of 1,452 bytes contain fewer than 300."""
