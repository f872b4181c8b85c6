"""promtool accepts the files for Prometheus, and each alert fires when it should."""

from __future__ import annotations

import re

import pytest
from real_prometheus import CONTRIB, PROMTOOL, ROOT, alert_names, promtool

pytestmark = pytest.mark.skipif(PROMTOOL is None, reason="needs promtool")

UNIT_TESTS = ROOT / "tests" / "prometheus" / "alerts.test.yml"


def test_the_configuration_and_the_rules_are_valid():
    assert "SUCCESS" in promtool("check", "config", CONTRIB / "prometheus.yml")
    rules = promtool("check", "rules", "--lint-fatal", CONTRIB / "alerts.yml")
    assert f"{len(alert_names())} rules found" in rules


def test_each_alert_fires_when_it_should():
    assert "SUCCESS" in promtool("test", "rules", UNIT_TESTS)
    tested = set(re.findall(r"alertname: (\w+)", UNIT_TESTS.read_text("utf-8")))
    assert tested == alert_names()
