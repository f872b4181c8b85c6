"""Somebody who never reads: costs little memory at either end, and nobody else any speed."""

from __future__ import annotations

import threading

import pytest
from programs import PATIENCE
from tunnels import Pouring

MIXED_ENGINES = True

GROWTH = 24 * 1024**2
"""Bytes by which both programs together may grow."""

BESIDE = 20 * 1024**2


def warm_up(tunnel) -> None:
    """Bring what both programs allocate once for all behind us."""
    client, server = tunnel.pair()
    carry_beside(client, server, 1 << 20)


def carry_beside(client, server, size: int) -> None:
    sending = threading.Thread(target=server.say, args=(bytes(size),))
    sending.start()
    assert len(client.hear(size)) == size
    sending.join(PATIENCE)


@pytest.mark.parametrize("who", ["client", "server"])
def test_who_never_reads_harms_nobody(tunnel, who):
    tunnel.up()
    warm_up(tunnel)
    before = tunnel.memory
    client, server = tunnel.pair()
    pouring = Pouring(server if who == "client" else client)
    pouring.start()
    carry_beside(*tunnel.pair(), BESIDE)
    assert pouring.is_alive()
    assert tunnel.memory - before < GROWTH
    # It is the kernels' and our windows that were filled, and nothing that grows.
    assert pouring.poured < 128 * 1024**2
    pouring.end()
