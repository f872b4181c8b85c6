"""A minimal tunnel on aioquic.asyncio, as a baseline for measurements.

It has one stream per client and forwards half-closes. It has no preamble, token, back-pressure,
resets, hold or drain. With aioquic's defaults it carries 128 clients at a time.

    python -m bench.naive remote CERT KEY
    python -m bench.naive origin CA LINK_PORT ORIGIN_PORT
"""

from __future__ import annotations

import asyncio
import sys

from aioquic.asyncio import QuicConnectionProtocol, connect, serve
from aioquic.quic.configuration import QuicConfiguration

ALPN = ["naive"]


async def pump(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.write_eof()


async def join(tcp, stream):
    try:
        await asyncio.gather(pump(tcp[0], stream[1]), pump(stream[0], tcp[1]))
    finally:
        tcp[1].close()


async def remote(cert, key):
    links = []

    class Link(QuicConnectionProtocol):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            links.append(self)

    async def client(reader, writer):
        stream = await links[-1].create_stream()
        stream[1].write(b"\0")  # opens the stream at the peer, so that the server can speak first
        await join((reader, writer), stream)

    configuration = QuicConfiguration(is_client=False, alpn_protocols=ALPN)
    configuration.load_cert_chain(cert, key)
    link = await serve("127.0.0.1", 0, configuration=configuration, create_protocol=Link)
    port = link._transport.get_extra_info("sockname")[1]  # noqa: SLF001 - no public name
    outside = await asyncio.start_server(client, "127.0.0.1", 0)
    outside_port = outside.sockets[0].getsockname()[1]
    print("ready:", port, outside_port, flush=True)
    await outside.serve_forever()


async def origin(ca, link_port, origin_port):
    tasks = set()

    async def client(reader, writer):
        await reader.readexactly(1)
        await join(await asyncio.open_connection("127.0.0.1", origin_port), (reader, writer))

    def accepted(reader, writer):
        tasks.add(task := asyncio.ensure_future(client(reader, writer)))
        task.add_done_callback(tasks.discard)

    configuration = QuicConfiguration(alpn_protocols=ALPN, server_name="localhost")
    configuration.load_verify_locations(ca)
    async with connect(
        "127.0.0.1", link_port, configuration=configuration, stream_handler=accepted
    ) as link:
        print("ready: linked", flush=True)
        await link.wait_closed()


if __name__ == "__main__":
    role, path, *rest = sys.argv[1:]
    asyncio.run(remote(path, rest[0]) if role == "remote" else origin(path, *map(int, rest)))
