"""Which engines the tests of links run over: each that is installed, and each with each other.

quinn's variants are there where its module is. With QUICTUNNEL_TEST_ENGINES=all, as in CI, they are
there in any case: a module that is missing is then a failure, and not a gap.
"""

from __future__ import annotations

import importlib.util
import itertools
import os

import pytest

HAS_QUINN = importlib.util.find_spec("quictunnel_quinn") is not None
HAS_ALL = HAS_QUINN or os.environ.get("QUICTUNNEL_TEST_ENGINES") == "all"
ENGINES = ("aioquic", "quinn") if HAS_ALL else ("aioquic",)


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
