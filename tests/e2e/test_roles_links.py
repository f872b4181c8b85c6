"""Links between a remote and origins in one process: take-over, restarts, outages."""

from __future__ import annotations

import pytest
from roles_in_process import refused

from quictunnel.config.addresses import HostPort
from quictunnel.protocol.codes import Code
from testkit.programs import LINK_SILENT
from testkit.tunnel import LOOPBACK


async def test_a_second_origin_of_the_same_name_takes_over(roles):
    first = await roles.up()
    client, _ = await roles.pair()
    await roles.up(take_over=True)
    refusal = await refused(first)
    assert refusal.code == Code.TAKEN_OVER
    assert await client.is_reset()
    client, server = await roles.pair()
    await client.send(b"x")
    assert await server.receive(1) == b"x"


async def test_without_being_told_to_it_does_not(roles):
    first = await roles.up()
    client, server = await roles.pair()
    refusal = await refused(await roles.start_origin())
    assert (refusal.code, "--take-over" in str(refusal)) == (Code.SERVICE_TAKEN, True)
    await client.send(b"x")
    assert await server.receive(1) == b"x"
    first.abort()
    await first.wait_closed()
    await roles.up()


async def test_an_origin_of_another_name_does_not_take_over(roles):
    await roles.up()
    other = await roles.start_origin(name="other")
    assert (await refused(other)).code == Code.SERVICE_TAKEN


async def test_the_origin_reconnects_after_a_goodbye(roles):
    await roles.up()
    client, _ = await roles.pair()
    port = roles.port
    roles.remote.abort()
    await roles.remote.wait_closed()
    assert await client.is_reset()
    roles.remote = await roles.start_remote(listen=HostPort(LOOPBACK, port))
    await roles.ready.get()
    client, server = await roles.pair()
    await client.send(b"x")
    assert await server.receive(1) == b"x"


@pytest.mark.usefixtures("fast_liveness")
async def test_the_origin_reconnects_after_the_death_of_the_remote(roles, forwarder):
    await roles.up(port=forwarder.port)
    client, server = await roles.pair()
    await client.send(b"x")
    await server.receive(1)
    roles.remote = await roles.start_remote()
    forwarder.retarget(roles.port)
    await roles.ready.get()
    assert await server.is_reset()
    client, server = await roles.pair()
    await client.send(b"y")
    assert await server.receive(1) == b"y"


@pytest.mark.usefixtures("fast_liveness")
async def test_clients_survive_an_outage(roles, forwarder, wait_for_remote_log):
    await roles.up(port=forwarder.port)
    client, server = await roles.pair()
    forwarder.is_dark = True
    await server.send(b"during outage...")
    await wait_for_remote_log(LINK_SILENT)
    waiting = await roles.connect()
    await waiting.send(b"connected late..")
    forwarder.is_dark = False
    assert await client.receive(16) == b"during outage..."
    late = await roles.served.get()
    assert await late.receive(16) == b"connected late.."
    assert roles.ready.empty()
