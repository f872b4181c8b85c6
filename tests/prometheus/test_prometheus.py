"""A real Prometheus scrapes both ends of a tunnel, with the files that users get."""

from __future__ import annotations

import json
import re
import urllib.request
from pathlib import Path

import pytest
from real_prometheus import (
    CONTRIB,
    PROMETHEUS,
    PROMTOOL,
    ROOT,
    Prometheus,
    alert_names,
    promtool,
)

from quictunnel.admin.metric_table import METRICS
from testkit.programs import free_port
from testkit.tunnel import LOOPBACK, Tunnel

pytestmark = pytest.mark.skipif(
    not (PROMETHEUS and PROMTOOL), reason="needs prometheus and promtool"
)

DASHBOARD = json.loads((ROOT / "contrib" / "grafana" / "quictunnel.json").read_text("utf-8"))

VARIABLES = {
    "$__rate_interval": "10s",
    "$__range": "10s",
    "$job": "quictunnel",
    "$instance": ".*",
    "$service": ".*",
}
"""Values for the variables of Grafana."""

TARGET = """- targets: ["127.0.0.1:9002"]
        labels:
          instance: vps
"""

CLIENTS, LEFT = 3, 2
"""Clients that stay connected, and those that leave before."""

QUESTION, ANSWER = b"question", b"answer"


def values_of(key: str, tree) -> list[str]:
    """Return all texts below a key in a tree of JSON."""
    if isinstance(tree, list):
        return [text for branch in tree for text in values_of(key, branch)]
    if not isinstance(tree, dict):
        return []
    own = [tree[key]] if isinstance(tree.get(key), str) else []
    return own + [text for branch in tree.values() for text in values_of(key, branch)]


def expressions() -> list[str]:
    """Return the queries of the dashboard, as Grafana sends them."""
    text = json.dumps(values_of("expr", DASHBOARD))
    for name, value in VARIABLES.items():
        text = text.replace(name, value)
    return json.loads(text)


class Monitored:
    """A tunnel with clients, whose ends a Prometheus scrapes every second."""

    def __init__(self, tunnel: Tunnel, scratch: Path) -> None:
        self.tunnel = tunnel
        self.admin = {end: f"{LOOPBACK}:{free_port()}" for end in ("remote", "origin")}
        self.prometheus = Prometheus(self._configure(scratch), tunnel.programs)
        tunnel.up(**{end: ("--admin", address) for end, address in self.admin.items()})
        for number in range(CLIENTS + LEFT):
            client, server = tunnel.pair()
            client.send(QUESTION)
            assert server.receive(len(QUESTION)) == QUESTION
            server.send(ANSWER)
            assert client.receive(len(ANSWER)) == ANSWER
            if number < LEFT:
                client.send_eof()
                server.send_eof()
        self.prometheus.wait_for('up{job="quictunnel"} == 1', 2)

    def scrape(self, end: str) -> str:
        """Return the metrics of one end, as Prometheus gets them."""
        with urllib.request.urlopen(f"http://{self.admin[end]}/metrics", timeout=20) as answer:
            assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
            return answer.read().decode()

    def _configure(self, scratch: Path) -> Path:
        """Return the configuration in `contrib`, with our targets, and with short intervals."""
        (scratch / "alerts.yml").write_text((CONTRIB / "alerts.yml").read_text("utf-8"), "utf-8")
        text = (CONTRIB / "prometheus.yml").read_text("utf-8")
        assert TARGET in text
        targets = [
            TARGET.replace("127.0.0.1:9002", address).replace("vps", end)
            for end, address in self.admin.items()
        ]
        file = scratch / "prometheus.yml"
        file.write_text(text.replace(TARGET, "      ".join(targets)).replace("15s", "1s"), "utf-8")
        return file


@pytest.fixture(scope="module")
def monitored(tmp_path_factory):
    scratch = tmp_path_factory.mktemp("monitored")
    with Tunnel(scratch) as tunnel:
        yield Monitored(tunnel, scratch)
        tunnel.end()


@pytest.mark.parametrize("end", ["remote", "origin"])
def test_the_metrics_follow_the_conventions(monitored, end):
    assert promtool("check", "metrics", stdin=monitored.scrape(end)) == ""


def test_every_metric_of_the_table_is_scraped(monitored):
    monitored.prometheus.wait_for(
        f"sum by (instance) (quictunnel_clients_closed_total) == {LEFT}", 2
    )
    names = monitored.prometheus.names()
    for metric in METRICS:
        name = f"{metric.name}_bucket" if metric.type == "histogram" else metric.name
        assert name in names
        instances = {each["metric"]["instance"] for each in monitored.prometheus.query(name)}
        assert instances <= ({metric.role} if metric.role else {"remote", "origin"})


@pytest.mark.parametrize("expression", expressions())
def test_every_panel_of_the_dashboard_has_data(monitored, expression):
    assert "$" not in expression
    named = set(re.findall(r"\bquictunnel_\w+", expression))
    monitored.prometheus.wait_for("rate(quictunnel_process_cpu_seconds_total[10s])", 2)
    assert named <= monitored.prometheus.names()
    # A restart is marked only when there was one.
    if not expression.startswith("changes("):
        monitored.prometheus.wait_for(expression)


def test_the_variables_of_the_dashboard_exist(monitored):
    queries = re.findall(r"label_values\(([a-z_]+)", json.dumps(DASHBOARD["templating"]))
    assert len(queries) >= 3
    assert set(queries) <= monitored.prometheus.names()


def test_no_alert_fires_for_a_tunnel_that_works(monitored):
    prometheus = monitored.prometheus
    prometheus.wait_for("rate(quictunnel_process_cpu_seconds_total[10s])", 2)
    (group,) = prometheus.api("rules")["groups"]
    assert {rule["name"] for rule in group["rules"]} == alert_names()
    for rule in group["rules"]:
        assert set(re.findall(r"\bquictunnel_\w+", rule["query"])) <= prometheus.names()
        prometheus.query(rule["query"])
        assert rule["health"] in {"ok", "unknown"}  # unknown until its first evaluation
        assert rule["alerts"] == []


def test_the_figures_are_those_of_the_tunnel(monitored):
    prometheus = monitored.prometheus
    for end in ("remote", "origin"):
        at = f'{{instance="{end}"}}'
        prometheus.wait_for(f"sum(quictunnel_clients{at}) == {CLIENTS}")
        prometheus.wait_for(f"sum(quictunnel_clients_accepted_total{at}) == {CLIENTS + LEFT}")
        prometheus.wait_for(f"sum(quictunnel_client_first_byte_seconds_count{at}) == {LEFT}")
        for direction, text in (("up", QUESTION), ("down", ANSWER)):
            at = f'{{instance="{end}", direction="{direction}"}}'
            total = len(text) * (CLIENTS + LEFT)
            prometheus.wait_for(f"sum(quictunnel_forwarded_bytes_total{at}) == {total}")
    prometheus.wait_for(f"sum(quictunnel_origin_server_connect_seconds_count) == {LEFT}")
