"""Clients of a remote and an origin in one process: each ending, both ways."""

from __future__ import annotations

import asyncio
import hashlib
import socket

from town import LOOPBACK

from quictunnel.config.addresses import HostPort


async def test_a_question_and_its_answer(town):
    await town.up()
    client, server = await town.a_pair()
    await client.say(b"question")
    assert await server.hear(8) == b"question"
    await server.say(b"answer")
    assert await client.hear(6) == b"answer"


async def test_the_first_word_may_be_the_servers(town):
    await town.up()
    client, server = await town.a_pair()
    await server.say(b"220 ready")
    assert await client.hear(9) == b"220 ready"


async def test_a_client_that_ends_still_gets_its_answer(town):
    await town.up()
    client, server = await town.a_pair()
    await client.say(b"x")
    client.end()
    assert await server.hear_all() == b"x"
    await server.say(b"answer")
    server.end()
    assert await client.hear_all() == b"answer"


async def test_a_server_that_ends_still_gets_the_rest(town):
    await town.up()
    client, server = await town.a_pair()
    await server.say(b"greeting")
    server.end()
    assert await client.hear_all() == b"greeting"
    await client.say(b"the rest")
    client.end()
    assert await server.hear_all() == b"the rest"


async def test_a_clients_reset_is_a_reset_at_the_server(town):
    await town.up()
    client, server = await town.a_pair()
    await client.say(b"x")
    await server.hear(1)
    client.reset()
    assert await server.is_reset()


async def test_a_servers_reset_is_a_reset_at_the_client(town):
    await town.up()
    client, server = await town.a_pair()
    await server.say(b"half of it")
    assert await client.hear(10) == b"half of it"
    server.reset()
    assert await client.is_reset()


async def test_a_server_that_is_not_there_is_a_reset_at_the_client(town):
    with socket.socket() as nobody:
        nobody.bind((LOOPBACK, 0))
        await town.up(origin=HostPort(LOOPBACK, nobody.getsockname()[1]))
        client = await town.a_client()
        assert await client.is_reset()


async def test_many_clients_at_once_get_each_its_own(town):
    await town.up()

    async def echo() -> None:
        while True:
            server = await town.served.get()
            question = await server.hear(32)
            await server.say(question * 1000)
            server.end()

    async def ask(number: int) -> None:
        client = await town.a_client()
        question = hashlib.sha256(bytes([number])).digest()
        await client.say(question)
        assert await client.hear_all() == question * 1000

    echoing = asyncio.create_task(echo())
    async with asyncio.TaskGroup() as clients:
        for number in range(50):
            clients.create_task(ask(number))
    echoing.cancel()


async def test_a_client_waits_for_its_origin(town):
    client = await town.a_client()
    await client.say(b"early")
    await town.up()
    server = await town.served.get()
    assert await server.hear(5) == b"early"


async def test_a_client_does_not_wait_for_ever(town):
    town.remote = await town.a_remote(client_wait=0.1)
    client = await town.a_client()
    assert await client.is_reset()


async def test_the_server_learns_who_the_client_is(town):
    await town.up(proxy_protocol="v1")
    client, server = await town.a_pair()
    port = client.writer.get_extra_info("sockname")[1]
    outside = town.remote.outside_address.port
    await client.say(b"x")
    client.end()
    assert await server.hear_all() == (
        f"PROXY TCP4 127.0.0.1 127.0.0.1 {port} {outside}\r\nx".encode()
    )
