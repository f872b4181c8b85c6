"""Tables of services, links and clients."""

from __future__ import annotations

import msgspec
import pytest
from fake_role import LINK, SAMPLE, SERVICE, client

from quictunnel.admin.answers import ClientEntry, LinkEntry
from quictunnel.cli.role_tables import clients_table, links_table, services_table
from quictunnel.snapshots import ServiceSnapshot


def service(**more) -> ServiceSnapshot:
    return msgspec.convert(SERVICE | more, ServiceSnapshot)


def link(**more) -> LinkEntry:
    return msgspec.convert(LINK | more, LinkEntry)


def row(table) -> dict:
    """Return the cells of the only row, by column."""
    (cells,) = table.rows
    return dict(zip(table.names, cells, strict=True))


def test_a_service_at_a_remote():
    assert row(services_table([service()])) == {
        "SERVICE": "web",
        "STATE": ("up", "green"),
        "CLIENTS": "2",
        "WHERE": "https://www.example.com/",
        "ORIGIN": "laptop",
    }


def test_a_service_at_an_origin_that_is_not_up():
    told = row(services_table([service(target="[::1]:80", origins=[], urls=[], state="refused")]))
    assert told["STATE"] == ("refused", "red")
    assert told["WHERE"] == "www.example.com"
    assert told["TO"] == "[::1]:80"
    assert "WHY" not in told
    table = services_table([service(state="down", reason="no link"), service()])
    assert [cells[-1] for cells in table.rows] == ["no link", ""]
    assert table.names[-1] == "WHY"


def test_a_link():
    assert row(links_table([link()])) == {
        "LINK": "laptop",
        "PEER": "203.0.113.7:50122",
        "STATE": ("up", "green"),
        "PATH": "udp",
        "RTT": "23 ms",
        "LOSS": "1.2 %",
        "UP": "1.00 Mbit/s",
        "DOWN": "100 Mbit/s",
        "CLIENTS": "2",
        "AGE": "1m30s",
        "PROGRAM": "quictunnel/1.2.3",
    }


def test_a_link_without_samples():
    told = row(links_table([link(history=[], rtt=None)]))
    assert (told["RTT"], told["LOSS"], told["UP"]) == ("-", "1.0 %", "-")


@pytest.mark.parametrize(
    ("more", "state"),
    [
        ({"silent_for": 7.5}, ("silent for 7s of 15m", "yellow")),
        ({"is_draining": True}, ("drains", "yellow")),
    ],
)
def test_a_link_that_is_not_up(more, state):
    assert row(links_table([link(history=[SAMPLE], **more)]))["STATE"] == state


def test_a_client():
    (entry,) = msgspec.convert([client(1, address=None, origin=None)], list[ClientEntry])
    assert row(clients_table([entry])) == {
        "ID": "c1",
        "CLIENT": "-",
        "SERVICE": "web",
        "STATE": "open",
        "AGE": "1m39s",
        "UP": "10.0 kbit/s",
        "DOWN": "-",
        "BYTES UP": "1.50 kB",
        "BYTES DOWN": "2.50 MB",
    }


def test_a_narrow_terminal_has_fewer_columns():
    table = links_table([link()])
    assert table.fitted(200) == table
    names = [table.fitted(width).names for width in (95, 80, 60, 20)]
    assert [len(each) for each in names] == [10, 8, 6, 5]
    assert names[-1] == ("LINK", "PEER", "STATE", "RTT", "LOSS")
