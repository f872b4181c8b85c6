"""Connections through a remote and an origin in one process: each ending, in both directions."""

from __future__ import annotations

import asyncio
import hashlib
import socket

from quictunnel.config.addresses import HostPort
from testkit.tunnel import LOOPBACK


async def test_a_question_and_its_answer(roles):
    await roles.up()
    client, server = await roles.pair()
    await client.send(b"question")
    assert await server.receive(8) == b"question"
    await server.send(b"answer")
    assert await client.receive(6) == b"answer"


async def test_the_server_may_speak_first(roles):
    await roles.up()
    client, server = await roles.pair()
    await server.send(b"220 ready")
    assert await client.receive(9) == b"220 ready"


async def test_a_half_closed_client_gets_its_answer(roles):
    await roles.up()
    client, server = await roles.pair()
    await client.send(b"x")
    client.send_eof()
    assert await server.receive_all() == b"x"
    await server.send(b"answer")
    server.send_eof()
    assert await client.receive_all() == b"answer"


async def test_a_half_closed_server_gets_the_rest(roles):
    await roles.up()
    client, server = await roles.pair()
    await server.send(b"greeting")
    server.send_eof()
    assert await client.receive_all() == b"greeting"
    await client.send(b"the rest")
    client.send_eof()
    assert await server.receive_all() == b"the rest"


async def test_a_reset_by_the_client_resets_the_server(roles):
    await roles.up()
    client, server = await roles.pair()
    await client.send(b"x")
    await server.receive(1)
    client.reset()
    assert await server.is_reset()


async def test_a_reset_by_the_server_resets_the_client(roles):
    await roles.up()
    client, server = await roles.pair()
    await server.send(b"half of it")
    assert await client.receive(10) == b"half of it"
    server.reset()
    assert await client.is_reset()


async def test_a_client_is_reset_if_the_origin_server_refuses(roles):
    with socket.socket() as unused:
        unused.bind((LOOPBACK, 0))
        await roles.up(target=HostPort(LOOPBACK, unused.getsockname()[1]))
        client = await roles.connect()
        assert await client.is_reset()


async def test_each_of_many_concurrent_clients_gets_its_own_answer(roles):
    await roles.up()

    async def echo() -> None:
        while True:
            server = await roles.served.get()
            question = await server.receive(32)
            await server.send(question * 1000)
            server.send_eof()

    async def ask(number: int) -> None:
        client = await roles.connect()
        question = hashlib.sha256(bytes([number])).digest()
        await client.send(question)
        assert await client.receive_all() == question * 1000

    echoing = asyncio.create_task(echo())
    async with asyncio.TaskGroup() as clients:
        for number in range(50):
            clients.create_task(ask(number))
    echoing.cancel()


async def test_a_client_waits_for_an_origin(roles):
    client = await roles.connect()
    await client.send(b"early")
    await roles.up()
    server = await roles.served.get()
    assert await server.receive(5) == b"early"


async def test_a_client_is_reset_if_no_origin_connects_in_time(roles):
    roles.remote = await roles.start_remote(client_wait=0.1)
    client = await roles.connect()
    assert await client.is_reset()


async def test_the_server_gets_the_address_of_the_client(roles):
    await roles.up(proxy_protocol="v1")
    client, server = await roles.pair()
    port = client.writer.get_extra_info("sockname")[1]
    outside = roles.remote.outside_address.port
    await client.send(b"x")
    client.send_eof()
    assert await server.receive_all() == (
        f"PROXY TCP4 127.0.0.1 127.0.0.1 {port} {outside}\r\nx".encode()
    )
