"""Ten thousand sessions with a peer that says something wrong: none leaves anything behind."""

from __future__ import annotations

import asyncio
import gc
import logging
import random
from collections.abc import Iterator

import pytest
from fake_link import FakeLink, join
from mutator import mutated
from role_doubles import TOKEN, House, origin_session

from quictunnel.errors import QuictunnelError
from quictunnel.protocol.codes import VERSION, Code
from quictunnel.protocol.messages import (
    Goodbye,
    Hello,
    RefusedMessage,
    Service,
    Services,
    Welcome,
    encode,
)
from quictunnel.protocol.proof import prove
from quictunnel.quic.link import LinkProtocol
from quictunnel.session.state import State
from testkit.clock import settle

BATCHES, BATCH = 100, 50
LEFT = 5000
"""Python objects that the later 2,500 sessions may leave: two for each would be a leak."""

EXPORTER = b"e" * 32
SERVICES = [Service(name="default", address="192.0.2.1:9000")]
HELLO = Hello(
    version=VERSION,
    agent="test/1",
    name="box",
    token_id=TOKEN.id,
    proof=prove(TOKEN.secret, "origin", EXPORTER),
    services=SERVICES,
    hold=5.0,
)
WELCOME = Welcome(
    proof=prove(TOKEN.secret, "remote", EXPORTER), instance="x", services=SERVICES, hold=900.0
)
REFUSED = RefusedMessage(code=Code.BAD_TOKEN, message="no")
LATER = (Services(services=SERVICES), Goodbye(reason="drain", grace=1.0))


class Peer(LinkProtocol):
    """A peer that writes to the control stream, whichever end opens it, and reads nothing."""

    def __init__(self, said: bytes) -> None:
        self.said = said

    def speak_first(self, link: FakeLink) -> None:
        self._speak(link.open_stream(asyncio.Protocol()))

    def stream_accepted(self, stream):
        asyncio.get_running_loop().call_soon(self._speak, stream)
        return asyncio.Protocol()

    def _speak(self, stream) -> None:
        cut = len(self.said) // 2
        stream.write(self.said[:cut])
        stream.write(self.said[cut:])


def conversations(rng: random.Random, *messages) -> Iterator[bytes]:
    """Yield a peer's messages as bytes, with a mutation in one of them."""
    while True:
        for worst in range(len(messages)):
            said = [encode(message) for message in messages]
            said[worst] = mutated(said[worst], rng)
            yield b"".join(said)


@pytest.fixture(autouse=True)
def only_faults_are_logged(caplog):
    """And there are none, nor anything that the loop would complain of."""
    caplog.set_level(logging.ERROR, logger="quictunnel")
    yield
    assert not caplog.records


async def leaves_nothing(batch) -> bool:
    """Run a batch again and again; return whether the later ones leave nothing to be collected."""
    counts = []
    for number in range(BATCHES):
        await batch()
        if number in (BATCHES // 2, BATCHES - 1):
            gc.collect()
            counts.append(len(gc.get_objects()))
    return counts[1] - counts[0] < LEFT


async def test_5000_origins_leave_a_remote_as_it_was():
    house = House()
    conversation = conversations(random.Random(10), HELLO, *LATER)
    seen = set()

    async def batch() -> None:
        sessions = []
        for _ in range(BATCH):
            peer, session = Peer(next(conversation)), house.session()
            near, _ = join(peer, session)
            peer.speak_first(near)
            sessions.append(session)
        await settle()
        for session in sessions:
            seen.add((session.state, session.link.code))
            session.abort()
        await settle()
        assert len(house.ended) == BATCH
        house.ended.clear()

    assert await leaves_nothing(batch)
    assert house.registry.find("default") is None
    assert seen >= {
        (State.ESTABLISHED, None),
        (State.CLOSED, Code.PROTOCOL_VIOLATION),
        (State.CLOSED, Code.SERVICE_TAKEN),
    }


async def test_5000_remotes_leave_an_origin_as_it_was():
    conversation = conversations(random.Random(11), WELCOME, *LATER)
    refusal = conversations(random.Random(12), REFUSED)
    seen = set()

    async def batch() -> None:
        sessions = []
        for number in range(BATCH):
            session, _ = origin_session()
            join(session, Peer(next(conversation if number % 5 else refusal)))
            sessions.append((session, asyncio.ensure_future(session.greet())))
        await settle()
        for session, _ in sessions:
            seen.add((session.state, session.link.code))
            session.abort()
        answers = await asyncio.gather(
            *(greeting for _, greeting in sessions), return_exceptions=True
        )
        assert all(isinstance(answer, Welcome | QuictunnelError) for answer in answers)
        await settle()

    assert await leaves_nothing(batch)
    assert seen >= {
        (State.ESTABLISHED, None),
        (State.CLOSED, Code.PROTOCOL_VIOLATION),
        (State.CLOSED, Code.NOT_PROVEN),
        (State.CLOSED, Code.NO_ERROR),
    }
