"""A peer that never reads: it costs little memory, and it does not slow down other connections."""

from __future__ import annotations

import threading

import pytest

from testkit.connections import UnreadSender
from testkit.programs import PATIENCE

MIXED_ENGINES = True

GROWTH = 24 * 1024**2
"""Bytes by which both programs together may grow."""

BESIDE = 20 * 1024**2
"""Bytes to transfer on another connection."""

BUFFERED_MAX = 128 * 1024**2
"""Bytes that the kernel's buffers and our windows may take."""


def warm_up(tunnel) -> None:
    """Let both programs make their one-time allocations."""
    client, server = tunnel.pair()
    transfer_down(client, server, 1 << 20)


def transfer_down(client, server, size: int) -> None:
    sending = threading.Thread(target=server.send, args=(bytes(size),))
    sending.start()
    assert len(client.receive(size)) == size
    sending.join(PATIENCE)


@pytest.mark.parametrize("who", ["client", "server"])
def test_a_peer_that_never_reads_harms_no_other(tunnel, who):
    tunnel.up()
    warm_up(tunnel)
    before = tunnel.resident_memory()
    client, server = tunnel.pair()
    sender = UnreadSender(server if who == "client" else client)
    sender.start()
    transfer_down(*tunnel.pair(), BESIDE)
    assert sender.is_alive()
    assert tunnel.resident_memory() - before < GROWTH
    assert sender.sent < BUFFERED_MAX
    sender.end()
