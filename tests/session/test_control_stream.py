"""The control stream: order, framing, back-pressure, and peers that break the rules."""

from __future__ import annotations

from fake_link import FakeLink, FakeStream, join

from quictunnel.errors import ProtocolError
from quictunnel.protocol.codes import Code
from quictunnel.protocol.messages import Goodbye, Service, Services, encode
from quictunnel.quic.link import LinkProtocol
from quictunnel.session.control_stream import ControlStream
from testkit.clock import settle, virtual_time

SERVICES = Services(services=[Service(name="web")])


class Owner:
    def __init__(self) -> None:
        self.told: list[object] = []

    def control_message(self, message):
        if isinstance(message, Goodbye):
            raise ProtocolError("not now")
        self.told.append(message)

    def control_eof(self):
        self.told.append("ended")

    def control_finished(self):
        self.told.append("finished")

    def control_violated(self, error):
        self.told.append(f"broken: {error}")


class Acceptor(LinkProtocol):
    def __init__(self) -> None:
        self.owner = Owner()
        self.control = ControlStream(self.owner)

    def stream_accepted(self, stream):
        return self.control


class Mute(LinkProtocol):
    def link_lost(self, exc):
        pass


class Pair:
    """A control stream at one end, and a bare stream in the test's hands at the other."""

    def __init__(self) -> None:
        self.link: FakeLink
        self.far = Acceptor()
        self.link, _ = join(Mute(), self.far)
        self.owner = Owner()
        self.near = ControlStream(self.owner)
        self.stream: FakeStream = self.link.open_stream(self.near)
        self.told = self.far.owner.told


@virtual_time
async def test_messages_arrive_however_they_are_cut():
    pair = Pair()
    for byte in encode(SERVICES) * 2:
        pair.stream.write(bytes([byte]))
    await settle()
    for _ in range(100):
        await settle()
    assert pair.told == [SERVICES, SERVICES]


@virtual_time
async def test_both_ends_finish():
    pair = Pair()
    pair.near.send(SERVICES)
    pair.near.finish()
    pair.near.finish()
    pair.near.send(SERVICES)  # too late
    await settle()
    assert pair.told == [SERVICES, "ended"]
    pair.far.control.finish()
    await settle()
    assert pair.told[-1] == "finished"
    assert pair.owner.told == ["ended", "finished"]


@virtual_time
async def test_a_message_out_of_order_breaks_the_rules_and_nothing_after_it_counts():
    pair = Pair()
    pair.near.send(Goodbye(reason="", grace=1))
    pair.near.send(SERVICES)
    pair.near.finish()
    await settle()
    assert pair.told == ["broken: not now"]


@virtual_time
async def test_garbage_breaks_the_rules():
    pair = Pair()
    pair.stream.write(b"\xff" * 8)
    await settle()
    assert pair.told == ["broken: control message of 4294967295 bytes"]


@virtual_time
async def test_a_reset_breaks_the_rules():
    pair = Pair()
    await settle()
    pair.stream.reset(Code.INTERNAL)
    await settle()
    assert pair.told == ["broken: control stream reset: internal error"]


@virtual_time
async def test_the_end_of_the_link_does_not():
    pair = Pair()
    await settle()
    pair.link.close()
    await settle()
    assert pair.told == []


@virtual_time
async def test_a_peer_that_does_not_read_answers_is_not_read_any_further():
    pair = Pair()
    await settle()
    pair.near.pause_writing()
    assert not pair.stream.is_reading()
    pair.near.resume_writing()
    assert pair.stream.is_reading()
