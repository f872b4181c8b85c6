"""Signals: the first lets present clients finish, the second ends at once; exit code 0."""

from __future__ import annotations

from signal import SIGHUP, SIGINT, SIGTERM

import pytest

ONE_ENGINE = ("test_a_signal_before_an_origin_has_found_its_remote",)

ENDS = pytest.mark.parametrize("which", ["remote", "origin"])


@pytest.mark.parametrize(("which", "signal"), [("remote", SIGTERM), ("origin", SIGINT)])
def test_a_client_in_flight_finishes(tunnel, which, signal):
    program = getattr(tunnel.up(), which)
    client, server = tunnel.pair()
    client.say(b"question")
    assert server.hear(8) == b"question"
    program.signal(signal)
    program.logged(r"  drain started  ")
    server.say(b"answer" * 100_000)
    server.end()
    client.end()
    assert client.hear_all() == b"answer" * 100_000
    assert program.ends() == 0


@ENDS
def test_a_client_that_stays_is_reset_after_the_grace(tunnel, which):
    tunnel.up(**{which: ("--grace", "300ms")})
    program = getattr(tunnel, which)
    client, server = tunnel.pair()
    program.signal(SIGTERM)
    assert client.is_reset()
    assert server.is_reset()
    assert program.ends() == 0


@ENDS
def test_a_second_signal_ends_at_once(tunnel, which):
    program = getattr(tunnel.up(), which)
    client, server = tunnel.pair()
    program.signal(SIGINT)
    program.logged(r"  drain started  ")
    program.signal(SIGTERM)
    assert client.is_reset()
    assert server.is_reset()
    assert program.ends() == 0


@ENDS
def test_a_terminal_that_closes_lets_a_client_finish(tunnel, which):
    program = getattr(tunnel.up(), which)
    client, server = tunnel.pair()
    program.signal(SIGHUP)
    program.logged(r"  drain started  ")
    server.say(b"answer")
    server.end()
    client.end()
    assert client.hear_all() == b"answer"
    assert program.ends() == 0


def test_a_signal_before_an_origin_has_found_its_remote(tunnel):
    origin = tunnel.start_origin()
    origin.logged("connect failed, retrying")
    origin.signal(SIGTERM)
    assert origin.ends() == 0
