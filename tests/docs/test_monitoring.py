"""The files and pages about monitoring name only metrics and alerts that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from docs.generate import metrics_page
from quictunnel.admin.metric_table import METRICS
from quictunnel.events import ClientEnding, DropKind, LinkEnding, RefusalKind

ROOT = Path(__file__).parents[2]

ALERTS = ROOT / "contrib" / "prometheus" / "alerts.yml"

DASHBOARD = ROOT / "contrib" / "grafana" / "quictunnel.json"

MONITORING = ROOT / "docs" / "how-to" / "monitoring.md"


def series() -> set[str]:
    names = set()
    for metric in METRICS:
        if metric.type == "histogram":
            names |= {f"{metric.name}_{suffix}" for suffix in ("bucket", "sum", "count")}
        else:
            names.add(metric.name)
    return names


@pytest.mark.parametrize("file", [ALERTS, DASHBOARD], ids=lambda file: file.name)
def test_every_named_metric_exists(file):
    named = set(re.findall(r"\bquictunnel_\w+", file.read_text("utf-8")))
    assert len(named) > 10
    assert named <= series()


def test_every_alert_of_the_page_exists():
    alerts = set(re.findall(r"- alert: (\w+)", ALERTS.read_text("utf-8")))
    named = set(re.findall(r"`(Quictunnel\w+)`", MONITORING.read_text("utf-8")))
    assert len(named) > 5
    assert named <= alerts


def test_the_reference_has_every_metric_and_every_word():
    page = metrics_page()
    for metric in METRICS:
        assert f"| `{metric.name}` | {metric.type} |" in page
    for word in (*ClientEnding, *DropKind, *LinkEnding, *RefusalKind):
        assert f"| `{word}` | " in page
    assert "|  |\n" not in page


def test_names_follow_the_conventions_of_prometheus():
    names = [metric.name for metric in METRICS]
    assert len(set(names)) == len(names)
    for metric in METRICS:
        assert re.fullmatch(r"quictunnel_[a-z]+(_[a-z]+)*", metric.name)
        assert metric.name.endswith("_total") == (metric.type == "counter")
        assert metric.type != "histogram" or metric.name.endswith("_seconds")
        assert metric.help.endswith(".")
