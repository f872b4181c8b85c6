"""Fuzz target: packets with any frames on an established link. Each may cost only so much work.

The first byte of an input says which end receives the packets, whether that end trusts its peer,
and whether it reads its streams. Each packet follows with two bytes before it that say how long it
is. Two aioquic engines shake hands in memory. The other one seals the packets.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

from fuzz.fuzzer import run
from quictunnel.config.self_signed import make_key, make_self_signed
from quictunnel.protocol.codes import Code
from quictunnel.quic.engine import Datagram, Path
from quictunnel.quic.engines.aioquic.connection import AioquicEngine
from quictunnel.quic.engines.aioquic.endpoint import AioquicEndpoint
from quictunnel.quic.settings import LinkSettings, ServerTls
from testkit.crafted_packets import PacketCrafter
from testkit.lines import lines_of

FOR_CLIENT, PROVEN, PAUSED = 0x01, 0x02, 0x04
"""Bits of the first byte: the client receives; it is proven; streams are not read."""

STREAMS = 16
PACKET_MAX = 1400
"""Bytes of frames in a packet."""

LINES_PER_PACKET = 12_000
LINES_PER_BYTE = 250
"""Lines of Python that a packet may cost, and those for each byte of its frames. A STOP_SENDING of
a new stream takes 4 bytes and 600 lines. One frame may open all streams."""

CLIENT, SERVER = Path("192.0.2.1", 5555), Path("192.0.2.2", 9001)
STEP = 0.001
"""Seconds between packets."""

FAILED = "the engine has failed"
"""How the reason of a close begins if aioquic has raised something unexpected."""


def check(data: bytes) -> None:
    """Check that each packet's work is bounded, and that at worst the link is closed in order."""
    mode = data[0] if data else 0
    link = FuzzedLink(accepts=not mode & FOR_CLIENT, reads=not mode & PAUSED)
    if mode & PROVEN:
        link.engine.trust()
    for frames in packets_of(data[1:]):
        work = lines_of(functools.partial(link.receive, frames))
        allowed = LINES_PER_PACKET + LINES_PER_BYTE * len(frames)
        assert work <= allowed, f"a packet of {len(frames)} bytes took {work} lines"
    link.finish()


def packets_of(data: bytes) -> Iterator[bytes]:
    """Iterate over the packets of an input."""
    at = 0
    while at + 2 < len(data):
        size = min(int.from_bytes(data[at : at + 2], "big"), PACKET_MAX)
        yield data[at + 2 : at + 2 + size]
        at += 2 + size


class FuzzedLink:
    """One end of an established connection, which receives packets with crafted frames.

    :param accepts: whether it is the end that accepts.
    :param reads: whether it reads its streams.
    """

    def __init__(self, *, accepts: bool, reads: bool) -> None:
        self.now = 0.0
        self.closed: tuple[int | None, str] | None = None
        self._reads = reads
        client, server = new_endpoint(accepts=False), new_endpoint(accepts=True)
        dialed = client.connect(SERVER[:2], "localhost", self.now)
        accepted = shake_hands(dialed, client, server)
        self.engine, other = (accepted, dialed) if accepts else (dialed, accepted)
        self._endpoint = server if accepts else client
        self._path = CLIENT if accepts else SERVER
        self._crafter = PacketCrafter(other)
        self._stream = self.engine.open_stream()
        self.engine.write(self._stream, bytes(5000))
        self._turn()

    def receive(self, frames: bytes) -> None:
        """Receive a packet with these frames, and do what follows from it."""
        self.now += STEP
        was_closed = self.closed is not None
        batch: list[Datagram] = [(self._crafter.packet(frames), self._path)]
        self._endpoint.receive(batch, self.now)
        sent = self._turn()
        assert not (was_closed and sent), "a closed link answers"

    def finish(self) -> None:
        """Close the link, and check that nothing is left of it."""
        self.engine.close_with(Code.GOODBYE, "")
        self._turn()
        while (due := self.engine.deadline()) is not None:
            self.now = max(due, self.now) + STEP
            self.engine.expire(self.now)
            self._turn()
        assert self.engine.is_terminated
        assert self.closed is not None
        assert not self.closed[1].startswith(FAILED), self.closed
        assert self._endpoint.budget.unread == 0

    def _turn(self) -> int:
        """Dispatch, send, and run timers that are due; return how many datagrams were sent."""
        self.engine.dispatch(self)
        sent = len(self.engine.transmit(self.now))
        self.engine.dispatch(self)
        return sent

    # Called by the engine (`Observer`)

    def on_handshake(self) -> None:
        """See `Observer`."""

    def on_stream_opened(self, stream_id: int) -> None:
        """See `Observer`."""

    def on_stream_readable(self, stream_id: int) -> None:
        """See `Observer`."""
        if self._reads:
            self.engine.read(stream_id, 1 << 20)

    def on_stream_reset(self, stream_id: int, code: int) -> None:
        """See `Observer`."""
        self.engine.reset(stream_id, code)

    def on_stream_stopped(self, stream_id: int, code: int) -> None:
        """See `Observer`."""
        self.engine.reset(stream_id, code)

    def on_stream_ended(self, stream_id: int) -> None:
        """See `Observer`."""

    def on_closed(self, code: int | None, reason: str, *, by_peer: bool) -> None:
        """See `Observer`."""
        assert self.closed is None, "the close is reported twice"
        self.closed = code, "" if by_peer else reason


class Ignorer:
    """Takes the reports of a handshake and ignores them."""

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - any method of `Observer`
        return lambda *arguments, **facts: None


def shake_hands(
    dialed: AioquicEngine, client: AioquicEndpoint, server: AioquicEndpoint
) -> AioquicEngine:
    """Complete the handshake of two ends; return the accepting one."""
    accepted: AioquicEngine | None = None
    for turn in range(8):
        now = turn * STEP
        to_server = [(data, CLIENT) for data, _ in dialed.transmit(now)]
        for incoming in server.receive(to_server, now).incoming:
            accepted = server.accept(incoming, now)
        assert accepted is not None
        accepted.dispatch(Ignorer())
        to_client = [(data, SERVER) for data, _ in accepted.transmit(now)]
        client.receive(to_client, now)
        dialed.dispatch(Ignorer())
    assert accepted is not None
    return accepted


def new_endpoint(*, accepts: bool) -> AioquicEndpoint:
    """Return an endpoint without a socket."""
    tls = server_tls() if accepts else None
    return AioquicEndpoint(LinkSettings(), server_tls=tls, streams=STREAMS, now=0.0)


@functools.cache
def server_tls() -> ServerTls:
    """Return the server's certificate and key."""
    key = make_key()
    return ServerTls((make_self_signed(["localhost"], key),), key)


if __name__ == "__main__":
    run("fuzz.link_frames", also=("aioquic.quic",))
