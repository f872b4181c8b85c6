"""The origin narrows the remote's policy: it rejects clients before it connects for them."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network

from role_doubles import House, Tunnel, of_type
from scripted_remote import CLIENT, ScriptedRemote

from quictunnel.config.networks import NetworkSet
from quictunnel.config.policy import Policy
from quictunnel.config.services import parse_services
from quictunnel.events import ClientAccepted, ClientClosed, ClientEnding, ClientRejected
from quictunnel.origin.exposed_service import ExposedService
from quictunnel.protocol.codes import Code
from quictunnel.protocol.preamble import Preamble, encode_v2
from testkit.clock import seconds, settle, virtual_time

NOT_HERE = Policy(deny=NetworkSet([ip_network(CLIENT.client.host)]))


@virtual_time
async def test_a_client_that_the_service_rejects_reaches_no_origin_server():
    remote = await ScriptedRemote(policy=NOT_HERE).established()
    _, rejected = remote.client()
    _, accepted = remote.client(
        encode_v2(replace(CLIENT, client=replace(CLIENT.client, host="198.51.100.99")))
    )
    await settle()
    assert rejected.code == Code.REJECTED
    assert accepted.lost == "not yet"
    assert remote.upstream.attempts == 1
    (event,) = of_type(remote.events, ClientRejected)
    assert event == ClientRejected(
        str(CLIENT.client),
        "the policy of the service default does not allow the address",
        ClientEnding.POLICY,
    )
    assert len(of_type(remote.events, ClientAccepted)) == 1


@virtual_time
async def test_a_list_rejects_a_client_without_an_address():
    remote = await ScriptedRemote(policy=NOT_HERE).established()
    _, rejected = remote.client(encode_v2(Preamble(service="default")))
    await settle()
    assert rejected.code == Code.REJECTED
    (event,) = of_type(remote.events, ClientRejected)
    assert event.peer == "unknown"


@virtual_time
async def test_a_limit_counts_clients_until_they_leave():
    remote = await ScriptedRemote(policy=Policy(max_clients=1)).established()
    stream, first = remote.client()
    _, second = remote.client()
    await settle()
    assert (first.lost, second.code) == ("not yet", Code.REJECTED)
    stream.reset(Code.CLIENT_RESET)
    await settle()
    _, third = remote.client()
    await settle()
    assert third.lost == "not yet"


@virtual_time
async def test_a_client_whose_server_is_missing_leaves_too():
    remote = await ScriptedRemote(policy=Policy(max_clients=1)).established()
    remote.upstream.error = ConnectionRefusedError()
    for _ in range(3):
        _, received = remote.client()
        await settle()
        assert received.code == Code.INTERNAL
    assert remote.upstream.attempts == 3


@virtual_time
async def test_the_remote_closes_a_client_that_the_origin_rejects():
    """An older remote does the same: it takes the code for an unknown one."""
    house = House()
    tunnel = await Tunnel(house, policy=Policy(deny=NetworkSet([ip_network("192.0.2.7")]))).up()
    client = house.client()
    await settle()
    assert client.was_reset
    assert tunnel.upstream.connections == []
    (closed,) = of_type(house.events, ClientClosed)
    assert closed.reason == "rejected by a policy of the origin"


@virtual_time
async def test_the_rate_of_a_service_limits_both_directions():
    remote = await ScriptedRemote(policy=Policy(rate_per_client=1000)).established()
    remote.client()
    await settle()
    side = remote.upstream.connections[0].protocol
    assert [bucket._rate for bucket in side.throttle._buckets] == [1000]
    assert [bucket._rate for bucket in side.peer.throttle._buckets] == [1000]


@virtual_time
async def test_the_idle_timeout_of_a_service_resets_its_clients():
    remote = await ScriptedRemote(policy=Policy(idle_timeout=60)).established()
    _, received = remote.client()
    await seconds(59)
    assert received.lost == "not yet"
    await seconds(9)
    assert received.code == Code.IDLE_TIMEOUT


def test_a_changed_service_counts_the_clients_it_has():
    (settings,) = parse_services(["8000"])
    before = ExposedService(replace(settings, policy=Policy(max_clients=5)))
    assert [before.gate.enter(None) for _ in range(3)] == [None] * 3
    after = ExposedService(replace(settings, policy=Policy(max_clients=3)), before)
    assert after.gate.enter(None) == (ClientEnding.LIMIT, "the limit of clients is reached (3)")
    before.gate.leave(None)
    assert after.gate.enter(None) is None
