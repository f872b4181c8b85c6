"""Ends of links in the test's own hands, which keep to no rules but the test's. Not a test.

An Actor stands in for a remote or an origin; a Middle for somebody between the two.
"""

from __future__ import annotations

import asyncio
import contextlib

from patience import PATIENCE

from quictunnel.config.certificates import CertificateFiles
from quictunnel.config.state import load_or_make_certificate
from quictunnel.protocol.codes import VERSION
from quictunnel.protocol.messages import Hello, MessageDecoder, Service, encode
from quictunnel.protocol.proof import prove
from quictunnel.quic import ClientTls, LinkProtocol, LinkSettings, ServerTls, dial, listen

LOOPBACK = "127.0.0.1"
ANYBODY = ClientTls(server_name="localhost", verify="none")
AIOQUIC = LinkSettings(engine="aioquic")
"""The one whose insides tests can turn into what no engine does by itself."""


async def in_thread(call, *arguments):
    """Have a blocking call of the test's own made beside the loop, on which links must live."""
    return await asyncio.wait_for(asyncio.to_thread(call, *arguments), PATIENCE)


class Conversation:
    """A stream: what is heard, and what is to be said."""

    def __init__(self) -> None:
        self.reader = asyncio.StreamReader()
        self.protocol = asyncio.StreamReaderProtocol(self.reader)
        self.stream: asyncio.Transport
        self._decoder = MessageDecoder()
        self._messages: list = []

    def say(self, *messages) -> None:
        self.stream.write(b"".join(encode(message) for message in messages))

    async def hear(self):
        """The next message; for a control stream."""
        while not self._messages:
            data = await self.reader.read(1 << 16)
            assert data, "the control stream has ended"
            self._messages += self._decoder.feed(data)
        return self._messages.pop(0)


class Actor(LinkProtocol):
    """One end of a link."""

    def __init__(self) -> None:
        self.link = None
        self.made = asyncio.Event()
        self.ended = asyncio.get_running_loop().create_future()
        self.came: asyncio.Queue[Conversation] = asyncio.Queue()
        """The streams that the other end has opened."""

    def link_made(self, link) -> None:
        self.link = link
        self.made.set()

    def link_lost(self, exc) -> None:
        self.ended.set_result(exc)

    def stream_accepted(self, stream):
        conversation = Conversation()
        conversation.stream = stream
        self.came.put_nowait(conversation)
        return conversation.protocol

    def open(self) -> Conversation:
        conversation = Conversation()
        conversation.stream = self.link.open_stream(conversation.protocol)
        return conversation

    def hello(self, token, **fields) -> Hello:
        """A good one, but for the fields given."""
        good = {
            "version": VERSION,
            "agent": "test/1",
            "name": "box",
            "token_id": token.id,
            "proof": prove(token.secret, "origin", self.link.exporter),
            "services": [Service(name="default")],
        }
        return Hello(**(good | fields))

    async def leave(self) -> None:
        self.link.close()
        await self.ended


@contextlib.asynccontextmanager
async def an_origin(port: int):
    """An actor on a link to a remote."""
    actor = Actor()
    await dial(
        LOOPBACK,
        port,
        protocol=actor,
        client_tls=ANYBODY,
        settings=AIOQUIC,
        within=PATIENCE,
    )
    try:
        yield actor
    finally:
        await actor.leave()


@contextlib.asynccontextmanager
async def a_remote(directory):
    """Listens; gives its port, and the actors of the links that come as they are made."""
    current = CertificateFiles(*load_or_make_certificate(directory)).current
    actors: asyncio.Queue[Actor] = asyncio.Queue()

    def newcomer() -> Actor:
        actor = Actor()
        actors.put_nowait(actor)
        return actor

    listener = await listen(
        LOOPBACK,
        0,
        protocol_factory=newcomer,
        server_tls=ServerTls(current.chain, current.key),
        settings=AIOQUIC,
    )
    try:
        yield listener.address.port, actors
    finally:
        listener.close()
        await listener.wait_closed()


class Middle:
    """A man in the middle: he ends TLS to both sides himself and passes all streams on."""

    def __init__(self) -> None:
        self.overheard = bytearray()
        """Every byte of every stream, both ways, in the clear."""
        self._tasks: set[asyncio.Task] = set()

    def stand_between(self, here: Actor, there: Actor) -> None:
        """Pass on what either says."""
        self._begin(self._pass_streams(here, there))
        self._begin(self._pass_streams(there, here))

    def go(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def _pass_streams(self, here: Actor, there: Actor) -> None:
        while True:
            near, far = await here.came.get(), there.open()
            self._begin(self._pass_bytes(near, far))
            self._begin(self._pass_bytes(far, near))

    async def _pass_bytes(self, source: Conversation, sink: Conversation) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await source.reader.read(1 << 16):
                self.overheard += data
                sink.stream.write(data)
            sink.stream.write_eof()

    def _begin(self, work) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
