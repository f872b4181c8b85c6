"""Restarts of either program: old connections are reset, and new ones are served.

The laboratory measures how soon.
"""

from __future__ import annotations

import re
import signal

from testkit.engines import another_than
from testkit.programs import (
    LINK_ESTABLISHED,
    LINK_LOST,
    READY_ORIGIN,
    REMOTE_RESTARTED,
    TAKEN_OVER,
    logged,
)

MIXED_ENGINES = ("test_a_restarted_remote_reports_it",)

FORGOTTEN = f"{logged(LINK_LOST)} .*{REMOTE_RESTARTED}"


def exchange(tunnel) -> None:
    """Exchange a question and an answer on a new connection."""
    client, server = tunnel.pair()
    client.send(b"question")
    assert server.receive(8) == b"question"
    server.send(b"answer")
    assert client.receive(6) == b"answer"


def kill_and_restart_remote(tunnel) -> None:
    tunnel.remote.kill()
    tunnel.start_remote()
    tunnel.wait_for_remote()


def assert_origin_comes_back(tunnel, *servers) -> None:
    """Old connections are reset and new ones served, because the remote reported its restart."""
    exchange(tunnel)
    assert all(server.is_reset() for server in servers)
    assert tunnel.origin.wait_for_log(FORGOTTEN)
    assert tunnel.origin.wait_for_log(logged(LINK_ESTABLISHED, remote_restarted="true"))


def test_a_restarted_remote_reports_it(mute_tunnel):
    tunnel = mute_tunnel
    client, server = tunnel.pair()
    client.send(b"x")
    assert server.receive(1) == b"x"
    kill_and_restart_remote(tunnel)
    assert client.is_reset()
    assert_origin_comes_back(tunnel, server)


def test_a_remote_restarted_under_load_reports_it(mute_tunnel):
    tunnel = mute_tunnel
    client, server = tunnel.pair()
    server.send(b"x" * 200_000)
    assert client.receive(100_000) == b"x" * 100_000
    tunnel.remote.kill()
    # Sent before the restart: afterwards, a retransmission may already have reset the connection.
    server.send(b"!")
    tunnel.start_remote()
    tunnel.wait_for_remote()
    assert client.is_reset()
    assert_origin_comes_back(tunnel, server)


def test_a_remote_may_restart_with_another_engine(mute_tunnel):
    tunnel = mute_tunnel
    client, server = tunnel.pair()
    client.send(b"x")
    assert server.receive(1) == b"x"
    of_the_origin, before = tunnel.engines
    tunnel.engines = (of_the_origin, another_than(before))
    kill_and_restart_remote(tunnel)
    assert_origin_comes_back(tunnel, server)


def test_the_origin_reconnects_after_an_outage_longer_than_the_hold(tunnel):
    client, server = tunnel.up(remote=("--hold", "2s")).pair()
    client.send(b"x")
    assert server.receive(1) == b"x"
    tunnel.remote.signal(signal.SIGSTOP)
    assert server.is_reset()
    tunnel.remote.signal(signal.SIGCONT)
    assert client.is_reset()
    exchange(tunnel)


def test_a_second_origin_of_the_same_name_takes_over(tunnel):
    first = tunnel.up().origin
    client, server = tunnel.pair()
    refused = tunnel.start_origin()
    assert refused.wait() == 3
    assert "start this one with --take-over to replace that one" in refused.stderr
    second = tunnel.start_origin("--take-over")
    tunnel.wait_for_origin()
    assert client.is_reset()
    assert server.is_reset()
    assert first.wait() == 3
    assert TAKEN_OVER in first.stderr
    exchange(tunnel)
    assert len(re.findall(READY_ORIGIN, second.stdout, re.MULTILINE)) == 1, "it connected once"
