"""Rules for all tests: nothing is skipped in CI, signals have their default actions, and roles have
their admin sockets in a directory of the tests.

Fixtures are next to their tests.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

LABORATORY = Path(__file__).parent / "lab"

IN_CI = os.environ.get("CI") == "true"


def refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turn a skip into a failure in CI, where everything that tests need must be installed."""
    if IN_CI and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.longrepr = f"skipped in CI: {reason}"


def pytest_configure(config: pytest.Config) -> None:
    """Let SIGHUP end programs even if the tests run under nohup, which makes them ignore it."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    # Roles of tests must not be among those of this user. A Unix socket's path must be short.
    if not hasattr(config, "workerinput"):  # workers of xdist inherit the environment
        runtime = tempfile.mkdtemp(prefix="quictunnel-")
        config.add_cleanup(lambda: shutil.rmtree(runtime, ignore_errors=True))
        os.environ["XDG_RUNTIME_DIR"] = runtime
        os.environ.pop("RUNTIME_DIRECTORY", None)
    for name in ("https_proxy", "all_proxy", "no_proxy"):  # a proxy of this machine's user
        os.environ.pop(name, None)
        os.environ.pop(name.upper(), None)
    config.addinivalue_line("markers", "nightly: takes long, and is not part of `make test`")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    refuse_skip(report)
    return report


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Ignore the laboratory unless its path is given: it takes minutes, and needs root."""
    if collection_path == LABORATORY and not any("lab" in Path(a).parts for a in config.args):
        return True
    return None
