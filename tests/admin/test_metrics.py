"""Metrics: what a scrape shows of a role, and that it never holds up the event loop for long."""

from __future__ import annotations

import asyncio
import errno
import io
import logging
import re
from dataclasses import replace
from itertools import pairwise

import pytest
from observed_role import ScriptedRole
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from quictunnel import events
from quictunnel.admin import metrics, metrics_reading
from quictunnel.admin.metric_table import METRICS, metrics_of
from quictunnel.admin.metrics import MetricsCollector, render
from quictunnel.admin.metrics_reading import MetricsReader
from quictunnel.events import ClientEnding, PathKind
from quictunnel.observe import process
from quictunnel.observe import tallies as tallies_module
from quictunnel.observe.line_writer import writer_of
from quictunnel.observe.log_writer import BatchHandler
from quictunnel.observe.loop_delay import LoopDelay
from quictunnel.observe.tallies import Tallies
from testkit.snapshots import CLIENT, LINK, SERVICE

ADDRESS = "192.0.2.7:40000"

PATH = "quictunnel_link_path"

MOVES = "quictunnel_link_path_moves_total"


def client_snapshot(number: int = 1, **changes):
    return replace(CLIENT, **{"id": f"c{number}", "bytes_up": 0, "bytes_down": 0} | changes)


def link_snapshot(number: int = 1, **changes):
    return replace(LINK, id=f"l{number}", **changes)


def service_snapshot(name: str, **changes):
    return replace(SERVICE, name=name, **changes)


@pytest.fixture
def role():
    role = ScriptedRole()
    role.clients = []
    return role


@pytest.fixture
def tallies():
    return Tallies()


@pytest.fixture
async def reader(role, tallies):
    return MetricsReader(role, tallies, LoopDelay())


async def scrape(reader) -> dict[tuple, float]:
    """Return the samples by name and the values of their labels."""
    text = (await render(reader)).decode()
    samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = (sample.name, *(value for _, value in sorted(sample.labels.items())))
            assert key not in samples
            samples[key] = sample.value
    return samples


async def test_every_metric_of_the_role_is_shown_with_its_help(reader, tallies):
    count_everything(tallies)
    text = (await render(reader)).decode()
    for metric in metrics_of("remote"):
        assert f"# HELP {metric.name} {metric.help}\n# TYPE {metric.name} {metric.type}\n" in text
    for metric in set(METRICS) - set(metrics_of("remote")):
        assert metric.name not in text


async def test_metrics_of_the_other_role(role, reader):
    role.state = replace(role.state, role="origin")
    names = {name for name, *_ in await scrape(reader)}
    assert "quictunnel_origin_server_connect_failures_total" in names
    assert "quictunnel_proof_failures_total" not in names


def count_everything(tallies):
    tallies(events.ClientAccepted(ADDRESS, "web", "1"))
    tallies(closed(bytes_up=10, bytes_down=200, first_byte=0.02, connect_time=0.002))
    tallies(events.ClientRejected(ADDRESS, "words", kind=ClientEnding.POLICY))
    tallies(events.CertificateLoaded("file", "sha256:00", "2027-01-31T00:00:00+00:00"))


async def test_the_state_of_the_role(role, reader):
    role.state = replace(role.state, unread_bytes=70_000)
    samples = await scrape(reader)
    assert samples["quictunnel_ready",] == 1
    assert samples["quictunnel_clients_limit",] == 1000
    assert samples["quictunnel_unread_bytes",] == 70_000
    role.state = replace(role.state, is_ready=False)
    assert (await scrape(reader))["quictunnel_ready",] == 0


async def test_clients_by_service_and_state(role, reader):
    role.clients = [
        client_snapshot(1),
        client_snapshot(2),
        client_snapshot(3, state="closing"),
        client_snapshot(4, service="ssh", state="waiting"),
    ]
    samples = await scrape(reader)
    assert samples["quictunnel_clients", "web", "open"] == 2
    assert samples["quictunnel_clients", "web", "closing"] == 1
    assert samples["quictunnel_clients", "ssh", "waiting"] == 1


async def test_bytes_of_connected_clients_count_at_once_and_stay(role, tallies, reader):
    tallies(closed(bytes_up=10, bytes_down=200))
    role.clients = [client_snapshot(1, bytes_up=1, bytes_down=5000)]
    samples = await scrape(reader)
    assert samples["quictunnel_forwarded_bytes_total", "up", "web"] == 11
    assert samples["quictunnel_forwarded_bytes_total", "down", "web"] == 5200
    role.clients = []
    tallies(closed(bytes_up=1, bytes_down=6000))
    samples = await scrape(reader)
    assert samples["quictunnel_forwarded_bytes_total", "down", "web"] == 6200


def closed(service="web", **fields):
    return events.ClientClosed(
        ADDRESS, service, "1", duration=1.0, reason="words", ending=ClientEnding.EOF, **fields
    )


async def test_bytes_never_fall_when_a_client_moves(role, reader):
    role.clients = [client_snapshot(1, bytes_up=700)]
    await scrape(reader)
    role.clients = [client_snapshot(1, bytes_up=0)]
    samples = await scrape(reader)
    assert samples["quictunnel_forwarded_bytes_total", "up", "web"] == 700


async def test_a_client_that_leaves_during_a_scrape_counts_once(role, tallies, monkeypatch):
    monkeypatch.setattr(metrics_reading, "CLIENTS_PER_TURN", 1)
    role.clients = [client_snapshot(number, bytes_down=100) for number in range(10)]
    reader = MetricsReader(role, tallies, LoopDelay())
    scraping = asyncio.create_task(scrape(reader))
    for _ in range(4):
        await asyncio.sleep(0)
    tallies(closed(bytes_up=0, bytes_down=100))
    samples = await scraping
    assert samples["quictunnel_forwarded_bytes_total", "down", "web"] == 1000


async def test_endings_and_times(tallies, reader):
    count_everything(tallies)
    samples = await scrape(reader)
    assert samples["quictunnel_clients_accepted_total", "web"] == 1
    assert samples["quictunnel_clients_closed_total", "eof", "web"] == 1
    assert samples["quictunnel_client_first_byte_seconds_bucket", "0.01", "web"] == 0
    assert samples["quictunnel_client_first_byte_seconds_bucket", "0.025", "web"] == 1
    assert samples["quictunnel_client_first_byte_seconds_bucket", "+Inf", "web"] == 1
    assert samples["quictunnel_client_first_byte_seconds_sum", "web"] == 0.02
    assert samples["quictunnel_client_first_byte_seconds_count", "web"] == 1


async def test_failures_are_shown_before_the_first_one(reader):
    """Without a 0 before it, `increase()` of Prometheus does not see the first failure."""
    samples = await scrape(reader)
    assert samples["quictunnel_proof_failures_total", "bad-token"] == 0
    assert samples["quictunnel_handshake_failures_total", "hello-timeout"] == 0
    assert samples["quictunnel_link_silences_total", "box"] == 0
    assert samples["quictunnel_clients_accepted_total", "web"] == 0
    assert samples["quictunnel_internal_errors_total",] == 0


async def test_services_of_the_same_name_are_joined(role, reader):
    role.services = [
        service_snapshot("web", state="down"),
        service_snapshot("web"),
        service_snapshot("ssh", state="silent"),
    ]
    samples = await scrape(reader)
    assert samples["quictunnel_service_up", "web"] == 1
    assert samples["quictunnel_service_up", "ssh"] == 0
    assert samples["quictunnel_services", "down"] == 1
    assert samples["quictunnel_services", "refused"] == 0


async def test_the_kind_of_path_of_each_origin_is_shown(role, reader):
    role.links = [link_snapshot(1), link_snapshot(2, origin="nas", path=PathKind.WEBSOCKET)]
    samples = await scrape(reader)
    paths = {labels[1:]: value for labels, value in samples.items() if labels[0] == PATH}
    assert paths == {
        ("box", "udp"): 1,
        ("box", "websocket"): 0,
        ("nas", "udp"): 0,
        ("nas", "websocket"): 1,
    }


async def test_moves_between_kinds_of_paths_are_shown_before_the_first_one(role, reader):
    samples = await scrape(reader)
    moves = {labels[1:]: value for labels, value in samples.items() if labels[0] == MOVES}
    assert moves == {("udp", "unknown"): 0, ("websocket", "unknown"): 0}


async def test_the_newest_link_of_an_origin_is_shown(role, reader):
    role.links = [
        link_snapshot(1, rtt=0.5, silent_for=40.0),
        link_snapshot(2, rtt=0.02),
        link_snapshot(3, rtt=0.3, is_draining=True),
        link_snapshot(4, origin="nas", rtt=None, is_draining=True),
    ]
    samples = await scrape(reader)
    assert samples["quictunnel_link_rtt_seconds", "box"] == 0.02
    assert samples["quictunnel_link_silent_seconds", "box"] == 0
    assert ("quictunnel_link_rtt_seconds", "nas") not in samples
    assert samples["quictunnel_link_mtu_bytes", "nas"] == 1400
    states = [samples["quictunnel_links", state] for state in ("up", "silent", "draining")]
    assert states == [1, 1, 2]


async def test_counters_of_links(role, reader):
    role.links = [link_snapshot(bytes_sent=10, packets_lost=2, bytes_lost=2800)]
    samples = await scrape(reader)
    assert samples["quictunnel_link_sent_bytes_total", "box"] == 10
    assert samples["quictunnel_link_lost_packets_total", "box"] == 2
    assert samples["quictunnel_link_retransmitted_bytes_total", "box"] == 2800


async def test_facts_about_the_process(reader):
    samples = await scrape(reader)
    assert samples["quictunnel_process_cpu_seconds_total",] > 0
    *_, descriptors = process.count_descriptors()
    assert abs(samples["quictunnel_process_open_fds",] - descriptors) < 5
    assert samples["quictunnel_event_loop_delay_seconds_count",] == 0


async def test_a_fact_that_the_system_does_not_know_is_left_out(reader, monkeypatch):
    monkeypatch.setattr(process, "count_descriptors", lambda: iter(()))
    monkeypatch.setattr(process, "resident_bytes", lambda: None)
    names = {name for name, *_ in await scrape(reader)}
    assert "quictunnel_process_open_fds" not in names
    assert "quictunnel_process_resident_memory_bytes" not in names


class FullDisk(io.StringIO):
    def write(self, _text):
        raise OSError(errno.ENOSPC, "No space left on device")


async def test_lines_that_the_log_has_lost(reader, monkeypatch):
    name = ("quictunnel_log_lines_lost_total",)
    stream = FullDisk()
    handler = BatchHandler(writer_of(stream), stream)
    monkeypatch.setattr(logging.getLogger(), "handlers", [handler])
    assert (await scrape(reader))[name] == 0
    logging.getLogger().warning("one")
    logging.getLogger().warning("two")
    assert (await scrape(reader))[name] == 2


async def test_the_start_is_the_same_in_each_scrape(reader):
    first, second = await scrape(reader), await scrape(reader)
    start = ("quictunnel_start_time_seconds",)
    assert first[start] == second[start]


async def test_names_beyond_the_limit_are_shown_together(role, tallies, reader, monkeypatch):
    monkeypatch.setattr(tallies_module, "MAX_NAMES", 2)
    monkeypatch.setattr(tallies_module, "MAX_TIMED", 1)
    role.services = [service_snapshot(f"service-{number}") for number in range(9)]
    role.links = [link_snapshot(number, origin=f"origin-{number}") for number in range(9)]
    role.clients = [client_snapshot(n, service=f"service-{n}", bytes_up=1) for n in range(9)]
    samples = await scrape(reader)
    assert samples["quictunnel_clients", "other", "open"] == 7
    assert samples["quictunnel_forwarded_bytes_total", "up", "other"] == 7
    for name in ("quictunnel_service_up", "quictunnel_link_mtu_bytes"):
        assert sum(key[0] == name for key in samples) == 3
    name = "quictunnel_client_first_byte_seconds_count"
    assert {key[1] for key in samples if key[0] == name} == {"service-0"}
    for service in ("service-1", "service-2"):
        tallies(closed(service, bytes_up=0, bytes_down=0, first_byte=0.1))
    assert (await scrape(reader))[name, "other"] == 2


async def test_no_address_and_no_sentence_is_shown(role, tallies, reader):
    role.clients = [client_snapshot(1, address="203.0.113.77:1")]
    count_everything(tallies)
    text = (await render(reader)).decode()
    assert not re.search(r"203\.0\.113|192\.0\.2|198\.51\.100|words", text)


async def test_names_of_peers_are_escaped(role, reader):
    role.links = [link_snapshot(origin='a"} 1\nquictunnel_ready 0\\\x1b[31m')]
    assert b"\x1b" not in await render(reader)
    samples = await scrape(reader)
    assert samples["quictunnel_ready",] == 1
    shown = r'a"} 1\nquictunnel_ready 0\\\x1b[31m'  # as in the log
    assert samples["quictunnel_link_mtu_bytes", shown] == 1400


async def test_prometheus_client_can_collect_the_metrics(role, reader):
    registry = CollectorRegistry()
    registry.register(MetricsCollector(await reader.read()))
    assert registry.get_sample_value("quictunnel_ready") == 1
    assert registry.get_sample_value("quictunnel_links", {"state": "up"}) == 1


class Counting(list):
    """A list that counts how many of its values were taken."""

    taken = 0

    def __iter__(self):
        for value in super().__iter__():
            self.taken += 1
            yield value


async def test_a_scrape_lets_other_callbacks_run(role, tallies, reader, monkeypatch):
    """No turn of the event loop reads or renders more than the limits."""
    names = [f"service-{number}" for number in range(1_000)]
    role.services = services = Counting(map(service_snapshot, names))
    role.clients = clients = Counting(
        client_snapshot(number, service=names[number % len(names)]) for number in range(10_000)
    )
    for name in names:
        for ending in ("eof", "link-lost", "reset-by-client"):
            tallies.service(name).closed[ending] += 1
    rendered = 0
    render_piece = metrics._render_piece

    def count(metric):
        nonlocal rendered
        rendered += len(metric.samples)
        return render_piece(metric)

    monkeypatch.setattr(metrics, "_render_piece", count)
    scraping = asyncio.create_task(render(reader))
    totals = [(0, 0, 0)]
    while not scraping.done():
        await asyncio.sleep(0)
        totals.append((services.taken, clients.taken, rendered))
    assert totals[-1][:2] == (1_000, 10_000)
    assert rendered > 10_000
    steps = [
        [after - before for before, after in zip(*two, strict=True)] for two in pairwise(totals)
    ]
    most = [max(of_kind) for of_kind in zip(*steps, strict=True)]
    limits = (metrics_reading.SERVICES_PER_TURN, metrics_reading.CLIENTS_PER_TURN)
    assert most[0] <= limits[0]
    assert most[1] <= limits[1]
    assert most[2] <= metrics.SAMPLES_PER_TURN
