"""The engines that the tests of links run with."""

from __future__ import annotations

import itertools

import pytest

from testkit.engines import ENGINES

MIXED_ENGINES = {
    "test_blocked_udp",
    "test_carried_paths",
    "test_endpoint",
    "test_engine_echo",
    "test_engine_endings",
    "test_engine_flow",
    "test_exporter",
    "test_fallback_sockets",
    "test_families",
    "test_following",
    "test_moves",
    "test_resets",
}
"""Modules whose `engines` also differ between the two ends: handshake, flow, moves, resets.

The other modules test one end at a time."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Set `engines`: those of the end that dials and of the end that accepts."""
    if "engines" in metafunc.fixturenames:
        pairs = [(engine, engine) for engine in ENGINES]
        if metafunc.module.__name__ in MIXED_ENGINES:
            pairs += itertools.permutations(ENGINES, 2)
        metafunc.parametrize("engines", pairs, ids=" to ".join)


@pytest.fixture(params=ENGINES)
def alike(request: pytest.FixtureRequest) -> tuple[str, str]:
    """The same engine at both ends, for tests of one end."""
    return request.param, request.param


@pytest.fixture(params=ENGINES)
def met_by_aioquic(request: pytest.FixtureRequest) -> tuple[str, str]:
    """aioquic at the end that dials, for tests that make it send what no engine sends by itself."""
    return "aioquic", request.param
