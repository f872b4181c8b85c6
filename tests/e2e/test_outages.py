"""Outages of the network between two programs: what is held, what is printed, what it costs."""

from __future__ import annotations

import time
from contextlib import contextmanager

from testkit.connections import VerifiedTransfer
from testkit.forwarder import Forwarder
from testkit.programs import (
    BACK_ORIGIN,
    BACK_REMOTE,
    CLIENT_CLOSED,
    HOLD_OVER,
    LINK_LOST,
    LOST_ORIGIN,
    LOST_REMOTE,
    NO_ORIGIN_IN_TIME,
    ORIGIN_DISCONNECTED,
    READY_ORIGIN,
    SILENT_ORIGIN,
    SILENT_REMOTE,
    logged,
)

MIB = 1 << 20

GROWTH = 24 * MIB
"""Bytes by which both programs together may grow."""

DARK = 4.0
"""Seconds of an outage: enough to detect it, and to fill every buffer."""


@contextmanager
def dark_network(tunnel, *options: str):
    """Start a tunnel over a forwarder that can go dark."""
    with Forwarder(tunnel.link_port) as network:
        tunnel.up(remote=options, origin=("--remote", network.address, *options))
        yield network


def test_an_outage_under_full_load_loses_no_byte_and_leaks_no_memory(tunnel):
    with dark_network(tunnel) as network:
        up, down, quiet = (tunnel.pair() for _ in range(3))
        transfers = [VerifiedTransfer(*up), VerifiedTransfer(*reversed(down))]
        assert all(transfer.has_advanced(8 * MIB) for transfer in transfers)
        before = tunnel.resident_memory()

        network.is_dark = True
        tunnel.origin.wait_for(SILENT_ORIGIN)
        tunnel.remote.wait_for(SILENT_REMOTE)
        time.sleep(DARK)
        held = [transfer.received for transfer in transfers]
        time.sleep(DARK / 2)
        assert [transfer.received for transfer in transfers] == held
        assert tunnel.resident_memory() - before < GROWTH
        waiting = tunnel.connect()
        waiting.send(b"during outage...")

        network.is_dark = False
        tunnel.origin.wait_for(BACK_ORIGIN)
        tunnel.remote.wait_for(BACK_REMOTE)
        assert all(transfer.has_advanced(4 * MIB) for transfer in transfers)
        assert tunnel.resident_memory() - before < GROWTH
        assert tunnel.accept().receive(16) == b"during outage..."
        assert all(transfer.finish() for transfer in transfers)
        quiet[0].send(b"still here")
        assert quiet[1].receive(10) == b"still here"
        for program in (tunnel.origin, tunnel.remote):
            assert program.stderr.count("\n") < 40, program.stderr


def test_after_the_hold_both_ends_are_reset_and_the_reason_is_reported(tunnel):
    with dark_network(tunnel, "--hold", "4s") as network:
        client, server = tunnel.pair()
        client.send(b"!")
        assert server.receive(1) == b"!"
        network.is_dark = True
        assert client.is_reset()
        assert server.is_reset()
        tunnel.origin.wait_for(LOST_ORIGIN)
        tunnel.remote.wait_for(LOST_REMOTE)
        tunnel.origin.wait_for_log(logged(LINK_LOST, reason=f'"{HOLD_OVER}"'))
        tunnel.remote.wait_for_log(logged(ORIGIN_DISCONNECTED, reason=f'"{HOLD_OVER}"'))
        for program in (tunnel.origin, tunnel.remote):
            program.wait_for_log(logged(CLIENT_CLOSED, reason=f'".*{HOLD_OVER}'))
        network.is_dark = False
        tunnel.origin.wait_for(READY_ORIGIN, times=2)
        again, served = tunnel.pair()
        again.send(b"?")
        assert served.receive(1) == b"?"


def test_a_client_that_connects_during_an_outage_waits_and_is_reset(tunnel):
    with Forwarder(tunnel.link_port) as network:
        tunnel.up(remote=("--client-wait", "2s"), origin=("--remote", network.address))
        network.is_dark = True
        tunnel.remote.wait_for(r"^silent: ")
        connected_at = time.monotonic()
        client = tunnel.connect()
        assert client.is_reset()
        assert time.monotonic() - connected_at >= 1.9
        tunnel.remote.wait_for_log(logged(CLIENT_CLOSED, reason=f'"{NO_ORIGIN_IN_TIME}"'))
