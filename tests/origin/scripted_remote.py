"""A remote's end of a link, whose messages and streams the test chooses."""

from __future__ import annotations

import asyncio

from fake_link import FakeStream, join
from role_doubles import TOKEN, origin_session

from quictunnel.errors import StreamReset
from quictunnel.events import Event
from quictunnel.protocol.address import Address
from quictunnel.protocol.messages import Service, Welcome, encode
from quictunnel.protocol.preamble import Preamble, encode_v2
from quictunnel.protocol.proof import prove
from quictunnel.quic.link import LinkProtocol
from testkit.clock import settle

EXPORTER = b"e" * 32
CLIENT = Preamble(
    client=Address("192.0.2.7", 5555),
    outside=Address("198.51.100.1", 9000),
    service="default",
    client_id="00ff00ff00ff00ff",
)


def welcome(**fields) -> Welcome:
    return Welcome(
        **{
            "proof": prove(TOKEN.secret, "remote", EXPORTER),
            "instance": "first",
            "services": [Service(name="default", address="198.51.100.1:9000")],
            "hold": 900.0,
            **fields,
        }
    )


class Recorder(asyncio.Protocol):
    """Records the bytes of a stream, and how it ends."""

    def __init__(self) -> None:
        self.data = b""
        self.eof = False
        self.lost: Exception | str | None = "not yet"

    def data_received(self, data):
        self.data += data

    def eof_received(self):
        self.eof = True
        return True

    def connection_lost(self, exc):
        self.lost = exc

    @property
    def code(self) -> int | None:
        return self.lost.code if isinstance(self.lost, StreamReset) else None


class ScriptedRemote(LinkProtocol):
    """A remote's end of a link, whose messages and streams the test chooses."""

    def __init__(self, *services: str, **settings) -> None:
        self.events: list[Event] = []
        self.origin, self.upstream = origin_session(*services, emit=self.events.append, **settings)
        self.near, self.link = join(self.origin, self)
        self.control: FakeStream
        self.received = Recorder()
        self.lost: Exception | None = None
        self.greeting = asyncio.ensure_future(self.origin.greet())

    def link_made(self, link):
        pass

    def link_lost(self, exc):
        self.lost = exc

    def stream_accepted(self, stream):
        self.control = stream
        return self.received

    def send(self, *messages) -> None:
        for message in messages:
            self.control.write(encode(message))

    def client(self, data: bytes = encode_v2(CLIENT)) -> tuple[FakeStream, Recorder]:
        recorder = Recorder()
        stream = self.link.open_stream(recorder)
        stream.write(data)
        return stream, recorder

    async def established(self, **fields) -> ScriptedRemote:
        """Answer the hello, and let the session serve."""
        await settle()
        self.send(welcome(**fields))
        await self.greeting
        self.origin.start_serving(self.origin._settings.offer)
        return self
