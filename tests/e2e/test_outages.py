"""The network between two programs goes and comes back: what is held, said, and what it costs."""

from __future__ import annotations

import time
from contextlib import contextmanager

from darkness import Bulk, DarkNetwork

MIB = 1 << 20

GROWTH = 24 * MIB
"""Bytes by which both programs together may grow."""

DARK = 4.0
"""Seconds of an outage: enough for it to be noticed and asked about, and to fill every buffer."""


@contextmanager
def a_network(tunnel, *options: str):
    """Let a tunnel stand over a network that can go dark."""
    with DarkNetwork(tunnel.link_port) as network:
        tunnel.up(remote=options, origin=("--remote", network.address, *options))
        yield network


def test_an_outage_under_full_load_loses_nothing_and_leaves_nothing_behind(tunnel):
    with a_network(tunnel) as network:
        up, down, quiet = (tunnel.pair() for _ in range(3))
        bulks = [Bulk(*up), Bulk(*reversed(down))]
        assert all(bulk.has_moved_on(8 * MIB) for bulk in bulks)
        before = tunnel.memory

        network.darken()
        tunnel.origin.wait_for(
            r"^silent: link silent for \d+ s, 3 connections held for up to 14m\d+s$"
        )
        tunnel.remote.wait_for(
            r"^silent: link of origin box silent for \d+ s, 3 connections held for"
        )
        time.sleep(DARK)
        held = [bulk.received for bulk in bulks]
        time.sleep(DARK / 2)
        assert [bulk.received for bulk in bulks] == held
        assert tunnel.memory - before < GROWTH
        waiting = tunnel.client()
        waiting.say(b"come in the dark")

        network.light()
        tunnel.origin.wait_for(r"^back: link back after \d+ s on 127\.0\.0\.1, 3 connections kept$")
        tunnel.remote.wait_for(
            r"^back: link of origin box back after \d+ s on 127\.0\.0\.1:\d+( \(was \S+\))?, "
        )
        assert all(bulk.has_moved_on(4 * MIB) for bulk in bulks)
        assert tunnel.memory - before < GROWTH
        assert tunnel.served().hear(16) == b"come in the dark"
        assert all(bulk.end() for bulk in bulks)
        quiet[0].say(b"still here")
        assert quiet[1].hear(10) == b"still here"
        for program in (tunnel.origin, tunnel.remote):
            assert program.stderr.count("\n") < 40, program.stderr


def test_when_the_hold_is_over_both_ends_are_reset_and_told_why(tunnel):
    with a_network(tunnel, "--hold", "4s") as network:
        client, server = tunnel.pair()
        client.say(b"!")
        assert server.hear(1) == b"!"
        network.darken()
        assert client.is_reset()
        assert server.is_reset()
        tunnel.origin.wait_for(r"^lost: silent for longer than the hold \(after \d+ s of silence\)")
        tunnel.remote.wait_for(r"^lost: origin box after \d+ s of silence: silent for longer than")
        tunnel.origin.logged(r'link lost .*reason="silent for longer than the hold"')
        tunnel.remote.logged(r'origin disconnected .*reason="silent for longer than the hold"')
        for program in (tunnel.origin, tunnel.remote):
            program.logged(r'client closed .*reason=".*silent for longer than the hold')
        network.light()
        tunnel.origin.wait_for(r"^ready: ", times=2)
        again, served = tunnel.pair()
        again.say(b"?")
        assert served.hear(1) == b"?"


def test_who_comes_in_the_dark_waits_and_is_reset_then(tunnel):
    with DarkNetwork(tunnel.link_port) as network:
        tunnel.up(remote=("--client-wait", "2s"), origin=("--remote", network.address))
        network.darken()
        tunnel.remote.wait_for(r"^silent: ")
        came = time.monotonic()
        client = tunnel.client()
        assert client.is_reset()
        assert time.monotonic() - came >= 1.9
        tunnel.remote.logged(r'client closed .*reason="no origin connected in time"')
