"""An origin's end of a link to a remote, in the test's hands."""

from __future__ import annotations

import asyncio

from fake_link import join
from role_doubles import TOKEN, House

from quictunnel.errors import LinkLost
from quictunnel.protocol.codes import VERSION
from quictunnel.protocol.messages import Hello, MessageDecoder, Service, encode
from quictunnel.protocol.proof import prove
from quictunnel.quic.link import LinkProtocol

EXPORTER = b"e" * 32


def hello(**fields) -> Hello:
    return Hello(
        **{
            "version": VERSION,
            "agent": "test/1",
            "name": "box",
            "token_id": TOKEN.id,
            "proof": prove(TOKEN.secret, "origin", EXPORTER),
            "services": [Service(name="default")],
            **fields,
        }
    )


class Stranger(LinkProtocol):
    """An origin's end of a link, in the test's hands."""

    def __init__(self, house: House) -> None:
        self.remote = house.session()
        self.decoder = MessageDecoder()
        self.answers = []
        self.ended = False
        self.lost: Exception | None = None
        self.link, self.far = join(self, self.remote)
        self.stream = self.link.open_stream(Listener(self))

    def say(self, *messages) -> None:
        for message in messages:
            self.stream.write(encode(message))

    def link_made(self, link) -> None:
        pass

    def stream_accepted(self, stream):
        return asyncio.Protocol()

    def link_lost(self, exc) -> None:
        self.lost = exc

    @property
    def code(self) -> int | None:
        return self.lost.code if isinstance(self.lost, LinkLost) else None


class Listener(asyncio.Protocol):
    def __init__(self, stranger: Stranger) -> None:
        self._stranger = stranger

    def data_received(self, data):
        self._stranger.answers += self._stranger.decoder.feed(data)

    def eof_received(self):
        self._stranger.ended = True
        return True
