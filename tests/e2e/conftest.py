"""Fixtures for tests of the installed program: programs, a tunnel for a test, one for all.

Tunnels run over each engine that is installed, the same at both ends. The tests that a module names
in MIXED_ENGINES (True: all) run over each with each other as well.
"""

from __future__ import annotations

import itertools

import pytest
from installed_engines import ENGINES
from programs import Programs
from tunnels import Tunnel


def pytest_generate_tests(metafunc):
    if "engines" in metafunc.fixturenames:
        alike = [(engine, engine) for engine in ENGINES]
        mixed = list(itertools.permutations(ENGINES, 2))
        wanted = getattr(metafunc.module, "MIXED_ENGINES", ())
        is_mixed = wanted is True or metafunc.function.__name__ in wanted
        pairs = alike + (mixed if is_mixed else [])
        metafunc.parametrize("engines", pairs, ids=" to ".join, indirect=True, scope="session")


@pytest.fixture(scope="session")
def engines(request):
    """The engines of the origin and of the remote."""
    return request.param


@pytest.fixture
def programs():
    """Starts programs, and ends them after the test."""
    programs = Programs()
    yield programs
    programs.end()


@pytest.fixture
def tunnel(tmp_path, engines):
    """A tunnel for this test alone; nothing of it has been started."""
    tunnel = Tunnel(tmp_path / "state", engines)
    yield tunnel
    tunnel.end()


@pytest.fixture(scope="session")
def _standing(tmp_path_factory, engines):
    # Any address of this machine, so that clients can come over IPv6 as well.
    tunnel = Tunnel(tmp_path_factory.mktemp("standing"), engines)
    try:
        yield tunnel.up(remote=("--outside", "[::]:0"))
    finally:
        tunnel.end()


@pytest.fixture
def standing(_standing):
    """A tunnel that stands and is shared: for tests that leave both its ends alone."""
    yield _standing
    _standing.part()
