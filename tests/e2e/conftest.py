"""Fixtures: installed programs, a tunnel for a test, one for all, and a town in one process.

Tunnels run over each engine that is installed, the same at both ends. The tests that a module names
in MIXED_ENGINES (True: all) run over each with each other as well, and those in ONE_ENGINE, whose
subject no engine has a part in, over one.
"""

from __future__ import annotations

import asyncio
import itertools
import logging

import pytest
from installed_engines import ENGINES
from patience import patience
from programs import Programs
from town import Town
from tunnels import Tunnel
from udp_forwarder import Forwarder

from quictunnel.origin import failover
from quictunnel.quic import link
from quictunnel.quic.path import liveness


def pytest_generate_tests(metafunc):
    if "engines" in metafunc.fixturenames:
        name = metafunc.function.__name__
        alike = [(engine, engine) for engine in ENGINES]
        if name in getattr(metafunc.module, "ONE_ENGINE", ()):
            alike = alike[-1:]
        mixed = list(itertools.permutations(ENGINES, 2))
        wanted = getattr(metafunc.module, "MIXED_ENGINES", ())
        is_mixed = wanted is True or name in wanted
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


@pytest.fixture
async def town(tmp_path, engines):
    town = await Town(tmp_path, engines).start()
    with patience():
        yield town
    with patience():
        await town.end()


@pytest.fixture
def quick_to_notice(monkeypatch):
    """Silence is noticed within a second and not within ten."""
    monkeypatch.setattr(link, "PING_AFTER", 0.3)
    monkeypatch.setattr(link, "ACCEPTOR_PATIENCE", 0.1)
    monkeypatch.setattr(liveness, "ANSWER_WITHIN", 0.3)
    monkeypatch.setattr(failover, "ATTEMPT_AFTER", 0.3)
    monkeypatch.setattr(failover, "RECOVERY_TIME", 0.3)


@pytest.fixture
async def network(town):
    """What lies between an origin and the remote."""
    network = await Forwarder.start(town.remote.link_address.port)
    yield network
    network.close()


@pytest.fixture
def remote_says_that():
    """Waits until the remote has logged a fact."""
    logger = logging.getLogger("quictunnel.remote")
    said: asyncio.Queue[str] = asyncio.Queue()
    handler = logging.Handler()
    handler.emit = lambda record: said.put_nowait(record.msg)
    logger.addHandler(handler)

    async def wait(message: str) -> None:
        while await said.get() != message:
            pass

    yield wait
    logger.removeHandler(handler)
