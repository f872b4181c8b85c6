"""The attacks. Each is an object that makes packets, and reads what the remote answers. No I/O."""

from __future__ import annotations

import itertools
import json
import os
import random
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from testkit.attacker import frames, initials, packets
from testkit.attacker.addresses import (
    FIRST_PORT,
    endpoints,
    is_own,
    own,
    spoofed,
    spoofed_endpoints,
)
from testkit.attacker.frames import CONTROL_STREAM
from testkit.attacker.links import AttackLink
from testkit.attacker.packets import Received, UdpAddress
from testkit.crafted_packets import PING, crypto_frame, stream_frame

MANY = 256
"""Addresses of an attacker who has many."""

FEW = 8
"""Addresses of an attacker who floods links with frames."""

CROWD = 256
"""Links of an attacker who wants as many handshakes as possible."""

POOL = 4000
"""Precomputed packets. They are sent again once the remote has forgotten the first."""

CONNECTIONS, PACKETS_EACH = 200, 20
"""Connections of an attack with several Initial packets each."""

SIZE = 1170
"""Bytes of frames in a packet that fills a datagram."""

TICK = 0.02
"""Seconds between two looks at the links."""

HELLO = 65_536
"""Bytes of the longest hello that the framing allows."""

HELLO_WITHIN = 3.0
"""Seconds after which the attacker leaves a link with a hello."""

HOSTILE = "\x1b[2J\x1b]0;owned\x07\r\nremote  info  origin connected  name=forged \u202e\x00"
"""Bytes that would clear a terminal, change its title and forge a line of the log."""

TOKENS = 500
"""Retry tokens that are replayed, the newest ones."""


@dataclass(frozen=True)
class Scene:
    """Where the attack takes place."""

    remote: UdpAddress
    origin: bytes
    """The address of an honest origin, which the attacker knows."""


class Attack(Protocol):
    """Makes packets."""

    counts: Counter[str]
    """Numbers of events, by their names."""

    def next_packet(self, now: float) -> bytes | None:
        """Return the packet to send next, or None if there is none now."""

    def receive(self, datagram: Received, now: float) -> None:
        """Take what the remote has sent."""


class PoolAttack:
    """Sends precomputed packets in turn, as fast as possible, and ignores all answers."""

    def __init__(self, pool: Iterable[bytes]) -> None:
        self.counts: Counter[str] = Counter()
        self._packets = itertools.cycle(list(pool))

    def next_packet(self, now: float) -> bytes | None:
        """Return the next packet."""
        return next(self._packets)

    def receive(self, datagram: Received, now: float) -> None:
        """Ignore it."""


class ReplayAttack:
    """Collects Retry tokens, and sends each again and again: from its address, and from others'.

    :param addresses: how many addresses the attacker has.
    """

    def __init__(self, scene: Scene, *, addresses: int = 1) -> None:
        self.counts: Counter[str] = Counter()
        self._scene = scene
        self._template = initials.template()
        self._fresh = (
            packets.udp(source, scene.remote, initials.half_open(self._template))
            for source in endpoints(addresses)
        )
        self._replays: deque[bytes] = deque(maxlen=2 * TOKENS)
        self._turn = 0

    def next_packet(self, now: float) -> bytes | None:
        """Return a fresh Initial packet that may provoke a Retry, or one with an old token."""
        self._turn += 1
        if not self._replays or self._turn % 10 == 0:
            return next(self._fresh)
        self._replays.rotate()
        return self._replays[0]

    def receive(self, datagram: Received, now: float) -> None:
        """Prepare two packets with the token of a Retry."""
        retry = initials.read_retry(datagram.data)
        if retry is None or not is_own(datagram.target.address):
            return  # a packet to a forged address does not reach the attacker
        self.counts["tokens"] += 1
        data = initials.initial(
            retry.source_id,
            self._template.source_id,
            crypto_frame(0, self._template.hello),
            token=retry.token,
        )
        for source in (datagram.target, UdpAddress(spoofed(), datagram.target.port)):
            self._replays.append(packets.udp(source, self._scene.remote, data))


class Conduct(Protocol):
    """Decides how the attacker uses a link."""

    def act(self, link: AttackLink, now: float) -> bytes | None:
        """Return frames to send in a packet, if any. The handshake of the link is complete."""

    def is_done(self, link: AttackLink, now: float) -> bool:
        """Return whether the attacker leaves the link."""


class LinkAttack:
    """Keeps so many links at once. A link that the remote closes is replaced by a new one.

    :param addresses: how many addresses the attacker has.
    """

    def __init__(self, scene: Scene, conduct: Conduct, *, links: int, addresses: int = 1) -> None:
        self.counts: Counter[str] = Counter()
        self._scene = scene
        self._conduct = conduct
        self._number = links
        self._sources = endpoints(addresses)
        self._links: dict[UdpAddress, AttackLink] = {}
        self._waiting: deque[bytes] = deque()
        self._turns: Iterator[AttackLink] = iter(())
        self._has_acted = False
        """Whether a link has acted since the turns began. Otherwise, the next begin at a tick."""
        self._next_tick = 0.0

    def next_packet(self, now: float) -> bytes | None:
        """Return what QUIC wants to send, or frames of the attack."""
        if now >= self._next_tick:
            self._next_tick = now + TICK
            self._tick(now)
        if self._waiting:
            return self._waiting.popleft()
        for link in self._turns:
            if link.is_ready and (payload := self._conduct.act(link, now)) is not None:
                link.sent += 1
                self._has_acted = True
                return packets.udp(link.source, self._scene.remote, link.packet(payload))
        if self._has_acted:
            self._start_turns()
        if len(self._links) < self._number:
            self._start(now)
        return self._waiting.popleft() if self._waiting else None

    def receive(self, datagram: Received, now: float) -> None:
        """Take a datagram of a link."""
        link = self._links.get(datagram.target)
        if link is None:
            return
        was_ready = link.is_ready
        link.receive(datagram.data, now)
        if link.is_ready and not was_ready:
            self.counts["handshakes"] += 1
        if link.is_closed:
            self.counts["closed by the remote"] += 1
            del self._links[datagram.target]
        else:
            self._flush(link, now)

    def _start_turns(self) -> None:
        self._turns = iter(list(self._links.values()))
        self._has_acted = False

    def _start(self, now: float) -> None:
        link = AttackLink(next(self._sources), self._scene.remote, now)
        self._links[link.source] = link
        self._flush(link, now)

    def _tick(self, now: float) -> None:
        self._start_turns()
        for source, link in list(self._links.items()):
            if link.is_given_up(now):
                self.counts["given up"] += 1
                del self._links[source]
            elif link.is_ready and self._conduct.is_done(link, now):
                link.close()
                del self._links[source]
                self._flush(link, now)
            elif link.has_news(now):
                self._flush(link, now)

    def _flush(self, link: AttackLink, now: float) -> None:
        for data in link.outgoing(now):
            self._waiting.append(packets.udp(link.source, self._scene.remote, data))


class Leave:
    """Closes a link as soon as its handshake is complete."""

    def act(self, link: AttackLink, now: float) -> bytes | None:
        """Send nothing."""
        return None

    def is_done(self, link: AttackLink, now: float) -> bool:
        """Leave at once."""
        return True


class StaySilent:
    """Says nothing, and stays."""

    def act(self, link: AttackLink, now: float) -> bytes | None:
        """Send nothing."""
        return None

    def is_done(self, link: AttackLink, now: float) -> bool:
        """Stay."""
        return False


class Flood:
    """Sends packets with absurd frames.

    :param payload: returns the frames of the next packet of a link.
    """

    def __init__(self, payload: Callable[[AttackLink], bytes]) -> None:
        self._payload = payload

    def act(self, link: AttackLink, now: float) -> bytes | None:
        """Return the frames of the next packet."""
        if not link.floods:
            link.floods = True
            link.open_stream()
        return self._payload(link)

    def is_done(self, link: AttackLink, now: float) -> bool:
        """Stay."""
        return False


class SayHello:
    """Sends bytes on the control stream, and waits for the end.

    :param hello: returns the bytes.
    """

    def __init__(self, hello: Callable[[], bytes]) -> None:
        self._hello = hello

    def act(self, link: AttackLink, now: float) -> bytes | None:
        """Send the bytes once."""
        if not link.sent:
            link.sent = 1
            link.write(self._hello())
        return None

    def is_done(self, link: AttackLink, now: float) -> bool:
        """Leave after a while."""
        return now - link.started_at > HELLO_WITHIN


# Their parts


def half_open(scene: Scene, sources: Iterable[UdpAddress]) -> PoolAttack:
    """Return an attack that starts handshakes and forgets them."""
    origin = initials.template()
    return PoolAttack(
        packets.udp(source, scene.remote, initials.half_open(origin))
        for source in itertools.islice(sources, POOL)
    )


def unfinished(scene: Scene, payloads: list[bytes]) -> PoolAttack:
    """Return an attack with several Initial packets for each of many connections."""
    origin = initials.template()
    pool: list[bytes] = []
    for source in itertools.islice(endpoints(FEW), CONNECTIONS):
        datagrams = initials.unfinished(origin, payloads)
        pool += [packets.udp(source, scene.remote, data) for data in datagrams]
    return PoolAttack(pool)


def crypto_gaps(scene: Scene) -> PoolAttack:
    """Return an attack with one byte of the ClientHello in each CRYPTO frame, and gaps between."""
    every_second = frames.gaps(1)
    payloads = [
        frames.filled(SIZE - 50, (crypto_frame(at, b"\0") for at in every_second))
        for _ in range(PACKETS_EACH)
    ]
    return unfinished(scene, payloads)


def giant_client_hellos(scene: Scene) -> PoolAttack:
    """Return an attack with ClientHellos of 60 kB, whose last bytes never come."""
    piece = SIZE - 60
    hello = b"\x01" + (60_000).to_bytes(3) + b"\x03\x03" + os.urandom(60_000)
    payloads = [
        crypto_frame(at, hello[at : at + piece]) for at in range(0, len(hello) - 2000, piece)
    ]
    return unfinished(scene, payloads)


def forged_icmp(scene: Scene, quoted: Iterable[UdpAddress]) -> PoolAttack:
    """Return an attack with ICMP errors about datagrams to these addresses."""
    codes = itertools.cycle(((packets.PORT_UNREACHABLE, 0), (packets.FRAGMENTATION_NEEDED, 256)))
    return PoolAttack(
        packets.unreachable(own(0), code, scene.remote, target, mtu=mtu)
        for target, (code, mtu) in zip(quoted, codes, strict=False)
    )


def guessed_ports(scene: Scene) -> Iterator[UdpAddress]:
    """Yield the origin's address with every port, twice, for both kinds of errors."""
    for port in range(FIRST_PORT, 65_536):
        yield UdpAddress(scene.origin, port)
        yield UdpAddress(scene.origin, port)


def strangers() -> Iterator[UdpAddress]:
    """Yield addresses to which the remote has sent nothing."""
    return itertools.islice(spoofed_endpoints(), POOL * 5)


def empty_frames(link: AttackLink) -> bytes:
    """Return a packet full of STREAM frames without data."""
    return frames.filled(SIZE, itertools.repeat(frames.empty_stream_frame()))


def overlapping_bytes(link: AttackLink) -> bytes:
    """Return a packet full of single bytes with gaps, and then bytes that cover some of them."""
    first = 1 + link.sent * 150 % 60_000
    single = (stream_frame(CONTROL_STREAM, at, b"\0") for at in frames.gaps(first))
    return frames.filled(SIZE - 320, single) + stream_frame(CONTROL_STREAM, first, bytes(300))


def stop_sendings(link: AttackLink) -> bytes:
    """Return a packet full of STOP_SENDING frames, after a byte that opens the stream."""
    first = stream_frame(CONTROL_STREAM, 0, b"\0")
    return first + frames.filled(SIZE - len(first), map(frames.stop_sending, itertools.count()))


def pings(link: AttackLink) -> bytes:
    """Return a packet full of PING frames."""
    return PING * SIZE


def lone_ping(link: AttackLink) -> bytes:
    """Return the smallest packet that asks for an answer."""
    return PING


def ack_ranges(link: AttackLink) -> bytes:
    """Return a packet full of ACK frames with as many ranges as the remote has sent packets for."""
    ack = frames.ack(max(link.largest_received, 0))
    return PING + frames.filled(SIZE - 1, itertools.repeat(ack))


def message(**members: object) -> bytes:
    """Return a framed message of the control stream."""
    body = json.dumps(members).encode()
    return len(body).to_bytes(4) + body


def hello(**members: object) -> bytes:
    """Return a hello with a wrong proof."""
    usual = {"type": "hello", "version": 1, "agent": "attacker/1", "name": "box"}
    usual |= {"token_id": "7f3a9c01", "proof": os.urandom(32).hex()}
    return message(**usual, services=[{"name": "default"}], **members)


def giant_hello() -> bytes:
    """Return the longest hello, with a wrong proof; of every second one, the last byte is missing.

    The member that makes it long is unknown to the remote.
    """
    padding = "x" * (HELLO - len(hello(padding="")) + 4)
    whole = hello(padding=padding)
    return whole if random.random() < 0.5 else whole[:-1]


def hostile_hello() -> bytes:
    """Return a hello with a wrong proof, in which everything is meant for the reader of the log."""
    words = f"{random.random()}{HOSTILE * 4}"[:255]
    usual = {"type": "hello", "version": 1, "agent": words, "name": words, "token_id": words}
    return message(**usual, proof=words, services=[{"name": "default"}], instance=words)


def violation() -> bytes:
    """Return a message that is none, and is meant for the reader of the log."""
    return message(type="hello", version=HOSTILE) if random.random() < 0.5 else b"\xff" * 8


ATTACKS: dict[str, Callable[[Scene], Attack]] = {
    "handshakes": lambda scene: LinkAttack(scene, Leave(), links=CROWD),
    "half-open": lambda scene: half_open(scene, endpoints(1)),
    "half-open-spoofed": lambda scene: half_open(scene, spoofed_endpoints()),
    "silent": lambda scene: LinkAttack(scene, StaySilent(), links=CROWD),
    "silent-many": lambda scene: LinkAttack(scene, StaySilent(), links=1000, addresses=MANY),
    "empty-frames": lambda scene: LinkAttack(scene, Flood(empty_frames), links=8, addresses=FEW),
    "overlapping-bytes": lambda scene: LinkAttack(
        scene, Flood(overlapping_bytes), links=8, addresses=FEW
    ),
    "stop-sending": lambda scene: LinkAttack(scene, Flood(stop_sendings), links=8, addresses=FEW),
    "pings": lambda scene: LinkAttack(scene, Flood(pings), links=8, addresses=FEW),
    "small-packets": lambda scene: LinkAttack(scene, Flood(lone_ping), links=64, addresses=MANY),
    "ack-ranges": lambda scene: LinkAttack(scene, Flood(ack_ranges), links=8, addresses=FEW),
    "crypto-gaps": crypto_gaps,
    "icmp-strangers": lambda scene: forged_icmp(scene, strangers()),
    "icmp-guessed": lambda scene: forged_icmp(scene, guessed_ports(scene)),
    "replayed-retry": ReplayAttack,
    "replayed-retry-many": lambda scene: ReplayAttack(scene, addresses=MANY),
    "giant-hellos": lambda scene: LinkAttack(scene, SayHello(giant_hello), links=64, addresses=FEW),
    "giant-client-hellos": giant_client_hellos,
    "failed-proofs": lambda scene: LinkAttack(scene, SayHello(hostile_hello), links=CROWD),
    "failed-proofs-many": lambda scene: LinkAttack(
        scene, SayHello(hostile_hello), links=CROWD, addresses=MANY
    ),
    "violations": lambda scene: LinkAttack(scene, SayHello(violation), links=CROWD, addresses=MANY),
}
"""The attacks by name. Each function returns a new one; it may take seconds to precompute."""
