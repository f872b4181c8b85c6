"""What holds for every test: in CI nothing is skipped, and signals mean what they usually do.

Fixtures live beside their tests.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

LABORATORY = Path(__file__).parent / "lab"

IN_CI = os.environ.get("CI") == "true"


def refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Make a skip a failure in CI: there, what a test needs is to be installed."""
    if IN_CI and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.longrepr = f"in CI nothing is skipped, but: {reason}"


def pytest_configure() -> None:
    """Let SIGHUP end programs though these tests run under nohup, which has them ignore it."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


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
    """Leave out the laboratory unless it is asked for: it takes minutes, and wants root."""
    if collection_path == LABORATORY and not any("lab" in Path(a).parts for a in config.args):
        return True
    return None
