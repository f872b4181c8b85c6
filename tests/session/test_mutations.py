"""Whatever a peer sends, the worst that happens is that its link, or its stream, is closed."""

from __future__ import annotations

import asyncio
import random

import pytest
from fake_link import FakeLink, FakeStream, join
from role_doubles import TOKEN, House, origin_session

from quictunnel.errors import QuictunnelError
from quictunnel.protocol.address import Address
from quictunnel.protocol.codes import VERSION
from quictunnel.protocol.messages import Goodbye, Hello, Service, Services, Welcome, encode
from quictunnel.protocol.preamble import Preamble, encode_v2
from quictunnel.protocol.proof import prove
from quictunnel.quic.link import LinkProtocol
from testkit.clock import seconds, settle, virtual_time

EXPORTER = b"e" * 32
ROUNDS = 300

HELLO = Hello(
    version=VERSION,
    agent="test/1",
    name="box",
    token_id=TOKEN.id,
    proof=prove(TOKEN.secret, "origin", EXPORTER),
    services=[Service(name="default")],
)
WELCOME = Welcome(
    proof=prove(TOKEN.secret, "remote", EXPORTER), instance="first", services=[], hold=900.0
)
LATER = [Services(services=[Service(name="default")]), Goodbye(reason="drain", grace=1.0)]
PREAMBLE = Preamble(
    client=Address("192.0.2.7", 5555),
    outside=Address("198.51.100.1", 9000),
    service="default",
    client_id="00ff00ff00ff00ff",
)


def mutated(data: bytes, rng: random.Random) -> bytes:
    """Bytes changed, dropped, doubled, cut: one to four times."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(changed)) if changed else 0
        match rng.randrange(5):
            case 0 if changed:
                changed[at] = rng.randrange(256)
            case 1 if changed:
                changed[at] ^= 1 << rng.randrange(8)
            case 2:
                del changed[at : at + rng.randint(1, 8)]
            case 3:
                changed[at:at] = rng.randbytes(rng.randint(1, 8))
            case 4:
                changed[at:at] = changed[at : at + rng.randint(1, 64)]
    return bytes(changed)


class Mutator(LinkProtocol):
    """A peer that speaks the protocol badly."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.link: FakeLink
        self.control: FakeStream | None = None

    def link_made(self, link):
        self.link = link

    def link_lost(self, exc):
        pass

    def stream_accepted(self, stream):
        self.control = stream
        return asyncio.Protocol()

    def say(self, stream: FakeStream, data: bytes) -> None:
        """In pieces, and perhaps with an end or a reset behind them."""
        cut = self.rng.randrange(len(data) + 1)
        stream.write(data[:cut])
        stream.write(data[cut:])
        if self.rng.random() < 0.2:
            self.rng.choice([stream.write_eof, stream.abort])()


@pytest.mark.parametrize("seed", range(3))
def test_a_remote_bears_any_origin(seed):
    @virtual_time
    async def story():
        rng = random.Random(seed)
        house = House()
        for _ in range(ROUNDS):
            peer = Mutator(rng)
            session = house.session()
            join(peer, session)
            messages = [encode(message) for message in (HELLO, *LATER)]
            worst = rng.randrange(len(messages))
            messages[worst] = mutated(messages[worst], rng)
            peer.say(peer.link.open_stream(asyncio.Protocol()), b"".join(messages))
            if rng.random() < 0.1:
                house.client()
            await settle()
            if rng.random() < 0.1:
                await seconds(3)
        await seconds(100)
        assert house.admission.pending == 0
        # All are gone but those that said nothing wrong, of whom one can serve at a time.
        assert len(house.ended) >= ROUNDS - 1

    story()


@pytest.mark.parametrize("seed", range(3))
def test_an_origin_bears_any_remote(seed):
    @virtual_time
    async def story():
        rng = random.Random(seed)
        for _ in range(ROUNDS):
            peer = Mutator(rng)
            session, upstream = origin_session()
            join(session, peer)
            greeting = asyncio.ensure_future(session.greet())
            await settle()
            messages = [encode(message) for message in (WELCOME, *LATER)]
            worst = rng.randrange(len(messages))
            messages[worst] = mutated(messages[worst], rng)
            for _ in range(2):
                stream = peer.link.open_stream(asyncio.Protocol())
                peer.say(stream, mutated(encode_v2(PREAMBLE) + b"hello", rng))
            peer.say(peer.control, b"".join(messages))
            await seconds(30)
            with_error = await asyncio.gather(greeting, return_exceptions=True)
            assert isinstance(with_error[0], Welcome | QuictunnelError)
            assert not session._pending_streams
            session.abort()
            await settle()
            assert len(session.clients) == 0
            assert all(task.done() for task in upstream.tasks)

    story()
