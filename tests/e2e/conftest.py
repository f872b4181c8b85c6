"""Fixtures for tests of the installed program: programs, a tunnel for a test, one for all."""

from __future__ import annotations

import pytest
from programs import Programs
from tunnels import Tunnel


@pytest.fixture
def programs():
    """Starts programs, and ends them after the test."""
    programs = Programs()
    yield programs
    programs.end()


@pytest.fixture
def tunnel(tmp_path):
    """A tunnel for this test alone; nothing of it has been started."""
    tunnel = Tunnel(tmp_path / "state")
    yield tunnel
    tunnel.end()


@pytest.fixture(scope="session")
def _standing(tmp_path_factory):
    # Any address of this machine, so that clients can come over IPv6 as well.
    tunnel = Tunnel(tmp_path_factory.mktemp("standing"))
    try:
        yield tunnel.up(remote=("--outside", "[::]:0"))
    finally:
        tunnel.end()


@pytest.fixture
def standing(_standing):
    """A tunnel that stands and is shared: for tests that leave both its ends alone."""
    yield _standing
    _standing.part()
