"""Links between a remote and origins in one process come and go."""

from __future__ import annotations

import pytest
from town import LOOPBACK, refused

from quictunnel.config.addresses import HostPort
from quictunnel.protocol.codes import Code


async def test_a_second_origin_of_the_same_name_takes_over(town):
    first = await town.up()
    client, _ = await town.a_pair()
    await town.up()
    refusal = await refused(first)
    assert refusal.code == Code.TAKEN_OVER
    assert await client.is_reset()
    client, server = await town.a_pair()
    await client.say(b"x")
    assert await server.hear(1) == b"x"


async def test_an_origin_of_another_name_does_not(town):
    await town.up()
    other = await town.an_origin(name="other")
    assert (await refused(other)).code == Code.SERVICE_TAKEN


async def test_a_remote_that_says_goodbye_and_comes_back_is_found_again(town):
    await town.up()
    client, _ = await town.a_pair()
    port = town.port
    town.remote.abort()
    await town.remote.wait_closed()
    assert await client.is_reset()
    town.remote = await town.a_remote(listen=HostPort(LOOPBACK, port))
    await town.ready.get()
    client, server = await town.a_pair()
    await client.say(b"x")
    assert await server.hear(1) == b"x"


@pytest.mark.usefixtures("quick_to_notice")
async def test_a_remote_that_died_without_a_word_is_found_again(town, network):
    await town.up(port=network.port)
    client, server = await town.a_pair()
    await client.say(b"x")
    await server.hear(1)
    town.remote = await town.a_remote()
    network.lead_to(town.port)
    await town.ready.get()
    assert await server.is_reset()
    client, server = await town.a_pair()
    await client.say(b"y")
    assert await server.hear(1) == b"y"


@pytest.mark.usefixtures("quick_to_notice")
async def test_clients_live_through_a_dark_network(town, network, remote_says_that):
    await town.up(port=network.port)
    client, server = await town.a_pair()
    network.is_dark = True
    await server.say(b"said in the dark")
    await remote_says_that("link silent")
    waiting = await town.a_client()
    await waiting.say(b"come in the dark")
    network.is_dark = False
    assert await client.hear(16) == b"said in the dark"
    late = await town.served.get()
    assert await late.hear(16) == b"come in the dark"
    assert town.ready.empty()
