"""Signals: the first lets clients finish, the second ends at once. The exit code is 0."""

from __future__ import annotations

from signal import SIGHUP, SIGINT, SIGTERM

import pytest

from testkit.programs import CONNECT_FAILED, DRAIN_STARTED, logged

ONE_ENGINE = True

BOTH_ROLES = pytest.mark.parametrize("which", ["remote", "origin"])


@pytest.mark.parametrize(("which", "signal"), [("remote", SIGTERM), ("origin", SIGINT)])
def test_a_signal_lets_a_client_finish(tunnel, which, signal):
    program = getattr(tunnel.up(), which)
    client, server = tunnel.pair()
    client.send(b"question")
    assert server.receive(8) == b"question"
    program.signal(signal)
    program.wait_for_log(logged(DRAIN_STARTED))
    server.send(b"answer" * 100_000)
    server.send_eof()
    client.send_eof()
    assert client.receive_all() == b"answer" * 100_000
    assert program.wait() == 0


@BOTH_ROLES
def test_a_client_is_reset_after_the_grace(tunnel, which):
    tunnel.up(**{which: ("--grace", "300ms")})
    program = getattr(tunnel, which)
    client, server = tunnel.pair()
    program.signal(SIGTERM)
    assert client.is_reset()
    assert server.is_reset()
    assert program.wait() == 0


@BOTH_ROLES
def test_a_second_signal_ends_at_once(tunnel, which):
    program = getattr(tunnel.up(), which)
    client, server = tunnel.pair()
    program.signal(SIGINT)
    program.wait_for_log(logged(DRAIN_STARTED))
    program.signal(SIGTERM)
    assert client.is_reset()
    assert server.is_reset()
    assert program.wait() == 0


@BOTH_ROLES
def test_sighup_lets_a_client_finish(tunnel, which):
    program = getattr(tunnel.up(), which)
    client, server = tunnel.pair()
    program.signal(SIGHUP)
    program.wait_for_log(logged(DRAIN_STARTED))
    server.send(b"answer")
    server.send_eof()
    client.send_eof()
    assert client.receive_all() == b"answer"
    assert program.wait() == 0


def test_a_signal_while_the_origin_is_not_connected(tunnel):
    origin = tunnel.start_origin()
    origin.wait_for_log(logged(CONNECT_FAILED))
    origin.signal(SIGTERM)
    assert origin.wait() == 0
