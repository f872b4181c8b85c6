"""The admin API's state of a role: the members of each answer, pages and sorting of clients."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace

import pytest
from observed_role import clients, managed_role

from quictunnel import __version__
from quictunnel.admin.api import MAX_CLIENTS, MAX_REFUSALS
from quictunnel.admin.client_rates import SLICE
from quictunnel.admin.event_stream import EventStreams
from quictunnel.admin.routes import make_routes
from quictunnel.events import (
    ClientAccepted,
    ClientEnding,
    ClientRejected,
    LinkMoved,
    RefusalKind,
    ServiceRefused,
)
from testkit.snapshots import CLIENT, LINK, SERVICE, STATE


@pytest.fixture
async def api(serve):
    """Return a function that returns a role and its server."""

    async def start(name: str = "remote"):
        managed = managed_role(name)
        return managed, await serve(*make_routes(managed, EventStreams(managed.history)))

    return start


async def test_the_status_has_the_role_the_program_and_numbers(api):
    managed, peer = await api()
    silent = replace(LINK, id="l2", silent_for=3.0)
    managed.role.links.append(silent)
    managed.role.services.append(replace(SERVICE, state="refused", reason="no"))
    status = (await peer.request("/api/v1/status")).json
    assert status["role"] == "remote"
    assert status["addresses"] == list(STATE.addresses)
    assert (status["version"], status["pid"]) == (__version__, os.getpid())
    assert status["last_event"] == managed.history.last
    summary = status["summary"]
    assert (summary["links"], summary["silent_links"]) == (2, 1)
    assert (summary["services"], summary["services_up"]) == (2, 1)


async def test_services_have_all_their_members(api):
    _, peer = await api()
    (service,) = (await peer.request("/api/v1/services")).json["services"]
    assert service == {
        "name": "web",
        "places": ["[::]:9000"],
        "urls": ["http://192.0.2.1:9000/"],
        "target": None,
        "origins": ["box"],
        "state": "up",
        "reason": None,
        "clients": 1,
    }


async def test_links_have_their_history_and_changes(api):
    managed, peer = await api()
    managed.links.sample()
    managed.links.sample()
    managed.links._changes(LinkMoved("box", "t", "192.0.2.9:1", "192.0.2.8:1", 2, "l1"))
    (link,) = (await peer.request("/api/v1/links")).json["links"]
    assert link["id"] == "l1"
    assert link["rtt"] == 0.025
    assert [set(sample) for sample in link["history"]] == [
        {"time", "rtt", "loss", "silent", "rate_up", "rate_down"}
    ] * 2
    (change,) = link["changes"]
    assert change | {"time": 0} == {
        "time": 0,
        "kind": "moved",
        "from": "192.0.2.8:1",
        "to": "192.0.2.9:1",
        "seconds": None,
        "path": "udp",
        "previous_path": None,
        "reason": None,
    }


async def test_a_caller_gets_only_the_samples_that_it_asks_for(api):
    managed, peer = await api()
    now = 999.0
    managed.links._now = lambda: now
    for _ in range(3):
        now += 1
        managed.links.sample()

    async def seen(query: str) -> list[float]:
        (link,) = (await peer.request(f"/api/v1/links?{query}")).json["links"]
        return [sample["time"] for sample in link["history"]]

    assert await seen("") == [1_000.0, 1_001.0, 1_002.0]
    assert await seen("since=1001") == [1_001.0, 1_002.0]
    assert await seen("history=1") == [1_002.0]
    assert await seen("history=0") == []
    assert (await peer.request("/api/v1/links?since=x")).status == 400


async def test_an_overview_has_status_links_and_clients_as_their_own_operations_do(api):
    managed, peer = await api()
    managed.links.sample()
    overview = (await peer.request("/api/v1/overview?history=1&limit=1&sort=bytes")).json
    assert set(overview) == {"status", "links", "clients"}
    (link,) = overview["links"]
    assert link == (await peer.request("/api/v1/links?history=1")).json["links"][0]
    assert overview["clients"] == (await peer.request("/api/v1/clients?limit=1&sort=bytes")).json
    status = (await peer.request("/api/v1/status")).json
    assert overview["status"] | {"time": 0} == status | {"time": 0}
    for query in ("since=x", "limit=x"):
        assert (await peer.request(f"/api/v1/overview?{query}")).status == 400


async def test_a_remote_lists_its_origins_with_their_links_together(api):
    managed, peer = await api()
    managed.role.links.append(
        replace(LINK, id="l2", age=5.0, peer="192.0.2.9:1", services=("ssh",), clients=2)
    )
    managed.role.links.append(replace(LINK, id="l3", origin="nas"))
    box, nas = (await peer.request("/api/v1/origins")).json["origins"]
    assert box == {
        "name": "box",
        "token": "2fdf26f2",
        "agent": "quictunnel/0.2.0",
        "address": "192.0.2.9:1",
        "links": ["l1", "l2"],
        "services": ["ssh", "web"],
        "clients": 3,
        "age": 100.0,
    }
    assert (nas["name"], nas["links"]) == ("nas", ["l3"])
    assert (await peer.request("/api/v1/remotes")).status == 404


@pytest.mark.parametrize(
    ("links", "state"),
    [
        ([LINK, replace(LINK, silent_for=1.0)], "up"),
        ([replace(LINK, silent_for=1.0)], "silent"),
        ([], "down"),
    ],
)
async def test_an_origin_lists_its_remote(api, links, state):
    managed, peer = await api("origin")
    managed.role.state = replace(STATE, role="origin", addresses=("vps.example.com:9001",))
    managed.role.links = links
    (remote,) = (await peer.request("/api/v1/remotes")).json["remotes"]
    assert (remote["address"], remote["state"]) == ("vps.example.com:9001", state)
    assert remote["links"] == [link.id for link in links]
    assert (await peer.request("/api/v1/origins")).status == 404


async def test_clients_have_their_members_and_rates(api):
    _, peer = await api()
    answer = (await peer.request("/api/v1/clients")).json
    assert answer["total"] == 1
    assert answer["clients"] == [
        {
            "id": "c1",
            "address": "203.0.113.9:5555",
            "service": "web",
            "origin": "box",
            "link": "l1",
            "state": "open",
            "age": 10.0,
            "bytes_up": 100,
            "bytes_down": 1000,
            "rate_up": 10,
            "rate_down": 100,
        }
    ]


async def test_clients_come_in_pages(api):
    managed, peer = await api()
    managed.role.clients = clients(250)
    seen = []
    for query in ("?sort=id", "?sort=id&offset=100", "?sort=id&offset=200&limit=100"):
        answer = (await peer.request(f"/api/v1/clients{query}")).json
        assert answer["total"] == 250
        seen += [client["id"] for client in answer["clients"]]
    assert seen == sorted(client.id for client in managed.role.clients)
    assert (await peer.request("/api/v1/clients?offset=9999")).json["clients"] == []
    assert (await peer.request("/api/v1/clients?limit=0")).json == {"total": 250, "clients": []}


async def test_other_callbacks_run_while_clients_are_read(api, monkeypatch):
    managed, peer = await api()
    turn = 0
    turns = []

    def count() -> None:
        nonlocal turn
        turn += 1
        asyncio.get_running_loop().call_soon(count)

    def iterate():
        for client in clients(4 * SLICE):
            turns.append(turn)
            yield client

    monkeypatch.setattr(managed.role, "iterate_clients", iterate)
    count()
    assert (await peer.request("/api/v1/clients")).json["total"] == 4 * SLICE
    assert max(map(turns.count, turns)) == SLICE


async def test_clients_can_be_sorted_and_those_without_a_value_are_last(api):
    managed, peer = await api()
    managed.role.clients = [
        replace(CLIENT, id="a", bytes_up=5, address=None),
        replace(CLIENT, id="b", bytes_up=9, address="192.0.2.1:1"),
        replace(CLIENT, id="c", bytes_up=7, address="192.0.2.2:1"),
    ]

    async def order(query: str) -> str:
        found = (await peer.request(f"/api/v1/clients?{query}")).json["clients"]
        return "".join(client["id"] for client in found)

    assert await order("sort=bytes_up") == "acb"
    assert await order("sort=bytes_up&descending=true") == "bca"
    assert await order("sort=rate_up&descending=1") == "bca"
    assert await order("sort=bytes") == "acb"
    assert await order("sort=rate") == "abc"  # b and c have the same one
    assert await order("sort=bytes&descending=true") == "bca"
    assert await order("sort=address") == "bca"
    assert await order("sort=address&descending=true") == "cba"


async def test_clients_of_one_service(api):
    managed, peer = await api()
    managed.role.clients = [CLIENT, replace(CLIENT, id="c2", service="ssh")]
    answer = (await peer.request("/api/v1/clients?service=ssh")).json
    assert (answer["total"], answer["clients"][0]["id"]) == (1, "c2")


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("sort=nothing", "sort is one of id, address"),
        ("limit=x", "limit is a number"),
        ("limit=-1", "limit is a number"),
        ("limit=%D9%A1", "limit is a number"),  # a digit that is not ASCII
        (f"limit={MAX_CLIENTS + 1}", f"limit is {MAX_CLIENTS} at most"),
        (f"offset={'9' * 30}", "offset is a number"),
        ("offset=1&offset=2", "offset is given more than once"),
        ("descending=perhaps", "descending is true or false"),
    ],
)
async def test_a_malformed_parameter_is_an_error(api, query, sentence):
    _, peer = await api()
    answer = await peer.request(f"/api/v1/clients?{query}")
    assert answer.status == 400
    assert answer.json["error"].startswith(sentence)


async def test_refusals_are_recent_events_the_newest_first(api):
    managed, peer = await api()
    refused = ServiceRefused("box", "t", "192.0.2.7:1", "ssh", "taken", RefusalKind.SERVICE_TAKEN)
    for event in (
        refused,
        ClientAccepted("192.0.2.9:1", "web", None),
        ClientRejected("192.0.2.9:1", "not allowed", ClientEnding.POLICY),
    ):
        managed.history(event)
    refusals = (await peer.request("/api/v1/refusals")).json["refusals"]
    assert [each["event"] for each in refusals] == ["client-rejected", "service-refused"]
    assert refusals[1]["reason"] == "taken"
    for _ in range(2 * MAX_REFUSALS):
        managed.history(refused)
    assert len((await peer.request("/api/v1/refusals")).json["refusals"]) == MAX_REFUSALS


async def test_a_request_makes_samples_more_frequent(api):
    managed, peer = await api()
    assert not managed.links._watched.is_set()
    await peer.request("/api/v1/status")
    assert managed.links._watched.is_set()
