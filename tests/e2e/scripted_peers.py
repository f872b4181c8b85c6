"""Ends of links that a test scripts, free of the protocol's rules. Not a test.

A `ScriptedPeer` takes the place of a remote or an origin. A `ManInTheMiddle` stands between two.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from typing import TYPE_CHECKING, Any

from time_limit import LIMIT

from quictunnel.config.certificates import CertificateFiles
from quictunnel.config.state import load_or_make_certificate
from quictunnel.protocol.codes import VERSION, Code
from quictunnel.protocol.messages import (
    Goodbye,
    Hello,
    MessageDecoder,
    RefusedMessage,
    Service,
    Welcome,
    encode,
)
from quictunnel.protocol.proof import prove
from quictunnel.quic.dialer import dial
from quictunnel.quic.link import LinkProtocol
from quictunnel.quic.listener import listen
from quictunnel.quic.settings import ClientTls, LinkSettings, ServerTls
from testkit.tunnel import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
    from pathlib import Path

    from quictunnel.config.tokens import Token
    from quictunnel.protocol.messages import Message

NOT_VERIFIED = ClientTls(server_name="localhost", verify="none")

AIOQUIC = LinkSettings(engine="aioquic")
"""The engine whose internals a test can change, to send what no engine sends by itself."""


async def in_thread(call: Callable[..., Any], *arguments: object) -> Any:
    """Run a blocking call in a thread, so that the loop keeps serving its links."""
    return await asyncio.wait_for(asyncio.to_thread(call, *arguments), LIMIT)


class ScriptedStream:
    """A stream: a reader, and messages to send and receive."""

    def __init__(self) -> None:
        self.reader = asyncio.StreamReader()
        self.protocol = asyncio.StreamReaderProtocol(self.reader)
        self.stream: asyncio.Transport
        self._decoder = MessageDecoder()
        self._messages: list[Any] = []

    def send(self, *messages: Any) -> None:
        """Send messages of the control stream."""
        self.stream.write(b"".join(encode(message) for message in messages))

    async def receive(self) -> Any:
        """Return the next message of the control stream."""
        while not self._messages:
            data = await self.reader.read(1 << 16)
            assert data, "the control stream has ended"
            self._messages += self._decoder.feed(data)
        return self._messages.pop(0)


class ScriptedPeer(LinkProtocol):
    """One end of a link."""

    link: Any = None

    def __init__(self) -> None:
        self.made = asyncio.Event()
        self.ended: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        self.accepted: asyncio.Queue[ScriptedStream] = asyncio.Queue()
        """The streams that the other end has opened."""

    def link_made(self, link: Any) -> None:
        self.link = link
        self.made.set()

    def link_lost(self, exc: Exception | None) -> None:
        self.ended.set_result(exc)

    def stream_accepted(self, stream: asyncio.Transport) -> asyncio.StreamReaderProtocol:
        scripted = ScriptedStream()
        scripted.stream = stream
        self.accepted.put_nowait(scripted)
        return scripted.protocol

    def open(self) -> ScriptedStream:
        """Open a stream."""
        scripted = ScriptedStream()
        scripted.stream = self.link.open_stream(scripted.protocol)
        return scripted

    def hello(self, token: Token, **fields: Any) -> Hello:
        """Return a valid hello, except for the fields given."""
        valid = {
            "version": VERSION,
            "agent": "test/1",
            "name": "box",
            "token_id": token.id,
            "proof": prove(token.secret, "origin", self.link.exporter),
            "services": [Service(name="default")],
        }
        return Hello(**(valid | fields))

    async def close(self) -> None:
        """Close the link, and wait until it is lost."""
        self.link.close()
        await self.ended


@contextlib.asynccontextmanager
async def scripted_origin(port: int) -> AsyncIterator[ScriptedPeer]:
    """Dial a remote; yield the origin's end of the link."""
    peer = ScriptedPeer()
    await dial(
        LOOPBACK,
        port,
        protocol=peer,
        client_tls=NOT_VERIFIED,
        settings=AIOQUIC,
        within=LIMIT,
    )
    try:
        yield peer
    finally:
        await peer.close()


@contextlib.asynccontextmanager
async def scripted_remote(
    directory: Path, *, host: str = LOOPBACK, port: int = 0
) -> AsyncIterator[tuple[int, asyncio.Queue[ScriptedPeer]]]:
    """Listen for origins; yield the port, and a queue of the remote's ends of new links.

    :param port: the port, or 0 for any free one.
    """
    current = CertificateFiles(*load_or_make_certificate(directory)).current
    peers: asyncio.Queue[ScriptedPeer] = asyncio.Queue()

    def accept() -> ScriptedPeer:
        peer = ScriptedPeer()
        peers.put_nowait(peer)
        return peer

    listener = await listen(
        host,
        port,
        protocol_factory=accept,
        server_tls=ServerTls(current.chain, current.key),
        settings=AIOQUIC,
    )
    try:
        yield listener.address.port, peers
    finally:
        listener.close()
        await listener.wait_closed()


WRONG_ANSWERS = {
    "a refusal": RefusedMessage(code=Code.BAD_TOKEN, message="no"),
    "a refusal with a wrong proof": RefusedMessage(
        code=Code.SERVICE_TAKEN, message="no", proof="00" * 32
    ),
    "a wrong proof": Welcome(proof="00" * 32, instance="x", services=[], hold=900.0),
    "a final code": Code.TAKEN_OVER,
    "another code": Code.GOODBYE,
    "a violation": Goodbye(reason="", grace=1.0),
    "nothing": None,
}
"""An impostor's answers to a hello: a message, a code that closes the link, or nothing."""


class Impostor:
    """Answers every hello, with these answers in turn, and knows no token.

    :param peers: the queue of a scripted remote.
    """

    def __init__(
        self, peers: asyncio.Queue[ScriptedPeer], answers: Iterable[Message | Code | None]
    ) -> None:
        self.answered = 0
        """The number of hellos that were answered."""
        self._peers = peers
        self._answers = itertools.cycle(answers)

    async def run(self) -> None:
        """Answer until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                peer = await self._peers.get()
                tasks.create_task(self._answer(peer, next(self._answers)))

    async def _answer(self, peer: ScriptedPeer, answer: Message | Code | None) -> None:
        await peer.made.wait()
        with contextlib.suppress(AssertionError):  # the origin may go before its hello
            control = await peer.accepted.get()
            await control.receive()
            self.answered += 1
            if isinstance(answer, Code):
                peer.link.close(answer, "no")
            elif answer is not None:
                control.send(answer)


class ManInTheMiddle:
    """Terminates TLS towards both ends and forwards all streams."""

    def __init__(self) -> None:
        self.overheard = bytearray()
        """Every byte of every stream, in both directions, decrypted."""
        self._tasks: set[asyncio.Task[None]] = set()

    def connect(self, one: ScriptedPeer, other: ScriptedPeer) -> None:
        """Forward the streams that either end opens."""
        self._start(self._forward_streams(one, other))
        self._start(self._forward_streams(other, one))

    def stop(self) -> None:
        """Stop forwarding."""
        for task in self._tasks:
            task.cancel()

    async def _forward_streams(self, source: ScriptedPeer, sink: ScriptedPeer) -> None:
        while True:
            near, far = await source.accepted.get(), sink.open()
            self._start(self._forward_bytes(near, far))
            self._start(self._forward_bytes(far, near))

    async def _forward_bytes(self, source: ScriptedStream, sink: ScriptedStream) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await source.reader.read(1 << 16):
                self.overheard += data
                sink.stream.write(data)
            sink.stream.write_eof()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
