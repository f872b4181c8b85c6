"""Which engines the tests of links run over: each that is installed, and each with each other."""

from __future__ import annotations

import itertools

import pytest

from testkit.engines import ENGINES


@pytest.fixture(params=itertools.product(ENGINES, ENGINES), ids=" to ".join)
def engines(request: pytest.FixtureRequest) -> tuple[str, str]:
    """The engines of the end that dials and of the end that accepts."""
    return request.param


@pytest.fixture(params=ENGINES)
def alike(request: pytest.FixtureRequest) -> tuple[str, str]:
    """As `engines`, the same at both ends: for tests of what is one end's own affair."""
    return request.param, request.param


@pytest.fixture(params=ENGINES)
def met_by_aioquic(request: pytest.FixtureRequest) -> tuple[str, str]:
    """As `engines`, for tests that have the end that dials do what no engine does by itself."""
    return "aioquic", request.param
