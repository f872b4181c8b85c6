"""A protocol that raises, which is a bug above the link, harms its own stream or link at most."""

from __future__ import annotations

import asyncio

import pytest
from link_pair import LinkPair, Recorder, over_links, seconds, until
from pair import Engines

from quictunnel.errors import StreamReset
from quictunnel.protocol.codes import Code


class Bug(Exception):
    """The error that the protocols raise."""


def fail(*_: object) -> None:
    raise Bug


def failing(method: str) -> Recorder:
    """Return a stream's protocol of which one method raises."""
    protocol = Recorder()
    setattr(protocol, method, fail)
    return protocol


def heard() -> list[BaseException]:
    """Return the list of what the loop's handler will be told."""
    told: list[BaseException] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda _, context: told.append(context["exception"])
    )
    return told


@pytest.mark.parametrize("method", ["connection_made", "data_received", "eof_received"])
def test_a_failing_stream_protocol_ends_its_stream_only(method: str, engines: Engines) -> None:
    @over_links
    async def run() -> None:
        told = heard()
        pair = await LinkPair.made(engines=engines)
        ours, theirs = await pair.streams()
        pair.server_session.make = lambda: failing(method)
        bad = Recorder()
        stream = pair.client.open_stream(bad)
        stream.write(b"!")
        stream.write_eof()
        ours.stream.write(b"well?")
        await until(lambda: bad.lost)
        assert isinstance(bad.exc, StreamReset)
        assert bad.exc.code == Code.INTERNAL
        await until(lambda: theirs.data == b"well?")
        assert [type(exc) for exc in told] == [Bug]
        failed = pair.server_session.accepted[-1]
        assert isinstance(failed.exc, Bug)
        assert failed.calls.count("connection_lost") == 1
        assert pair.server.stream_count == 1

    run()


@over_links
async def test_a_role_that_fails_to_accept_a_stream_refuses_it_only(engines: Engines) -> None:
    told = heard()
    pair = await LinkPair.made(engines=engines)
    ours, theirs = await pair.streams()
    pair.server_session.make = fail
    bad = Recorder()
    pair.client.open_stream(bad).write(b"!")
    ours.stream.write(b"well?")
    await until(lambda: bad.lost and theirs.data == b"well?")
    assert [type(exc) for exc in told] == [Bug]
    assert pair.server.stream_count == 1


@pytest.mark.parametrize("method", ["pause_writing", "resume_writing"])
def test_a_protocol_that_cannot_pause_ends_its_stream_only(method: str, engines: Engines) -> None:
    @over_links
    async def run() -> None:
        told = heard()
        pair = await LinkPair.made(engines=engines)
        bad = failing(method)
        stream = pair.client.open_stream(bad)
        stream.write(bytes(1_000_000))
        await until(lambda: bad.lost)
        assert [type(exc) for exc in told] == [Bug]
        ours, theirs = await pair.streams()
        ours.stream.write(b"well?")
        await until(lambda: theirs.data == b"well?")

    run()


@over_links
async def test_a_role_that_fails_when_its_link_is_made_loses_it(engines: Engines) -> None:
    told = heard()
    pair = LinkPair(engines=engines)
    pair.server_session.link_made = fail
    pair.start()
    await until(lambda: "link_lost" in pair.client_session.calls)
    assert pair.client_session.exc.code == Code.INTERNAL
    assert [type(exc) for exc in told] == [Bug]


@pytest.mark.parametrize("method", ["link_silent", "link_back"])
def test_a_role_that_fails_at_silence_loses_its_link(method: str, engines: Engines) -> None:
    @over_links
    async def run() -> None:
        told = heard()
        pair = await LinkPair.made(engines=engines)
        setattr(pair.server_session, method, fail)
        pair.network.cut = True
        await seconds(30)
        pair.network.cut = False
        await until(lambda: "link_lost" in pair.server_session.calls, limit=30)
        assert [type(exc) for exc in told] == [Bug]

    run()


@over_links
async def test_a_role_that_fails_at_the_end_keeps_nobody_waiting(engines: Engines) -> None:
    told = heard()
    pair = await LinkPair.made(engines=engines)
    pair.server_session.link_lost = fail
    pair.server.close()
    async with asyncio.timeout(10):
        await pair.server.wait_closed()
    assert [type(exc) for exc in told] == [Bug]


@over_links
async def test_a_protocol_may_write_to_what_its_peer_has_stopped_meanwhile(
    engines: Engines,
) -> None:
    class Greeter(Recorder):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            self.stream.write(b"hello")
            self.stream.write_eof()

    pair = await LinkPair.made(engines=engines)
    pair.server_session.make = Greeter
    ours = Recorder()
    stream = pair.client.open_stream(ours)
    stream.write(b"!")
    pair.client.engine.stop_reading(stream.id, Code.NO_ERROR)  # in one datagram with the opening
    stream.write_eof()
    await until(lambda: ours.lost)
    accepted = pair.server_session.accepted[-1]
    await until(lambda: accepted.lost)
    assert accepted.data == b"!"
    assert pair.server.stream_count == 0
