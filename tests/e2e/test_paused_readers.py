"""The log is not read: clients are served, SIGTERM works, and the lost lines are counted."""

from __future__ import annotations

import time
from signal import SIGTERM

import pytest
from paused_logs import paused_log

from testkit.programs import CLIENT_ACCEPTED, CLIENT_CLOSED, LINES_LOST, logged

ONE_ENGINE = True

CLIENTS, BATCH = 3000, 100
"""Clients whose lines are more than the program keeps for its reader."""

CLIENT_LINE = logged(f"(?:{CLIENT_ACCEPTED}|{CLIENT_CLOSED})")

MINUTE = 60.0

BOTH_ROLES = pytest.mark.parametrize("which", ["remote", "origin"])
READERS = pytest.mark.parametrize("kind", ["pipe", "terminal"])


@pytest.fixture
def paused(tunnel, which, kind):
    """A tunnel, one of whose programs has a paused reader of its log; and that log."""
    with paused_log(tunnel.programs.scratch / f"{which}-1.log", kind) as log:
        tunnel.start_remote("--log-level", "info")
        tunnel.start_origin("--log-level", "info")
        log.program_started()
        tunnel.wait_for_remote()
        tunnel.wait_for_origin()
        yield tunnel, log


def serve(tunnel, clients: int) -> None:
    """Let clients come and go."""
    for _ in range(clients // BATCH):
        pairs = [tunnel.pair() for _ in range(BATCH)]
        for client, server in pairs:
            client.send(b"question")
            assert server.receive(8) == b"question"
            server.send(b"answer")
            assert client.receive(6) == b"answer"
        tunnel.reset_connections()


@READERS
@BOTH_ROLES
def test_lost_lines_are_counted_once_the_reader_resumes(paused):
    tunnel, log = paused
    serve(tunnel, CLIENTS)
    log.resume()

    def lost() -> int:
        return log.count(logged(LINES_LOST, count=r"(\d+)"))

    log.read_until(lambda: lost() + log.count(CLIENT_LINE) >= 2 * CLIENTS)
    assert 0 < lost() < 2 * CLIENTS
    read = log.count(CLIENT_LINE)
    serve(tunnel, BATCH)
    log.read_until(lambda: log.count(CLIENT_LINE) == read + 2 * BATCH)


@READERS
@BOTH_ROLES
def test_sigterm_works_while_the_reader_is_paused(paused, which):
    tunnel, _ = paused
    serve(tunnel, CLIENTS)
    program = getattr(tunnel, which)
    client, server = tunnel.pair()
    program.signal(SIGTERM)
    server.send(b"last words")
    assert client.receive(10) == b"last words"
    tunnel.reset_connections()
    assert program.wait() == 0


@pytest.mark.nightly
@READERS
@BOTH_ROLES
def test_the_reader_pauses_for_a_minute(paused, which):
    tunnel, log = paused
    resumes_at = time.monotonic() + MINUTE
    batches = 0
    while time.monotonic() < resumes_at or batches * BATCH < CLIENTS:
        serve(tunnel, BATCH)
        batches += 1
    log.resume()

    def lost() -> int:
        return log.count(logged(LINES_LOST, count=r"(\d+)"))

    log.read_until(lambda: lost() + log.count(CLIENT_LINE) >= 2 * batches * BATCH)
    assert lost()
    program = getattr(tunnel, which)
    program.signal(SIGTERM)
    assert program.wait() == 0
