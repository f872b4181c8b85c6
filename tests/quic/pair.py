"""Two engines joined in memory: a network with delay, loss, reordering and duplication, all seeded.

Either end is an endpoint, as under a link, with one connection. Time is a number that jumps from
one event to the next. No sockets, no event loop, no sleeps; two links over the same network stand
in `link_pair`.
"""

from __future__ import annotations

import datetime
import functools
import heapq
import itertools
from dataclasses import replace
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from probes import PROBES, Probe

from quictunnel.quic.engine import Endpoint, Engine, Path
from quictunnel.quic.engines.selection import select
from quictunnel.quic.settings import ClientTls, LinkSettings, ServerTls
from testkit.network import Network

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes

    from quictunnel.quic.engine import Datagram

READ_SIZE = 256 * 1024
STEPS_MAX = 2_000_000
STEPS_AT_ONE_TIME = 1_000
TIMER_LATENESS = 1e-6
"""Seconds. Timers fire a little late, as everywhere: at the exact instant, rounding may leave
what they wait for a hair short of due."""

CLIENT_PATH = Path("192.0.2.1", 5555)
SERVER_PATH = Path("192.0.2.2", 9001)
Engines = tuple[str, str]
"""The names of the engines at the end that dials, and at the end that accepts."""

AIOQUIC: Engines = ("aioquic", "aioquic")
CLIENT_TLS = ClientTls(server_name="localhost", verify="none")


def server_tls(name: str = "localhost") -> ServerTls:
    """Return a self-signed certificate for `name`, made once a run."""
    return _made(name)


@functools.cache
def _made(name: str) -> ServerTls:
    key = ec.generate_private_key(ec.SECP256R1())
    return ServerTls((self_signed(name, key),), key)


def self_signed(name: str, key: CertificateIssuerPrivateKeyTypes) -> x509.Certificate:
    """Return a certificate for `name`, with this key."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )


ROUGH = {"delay": 0.02, "jitter": 0.01, "loss": 0.05, "duplication": 0.05}
"""A bad path: 5 % lost, 5 % twice, in any order."""


class End:
    """One connection and what it has told. Reads all that comes, save what is paused.

    :param endpoint: has this connection and no other.
    :param echo: echo, and end when the peer does.
    """

    def __init__(self, endpoint: Endpoint, path: Path, probe: Probe, *, echo: bool) -> None:
        self.endpoint = endpoint
        self.probe = probe
        self.engine: Engine | None = None
        """None at the accepting end until a peer has connected."""
        self.path = path
        self.echo = echo
        self.paused: set[int] | None = set()
        """Streams that are not read; None: none is."""
        self.live: set[int] = set()
        """Streams with which something may still be done."""
        self.written: dict[int, int] = {}
        """Bytes."""
        self.inbox: dict[int, bytearray] = {}
        self.opened: list[int] = []
        self.fins: set[int] = set()
        self.ended: list[int] = []
        self.resets: dict[int, int] = {}
        self.handshakes = 0
        self.closed: tuple[int | None, str, bool] | None = None
        self.sent = 0
        """Datagrams."""
        self.due: float | None = None
        """When its timers are, as of its last turn."""

    # Called by a test

    def take(self, datagrams: Sequence[Datagram], now: float) -> None:
        """Take datagrams, and accept the first who comes."""
        arrivals = self.endpoint.receive(datagrams, now)
        for newcomer in arrivals.incoming:
            if self.engine is None:
                self.engine = self.endpoint.accept(newcomer, now)
            else:
                self.endpoint.ignore(newcomer)

    def open(self, data: bytes = b"", *, fin: bool = False) -> int:
        stream_id = self.engine.open_stream()
        self.live.add(stream_id)
        self.write(stream_id, data, fin=fin)
        return stream_id

    def write(self, stream_id: int, data: bytes = b"", *, fin: bool = False) -> None:
        if data:
            self.engine.write(stream_id, data)
        if fin:
            self.engine.finish(stream_id)
        self.written[stream_id] = self.written.get(stream_id, 0) + len(data)

    def reset(self, stream_id: int, code: int) -> None:
        self.live.discard(stream_id)
        self.engine.reset(stream_id, code)

    def sent_of(self, *stream_ids: int) -> int:
        """How many bytes of what was written to those streams could be sent."""
        return sum(self.written[stream] - self.engine.unsent(stream) for stream in stream_ids)

    def resume(self, *stream_ids: int) -> None:
        """Read those streams again, with what waits."""
        if self.paused is None:
            self.paused = set()
        for stream_id in stream_ids:
            self.paused.discard(stream_id)
            self.on_stream_readable(stream_id)

    # Called by the engine

    def on_handshake(self) -> None:
        self.handshakes += 1

    def on_stream_opened(self, stream_id: int) -> None:
        self.opened.append(stream_id)
        self.live.add(stream_id)

    def on_stream_readable(self, stream_id: int) -> None:
        if self.paused is None or stream_id in self.paused:
            return
        while True:
            data, fin = self.engine.read(stream_id, READ_SIZE)
            self.inbox.setdefault(stream_id, bytearray()).extend(data)
            if self.echo and data:
                self.write(stream_id, data)
            if fin:
                self._on_fin(stream_id)
            if fin or len(data) < READ_SIZE:
                return

    def _on_fin(self, stream_id: int) -> None:
        assert stream_id not in self.fins, "the end is told once"
        self.fins.add(stream_id)
        if self.echo:
            self.write(stream_id, fin=True)

    def on_stream_reset(self, stream_id: int, code: int) -> None:
        assert stream_id not in self.resets, "a reset is told once"
        self.resets[stream_id] = code
        self.reset(stream_id, code)

    def on_stream_stopped(self, stream_id: int, code: int) -> None:
        if stream_id not in self.resets:
            self.on_stream_reset(stream_id, code)

    def on_stream_ended(self, stream_id: int) -> None:
        self.ended.append(stream_id)
        self.live.discard(stream_id)

    def on_closed(self, code: int | None, reason: str, *, by_peer: bool) -> None:
        assert self.closed is None, "the close is told once"
        self.closed = (code, reason, by_peer)


def endpoint(
    engine: str, settings: LinkSettings, *, accepts: bool, streams: int, now: float = 0.0
) -> Endpoint:
    """Return an endpoint of a named engine, with no socket."""
    return select(engine, settings.congestion).endpoint(
        settings, server_tls=server_tls() if accepts else None, streams=streams, now=now
    )


class Pair:
    """Two ends, a network between them, and the time. The client has dialled, and said nothing."""

    def __init__(
        self,
        network: Network | None = None,
        *,
        engines: Engines = AIOQUIC,
        settings: LinkSettings | None = None,
        unread_limit: int = 256 * 1024 * 1024,
        streams: int = 16,
        echo: bool = False,
    ) -> None:
        settings = replace(settings or LinkSettings(), unread_limit=unread_limit)
        self.network = network or Network()
        self.now = 0.0
        client, server = (
            endpoint(engine, settings, accepts=engine_accepts, streams=streams)
            for engine, engine_accepts in zip(engines, (False, True), strict=True)
        )
        self.client = End(client, CLIENT_PATH, PROBES[engines[0]], echo=False)
        self.server = End(server, SERVER_PATH, PROBES[engines[1]], echo=echo)
        self.client.engine = client.connect(SERVER_PATH[:2], CLIENT_TLS.server_name, self.now)
        self.ends = (self.client, self.server)
        self._wire: list[tuple[float, int, End, bytes]] = []
        self._number = itertools.count()
        self._steps_at_one_time = 0
        self.tap: Callable[[End, bytes], None] | None = None
        """Called with the receiving end and each datagram that arrives."""
        self.astray: dict[tuple[str, int], int] = {}
        """Bytes that were sent to addresses that no end has."""

    @classmethod
    def trusting(cls, network: Network | None = None, *, streams: int = 16, **options) -> Pair:
        """Return a pair that has shaken hands and whose ends trust each other."""
        pair = cls(network, **options)
        pair.run(lambda: all(end.handshakes for end in pair.ends))
        for end in pair.ends:
            end.engine.trust()
            end.engine.allow_streams(streams)
        pair.run_for(1.0)
        return pair

    def other(self, end: End) -> End:
        return self.server if end is self.client else self.client

    def restart_server(self, engine: str, settings: LinkSettings) -> None:
        """Let the accepting end's process die, and another one of any engine take its place."""
        fresh = endpoint(engine, settings, accepts=True, streams=16, now=self.now)
        self.server.engine = None
        self.server.endpoint = fresh

    def run(self, until: Callable[[], bool], *, limit: float = 60.0) -> None:
        """Run until `until()` is true; fail after `limit` virtual seconds."""
        end_at = self.now + limit
        for end in self.ends:
            self._turn(end)
        for _ in range(STEPS_MAX):
            if until():
                return
            now = self._next()
            if now is None or now > end_at:
                raise AssertionError(f"not within {limit:g} s: {self.describe()}")
            self._advance(now)
        raise AssertionError("too many steps")

    def run_for(self, seconds: float) -> None:
        """Let so much time go by."""
        stop = self.now + seconds
        for end in self.ends:
            self._turn(end)
        while (now := self._next()) is not None and now <= stop:
            self._advance(now)
        self.now = stop

    def describe(self) -> str:
        """Return where things stand, for a failing test."""
        words = [f"at {self.now:.3f} s"]
        for name, end in (("client", self.client), ("server", self.server)):
            state = "not there" if end.engine is None else end.probe.describe(end.engine)
            words.append(f"{name}: {state}, closed {end.closed}")
        return "; ".join(words)

    def _next(self) -> float | None:
        times = [at + TIMER_LATENESS for at in (end.due for end in self.ends) if at is not None]
        if self._wire:
            times.append(self._wire[0][0])
        return min(times, default=None)

    def _advance(self, now: float) -> None:
        """Go on to `now`, and do what is due."""
        self._steps_at_one_time = 0 if now > self.now else self._steps_at_one_time + 1
        assert self._steps_at_one_time < STEPS_AT_ONE_TIME, "it spins: timers that change nothing"
        self.now = max(now, self.now)
        self._step()

    def _step(self) -> None:
        """Do what is due now, and what follows from it."""
        touched: dict[End, None] = {}
        while self._wire and self._wire[0][0] <= self.now:
            _, _, end, data = heapq.heappop(self._wire)
            if self.tap is not None:
                self.tap(end, data)
            end.take([(data, self.other(end).path)], self.now)
            touched[end] = None
        for end in self.ends:
            at = end.due
            if at is not None and at <= self.now:  # or was, before what has just arrived
                at = end.engine.deadline()
            if at is not None and at <= self.now:
                end.engine.expire(self.now)
                touched[end] = None
        for end in touched:
            self._turn(end)

    def _turn(self, end: End) -> None:
        if end.engine is not None:
            end.engine.dispatch(end)
            self._send(end, end.engine.transmit(self.now))
        self._send(end, end.endpoint.transmit())
        if end.engine is not None:
            end.engine.dispatch(end)
        end.due = None if end.engine is None else end.engine.deadline()

    def _send(self, end: End, datagrams: Sequence[Datagram]) -> None:
        for data, _ in datagrams:
            end.sent += 1
            for at in self.network.arrivals(len(data), end, self.now):
                heapq.heappush(self._wire, (at, next(self._number), self.other(end), data))


def assert_nothing_left(*ends: End) -> None:
    """Nothing is left of any stream, at any end."""
    for end in ends:
        end.probe.assert_nothing_left(end.endpoint, end.engine)
