"""Fixtures: programs, tunnels of programs, and a remote and an origin in one process.

A test with the `engines` fixture runs with each installed engine, the same at both ends. Tests
named in MIXED_ENGINES of their module (True: all) also run with different engines at the two ends.
Tests named in ONE_ENGINE (True: all) run with one engine, because no engine affects what they test.
"""

from __future__ import annotations

import asyncio
import itertools
import logging

import pytest
from configured_tunnel import ConfiguredTunnel
from roles_in_process import RolesInProcess
from time_limit import time_limit

from quictunnel.origin import failover
from quictunnel.quic import link
from quictunnel.quic.path import liveness
from testkit.engines import ENGINES
from testkit.forwarder import Forwarder
from testkit.programs import Programs
from testkit.tunnel import Tunnel


def pytest_generate_tests(metafunc):
    if "engines" in metafunc.fixturenames:
        pairs = [(engine, engine) for engine in ENGINES]
        if _names(metafunc, "ONE_ENGINE"):
            pairs = pairs[-1:]
        if _names(metafunc, "MIXED_ENGINES"):
            pairs += itertools.permutations(ENGINES, 2)
        metafunc.parametrize("engines", pairs, ids=" to ".join, indirect=True, scope="session")


def _names(metafunc, list_name):
    """Return whether a list of the test's module names the test."""
    names = getattr(metafunc.module, list_name, ())
    return names is True or metafunc.function.__name__ in names


@pytest.fixture(scope="session")
def engines(request):
    """The engines of the origin and of the remote."""
    return request.param


@pytest.fixture
def programs(tmp_path):
    """Starts programs, and ends them after the test."""
    programs = Programs(tmp_path)
    yield programs
    programs.end()


@pytest.fixture
def tunnel(tmp_path, engines):
    """A tunnel for this test. Its programs have not been started."""
    tunnel = Tunnel(tmp_path / "tunnel", engines)
    yield tunnel
    tunnel.end()


@pytest.fixture
def setup(tunnel, tmp_path):
    """A tunnel whose ends have configuration files. Its programs have not been started."""
    setup = ConfiguredTunnel(tunnel, tmp_path)
    yield setup
    setup.close()


@pytest.fixture(scope="session")
def _shared_tunnel(tmp_path_factory, engines):
    # The remote listens for clients on any address, so that they can use IPv6 as well.
    tunnel = Tunnel(tmp_path_factory.mktemp("shared"), engines, outside="[::]:0")
    try:
        yield tunnel.up()
    finally:
        tunnel.end()


@pytest.fixture
def shared_tunnel(_shared_tunnel):
    """A tunnel that runs already, for tests that change nothing at its ends."""
    yield _shared_tunnel
    _shared_tunnel.reset_connections()


@pytest.fixture
async def roles(tmp_path, engines):
    """A remote that runs in this process, and origins for it to start."""
    roles = await RolesInProcess(tmp_path, engines).start()
    with time_limit():
        yield roles
    with time_limit():
        await roles.end()


@pytest.fixture
def fast_liveness(monkeypatch):
    """Detects silence within one second, where ten are the default."""
    monkeypatch.setattr(link, "PING_AFTER", 0.3)
    monkeypatch.setattr(link, "ACCEPTOR_PATIENCE", 0.1)
    monkeypatch.setattr(liveness, "ANSWER_WITHIN", 0.3)
    monkeypatch.setattr(failover, "ATTEMPT_AFTER", 0.3)
    monkeypatch.setattr(failover, "RECOVERY_TIME", 0.3)


@pytest.fixture
def forwarder(roles):
    """A forwarder between an origin and the remote in this process."""
    with Forwarder(roles.port) as forwarder:
        yield forwarder


@pytest.fixture
def wait_for_remote_log():
    """Waits until the remote in this process has logged a message."""
    logger = logging.getLogger("quictunnel.remote")
    messages: asyncio.Queue[str] = asyncio.Queue()
    handler = logging.Handler()
    handler.emit = lambda record: messages.put_nowait(record.msg)
    logger.addHandler(handler)

    async def wait(message: str) -> None:
        while await messages.get() != message:
            pass

    yield wait
    logger.removeHandler(handler)


@pytest.fixture
def mute_tunnel(tunnel):
    """A tunnel whose origin gets no ICMP errors, so that no closed port ends its link."""
    with Forwarder(tunnel.link_port) as network:
        yield tunnel.up(origin=("--remote", network.address))
